// The command line of every peer: `--name value` pairs with defaults, and the life of the process.
import { parseArgs } from "node:util";

/** Reads `--key value` options; the type of a default decides the type of the option. */
export function options(defaults) {
  const spec = {};
  for (const [key, value] of Object.entries(defaults)) {
    spec[key] = { type: typeof value === "boolean" ? "boolean" : "string", multiple: Array.isArray(value) };
  }
  const { values } = parseArgs({ options: spec });
  const read = {};
  for (const [key, value] of Object.entries(defaults)) {
    const given = values[key];
    read[key] = given === undefined ? value : typeof value === "number" ? Number(given) : given;
  }
  return read;
}

/** Ends the process when its standard input closes, so that a peer never outlives the test that started it. */
export function endWithStdin() {
  process.stdin.on("end", () => process.exit(0));
  process.stdin.resume();
}

/** Calls `handle(word, rest)` for each line of standard input. */
export function commands(handle) {
  let pending = "";
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (chunk) => {
    pending += chunk;
    const lines = pending.split("\n");
    pending = lines.pop();
    for (const line of lines) {
      const [word, ...rest] = line.trim().split(" ");
      handle(word, rest.join(" "));
    }
  });
  process.stdin.on("end", () => process.exit(2));
}

/** Prints one line and returns when it has been handed to the system. */
export function say(line) {
  return new Promise((resolve) => process.stdout.write(line + "\n", resolve));
}
