// The application of `limpet-bench server` on Node's socket.io with ws, default options.
//
// Listens on the address of its argument and prints `listening PORT`. `echo` is sent back, `ask` is acknowledged, `news` goes to everybody, and `burst` four times.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../tests/peers/node/package.json", import.meta.url));
const { Server } = require("socket.io");

if (process.argv.includes("--version")) {
  const engine = createRequire(require.resolve("engine.io"));
  const version = (name) => engine(`${name}/package.json`).version;
  console.log(`Node ${process.version}, socket.io ${version("socket.io")}, ws ${version("ws")}`);
  process.exit(0);
}

const http = createServer((request, response) => {
  response.statusCode = 404;
  response.end();
});
const io = new Server(http);
io.on("connection", (socket) => {
  socket.on("echo", (text) => socket.emit("echo", text));
  socket.on("ask", (text, answer) => answer(text));
  socket.on("news", (text) => io.emit("news", text));
  socket.on("burst", (text) => {
    for (let n = 0; n < 4; n++) io.emit("news", text);
  });
});
http.listen({ host: process.argv[2] ?? "127.0.0.1", port: 0 }, () => console.log(`listening ${http.address().port}`));
