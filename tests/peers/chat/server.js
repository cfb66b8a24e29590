// A tiny chat replica for `cargo xtask try`. Prints `listening PORT`.
//
// There is no bus between the replicas: each has a room of its own, and the page says so.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { endWithStdin, options, say } from "../node/options.js";

const require = createRequire(new URL("../node/package.json", import.meta.url));
const { Server } = require("socket.io");

const opts = options({ name: "chat", host: "127.0.0.1", port: 0, "end-with-stdin": false });
if (opts["end-with-stdin"]) endWithStdin();

const page = readFileSync(new URL("index.html", import.meta.url));
const http = createServer((request, response) => {
  const isPage = request.url.split("?")[0] === "/";
  response.statusCode = isPage ? 200 : 404;
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(isPage ? page : "");
});

const io = new Server(http);
io.on("connection", (socket) => {
  socket.emit("node", opts.name);
  socket.on("say", (text) => io.emit("said", { from: socket.id.slice(0, 5), text: String(text).slice(0, 500) }));
});

http.listen(opts.port, opts.host, () => say(`listening ${http.address().port}`));
