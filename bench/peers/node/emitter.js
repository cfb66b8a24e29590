// Emits so many events to a room with Node's emitter: `node emitter.js REDIS_URL COUNT`.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../tests/peers/node/package.json", import.meta.url));
const { createClient } = require("redis");
const { Emitter } = require("@socket.io/redis-emitter");

/** Events between two looks at the connection, so that nothing piles up. */
const AT_ONCE = 1000;

const [url, count] = process.argv.slice(2);
const client = createClient({ url });
await client.connect();
const emitter = new Emitter(client);
const text = "x".repeat(64);
for (let n = 0; n < Number(count); n++) {
  emitter.to("room").emit("news", text);
  if (n % AT_ONCE === AT_ONCE - 1) await client.ping();
}
await client.close();
