// What two nodes of a cluster must do for each other, whatever they are written in.
//
// node cluster-suite.js --url http://127.0.0.1:3001,http://127.0.0.1:3002 [--features emit,ask,...] [--only words]
// The nodes take the commands of cluster-node.js. Their names are the words that `asked` answers with.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { io } from "socket.io-client";
import { options } from "./options.js";
import { run, sleep, within } from "./suite.js";

const opts = options({ url: "", only: "", features: "emit,ask,fetch,make,server,rooms" });
const urls = opts.url.split(",");
const features = opts.features.split(",");

/** A client: its events in order, and commands to its node. */
class Client {
  events = [];
  #waiting = [];
  #ready = new Set();

  constructor(t, url, namespace, name) {
    this.socket = io(url + (namespace === "/" ? "" : namespace), {
      forceNew: true,
      transports: ["websocket"],
      reconnection: false,
      auth: { name },
    });
    t.after(() => this.socket.disconnect());
    this.socket.onAny((...args) => {
      if (args[0] === "ready") return void this.#ready.add(args[1]);
      if (typeof args.at(-1) === "function") args.pop()(`${name} heard ${args.slice(1).join(" ")}`);
      this.events.push(args);
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  /** Whether an event of `reaches` has come. */
  isReady(word) {
    return this.#ready.has(word);
  }

  async connected() {
    if (!this.socket.connected) await within(new Promise((resolve) => this.socket.once("connect", resolve)), "connect", 20000);
    return this;
  }

  async command(...args) {
    const { ok, error } = await within(this.socket.emitWithAck(...args), `the answer to ${args[0]}`, 30000);
    if (error !== undefined) throw new Error(error);
    return ok;
  }

  /** The next event. */
  async next() {
    while (this.events.length === 0) {
      await within(new Promise((resolve) => this.#waiting.push(resolve)), "an event", 20000);
    }
    return this.events.shift();
  }

  /** Fails if an event came before the one that marks the end. */
  async nothingBefore(mark) {
    assert.deepEqual(await this.next(), ["mark", mark]);
  }
}

const unique = () => randomBytes(6).toString("hex");

/** A client on each node, in a namespace of the case's own rooms. */
async function pair(t, namespace = "/") {
  const [a, b] = await Promise.all(urls.map((url, n) => new Client(t, url, namespace, "ab"[n]).connected()));
  const room = unique();
  await a.command("join", [room, `${room}-a`]);
  await b.command("join", [room, `${room}-b`]);
  await Promise.all([reaches(a, b, room), reaches(b, a, room), reaches(a, b, `${room}-b`), reaches(b, a, `${room}-a`)]);
  return { a, b, room };
}

/** Waits until what one node sends to a room reaches a client of the other: some ask for the channel of a room when it is joined. */
async function reaches(from, to, room) {
  const word = unique();
  await settled(to, async () => {
    await from.command("emit", { rooms: [room] }, "ready", word);
    return to.isReady(word);
  });
}

const binary = Buffer.from([0, 1, 2, 253, 254, 255]);

const emit = (namespace) => [
  [`emit reaches the other node in ${namespace}`, async (t) => {
    const { a, b, room } = await pair(t, namespace);
    await a.command("emit", { rooms: [room] }, "hi", "there", 1, null, { x: [true, 1.5] }, "größe 🐚");
    for (const client of [a, b]) {
      assert.deepEqual(await client.next(), ["hi", "there", 1, null, { x: [true, 1.5] }, "größe 🐚"]);
    }
  }],
  [`emit to a whole namespace ${namespace}`, async (t) => {
    const { a, b } = await pair(t, namespace);
    const word = unique();
    await a.command("emit", {}, "all", word);
    for (const client of [a, b]) {
      let event;
      do event = await client.next(); while (event[1] !== word);
      assert.deepEqual(event, ["all", word]);
    }
  }],
  [`emit leaves out the sender and exceptions in ${namespace}`, async (t) => {
    const { a, b, room } = await pair(t, namespace);
    await a.command("emit", { self: true, rooms: [room] }, "others");
    assert.deepEqual(await b.next(), ["others"]);
    await a.command("emit", { rooms: [room], except: [`${room}-b`] }, "not b");
    await a.command("emit", { rooms: [room] }, "mark", 1);
    assert.deepEqual(await a.next(), ["not b"]);
    await a.nothingBefore(1);
    await b.nothingBefore(1);
  }],
  [`emit carries bytes in ${namespace}`, async (t) => {
    const { a, b, room } = await pair(t, namespace);
    await a.command("emit", { rooms: [room] }, "bytes", binary, { deep: [binary] }, "text");
    assert.deepEqual(await b.next(), ["bytes", binary, { deep: [binary] }, "text"]);
  }],
  [`emit to several rooms comes once in ${namespace}`, async (t) => {
    const { a, b, room } = await pair(t, namespace);
    await a.command("emit", { rooms: [room, `${room}-b`, "nobody"] }, "once");
    // By the same way: channels of a room lie on another shard than that of several, and none waits for the other.
    await a.command("emit", { rooms: [room, "nobody"] }, "mark", 2);
    assert.deepEqual(await b.next(), ["once"]);
    await b.nothingBefore(2);
  }],
  [`emit to one socket by its id in ${namespace}`, async (t) => {
    const { a, b } = await pair(t, namespace);
    await a.command("emit", { rooms: [b.socket.id] }, "you");
    assert.deepEqual(await b.next(), ["you"]);
  }],
  [`emit stays on the node when local in ${namespace}`, async (t) => {
    const { a, b, room } = await pair(t, namespace);
    await a.command("emit", { rooms: [room], local: true }, "here");
    await a.command("emit", { rooms: [room] }, "mark", 3);
    assert.deepEqual(await a.next(), ["here"]);
    await b.nothingBefore(3);
  }],
  [`emit keeps its order in ${namespace}`, async (t) => {
    const { a, b, room } = await pair(t, namespace);
    await Promise.all(Array.from({ length: 200 }, (_, n) => a.command("emit", { rooms: [room] }, "n", n)));
    for (let n = 0; n < 200; n++) assert.deepEqual(await b.next(), ["n", n]);
  }],
];

const ask = [
  ["ask gathers the answers of both nodes", async (t) => {
    const { a, room } = await pair(t);
    const answers = await a.command("ask", { rooms: [room], timeout: 10000 }, "question", "x");
    assert.deepEqual(answers.sort(), ["a heard x", "b heard x"]);
  }],
  ["ask a room that is elsewhere", async (t) => {
    const { a, room } = await pair(t);
    assert.deepEqual(await a.command("ask", { rooms: [`${room}-b`], timeout: 10000 }, "question", "y"), ["b heard y"]);
  }],
];

const fetch = [
  ["fetch describes the sockets of both nodes", async (t) => {
    const { a, b, room } = await pair(t);
    const sockets = await a.command("fetch", { rooms: [room] });
    const byName = Object.fromEntries(sockets.map((socket) => [socket.data.name, socket]));
    assert.deepEqual(Object.keys(byName).sort(), ["a", "b"]);
    assert.equal(byName.b.id, b.socket.id);
    assert.deepEqual(byName.b.rooms, [room, `${room}-b`].sort());
  }],
];

const make = [
  ["make sockets of the other node join and leave", async (t) => {
    const { a, b, room } = await pair(t);
    const other = unique();
    await a.command("make", { rooms: [`${room}-b`] }, "join", [other]);
    await settled(a, async () => (await a.command("fetch", { rooms: [other] })).length === 1);
    await reaches(a, b, other);
    await a.command("emit", { rooms: [other] }, "in");
    assert.deepEqual(await b.next(), ["in"]);
    await a.command("make", { rooms: [`${room}-b`] }, "leave", [other]);
    await settled(a, async () => (await a.command("fetch", { rooms: [other] })).length === 0);
    await a.command("emit", { rooms: [other] }, "out");
    await a.command("emit", { rooms: [room] }, "mark", 4);
    await b.nothingBefore(4);
  }],
  ["make sockets of the other node disconnect", async (t) => {
    const { a, b, room } = await pair(t);
    const gone = new Promise((resolve) => b.socket.once("disconnect", resolve));
    await a.command("make", { rooms: [`${room}-b`] }, "disconnect", false);
    assert.equal(await within(gone, "the disconnect"), "io server disconnect");
    const closed = await pair(t);
    const cut = new Promise((resolve) => closed.b.socket.once("disconnect", resolve));
    await closed.a.command("make", { rooms: [`${closed.room}-b`] }, "disconnect", true);
    assert.match(await within(cut, "the disconnect"), /io server disconnect|transport close/);
  }],
];

/** Waits until something that travels between nodes has arrived. */
async function settled(client, holds) {
  const end = Date.now() + 20000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error("it did not settle");
    await sleep(20);
  }
}

const server = [
  ["server events reach the other servers", async (t) => {
    const { a, b } = await pair(t);
    const word = unique();
    await a.command("server", "told", word, 7);
    await settled(b, async () => (await b.command("heard")).some(([first]) => first === word));
    const [heard] = (await b.command("heard")).filter(([first]) => first === word);
    assert.deepEqual(heard, [word, 7]);
    assert.equal((await a.command("heard")).some(([first]) => first === word), false);
  }],
  ["server events are answered by the other servers", async (t) => {
    const { a } = await pair(t);
    const answers = await a.command("server-ask", "asked", "how", "are you");
    assert.equal(answers.length, urls.length - 1);
    assert.match(answers[0], /how are you$/);
  }],
];

const rooms = [
  ["rooms of all nodes are named", async (t) => {
    const { a, room } = await pair(t);
    const all = await a.command("rooms");
    for (const name of [room, `${room}-a`, `${room}-b`]) assert.ok(all.includes(name), name);
  }],
];

const cases = { emit: [...emit("/"), ...emit("/other")], ask, fetch, make, server, rooms };
await run(features.flatMap((feature) => cases[feature]), { only: opts.only ? opts.only.split(",") : [], alone: ["emit to a whole"] });
