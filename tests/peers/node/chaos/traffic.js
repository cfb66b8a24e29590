// Numbered messages to all rooms at a steady rate, and what became of each.
//
// A message is sent once. It counts when its acknowledgement came: then the log had it. One whose acknowledgement did not come,
// because the publisher's own connection was cut, may arrive once or not at all.

/** Messages that may wait for their acknowledgement; above it a publisher leaves one out. */
const WINDOW = 256;
/** How long an acknowledgement may take: longer than a restart of anything. */
const PATIENCE = 60_000;

export class Traffic {
  /** Keys of all messages that were sent. */
  sent = new Set();
  accepted = new Set();
  /** Messages that were not acknowledged: `refused` by the node, or `unknown`. */
  refused = 0;
  unknown = 0;
  /** Messages that were due and not sent: the publisher was not connected, or waited for too many. */
  skipped = 0;
  pending = 0;
  #publishers;
  #rooms;
  #rate;
  #timer;
  #byRoom = new Map();
  #next = new Map();

  constructor(publishers, { rooms, rate }) {
    this.#publishers = publishers;
    this.#rooms = rooms;
    this.#rate = rate;
  }

  /** Keys that were accepted for a room. */
  acceptedFor(room) {
    return this.#byRoom.get(room) ?? [];
  }

  start() {
    const began = Date.now();
    let taken = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor(((Date.now() - began) * this.#rate) / 1000);
      for (; taken < due; taken++) this.#send(taken % this.#publishers.length, Math.floor(taken / this.#publishers.length) % this.#rooms);
    }, 10);
  }

  stop() {
    clearInterval(this.#timer);
  }

  #send(p, r) {
    const { socket } = this.#publishers[p];
    if (!socket.connected || this.pending >= WINDOW * this.#publishers.length) {
      this.skipped += 1;
      return;
    }
    const stream = `${p}:${r}`;
    const n = this.#next.get(stream) ?? 0;
    this.#next.set(stream, n + 1);
    const key = `${stream}:${n}`;
    this.sent.add(key);
    this.pending += 1;
    socket.timeout(PATIENCE).emit("send", `room-${r}`, { p, r, n }, (error, taken) => {
      this.pending -= 1;
      if (error) return void (this.unknown += 1);
      if (taken !== true) return void (this.refused += 1);
      this.accepted.add(key);
      const room = `room-${r}`;
      if (!this.#byRoom.has(room)) this.#byRoom.set(room, []);
      this.#byRoom.get(room).push(key);
    });
  }
}
