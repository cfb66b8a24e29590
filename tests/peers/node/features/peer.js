// One client under test, of version 4 or 2, and what the cases need to talk with it.
import assert from "node:assert/strict";
import { io as io4 } from "socket.io-client";
import io2 from "socket.io-client-2";
import msgpack from "socket.io-msgpack-parser";
import { options } from "../options.js";
import { Inbox, within } from "../suite.js";

export const opts = options({
  url: "http://127.0.0.1:3000", // several, separated by commas, are nodes of one cluster
  nodes: 1,
  client: 4,
  transports: "polling,websocket",
  parser: "json",
  features: "",
  name: "",
  skip: "",
});
export const urls = opts.url.split(",");
export const transports = opts.transports.split(",");
export const isOld = opts.client === 2;
export const eio = isOld ? 3 : 4;

let connections = 0;
let names = 0;

/** A name that no other case uses. */
export function unique(word) {
  return `${word}-${process.pid}-${++names}`;
}

/** The URL of the next connection; they go round the nodes. */
export function nextUrl() {
  return urls[connections++ % urls.length];
}

export class Peer {
  #inboxes = new Map();

  constructor(socket) {
    this.socket = socket;
    this.disconnected = new Promise((resolve) => socket.on("disconnect", resolve));
  }

  /** Makes a client without waiting for its connection. */
  static make(t, { namespace = "/", url = nextUrl(), auth, query, ...more } = {}) {
    const settings = { transports, forceNew: true, reconnection: false, ...more };
    if (opts.parser === "msgpack") settings.parser = msgpack;
    // Version 2 has no payload: the query of a namespace takes its place.
    if (isOld) settings.query = { ...query, ...auth };
    else Object.assign(settings, { auth, query });
    const socket = (isOld ? io2 : io4)(url + namespace, settings);
    t.after(() => (socket.io.engine ? socket.io.engine.close() : socket.close()));
    return new Peer(socket);
  }

  static async connect(t, settings) {
    const peer = Peer.make(t, settings);
    await peer.connected();
    return peer;
  }

  async connected() {
    const { socket } = this;
    if (socket.connected) return;
    await within(
      new Promise((resolve, reject) => {
        socket.once("connect", resolve);
        socket.once("connect_error", (error) => reject(new Error(`connect_error: ${error.message ?? error}`)));
        if (isOld) socket.once("error", (error) => reject(new Error(`error: ${JSON.stringify(error)}`)));
      }),
      "connect",
      10000,
    );
  }

  /** The refusal of a connection, as `{message, data}`; version 2 gets one value. */
  async refused() {
    const event = isOld ? "error" : "connect_error";
    const refusal = new Promise((resolve, reject) => {
      this.socket.once(event, resolve);
      this.socket.once("connect", () => reject(new Error("it was let in")));
    });
    const error = await within(refusal, event);
    return isOld ? error : { message: error.message, data: error.data };
  }

  async upgraded() {
    const { engine } = this.socket.io;
    if (engine.transport.name !== transports.at(-1)) {
      await within(new Promise((resolve) => engine.once("upgrade", resolve)), "the upgrade");
    }
  }

  /** Another namespace over the same connection. */
  async beside(namespace, auth) {
    const peer = new Peer(this.socket.io.socket(namespace, isOld ? { query: auth } : { auth }));
    await peer.connected();
    return peer;
  }

  /** What arrives of an event: lists of arguments. Name it before it can arrive. */
  on(event) {
    if (!this.#inboxes.has(event)) {
      const inbox = new Inbox();
      this.#inboxes.set(event, inbox);
      this.socket.on(event, (...args) => inbox.push(args));
    }
    return this.#inboxes.get(event);
  }

  next(event) {
    return this.on(event).next(`the event ${event}`);
  }

  emit(event, ...args) {
    this.socket.emit(event, ...args);
  }

  /** The arguments of an acknowledgement. */
  askAll(event, ...args) {
    return within(new Promise((resolve) => this.socket.emit(event, ...args, (...answer) => resolve(answer))), `the ack of ${event}`, 8000);
  }

  /** Its first argument. */
  async ask(event, ...args) {
    return (await this.askAll(event, ...args))[0];
  }

  whoami() {
    return this.ask("whoami");
  }

  cast(target, event, ...args) {
    return this.ask("cast", target, event, args);
  }
}

/** As many clients as there are nodes, one on each; with one node, as many as `least` says. */
export async function spread(t, settings = {}, least = 3) {
  const found = new Map();
  const others = [];
  // A balancer that looks for the node with the fewest sessions goes on to the next only while the others stay.
  for (let tries = 0; found.size < opts.nodes && tries < 12 * opts.nodes; tries++) {
    const peer = await Peer.connect(t, { url: urls[tries % urls.length], ...settings });
    const { node } = await peer.whoami();
    if (found.has(node)) others.push(peer);
    else found.set(node, peer);
  }
  assert.equal(found.size, opts.nodes, "every node is reached");
  const peers = [...found.values()];
  while (peers.length < least) peers.push(others.pop() ?? (await Peer.connect(t, settings)));
  for (const peer of others) peer.socket.disconnect();
  for (const peer of peers) peer.id = (await peer.whoami()).id;
  return peers;
}

/** Waits until `peers` have what `from` sent before: a broadcast overtakes none of the same node. */
export async function fence(from, peers) {
  const event = unique("fence");
  const heard = peers.map((peer) => peer.next(event));
  await from.cast({ via: "io" }, event);
  await Promise.all(heard);
}

/** Asks until the answer is as wanted: what other nodes do takes its time. */
export async function eventually(act, check, limit = 9000) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await act();
    try {
      check(value);
      return value;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
