// Runs N plain WebSocket connections against the echo server: text, bytes, a large message, fragments, pings, close
// codes and a broken connection. Prints one JSON line; exits 1 if anything came back differently.
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import WebSocket from "ws";
import { options, say } from "./options.js";

const opts = options({ url: "ws://127.0.0.1:3000/", count: 1, messages: 100, large: 1048576, deflate: false, deadline: 120000 });
const problems = [];
const nodes = {};
let messages = 0;

const deadline = setTimeout(() => conclude("the deadline passed"), opts.deadline);
await Promise.all(Array.from({ length: opts.count }, (_, index) => connection(index).catch((error) => note(error.message))));
conclude();

async function connection(index) {
  const socket = new WebSocket(opts.url, { perMessageDeflate: opts.deflate, maxPayload: 64 * 1024 * 1024 });
  const inbox = queue(socket);
  const node = (await inbox()).toString();
  nodes[node] = (nodes[node] ?? 0) + 1;

  for (let n = 0; n < opts.messages; n++) socket.send(`${index} ${n}`);
  for (let n = 0; n < opts.messages; n++) expect((await inbox()).toString() === `${index} ${n}`, "an echo out of order");

  const large = randomBytes(opts.large);
  socket.send(large);
  expect(Buffer.compare(await inbox(), large) === 0, "a large message changed");

  socket.send(large.subarray(0, 10), { fin: false });
  socket.ping("between fragments");
  socket.send(large.subarray(10, 1000), { fin: true });
  const [pong] = await once(socket, "pong");
  expect(pong.toString() === "between fragments", "a pong with another payload");
  expect(Buffer.compare(await inbox(), large.subarray(0, 1000)) === 0, "a fragmented message changed");

  // A third of the connections each is closed by the client, closed by the server, and broken by the server.
  const closed = once(socket, "close");
  const expected = [1000, 4001, 1006][index % 3];
  if (expected === 1000) socket.close(1000);
  else socket.send(expected === 4001 ? "close 4001" : "terminate");
  const [code] = await closed;
  expect(code === expected, `close code ${code} instead of ${expected}`);
}

/** Returns a function that gives the next message. Messages are kept from the first on. */
function queue(socket) {
  const arrived = [];
  const waiting = [];
  const fail = (error) => waiting.splice(0).forEach((waiter) => waiter.reject(error));
  socket.on("message", (data) => {
    messages += 1;
    if (waiting.length > 0) waiting.shift().resolve(data);
    else arrived.push(data);
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
  await say(JSON.stringify({ ok, sessions: opts.count, messages, nodes, problems }));
  process.exit(ok ? 0 : 1);
}
