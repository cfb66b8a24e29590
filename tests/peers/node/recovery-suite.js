// Whether clients get back what they had: by an unmodified socket.io-client that is cut off and returns.
//
// node recovery-suite.js --url URL[,URL...] [--transports ...] [--parser msgpack]
//   [--features recovered,lost,wire,... (those of FEATURES unless named)] [--name "text of a case"] [--redis URL (for mixed)]
// The servers take the commands of recovery-node.js; several URLs are nodes of one cluster.
// The groups `beyond`, `storms`, `nodes` and `stop` ask for what Node's own server does not do.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createClient } from "redis";
import { io } from "socket.io-client";
import msgpack from "socket.io-msgpack-parser";
import { Cutter } from "./cutter.js";
import { options } from "./options.js";
import { run, sleep, within } from "./suite.js";

const FEATURES = "recovered,lost,wire";
const opts = options({ url: "", transports: "websocket", parser: "json", features: FEATURES, name: "", rounds: 12, redis: "" });
const ports = opts.url.split(",").map((url) => Number(new URL(url).port));
const redis = opts.redis && (await createClient({ url: opts.redis }).connect());
const unique = () => randomBytes(6).toString("hex");

/** A client that can be cut off: its events in order, and commands to its node. */
class Peer {
  events = [];
  #wake = [];

  static async connect(t, { namespace = "/", node = 0, name = unique() } = {}) {
    const peer = new Peer();
    peer.name = name;
    peer.cutter = await Cutter.start(t, ports[node]);
    peer.socket = io(`http://127.0.0.1:${peer.cutter.port}${namespace}`, {
      forceNew: true,
      transports: opts.transports.split(","),
      reconnection: false,
      auth: { name },
      ...(opts.parser === "msgpack" ? { parser: msgpack } : {}),
    });
    t.after(() => peer.socket.disconnect());
    peer.socket.onAny((...args) => {
      if (typeof args.at(-1) === "function") return args.pop()("answered");
      peer.events.push(args);
      for (const wake of peer.#wake.splice(0)) wake();
    });
    await peer.connected();
    return peer;
  }

  get id() {
    return this.socket.id;
  }

  async connected() {
    if (this.socket.connected) return;
    const come = new Promise((resolve, reject) => {
      this.socket.once("connect", resolve);
      this.socket.once("connect_error", reject);
    });
    await within(come, "connect");
  }

  command(...args) {
    return within(this.socket.emitWithAck(...args), `the answer to ${args[0]}`);
  }

  /** The next `count` events, without their offsets. */
  async next(count = 1) {
    while (this.events.length < count) await within(new Promise((resolve) => this.#wake.push(resolve)), `event ${count}`);
    return this.events.splice(0, count).map((event) => {
      assert.equal(typeof event.at(-1), "string", `no offset: ${JSON.stringify(event)}`);
      return event.slice(0, -1);
    });
  }

  /** Cuts the connection, and waits until the client knows; with `how` "hang" the server does not. */
  async cut(how = "cut") {
    const gone = new Promise((resolve) => this.socket.once("disconnect", resolve));
    // Else a poll that is cut is sent again.
    this.cutter.refuse(true);
    this.cutter[how]();
    await within(gone, "the disconnect");
  }

  /** Cuts the connection, and waits until the server knows, which `other` sees. */
  async lose(other) {
    const { id } = this;
    await this.cut();
    await until("the server to notice", async () => !(await other.command("has", id)));
  }

  async back(node = 0) {
    this.cutter.target = ports[node];
    this.cutter.refuse(false);
    this.socket.connect();
    await this.connected();
  }
}

/** Waits until it holds, for less than the 25 s in which a heartbeat would bring some of it about. */
async function until(what, holds) {
  const end = Date.now() + 20000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await sleep(20);
  }
}

/** A client in a room of its own that has got one event, and another client that stays. */
async function scene(t, namespace, nodes = [0, 0]) {
  const [peer, other] = await Promise.all(nodes.map((node) => Peer.connect(t, { namespace, node })));
  const room = unique();
  await peer.command("join", [room, `${room}-b`]);
  await peer.command("put", "colour", { name: "blue", list: [1, 2] });
  await other.command("cast", { rooms: [room] }, "first", 0);
  assert.deepEqual(await peer.next(), [["first", 0]]);
  return { peer, other, room };
}

/** The peer came back as it was. */
async function assertRecovered(peer, id, room, data = { colour: { name: "blue", list: [1, 2] } }) {
  assert.equal(peer.socket.recovered, true, "the client says recovered");
  assert.equal(peer.id, id);
  const { node, ...now } = await peer.command("whoami");
  assert.deepEqual(now, { id, recovered: true, rooms: [room, `${room}-b`], data });
  return node;
}

/** The peer came back as somebody new. */
async function assertFresh(peer, id) {
  assert.equal(peer.socket.recovered, false, "the client says not recovered");
  assert.notEqual(peer.id, id);
  const { recovered, rooms, data } = await peer.command("whoami");
  assert.deepEqual({ recovered, rooms, data }, { recovered: false, rooms: [], data: {} });
}

const binary = Buffer.from([0, 1, 2, 253, 254, 255]);

const recoveredIn = (namespace) => [
  [`missed events come once and in order in ${namespace}`, async (t) => {
    const { peer, other, room } = await scene(t, namespace);
    const { id } = peer;
    await peer.lose(other);
    await other.command("cast", { rooms: [room] }, "missed", 1, "text", null, { deep: [true, 1.5, "größe 🐚"] });
    await other.command("cast", { rooms: ["elsewhere"] }, "not for it");
    await other.command("cast", { rooms: [room], except: [`${room}-b`] }, "excepted");
    await other.command("cast", { rooms: [id] }, "missed", 2);
    await other.command("cast", { rooms: [room, `${room}-b`] }, "missed", 3);
    await other.command("cast", { self: true, rooms: [room] }, "missed", 4);
    await peer.back();
    await assertRecovered(peer, id, room);
    await other.command("cast", { rooms: [room] }, "live", 5);
    assert.deepEqual(await peer.next(5), [
      ["missed", 1, "text", null, { deep: [true, 1.5, "größe 🐚"] }], ["missed", 2], ["missed", 3], ["missed", 4], ["live", 5],
    ]);
  }],
  [`bytes come back in ${namespace}`, async (t) => {
    const { peer, other, room } = await scene(t, namespace);
    const { id } = peer;
    await peer.lose(other);
    await other.command("cast", { rooms: [room] }, "bytes", binary, { deep: [binary] }, "text");
    await peer.back();
    await assertRecovered(peer, id, room);
    assert.deepEqual(await peer.next(), [["bytes", binary, { deep: [binary] }, "text"]]);
  }],
];

const recovered = [
  ...recoveredIn("/"),
  ...recoveredIn("/other"),
  ["a client recovers again and again", async (t) => {
    const { peer, other, room } = await scene(t, "/");
    const { id } = peer;
    for (let round = 0; round < 4; round++) {
      await peer.lose(other);
      if (round !== 2) await other.command("cast", { rooms: [room] }, "missed", round);
      await peer.back();
      await assertRecovered(peer, id, room);
      if (round !== 2) assert.deepEqual(await peer.next(), [["missed", round]]);
    }
    assert.deepEqual(peer.events, []);
  }],
  ["what the application emits to its own client is kept", async (t) => {
    const { peer, other, room } = await scene(t, "/");
    const { id } = peer;
    await peer.command("emit", "own", 1);
    assert.deepEqual(await peer.next(), [["own", 1]]);
    await peer.lose(other);
    await other.command("cast", { rooms: [room] }, "missed", 2);
    await peer.back();
    await assertRecovered(peer, id, room);
    assert.deepEqual(await peer.next(), [["missed", 2]]);
  }],
  ["an event that is acknowledged does not move the cursor", async (t) => {
    const { peer, other, room } = await scene(t, "/");
    const { id } = peer;
    assert.equal(await peer.command("ask", 2000, "question", "a text"), "answered");
    await peer.lose(other);
    await other.command("cast", { rooms: [room] }, "missed", 1);
    await peer.back();
    await assertRecovered(peer, id, room);
    assert.deepEqual(await peer.next(), [["missed", 1]]);
  }],
  ["five hundred missed events", async (t) => {
    const { peer, other, room } = await scene(t, "/");
    const { id } = peer;
    await peer.lose(other);
    await Promise.all(Array.from({ length: 500 }, (_, n) => other.command("cast", { rooms: [room] }, "n", n)));
    await peer.back();
    await assertRecovered(peer, id, room);
    assert.deepEqual(await peer.next(500), Array.from({ length: 500 }, (_, n) => ["n", n]));
  }],
  ["middlewares are skipped", async (t) => {
    const { peer, other, room } = await scene(t, "/");
    const { id } = peer;
    assert.equal(await other.command("checks", peer.name), 1);
    await peer.lose(other);
    await other.command("ban", peer.name);
    await peer.back();
    await assertRecovered(peer, id, room);
    assert.equal(await other.command("checks", peer.name), 1);
  }],
];

const middlewares = [
  ["middlewares look at who comes back", async (t) => {
    const { peer, other, room } = await scene(t, "/");
    const { id } = peer;
    await peer.lose(other);
    await peer.back();
    await assertRecovered(peer, id, room);
    assert.equal(await other.command("checks", peer.name), 2);
    await peer.lose(other);
    await other.command("ban", peer.name);
    await assert.rejects(peer.back(), /banned/);
  }],
];

const lost = [
  ["an offset that nobody knows", async (t) => {
    const { peer, other } = await scene(t, "/");
    const { id } = peer;
    await peer.lose(other);
    peer.socket._lastOffset = "nonsense";
    await peer.back();
    await assertFresh(peer, id);
  }],
  ["an offset that is too old", async (t) => {
    const { peer, other } = await scene(t, "/");
    const { id } = peer;
    await peer.lose(other);
    peer.socket._lastOffset = "1-0";
    await peer.back();
    await assertFresh(peer, id);
  }],
  ["a session that nobody knows", async (t) => {
    const { peer, other } = await scene(t, "/");
    const { id } = peer;
    await peer.lose(other);
    peer.socket._pid = "AAAAAAAAAAAAAAAAAAAA";
    await peer.back();
    await assertFresh(peer, id);
  }],
  ["a client that left", async (t) => {
    const { peer, other } = await scene(t, "/");
    const { id } = peer;
    peer.socket.disconnect();
    await until("the server to notice", async () => !(await other.command("has", id)));
    await peer.back();
    await assertFresh(peer, id);
  }],
  ["a client that was sent off", async (t) => {
    for (const close of [false, true]) {
      const { peer, other } = await scene(t, "/");
      const { id } = peer;
      const gone = new Promise((resolve) => peer.socket.once("disconnect", resolve));
      await other.command("kick", id, close);
      await within(gone, "the disconnect");
      await peer.back();
      await assertFresh(peer, id);
    }
  }],
  ["the session of another namespace", async (t) => {
    const { peer, other } = await scene(t, "/");
    const { id } = peer;
    const stranger = await Peer.connect(t, { namespace: "/other" });
    await peer.lose(other);
    const was = stranger.id;
    await stranger.lose(await Peer.connect(t, { namespace: "/other" }));
    Object.assign(stranger.socket, { _pid: peer.socket._pid, _lastOffset: peer.socket._lastOffset });
    await stranger.back();
    await assertFresh(stranger, was);
    assert.notEqual(stranger.id, id);
  }],
  ["emit and then disconnect keep their order", async (t) => {
    const { peer } = await scene(t, "/");
    const gone = new Promise((resolve) => peer.socket.once("disconnect", resolve));
    peer.socket.emit("emit-and-leave", "bye", 1, () => {});
    assert.equal(await within(gone, "the disconnect"), "io server disconnect");
    assert.deepEqual(await peer.next(), [["bye", 1]]);
  }],
];

/** One session over polling, by hand. */
class Poller {
  static async open() {
    const poller = new Poller();
    poller.base = `http://127.0.0.1:${ports[0]}/socket.io/?EIO=4&transport=polling`;
    const open = await (await fetch(poller.base)).text();
    poller.base += `&sid=${JSON.parse(open.slice(1)).sid}`;
    return poller;
  }

  async say(text) {
    assert.equal(await (await fetch(this.base, { method: "POST", body: text })).text(), "ok");
  }

  /** The next packets but pings, which are answered. */
  async hear() {
    for (;;) {
      const packets = (await (await fetch(this.base)).text()).split("\x1e");
      if (packets.includes("2")) await this.say("3");
      const others = packets.filter((packet) => packet !== "2");
      if (others.length > 0) return others;
    }
  }
}

const wire = [
  ["missed events leave before the CONNECT packet", async (t) => {
    const other = await Peer.connect(t);
    const first = await Poller.open();
    await first.say('40{"name":"by hand"}');
    const [connect] = await first.hear();
    const match = /^40\{"sid":"([\w-]{20})","pid":"([\w-]{20})"\}$/.exec(connect);
    assert.ok(match, connect);
    const [, sid, pid] = match;
    assert.notEqual(sid, pid);
    await other.command("cast", { rooms: [sid] }, "first");
    const [event] = await first.hear();
    const [, offset] = /^42\["first","([^"]+)"\]$/.exec(event);
    await first.say("1");
    await until("the server to notice", async () => !(await other.command("has", sid)));
    for (const n of [1, 2, 3]) await other.command("cast", { rooms: [sid] }, "missed", n, "text");
    const second = await Poller.open();
    await second.say(`40${JSON.stringify({ pid, offset })}`);
    const packets = [];
    while (packets.length < 4) packets.push(...(await second.hear()));
    for (const n of [1, 2, 3]) assert.match(packets[n - 1], new RegExp(`^42\\["missed",${n},"text","[^"]+"\\]$`));
    assert.equal(packets[3], `40{"sid":"${sid}","pid":"${pid}"}`);
    await second.say("1");
  }],
];

const beyond = [
  ["a client that has got no event yet", async (t) => {
    const [peer, other] = await Promise.all([Peer.connect(t), Peer.connect(t)]);
    const { id } = peer;
    const room = unique();
    await peer.command("join", [room, `${room}-b`]);
    await peer.lose(other);
    await other.command("cast", { rooms: [room] }, "missed", 1);
    await peer.back();
    await assertRecovered(peer, id, room, {});
    assert.deepEqual(await peer.next(), [["missed", 1]]);
  }],
  ["a volatile event that ends in a text", async (t) => {
    const { peer, other, room } = await scene(t, "/");
    const { id } = peer;
    for (const how of [{ volatile: true }, { local: true }]) {
      await until("an event that is kept for nobody", async () => {
        await other.command("cast", { rooms: [room], ...how }, "drop", "a text");
        // A volatile one comes only to a poll that waits. What was sent before an answer comes before it.
        await peer.command("whoami");
        return peer.events.length > 0;
      });
      for (const event of await peer.next(peer.events.length)) assert.deepEqual(event, ["drop", "a text"]);
      await peer.lose(other);
      await other.command("cast", { rooms: [room] }, "missed", 1);
      await peer.back();
      await assertRecovered(peer, id, room);
      assert.deepEqual(await peer.next(), [["missed", 1]]);
    }
    assert.deepEqual(peer.events, []);
  }],
  ["a client that is back before its old connection is missed", async (t) => {
    const { peer, other, room } = await scene(t, "/");
    const { id } = peer;
    await peer.cut("hang");
    await other.command("cast", { rooms: [room] }, "into the void", 1);
    assert.equal(await other.command("has", id), true);
    await peer.back();
    await assertRecovered(peer, id, room);
    await other.command("cast", { rooms: [room] }, "live", 2);
    assert.deepEqual(await peer.next(2), [["into the void", 1], ["live", 2]]);
    assert.deepEqual(peer.events, []);
  }],
  ["a client that comes back by two ways at once", async (t) => {
    const { peer, other, room } = await scene(t, "/");
    const { id } = peer;
    await peer.lose(other);
    const rival = await Peer.connect(t);
    await rival.cut();
    Object.assign(rival.socket, { _pid: peer.socket._pid, _lastOffset: peer.socket._lastOffset });
    await Promise.allSettled([peer.back(), rival.back()]);
    // The later one holds the session; the other one is closed, and comes back when it likes.
    await until("one of them", () => peer.socket.connected !== rival.socket.connected);
    const holder = peer.socket.connected ? peer : rival;
    await assertRecovered(holder, id, room);
    await other.command("cast", { rooms: [room] }, "live", 1);
    assert.deepEqual(await holder.next(), [["live", 1]]);
  }],
];

/** Everything that one client gets while another one casts and it is cut at random. */
async function storm(t, how, nodes) {
  const { peer, other, room } = await scene(t, "/", [0, nodes - 1]);
  const { id } = peer;
  let sent = 0;
  let isOver = false;
  const traffic = (async () => {
    while (!isOver) {
      await Promise.all([1, 2, 3].map(() => other.command("cast", { rooms: [room] }, "n", sent++)));
      await sleep(1);
    }
  })();
  for (let round = 0; round < opts.rounds; round++) {
    await sleep(Math.random() * 30);
    await peer.cut(how[round % how.length]);
    await peer.back((round + 1) % nodes);
    assert.equal(peer.socket.recovered, true, `round ${round}`);
    assert.equal(peer.id, id);
  }
  isOver = true;
  await traffic;
  const got = await peer.next(sent);
  assert.deepEqual(got.map(([, n]) => n), Array.from({ length: sent }, (_, n) => n));
  assert.deepEqual(peer.events, []);
}

const storms = [
  ["nothing is lost or repeated when it is cut again and again", (t) => storm(t, ["cut"], 1)],
  ["nothing is lost or repeated when it hangs again and again", (t) => storm(t, ["hang", "cut"], 1)],
];

const nodes = [
  ["a client moves to another node", async (t) => {
    const { peer, other, room } = await scene(t, "/", [0, 1]);
    const { id } = peer;
    await peer.cut();
    await other.command("cast", { rooms: [room] }, "missed", 1);
    await peer.back(1);
    assert.equal(await assertRecovered(peer, id, room), 1);
    await other.command("cast", { rooms: [room] }, "live", 2);
    assert.deepEqual(await peer.next(2), [["missed", 1], ["live", 2]]);
  }],
  ["a client moves before its old node has noticed", async (t) => {
    const { peer, other, room } = await scene(t, "/", [0, 1]);
    const { id } = peer;
    const third = await Peer.connect(t);
    // A node that is alive has written its rooms and data before it lets the client in again.
    await peer.lose(third);
    await peer.back(0);
    await peer.cut("hang");
    await other.command("cast", { rooms: [room] }, "into the void", 1);
    await peer.back(1);
    assert.equal(await assertRecovered(peer, id, room), 1);
    await until("the old node to let go", async () => !(await third.command("has", id)));
    await other.command("cast", { rooms: [room] }, "live", 2);
    assert.deepEqual(await peer.next(2), [["into the void", 1], ["live", 2]]);
    assert.deepEqual(peer.events, []);
  }],
  ["nothing is lost or repeated on the way between nodes", (t) => storm(t, ["cut", "hang"], ports.length)],
];

const mixed = [0, 1].map((from) => [
  `a client of node ${from} goes on on the other one`,
  async (t) => {
    const { peer, other, room } = await scene(t, "/", [from, 1 - from]);
    const witness = await Peer.connect(t, { node: from });
    const { id } = peer;
    // One after the other: what a node of Node sends itself can overtake what others sent before.
    await peer.command("emit", "own", 1);
    assert.deepEqual(await peer.next(), [["own", 1]]);
    await other.command("cast", { rooms: [id] }, "bytes", binary);
    assert.deepEqual(await peer.next(), [["bytes", binary]]);
    await peer.lose(witness);
    // What the witness has got is in the log; Node writes that and sessions when it likes.
    const seen = `${room}-seen`;
    await witness.command("join", [seen]);
    await other.command("cast", { rooms: [room, seen] }, "missed", 1, "text");
    await other.command("cast", { rooms: [room, seen], except: [`${room}-b`] }, "excepted");
    assert.equal((await witness.next(2)).length, 2);
    await witness.command("cast", { rooms: [id, seen] }, "missed", binary);
    assert.equal((await witness.next()).length, 1);
    await until("the session", () => redis.exists(`sio:session:${peer.socket._pid}`));
    await peer.back(1 - from);
    assert.equal(await assertRecovered(peer, id, room), 1 - from);
    await witness.command("cast", { rooms: [room] }, "live", 3);
    assert.deepEqual(await peer.next(3), [["missed", 1, "text"], ["missed", binary], ["live", 3]]);
    assert.deepEqual(peer.events, []);
  },
]);

const stop = [
  ["a node that is stopped loses nobody", async (t) => {
    const { peer, other, room } = await scene(t, "/", [0, 1]);
    const quiet = await Peer.connect(t);
    const ids = [peer.id, quiet.id];
    const gone = Promise.all([peer, quiet].map(({ socket }) => new Promise((resolve) => socket.once("disconnect", resolve))));
    await other.command("stop", 0);
    assert.deepEqual(await within(gone, "the end"), ["transport close", "transport close"]);
    await other.command("cast", { rooms: [room] }, "missed", 1);
    await Promise.all([peer.back(1), quiet.back(1)]);
    await assertRecovered(peer, ids[0], room);
    assert.deepEqual([quiet.id, quiet.socket.recovered], [ids[1], true]);
    assert.deepEqual(await peer.next(), [["missed", 1]]);
  }],
];

const groups = { recovered, middlewares, lost, wire, beyond, storms, nodes, mixed, stop };
const cases = opts.features.split(",").flatMap((feature) => groups[feature].map(([name, act]) => [`${feature}: ${name}`, act]));
await run(cases.filter(([name]) => name.includes(opts.name)));
