// The reference of the feature suites: what `crates/server/examples/features.rs` does, on Node.
//
// With `--nodes N` it is N servers on ports of their own, joined inside the process. Prints `listening PORT PORT ...`.
// A target is `{via: "io" | "socket" | "broadcast", to: [rooms], except: [rooms], flags: ["volatile", "local", "plain"]}`.
//
// Events of a client, the last argument an acknowledgement where `->` stands:
//   whoami -> {node, id, transport, namespace, rooms}      handshake -> {auth, query, headers, address, secure, xdomain, time, issued, url}
//   echo ...args (event echo-back)                          echo-ack ...args -> ...args
//   ask ms event args -> {value} | {error}                  slow ms -> ms
//   join rooms ->    leave room ->                          put key value -> data
//   cast target event args -> true                          cast-ack target ms event args -> {error, answers}
//   fetch target -> [{id, rooms, data, query}]              each target operation argument -> count (emit, join, leave, disconnect)
//   sockets-join target rooms ->   sockets-leave target rooms ->   sockets-disconnect target close ->
//   server-side text -> true (others: event heard-server-side)     server-side-ask text -> {error, answers}
//   burst count -> (volatile events `drop` n)               once -> true (the handler then removes itself)
//   remember key ->                                         reason key -> {reason, disconnecting, rooms} | null
//   kick close                                              outgoing -> names of the events sent
//   errors -> [{code, message}] of refused requests         any:* (event any-heard name args)
//   forbidden (refused by a middleware of the socket: event middleware-error text)
// Namespaces: `/` and `/custom`; `/guarded` (auth.token "open", else an error with data); `/room-N` (event welcome name).
// A request with the header `x-refuse` is refused. Answers carry `x-node`, first ones `x-first`.
import { createServer } from "node:http";
import { deserialize, serialize } from "node:v8";
import { ClusterAdapterWithHeartbeat } from "socket.io-adapter";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";
import { commands, options, say } from "./options.js";

const opts = options({
  nodes: 1,
  host: "127.0.0.1",
  eio3: false,
  parser: "json",
  cookie: false,
  deflate: false,
  cors: false,
  transports: "polling,websocket",
  "ping-interval": 25000,
  "ping-timeout": 20000,
  "upgrade-timeout": 10000,
  "max-payload": 1000000,
  "end-with-stdin": false,
});

/** Carries the messages of the nodes of this process to one another, as copies. */
class Local extends ClusterAdapterWithHeartbeat {
  static members = new Set();

  constructor(nsp) {
    super(nsp, {});
    Local.members.add(this);
    this.init();
  }

  deliver(act) {
    for (const member of Local.members) {
      if (member !== this && member.nsp.name === this.nsp.name) setImmediate(act, member);
    }
  }

  doPublish(message) {
    const bytes = serialize(message);
    this.deliver((member) => member.onMessage(deserialize(bytes)));
    return Promise.resolve("");
  }

  doPublishResponse(requester, response) {
    const bytes = serialize(response);
    this.deliver((member) => member.uid === requester && member.onResponse(deserialize(bytes)));
    return Promise.resolve();
  }

  close() {
    super.close();
    Local.members.delete(this);
  }
}

const reasons = new Map();
const servers = [];
for (let index = 0; index < opts.nodes; index++) servers.push(await start(`node-${index + 1}`));
await Promise.all(servers.flatMap((server) => ["/", "/custom", "/guarded"].map((name) => server.io.of(name).adapter.serverCount())));
say(`listening ${servers.map((server) => server.port).join(" ")}`);

// `close` ends all nodes as an application does; the process ends with its standard input.
commands(async (word) => {
  if (word !== "close") return;
  await Promise.all(servers.map((server) => new Promise((done) => server.io.close(done))));
  await say("closed");
});

function start(node) {
  const http = createServer((request, response) => response.writeHead(404).end());
  const io = new Server(http, {
    transports: opts.transports.split(","),
    allowEIO3: opts.eio3,
    cookie: opts.cookie && { name: "io", path: "/", httpOnly: true, sameSite: "lax" },
    cors: opts.cors ? { origin: true, credentials: true } : undefined,
    parser: opts.parser === "msgpack" ? msgpack : undefined,
    perMessageDeflate: opts.deflate,
    pingInterval: opts["ping-interval"],
    pingTimeout: opts["ping-timeout"],
    upgradeTimeout: opts["upgrade-timeout"],
    maxHttpBufferSize: opts["max-payload"],
    allowRequest: (request, done) => done(null, request.headers["x-refuse"] === undefined),
    adapter: opts.nodes > 1 ? Local : undefined,
  });
  const errors = [];
  io.engine.on("connection_error", ({ code, message }) => errors.push({ code, message }));
  io.engine.on("initial_headers", (headers) => (headers["x-first"] = "yes"));
  io.engine.on("headers", (headers) => (headers["x-node"] = node));

  const guarded = io.of("/guarded");
  guarded.use((socket, next) => {
    socket.data.seen = ["first"];
    next();
  });
  guarded.use((socket, next) => {
    socket.data.seen.push("second");
    if (socket.handshake.auth.token === "open") return next();
    next(Object.assign(new Error("not allowed"), { data: { code: 7, hint: "say open" } }));
  });
  guarded.on("connection", (socket) => serve(io, guarded, socket, node, errors));
  io.of(/^\/room-\d+$/).on("connection", (socket) => {
    socket.emit("welcome", socket.nsp.name);
    serve(io, socket.nsp, socket, node, errors);
  });
  for (const name of ["/", "/custom"]) {
    const namespace = io.of(name);
    namespace.on("connection", (socket) => serve(io, namespace, socket, node, errors));
    namespace.on("say", (from, text) => namespace.local.emit("heard-server-side", node, from, text));
    namespace.on("ask", (from, text, answer) => answer({ node, from, text }));
  }
  return new Promise((resolve) => http.listen(0, opts.host, () => resolve({ io, port: http.address().port })));
}

function serve(io, namespace, socket, node, errors) {
  const aim = ({ via = "io", to = [], except = [], flags = [] }) => {
    let operator = { io: namespace, socket, broadcast: socket.broadcast }[via];
    if (to.length > 0) operator = operator.to(to);
    if (except.length > 0) operator = operator.except(except);
    if (flags.includes("volatile")) operator = operator.volatile;
    if (flags.includes("local")) operator = operator.local;
    if (flags.includes("plain")) operator = operator.compress(false);
    return operator;
  };
  const outgoing = [];
  socket.onAnyOutgoing((name) => outgoing.push(name));
  socket.onAny((name, ...args) => {
    if (String(name).startsWith("any:")) socket.emit("any-heard", name, args);
  });
  socket.use(([name], next) => (name === "forbidden" ? next(new Error("forbidden here")) : next()));
  socket.on("error", (error) => socket.emit("middleware-error", error.message));

  socket.on("whoami", (ack) =>
    ack({ node, id: socket.id, transport: socket.conn.transport.name, namespace: namespace.name, rooms: [...socket.rooms].sort() }),
  );
  socket.on("handshake", (ack) => {
    const { auth, query, headers, address, secure, xdomain, time, issued, url } = socket.handshake;
    ack({ auth, query, headers: { ...headers }, address, secure, xdomain, time, issued, url });
  });
  socket.on("echo", (...args) => socket.emit("echo-back", ...args));
  socket.on("echo-ack", (...args) => args.pop()(...args));
  socket.on("ask", async (ms, event, args, ack) => {
    try {
      ack({ value: await socket.timeout(ms).emitWithAck(event, ...args) });
    } catch {
      ack({ error: "timeout" });
    }
  });
  socket.on("slow", (ms, ack) => setTimeout(() => ack(ms), ms));
  socket.on("join", (rooms, ack) => {
    socket.join(rooms);
    ack();
  });
  socket.on("leave", (room, ack) => {
    socket.leave(room);
    ack();
  });
  socket.on("put", (key, value, ack) => {
    socket.data[key] = value;
    ack(socket.data);
  });
  socket.on("cast", (target, event, args, ack) => {
    aim(target).emit(event, ...args);
    ack(true);
  });
  socket.on("cast-ack", (target, ms, event, args, ack) => {
    aim(target)
      .timeout(ms)
      .emit(event, ...args, (error, answers) => ack({ error: error ? "timeout" : null, answers }));
  });
  socket.on("fetch", async (target, ack) => {
    const sockets = await aim(target).fetchSockets();
    ack(sockets.map(({ id, rooms, data, handshake }) => ({ id, rooms: [...rooms].sort(), data, query: handshake.query.name ?? null })));
  });
  socket.on("each", async (target, operation, argument, ack) => {
    const sockets = await aim(target).fetchSockets();
    for (const remote of sockets) {
      if (operation === "emit") remote.emit("to-each", argument);
      else remote[operation](argument);
    }
    ack(sockets.length);
  });
  socket.on("sockets-join", (target, rooms, ack) => {
    aim(target).socketsJoin(rooms);
    ack();
  });
  socket.on("sockets-leave", (target, rooms, ack) => {
    aim(target).socketsLeave(rooms);
    ack();
  });
  socket.on("sockets-disconnect", (target, close, ack) => {
    aim(target).disconnectSockets(close);
    ack();
  });
  socket.on("server-side", (text, ack) => {
    namespace.serverSideEmit("say", node, text);
    ack(true);
  });
  socket.on("server-side-ask", (text, ack) => {
    namespace.serverSideEmit("ask", node, text, (error, answers) => ack({ error: error ? "timeout" : null, answers }));
  });
  socket.on("burst", (count, ack) => {
    for (let n = 0; n < count; n++) socket.volatile.emit("drop", n);
    ack();
  });
  socket.on("once", function once(ack) {
    socket.off("once", once);
    ack(true);
  });
  let key;
  let rooms;
  socket.on("remember", (as, ack) => {
    key = as;
    ack();
  });
  socket.on("reason", (as, ack) => ack(reasons.get(as) ?? null));
  socket.on("disconnecting", (reason) => (rooms = { disconnecting: reason, rooms: [...socket.rooms].sort() }));
  socket.on("disconnect", (reason) => {
    if (key !== undefined) reasons.set(key, { reason, ...rooms });
  });
  socket.on("kick", (close) => socket.disconnect(close));
  socket.on("outgoing", (ack) => ack(outgoing));
  socket.on("errors", (ack) => ack(errors));
}
