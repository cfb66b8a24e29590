// Emits into a cluster without being a node: with Node's own emitter for the classic adapter, or what its emitter for
// streams adds, the fields of an entry by hand. The line protocol is that of `Emitter` in cluster/world.js.
//
// node cluster-emitter.js --redis redis://127.0.0.1:6379 [--streams]
import { createInterface } from "node:readline";
import { Emitter } from "@socket.io/redis-emitter";
import { encode } from "@msgpack/msgpack";
import { createClient } from "redis";
import { options, say } from "./options.js";

const opts = options({ redis: "", streams: false });
const client = createClient({ url: opts.redis });
client.on("error", () => {});
await client.connect();

/** The types of messages in streams. */
const type = { emit: "3", join: "4", leave: "5", disconnect: "6", server: "9" };

function add(nsp, kind, data) {
  const hasBytes = (value) =>
    Buffer.isBuffer(value) || (typeof value === "object" && value !== null && Object.values(value).some(hasBytes));
  const text = hasBytes(data) ? Buffer.from(encode(data)).toString("base64") : JSON.stringify(data);
  const bound = { TRIM: { strategy: "MAXLEN", strategyModifier: "~", threshold: 10_000 } };
  return client.xAdd("socket.io", "*", { uid: "emitter", nsp, type: type[kind], data: text }, bound);
}

const inStreams = {
  emit: (nsp, { rooms = [], except = [], ...flags }, ...data) =>
    add(nsp, "emit", { opts: { rooms, except, flags }, packet: { type: 2, data, nsp } }),
  make: (nsp, { rooms = [], except = [] }, what, words) =>
    add(nsp, what, { opts: { rooms, except }, ...(what === "disconnect" ? { close: words } : { rooms: words }) }),
  server: (nsp, ...packet) => add(nsp, "server", { packet }),
};

function aim(nsp, { rooms = [], except = [], volatile, compress }) {
  let target = new Emitter(client).of(nsp).to(rooms).except(except);
  if (volatile) target = target.volatile;
  return compress === undefined ? target : target.compress(compress);
}

const published = {
  emit: (nsp, how, ...args) => void aim(nsp, how).emit(...args),
  make: (nsp, how, what, words) => {
    if (what === "join") aim(nsp, how).socketsJoin(words);
    if (what === "leave") aim(nsp, how).socketsLeave(words);
    if (what === "disconnect") aim(nsp, how).disconnectSockets(words);
  },
  server: (nsp, ...args) => void new Emitter(client).of(nsp).serverSideEmit(...args),
};

const withBytes = (key, value) => (value?.$bytes === undefined ? value : Buffer.from(value.$bytes, "base64"));
const lines = createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  const [id, nsp, command, ...args] = JSON.parse(line, withBytes);
  try {
    await (opts.streams ? inStreams : published)[command](nsp, ...args);
    await say(JSON.stringify([id, { ok: null }]));
  } catch (error) {
    await say(JSON.stringify([id, { error: error.message }]));
  }
});
lines.on("close", () => process.exit(0));
