// The Socket.IO protocol on the wire, against the fixture: namespaces `/` and `/custom`, `auth`, `message-back`, acks.
//
// node socketio-suite.js --url http://127.0.0.1:3000 [--eio 3] [--transports polling,websocket] [--only words]
// With `--eio 3` it speaks protocol 4, as clients of version 2 do: no CONNECT to `/`, no payloads.
import assert from "node:assert/strict";
import { options } from "./options.js";
import { run, sleep, within } from "./suite.js";
import { Session, target, Frames } from "./wire.js";

const opts = options({ url: "http://127.0.0.1:3000", path: "/socket.io/", eio: 4, transports: "polling,websocket", only: "", repeat: 1 });
const { url: base, path, eio } = opts;

async function open(t, transport) {
  const session = await Session.open(base, transport, { path, eio });
  t.after(() => session.close());
  return session;
}

/** A session that has joined `/` and seen what belongs to it. */
async function joined(t, transport) {
  const session = await open(t, transport);
  if (eio === 4) {
    await session.send("0");
    assert.match(await session.next("CONNECT"), /^0\{"sid":"[A-Za-z0-9_-]{20}"\}$/);
  } else {
    assert.equal(await session.next("CONNECT"), "0");
  }
  assert.match(await session.next("auth"), /^2\["auth",/);
  return session;
}

/** Leaves `/custom` and waits until the server has seen it. */
async function left(session) {
  await session.send("1/custom,");
  await fence(session);
}

/** A round trip on `/`: what was sent before has been handled. */
async function fence(session) {
  await session.send('2["message","fence"]');
  assert.equal(await session.next(), '2["message-back","fence"]');
}

/** The session ends, and an event that follows the fault is not answered any more. */
async function ends(session, why) {
  session.send('2["message","after the end"]').catch(() => {});
  await within(session.ended, `the end after ${why}`, 4000);
  assert.deepEqual(session.inbox.arrived, [], `nothing is answered after ${why}`);
}

const connect5 = (transport) => [
  ["the main namespace", async (t) => {
    const session = await open(t, transport);
    await session.send("0");
    const answer = await session.next();
    const { sid, ...more } = JSON.parse(answer.slice(1));
    assert.match(sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual([answer[0], more], ["0", {}]);
    assert.notEqual(sid, session.sid, "the public id is not the secret one");
    assert.equal(await session.next(), '2["auth",{}]');
  }],
  ["the main namespace by name", async (t) => {
    const session = await open(t, transport);
    await session.send("0/,");
    assert.match(await session.next(), /^0\{"sid":"[^"]+"\}$/);
  }],
  ["the main namespace with a payload", async (t) => {
    const session = await open(t, transport);
    await session.send('0{"token":"123","nested":[1,{"b":null,"a":"ö"}]}');
    assert.match(await session.next(), /^0\{"sid":"[^"]+"\}$/);
    assert.equal(await session.next(), '2["auth",{"token":"123","nested":[1,{"b":null,"a":"ö"}]}]');
  }],
  ["another namespace", async (t) => {
    const session = await joined(t, transport);
    for (const form of ["0/custom,", "0/custom"]) {
      await session.send(form);
      assert.match(await session.next(), /^0\/custom,\{"sid":"[^"]+"\}$/);
      assert.equal(await session.next(), '2/custom,["auth",{}]');
      await left(session);
    }
  }],
  ["another namespace with a payload", async (t) => {
    const session = await open(t, transport);
    await session.send('0/custom,{"token":"abc"}');
    assert.match(await session.next(), /^0\/custom,\{"sid":"[^"]+"\}$/);
    assert.equal(await session.next(), '2/custom,["auth",{"token":"abc"}]');
  }],
  ["an unknown namespace", async (t) => {
    const session = await open(t, transport);
    await session.send("0/random,");
    assert.equal(await session.next(), '4/random,{"message":"Invalid namespace"}');
    await session.send("0");
    assert.match(await session.next(), /^0\{"sid"/, "the session goes on");
  }],
  ["ids differ between namespaces and sessions", async (t) => {
    const ids = [];
    for (let n = 0; n < 2; n++) {
      const session = await open(t, transport);
      await session.send("0", "0/custom,");
      for (let packets = 0; packets < 4; packets++) {
        const id = /"sid":"([^"]+)"/.exec(await session.next())?.[1];
        if (id) ids.push(id);
      }
    }
    assert.equal(new Set(ids).size, 4);
  }],
  ["a payload that is no object", async (t) => {
    for (const payload of ["1.5", '"abc"', "[]", "{", "null", "true"]) {
      const session = await joined(t, transport);
      await session.send(`0/custom,${payload}`);
      await ends(session, payload);
    }
  }],
  ["a second CONNECT", async (t) => {
    const session = await joined(t, transport);
    await session.send("0");
    await ends(session, "a second CONNECT");
  }],
  ["a session that joins nothing is closed in time", async (t) => {
    const began = Date.now();
    const session = await open(t, transport);
    await within(session.ended, "the end after the connect timeout");
    const took = Date.now() - began;
    assert.ok(took > 900 && took < 4000, `${took} ms`);
  }],
  ["a session that was refused everywhere is closed in time", async (t) => {
    const session = await open(t, transport);
    await session.send("0/random,");
    await session.next();
    await within(session.ended, "the end after the connect timeout");
  }],
];

const connect4 = (transport) => [
  ["the main namespace without asking", async (t) => {
    const session = await open(t, transport);
    assert.equal(await session.next(), "0");
    assert.equal(await session.next(), '2["auth",{}]');
  }],
  ["another namespace", async (t) => {
    const session = await joined(t, transport);
    await session.send("0/custom,");
    assert.equal(await session.next(), "0/custom,");
    assert.equal(await session.next(), '2/custom,["auth",{}]');
  }],
  ["another namespace with a query", async (t) => {
    const session = await joined(t, transport);
    await session.send("0/custom?token=abc&n=1%202,");
    assert.equal(await session.next(), "0/custom,");
    assert.equal(await session.next(), '2/custom,["auth",{"token":"abc","n":"1 2"}]');
  }],
  ["an unknown namespace", async (t) => {
    const session = await joined(t, transport);
    await session.send("0/random,");
    assert.match(await session.next(), /^4\/random,("Invalid namespace"|\{"message":"Invalid namespace"\})$/);
  }],
  ["the session lives without another packet", async (t) => {
    const session = await joined(t, transport);
    await sleep(1300);
    await session.send('2["message",1]');
    assert.equal(await session.next(), '2["message-back",1]');
  }],
];

const leave = (transport) => [
  ["the main namespace alone", async (t) => {
    const session = await joined(t, transport);
    await session.send("0/custom,");
    await session.next();
    await session.next();
    await session.send("1");
    await session.send("0/custom2,");
    assert.match(await session.next(), /^4\/custom2,/, "nothing comes before the answer to the next packet");
  }],
  ["another namespace alone", async (t) => {
    const session = await joined(t, transport);
    await session.send("0/custom,");
    await session.next();
    await session.next();
    await session.send("1/custom,", '2["message",1]');
    assert.equal(await session.next(), '2["message-back",1]');
  }],
  ["and a return", async (t) => {
    const session = await joined(t, transport);
    await session.send("0/custom,");
    const first = await session.next();
    await session.next();
    await left(session);
    await session.send("0/custom,");
    const second = await session.next();
    if (eio === 4) assert.notEqual(first, second, "the id is a new one");
    assert.match(second, /^0\/custom,/);
  }],
  ["events to a namespace that was left", async (t) => {
    const session = await joined(t, transport);
    await session.send("0/custom,");
    await session.next();
    await session.next();
    await left(session);
    await session.send('2/custom,["message",1]');
    await ends(session, "an event for a namespace that was left");
  }],
];

const forms = [
  ["nothing", ""],
  ["numbers", ",1,-2.5,1e+21,0"],
  ["texts", ',"","größe \u{1f41a} \u2028","\\"\\\\\\n\\u0001"'],
  ["other values", ",true,false,null"],
  ["members in order", ',{"z":1,"a":{"y":[],"b":{}},"m":[[[]]]}'],
  ["many arguments", `,${Array.from({ length: 50 }, (_, n) => n).join(",")}`],
];

const events = (transport) => [
  ...forms.map(([name, args]) => [`event: ${name}`, async (t) => {
    const session = await joined(t, transport);
    await session.send(`2["message"${args}]`);
    assert.equal(await session.next(), `2["message-back"${args}]`);
  }]),
  ...forms.map(([name, args]) => [`ack: ${name}`, async (t) => {
    const session = await joined(t, transport);
    await session.send(`2456["message-with-ack"${args}]`);
    assert.equal(await session.next(), `3456[${args.slice(1)}]`);
  }]),
  ["ack: ids of every size", async (t) => {
    const session = await joined(t, transport);
    for (const id of ["0", "7", "4294967296", "9007199254740991"]) {
      await session.send(`2${id}["message-with-ack",1]`);
      assert.equal(await session.next(), `3${id}[1]`);
    }
  }],
  ["event: bytes", async (t) => {
    const session = await joined(t, transport);
    const [one, two] = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
    await session.send('52-["message",{"_placeholder":true,"num":0},{"in":[{"_placeholder":true,"num":1}]}]', one, two);
    assert.equal(await session.next(), '52-["message-back",{"_placeholder":true,"num":0},{"in":[{"_placeholder":true,"num":1}]}]');
    assert.deepEqual([await session.next(), await session.next()], [one, two]);
  }],
  ["ack: bytes", async (t) => {
    const session = await joined(t, transport);
    const [one, two] = [Buffer.from([1, 2, 3]), Buffer.alloc(0)];
    await session.send('52-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', one, two);
    assert.equal(await session.next(), '62-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
    assert.deepEqual([await session.next(), await session.next()], [one, two]);
  }],
  ["event: placeholders in any order", async (t) => {
    const session = await joined(t, transport);
    const [one, two] = [Buffer.from([1]), Buffer.from([2])];
    await session.send('52-["message",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', one, two);
    // The attachments may be numbered anew; what counts is which bytes stand where.
    const [, first, second] = JSON.parse((await session.next()).slice(3));
    const parts = [await session.next(), await session.next()];
    assert.deepEqual([parts[first.num], parts[second.num]], [two, one]);
  }],
  ["event: ten attachments", async (t) => {
    const session = await joined(t, transport);
    const places = Array.from({ length: 10 }, (_, num) => JSON.stringify({ _placeholder: true, num }));
    const parts = places.map((_, n) => Buffer.from([n]));
    await session.send(`510-["message",${places}]`, ...parts);
    assert.equal(await session.next(), `510-["message-back",${places}]`);
    for (const part of parts) assert.deepEqual(await session.next(), part);
  }],
  ["event: an unknown one is passed over", async (t) => {
    const session = await joined(t, transport);
    await session.send('2["nobody listens",1]', '29["nobody answers"]', '2["message",2]');
    assert.equal(await session.next(), '2["message-back",2]');
  }],
  ["event: a number as name", async (t) => {
    const session = await joined(t, transport);
    await session.send("2[1,2]", '2["message",3]');
    assert.equal(await session.next(), '2["message-back",3]');
  }],
  ["event: order holds for a thousand", async (t) => {
    const session = await joined(t, transport);
    await session.send(...Array.from({ length: 1000 }, (_, n) => `2["message",${n}]`));
    for (let n = 0; n < 1000; n++) assert.equal(await session.next(), `2["message-back",${n}]`);
  }],
  ["ack: one that nobody asked for is passed over", async (t) => {
    const session = await joined(t, transport);
    await session.send("3999[1,2]", '2["message",1]');
    assert.equal(await session.next(), '2["message-back",1]');
  }],
  ["event: only the namespace it was sent to answers", async (t) => {
    const session = await joined(t, transport);
    await session.send("0/custom,");
    await session.next();
    await session.next();
    await session.send('2/custom,["message",1]', '2["message",2]');
    assert.equal(await session.next(), '2["message-back",2]');
  }],
];

const wrong = [
  "abc", "7", "9[]", "2{}", '2"abc"', "2[]", "2[{}]", "2[null]", "2[true]", "2abc[1]", '2["message"', '2["message",]', "2['message']",
  '2["connect"]', '2["connect_error"]', '2["disconnect"]', '2["disconnecting"]', '2["newListener"]', '2["removeListener"]',
  "3{}", '31"x"', '4"x"', '4{"message":"x"}',
  '5["message"]', '5a-["message"]', '5-1-["message"]', '51["message"]', '51.5-["message",{"_placeholder":true,"num":0}]',
  '511-["message",{"_placeholder":true,"num":0}]', "599999999999999999999-[]", "1{}",
];

const bad = (transport) => [
  ...wrong.map((packet) => [`refused: ${packet}`, async (t) => {
    const session = await joined(t, transport);
    await session.send(packet).catch(() => {});
    await ends(session, packet);
  }]),
  ["refused: bytes that nobody announced", async (t) => {
    const session = await joined(t, transport);
    await session.send(Buffer.from([1, 2, 3]));
    await ends(session, "bytes");
  }],
  ["refused: a text between attachments", async (t) => {
    const session = await joined(t, transport);
    await session.send('51-["message",{"_placeholder":true,"num":0}]', '2["message",1]');
    await ends(session, "a text");
  }],
  ["refused: a placeholder that points nowhere", async (t) => {
    for (const num of ["1", "-1", '"0"', "null"]) {
      const session = await joined(t, transport);
      await session.send(`51-["message",{"_placeholder":true,"num":${num}}]`, Buffer.from([1])).catch(() => {});
      await ends(session, `num ${num}`);
    }
  }],
  ["refused: an event before CONNECT", async (t) => {
    if (eio === 3) return;
    const session = await open(t, transport);
    await session.send('2["message",1]');
    await ends(session, "an event before CONNECT");
  }],
  ["refused: an event for a namespace not joined", async (t) => {
    const session = await joined(t, transport);
    await session.send('2/custom,["message",1]');
    await ends(session, "an event for another namespace");
  }],
  ["refused: DISCONNECT from a namespace not joined", async (t) => {
    const session = await joined(t, transport);
    await session.send("1/custom,");
    await ends(session, "DISCONNECT");
  }],
  ["refused: one session's fault is no other's", async (t) => {
    const [session, other] = [await joined(t, transport), await joined(t, transport)];
    await session.send("abc");
    await ends(session, "abc");
    await other.send('2["message",1]');
    assert.equal(await other.next(), '2["message-back",1]');
  }],
];

const engine = [
  ["the packets of a polling client move to its WebSocket", async (t) => {
    const session = await Session.open(base, "polling", { path, eio });
    t.after(() => session.close());
    if (eio === 4) await session.send("0");
    assert.match(await session.next(), /^0/);
    await session.next();
    const frames = new Frames(target(base, path, { EIO: eio, transport: "websocket", sid: session.sid }));
    t.after(() => frames.close());
    await within(frames.opened, "the WebSocket");
    frames.send("2probe");
    assert.equal(await frames.next(), "3probe");
    frames.send("5", '42["message","moved"]');
    let packet = await frames.next();
    while (packet === "2" || packet === "3") packet = await frames.next();
    assert.equal(packet, '42["message-back","moved"]');
  }],
];

const groups = opts.transports.split(",").flatMap((transport) => [
  [`${transport}: connect`, (eio === 4 ? connect5 : connect4)(transport)],
  [`${transport}: leave`, leave(transport)],
  [transport, events(transport)],
  [transport, bad(transport)],
]);
const cases = [...groups, ["engine", engine]].flatMap(([group, list]) => list.map(([name, act]) => [`${group}: ${name}`, act]));
const repeated = Array.from({ length: opts.repeat }, () => cases).flat();
await run(repeated, { only: opts.only.split(",").filter(Boolean), forgive: 8 });
