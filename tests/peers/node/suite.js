// Runs the cases of a suite and prints one JSON line: `{ok, passed, failed: [{name, why}], repeated}`; exits 1 if one failed.
//
// A case is `[name, async (t) => {...}]`. Cases run side by side, each with a deadline; `t.after` undoes what it made.
// A wait is long enough for a busy machine, and shorter than the upgrade timeout of 10 s and the heartbeat of 25 s that would
// bring the end of a session anyway where a server has its own times.
// The heartbeats under test leave 200 ms, which a busy machine can miss: with `forgive` up to that many cases may be
// repeated, alone. The verdict names them in `repeated`. Two suites with their servers on two cores need none; beside
// compilers that want seven cores more, up to seven of a suite were late, on Node's server and on ours. So 8 are forgiven.
import { AssertionError } from "node:assert/strict";
import { say } from "./options.js";

// A promise may fail before its case comes to it: then the case fails there, or has failed already.
process.on("unhandledRejection", () => {});

/** Runs `cases`; `only` (a list of words) keeps those whose name starts with one of them. */
export async function run(cases, { only = [], parallel = 6, limit = 60000, alone = [], forgive = 0 } = {}) {
  const wanted = cases.filter(([name]) => only.length === 0 || only.some((word) => name.startsWith(word)));
  const failed = [];
  const repeated = [];
  const timings = {};
  const work = async (queue) => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const began = Date.now();
      const why = await outcome(next[1], limit);
      timings[next[0]] = Date.now() - began;
      if (why !== undefined) failed.push({ name: next[0], why });
    }
  };
  const isAlone = ([name]) => alone.some((word) => name.startsWith(word));
  const together = wanted.filter((entry) => !isAlone(entry));
  await Promise.all(Array.from({ length: parallel }, () => work(together)));
  await work(wanted.filter(isAlone));
  if (failed.length <= forgive) {
    const again = failed.splice(0);
    repeated.push(...again);
    await work(wanted.filter(([name]) => again.some((case_) => case_.name === name)));
  }
  const slowest = Object.fromEntries(Object.entries(timings).sort((a, b) => b[1] - a[1]).slice(0, 3));
  const ok = failed.length === 0 && wanted.length > 0;
  await say(JSON.stringify({ ok, passed: wanted.length - failed.length, failed, repeated, slowest }));
  process.exit(ok ? 0 : 1);
}

/** The reason why a case failed, or undefined. */
async function outcome(act, limit) {
  const undo = [];
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${limit} ms`)), limit);
  });
  try {
    await Promise.race([act({ after: (step) => undo.push(step) }), late]);
  } catch (error) {
    const place = error.stack?.split("\n").find((line) => /(suite|features\/|cluster\/)/.test(line) && !line.includes("/suite.js"));
    const where = place?.replace(/^.*\/([^/]+:\d+):\d+\)?$/, " ($1)") ?? "";
    return (error instanceof AssertionError ? error.message.replaceAll(/\s*\n\s*/g, " ") : `${error.message}`) + where;
  } finally {
    clearTimeout(timer);
    for (const step of undo.reverse()) {
      try {
        await step();
      } catch {
        // What a case made may be gone already.
      }
    }
  }
}

/** Waits for a promise, at most `limit` ms; `what` names it in the failure. */
export function within(promise, what, limit = 9000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${limit} ms`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Values that arrive one by one: `next()` waits for one, `fail` ends all waiting. */
export class Inbox {
  arrived = [];
  #waiting = [];
  #failure;

  push(value) {
    if (this.#waiting.length > 0) this.#waiting.shift().resolve(value);
    else this.arrived.push(value);
  }

  fail(error) {
    this.#failure ??= error;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(this.#failure);
  }

  next(what = "the next value", limit = 9000) {
    if (this.arrived.length > 0) return Promise.resolve(this.arrived.shift());
    if (this.#failure) return Promise.reject(this.#failure);
    return within(new Promise((resolve, reject) => this.#waiting.push({ resolve, reject })), what, limit);
  }
}
