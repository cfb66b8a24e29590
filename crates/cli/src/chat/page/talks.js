// The conversations that the page knows, each with its newest messages in the order of their time.

/** How much of a conversation the page keeps. */
const MOST_ITEMS = 300;

export const conversations = new Map();

export const sameName = (a, b) => a.toLowerCase() === b.toLowerCase();

/** Finds or begins the conversation that a message or an address names. */
export function conversation(where) {
  const key = where.room ? `#${where.room.toLowerCase()}` : `@${where.with.toLowerCase()}`;
  if (!conversations.has(key)) {
    const made = { key, room: where.room, with: where.with, items: [], ids: new Set(), typing: new Map(), unread: 0 };
    conversations.set(key, made);
  }
  return conversations.get(key);
}

/** What names a conversation to a node. */
export const whereOf = ({ room, with: other }) => (room ? { room } : { with: other });

/** Takes messages in that came out of order, such as the history; returns whether there was a new one. */
export function putAll(into, messages) {
  const fresh = messages.filter((message) => !into.ids.has(message.id));
  fresh.forEach((message) => into.ids.add(message.id));
  into.items.push(...fresh);
  into.items.sort((a, b) => a.at - b.at);
  trim(into);
  return fresh.length > 0;
}

/**
 * Takes a message or a remark in; `null` if it is known already. Returns whether it is the last one, and how many old ones
 * went for it.
 */
export function put(to, item) {
  if (item.id && to.ids.has(item.id)) return null;
  if (item.id) to.ids.add(item.id);
  const isLast = to.items.length === 0 || to.items.at(-1).at <= item.at;
  to.items.push(item);
  if (!isLast) to.items.sort((a, b) => a.at - b.at);
  return { isLast, gone: trim(to) };
}

/** Forgets what is too old, and returns how much that was. */
function trim(kept) {
  const gone = kept.items.splice(0, Math.max(0, kept.items.length - MOST_ITEMS));
  gone.forEach((item) => kept.ids.delete(item.id));
  return gone.length;
}

/** The last that somebody said in a conversation. */
export const lastOf = (talk) => talk.items.findLast((item) => !item.remark);
