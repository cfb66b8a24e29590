// How connections begin and end: handshakes, namespaces, middlewares, reasons.
import assert from "node:assert/strict";
import { within } from "../suite.js";
import { Peer, eventually, isOld, opts, transports, unique, urls } from "./peer.js";

export const connect = [
  ["by every transport, and the ids agree", async (t) => {
    const peer = await Peer.connect(t);
    await peer.upgraded();
    const { id, transport, namespace, rooms } = await peer.whoami();
    assert.deepEqual([id, transport, namespace, rooms], [peer.socket.id, transports.at(-1), "/", [id]]);
    if (isOld) assert.equal(id, peer.socket.io.engine.id);
    else {
      assert.equal(id.length, 20);
      assert.ok(!peer.socket.io.engine.id.startsWith(id), "the public id is not the secret one");
    }
  }],
  ["a payload and a query", async (t) => {
    const peer = await Peer.connect(t, { namespace: "/custom", auth: { token: "a b", n: "1" }, query: { name: "größe &=" } });
    const { auth, query } = await peer.ask("handshake");
    assert.deepEqual([auth.token, auth.n], ["a b", "1"]);
    assert.deepEqual([query.name, query.EIO], ["größe &=", isOld ? "3" : "4"]);
  }],
  ["a nested payload", async (t) => {
    if (isOld) return;
    const auth = { list: [1, { deep: null }], on: true };
    const peer = await Peer.connect(t, { auth });
    assert.deepEqual((await peer.ask("handshake")).auth, auth);
  }],
  ["what the handshake tells", async (t) => {
    const peer = await Peer.connect(t, { transportOptions: Object.fromEntries(transports.map((name) => [name, { extraHeaders: { "x-test": "yes" } }])) });
    const shake = await peer.ask("handshake");
    assert.equal(shake.headers["x-test"], "yes");
    assert.match(shake.address, /127\.0\.0\.1$|^::1$/);
    assert.deepEqual([shake.secure, shake.xdomain], [false, false]);
    assert.ok(Math.abs(new Date(shake.time) - Date.now()) < 120000, shake.time);
    assert.ok(Math.abs(shake.issued - Date.now()) < 120000, `${shake.issued}`);
    assert.match(shake.url, /^\/socket\.io\/\?.*transport=/);
  }],
  ["a connection of another origin is told", async (t) => {
    const headers = { origin: "https://elsewhere.example" };
    const peer = await Peer.connect(t, { transportOptions: Object.fromEntries(transports.map((name) => [name, { extraHeaders: headers }])) });
    assert.equal((await peer.ask("handshake")).xdomain, true);
  }],
  ["several namespaces over one connection", async (t) => {
    const main = await Peer.connect(t);
    const custom = await main.beside("/custom");
    const room = await main.beside("/room-7");
    assert.equal(main.socket.io, custom.socket.io);
    const ids = await Promise.all([main, custom, room].map(async (peer) => (await peer.whoami()).id));
    assert.equal(new Set(ids).size, 3);
    if (isOld) assert.deepEqual(ids.slice(1), [`/custom#${ids[0]}`, `/room-7#${ids[0]}`]);
    custom.socket.disconnect();
    assert.equal(await main.ask("echo-ack", 1), 1);
    assert.equal(await room.ask("echo-ack", 2), 2);
  }],
  ["thirty clients at once", async (t) => {
    const peers = await Promise.all(Array.from({ length: 30 }, () => Peer.connect(t)));
    const ids = await Promise.all(peers.map(async (peer) => (await peer.whoami()).id));
    assert.equal(new Set(ids).size, 30);
  }],
  ["a client comes back after its connection broke", async (t) => {
    const peer = await Peer.connect(t, { reconnection: true, reconnectionDelay: 20, url: urls[0] });
    await peer.upgraded();
    const { id } = await peer.whoami();
    const back = new Promise((resolve) => peer.socket.once("connect", resolve));
    peer.socket.io.engine.close();
    await within(back, "the return");
    assert.notEqual((await peer.whoami()).id, id);
  }],
];

export const namespace = [
  ["an unknown one is refused", async (t) => {
    const refusal = await Peer.make(t, { namespace: "/nobody" }).refused();
    const message = isOld ? (refusal.message ?? refusal) : refusal.message;
    assert.equal(message, "Invalid namespace");
  }],
  ["a refusal leaves the connection and its other namespaces", async (t) => {
    const main = await Peer.connect(t);
    await assert.rejects(main.beside("/nobody"));
    assert.equal(await main.ask("echo-ack", 1), 1);
  }],
  ["dynamic ones", async (t) => {
    for (const name of ["/room-1", "/room-99"]) {
      const peer = Peer.make(t, { namespace: name });
      const welcome = peer.next("welcome");
      await peer.connected();
      assert.deepEqual(await welcome, [name]);
      assert.equal((await peer.whoami()).namespace, name);
    }
    const refusal = await Peer.make(t, { namespace: "/room-x" }).refused();
    assert.equal(isOld ? (refusal.message ?? refusal) : refusal.message, "Invalid namespace");
  }],
  ["dynamic ones do not hear one another", async (t) => {
    const peers = await Promise.all(["/room-21", "/room-21", "/room-22"].map((name) => Peer.connect(t, { namespace: name })));
    const event = unique("event");
    const inboxes = peers.map((peer) => peer.on(event));
    await peers[0].cast({}, event, 1);
    assert.deepEqual([await inboxes[0].next(), await inboxes[1].next()], [[1], [1]]);
    await peers[2].ask("echo-ack", 1);
    assert.deepEqual(inboxes[2].arrived, []);
  }],
];

export const middleware = [
  ["lets in whom it knows, in order", async (t) => {
    const peer = await Peer.connect(t, { namespace: "/guarded", auth: { token: "open" } });
    assert.deepEqual(await peer.ask("put", "more", 1), { seen: ["first", "second"], more: 1 });
  }],
  ["refuses with a message and data", async (t) => {
    const refusal = await Peer.make(t, { namespace: "/guarded", auth: { token: "closed" } }).refused();
    const data = { code: 7, hint: "say open" };
    assert.deepEqual(refusal, isOld ? data : { message: "not allowed", data });
  }],
  ["who was refused can try again over the same connection", async (t) => {
    const main = await Peer.connect(t);
    if (isOld) return;
    const socket = main.socket.io.socket("/guarded", { auth: { token: "closed" } });
    const peer = new Peer(socket);
    await assert.rejects(peer.connected());
    socket.auth = { token: "open" };
    socket.connect();
    await peer.connected();
    assert.equal((await peer.whoami()).namespace, "/guarded");
  }],
  ["of a socket refuses one event", async (t) => {
    const peer = await Peer.connect(t);
    const error = peer.next("middleware-error");
    peer.emit("forbidden", 1);
    assert.deepEqual(await error, ["forbidden here"]);
    assert.equal(await peer.ask("echo-ack", "on"), "on");
  }],
];

/** The reason that the server saw for what `end` did, and that of the client. */
async function reasons(t, end, connect = () => Peer.connect(t, { url: urls[0] })) {
  const [peer, watcher] = [await connect(), await Peer.connect(t, { url: urls[0] })];
  await peer.upgraded();
  const [key, name] = [unique("key"), unique("room")];
  await peer.ask("remember", key);
  await peer.ask("join", name);
  const { id } = await peer.whoami();
  await end(peer);
  const client = await within(peer.disconnected, "the disconnect");
  const server = await eventually(() => watcher.ask("reason", key), (value) => assert.ok(value));
  assert.equal(server.disconnecting, server.reason);
  assert.deepEqual(server.rooms, [id, name].sort(), "its rooms are still there while it goes");
  return { client, server: server.reason };
}

export const disconnect = [
  ["the client leaves", async (t) => {
    const { client, server } = await reasons(t, (peer) => peer.socket.disconnect());
    assert.equal(client, "io client disconnect");
    assert.ok(["client namespace disconnect", "transport close"].includes(server), server);
  }],
  ["the client leaves one of its namespaces", async (t) => {
    const main = await Peer.connect(t, { url: urls[0] });
    const { client, server } = await reasons(t, (peer) => peer.socket.disconnect(), () => main.beside("/custom"));
    assert.deepEqual([client, server], ["io client disconnect", "client namespace disconnect"]);
    assert.equal(await main.ask("echo-ack", 1), 1);
  }],
  ["the server disconnects", async (t) => {
    const { client, server } = await reasons(t, (peer) => peer.emit("kick", false));
    assert.deepEqual([client, server], ["io server disconnect", "server namespace disconnect"]);
  }],
  ["the server disconnects and closes the connection", async (t) => {
    const { client, server } = await reasons(t, (peer) => peer.emit("kick", true));
    assert.ok(["io server disconnect", "transport close"].includes(client), client);
    assert.equal(server, "server namespace disconnect");
  }],
  ["the client closes its engine", async (t) => {
    const { server } = await reasons(t, (peer) => peer.socket.io.engine.close());
    assert.equal(server, "transport close");
  }],
  ["the connection breaks", async (t) => {
    if (transports.at(-1) !== "websocket") return;
    const { server } = await reasons(t, (peer) => peer.socket.io.engine.transport.ws.terminate());
    assert.ok(["transport close", "transport error"].includes(server), server);
  }],
  ["the client sends what is no packet", async (t) => {
    const { server } = await reasons(t, (peer) => peer.socket.io.engine.write("abc"));
    assert.ok(["forced close", "parse error"].includes(server), server);
  }],
];

export const silence = [
  ["a client that falls silent is dropped", async (t) => {
    const { server } = await reasons(t, (peer) => {
      const { engine } = peer.socket.io;
      if (isOld) {
        clearTimeout(engine.pingIntervalTimer);
        clearTimeout(engine.pingTimeoutTimer);
        engine.ping = engine.onHeartbeat = () => {};
      } else {
        const send = engine.sendPacket ?? engine._sendPacket;
        engine[engine.sendPacket ? "sendPacket" : "_sendPacket"] = (type, ...rest) => type !== "pong" && send.call(engine, type, ...rest);
      }
    });
    assert.equal(server, "ping timeout");
  }],
  ["a client whose server falls silent notices", async (t) => {
    const peer = await Peer.connect(t);
    const beats = await within(
      new Promise((resolve) => {
        let seen = 0;
        const beat = () => ++seen === 3 && resolve(seen);
        if (isOld) peer.socket.on("pong", beat);
        else peer.socket.io.on("ping", beat);
      }),
      "three heartbeats",
    );
    assert.equal(beats, 3);
    assert.ok(peer.socket.connected);
  }],
];

/** What Node's server does not survive. */
export const panic = [
  ["a handler that fails ends its socket and nothing else", async (t) => {
    const [peer, other] = [await Peer.connect(t), await Peer.connect(t)];
    await peer.upgraded();
    peer.emit("panic");
    assert.ok(["io server disconnect", "transport close"].includes(await within(peer.disconnected, "the disconnect")));
    assert.equal(await other.ask("echo-ack", "on"), "on");
    const again = await Peer.connect(t);
    assert.equal(await again.ask("echo-ack", "on"), "on");
  }],
  ["arguments of other types do not reach a handler", async (t) => {
    const peer = await Peer.connect(t);
    const error = peer.next("middleware-error");
    peer.emit("slow", { not: "a number" });
    await error;
    assert.equal(await peer.ask("echo-ack", "on"), "on");
  }],
];

export const shutdown = [
  ["a server that closes tells its clients", async (t) => {
    const peers = await Promise.all(Array.from({ length: 20 }, () => Peer.connect(t)));
    for (const peer of peers) await peer.upgraded();
    process.stdout.write("connected\n");
    const reasons = await within(Promise.all(peers.map((peer) => peer.disconnected)), "the end of all", 12000);
    for (const reason of reasons) assert.ok(["transport close", "io server disconnect", "transport error"].includes(reason), reason);
  }],
];
