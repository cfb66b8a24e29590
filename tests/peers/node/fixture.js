// The reference of the protocol suites: what `crates/server/examples/fixture.rs` does, on Node. Prints `listening PORT`.
import { createServer } from "node:http";
import { Server as Engine } from "engine.io";
import { Server } from "socket.io";
import { endWithStdin, say } from "./options.js";

if (process.argv.includes("--end-with-stdin")) endWithStdin();

const settings = {
  pingInterval: 300,
  pingTimeout: Number(process.env.PING_TIMEOUT ?? 200),
  maxHttpBufferSize: 1000000,
  cors: { origin: "*" },
  allowEIO3: process.env.EIO3 === "1",
  destroyUpgrade: false,
};
const http = createServer((request, response) => response.writeHead(404).end());

const engine = new Engine(settings);
engine.attach(http, { path: "/engine.io/", destroyUpgrade: false });
engine.on("connection", (socket) => socket.on("message", (message) => socket.send(message)));

const io = new Server(http, { ...settings, connectTimeout: 1000 });
const authenticated = (socket) => socket.emit("auth", socket.handshake.auth ?? {});
io.of("/custom").on("connection", authenticated);
io.on("connection", (socket) => {
  authenticated(socket);
  socket.on("message", (...args) => socket.emit("message-back", ...args));
  socket.on("message-with-ack", (...args) => args.pop()(...args));
});

http.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => say(`listening ${http.address().port}`));
