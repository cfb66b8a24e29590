// Events, acknowledgements and bytes, both ways.
import assert from "node:assert/strict";
import { within } from "../suite.js";
import { Peer, isOld, opts, transports, unique } from "./peer.js";

const values = [
  [],
  [1, -2.5, 0, opts.parser === "json" ? 1e21 : 1e18, 9007199254740991],
  ["", "größe \u{1f41a} \u2028\u2029 漢字", '"\\\n\u0001\u007f'],
  [true, false, null],
  [{ z: 1, a: { y: [], b: {} }, "": [[[]]] }, []],
  [Array.from({ length: 200 }, (_, n) => ({ n }))],
  ["x".repeat(200000)],
];

const bytes = (length, seed = 0) => Buffer.from(Array.from({ length }, (_, n) => (n * 7 + seed) % 256));
const asBuffers = (value) => JSON.stringify(value, (_, inner) => (inner?.type === "Buffer" ? `bytes ${inner.data}` : inner));

export const event = [
  ["arguments come back unchanged", async (t) => {
    const peer = await Peer.connect(t);
    const back = peer.on("echo-back");
    for (const args of values) {
      peer.emit("echo", ...args);
      // As text, because the order of members counts too.
      assert.equal(JSON.stringify(await back.next("the echo")), JSON.stringify(args));
    }
  }],
  ["undefined and dates become what the parser makes of them", async (t) => {
    const peer = await Peer.connect(t);
    const [one, two, three] = await peer.askAll("echo-ack", undefined, new Date(86400000), { gone: undefined, kept: 1 });
    assert.ok(one === null || one === undefined);
    assert.equal(two instanceof Date ? two.toISOString() : two, "1970-01-02T00:00:00.000Z");
    assert.equal(three.kept, 1);
  }],
  ["five hundred come in order, both ways", async (t) => {
    const peer = await Peer.connect(t);
    const back = peer.on("echo-back");
    for (let n = 0; n < 500; n++) peer.emit("echo", n);
    for (let n = 0; n < 500; n++) assert.deepEqual(await back.next(), [n]);
  }],
  ["order holds across the upgrade", async (t) => {
    const peer = await Peer.connect(t);
    const back = peer.on("echo-back");
    let sent = 0;
    const timer = setInterval(() => peer.emit("echo", sent++), 1);
    t.after(() => clearInterval(timer));
    await peer.upgraded();
    for (let n = 0; n < 50; n++) assert.deepEqual(await back.next(), [n]);
    clearInterval(timer);
    assert.equal(peer.socket.io.engine.transport.name, transports.at(-1));
  }],
  ["an unknown event is passed over", async (t) => {
    const peer = await Peer.connect(t);
    peer.emit("nobody listens", 1, 2);
    peer.emit("nobody answers", () => assert.fail("an ack"));
    assert.deepEqual(await peer.askAll("echo-ack", 1), [1]);
  }],
  ["a handler can go", async (t) => {
    const peer = await Peer.connect(t);
    assert.equal(await peer.ask("once"), true);
    let answered = false;
    peer.emit("once", () => (answered = true));
    await peer.ask("echo-ack", 1);
    assert.equal(answered, false);
  }],
];

export const ack = [
  ["the server acknowledges any number of arguments", async (t) => {
    const peer = await Peer.connect(t);
    for (const args of values) assert.deepEqual(await peer.askAll("echo-ack", ...args), args);
  }],
  ["many at once find their own", async (t) => {
    const peer = await Peer.connect(t);
    const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => peer.ask("echo-ack", n)));
    assert.deepEqual(answers, Array.from({ length: 200 }, (_, n) => n));
  }],
  ["a slow one does not hold another client's", async (t) => {
    const [slow, quick] = [await Peer.connect(t), await Peer.connect(t)];
    const late = slow.ask("slow", 300);
    await quick.ask("echo-ack", 1);
    assert.equal(await late, 300);
  }],
  ["the client acknowledges", async (t) => {
    const peer = await Peer.connect(t);
    peer.socket.on("question", (a, b, answer) => answer({ sum: a + b, text: "größe" }));
    assert.deepEqual(await peer.ask("ask", 5000, "question", [1, 2]), { value: { sum: 3, text: "größe" } });
  }],
  ["a client that does not acknowledge meets the timeout", async (t) => {
    const peer = await Peer.connect(t);
    peer.socket.on("question", () => {});
    const began = Date.now();
    assert.deepEqual(await peer.ask("ask", 100, "question", []), { error: "timeout" });
    assert.ok(Date.now() - began >= 90);
  }],
  ["a late acknowledgement is no harm", async (t) => {
    const peer = await Peer.connect(t);
    let answer;
    peer.socket.on("question", (callback) => (answer = callback));
    assert.deepEqual(await peer.ask("ask", 50, "question", []), { error: "timeout" });
    answer("late");
    assert.equal(await peer.ask("echo-ack", "on"), "on");
  }],
  ...(isOld
    ? []
    : [
        ["emitWithAck and timeout of the client", async (t) => {
          const peer = await Peer.connect(t);
          assert.equal(await peer.socket.timeout(5000).emitWithAck("echo-ack", "x"), "x");
          await assert.rejects(peer.socket.timeout(50).emitWithAck("nobody answers"));
        }],
      ]),
];

export const binary = [
  ["bytes come back, nested, empty and large", async (t) => {
    const peer = await Peer.connect(t);
    const back = peer.on("echo-back");
    for (const args of [[bytes(3)], [bytes(0)], [bytes(300000)], ["a", { b: [bytes(10, 1), { c: bytes(20, 2) }], d: null }, bytes(5, 3)]]) {
      peer.emit("echo", ...args);
      assert.equal(asBuffers(await back.next("the echo")), asBuffers(args));
    }
  }],
  ["bytes in acknowledgements, both ways", async (t) => {
    const peer = await Peer.connect(t);
    const value = { one: bytes(4), two: [bytes(6, 9)] };
    assert.equal(asBuffers(await peer.ask("echo-ack", value)), asBuffers(value));
    peer.socket.on("question", (given, answer) => answer({ given, more: bytes(7) }));
    const answer = await peer.ask("ask", 5000, "question", [bytes(8)]);
    assert.equal(asBuffers(answer), asBuffers({ value: { given: bytes(8), more: bytes(7) } }));
  }],
  ["an array buffer and a typed array", async (t) => {
    if (opts.parser === "msgpack") return; // an extension type of that parser
    const peer = await Peer.connect(t);
    const [one, two] = await peer.askAll("echo-ack", new Uint8Array([1, 2, 3]).buffer, new Uint8Array([4, 5]));
    assert.deepEqual([[...Buffer.from(one)], [...Buffer.from(two)]], [[1, 2, 3], [4, 5]]);
  }],
  ["ten attachments", async (t) => {
    const peer = await Peer.connect(t);
    const args = Array.from({ length: 10 }, (_, n) => bytes(n + 1, n));
    assert.equal(asBuffers(await peer.askAll("echo-ack", ...args)), asBuffers(args));
  }],
  ["texts and bytes keep their order", async (t) => {
    const peer = await Peer.connect(t);
    const back = peer.on("echo-back");
    for (let n = 0; n < 100; n++) peer.emit("echo", n, ...(n % 3 === 0 ? [bytes(5, n)] : []));
    for (let n = 0; n < 100; n++) assert.equal((await back.next())[0], n);
  }],
  ["a broadcast of bytes", async (t) => {
    const [one, two] = [await Peer.connect(t), await Peer.connect(t)];
    const [name, room] = [unique("bytes"), unique("room")];
    await one.ask("join", room);
    await two.ask("join", room);
    const heard = [one.next(name), two.next(name)];
    await one.cast({ to: [room] }, name, { in: bytes(9) }, 1);
    for (const args of await Promise.all(heard)) assert.equal(asBuffers(args), asBuffers([{ in: bytes(9) }, 1]));
  }],
];

export const volatile = [
  ["one that can leave at once arrives", async (t) => {
    const peer = await Peer.connect(t);
    await peer.upgraded();
    const name = unique("volatile");
    const heard = peer.on(name);
    for (let n = 0; heard.arrived.length === 0; n++) {
      assert.ok(n < 100, "one of a hundred arrives");
      await peer.cast({ via: "io", flags: ["volatile"] }, name, n);
    }
  }],
  ["those that cannot are dropped, the rest keep their order", async (t) => {
    const peer = await Peer.connect(t);
    await peer.upgraded();
    const heard = peer.on("drop");
    await peer.ask("burst", 50);
    await peer.ask("echo-ack", 1);
    const seen = heard.arrived.map(([n]) => n);
    assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
    if (transports.at(-1) === "polling") assert.ok(seen.length < 50, `${seen.length} of 50 passed a poll`);
  }],
];

export const all = [
  ["a catch-all handler hears every event", async (t) => {
    const peer = await Peer.connect(t);
    const heard = peer.on("any-heard");
    peer.emit("any:one", 1, "x");
    peer.emit("any:two");
    assert.deepEqual(await heard.next(), ["any:one", [1, "x"]]);
    assert.deepEqual(await heard.next(), ["any:two", []]);
  }],
  ["one for what is sent hears it too", async (t) => {
    const peer = await Peer.connect(t);
    peer.emit("echo", 1);
    await peer.next("echo-back");
    const name = unique("cast");
    const heard = peer.next(name);
    await peer.cast({ via: "io" }, name);
    await heard;
    const names = await within(peer.ask("outgoing"), "the names");
    assert.ok(names.includes("echo-back"), `${names}`);
  }],
];
