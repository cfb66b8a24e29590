// A client that prints what it hears: `connected ID`, then each event as a JSON list, and `disconnected REASON`.
//
// node listener.js --url http://127.0.0.1:3000 [--namespace /chat] [--join a,b]   (joins by the event `join` of cluster-node.js)
import { io } from "socket.io-client";
import { endWithStdin, options, say } from "./options.js";

const opts = options({ url: "", namespace: "/", join: "", "end-with-stdin": false });
if (opts["end-with-stdin"]) endWithStdin();

const socket = io(opts.url + (opts.namespace === "/" ? "" : opts.namespace), { transports: ["websocket"], reconnection: false });
socket.onAny((...args) => say(JSON.stringify(args)));
socket.on("disconnect", (reason) => say(`disconnected ${reason}`));
socket.on("connect_error", (error) => say(`refused ${error.message}`));
socket.on("connect", async () => {
  if (opts.join) await socket.emitWithAck("join", opts.join.split(","));
  say(`connected ${socket.id}`);
});
