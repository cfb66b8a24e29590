// Broadcasts between a node under test and one of Socket.IO 2 with `socket.io-redis` 5, which runs in here.
//
// node redis5-suite.js --url http://127.0.0.1:3001 --redis redis://127.0.0.1:6379
// The node under test takes the commands of cluster-node.js.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { io as client4 } from "socket.io-client";
import { options } from "./options.js";
import { run, within } from "./suite.js";

const require = createRequire(import.meta.url);
const client2 = require("socket.io-client-2");
const opts = options({ url: "", redis: "", only: "" });
const redis = new URL(opts.redis);

const http = createServer();
const server = require("socket.io-2")(http, { transports: ["websocket"], serveClient: false });
const adapter = require("socket.io-redis-5")({ host: redis.hostname, port: Number(redis.port) });
server.adapter(adapter);
await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));

const events = (socket, name) => {
  const heard = [];
  const waiting = [];
  socket.on(name, (...args) => {
    heard.push(args);
    for (const wake of waiting.splice(0)) wake();
  });
  return async () => {
    while (heard.length === 0) await within(new Promise((resolve) => waiting.push(resolve)), `${name}`);
    return heard.shift();
  };
};
const connected = (socket) => within(new Promise((resolve) => socket.once("connect", resolve)), "connect");
const command = async (socket, ...args) => {
  const { ok, error } = await within(socket.emitWithAck(...args), `the answer to ${args[0]}`);
  assert.equal(error, undefined);
  return ok;
};

/** A client on each node, in a room of the case's own. */
async function pair(t) {
  const room = randomBytes(6).toString("hex");
  const joined = new Promise((resolve) => server.once("connection", (socket) => socket.join(room, resolve)));
  const old = client2(`http://127.0.0.1:${http.address().port}`, { forceNew: true, transports: ["websocket"] });
  const ours = client4(opts.url, { forceNew: true, transports: ["websocket"], auth: { name: "ours" } });
  t.after(() => [old, ours].forEach((socket) => socket.disconnect()));
  await Promise.all([connected(old), connected(ours), joined]);
  await command(ours, "join", [room]);
  return { old, ours, room };
}

const bytes = Buffer.from([0, 1, 254, 255]);
const cases = [
  ["events of the old node reach the node under test", async (t) => {
    const { ours, room } = await pair(t);
    const next = events(ours, "hi");
    server.to(room).emit("hi", 1, { x: [true, null] }, "größe", bytes);
    assert.deepEqual(await next(), [1, { x: [true, null] }, "größe", bytes]);
    server.emit("hi", "all");
    assert.deepEqual(await next(), ["all"]);
  }],
  ["events of the node under test reach the old node", async (t) => {
    const { old, ours, room } = await pair(t);
    const next = events(old, "hi");
    // Bytes would arrive as objects, as they do from Node's newer adapters: the old one looks at the type of the packet.
    await command(ours, "emit", { rooms: [room] }, "hi", 1, { x: [true, null] }, "größe");
    assert.deepEqual(await next(), [1, { x: [true, null] }, "größe"]);
    await command(ours, "emit", {}, "hi", "all");
    assert.deepEqual(await next(), ["all"]);
  }],
];
await run(cases, { only: opts.only ? opts.only.split(",") : [], parallel: 1 });
