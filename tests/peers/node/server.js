// A Socket.IO server as a replica under test. Prints `listening PORT` when it is ready.
//
// Events: `whoami` (ack: node and transport), `echo` (ack: the argument), `numbered n` (checked for order),
// `start everyMs` (the server sends `numbered n` from 0), `stop` (ack: what was sent and received).
import { createServer } from "node:http";
import { Server } from "socket.io";
import { endWithStdin, options, say } from "./options.js";

const opts = options({
  name: "node",
  host: "127.0.0.1",
  port: 0,
  path: "/socket.io/",
  transports: "polling,websocket",
  cors: "",
  eio3: false,
  cookie: false,
  "ping-interval": 25000,
  "ping-timeout": 20000,
  "end-with-stdin": false,
});
if (opts["end-with-stdin"]) endWithStdin();

const totals = { opened: 0, received: 0, gaps: 0 };
const http = createServer((request, response) => {
  if (request.url === "/info") {
    const transports = {};
    for (const client of Object.values(io.engine.clients)) {
      transports[client.transport.name] = (transports[client.transport.name] ?? 0) + 1;
    }
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ name: opts.name, sessions: io.engine.clientsCount, transports, ...totals }));
  } else {
    response.statusCode = request.url === "/health" ? 200 : 404;
    response.end();
  }
});

const io = new Server(http, {
  path: opts.path,
  transports: opts.transports.split(","),
  allowEIO3: opts.eio3,
  cookie: opts.cookie,
  pingInterval: opts["ping-interval"],
  pingTimeout: opts["ping-timeout"],
  cors: opts.cors === "" ? undefined : { origin: opts.cors },
});

io.engine.on("connection", () => (totals.opened += 1));
io.on("connection", (socket) => {
  const stream = { sent: 0, received: 0, gaps: 0, timer: undefined };

  socket.on("whoami", (ack) => ack({ node: opts.name, transport: socket.conn.transport.name }));
  socket.on("echo", (value, ack) => ack(value));
  socket.on("numbered", (n) => {
    if (n !== stream.received) {
      stream.gaps += 1;
      totals.gaps += 1;
    }
    stream.received = n + 1;
    totals.received += 1;
  });
  socket.on("start", (everyMs) => {
    clearInterval(stream.timer);
    stream.timer = setInterval(() => socket.emit("numbered", stream.sent++), everyMs);
  });
  socket.on("stop", (ack) => {
    clearInterval(stream.timer);
    ack({ sent: stream.sent, received: stream.received, gaps: stream.gaps });
  });
  socket.on("disconnect", (reason) => {
    clearInterval(stream.timer);
    // For whoever asks why a session did not live.
    if (!reason.includes("namespace")) say(`${socket.id} ended: ${reason}`);
  });
});

http.listen(opts.port, opts.host, () => say(`listening ${http.address().port}`));
