// What the page shows. What users wrote enters it as text nodes, never as markup.

import { sameName } from "./talks.js";

export const $ = (id) => document.getElementById(id);

/** Makes an element; strings among the children become text. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

const HUES = [174, 262, 28, 330, 212, 95, 300, 50];

/** The colour of a node: its number's, so that neighbours differ. */
export function hue(node) {
  const number = Number(/(\d+)$/.exec(node)?.[1] ?? [...node].reduce((sum, letter) => sum + letter.codePointAt(0), 0));
  return HUES[number % HUES.length];
}

/** A node's name with a dot of its colour. */
export function nodeTag(node) {
  const tag = element("span", { className: "node" }, element("span", { className: "dot" }), node);
  tag.style.setProperty("--hue", hue(node));
  return tag;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** The element of one message or remark; `before` is the one above it. */
export function itemElement(item, me, before) {
  if (item.remark) return element("p", { className: "remark" }, item.remark);
  const mine = sameName(item.from, me);
  const follows = before && !before.remark && sameName(before.from, item.from) && item.at - before.at < 120_000;
  const time = new Date(item.at);
  const made = element(
    "article",
    { className: `message${mine ? " mine" : ""}${follows ? " follows" : ""}` },
    element("b", { className: follows ? "hidden" : "from" }, mine ? "You" : item.from),
    element("p", { className: "text", dir: "auto" }, item.text),
    element(
      "small",
      {},
      element("time", { dateTime: time.toISOString() }, clock.format(time)),
      " ",
      item.node ? nodeTag(item.node) : element("span", {}, item.failed ? "not sent" : "sending"),
    ),
  );
  if (item.failed) made.classList.add("failed");
  else if (!item.node) made.classList.add("pending");
  return made;
}

/** Whether somebody sees the end of the log, or so nearly that they want to see what comes. */
const seesEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 80;

/** Who reads the end goes on reading it when the log gets lower, as for a long text or the keyboard of a phone. */
export function keepEnd() {
  const log = $("log");
  let atEnd = true;
  log.addEventListener("scroll", () => { atEnd = seesEnd(log); });
  new ResizeObserver(() => { if (atEnd) log.scrollTop = log.scrollHeight; }).observe(log);
}

/** Shows all of a conversation, from its newest message upwards. */
export function drawLog(items, me) {
  const log = $("log");
  // A conversation that is drawn as a whole is not news to be read out.
  log.ariaBusy = "true";
  log.replaceChildren(...items.map((item, at) => itemElement(item, me, items[at - 1])));
  if (items.length === 0) log.append(element("p", { className: "empty" }, "Nothing has been said here yet."));
  log.scrollTop = log.scrollHeight;
  shown = [...items];
  log.ariaBusy = "false";
}

/** What each element of the log shows. */
let shown = [];

/** Shows a conversation again after it changed; who reads further up goes on reading. */
export function drawAgain(items, me) {
  const log = $("log");
  if (seesEnd(log)) return drawLog(items, me);
  const at = [...log.children].findIndex((child) => child.offsetTop + child.offsetHeight > log.scrollTop + log.offsetTop);
  const [anchor, before] = [shown[at], log.children[at].offsetTop - log.scrollTop];
  drawLog(items, me);
  const now = log.children[items.indexOf(anchor)];
  if (now) log.scrollTop = now.offsetTop - before;
}

/** Shows one more message, and follows it if the end was in sight. The `gone` oldest ones leave. */
export function drawNext(items, me, gone = 0) {
  const log = $("log");
  const follows = seesEnd(log) || sameName(items.at(-1).from ?? "", me);
  log.querySelector(".empty")?.remove();
  // What leaves above moves nothing that is being read.
  const toEnd = log.scrollHeight - log.scrollTop;
  for (let left = gone; left > 0; left--) log.firstElementChild.remove();
  if (gone > 0 && items.length > 1) log.firstElementChild.replaceWith(itemElement(items[0], me));
  if (gone > 0) log.scrollTop = log.scrollHeight - toEnd;
  log.append(itemElement(items.at(-1), me, items.at(-2)));
  shown = [...items];
  if (follows) log.scrollTop = log.scrollHeight;
}

/** Fills a list anew; what had the focus in it keeps it. */
export function refill(list, entries) {
  const key = list.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  list.replaceChildren(...entries);
  if (key) list.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

/** Names a button for `refill`. */
export function keyed(button, key) {
  button.dataset.key = key;
  return button;
}

/** A line of the list at the side: a button that goes to a conversation. */
export function entryButton({ label, note, unread, current, go }) {
  const button = element(
    "button",
    { type: "button", className: "entry-link", onclick: go },
    element("span", { className: "label" }, label),
    unread ? element("span", { className: "badge", title: `${unread} new` }, String(unread)) : null,
    note ?? null,
  );
  if (current) button.ariaCurrent = "page";
  return element("li", {}, keyed(button, label));
}

/** Shows how the page is connected. */
export function drawConnection({ state, kind, node, transport, session }) {
  const strip = $("connection");
  if (kind) strip.dataset.state = kind;
  if (state && $("state").textContent !== state) $("state").textContent = state;
  if (node) $("node").replaceChildren(nodeTag(node));
  if (transport) $("transport").textContent = transport;
  if (session) $("session").textContent = `${session.slice(0, 6)}…`;
}

/** Opens or closes the list at the side where there is no room for both. */
export function showSide(open) {
  document.body.classList.toggle("side-open", open);
  $("open-side").ariaExpanded = String(open);
  $("shade").hidden = !open;
  if (open) $("close-side").focus();
}
