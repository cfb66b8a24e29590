// What came of it, in numbers: each client must have each accepted message of its rooms once and in order, and each reconnect
// must have been recovered.

const SAMPLES = 3;

/** Counts, and for each kind of failure a few samples. */
export function judge(members, publishers, traffic) {
  const counts = { lost: 0, repeated: 0, disordered: 0, disagreeing: 0, foreign: 0, notRecovered: 0, absent: 0, dismissed: 0 };
  const samples = {};
  const found = (kind, member, detail) => {
    counts[kind] += 1;
    samples[kind] ??= [];
    if (samples[kind].length < SAMPLES) samples[kind].push({ ...describe(member), ...detail });
  };
  let expected = 0;
  for (const member of members) {
    for (const room of member.rooms) {
      for (const key of traffic.acceptedFor(room)) {
        expected += 1;
        if (!member.times.has(key)) found("lost", member, { key });
      }
    }
    for (const [key, times] of member.times) {
      if (times > 1) found("repeated", member, { key, times, arrivals: member.arrivals(key) });
      const isMine = traffic.sent.has(key) && member.rooms.has(`room-${key.split(":")[1]}`);
      if (!isMine) found("foreign", member, { key });
    }
    for (const key of disordered(member, traffic)) found("disordered", member, { key, arrivals: member.arrivals(key) });
    if (!member.isPresent) found("absent", member, {});
  }
  for (const member of [...members, ...publishers]) {
    for (const detail of member.fresh) found("notRecovered", member, detail);
    const dismissed = Object.keys(member.reasons).filter((reason) => /io server|parse error|^refused/.test(reason));
    if (dismissed.length > 0) found("dismissed", member, { dismissed });
  }
  for (const member of disagreeing(members)) found("disagreeing", member, {});
  const everybody = [...members, ...publishers];
  const sum = (pick) => everybody.reduce((total, member) => total + pick(member), 0);
  const reasons = {};
  for (const member of everybody) {
    for (const [reason, count] of Object.entries(member.reasons)) reasons[reason] = (reasons[reason] ?? 0) + count;
  }
  const away = everybody.flatMap((member) => member.away).sort((a, b) => a - b);
  const ok = traffic.accepted.size > 0 && Object.values(counts).every((count) => count === 0);
  return {
    ok,
    clients: members.length,
    ...counts,
    sent: traffic.sent.size,
    accepted: traffic.accepted.size,
    refused: traffic.refused,
    unknown: traffic.unknown,
    skipped: traffic.skipped,
    expected,
    heard: members.reduce((total, member) => total + member.heard, 0),
    reconnects: sum((member) => Math.max(0, member.connects - 1)),
    recovered: sum((member) => member.recovered),
    backwards: sum((member) => member.backwards),
    away: { median: away[Math.floor(away.length / 2)] ?? 0, longest: away.at(-1) ?? 0 },
    reasons,
    samples,
  };
}

function describe(member) {
  return { client: member.name, transports: member.transports.join(), id: member.id, history: member.history };
}

/** Accepted messages that came, for the first time, behind a later one of the same publisher and room. */
function disordered(member, traffic) {
  const last = new Map();
  const seen = new Set();
  const wrong = [];
  for (const key of member.got) {
    if (seen.has(key)) continue;
    seen.add(key);
    const [p, r, n] = key.split(":").map(Number);
    const stream = `${p}:${r}`;
    if (n < (last.get(stream) ?? -1)) {
      if (traffic.accepted.has(key)) wrong.push(key);
    } else {
      last.set(stream, n);
    }
  }
  return wrong;
}

/** Members that heard two messages of a room in another order than the member of that room who heard most. */
function disagreeing(members) {
  const rooms = new Map();
  for (const member of members) {
    const lists = new Map([...member.rooms].map((room) => [room, []]));
    // A key stands in the map where it came first.
    for (const key of member.times.keys()) lists.get(`room-${key.split(":")[1]}`)?.push(key);
    for (const [room, keys] of lists) {
      if (!rooms.has(room)) rooms.set(room, []);
      rooms.get(room).push({ member, keys });
    }
  }
  const wrong = new Set();
  for (const lists of rooms.values()) {
    const longest = lists.reduce((best, list) => (list.keys.length > best.keys.length ? list : best));
    const places = new Map(longest.keys.map((key, place) => [key, place]));
    for (const { member, keys } of lists) {
      const known = keys.map((key) => places.get(key)).filter((place) => place !== undefined);
      if (known.some((place, index) => index > 0 && place < known[index - 1])) wrong.add(member);
    }
  }
  return wrong;
}
