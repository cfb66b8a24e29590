// A client that prints what it hears: `connected ID`, then each event as a JSON list, and `disconnected REASON`.
//
// node listener.js --url http://127.0.0.1:3000 [--namespace /chat] [--name ada] [--join a,b] [--end-with-stdin]
// `--join` joins by the event `join` of cluster-node.js. A line of standard input is an event to send, as a JSON list; what
// it is acknowledged with comes as `answer JSON`.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";
import { options, say } from "./options.js";

const opts = options({ url: "", namespace: "/", name: "", join: "", "end-with-stdin": false });

const socket = io(opts.url + (opts.namespace === "/" ? "" : opts.namespace), {
  transports: ["websocket"],
  reconnection: false,
  auth: { name: opts.name },
});
socket.onAny((...args) => say(JSON.stringify(args)));
socket.on("disconnect", (reason) => say(`disconnected ${reason}`));
socket.on("connect_error", (error) => say(`refused ${error.message}`));
socket.on("connect", async () => {
  if (opts.join) await socket.emitWithAck("join", opts.join.split(","));
  say(`connected ${socket.id}`);
});
if (opts["end-with-stdin"]) {
  createInterface({ input: process.stdin })
    .on("line", async (line) => say(`answer ${JSON.stringify(await socket.emitWithAck(...JSON.parse(line)))}`))
    .on("close", () => process.exit(0));
}
