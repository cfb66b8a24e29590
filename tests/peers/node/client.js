// Runs N Socket.IO sessions and judges them. Prints one JSON line; exits 1 if anything was lost or refused.
//
// Every session sends and receives numbered messages for `--heartbeats` heartbeats; with --hold these count from the
// line `finish` on. All sessions share one keep-alive agent, so that one TCP connection carries
// requests of many sessions. Prints `connected` when all are. The line `targets PORT,PORT` on standard input
// changes the ports that requests go to; `targets settled` is printed when none is left on the old ones.
// With --survive a session may be cut: it must come back and then exchange without a loss.
import { io as io4 } from "socket.io-client";
import io2 from "socket.io-client-2";
import { CountingAgent } from "./agent.js";
import { commands, options, say } from "./options.js";

const opts = options({
  url: "http://127.0.0.1:3000",
  path: "/socket.io/",
  targets: "",
  count: 1,
  transports: "polling,websocket",
  eio: 4,
  heartbeats: 2,
  every: 250,
  sequential: false,
  hold: false,
  survive: false,
  header: [],
  deadline: 120000,
});

const agent = new CountingAgent();
agent.retarget(ports(opts.targets));
const transports = opts.transports.split(",");
const io = opts.eio === 3 ? io2 : io4;
const problems = [];
const finish = deferred();
const deadline = setTimeout(() => conclude("the deadline passed"), opts.deadline);

commands(async (word, rest) => {
  if (word === "finish") finish.resolve();
  if (word === "targets") {
    const old = ports(opts.targets).filter((port) => !ports(rest).includes(port));
    opts.targets = rest;
    agent.retarget(ports(rest));
    await Promise.all(old.map((port) => agent.settled(port)));
    await say("targets settled");
  }
});
if (!opts.hold) finish.resolve();

const sessions = [];
for (let i = 0; i < opts.count; i++) {
  sessions.push(new Session(i));
  if (opts.sequential) await Promise.all([sessions[i].connected, sessions[i].upgraded]);
}
await Promise.all(sessions.map((session) => session.connected));
await say("connected");
await Promise.all(sessions.map((session) => session.exchange()));
conclude();

function Session(index) {
  const connected = deferred();
  const upgraded = deferred();
  const socket = io(opts.url, {
    path: opts.path,
    transports,
    agent,
    forceNew: true,
    transportOptions: { polling: { extraHeaders: headers() }, websocket: { extraHeaders: headers() } },
  });
  const state = { node: undefined, transport: undefined, received: 0, sent: 0, gaps: 0, lost: 0, disconnects: 0, connectErrors: 0 };
  let life = 0;
  let cut = deferred();
  let back = deferred();
  let timer;

  socket.on("connect", () => {
    if (socket.io.engine.transport.name === transports.at(-1)) upgraded.resolve();
    socket.io.engine.once("upgrade", upgraded.resolve);
    connected.resolve();
    back.resolve();
  });
  socket.on("connect_error", (error) => {
    state.connectErrors += 1;
    if (!opts.survive) note(`session ${index}: connect_error: ${error.message ?? error} ${error.description ?? ""}`);
  });
  socket.on("disconnect", (reason) => {
    if (socket.finished) return;
    clearInterval(timer);
    state.disconnects += 1;
    if (!opts.survive) note(`session ${index}: disconnect: ${reason}`);
    back = deferred();
    cut.resolve("cut");
  });
  socket.on("numbered", (n) => {
    if (n !== state.received) {
      state.gaps += 1;
      note(`session ${index}: expected message ${state.received}, got ${n}`);
    }
    state.received = n + 1;
  });
  const onBeat = (act) => (opts.eio === 3 ? socket.on("pong", act) : socket.io.on("ping", act));
  const heartbeats = (wanted) =>
    new Promise((resolve) => (wanted === 0 ? resolve() : onBeat(() => --wanted === 0 && resolve())));

  this.state = state;
  this.connected = connected.promise;
  this.upgraded = upgraded.promise;
  this.exchange = async () => {
    for (;;) {
      cut = deferred();
      const outcome = await Promise.race([live(++life), cut.promise]);
      if (outcome !== "cut") return;
      if (!opts.survive) return socket.close();
      await back.promise;
    }
  };

  /** One uncut time of the session. A life that was cut stops at its next step. */
  async function live(own) {
    const still = () => (own === life ? undefined : new Promise(() => {}));
    Object.assign(state, { received: 0, sent: 0 });
    state.node = (await ask(socket, "whoami")).node;
    await still();
    await echoes(socket, index);
    await still();
    socket.emit("start", opts.every);
    timer = setInterval(() => socket.emit("numbered", state.sent++), opts.every);
    await Promise.all([upgraded.promise, finish.promise]);
    await heartbeats(opts.heartbeats);
    await still();
    clearInterval(timer);
    const server = await ask(socket, "stop");
    await still();
    state.transport = socket.io.engine.transport.name;
    state.lost = Math.abs(server.sent - state.received) + Math.abs(state.sent - server.received);
    state.gaps += server.gaps;
    socket.finished = true;
    agent.closes(socket.io.engine.id);
    socket.disconnect();
  }
}

/** Text beyond ASCII and bytes come back as they were, on the first transport and while it is upgraded. */
async function echoes(socket, index) {
  const text = `größe ${index} \u2028 \u{1f41a}`;
  const bytes = Buffer.from(Array.from({ length: 300 }, (_, n) => (n + index) % 256));
  const back = await ask(socket, "echo", { text, bytes });
  if (back.text !== text || Buffer.compare(Buffer.from(back.bytes), bytes) !== 0) note(`session ${index}: a changed echo`);
}

function ask(socket, event, ...args) {
  return new Promise((resolve) => socket.emit(event, ...args, resolve));
}

function headers() {
  return Object.fromEntries(opts.header.map((line) => line.split(": ")));
}

function ports(text) {
  return text.split(",").filter(Boolean).map(Number);
}

function note(text) {
  if (problems.length < 10) problems.push(text);
}

function deferred() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

async function conclude(failure) {
  clearTimeout(deadline);
  if (failure) note(failure);
  const states = sessions.map((session) => session.state);
  const sum = (key) => states.reduce((total, state) => total + state[key], 0);
  const count = (key) => {
    const counts = {};
    for (const state of states) counts[state[key]] = (counts[state[key]] ?? 0) + 1;
    return counts;
  };
  const refused = Object.entries(agent.statuses).filter(([status]) => status >= 400);
  const result = {
    sessions: states.length,
    sent: sum("sent"),
    received: sum("received"),
    lost: sum("lost"),
    gaps: sum("gaps"),
    connect_errors: sum("connectErrors"),
    disconnects: sum("disconnects"),
    nodes: count("node"),
    transports: count("transport"),
    statuses: agent.statuses,
    requests: agent.requests,
    connections: agent.connections,
    shared_connections: agent.sharedConnections,
    problems: [...problems, ...agent.refusals],
  };
  const interrupted = result.connect_errors + result.disconnects + refused.length;
  const bad = result.lost + result.gaps + problems.length + (opts.survive ? 0 : interrupted);
  await say(JSON.stringify({ ok: bad === 0, ...result }));
  process.exit(bad === 0 ? 0 : 1);
}
