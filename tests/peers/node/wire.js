// Engine.IO by hand, versions 3 and 4: single requests and frames, for suites that look at what is on the wire.
import { once } from "node:events";
import WebSocket from "ws";
import { Inbox, within } from "./suite.js";

const SEPARATOR = "\x1e";

/** The URL of a request; `query` members that are undefined are left out. */
export function target(base, path, query) {
  const url = new URL(path, base);
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(key, value);
  }
  return url;
}

/** One HTTP request; gives status, headers, text and bytes. */
export async function ask(url, { method = "GET", body, headers = {}, signal } = {}) {
  const response = await within(fetch(url, { method, body, headers, signal }), `the answer to ${method} ${url}`, 8000);
  const bytes = Buffer.from(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, bytes, text: bytes.toString() };
}

/** Splits a payload of version 4 or 3 into packets: text, or a buffer for a binary message. */
export function packetsOf(eio, { text, bytes, headers }) {
  if (eio === 4) {
    return text.split(SEPARATOR).map((packet) => (packet[0] === "b" ? Buffer.from(packet.slice(1), "base64") : packet));
  }
  const packets = [];
  if (headers.get("content-type") === "application/octet-stream") {
    for (let at = 0; at < bytes.length; ) {
      const end = bytes.indexOf(0xff, at);
      const length = Number([...bytes.subarray(at + 1, end)].join(""));
      const body = bytes.subarray(end + 1, end + 1 + length);
      packets.push(bytes[at] === 1 ? Buffer.from(body.subarray(1)) : body.toString());
      at = end + 1 + length;
    }
    return packets;
  }
  for (let at = 0; at < text.length; ) {
    const colon = text.indexOf(":", at);
    const length = Number(text.slice(at, colon));
    const packet = text.slice(colon + 1, colon + 1 + length);
    packets.push(packet.startsWith("b4") ? Buffer.from(packet.slice(2), "base64") : packet);
    at = colon + 1 + length;
  }
  return packets;
}

/** Joins packets into a text payload. A buffer is a binary message. */
export function payloadOf(eio, packets) {
  if (eio === 4) {
    const encode = (packet) => (Buffer.isBuffer(packet) ? `b${packet.toString("base64")}` : packet);
    return packets.map(encode).join(SEPARATOR);
  }
  const encode = (packet) => (Buffer.isBuffer(packet) ? `b4${packet.toString("base64")}` : packet);
  return packets.map((packet) => `${encode(packet).length}:${encode(packet)}`).join("");
}

/** The polling requests of one session. */
export class Polling {
  constructor(base, { path = "/engine.io/", eio = 4, query = {} } = {}) {
    Object.assign(this, { base, path, eio, query, sid: undefined, early: [] });
  }

  /** Opens a session: `open` becomes the handshake, `early` the packets that came behind it. */
  static async open(base, options) {
    const polling = new Polling(base, options);
    const answer = await polling.get();
    if (answer.status !== 200) throw new Error(`the handshake was answered ${answer.status}: ${answer.text}`);
    const [open, ...early] = packetsOf(polling.eio, answer);
    polling.answer = answer;
    polling.open = JSON.parse(open.slice(1));
    polling.sid = polling.open.sid;
    polling.early = early;
    return polling;
  }

  url(transport = "polling") {
    return target(this.base, this.path, { EIO: this.eio, transport, ...this.query, sid: this.sid });
  }

  get(options) {
    return ask(this.url(), options);
  }

  post(body, options = {}) {
    const headers = { "content-type": "text/plain;charset=UTF-8", ...options.headers };
    return ask(this.url(), { method: "POST", body, ...options, headers });
  }

  send(...packets) {
    return this.post(payloadOf(this.eio, packets));
  }

  /** Polls once and gives the packets, those that came with the handshake first. */
  async poll() {
    if (this.early.length > 0) return this.early.splice(0);
    const answer = await this.get();
    if (answer.status !== 200) throw new Error(`a poll was answered ${answer.status}: ${answer.text}`);
    return packetsOf(this.eio, answer);
  }

  /** Polls until a packet other than a ping or noop comes. */
  async next() {
    for (;;) {
      const packets = await this.poll();
      const left = packets.filter((packet) => Buffer.isBuffer(packet) || (packet !== "2" && packet !== "6"));
      this.early.push(...left.slice(1));
      if (left.length > 0) return left[0];
    }
  }
}

/** A WebSocket that keeps what arrives. Text messages are strings, binary ones buffers. */
export class Frames {
  constructor(url, options = {}) {
    this.ws = new WebSocket(String(url).replace(/^http/, "ws"), { ...options, handshakeTimeout: 8000 });
    this.inbox = new Inbox();
    this.ws.on("message", (data, isBinary) => this.inbox.push(isBinary ? data : data.toString()));
    this.ws.on("error", (error) => this.inbox.fail(error));
    this.ws.on("close", (code) => this.inbox.fail(new Error(`the WebSocket was closed with ${code}`)));
    this.closed = once(this.ws, "close").then(([code]) => code, () => 1006);
    this.opened = once(this.ws, "open");
    this.opened.catch(() => {});
    this.refusal = new Promise((resolve) => {
      this.ws.on("unexpected-response", (request, response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() }));
        response.on("error", () => resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() }));
      });
    });
  }

  send(...messages) {
    for (const message of messages) this.ws.send(message);
  }

  next(what = "a message", limit) {
    return this.inbox.next(what, limit);
  }

  close() {
    this.ws.terminate();
  }
}

/**
 * One session on one transport that keeps its heartbeat itself: `next` gives messages without their type digit,
 * `send` takes them. `ended` is fulfilled when the server has closed it.
 */
export class Session {
  #beat;

  static async open(base, transport, { path = "/socket.io/", eio = 4, query = {} } = {}) {
    const session = new Session();
    Object.assign(session, { transport, eio, inbox: new Inbox() });
    session.ended = new Promise((resolve) => (session.end = resolve));
    if (transport === "polling") {
      session.polling = await Polling.open(base, { path, eio, query });
      session.sid = session.polling.sid;
      session.#poll();
    } else {
      session.frames = new Frames(target(base, path, { EIO: eio, transport, ...query }));
      session.sid = JSON.parse((await session.frames.next("the handshake")).slice(1)).sid;
      session.#read();
    }
    if (eio === 3) {
      const beat = () => session.#packet("2").catch(() => {});
      session.#beat = setInterval(beat, 150);
    }
    return session;
  }

  async #poll() {
    try {
      for (;;) for (const packet of await this.polling.poll()) await this.#received(packet);
    } catch (error) {
      this.#over(error);
    }
  }

  async #read() {
    try {
      for (;;) {
        const packet = await this.frames.inbox.next("a packet", 60000);
        await this.#received(this.eio === 3 && Buffer.isBuffer(packet) ? packet.subarray(1) : packet);
      }
    } catch (error) {
      this.#over(error);
    }
  }

  async #received(packet) {
    if (Buffer.isBuffer(packet)) this.inbox.push(packet);
    else if (packet === "2") await this.#packet("3");
    else if (packet === "1") throw new Error("the session was closed");
    else if (packet[0] === "4") this.inbox.push(packet.slice(1));
  }

  #over(error) {
    clearInterval(this.#beat);
    this.inbox.fail(error);
    this.end();
  }

  // One POST at a time, as the protocol wants it.
  #last = Promise.resolve();
  #packet(...packets) {
    if (this.frames) {
      for (const packet of packets) {
        const binary = Buffer.isBuffer(packet) && this.eio === 3;
        this.frames.send(binary ? Buffer.concat([Buffer.from([4]), packet]) : packet);
      }
      return Promise.resolve();
    }
    this.#last = this.#last.catch(() => {}).then(() => this.polling.send(...packets));
    return this.#last;
  }

  send(...messages) {
    return this.#packet(...messages.map((message) => (Buffer.isBuffer(message) ? message : `4${message}`)));
  }

  next(what = "a message", limit) {
    return this.inbox.next(what, limit);
  }

  async close() {
    clearInterval(this.#beat);
    if (this.frames) this.frames.close();
    else await this.#packet("1").catch(() => {});
  }
}
