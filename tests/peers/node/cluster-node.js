// A node of a cluster, on Node: the reference for nodes of ours. Prints `listening PORT`.
//
// node cluster-node.js --redis redis://127.0.0.1:6379 [--adapter redis|sharded|streams] [--name a] [--specific]
//   [--mode dynamic|dynamic-private|static] [--sharded-pubsub]; redis+cluster://host:port,… is a Redis Cluster
// On the namespaces `/` and `/other` clients command it by events, and get what came of it as an acknowledgement:
// `join rooms`, `emit how event args`, `ask how event args`, `fetch how`, `make how what rooms`, `server event args`,
// `server-ask event args`, `heard`, `rooms`. `how` is {rooms, except, volatile, compress, local, timeout, self}.
import { createServer } from "node:http";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient, createCluster } from "redis";
import { Server } from "socket.io";
import { endWithStdin, options, say } from "./options.js";

const opts = options({ redis: "", adapter: "redis", name: "node", port: 0, specific: false, interest: false, mode: "dynamic", "sharded-pubsub": false, timeout: 5000, "end-with-stdin": false });
if (opts["end-with-stdin"]) endWithStdin();

const quietly = (client) => client.on("error", () => {});
const cluster = opts.redis.match(/^redis\+cluster:\/\/(.*)$/)?.[1].split(",");
const publisher = quietly(
  cluster ? createCluster({ rootNodes: cluster.map((node) => ({ url: `redis://${node}` })) }) : createClient({ url: opts.redis }),
);
const subscriber = quietly(publisher.duplicate());
await Promise.all([publisher.connect(), subscriber.connect()]);

const makeAdapter = {
  redis: () =>
    createAdapter(publisher, subscriber, {
      requestsTimeout: opts.timeout,
      publishOnSpecificResponseChannel: opts.specific,
    }),
  sharded: () => createShardedAdapter(publisher, subscriber, { subscriptionMode: opts.mode }),
  streams: () => createStreamsAdapter(publisher, { useShardedPubSub: opts["sharded-pubsub"] }),
}[opts.adapter];

const http = createServer((request, response) => response.writeHead(404).end());
const io = new Server(http, { adapter: makeAdapter(), maxHttpBufferSize: 10_000_000 });

/** Aims a broadcast. */
function aim(namespace, socket, how = {}) {
  let target = how.self ? socket : namespace;
  for (const room of how.rooms ?? []) target = target.to(room);
  for (const room of how.except ?? []) target = target.except(room);
  if (how.volatile) target = target.volatile;
  if (how.local) target = target.local;
  if (how.compress !== undefined) target = target.compress(how.compress);
  if (how.timeout) target = target.timeout(how.timeout);
  return target;
}

function serve(namespace) {
  const heard = [];
  namespace.on("told", (...args) => heard.push(args));
  namespace.on("asked", (...args) => args.pop()(`${opts.name} ${args.join(" ")}`));
  namespace.on("connection", (socket) => {
    socket.data = { name: socket.handshake.auth.name ?? "", node: opts.name };
    const on = (event, act) =>
      socket.on(event, async (...args) => {
        const ack = args.pop();
        try {
          ack({ ok: (await act(...args)) ?? null });
        } catch (error) {
          ack({ error: error.message });
        }
      });
    on("join", (rooms) => socket.join(rooms));
    on("leave", (room) => socket.leave(room));
    on("emit", (how, event, ...args) => void aim(namespace, socket, how).emit(event, ...args));
    on("ask", async (how, event, ...args) => aim(namespace, socket, how).emitWithAck(event, ...args));
    on("fetch", async (how) => {
      const sockets = await aim(namespace, socket, how).fetchSockets();
      return sockets.map(({ id, rooms, data }) => ({ id, rooms: [...rooms].filter((room) => room !== id).sort(), data }));
    });
    on("make", (how, what, rooms) => {
      const target = aim(namespace, socket, how);
      if (what === "join") target.socketsJoin(rooms);
      if (what === "leave") target.socketsLeave(rooms);
      if (what === "disconnect") target.disconnectSockets(rooms === true);
    });
    on("server", (event, ...args) => void namespace.serverSideEmit(event, ...args));
    on("server-ask", (event, ...args) => namespace.serverSideEmitWithAck(event, ...args));
    on("heard", () => heard);
    on("rooms", async () => [...(await namespace.adapter.allRooms())].sort());
  });
}
serve(io.of("/"));
serve(io.of("/other"));

http.listen(opts.port, "127.0.0.1", () => say(`listening ${http.address().port}`));
