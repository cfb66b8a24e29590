// Talks to an echo as `ws` can: every length of a frame's head, fragments, empty frames, pings between fragments, mixed
// compression, characters torn apart, close codes. Prints one JSON line; exits 1 if anything came back differently.
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import WebSocket from "ws";
import { options, say } from "./options.js";

const opts = options({ url: "ws://127.0.0.1:3000/", deadline: 120000 });
const problems = [];
let messages = 0;

/** What a client may ask for, and what must come of it: the extensions of the answer. */
const offers = [
  [false, ""],
  [{ threshold: 0 }, "permessage-deflate; server_no_context_takeover"],
  [{ threshold: 0, clientNoContextTakeover: true }, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
  [{ threshold: 0, serverNoContextTakeover: true }, "permessage-deflate; server_no_context_takeover"],
  [{ threshold: 0, clientMaxWindowBits: 9 }, "permessage-deflate; server_no_context_takeover"],
  [{ threshold: 0, serverMaxWindowBits: 9 }, ""],
];

const lengths = [0, 1, 125, 126, 127, 1000, 32768, 65535, 65536, 300000];
const text = (length) => "Größe 🦀 ".repeat(length / 12 + 1).slice(0, length).replace(/[\ud800-\udbff]$/, "x");

const deadline = setTimeout(() => conclude("the deadline passed"), opts.deadline);
for (const [offer, extensions] of offers) {
  await exchange(offer, extensions).catch((error) => note(`${JSON.stringify(offer)}: ${error.message}`));
}
await closes().catch((error) => note(`closes: ${error.message}`));
conclude();

async function exchange(perMessageDeflate, extensions) {
  const name = JSON.stringify(perMessageDeflate);
  const socket = new WebSocket(opts.url, { perMessageDeflate, maxPayload: 64 * 1024 * 1024 });
  let answered;
  socket.on("upgrade", (response) => (answered = response.headers["sec-websocket-extensions"] ?? ""));
  const inbox = queue(socket);
  await once(socket, "open");
  expect(answered === extensions, `${name} was answered by ${answered}`);

  const same = async (sent, what) => {
    const [data, isBinary] = await inbox();
    const kept = isBinary === (typeof sent !== "string") && Buffer.compare(data, Buffer.from(sent)) === 0;
    expect(kept, `${name}: ${what} came back differently`);
  };
  for (const length of lengths) {
    for (const message of [text(length), randomBytes(length), Buffer.alloc(length, 7)]) {
      const kind = typeof message === "string" ? "text" : "bytes";
      socket.send(message);
      await same(message, `${length} of ${kind}`);
      socket.send(message, { compress: false });
      await same(message, `${length} of ${kind}, not compressed`);
      // Fragments; ws compresses them as one message.
      const bytes = Buffer.from(message);
      const binary = typeof message !== "string";
      const third = Math.ceil(bytes.length / 3);
      const parts = [bytes.subarray(0, third), bytes.subarray(third, 2 * third), Buffer.alloc(0), bytes.subarray(2 * third)];
      parts.forEach((part, at) => {
        socket.send(part, { fin: at === parts.length - 1, binary });
        if (at < 3) socket.ping(`between ${at}`);
      });
      await same(message, `${length} of ${kind} in fragments`);
    }
  }
  // Each byte of characters in a frame of its own.
  const torn = Buffer.from("ß€🦀");
  torn.forEach((_, at) => socket.send(torn.subarray(at, at + 1), { fin: at === torn.length - 1, binary: false, compress: false }));
  await same("ß€🦀", "torn text");
  // Many at once, in order.
  const many = Array.from({ length: 500 }, (_, at) => `${at} ${text(at)}`);
  many.forEach((message) => socket.send(message));
  for (const message of many) await same(message, "one of many");
  for (const payload of ["", "x", "y".repeat(125)]) {
    socket.ping(payload);
    const [pong] = await once(socket, "pong");
    expect(pong.toString() === payload, `${name}: a pong with another payload`);
  }
  // Unasked pongs mean nothing.
  socket.pong("unasked");
  socket.send("after");
  await same("after", "a message behind a pong");
  const closed = once(socket, "close");
  socket.close(1000, "done");
  const [code, reason] = await closed;
  expect(code === 1000 && reason.toString() === "done", `${name}: closed with ${code} ${reason}`);
}

async function closes() {
  for (const [code, reason] of [[], [1000], [1001, "x"], [3000, "ß".repeat(61)], [4999, "y".repeat(123)]]) {
    const socket = new WebSocket(opts.url);
    await once(socket, "open");
    const closed = once(socket, "close");
    socket.close(code, reason);
    const [answer, answered] = await closed;
    expect(answer === (code ?? 1005), `close ${code} was answered by ${answer}`);
    expect(answered.toString() === (reason ?? ""), `close ${code} was answered with the reason ${answered}`);
  }
  const socket = new WebSocket(opts.url);
  await once(socket, "open");
  const closed = once(socket, "close");
  socket.on("error", () => {});
  socket.send(Buffer.alloc(2 * 1024 * 1024));
  const [code] = await closed;
  expect(code === 1009, `a message that is too large was answered by ${code}`);
}

/** Returns a function that gives the next message and whether it is bytes. */
function queue(socket) {
  const arrived = [];
  const waiting = [];
  const fail = (error) => waiting.splice(0).forEach((waiter) => waiter.reject(error));
  socket.on("message", (data, isBinary) => {
    messages += 1;
    if (waiting.length > 0) waiting.shift().resolve([data, isBinary]);
    else arrived.push([data, isBinary]);
  });
  socket.on("error", fail);
  socket.on("close", (code) => fail(new Error(`closed with ${code} while a message was expected`)));
  return () =>
    arrived.length > 0
      ? Promise.resolve(arrived.shift())
      : new Promise((resolve, reject) => waiting.push({ resolve, reject }));
}

function expect(holds, problem) {
  if (!holds) note(problem);
}

function note(problem) {
  if (problems.length < 10) problems.push(problem);
}

async function conclude(failure) {
  clearTimeout(deadline);
  if (failure) note(failure);
  const ok = problems.length === 0;
  await say(JSON.stringify({ ok, messages, problems }));
  process.exit(ok ? 0 : 1);
}
