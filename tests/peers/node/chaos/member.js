// One client: its rooms, all that it heard in order, and how it fared.

/** How many of the last things that happened to a client a sample shows. */
const HISTORY = 12;

export class Member {
  /** Keys of messages in the order of their arrival, those that came again too; and when and with which offset they came. */
  got = [];
  trail = [];
  /** How often each came. */
  times = new Map();
  connects = 0;
  recovered = 0;
  /** Reconnects that were not recovered, with what the client had. */
  fresh = [];
  /** How long it was away, in ms, each time. */
  away = [];
  reasons = {};
  /** Messages without an offset above that of the one before. */
  backwards = 0;
  history = [];
  #isJoined = false;
  #offset = "";
  #left = 0;

  constructor(io, url, name, rooms, transports) {
    this.name = name;
    this.rooms = new Set(rooms);
    this.transports = transports;
    this.socket = io(url, { forceNew: true, transports });
    this.socket.on("connect", () => this.#connected());
    this.socket.on("disconnect", (reason) => this.#disconnected(reason));
    this.socket.on("connect_error", (error) => this.#refused(error));
    this.socket.on("msg", (payload, offset) => this.#hear(payload, offset));
  }

  /** Connected, and in its rooms as far as it knows. */
  get isPresent() {
    return this.socket.connected && this.#isJoined;
  }

  get heard() {
    return this.got.length;
  }

  /** Whether everything came that was accepted for its rooms. */
  hasAll(traffic) {
    return [...this.rooms].every((room) => traffic.acceptedFor(room).every((key) => this.times.has(key)));
  }

  /** When, on which connection and with which offset a message came, and what came before it. */
  arrivals(key) {
    const places = [...this.got.keys()].filter((place) => this.got[place] === key);
    return places.map((place) => ({ ...this.trail[place], before: this.trail[place - 1] }));
  }

  #note(what) {
    this.history.push(`${clock()} ${what}`);
    if (this.history.length > HISTORY) this.history.shift();
  }

  async #connected() {
    const { id, recovered } = this.socket;
    this.connects += 1;
    this.#note(`connect ${id}${recovered ? " recovered" : ""}`);
    if (this.#left > 0) this.away.push(Date.now() - this.#left);
    if (this.connects > 1 && recovered) {
      this.recovered += 1;
      if (id !== this.id) this.fresh.push({ why: "another id", before: this.id, id });
    } else if (this.connects > 1) {
      this.fresh.push({ offset: this.#offset, heard: this.heard });
      this.#isJoined = false;
    }
    this.id = id;
    if (!this.#isJoined) await this.#join();
  }

  /** As an application does on `connect`: joins what the server does not know any more. */
  async #join() {
    for (const room of this.rooms) {
      const joined = await this.socket.timeout(20_000).emitWithAck("join", room).catch(() => false);
      if (joined === false) {
        // Cut before the answer: the next connection begins again. If none was cut, the server kept silent.
        if (this.socket.connected) this.socket.io.engine.close();
        return;
      }
    }
    this.#isJoined = true;
  }

  #disconnected(reason) {
    this.#note(`disconnect: ${reason}`);
    this.#left = Date.now();
    this.reasons[reason] = (this.reasons[reason] ?? 0) + 1;
    // Only what a server did on purpose needs this; it is part of the verdict.
    if (!this.socket.active) this.socket.connect();
  }

  #refused(error) {
    this.#note(`refused: ${error.message}`);
    if (this.socket.active) return;
    this.reasons[`refused: ${error.message}`] = (this.reasons[`refused: ${error.message}`] ?? 0) + 1;
    setTimeout(() => this.socket.connect(), 1000);
  }

  #hear({ p, r, n }, offset) {
    const key = `${p}:${r}:${n}`;
    this.got.push(key);
    this.trail.push({ at: clock(), connection: this.connects, offset });
    this.times.set(key, (this.times.get(key) ?? 0) + 1);
    if (typeof offset !== "string" || !isAbove(offset, this.#offset)) this.backwards += 1;
    if (typeof offset === "string") this.#offset = offset;
  }
}

function clock() {
  return new Date().toISOString().slice(14, 23);
}

/** Whether a place of the log is behind another one. */
function isAbove(offset, before) {
  if (before === "") return true;
  const [millis, counter] = offset.split("-").map(Number);
  const [millisBefore, counterBefore] = before.split("-").map(Number);
  return millis > millisBefore || (millis === millisBefore && counter > counterBefore);
}
