// Cases: what one node asks of all others, and what it makes their sockets do. An emitter can do the latter, too.
import assert from "node:assert/strict";
import { gather, nothingMore, reaches, settled, unique } from "./world.js";

export const ask = (acting) => [
  ["ask gathers the answers of all nodes", async (t) => {
    const { a, all, room } = await gather(t, acting);
    const answers = await a.command("ask", { rooms: [room], timeout: 10000 }, "question", "x");
    assert.deepEqual(answers.sort(), all.map((client) => `${client.name} heard x`));
  }],
  ["ask rooms that are elsewhere", async (t) => {
    const { a, others, room, own } = await gather(t, acting);
    const one = await a.command("ask", { rooms: [own(others[0])], timeout: 10000 }, "question", "y");
    assert.deepEqual(one, ["b heard y"]);
    const rest = await a.command("ask", { rooms: [room], except: [own(others[0])], timeout: 10000 }, "question", "z");
    assert.equal(rest.length, acting.urls.length - 1);
    assert.deepEqual(await a.command("ask", { rooms: ["nobody is here"], timeout: 10000 }, "question"), []);
  }],
  ["ask others than the sender", async (t) => {
    const { a, others, room } = await gather(t, acting);
    const answers = await a.command("ask", { self: true, rooms: [room], timeout: 10000 }, "question", 1);
    assert.deepEqual(answers.sort(), others.map((client) => `${client.name} heard 1`));
  }],
  ["ask fails when a client is silent", async (t) => {
    const { a, room } = await gather(t, acting);
    await assert.rejects(a.command("ask", { rooms: [room], timeout: 400 }, "silence"));
  }],
];

export const fetch = (acting) => [
  ["fetch describes the sockets of all nodes", async (t) => {
    const { a, all, others, room, own } = await gather(t, acting);
    const sockets = await a.command("fetch", { rooms: [room] });
    const byName = Object.fromEntries(sockets.map((socket) => [socket.data.name, socket]));
    assert.deepEqual(Object.keys(byName).sort(), all.map((client) => client.name));
    for (const client of all) {
      assert.equal(byName[client.name].id, client.socket.id);
      assert.deepEqual(byName[client.name].rooms, [room, own(client)].sort());
    }
    assert.equal(new Set(sockets.map((socket) => socket.data.node)).size, acting.urls.length);
    const some = await a.command("fetch", { rooms: others.map(own), except: [own(others[0])] });
    assert.equal(some.length, others.length - 1);
  }],
];

export const make = (acting) => [
  ["make sockets of the other nodes join and leave", async (t) => {
    const world = await gather(t, acting);
    const { a, all, others, own } = world;
    const [hall, attic] = [unique(), unique()];
    const count = async (room) => (await others[0].command("fetch", { rooms: [room] })).length;
    await a.command("make", { rooms: others.map(own) }, "join", [hall, attic]);
    await settled(async () => (await count(hall)) === others.length && (await count(attic)) === others.length);
    await Promise.all(others.map((client) => reaches(a, client, hall)));
    await a.command("emit", { rooms: [hall] }, "in");
    for (const client of others) await client.hears("in");
    await a.command("make", { rooms: others.map(own), except: [own(others[0])] }, "leave", [hall]);
    await settled(async () => (await count(hall)) === 1);
    await a.command("make", { rooms: [own(others[0])] }, "leave", [hall]);
    await settled(async () => (await count(hall)) === 0);
    assert.equal(await count(attic), others.length);
    await a.command("emit", { rooms: [hall] }, "out");
    await nothingMore(world, all);
  }],
  ["make sockets of the other nodes disconnect", async (t) => {
    const { a, all, others, own } = await gather(t, acting);
    const [first, ...rest] = others;
    const gone = first.gone();
    await a.command("make", { rooms: others.map(own), except: rest.map(own) }, "disconnect", false);
    assert.equal(await gone, "io server disconnect");
    for (const client of all.filter((client) => client !== first)) assert.ok(client.socket.connected);
    const closing = await gather(t, acting);
    const cut = closing.others.map((client) => client.gone());
    await closing.a.command("make", { rooms: closing.others.map(closing.own) }, "disconnect", true);
    for (const reason of await Promise.all(cut)) assert.match(reason, /io server disconnect|transport close/);
  }],
];

export const server = (acting) => [
  ["server events reach the other servers", async (t) => {
    const { a, others } = await gather(t, acting);
    const word = unique();
    await a.command("server", "told", word, 7, { x: [null] });
    const heard = async (client) => (await client.command("heard")).filter(([first]) => first === word);
    for (const client of others) {
      await settled(async () => (await heard(client)).length > 0);
      assert.deepEqual(await heard(client), [[word, 7, { x: [null] }]]);
    }
    if (!acting.emitter) assert.deepEqual(await heard(a), []);
  }],
  ...(acting.emitter ? [] : [["server events are answered by the other servers", async (t) => {
    const { a } = await gather(t, acting);
    const answers = await a.command("server-ask", "asked", "how", "are you");
    assert.equal(new Set(answers).size, acting.urls.length - 1, `${answers}`);
    for (const answer of answers) assert.match(answer, /how are you$/);
  }]]),
];

export const rooms = (acting) => [
  ["rooms of all nodes are named", async (t) => {
    const { a, all, room, own } = await gather(t, acting);
    const named = await a.command("rooms");
    for (const name of [room, ...all.map(own)]) assert.ok(named.includes(name), name);
  }],
];
