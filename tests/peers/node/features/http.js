// What the options of the server put on the wire: hooks, cookie, compression, CORS, limits.
import assert from "node:assert/strict";
import { gunzipSync, inflateSync } from "node:zlib";
import { request } from "node:http";
import { Frames, Polling, ask, target } from "../wire.js";
import { within } from "../suite.js";
import { Peer, eio, isOld, opts, transports, urls } from "./peer.js";

const path = "/socket.io/";
const first = urls[0];
const handshake = (init, query = {}) => ask(target(first, path, { EIO: eio, transport: "polling", ...query }), init);

async function joined(t) {
  const session = await Polling.open(first, { path, eio });
  t.after(() => session.send("1"));
  if (!isOld) {
    await session.send("40");
    await session.next();
  }
  return session;
}

export const hooks = [
  ["headers of every answer and of the first", async () => {
    const opened = await Polling.open(first, { path, eio });
    assert.match(opened.answer.headers.get("x-node"), /^node-\d$/);
    assert.equal(opened.answer.headers.get("x-first"), "yes");
    const posted = await opened.send(isOld ? '42["echo"]' : "40");
    assert.match(posted.headers.get("x-node"), /^node-\d$/);
    assert.equal(posted.headers.get("x-first"), null);
    const polled = await opened.get();
    assert.deepEqual([polled.headers.get("x-first"), polled.status], [null, 200]);
  }],
  ["headers of a WebSocket handshake", async (t) => {
    const frames = new Frames(target(first, path, { EIO: eio, transport: "websocket" }));
    t.after(() => frames.close());
    const headers = await within(new Promise((resolve) => frames.ws.on("upgrade", (response) => resolve(response.headers))), "101");
    assert.match(headers["x-node"], /^node-\d$/);
    assert.equal(headers["x-first"], "yes");
  }],
  ["a WebSocket whose client offers protocols", async (t) => {
    // A client that offers some breaks a connection that agrees to none.
    const protocols = ["first", "second"];
    const settings = isOld ? { transportOptions: { websocket: { protocols } } } : { protocols };
    const peer = await Peer.connect(t, { url: first, transports: ["websocket"], ...settings });
    assert.equal(peer.socket.io.engine.transport.ws.protocol, "first");
  }],
  ["a request that is not allowed", async () => {
    const answer = await handshake({ headers: { "x-refuse": "1" } });
    assert.deepEqual([answer.status, answer.text], [403, '{"code":4,"message":"Forbidden"}']);
  }],
  ["a WebSocket that is not allowed", async (t) => {
    const frames = new Frames(target(first, path, { EIO: eio, transport: "websocket" }), { headers: { "x-refuse": "1" } });
    t.after(() => frames.close());
    const { status, text } = await within(frames.refusal, "the refusal");
    assert.deepEqual([status, text], [400, "Forbidden"]);
  }],
  ["refused requests are told", async (t) => {
    await handshake({}, { sid: "nobody" });
    await handshake({ method: "POST" });
    await handshake({}, { transport: "abc" });
    await handshake({ headers: { "x-refuse": "1" } });
    const peer = await Peer.connect(t, { url: first });
    const errors = await peer.ask("errors");
    if (opts.nodes > 1 && urls.length === 1) return; // some of them went to other nodes
    for (const error of [
      { code: 1, message: "Session ID unknown" },
      { code: 2, message: "Bad handshake method" },
      { code: 0, message: "Transport unknown" },
      { code: 4, message: "Forbidden" },
    ]) {
      assert.ok(errors.some(({ code, message }) => code === error.code && message === error.message), JSON.stringify(error));
    }
  }],
];

/** One polling answer without the decoding that fetch does. */
function raw(url, headers) {
  return within(
    new Promise((resolve, reject) => {
      request(url, { headers }, (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () => resolve({ headers: response.headers, bytes: Buffer.concat(chunks) }));
      })
        .on("error", reject)
        .end();
    }),
    "a polling answer",
  );
}

export const compress = [
  ["a large polling answer, as the client takes it", async (t) => {
    if (opts.parser === "msgpack") return;
    for (const [accepts, decode] of [["gzip", gunzipSync], ["deflate", inflateSync], ["gzip, deflate;q=0.5", gunzipSync], ["br", undefined], ["", undefined]]) {
      const session = await joined(t);
      const text = "größe ".repeat(1000);
      await session.send(`42${JSON.stringify(["echo", text])}`);
      const answer = await raw(session.url(), { "accept-encoding": accepts });
      assert.equal(answer.headers["content-encoding"], decode && accepts.split(",")[0], `Accept-Encoding: ${accepts}`);
      const body = (decode ? decode(answer.bytes) : answer.bytes).toString();
      assert.ok(body.includes(text));
    }
  }],
  ["a small polling answer is left alone", async (t) => {
    if (opts.parser === "msgpack") return;
    const session = await joined(t);
    await session.send('42["echo","small"]');
    const answer = await raw(session.url(), { "accept-encoding": "gzip" });
    assert.equal(answer.headers["content-encoding"], undefined);
  }],
];

export const cookie = [
  ["only the first answer sets it", async () => {
    const session = await Polling.open(first, { path, eio });
    const set = session.answer.headers.get("set-cookie");
    const [pair, ...attributes] = set.split("; ");
    // Behind a balancer the sid in the body carries a tag.
    assert.match(pair, /^io=[A-Za-z0-9_-]{20}/);
    assert.ok(session.sid.startsWith(pair.slice(3)), pair);
    assert.deepEqual(attributes.map((part) => part.toLowerCase()).sort(), ["httponly", "path=/", "samesite=lax"]);
    const posted = await session.send(isOld ? '42["echo"]' : "40");
    assert.equal(posted.headers.get("set-cookie"), null);
  }],
];

export const cors = [
  ["an origin is reflected, with credentials", async () => {
    const headers = { origin: "https://elsewhere.example" };
    const answer = await handshake({ headers });
    assert.equal(answer.headers.get("access-control-allow-origin"), headers.origin);
    assert.equal(answer.headers.get("access-control-allow-credentials"), "true");
    assert.match(answer.headers.get("vary"), /origin/i);
  }],
  ["a preflight", async () => {
    const headers = { origin: "https://elsewhere.example", "access-control-request-method": "POST" };
    const answer = await handshake({ method: "OPTIONS", headers });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.get("access-control-allow-origin"), headers.origin);
  }],
];

export const nocors = [
  ["no header tells of another origin", async () => {
    const answer = await handshake({ headers: { origin: "https://elsewhere.example" } });
    assert.equal(answer.headers.get("access-control-allow-origin"), null);
  }],
];

export const deflate = [
  ["is agreed on and carries both ways", async (t) => {
    if (transports.at(-1) !== "websocket") return;
    const peer = await Peer.connect(t, { perMessageDeflate: { threshold: 0 } });
    await peer.upgraded();
    assert.match(String(peer.socket.io.engine.transport.ws.extensions), /permessage-deflate/);
    for (const text of ["small", "größe ".repeat(5000), "", "x".repeat(300000)]) assert.equal(await peer.ask("echo-ack", text), text);
    const bytes = Buffer.alloc(20000, 7);
    assert.ok(bytes.equals(await peer.ask("echo-ack", bytes)));
    const heard = peer.next("large");
    await peer.cast({ to: [peer.socket.id] }, "large", "y".repeat(50000));
    assert.equal((await heard)[0].length, 50000);
    const plain = peer.next("plain");
    await peer.cast({ to: [peer.socket.id], flags: ["plain"] }, "plain", "z".repeat(50000));
    assert.equal((await plain)[0].length, 50000);
  }],
  ["a large answer is small on the wire", async (t) => {
    if (opts.parser === "msgpack" || isOld) return;
    const bytes = await onTheWire(t, []);
    assert.ok(bytes < 5000, `${bytes} bytes`);
  }],
];

/** What Node's server does not do: since 6.6 its WebSocket transport compresses whatever it was told. */
export const plain = [
  ["a large answer is left alone when told so", async (t) => {
    const bytes = await onTheWire(t, ["plain"]);
    assert.ok(bytes > 50000, `${bytes} bytes`);
  }],
];

/** How many bytes a broadcast of 50,000 takes on a WebSocket with compression. */
async function onTheWire(t, flags) {
  const frames = new Frames(target(first, path, { EIO: eio, transport: "websocket" }), { perMessageDeflate: true });
  t.after(() => frames.close());
  await frames.next();
  frames.send("40");
  const id = JSON.parse((await frames.next()).slice(2)).sid;
  const before = frames.ws._socket.bytesRead;
  frames.send(`421${JSON.stringify(["cast", { to: [id], flags }, "large", ["y".repeat(50000)]])}`);
  while (!(await frames.next()).includes('"large"'));
  return frames.ws._socket.bytesRead - before;
}
