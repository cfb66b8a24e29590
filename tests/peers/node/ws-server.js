// A plain WebSocket echo server. The first message of a connection is the server's name. Prints `listening PORT`.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { endWithStdin, options, say } from "./options.js";

const opts = options({ name: "ws", host: "127.0.0.1", port: 0, "end-with-stdin": false });
if (opts["end-with-stdin"]) endWithStdin();

const http = createServer((request, response) => {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ name: opts.name, sessions: sockets.clients.size }));
});
const sockets = new WebSocketServer({ server: http, maxPayload: 64 * 1024 * 1024, perMessageDeflate: true });

sockets.on("connection", (socket) => {
  socket.send(opts.name);
  socket.on("message", (data, isBinary) => {
    const text = isBinary ? "" : data.toString();
    if (text.startsWith("close ")) socket.close(Number(text.slice(6)), "as asked");
    else if (text === "terminate") socket.terminate();
    else socket.send(data, { binary: isBinary });
  });
});

http.listen(opts.port, opts.host, () => say(`listening ${http.address().port}`));
