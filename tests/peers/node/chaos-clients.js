// Clients that are told in numbers what they must hear while everything around them breaks, and what came of it.
//
// node chaos-clients.js --url http://127.0.0.1:3000 --outside http://127.0.0.1:3001 [--clients 100] [--rooms 10]
//   [--rate 50] [--publishers 2] [--through] [--patience 30] [--seed 1]
// Prints `joined` when all are in their rooms; on `traffic` publishers begin; on `finish` they stop, and when everything
// has come, or nothing comes any more, one JSON line tells the verdict (see chaos/verdict.js). Publishers speak to `outside`, a
// node that nothing happens to, or `--through` the same door as the clients.
import { io } from "socket.io-client";
import { Member } from "./chaos/member.js";
import { Traffic } from "./chaos/traffic.js";
import { judge } from "./chaos/verdict.js";
import { commands, options, say } from "./options.js";

const opts = options({
  url: "", outside: "", clients: 100, rooms: 10, rate: 50, publishers: 2, through: false, patience: 30, seed: 1,
});

const began = Date.now();
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const room = (index) => `room-${index % opts.rooms}`;
// As browsers are: most upgrade, some begin with a WebSocket, some cannot have one.
const transports = [["polling", "websocket"], ["polling", "websocket"], ["websocket"], ["polling", "websocket"], ["polling"]];

const members = Array.from({ length: opts.clients }, (_, index) => {
  const rooms = [...new Set([room(index), room(index * 7 + 3)])];
  return new Member(io, opts.url, `client ${index}`, rooms, transports[index % transports.length]);
});
const publishers = Array.from({ length: opts.publishers }, (_, index) => {
  return new Member(io, opts.through ? opts.url : opts.outside, `publisher ${index}`, [], ["websocket"]);
});
const traffic = new Traffic(publishers, opts);

async function until(holds) {
  while (!holds()) await sleep(50);
}

/** Waits until everybody has everything, or until nothing has happened for the patience. */
async function settled() {
  let last = Date.now();
  let before;
  while (Date.now() - last < opts.patience * 1000) {
    if (traffic.pending === 0 && members.every((member) => member.isPresent && member.hasAll(traffic))) return;
    const now = members.reduce((sum, member) => sum + member.heard + member.connects, traffic.pending);
    if (now !== before) [before, last] = [now, Date.now()];
    await sleep(200);
  }
}

let state = "joining";
commands(async (word) => {
  if (word === "traffic" && state === "joined") {
    state = "traffic";
    traffic.start();
    await until(() => traffic.accepted.size > 0);
    say("traffic");
  }
  if (word === "finish" && state === "traffic") {
    state = "finishing";
    traffic.stop();
    await settled();
    // What comes twice comes right behind.
    await sleep(500);
    const verdict = judge(members, publishers, traffic);
    await say(JSON.stringify({ ...verdict, seconds: Math.round((Date.now() - began) / 1000) }));
    process.exit(verdict.ok ? 0 : 1);
  }
});

await until(() => [...members, ...publishers].every((member) => member.isPresent));
state = "joined";
say("joined");
