// Two users of `limpet demo` in Chromium, on different nodes. Prints `stop NUMBER` and later `drain NUMBER`, expects that
// somebody types that into the demonstration, and prints one JSON line. With `--shots DIR` it leaves pictures for the documentation.
import { join } from "node:path";
import { chromium } from "playwright-core";
import { endWithStdin, options, say } from "./options.js";

const opts = options({
  url: "http://127.0.0.1:8000",
  chromium: "/usr/bin/chromium",
  transport: "",
  shots: "",
  deadline: 60000,
});
endWithStdin();

const browser = await chromium.launch({
  executablePath: opts.chromium,
  timeout: opts.deadline,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
});
const problems = [];
let result = {};
try {
  result = await scenario();
} catch (error) {
  problems.push(String(error));
}
await browser.close();
await say(JSON.stringify({ ok: problems.length === 0, problems, ...result }));
process.exit(problems.length === 0 ? 0 : 1);

async function scenario() {
  const desktop = { viewport: { width: 1100, height: 720 } };
  const phone = {
    viewport: { width: 390, height: 780 },
    deviceScaleFactor: 1.5,
    isMobile: true,
    hasTouch: true,
    colorScheme: "dark",
  };

  // Anna comes as everybody does: from `/`, by the form.
  const anna = await user(desktop, "/");
  await anna.fill("#name", "Anna");
  await anna.selectOption("#transport", opts.transport);
  await anna.press("#name", "Enter");
  await connected(anna);
  // Sessions are placed by load, so Bert is placed elsewhere at the first or second try.
  let bert = await user(phone, address({ name: "Bert", room: "harbour" }));
  await connected(bert);
  for (let tries = 0; tries < 5 && (await node(bert)) === (await node(anna)); tries++) {
    const next = await user(phone, address({ name: "Bert", room: "harbour" }));
    await connected(next);
    await bert.context().close();
    bert = next;
  }
  const before = { anna: await node(anna), bert: await node(bert) };
  expect(before.anna !== before.bert, `both are on ${before.anna}`);

  // They talk in a room, over the bus between their nodes.
  await speak(anna, bert, "Good morning! The tide is out, who comes to the rocks?");
  await speak(bert, anna, "Me. Which node are you on?");
  await speak(anna, bert, `On ${before.anna}, and you are on ${before.bert}.`);
  await anna.locator("#people li", { hasText: "Bert" }).locator(".node", { hasText: before.bert }).waitFor();
  await type(bert, anna, "I am coming", "Bert is typing");
  await bert.fill("#text", "");

  // A word between the two arrives on Bert's own page, where he answers.
  const page = await user(phone, address({ name: "Bert" }, "/sticky/mypage"));
  await connected(page);
  const anna2 = await user(desktop, address({ name: "Anna", with: "Bert" }));
  await connected(anna2);
  await write(anna2, "A word between us");
  await page.locator(".card", { hasText: "A word between us" }).click();
  await page.locator(".message", { hasText: "A word between us" }).waitFor();
  await speak(page, anna2, "And back");
  await speak(anna2, page, "<img src=x onerror=document.title='markup'> stays text");
  expect((await page.locator("#log img").count()) === 0, "a message became markup");
  await page.context().close();
  await anna2.context().close();

  // Anna's node ends: she moves, and finds the conversation where she goes.
  await say(`stop ${number(before.anna)}`);
  await anna.locator("#state", { hasText: `moved from ${before.anna} to` }).waitFor();
  await recovered(anna);
  const after = { anna: await node(anna), bert: await node(bert) };
  expect(after.anna !== before.anna, "Anna has not moved");
  expect(after.bert === before.bert, `Bert has moved from ${before.bert} to ${after.bert}`);
  await speak(bert, anna, "Still there?");
  await speak(anna, bert, `Of course: on ${after.anna} now.`);
  await type(bert, anna, "How nice", "Bert is typing");
  await anna.locator("#people li", { hasText: "Anna" }).locator(".node", { hasText: after.anna }).waitFor();
  if (opts.shots) {
    await anna.screenshot({ path: join(opts.shots, "chat-desktop.png") });
    await bert.screenshot({ path: join(opts.shots, "chat-phone.png") });
  }

  // Whoever comes later is told what was said, by a node that may not have been there.
  const cleo = await user(desktop, address({ name: "Cleo", room: "Harbour" }));
  await cleo.locator(".message", { hasText: "Good morning!" }).waitFor();

  // Bert's node drains: it asks him to go, and he comes back elsewhere.
  await say(`drain ${number(after.bert)}`);
  await bert.locator("#state", { hasText: `moved from ${after.bert} to` }).waitFor();
  await bert.locator(".remark", { hasText: `You moved from ${after.bert}` }).waitFor();
  await recovered(bert);
  await speak(bert, anna, "I have moved, too.");

  // A name is checked by the server.
  const wrong = await user(desktop, address({ name: "<b>", room: "harbour" }));
  await wrong.locator("#problem", { hasText: "A name has" }).waitFor();

  const transports = await Promise.all([anna, bert].map((page) => page.locator("#transport").textContent()));
  const expected = opts.transport || "websocket";
  expect(transports.every((name) => name === expected), `they are connected by ${transports}, not ${expected}`);
  return { before, after, transports };
}

function address(query, path = "/sticky/chat") {
  const transport = opts.transport ? { transport: opts.transport } : {};
  return `${path}?${new URLSearchParams({ ...query, ...transport })}`;
}

async function user(device, path) {
  const context = await browser.newContext(device);
  context.setDefaultTimeout(opts.deadline);
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(`an error in the page: ${error.message}`));
  page.on("console", (message) => {
    // Requests that fail while a node ends are shown there too; they are expected.
    if (message.text().includes("Content Security Policy")) problems.push(message.text());
  });
  await page.goto(opts.url + path);
  return page;
}

/** Waits until the page is on a node, by the transport that it ends with. */
async function connected(page) {
  await page.locator("#connection[data-state=connected]").waitFor();
  await page.locator("#transport", { hasText: opts.transport || "websocket" }).waitFor();
}

/** Waits until the page says that its session came along. */
function recovered(page) {
  return page.locator(".remark", { hasText: "with your session: nothing was missed" }).waitFor();
}

function node(page) {
  return page.locator("#node").textContent();
}

/** The number in a node's name. */
function number(name) {
  return name.split(" ").at(-1);
}

async function write(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Lets one say something and waits until the other has heard it. */
async function speak(from, to, text) {
  await write(from, text);
  await to.locator(".message", { hasText: text }).waitFor();
  await from.locator(".message.mine:not(.pending)", { hasText: text }).waitFor();
}

/**
 * Lets one type until the other sees it. It is shown for six seconds, which a busy machine may sleep through; whoever goes on
 * typing says it again after three.
 */
async function type(from, to, text, shown) {
  const seen = to.locator("#typing", { hasText: shown }).waitFor().then(() => true);
  const pause = () => new Promise((resolve) => setTimeout(resolve, 200, false));
  for (let letters = text; !(await Promise.race([seen, pause()])); letters = letters.slice(1) || "...") {
    await from.locator("#text").pressSequentially(letters[0]);
  }
}

function expect(condition, problem) {
  if (!condition) problems.push(problem);
}
