// Rooms, broadcasts with every operator, and what reaches the sockets of other nodes.
import assert from "node:assert/strict";
import { Peer, eventually, fence, opts, spread, unique } from "./peer.js";

/** Who of `peers` heard `event` after `from` has cast it, by position. */
async function heard(peers, from, target, { to = peers, settle = true } = {}) {
  const event = unique("heard");
  const inboxes = to.map((peer) => peer.on(event));
  await from.cast(target, event, 1, { two: [2] });
  if (settle) await fence(from, to);
  for (const inbox of inboxes) {
    assert.ok(inbox.arrived.length <= 1, "nobody hears it twice");
    for (const args of inbox.arrived) assert.deepEqual(args, [1, { two: [2] }]);
  }
  return inboxes.flatMap((inbox, index) => (inbox.arrived.length > 0 ? [index] : []));
}

/** Waits until `peer` sees these members in a room, on whatever node. */
function members(peer, room, ids) {
  return eventually(
    async () => (await peer.ask("fetch", { to: [room] })).map(({ id }) => id).sort(),
    (found) => assert.deepEqual(found, [...ids].sort()),
  );
}

export const room = [
  ["join, leave and the room of the own id", async (t) => {
    const peer = await Peer.connect(t);
    const { id } = await peer.whoami();
    const [a, b] = [unique("a"), unique("b")];
    await peer.ask("join", [a, b]);
    assert.deepEqual((await peer.whoami()).rooms, [id, a, b].sort());
    await peer.ask("leave", a);
    await peer.ask("leave", "never joined");
    assert.deepEqual((await peer.whoami()).rooms, [id, b].sort());
  }],
  ["io.emit reaches all, socket.broadcast all others", async (t) => {
    const peers = await spread(t);
    const everyone = peers.map((_, index) => index);
    assert.deepEqual(await heard(peers, peers[0], { via: "io" }), everyone);
    assert.deepEqual(await heard(peers, peers[1], { via: "broadcast" }), everyone.filter((index) => index !== 1));
  }],
  ["to a room, from outside and from inside", async (t) => {
    const peers = await spread(t, {}, 4);
    const name = unique("room");
    for (const peer of peers.slice(0, 3)) await peer.ask("join", name);
    assert.deepEqual(await heard(peers, peers[3], { via: "io", to: [name] }), [0, 1, 2]);
    assert.deepEqual(await heard(peers, peers[3], { via: "socket", to: [name] }), [0, 1, 2]);
    assert.deepEqual(await heard(peers, peers[1], { via: "io", to: [name] }), [0, 1, 2]);
    assert.deepEqual(await heard(peers, peers[1], { via: "socket", to: [name] }), [0, 2], "not to the sender");
    await peers[0].ask("leave", name);
    assert.deepEqual(await heard(peers, peers[3], { via: "io", to: [name] }), [1, 2]);
  }],
  ["several rooms reach each member once, except keeps some out", async (t) => {
    const peers = await spread(t, {}, 4);
    const [a, b, c] = [unique("a"), unique("b"), unique("c")];
    await peers[0].ask("join", [a, b]);
    await peers[1].ask("join", [b]);
    await peers[2].ask("join", [a, b, c]);
    assert.deepEqual(await heard(peers, peers[3], { to: [a, b] }), [0, 1, 2]);
    assert.deepEqual(await heard(peers, peers[3], { to: [a, b], except: [c] }), [0, 1]);
    assert.deepEqual(await heard(peers, peers[0], { via: "socket", to: [a, b], except: [c] }), [1]);
    const others = await heard(peers, peers[0], { via: "io", except: [a] });
    assert.deepEqual(others, [1, 3]);
    assert.deepEqual(await heard(peers, peers[3], { to: [unique("empty")] }), []);
  }],
  ["the id of a socket is a room of its own", async (t) => {
    const peers = await spread(t);
    assert.deepEqual(await heard(peers, peers[0], { via: "socket", to: [peers[2].id] }), [2]);
    assert.deepEqual(await heard(peers, peers[0], { via: "io", except: [peers[0].id, peers[1].id] }), [2]);
  }],
  ["local stays on the node", async (t) => {
    const peers = await spread(t);
    const nodes = await Promise.all(peers.map(async (peer) => (await peer.whoami()).node));
    const same = nodes.flatMap((node, index) => (node === nodes[0] ? [index] : []));
    assert.deepEqual(await heard(peers, peers[0], { via: "io", flags: ["local"] }), same);
  }],
  ["without compression", async (t) => {
    const peers = await spread(t);
    const event = unique("plain");
    const all = peers.map((peer) => peer.next(event));
    await peers[0].cast({ flags: ["plain"] }, event, "x".repeat(5000));
    for (const args of await Promise.all(all)) assert.equal(args[0].length, 5000);
  }],
  ["a hundred broadcasts keep their order", async (t) => {
    const peers = await spread(t);
    const [name, event] = [unique("room"), unique("event")];
    for (const peer of peers) await peer.ask("join", name);
    const inboxes = peers.map((peer) => peer.on(event));
    for (let n = 0; n < 100; n++) peers[0].socket.emit("cast", { to: [name] }, event, [n], () => {});
    for (const inbox of inboxes) for (let n = 0; n < 100; n++) assert.deepEqual(await inbox.next(), [n]);
  }],
  ["namespaces do not hear one another", async (t) => {
    const [main, custom] = [await Peer.connect(t), await Peer.connect(t, { namespace: "/custom" })];
    const name = unique("room");
    await main.ask("join", name);
    await custom.ask("join", name);
    const event = unique("event");
    const [one, two] = [main.on(event), custom.on(event)];
    await main.cast({ to: [name] }, event, "main");
    await custom.cast({ to: [name] }, event, "custom");
    assert.deepEqual([await one.next(), await two.next()], [["main"], ["custom"]]);
    await fence(main, [main]);
    await fence(custom, [custom]);
    assert.deepEqual([one.arrived, two.arrived], [[], []]);
  }],
  ["who has gone is in no room", async (t) => {
    const [stays, goes] = await spread(t, {}, 2);
    const name = unique("room");
    await stays.ask("join", name);
    await goes.ask("join", name);
    await members(stays, name, [stays.id, goes.id]);
    goes.socket.disconnect();
    await members(stays, name, [stays.id]);
  }],
];

/** Peers that are all in one new room. */
async function together(t, least = 3) {
  const peers = await spread(t, {}, least);
  const name = unique("room");
  for (const peer of peers) await peer.ask("join", name);
  return { peers, name };
}

export const castack = [
  ["all answers come together", async (t) => {
    const { peers, name } = await together(t);
    peers.forEach((peer, index) => peer.socket.on("question", (a, answer) => answer({ index, a })));
    const { error, answers } = await peers[0].ask("cast-ack", { to: [name] }, 5000, "question", ["x"]);
    assert.equal(error, null);
    assert.deepEqual(answers.map(({ index }) => index).sort(), peers.map((_, index) => index));
    assert.ok(answers.every(({ a }) => a === "x"));
  }],
  ["who is silent makes a timeout, with the answers of the others", async (t) => {
    const { peers, name } = await together(t);
    peers.forEach((peer, index) => index !== 1 && peer.socket.on("question", (answer) => answer(index)));
    const { error, answers } = await peers[0].ask("cast-ack", { to: [name] }, 300, "question", []);
    assert.equal(error, "timeout");
    assert.deepEqual(answers.sort(), peers.map((_, index) => index).filter((index) => index !== 1));
  }],
  ["nobody there answers at once or by the timeout", async (t) => {
    const peer = await Peer.connect(t);
    const { answers } = await peer.ask("cast-ack", { to: [unique("empty")] }, 300, "question", []);
    assert.deepEqual(answers, []);
  }],
  ["bytes in the answers", async (t) => {
    const { peers, name } = await together(t);
    peers.forEach((peer) => peer.socket.on("question", (given, answer) => answer({ back: given })));
    const { answers } = await peers[0].ask("cast-ack", { to: [name] }, 5000, "question", [Buffer.from([1, 2, 3])]);
    assert.deepEqual(answers.map(({ back }) => [...back]), peers.map(() => [1, 2, 3]));
  }],
];

export const fetch = [
  ["ids, rooms, data and handshake, of every node", async (t) => {
    const { peers, name } = await together(t);
    for (const [index, peer] of peers.entries()) await peer.ask("put", "index", { index, text: "größe" });
    const found = await peers[0].ask("fetch", { to: [name] });
    assert.deepEqual(found.map(({ id }) => id).sort(), peers.map(({ id }) => id).sort());
    for (const { id, rooms, data } of found) {
      assert.deepEqual(rooms, [id, name].sort());
      const index = peers.findIndex((peer) => peer.id === id);
      assert.deepEqual(data, { index: { index, text: "größe" } });
    }
  }],
  ["the query of the handshake", async (t) => {
    const name = unique("name");
    const peer = await Peer.connect(t, { query: { name } });
    const { id } = await peer.whoami();
    const other = await Peer.connect(t);
    assert.deepEqual((await other.ask("fetch", { to: [id] })).map(({ query }) => query), [name]);
  }],
  ["without the sender, without a room, local, none", async (t) => {
    const { peers, name } = await together(t);
    const ids = async (target) => (await peers[0].ask("fetch", target)).map(({ id }) => id).sort();
    const but = (id) => peers.map((peer) => peer.id).filter((own) => own !== id).sort();
    assert.deepEqual(await ids({ to: [name], except: [peers[1].id] }), but(peers[1].id));
    assert.ok(!(await ids({ via: "broadcast" })).includes(peers[0].id));
    assert.ok((await ids({ to: [name], flags: ["local"] })).includes(peers[0].id));
    assert.deepEqual(await ids({ to: [unique("empty")] }), []);
    if (opts.nodes > 1) assert.equal((await ids({ to: [name], flags: ["local"] })).length, 1);
  }],
];

export const remote = [
  ["sockets join and leave from afar", async (t) => {
    const { peers, name } = await together(t);
    const second = unique("second");
    await peers[0].ask("sockets-join", { to: [name], except: [peers[0].id] }, second);
    await members(peers[0], second, peers.slice(1).map(({ id }) => id));
    assert.ok((await peers[1].whoami()).rooms.includes(second));
    await peers[0].ask("sockets-leave", { to: [peers[1].id] }, second);
    await members(peers[0], second, peers.slice(2).map(({ id }) => id));
  }],
  ["several rooms at once", async (t) => {
    const { peers, name } = await together(t);
    const rooms = [unique("a"), unique("b")];
    await peers[0].ask("sockets-join", { to: [name] }, rooms);
    for (const one of rooms) await members(peers[0], one, peers.map(({ id }) => id));
    await peers[0].ask("sockets-leave", { to: [name] }, rooms);
    for (const one of rooms) await members(peers[0], one, []);
  }],
  ["sockets are disconnected from afar", async (t) => {
    const { peers, name } = await together(t);
    await peers[0].ask("sockets-disconnect", { to: [name], except: [peers[0].id] }, false);
    for (const peer of peers.slice(1)) assert.equal(await peer.disconnected, "io server disconnect");
    await members(peers[0], name, [peers[0].id]);
    assert.equal(await peers[0].ask("echo-ack", "on"), "on");
  }],
  ["with the connection under them", async (t) => {
    const { peers, name } = await together(t);
    await peers[0].ask("sockets-disconnect", { to: [name], except: [peers[0].id] }, true);
    for (const peer of peers.slice(1)) assert.ok(["io server disconnect", "transport close"].includes(await peer.disconnected));
  }],
  ["each socket that was fetched can be spoken to", async (t) => {
    const { peers, name } = await together(t);
    const all = peers.map((peer) => peer.next("to-each"));
    assert.equal(await peers[0].ask("each", { to: [name] }, "emit", { hello: 1 }), peers.length);
    for (const args of await Promise.all(all)) assert.deepEqual(args, [{ hello: 1 }]);
    const second = unique("second");
    await peers[0].ask("each", { to: [name] }, "join", second);
    await members(peers[0], second, peers.map(({ id }) => id));
    await peers[0].ask("each", { to: [name] }, "leave", second);
    await members(peers[0], second, []);
    await peers[0].ask("each", { to: [name], except: [peers[0].id] }, "disconnect", false);
    for (const peer of peers.slice(1)) assert.equal(await peer.disconnected, "io server disconnect");
  }],
];

export const serverside = [
  ["an event reaches the other nodes and not the own", async (t) => {
    const peers = await spread(t);
    const inboxes = peers.map((peer) => peer.on("heard-server-side"));
    const text = unique("text");
    const nodes = await Promise.all(peers.map(async (peer) => (await peer.whoami()).node));
    await peers[0].ask("server-side", text);
    for (const [index, inbox] of inboxes.entries()) {
      if (nodes[index] === nodes[0]) continue;
      let args = await inbox.next("what another node says");
      while (args[2] !== text) args = await inbox.next("what another node says");
      assert.deepEqual(args, [nodes[index], nodes[0], text]);
    }
    await fence(peers[0], peers);
    assert.ok(!inboxes[0].arrived.some((args) => args[2] === text));
  }],
  ["every other node answers a question", async (t) => {
    if (opts.nodes === 1) return;
    const peers = await spread(t);
    const own = (await peers[0].whoami()).node;
    const { error, answers } = await peers[0].ask("server-side-ask", "why");
    assert.equal(error, null);
    assert.equal(answers.length, opts.nodes - 1);
    assert.equal(new Set(answers.map(({ node }) => node)).size, opts.nodes - 1);
    for (const { node, from, text } of answers) {
      assert.notEqual(node, own);
      assert.deepEqual([from, text], [own, "why"]);
    }
  }],
];
