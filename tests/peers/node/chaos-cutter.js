// Stands between clients and a server and cuts connections in ways that networks do. Prints `listening PORT`.
//
// node chaos-cutter.js --target 127.0.0.1:3000 [--seed 1]
// Standard input: `cut KIND COUNT`, `COUNT` a number or `all`; answered with `cut KIND NUMBER`. Kinds: `reset` and `fin` end both
// sides; `hole` keeps both sides open and passes nothing any more; `half` resets the client and leaves the server in the dark.
import { connect, createServer } from "node:net";
import { commands, options, say } from "./options.js";
import { random } from "./chaos/random.js";

const opts = options({ target: "", seed: 1 });
const [host, port] = opts.target.split(":");
const chance = random(opts.seed);
const open = new Set();
// Connections in a hole; they end with this process.
const held = new Set();

const server = createServer({ allowHalfOpen: true }, (client) => {
  const pair = { client, server: connect({ host, port: Number(port), allowHalfOpen: true }) };
  open.add(pair);
  const end = () => {
    open.delete(pair);
    if (held.has(pair)) return;
    client.destroy();
    pair.server.destroy();
  };
  for (const side of [client, pair.server]) side.setNoDelay(true).on("error", end).on("close", end);
  client.pipe(pair.server);
  pair.server.pipe(client);
});

function silence(pair) {
  held.add(pair);
  for (const side of [pair.client, pair.server]) side.unpipe().pause();
}

const kinds = {
  reset: ({ client, server }) => {
    client.resetAndDestroy();
    server.resetAndDestroy();
  },
  fin: ({ client, server }) => {
    for (const side of [client, server]) side.unpipe().resume().end();
  },
  hole: silence,
  half: (pair) => {
    silence(pair);
    pair.client.resetAndDestroy();
  },
};

commands((word, rest) => {
  if (word !== "cut") return;
  const [kind, count] = rest.split(" ");
  const left = [...open];
  let cut = 0;
  for (; left.length > 0 && (count === "all" || cut < Number(count)); cut++) {
    const [pair] = left.splice(Math.floor(chance() * left.length), 1);
    open.delete(pair);
    kinds[kind](pair);
  }
  say(`cut ${kind} ${cut}`);
});

server.listen(0, "127.0.0.1", () => say(`listening ${server.address().port}`));
