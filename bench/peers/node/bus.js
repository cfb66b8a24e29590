// The application of `limpet-bench bus` on Node's socket.io with ws, default options.
//
// node bus.js redis|sharded|streams|recovery REDIS_URL prints `listening PORT`. `join` (room) is acknowledged; `say` (room, texts) becomes
// an event `news` for the room with each text, and is acknowledged.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../tests/peers/node/package.json", import.meta.url));
const { Server } = require("socket.io");
const { createClient } = require("redis");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const { createAdapter: createStreamsAdapter } = require("@socket.io/redis-streams-adapter");

const [bus, url] = process.argv.slice(2);
if (bus === "--version") {
  const { dependencies } = require("./package.json");
  const names = ["socket.io", "@socket.io/redis-adapter", "@socket.io/redis-streams-adapter", "redis"];
  console.log(`Node ${process.version}, ${names.map((name) => `${name} ${dependencies[name]}`).join(", ")}`);
  process.exit(0);
}

const publisher = createClient({ url });
await publisher.connect();
let adapter;
if (bus === "redis" || bus === "sharded") {
  const subscriber = publisher.duplicate();
  await subscriber.connect();
  adapter = (bus === "redis" ? createAdapter : createShardedAdapter)(publisher, subscriber);
} else {
  adapter = createStreamsAdapter(publisher);
}

const http = createServer((request, response) => {
  response.statusCode = 404;
  response.end();
});
const io = new Server(http, { adapter, ...(bus === "recovery" ? { connectionStateRecovery: {} } : {}) });
io.on("connection", (socket) => {
  socket.on("join", async (room, ack) => {
    await socket.join(room);
    ack(true);
  });
  socket.on("say", (room, texts, ack) => {
    for (const text of texts) io.to(room).emit("news", text);
    ack(true);
  });
});
http.listen({ host: "127.0.0.1", port: 0 }, () => console.log(`listening ${http.address().port}`));
