// The proof of the chaos test's bookkeeping: each fault, made by hand, is counted as what it is and as nothing else.
import assert from "node:assert/strict";
import { judge } from "./chaos/verdict.js";
import { run } from "./suite.js";

const all = ["0:0:0", "0:0:1", "1:0:0", "0:0:2"];

/** A client of room 0 that heard these messages in this order. */
function member(got, more = {}) {
  const times = new Map();
  for (const key of got) times.set(key, (times.get(key) ?? 0) + 1);
  const nothing = { fresh: [], away: [], reasons: {}, history: [], transports: [], arrivals: () => [] };
  const life = { heard: got.length, connects: 1, recovered: 0, backwards: 0, isPresent: true };
  return { name: "by hand", rooms: new Set(["room-0"]), got, times, ...nothing, ...life, ...more };
}

const traffic = {
  sent: new Set([...all, "0:0:9"]),
  accepted: new Set(all),
  acceptedFor: (room) => (room === "room-0" ? all : []),
};

const faults = {
  nothing: [member(all), {}],
  "a lost message": [member(all.slice(0, 3)), { lost: 1 }],
  "a repeated message": [member([...all, "0:0:1"]), { repeated: 1 }],
  "two of one publisher in the wrong order": [member(["0:0:1", "0:0:0", "1:0:0", "0:0:2"]), { disordered: 1, disagreeing: 1 }],
  "two of two publishers in another order": [member(["0:0:0", "1:0:0", "0:0:1", "0:0:2"]), { disagreeing: 1 }],
  "a message of another room": [member([...all, "0:1:7"]), { foreign: 1 }],
  "a message that was not acknowledged": [member([...all, "0:0:9"]), {}],
  "a reconnect that was not recovered": [member(all, { connects: 2, fresh: [{}] }), { notRecovered: 1 }],
  "a client that is gone": [member(all, { isPresent: false }), { absent: 1 }],
  "a client that was sent away": [member(all, { reasons: { "io server disconnect": 1 } }), { dismissed: 1 }],
};

const kinds = ["lost", "repeated", "disordered", "disagreeing", "foreign", "notRecovered", "absent", "dismissed"];
await run(
  Object.entries(faults).map(([name, [made, expected]]) => [
    name,
    async () => {
      const verdict = judge([member(all), made], [], traffic);
      const found = Object.fromEntries(kinds.filter((kind) => verdict[kind] > 0).map((kind) => [kind, verdict[kind]]));
      assert.deepEqual(found, expected);
      assert.equal(verdict.ok, Object.keys(expected).length === 0);
    },
  ]),
);
