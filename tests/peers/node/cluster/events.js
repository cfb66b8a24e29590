// Cases: events that one node, or an emitter, sends to the clients of all.
import assert from "node:assert/strict";
import { gather, nothingMore, reaches, unique } from "./world.js";

const binary = Buffer.from([0, 1, 2, 253, 254, 255]);

export const emit = (acting, namespace) => [
  [`emit reaches the other nodes in ${namespace}`, async (t) => {
    const { a, all, room } = await gather(t, acting, namespace);
    await a.command("emit", { rooms: [room] }, "hi", "there", 1, null, { x: [true, 1.5] }, "größe 🐚");
    for (const client of all) await client.hears("hi", "there", 1, null, { x: [true, 1.5] }, "größe 🐚");
  }],
  [`emit to a whole namespace ${namespace}`, async (t) => {
    const { a, all } = await gather(t, acting, namespace);
    const word = unique();
    await a.command("emit", {}, "all", word);
    for (const client of all) {
      let event;
      do event = await client.next(); while (event[1] !== word);
      assert.deepEqual(event, ["all", word]);
    }
  }],
  [`emit leaves out exceptions in ${namespace}`, async (t) => {
    const world = await gather(t, acting, namespace);
    const { a, all, others, room, own } = world;
    const out = others[0];
    await a.command("emit", { rooms: [room], except: [own(out)] }, "not b");
    for (const client of all.filter((client) => client !== out)) await client.hears("not b");
    await a.command("emit", { rooms: [room], except: others.map(own) }, "none of you");
    if (!acting.emitter) await a.hears("none of you");
    await nothingMore(world, all);
  }],
  [`emit carries bytes in ${namespace}`, async (t) => {
    const { a, all, room } = await gather(t, acting, namespace);
    await a.command("emit", { rooms: [room] }, "bytes", binary, { deep: [binary] }, "text");
    for (const client of all) await client.hears("bytes", binary, { deep: [binary] }, "text");
  }],
  [`emit to several rooms comes once in ${namespace}`, async (t) => {
    const world = await gather(t, acting, namespace);
    const { a, all, room, own } = world;
    await a.command("emit", { rooms: [room, ...all.map(own), "nobody"] }, "once");
    for (const client of all) await client.hears("once");
    await nothingMore(world, all);
  }],
  [`emit to one socket by its id in ${namespace}`, async (t) => {
    const world = await gather(t, acting, namespace);
    const { a, all, others } = world;
    for (const client of others) {
      await a.command("emit", { rooms: [client.socket.id] }, "you", client.name);
      await client.hears("you", client.name);
    }
    await nothingMore(world, all);
  }],
  [`emit volatile and uncompressed in ${namespace}`, async (t) => {
    const { a, all, room } = await gather(t, acting, namespace);
    // Volatile ones may be lost.
    await Promise.all(all.filter((client) => client !== a).map((client) => reaches(a, client, room, { volatile: true })));
    await a.command("emit", { rooms: [room], compress: false }, "plain", binary);
    for (const client of all) await client.hears("plain", binary);
  }],
  [`emit keeps its order in ${namespace}`, async (t) => {
    const { a, all, room } = await gather(t, acting, namespace);
    await Promise.all(Array.from({ length: 200 }, (_, n) => a.command("emit", { rooms: [room] }, "n", n)));
    for (const client of all) for (let n = 0; n < 200; n++) await client.hears("n", n);
  }],
  ...(acting.emitter ? [] : ownEmit(acting, namespace)),
];

/** What only a node can mean: itself. */
const ownEmit = (acting, namespace) => [
  [`emit leaves out the sender in ${namespace}`, async (t) => {
    const world = await gather(t, acting, namespace);
    const { a, all, others, room } = world;
    await a.command("emit", { self: true, rooms: [room] }, "others");
    for (const client of others) await client.hears("others");
    await nothingMore(world, all);
  }],
  [`emit stays on the node when local in ${namespace}`, async (t) => {
    const world = await gather(t, acting, namespace);
    const { a, all, room } = world;
    await a.command("emit", { rooms: [room], local: true }, "here");
    await a.hears("here");
    await nothingMore(world, all);
  }],
];
