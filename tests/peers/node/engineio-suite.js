// The Engine.IO protocol on the wire, against a bare echo server with the fixture's times (ping 300 ms, its timeout, 1 MB).
//
// node engineio-suite.js --url http://127.0.0.1:3000 [--path /engine.io/] [--eio 3] [--both] [--ping-timeout 200] [--only words]
// `--both` says that the server accepts version 3 too, so a missing or unknown EIO is version 3 and no error.
import assert from "node:assert/strict";
import { connect as connectTcp } from "node:net";
import { options } from "./options.js";
import { run, sleep, within } from "./suite.js";
import { Frames, Polling, ask, packetsOf, payloadOf, target } from "./wire.js";

const opts = options({ url: "http://127.0.0.1:3000", path: "/engine.io/", eio: 4, both: false, only: "", repeat: 1, "ping-timeout": 200 });
const pingTimeout = opts["ping-timeout"];
const { url: base, path, eio } = opts;
const BODY = { 0: "Transport unknown", 1: "Session ID unknown", 2: "Bad handshake method", 3: "Bad request", 4: "Forbidden", 5: "Unsupported protocol version" };

const request = (query, init) => ask(target(base, path, query), init);
const polling = () => Polling.open(base, { path, eio });
const message = (text) => `4${text}`;
/** A binary message as a WebSocket frame: version 3 puts the type before it. */
const framed = (buffer) => (eio === 3 ? Buffer.concat([Buffer.from([4]), buffer]) : buffer);

async function websocket(t, { sid, deflate = false } = {}) {
  const frames = new Frames(target(base, path, { EIO: eio, transport: "websocket", sid }), { perMessageDeflate: deflate });
  t.after(() => frames.close());
  if (sid === undefined) {
    const open = await frames.next("the handshake");
    assert.equal(open[0], "0");
    frames.open = JSON.parse(open.slice(1));
  } else {
    await within(frames.opened, "the WebSocket");
  }
  return frames;
}

/** Polls and answers heartbeats until a packet other than a ping or noop comes; the rest is kept for the next call. */
async function nextPacket(session) {
  for (;;) {
    const packets = await session.poll();
    if (packets.includes("2") && eio === 4) await session.send("3");
    const [first, ...rest] = packets.filter((packet) => packet !== "6" && (packet !== "2" || eio === 3));
    session.early.push(...rest);
    if (first !== undefined) return first;
  }
}

function assertError(answer, code, status = 400) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers.get("content-type"), "application/json");
  assert.equal(answer.text, JSON.stringify({ code, message: BODY[code] }));
}

function assertGone(answer) {
  assertError(answer, 1);
}

/** A handshake that is refused: by a status, or, as Node does it, behind its 101. */
async function endsAtOnce(frames) {
  const refusal = frames.refusal.then(({ status, text }) => assert.deepEqual({ status, text }, { status: 400, text: BODY[5] }));
  await within(Promise.race([refusal, frames.closed]), "the end");
  assert.deepEqual(frames.inbox.arrived, []);
}

/** The raw answer to an upgrade request that is refused. */
async function refused(t, query) {
  const frames = new Frames(target(base, path, query));
  t.after(() => frames.close());
  return await within(frames.refusal, "a refusal");
}

const handshake = [
  ["polling: opens a session", async () => {
    const answer = await request({ EIO: eio, transport: "polling" });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), "text/plain; charset=UTF-8");
    assert.equal(answer.headers.get("cache-control"), "no-store");
    const [packet, ...more] = packetsOf(eio, answer);
    assert.deepEqual(more, []);
    assert.equal(packet[0], "0");
    const open = JSON.parse(packet.slice(1));
    assert.deepEqual(Object.keys(open), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert.match(open.sid, /^[A-Za-z0-9_-]{20,}$/);
    assert.deepEqual({ ...open, sid: "" }, { sid: "", upgrades: ["websocket"], pingInterval: 300, pingTimeout, maxPayload: 1000000 });
  }],
  ["websocket: opens a session", async (t) => {
    const { open } = await websocket(t);
    assert.deepEqual(Object.keys(open), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert.deepEqual({ ...open, sid: "" }, { sid: "", upgrades: [], pingInterval: 300, pingTimeout, maxPayload: 1000000 });
  }],
  ["sids differ", async (t) => {
    const sids = [(await polling()).sid, (await polling()).sid, (await websocket(t)).open.sid];
    assert.equal(new Set(sids).size, 3);
  }],
  ["polling: a missing or unknown EIO", async () => {
    for (const EIO of [undefined, "abc", "5", "04"]) {
      const answer = await request({ EIO, transport: "polling" });
      if (opts.both) assert.match(answer.text, /^\d+:0\{/, `EIO=${EIO}`);
      else assertError(answer, 5);
    }
  }],
  ["websocket: a missing or unknown EIO", async (t) => {
    for (const EIO of [undefined, "abc"]) {
      const frames = new Frames(target(base, path, { EIO, transport: "websocket" }));
      t.after(() => frames.close());
      if (opts.both) assert.match(await frames.next(), /^0\{/);
      else await endsAtOnce(frames);
    }
  }],
  ["version 3 is refused where it is off", async () => {
    if (!opts.both) assertError(await request({ EIO: 3, transport: "polling" }), 5);
  }],
  ["polling: a missing or unknown transport", async () => {
    for (const transport of [undefined, "abc", "webtransport", "toString"]) assertError(await request({ EIO: eio, transport }), 0);
  }],
  ["websocket: a missing or unknown transport", async (t) => {
    for (const transport of [undefined, "abc"]) {
      const { status, text } = await refused(t, { EIO: eio, transport });
      assert.deepEqual({ status, text }, { status: 400, text: BODY[0] });
    }
  }],
  ["polling: a method other than GET", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) assertError(await request({ EIO: eio, transport: "polling" }, { method }), 2);
  }],
  ["websocket without Upgrade", async () => assertError(await request({ EIO: eio, transport: "websocket" }), 3)],
  ["polling: an unknown sid", async () => {
    for (const sid of ["abc", "AAAAAAAAAAAAAAAAAAAA", "__proto__", "../..", "é", "x".repeat(2000)]) {
      assertGone(await request({ EIO: eio, transport: "polling", sid }));
      assertGone(await request({ EIO: eio, transport: "polling", sid }, { method: "POST", body: payloadOf(eio, ["4x"]) }));
    }
  }],
  ["websocket: an unknown sid", async (t) => {
    const { status, text } = await refused(t, { EIO: eio, transport: "websocket", sid: "AAAAAAAAAAAAAAAAAAAA" });
    assert.deepEqual({ status, text }, { status: 400, text: BODY[1] });
  }],
  ["a session of the other version", async () => {
    if (!opts.both) return;
    const { sid } = await polling();
    assertError(await request({ EIO: eio === 4 ? 3 : 4, transport: "polling", sid }), 3);
  }],
  ["another path is not Engine.IO", async () => {
    assert.equal((await ask(new URL("/elsewhere/?EIO=4&transport=polling", base))).status, 404);
  }],
];

const cors = [
  ["an answer carries the origin", async () => {
    const headers = { origin: "https://elsewhere.example" };
    const opened = await request({ EIO: eio, transport: "polling" }, { headers });
    assert.ok(["*", headers.origin].includes(opened.headers.get("access-control-allow-origin")));
    const refusal = await request({ EIO: eio, transport: "polling", sid: "nobody" }, { headers });
    assert.equal(refusal.status, 400);
    assert.ok(["*", headers.origin].includes(refusal.headers.get("access-control-allow-origin")));
  }],
  ["a preflight is answered before the sid is looked at", async () => {
    const headers = { origin: "https://elsewhere.example", "access-control-request-method": "POST", "access-control-request-headers": "x-one,content-type" };
    const answer = await request({ EIO: eio, transport: "polling", sid: "nobody" }, { method: "OPTIONS", headers });
    assert.equal(answer.status, 204);
    assert.ok(["*", headers.origin].includes(answer.headers.get("access-control-allow-origin")));
    assert.equal(answer.headers.get("access-control-allow-headers"), "x-one,content-type");
    assert.match(answer.headers.get("access-control-allow-methods"), /POST/);
  }],
];

const texts = ["hello", "", "größe \u{1f41a} \u2028 漢字", "1:2", "\\n\\\\n", '{"a":[1]}', "0", "\u0001"];

const messages = [
  ["polling: a text", async () => {
    const session = await polling();
    const answer = await session.send(message("hello"));
    assert.deepEqual([answer.status, answer.text, answer.headers.get("content-type")], [200, "ok", "text/html"]);
    assert.equal(await nextPacket(session), message("hello"));
  }],
  ["polling: several packets of one request come in order", async () => {
    const session = await polling();
    await session.send(...texts.map(message));
    const seen = [];
    while (seen.length < texts.length) seen.push(await nextPacket(session));
    assert.deepEqual(seen, texts.map(message));
  }],
  ["polling: texts and bytes in one request", async () => {
    const session = await polling();
    const bytes = Buffer.from([0, 1, 2, 255]);
    await session.send(message("one"), bytes, message("two"));
    const seen = [];
    while (seen.length < 3) seen.push(await nextPacket(session));
    assert.deepEqual(seen, [message("one"), bytes, message("two")]);
  }],
  ["polling: a packet split over the chunks of a body", async (t) => {
    const session = await polling();
    const body = Buffer.from(payloadOf(eio, [message("größe \u{1f41a}")]));
    const socket = connectTcp(new URL(base).port, new URL(base).hostname);
    t.after(() => socket.destroy());
    socket.setNoDelay(true);
    socket.write(`POST ${session.url().pathname}${session.url().search} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
    for (const byte of body) {
      socket.write(Buffer.concat([Buffer.from("1\r\n"), Buffer.from([byte]), Buffer.from("\r\n")]));
      await new Promise(setImmediate);
    }
    socket.write("0\r\n\r\n");
    assert.equal(await nextPacket(session), message("größe \u{1f41a}"));
  }],
  ["polling: a poll waits until there is something", async () => {
    const session = await polling();
    const poll = nextPacket(session);
    await sleep(50);
    await session.send(message("late"));
    assert.equal(await poll, message("late"));
  }],
  ["polling: a large message", async () => {
    const session = await polling();
    const text = message("ä".repeat(300000));
    await session.send(text);
    assert.equal(await nextPacket(session), text);
  }],
  ["websocket: a text", async (t) => {
    const session = await websocket(t);
    session.send(...texts.map(message));
    for (const text of texts) assert.equal(await notPing(session), message(text));
  }],
  ["websocket: bytes", async (t) => {
    const session = await websocket(t);
    for (const length of [0, 1, 125, 126, 65535, 65536, 300000]) {
      const bytes = Buffer.alloc(length, 7);
      session.send(framed(bytes));
      assert.ok(framed(bytes).equals(await notPing(session)), `${length} bytes`);
    }
  }],
  ["websocket: a message in fragments with a ping between", async (t) => {
    const session = await websocket(t);
    session.ws.send("4one ", { fin: false });
    session.ws.ping("between");
    const pong = new Promise((resolve) => session.ws.once("pong", (data) => resolve(data.toString())));
    session.ws.send("two ", { fin: false });
    session.ws.send("three", { fin: true });
    assert.equal(await notPing(session), "4one two three");
    assert.equal(await within(pong, "a pong"), "between");
  }],
  ["websocket: compression is not agreed to", async (t) => {
    const session = await websocket(t, { deflate: true });
    assert.equal(session.ws.extensions, "");
  }],
];

/** The next packet of a WebSocket other than a ping; pings are answered. */
async function notPing(session) {
  for (;;) {
    const packet = await session.next("a packet");
    if (packet !== "2" || eio === 3) return packet;
    session.send("3");
  }
}

const broken = [
  ["polling: a packet of an unknown type ends the session", async () => {
    for (const body of eio === 4 ? ["abc", "9", ""] : ["abc", "3:abc", "5:4a", "x:4a"]) {
      const session = await polling();
      const answer = await session.post(body).catch(() => ({ status: 400 }));
      assert.ok([200, 400].includes(answer.status), `${answer.status} to ${JSON.stringify(body)}`);
      await assertEnds(session, body);
    }
  }],
  ["websocket: a packet of an unknown type ends the session", async (t) => {
    for (const text of ["abc", "9", ""]) {
      const session = await websocket(t);
      session.send(text);
      await within(session.closed, `the end after ${JSON.stringify(text)}`);
    }
  }],
  ["polling: a second poll ends the session", async () => {
    const session = await polling();
    const one = session.get();
    await sleep(20);
    const two = await session.get();
    assert.ok([400, 500].includes(two.status), `${two.status}`);
    const first = await one;
    assert.equal(first.status, 200);
    assert.deepEqual(packetsOf(eio, first), ["1"]);
    assertGone(await session.get());
  }],
  ["polling: a second POST ends the session", async (t) => {
    const session = await polling();
    const socket = connectTcp(new URL(base).port, new URL(base).hostname);
    t.after(() => socket.destroy());
    socket.on("error", () => {});
    socket.write(`POST ${session.url().pathname}${session.url().search} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4`);
    await sleep(50);
    const answer = await session.send(message("x"));
    assert.ok([400, 500].includes(answer.status), `${answer.status}`);
    await assertEnds(session, "overlap");
  }],
  ["polling: a poll that the client gives up ends the session", async () => {
    const session = await polling();
    const abort = new AbortController();
    const poll = session.get({ signal: abort.signal }).catch(() => "aborted");
    await sleep(30);
    abort.abort();
    assert.equal(await poll, "aborted");
    const end = Date.now() + 3000;
    let answer = await session.send(message("x"));
    while (answer.status === 200 && Date.now() < end) answer = await session.send(message("x"));
    assertGone(answer);
  }],
  ["polling: another method", async () => {
    for (const method of ["PUT", "DELETE"]) {
      const session = await polling();
      const answer = await ask(session.url(), { method });
      assert.ok([400, 405, 500].includes(answer.status), `${answer.status} to ${method}`);
    }
  }],
  ["polling: a body beyond the limit", async () => {
    const session = await polling();
    const answer = await session.send(message("x".repeat(1000001))).catch(() => ({ status: 413 }));
    assert.equal(answer.status, 413);
  }],
  ["polling: a body at the limit", async () => {
    const session = await polling();
    const room = 1000000 - (eio === 4 ? 1 : "1000000:4".length - 1);
    const answer = await session.send(message("x".repeat(room - 1)));
    assert.equal(answer.status, 200);
  }],
  ["websocket: a message beyond the limit", async (t) => {
    const session = await websocket(t);
    session.send(message("x".repeat(1000001)));
    assert.ok([1009, 1006].includes(await within(session.closed, "the end")));
  }],
  ["websocket: text that is not UTF-8", async (t) => {
    const session = await websocket(t);
    session.ws.send(Buffer.from([0x34, 0xff, 0xfe]), { binary: false });
    assert.ok([1007, 1006].includes(await within(session.closed, "the end")));
  }],
];

if (eio === 4) {
  broken.push(
    ["polling: a binary body", async () => {
      const session = await polling();
      const answer = await session.post(Buffer.from("4x"), { headers: { "content-type": "application/octet-stream" } });
      assert.equal(answer.status, 400);
      await assertEnds(session, "a binary body");
    }],
    ["a ping of the client ends the session", async (t) => {
      const session = await websocket(t);
      session.send("2");
      await within(session.closed, "the end");
      const polled = await polling();
      await polled.send("2");
      await assertEnds(polled, "a ping");
    }],
  );
} else {
  broken.push(
    ["a pong of the client ends the session", async (t) => {
      const session = await websocket(t);
      session.send("3");
      await within(session.closed, "the end");
    }],
  );
}

/** Polls until the session is gone: at most one more answer of 200 with a close or noop packet. */
async function assertEnds(session, why) {
  for (let tries = 0; tries < 3; tries++) {
    const answer = await session.get();
    if (answer.status === 400) return assertGone(answer);
    const packets = packetsOf(eio, answer);
    assert.ok(packets.every((packet) => ["1", "2", "6"].includes(packet)), `${JSON.stringify(packets)} after ${JSON.stringify(why)}`);
  }
  assert.fail(`the session lives on after ${JSON.stringify(why)}`);
}

const heartbeat4 = [
  ["polling: pings are sent and pongs keep the session", async () => {
    const session = await polling();
    for (let beats = 0; beats < 3; beats++) {
      const began = Date.now();
      assert.deepEqual(await session.poll(), ["2"]);
      assert.ok(Date.now() - began > 150, "the pings come in their interval");
      await session.send("3");
    }
  }],
  ["websocket: pings are sent and pongs keep the session", async (t) => {
    const session = await websocket(t);
    for (let beats = 0; beats < 3; beats++) {
      assert.equal(await session.next("a ping"), "2");
      session.send("3");
    }
  }],
  ["polling: silence ends the session", async () => {
    const session = await polling();
    assert.deepEqual(await session.poll(), ["2"]);
    const began = Date.now();
    const answer = await session.get();
    const took = Date.now() - began;
    assert.ok(took < pingTimeout + 5000, `${took} ms`);
    if (answer.status === 200) assertGone(await session.get());
    else assertGone(answer);
  }],
  ["polling: silence without a poll ends the session", async () => {
    const session = await polling();
    await sleep(pingTimeout + 1300);
    assertGone(await session.get());
  }],
  ["websocket: silence ends the session", async (t) => {
    const session = await websocket(t);
    assert.equal(await session.next("a ping"), "2");
    const began = Date.now();
    await within(session.closed, "the end");
    assert.ok(Date.now() - began >= pingTimeout / 2, "only after the ping timeout");
  }],
  ["a pong without a ping is no harm", async (t) => {
    const session = await websocket(t);
    session.send("3", message("still here"));
    assert.equal(await notPing(session), message("still here"));
  }],
];

const heartbeat3 = [
  ["polling: pings are answered and keep the session", async () => {
    const session = await polling();
    for (let beats = 0; beats < 4; beats++) {
      await sleep(200);
      await session.send("2");
      assert.deepEqual(await session.poll(), ["3"]);
    }
  }],
  ["websocket: pings are answered and keep the session", async (t) => {
    const session = await websocket(t);
    for (let beats = 0; beats < 4; beats++) {
      await sleep(200);
      session.send("2");
      assert.equal(await session.next("a pong"), "3");
    }
  }],
  ["websocket: a ping's text comes back or is left out", async (t) => {
    const session = await websocket(t);
    session.send("2");
    assert.equal((await session.next("a pong"))[0], "3");
  }],
  ["polling: silence ends the session", async () => {
    const session = await polling();
    const answer = await session.get();
    if (answer.status === 200) assertGone(await session.get());
    else assertGone(answer);
  }],
  ["websocket: silence ends the session", async (t) => {
    const session = await websocket(t);
    const began = Date.now();
    await within(session.closed, "the end");
    const took = Date.now() - began;
    assert.ok(took >= 150 + pingTimeout && took < pingTimeout + 5000, `${took} ms`);
  }],
];

const close = [
  ["polling: the client closes", async () => {
    const session = await polling();
    const poll = session.get();
    await sleep(20);
    await session.send("1");
    const answer = await poll;
    assert.deepEqual([answer.status, packetsOf(eio, answer)], [200, ["6"]]);
    assertGone(await session.get());
  }],
  ["polling: what stands before the close packet still arrives", async () => {
    const session = await polling();
    const poll = session.poll();
    await session.send(message("last"), "1");
    assert.deepEqual(await poll, [message("last")]);
    assertGone(await session.get());
  }],
  ["websocket: the client closes by a packet", async (t) => {
    const session = await websocket(t);
    session.send("1");
    await within(session.closed, "the end");
  }],
  ["websocket: the client closes by a frame", async (t) => {
    const session = await websocket(t);
    session.ws.close(1000);
    assert.ok([1000, 1005].includes(await within(session.closed, "the end")));
    const later = () => request({ EIO: eio, transport: "polling", sid: session.open.sid });
    let answer = await later();
    for (let tries = 0; tries < 20 && answer.text.includes('"code":3'); tries++) answer = await later();
    assertGone(answer);
  }],
];

/** A probe that has been answered. */
async function probe(t, session) {
  const frames = await websocket(t, { sid: session.sid });
  frames.send("2probe");
  assert.equal(await frames.next("the answer to the probe"), "3probe");
  return frames;
}

async function upgraded(t) {
  const session = await polling();
  const frames = await probe(t, session);
  frames.send("5");
  frames.send(message("after"));
  assert.equal(await notPing(frames), message("after"));
  return { session, frames };
}

const upgrade = [
  ["a session moves to a WebSocket", async (t) => {
    const { frames } = await upgraded(t);
    frames.send(message("hello"));
    assert.equal(await notPing(frames), message("hello"));
  }],
  ["a waiting poll is let go while probing", async (t) => {
    const session = await polling();
    const poll = session.get();
    await sleep(20);
    const frames = await probe(t, session);
    const answer = await poll;
    assert.deepEqual([answer.status, packetsOf(eio, answer)], [200, ["6"]]);
    // Until the upgrade packet the next poll is let go as well.
    assert.deepEqual(packetsOf(eio, await session.get()), ["6"]);
    frames.send("5");
    frames.send(message("moved"));
    assert.equal(await notPing(frames), message("moved"));
  }],
  ["what was queued moves along", async (t) => {
    const session = await polling();
    await session.send(message("queued"));
    const frames = await probe(t, session);
    frames.send("5");
    assert.equal(await notPing(frames), message("queued"));
  }],
  ["messages go on by polling until the upgrade packet", async (t) => {
    const session = await polling();
    const frames = await probe(t, session);
    await session.send(message("by polling"));
    assert.equal(await nextPacket(session), message("by polling"));
    frames.send("5");
    frames.send(message("by websocket"));
    assert.equal(await notPing(frames), message("by websocket"));
  }],
  ["afterwards polling is refused", async (t) => {
    const { session, frames } = await upgraded(t);
    assertError(await session.get(), 3);
    assertError(await session.send(message("x")), 3);
    frames.send(message("hello"));
    assert.equal(await notPing(frames), message("hello"));
  }],
  ["afterwards another WebSocket is closed", async (t) => {
    const { session, frames } = await upgraded(t);
    const other = new Frames(target(base, path, { EIO: eio, transport: "websocket", sid: session.sid }));
    t.after(() => other.close());
    await within(other.closed, "the end of the other");
    frames.send(message("hello"));
    assert.equal(await notPing(frames), message("hello"));
  }],
  ["meanwhile another WebSocket is closed", async (t) => {
    const session = await polling();
    const frames = await probe(t, session);
    const other = new Frames(target(base, path, { EIO: eio, transport: "websocket", sid: session.sid }));
    t.after(() => other.close());
    await within(other.closed, "the end of the other");
    frames.send("5");
    frames.send(message("hello"));
    assert.equal(await notPing(frames), message("hello"));
  }],
  ["a bad candidate is closed and polling goes on", async (t) => {
    for (const bad of ["4hello", "2other", "abc", "3"]) {
      const session = await polling();
      const frames = await websocket(t, { sid: session.sid });
      frames.send(bad);
      await within(frames.closed, `the end of the candidate after ${bad}`);
      await session.send(message("on"));
      assert.equal(await nextPacket(session), message("on"));
    }
  }],
  ["a candidate that goes away leaves polling alone", async (t) => {
    const session = await polling();
    const frames = await probe(t, session);
    frames.close();
    await session.send(message("on"));
    assert.equal(await nextPacket(session), message("on"));
    const again = await probe(t, session);
    again.send("5");
    again.send(message("moved"));
    assert.equal(await notPing(again), message("moved"));
  }],
  ["heartbeats go on after it", async (t) => {
    const { frames } = await upgraded(t);
    for (let beats = 0; beats < 2; beats++) {
      if (eio === 4) {
        assert.equal(await frames.next("a ping"), "2");
        frames.send("3");
      } else {
        await sleep(250);
        frames.send("2");
        assert.equal(await frames.next("a pong"), "3");
      }
    }
  }],
];

const version3 = [
  ["lengths count UTF-16 units", async () => {
    const session = await polling();
    await session.post("4:4\u{1f41a}x3:4äb");
    assert.equal(await nextPacket(session), message("\u{1f41a}x"));
    assert.equal(await nextPacket(session), message("äb"));
  }],
  ["a client that can take bytes gets a binary payload", async () => {
    const session = await polling();
    const bytes = Buffer.from([1, 2, 3, 255]);
    await session.send(bytes, message("größe"));
    const answer = await session.get();
    assert.equal(answer.headers.get("content-type"), "application/octet-stream");
    const packets = packetsOf(3, answer);
    assert.deepEqual(packets[0], bytes);
  }],
  ["a client that cannot take bytes gets base64", async () => {
    const session = await Polling.open(base, { path, eio, query: { b64: "1" } });
    await session.send(Buffer.from([1, 2, 3, 4]));
    const answer = await session.get();
    assert.match(answer.headers.get("content-type"), /^text\/plain/);
    assert.equal(answer.text, "10:b4AQIDBA==");
  }],
  ["a binary payload of the client", async () => {
    const session = await polling();
    const body = Buffer.concat([Buffer.from([1, 4, 255, 4]), Buffer.from([9, 8, 7]), Buffer.from([0, 2, 255]), Buffer.from("4x")]);
    const answer = await session.post(body, { headers: { "content-type": "application/octet-stream" } });
    assert.equal(answer.status, 200);
    assert.deepEqual(await nextPacket(session), Buffer.from([9, 8, 7]));
  }],
];

const jsonp = [
  ["a session over script tags", async () => {
    const query = { EIO: eio, transport: "polling", j: 3 };
    const unwrap = (answer) => {
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get("content-type"), /^text\/(javascript|plain)/);
      const [, index, text] = /^___eio\[(\d+)\]\((.*)\);$/s.exec(answer.text);
      assert.equal(index, "3");
      assert.ok(!/[\u2028\u2029]/.test(text), "line separators are escaped");
      return packetsOf(eio, { text: JSON.parse(text), headers: new Headers() });
    };
    const [open] = unwrap(await request(query));
    const { sid } = JSON.parse(open.slice(1));
    const send = (text) => {
      const body = `d=${encodeURIComponent(payloadOf(eio, [text]).replace(/\\n/g, "\\\\n").replace(/\n/g, "\\n"))}`;
      return request({ ...query, sid }, { method: "POST", body, headers: { "content-type": "application/x-www-form-urlencoded" } });
    };
    for (const text of ["4one\u2028two", "4a\nb", "4a\\nb+c&d=e %41"]) {
      const answer = await send(text);
      assert.deepEqual([answer.status, answer.text], [200, "ok"]);
      let packets = unwrap(await request({ ...query, sid }));
      if (packets[0] === "2") {
        await send("3");
        packets = packets.length > 1 ? packets.slice(1) : unwrap(await request({ ...query, sid }));
      }
      assert.deepEqual(packets, [text]);
    }
  }],
];

const groups = { handshake, cors, message: messages, broken, heartbeat: eio === 4 ? heartbeat4 : heartbeat3, close, upgrade, jsonp, ...(eio === 3 && { version3 }) };
const cases = Object.entries(groups).flatMap(([group, list]) => list.map(([name, act]) => [`${group}: ${name}`, act]));
const repeated = Array.from({ length: opts.repeat }, () => cases).flat();
await run(repeated, { only: opts.only.split(",").filter(Boolean), forgive: 8 });
