// Runs Socket.IO sessions in Chromium from a page of another origin, cookies blocked. Prints one JSON line.
//
// The page comes from a small server on its own port, so every request to `--url` is cross-origin.
import { createServer } from "node:http";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { endWithStdin, options, say } from "./options.js";

const opts = options({
  url: "http://127.0.0.1:3000",
  chromium: "/usr/bin/chromium",
  count: 3,
  transports: "polling,websocket",
  messages: 10,
  deadline: 90000,
});
endWithStdin();

const script = await readFile(new URL("node_modules/socket.io-client/dist/socket.io.min.js", import.meta.url));
const origin = createServer((request, response) => {
  const isScript = request.url === "/socket.io.min.js";
  response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html; charset=utf-8");
  response.end(isScript ? script : '<!doctype html><title>page</title><script src="/socket.io.min.js"></script>');
});
await new Promise((listening) => origin.listen(0, "127.0.0.1", listening));

const profile = await mkdtemp(join(tmpdir(), "limpet-browser-"));
await mkdir(join(profile, "Default"));
const blockAllCookies = { profile: { default_content_setting_values: { cookies: 2 } } };
await writeFile(join(profile, "Default", "Preferences"), JSON.stringify(blockAllCookies));

const browser = await chromium.launchPersistentContext(profile, {
  executablePath: opts.chromium,
  headless: true,
  timeout: opts.deadline,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

let result;
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(opts.deadline);
  const statuses = {};
  page.on("response", (response) => {
    if (response.url().startsWith(opts.url)) statuses[response.status()] = (statuses[response.status()] ?? 0) + 1;
  });
  await page.goto(`http://localhost:${origin.address().port}/`);
  const outcome = await page.evaluate(sessions, {
    url: opts.url,
    count: opts.count,
    messages: opts.messages,
    transports: opts.transports.split(","),
    deadline: opts.deadline / 2,
  });
  // A poll that is sent beside the packet that ends its session may come behind it, and is refused then.
  const before = { ...statuses };
  await page.evaluate(() => window.sockets.forEach((socket) => socket.disconnect()));
  const refused = Object.keys(before).filter((status) => status >= 400).length > 0;
  result = { ok: outcome.problems.length === 0 && !refused && !outcome.cookies, statuses: before, ...outcome };
} catch (error) {
  result = { ok: false, problems: [String(error)] };
}
await browser.close();
await rm(profile, { recursive: true, force: true });
await say(JSON.stringify(result));
process.exit(result.ok ? 0 : 1);

/** Runs inside the page: sends numbered messages with acks while the server sends its own. */
async function sessions({ url, count, messages, transports, deadline }) {
  document.cookie = "probe=1";
  const cookies = document.cookie !== "";
  const problems = [];
  const nodes = {};
  const ended = {};

  async function session(index) {
    const socket = window.io(url, { transports, forceNew: true });
    let received = 0;
    socket.on("connect_error", (error) => problems.push(`connect_error: ${error.message}`));
    socket.on("disconnect", (reason) => reason !== "io client disconnect" && problems.push(`disconnect: ${reason}`));
    const enough = new Promise((resolve) => {
      socket.on("numbered", (n) => {
        if (n !== received++) problems.push(`expected message ${received - 1}, got ${n}`);
        if (received === messages) resolve();
      });
    });
    const { node } = await socket.emitWithAck("whoami");
    nodes[node] = (nodes[node] ?? 0) + 1;
    socket.emit("start", 50);
    for (let n = 0; n < messages; n++) {
      socket.emit("numbered", n);
      if ((await socket.emitWithAck("echo", n)) !== n) problems.push("a changed echo");
    }
    await enough;
    const server = await socket.emitWithAck("stop");
    if (server.received !== messages || server.gaps !== 0 || server.sent !== received) {
      problems.push(`the server sent ${server.sent}, got ${server.received} with ${server.gaps} gaps`);
    }
    const { name } = socket.io.engine.transport;
    ended[name] = (ended[name] ?? 0) + 1;
    window.sockets.push(socket);
  }

  window.sockets = [];
  const all = Promise.all(Array.from({ length: count }, (_, index) => session(index)));
  const late = new Promise((resolve) => setTimeout(resolve, deadline, "late"));
  if ((await Promise.race([all, late])) === "late") problems.push("the deadline passed");
  return { cookies, nodes, transports: ended, problems };
}
