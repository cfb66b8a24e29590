// The chat page: one Socket.IO connection, the conversations of one user, and which node the user is on.
//
// Addresses: /sticky/chat?name=Anna&room=harbour, /sticky/chat?name=Anna&with=Bert, /sticky/mypage?name=Anna;
// `&transport=polling` or `websocket` keeps to one transport.
import { conversation, conversations, lastOf, put, putAll, sameName, whereOf } from "./talks.js";
import { $, drawAgain, drawConnection, drawLog, drawNext, element, entryButton } from "./view.js";
import { keepEnd, keyed, nodeTag, refill, showSide } from "./view.js";

const query = new URLSearchParams(location.search);
let me = (query.get("name") ?? localStorage.getItem("limpet-name") ?? "").trim();
if (!me) location.replace(`/sticky?${query}`);

/** The most characters of a message. */
const MOST_TEXT = 1000;

let current = null;
let people = [];
let others = 0;
let node = null;
let clockOffset = 0;

const transport = query.get("transport");
const socket = io({
  auth: { name: me },
  reconnectionDelay: 250,
  reconnectionDelayMax: 2000,
  ...(["polling", "websocket"].includes(transport) ? { transports: [transport] } : {}),
});

// --- the connection ---

socket.on("connect", () => {
  const { engine } = socket.io;
  drawConnection({ session: engine.id, transport: engine.transport.name });
  engine.on("upgrade", (upgraded) => drawConnection({ transport: upgraded.name }));
});

socket.on("welcome", (welcome) => {
  clockOffset = welcome.time - Date.now();
  me = welcome.name;
  const moved = node !== null && node !== welcome.node;
  const text = moved ? `moved from ${node} to ${welcome.node}` : node ? `back on ${node}` : "connected";
  drawConnection({ state: text, kind: moved ? "moved" : "connected", node: welcome.node });
  const how = socket.recovered ? ", with your session: nothing was missed." : ".";
  if (node !== null) remark((moved ? `You moved from ${node} to ${welcome.node}` : `You are back on ${node}`) + how);
  node = welcome.node;
  for (const talk of welcome.talks) merge(conversation({ with: talk.with }), [talk.last]);
  // Also after a recovery: a visit that the old node did not get to keep is not lost.
  for (const open of conversations.values()) if (open.joined) enter(open);
  drawSide();
});

socket.on("disconnect", (reason) => {
  drawConnection({ state: `connection lost (${reason}), connecting again`, kind: "lost" });
  // The node asked us to leave: then the client does not come back by itself.
  if (reason === "io server disconnect") setTimeout(() => socket.connect(), 100 + Math.random() * 400);
});

socket.on("connect_error", (error) => {
  if (!socket.active) {
    drawConnection({ state: "refused", kind: "lost" });
    return complain(error.message, true);
  }
  drawConnection({ state: "connecting again", kind: "lost" });
});

// --- conversations ---

const conversationOf = (message) =>
  conversation(message.room ? message : { with: sameName(message.from, me) ? message.to : message.from });

/** Asks the node for a conversation: from now on its messages arrive, and those before come with the answer. */
function enter(entered) {
  entered.joined = true;
  socket.timeout(10_000).emit("open", whereOf(entered), (error, answer) => {
    if (error) return;
    if (!answer.ok) return complain(answer.error);
    Object.assign(entered, whereOf(answer));
    merge(entered, answer.messages);
    if (entered === current) drawHeading();
    drawSide();
  });
}

/** Takes messages that came out of order, such as the history, into a conversation. */
function merge(into, messages) {
  if (!putAll(into, messages) && into !== current) return;
  if (into === current) drawAgain(into.items, me);
  if (!current) drawPage();
}

function add(to, item) {
  const added = put(to, item);
  if (!added || to !== current) return;
  if (added.isLast) drawNext(to.items, me, added.gone);
  else drawAgain(to.items, me);
}

/** Notes what happened to the connection where the user looks. */
function remark(text) {
  if (current) add(current, { remark: text, at: Date.now() + clockOffset });
}

socket.on("said", (message) => {
  const to = conversationOf(message);
  stopTyping(to, message.from);
  if ((to !== current || document.hidden) && !sameName(message.from, me)) to.unread++;
  add(to, message);
  if (!current) drawPage();
  drawSide();
});

socket.on("typing", ({ from, typing, ...where }) => {
  // Another page of this user.
  if (sameName(from, me)) return;
  const to = conversation(where.room ? where : { with: from });
  if (!typing) return stopTyping(to, from);
  clearTimeout(to.typing.get(from));
  to.typing.set(from, setTimeout(stopTyping, 6000, to, from));
  drawTyping();
});

function stopTyping(to, from) {
  clearTimeout(to.typing.get(from));
  to.typing.delete(from);
  drawTyping();
}

socket.on("people", (now) => {
  people = now.people;
  others = now.more;
  drawSide();
  if (!current) drawPage();
  else drawHeading();
});

// --- what the user does ---

/** Goes to a conversation, or to the user's own page (`null`). */
function go(to, history = "pushState") {
  current = to;
  if (to && !to.joined) enter(to);
  if (to) to.unread = 0;
  const address = new URLSearchParams({ name: me, ...(to ? whereOf(to) : {}) });
  if (transport) address.set("transport", transport);
  if (history) window.history[history](null, "", `${to ? "/sticky/chat" : "/sticky/mypage"}?${address}`);
  $("log").hidden = $("composer").hidden = !to;
  $("page").hidden = !!to;
  showSide(false);
  complain(null);
  drawHeading();
  drawSide();
  drawTyping();
  if (!to) return drawPage();
  drawLog(to.items, me);
  // A phone would open its keyboard over the conversation.
  if (matchMedia("(hover: hover)").matches) $("text").focus();
}

/** Reads the address, as it is at the start and after "back". */
function follow() {
  const at = new URLSearchParams(location.search);
  if (location.pathname === "/sticky/mypage") return go(null, "replaceState");
  go(conversation(at.get("with") ? { with: at.get("with") } : { room: at.get("room") || "harbour" }), "replaceState");
}

function say() {
  const text = $("text").value.trim();
  if (!text || !current) return;
  const characters = [...text].length;
  if (characters > MOST_TEXT) {
    return complain(`A message has at most ${count(MOST_TEXT)} characters; this one has ${count(characters)}.`);
  }
  const to = current;
  const item = { from: me, text, at: Date.now() + clockOffset };
  add(to, item);
  $("text").value = "";
  fitText();
  // The message itself says that it is over.
  typingSince = 0;
  complain(null);
  socket.timeout(15_000).emit("say", whereOf(to), text, (error, answer) => {
    const at = to.items.indexOf(item);
    if (answer?.ok) {
      if (at >= 0) to.items.splice(at, 1);
      merge(to, [answer.message]);
      return drawSide();
    }
    item.failed = true;
    complain(error ? "The message could not be sent." : answer.error);
    if (to === current) drawAgain(to.items, me);
  });
}

const count = (number) => number.toLocaleString("en");

let typingSince = 0;

/**
 * Says at most every three seconds that the user is typing. Without a connection it is not kept, since it is worth nothing later.
 * Not `volatile`, which also drops it while a request is on its way: it would not be said again for three seconds.
 */
function tellTyping(typing) {
  const now = Date.now();
  if (!current || !socket.connected || (typing ? now - typingSince < 3000 : typingSince === 0)) return;
  typingSince = typing ? now : 0;
  socket.emit("typing", whereOf(current), typing);
}

function complain(text, final = false) {
  $("problem").textContent = text ?? "";
  $("problem").hidden = !text;
  if (!final) return;
  $("composer").hidden = false;
  $("composer").querySelector(".line").hidden = true;
  $("problem").append(" ", element("a", { href: "/sticky" }, "Choose another name"));
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  say();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});
$("text").addEventListener("input", () => {
  fitText();
  tellTyping($("text").value !== "");
});
$("new-room").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("new-room-name").value.trim();
  $("new-room-name").value = "";
  if (name) go(conversation({ room: name }));
});
$("mine").addEventListener("click", (event) => {
  event.preventDefault();
  go(null);
});
$("open-side").addEventListener("click", () => showSide(true));
for (const id of ["close-side", "shade"]) {
  $(id).addEventListener("click", () => {
    showSide(false);
    $("open-side").focus();
  });
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.body.classList.contains("side-open")) $("close-side").click();
});
addEventListener("popstate", follow);
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !current) return;
  current.unread = 0;
  drawSide();
});

function fitText() {
  const text = $("text");
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight + 2, 140)}px`;
}

// --- what is shown beside the messages ---

function nodesOf(name) {
  return [...new Set(people.filter((person) => sameName(person.name, name)).map((person) => person.node))];
}

/** How many users are in a room, on however many pages. */
function usersIn(room) {
  return new Set(people.filter((person) => person.rooms.includes(room)).map((person) => person.name.toLowerCase())).size;
}

function drawHeading() {
  const title = current ? (current.room ? `# ${current.room}` : current.with) : `${me}’s page`;
  $("title").textContent = title;
  document.title = `${title} – Limpet chat`;
  const room = current?.room?.toLowerCase();
  const here = usersIn(room);
  const subtitle = current?.room
    ? [`${here} ${here === 1 ? "person" : "people"} here`]
    : current
      ? presence(nodesOf(current.with))
      : ["Messages to you arrive here."];
  $("subtitle").replaceChildren(...subtitle);
}

const presence = (nodes) => (nodes.length ? ["online on ", ...nodes.flatMap((name) => [nodeTag(name), " "])] : ["not online"]);

function drawSide() {
  $("mine-name").textContent = `${me || "My"}${me ? "’s" : ""} page`;
  $("mine").ariaCurrent = current ? null : "page";

  const rooms = new Map([["harbour", "harbour"]]);
  for (const person of people) for (const room of person.rooms) rooms.set(room, room);
  for (const { room } of conversations.values()) if (room) rooms.set(room.toLowerCase(), room);
  const roomEntries = [...rooms.values()].sort((a, b) => a.localeCompare(b)).map((room) => {
    const it = conversations.get(`#${room.toLowerCase()}`);
    const here = usersIn(room.toLowerCase());
    const note = here ? element("span", { className: "count", title: `${here} here` }, String(here)) : null;
    return entryButton({
      label: `# ${room}`,
      note,
      unread: it?.unread,
      current: it && it === current,
      go: () => go(conversation({ room })),
    });
  });
  refill($("rooms"), roomEntries);

  const names = new Map(people.map((person) => [person.name.toLowerCase(), person.name]));
  const online = names.size;
  for (const { with: other } of conversations.values()) {
    if (other && !names.has(other.toLowerCase())) names.set(other.toLowerCase(), other);
  }
  const personEntries = [...names.values()].sort((a, b) => a.localeCompare(b)).map((name) => {
    const it = conversations.get(`@${name.toLowerCase()}`);
    const nodes = nodesOf(name);
    const note = element("span", { className: "nodes" }, ...(nodes.length ? nodes.map(nodeTag) : ["not online"]));
    const label = sameName(name, me) ? `${name} (you)` : name;
    return entryButton({
      label,
      note,
      unread: it?.unread,
      current: it && it === current,
      go: () => go(conversation({ with: name })),
    });
  });
  refill($("people"), personEntries);
  $("online").textContent = online ? String(online + others) : "";
  $("others").hidden = others === 0;
  $("others").textContent = `and ${others} more`;

  const unread = [...conversations.values()].reduce((sum, { unread }) => sum + unread, 0);
  $("unread").hidden = unread === 0;
  $("unread").textContent = String(unread);
}

function drawTyping() {
  const names = current ? [...current.typing.keys()] : [];
  const who = names.length > 2 ? `${names.length} people` : names.join(" and ");
  const text = names.length ? `${who} ${names.length > 1 ? "are" : "is"} typing` : "";
  if ($("typing").textContent !== text) $("typing").textContent = text;
}

const hint = (...parts) => element("p", { className: "hint" }, ...parts);

/** The user's own page: the talks, newest first, and who is there to talk to. */
function drawPage() {
  const talks = [...conversations.values()]
    .filter((talk) => lastOf(talk))
    .sort((a, b) => lastOf(b).at - lastOf(a).at)
    .map((talk) => {
      const last = lastOf(talk);
      const from = sameName(last.from, me) ? "You" : last.from;
      const card = element(
        "button",
        { type: "button", className: "card", onclick: () => go(talk) },
        element("b", {}, talk.room ? `# ${talk.room}` : talk.with),
        talk.unread ? element("span", { className: "badge" }, `${talk.unread} new`) : null,
        element("span", { className: "last" }, `${from}: ${last.text}`),
      );
      return element("li", {}, keyed(card, talk.key));
    });
  const names = [...new Map(people.map((person) => [person.name.toLowerCase(), person.name])).values()];
  const guests = names.filter((name) => !sameName(name, me)).slice(0, 12).map((name) => {
    const talk = () => go(conversation({ with: name }));
    const chip = { type: "button", className: "chip", onclick: talk };
    const button = element("button", chip, name, ...nodesOf(name).flatMap((node) => [" ", nodeTag(node)]));
    return element("li", {}, keyed(button, name));
  });
  const address = `${location.origin}/sticky/chat?with=${encodeURIComponent(me)}`;
  refill($("page"), [
    element("h2", {}, "Your talks"),
    talks.length ? element("ul", { className: "cards" }, ...talks) : hint("None yet. Whoever writes to you appears here."),
    element("h2", {}, "Who is here"),
    guests.length ? element("ul", { className: "chips" }, ...guests) : hint("Nobody else. Open another window under another name."),
    hint("To talk to you, others open ", element("a", { href: address, target: "_blank" }, address), "."),
  ]);
}

keepEnd();
follow();
