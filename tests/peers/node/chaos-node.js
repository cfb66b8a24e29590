// A node for the chaos test, on Node: what `chaos_fixture` of `crates/server` is on Limpet. Prints `listening PORT`.
//
// PORT=0 REDIS_URL=redis://127.0.0.1:6379 BUS=streams node chaos-node.js
// `BUS` is `streams` (recovery for 120 s), `redis` (the classic adapter has no recovery) or `local`. Clients send
// `join room ack`, and `send room payload ack`, which is acknowledged with `true` when the bus has it. SIGTERM closes.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { endWithStdin, say } from "./options.js";

const { PORT = "0", REDIS_URL = "", BUS = "streams" } = process.env;
if (process.argv.includes("--end-with-stdin")) endWithStdin();

const clients = [];
async function connected(client) {
  client.on("error", () => {});
  clients.push(client);
  await client.connect();
  return client;
}
const publisher = BUS === "local" ? undefined : await connected(createClient({ url: REDIS_URL }));
const adapters = {
  local: () => undefined,
  redis: async () => createAdapter(publisher, await connected(publisher.duplicate())),
  streams: () => createStreamsAdapter(publisher),
};

const http = createServer((request, response) => response.writeHead(request.url === "/health" ? 200 : 404).end());
const io = new Server(http, {
  adapter: await adapters[BUS](),
  cors: { origin: true },
  pingInterval: 5000,
  pingTimeout: 3000,
  ...(BUS === "redis" ? {} : { connectionStateRecovery: { maxDisconnectionDuration: 120_000 } }),
});

// `emit` does not tell whether the log took the event, so its one call of `doPublish` is listened to.
const adapter = io.of("/").adapter;
const publish = adapter.doPublish?.bind(adapter);
let accepted = Promise.resolve();
if (publish && BUS === "streams") {
  adapter.doPublish = (message) => {
    accepted = publish(message);
    return accepted;
  };
}

io.on("connection", (socket) => {
  socket.on("join", async (room, ack) => {
    await socket.join(room);
    ack(true);
  });
  socket.on("send", (room, payload, ack) => {
    io.to(room).emit("msg", payload);
    accepted.then(() => ack(true), () => ack(false));
  });
});

process.on("SIGTERM", async () => {
  await io.close();
  // Sessions are being written when the server says that it is closed.
  await Promise.allSettled(clients.map((client) => client.close()));
  process.exit(0);
});
http.listen(Number(PORT), "127.0.0.1", () => say(`listening ${http.address().port}`));
