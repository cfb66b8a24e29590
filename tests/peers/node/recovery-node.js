// The reference of the recovery suite: what `crates/server/examples/recovery_node.rs` does, on Node with the adapter that
// remembers in memory, or with that for Redis Streams. Prints `listening PORT`.
//
// node recovery-node.js [--redis redis://127.0.0.1:6379] [--name 0] [--run-middlewares] [--parser msgpack] [--away MS]
//   [--ping-interval MS]
//
// On the namespaces `/` and `/other` clients command it by events, and get what came of it as an acknowledgement:
//   whoami -> {id, recovered, rooms, data, node}   has id -> whether the socket of this id is here
//   join rooms ->   put key value ->               emit ...args (to the one who asks) ->
//   cast how event ...args ->                      ask ms event ...args -> the answer of the one who asks | "error"
//   emit-and-leave event ...args (then disconnects the one who asks) ->
//   kick id close -> (disconnects a socket)        ban name -> (a middleware refuses clients of this auth.name)
//   checks name -> how often middlewares have seen this auth.name
// `how` is {rooms, except, volatile, local, self}.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";
import { endWithStdin, options, say } from "./options.js";

const opts = options({
  redis: "",
  name: 0,
  away: 120000,
  "run-middlewares": false,
  parser: "json",
  "ping-interval": 500,
  "ping-timeout": 4000,
  "end-with-stdin": false,
});
if (opts["end-with-stdin"]) endWithStdin();

let adapter;
if (opts.redis) {
  const client = createClient({ url: opts.redis });
  await client.connect();
  adapter = createAdapter(client);
}

const http = createServer((request, response) => response.writeHead(404).end());
const io = new Server(http, {
  connectionStateRecovery: { maxDisconnectionDuration: opts.away, skipMiddlewares: !opts["run-middlewares"] },
  pingInterval: opts["ping-interval"],
  pingTimeout: opts["ping-timeout"],
  ...(adapter ? { adapter } : {}),
  ...(opts.parser === "msgpack" ? { parser: msgpack } : {}),
});

function aim(namespace, socket, how) {
  let target = how.self ? socket : namespace;
  for (const room of how.rooms ?? []) target = target.to(room);
  for (const room of how.except ?? []) target = target.except(room);
  if (how.volatile) target = target.volatile;
  if (how.local) target = target.local;
  return target;
}

function serve(namespace) {
  const banned = new Set();
  const checks = new Map();
  namespace.use((socket, next) => {
    const { name } = socket.handshake.auth;
    checks.set(name, (checks.get(name) ?? 0) + 1);
    next(banned.has(name) ? new Error("banned") : undefined);
  });
  namespace.on("connection", (socket) => {
    const on = (event, act) =>
      socket.on(event, async (...args) => {
        const ack = args.pop();
        ack((await act(...args)) ?? null);
      });
    on("whoami", () => ({
      id: socket.id,
      recovered: socket.recovered,
      rooms: [...socket.rooms].filter((room) => room !== socket.id).sort(),
      data: socket.data,
      node: opts.name,
    }));
    on("has", (id) => namespace.sockets.has(id));
    on("join", (rooms) => socket.join(rooms));
    on("put", (key, value) => void (socket.data[key] = value));
    on("emit", (...args) => void socket.emit(...args));
    on("cast", (how, ...args) => void aim(namespace, socket, how).emit(...args));
    on("ask", (ms, ...args) => socket.timeout(ms).emitWithAck(...args).catch(() => "error"));
    on("emit-and-leave", (...args) => void socket.emit(...args) & socket.disconnect());
    on("kick", (id, close) => void namespace.sockets.get(id)?.disconnect(close));
    on("ban", (name) => void banned.add(name));
    on("checks", (name) => checks.get(name) ?? 0);
  });
}
serve(io.of("/"));
serve(io.of("/other"));

http.listen(0, "127.0.0.1", () => say(`listening ${http.address().port}`));
