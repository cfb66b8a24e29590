// A reader of the chat in Chromium while a room is busy: what they read stays where it is, whatever arrives or leaves. Prints
// one JSON line.
import { chromium } from "playwright-core";
import { io } from "socket.io-client";
import { endWithStdin, options, say } from "./options.js";

const opts = options({ url: "http://127.0.0.1:8000", chromium: "/usr/bin/chromium", deadline: 60000 });
endWithStdin();

const room = "harbour";
/** As many as it takes to say more than the page keeps, each as much as it may at once. */
const SPEAKERS = 10;
const WORDS = 33;
const LONGEST_NAME = "W".repeat(24);

const browser = await chromium.launch({
  executablePath: opts.chromium,
  timeout: opts.deadline,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
});
const problems = [];
try {
  await scenario();
} catch (error) {
  problems.push(String(error));
}
await browser.close();
await say(JSON.stringify({ ok: problems.length === 0, problems }));
process.exit(problems.length === 0 ? 0 : 1);

async function scenario() {
  const context = await browser.newContext({ viewport: { width: 390, height: 780 } });
  context.setDefaultTimeout(opts.deadline);
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(`an error in the page: ${error.message}`));
  await page.goto(`${opts.url}/sticky/chat?name=Anna&room=${room}`);
  await page.locator("#connection[data-state=connected]").waitFor();

  const speakers = await Promise.all(Array.from({ length: SPEAKERS }, (_, at) => speaker(at ? `Speaker ${at}` : LONGEST_NAME)));
  await Promise.all(speakers.map(async (speak, at) => {
    for (let word = 0; word < WORDS; word++) await speak(`word ${word} of ${at}`);
  }));
  await speakers[1]("the last of many");
  await page.locator(".message", { hasText: "the last of many" }).waitFor();
  const kept = await page.locator("#log > *").count();
  if (kept !== 300) problems.push(`${kept} messages are kept`);
  if (!(await seesEnd(page))) problems.push("who reads the end does not see what comes");
  await page.fill("#text", "line\n".repeat(6));
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  if (!(await seesEnd(page))) problems.push("a long text hides the end");
  await page.fill("#text", "");

  // Now they read further up, and the room goes on.
  await page.locator("#log").evaluate((log) => { log.scrollTop = log.scrollHeight / 2; });
  const before = await read(page);
  for (let word = 0; word < 3; word++) await speakers[2](`news ${word}`);
  await page.locator(".message", { hasText: "news 2" }).waitFor({ state: "attached" });
  const after = await read(page);
  if (after.text !== before.text || Math.abs(after.top - before.top) > 2) {
    problems.push(`the reader was moved from ${JSON.stringify(before)} to ${JSON.stringify(after)}`);
  }

  // A text that is too long is not cut in silence.
  await page.fill("#text", "y".repeat(10_000));
  await page.press("#text", "Enter");
  await page.locator("#problem", { hasText: "at most 1,000 characters; this one has 10,000" }).waitFor();
  const left = await page.inputValue("#text");
  if (left.length !== 10_000) problems.push(`${left.length} characters are left of the text`);

  // Names of all lengths have room on a phone.
  await page.goto(`${opts.url}/sticky/mypage?name=Anna`);
  await page.locator(".chip", { hasText: LONGEST_NAME }).waitFor();
  const sides = await page.locator(".chip").evaluateAll((chips) => chips.map((chip) => chip.getBoundingClientRect().right));
  if (Math.max(...sides) > 390) problems.push(`a name ends at ${Math.max(...sides)} px of 390`);
}

/** Joins the room and returns what says something in it. */
async function speaker(name) {
  const socket = io(opts.url, { auth: { name }, forceNew: true, transports: ["websocket"] });
  await socket.emitWithAck("open", { room });
  return async (text) => {
    const answer = await socket.emitWithAck("say", { room }, text);
    if (!answer.ok) problems.push(`${name} may not say ${JSON.stringify(text)}: ${answer.error}`);
  };
}

/** The first message that is in sight, and where it stands. */
function read(page) {
  return page.locator("#log").evaluate((log) => {
    const edge = log.getBoundingClientRect().top;
    const first = [...log.children].find((child) => child.getBoundingClientRect().top >= edge);
    return { text: first.querySelector(".text").textContent, top: first.getBoundingClientRect().top - edge };
  });
}

function seesEnd(page) {
  return page.locator("#log").evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight < 2);
}
