// The clients of the cluster suite, one on each node, and who acts: a node on the word of its client, or an emitter.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { io } from "socket.io-client";
import { sleep, within } from "../suite.js";

/** A client: its events in order, and commands to its node. */
class Client {
  events = [];
  #waiting = [];
  #ready = new Set();

  constructor(t, url, namespace, name) {
    this.name = name;
    this.socket = io(url + (namespace === "/" ? "" : namespace), {
      forceNew: true,
      transports: ["websocket"],
      reconnection: false,
      auth: { name },
    });
    t.after(() => this.socket.disconnect());
    this.socket.onAny((...args) => {
      if (args[0] === "ready") return void this.#ready.add(args[1]);
      const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
      if (args[0] !== "silence") ack?.(`${name} heard ${args.slice(1).join(" ")}`);
      this.events.push(args);
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  /** Whether an event of `reaches` has come. */
  isReady(word) {
    return this.#ready.has(word);
  }

  async connected() {
    if (!this.socket.connected) await within(new Promise((resolve) => this.socket.once("connect", resolve)), "connect", 20000);
    return this;
  }

  /** The reason why it is disconnected, when it is. */
  gone() {
    return within(new Promise((resolve) => this.socket.once("disconnect", resolve)), "the disconnect", 20000);
  }

  async command(...args) {
    return outcome(await within(this.socket.emitWithAck(...args), `the answer to ${args[0]}`, 30000));
  }

  /** The next event. */
  async next() {
    while (this.events.length === 0) {
      await within(new Promise((resolve) => this.#waiting.push(resolve)), "an event", 20000);
    }
    return this.events.shift();
  }

  async hears(...expected) {
    assert.deepEqual(await this.next(), expected, `${this.name} hears something else`);
  }
}

/**
 * A program that emits into the cluster without being a node. It takes lines `[id, namespace, command, …]` with commands of
 * cluster-node.js, bytes as `{"$bytes": base64}`, and answers each with `[id, {ok}]` or `[id, {error}]`.
 */
export class Emitter {
  #process;
  #waiting = new Map();

  constructor([program, ...args]) {
    this.#process = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#process.stdout }).on("line", (line) => {
      const [id, answer] = JSON.parse(line);
      this.#waiting.get(id)?.(answer);
      this.#waiting.delete(id);
    });
  }

  /** Who emits into a namespace. */
  of(namespace) {
    return { command: (...args) => this.#command(namespace, ...args) };
  }

  async #command(...args) {
    const id = unique();
    const answer = new Promise((resolve) => this.#waiting.set(id, resolve));
    const encoded = ({ data }) => ({ $bytes: Buffer.from(data).toString("base64") });
    const line = JSON.stringify([id, ...args], (key, value) => (value?.type === "Buffer" ? encoded(value) : value));
    this.#process.stdin.write(line + "\n");
    return outcome(await within(answer, `the emitter's answer to ${args[1]}`, 20000));
  }
}

function outcome({ ok, error }) {
  if (error !== undefined) throw new Error(error);
  return ok;
}

export const unique = () => randomBytes(6).toString("hex");

/**
 * A client on each node, all in a room of the case's own and each in one that ends with its name. `a` is who acts: a client
 * of the node at `acting.at`, or the emitter. `others` are the clients of all other nodes, `all` with that of `a`.
 */
export async function gather(t, acting, namespace = "/") {
  const urls = acting.urls.map((_, n) => acting.urls[(acting.at + n) % acting.urls.length]);
  const all = await Promise.all(urls.map((url, n) => new Client(t, url, namespace, "abcdef"[n]).connected()));
  const room = unique();
  await Promise.all(all.map((client) => client.command("join", [room, `${room}-${client.name}`])));
  const [a, others] = acting.emitter ? [acting.emitter.of(namespace), all] : [all[0], all.slice(1)];
  const pairs = all.flatMap((from) => all.filter((to) => to !== from).map((to) => [from, to]));
  if (acting.emitter) pairs.push(...all.map((to) => [a, to]));
  const rooms = pairs.flatMap(([from, to]) => [reaches(from, to, room), reaches(from, to, `${room}-${to.name}`)]);
  await Promise.all(rooms);
  const own = (client) => `${room}-${client.name}`;
  return { a, others, all, room, own };
}

/** Waits until what is sent to a room reaches a client of it: some ask for the channel of a room when it is joined. */
export async function reaches(from, to, room, how = {}) {
  const word = unique();
  await settled(async () => {
    await from.command("emit", { ...how, rooms: [room] }, "ready", word);
    return to.isReady(word);
  });
}

/** Waits until something that travels between nodes has arrived. */
export async function settled(holds) {
  const end = Date.now() + 20000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error("it did not settle");
    await sleep(20);
  }
}

/** Fails if one of these clients hears something before an event that all of them are sent. */
export async function nothingMore({ a, room }, clients) {
  const word = unique();
  await a.command("emit", { rooms: [room] }, "mark", word);
  await Promise.all(clients.map((client) => client.hears("mark", word)));
}
