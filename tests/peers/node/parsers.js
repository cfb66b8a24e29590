// The parsers that come with Socket.IO, to compare ours with. Each line of standard input is a question, a JSON object:
//
//   {"parser": "json" | "msgpack", "messages": ["text" | {"$hex": "00ff"}, ...]}
//     is answered by {"packets": [{type, nsp, id, data}, ...], "error": true | false}
//   {"parser": "json" | "msgpack", "sample": number}
//     is answered by {"messages": [...], "packet": {type, nsp, id, data}}, or null behind the last sample
//
// Bytes stand as {"$hex": "00ff"}; all else is what JSON.stringify makes of it.
import * as json from "socket.io-parser";
import msgpack from "socket.io-msgpack-parser";
import { commands, endWithStdin } from "./options.js";

const parsers = { json, msgpack };

const buffer = (length) => new Uint8Array(length).map((_, at) => at * 7).buffer;
const nested = (depth) => (depth ? [nested(depth - 1)] : []);

/** Arguments that a client may send, with what JavaScript alone has. */
const samples = [
  [],
  ["text", "", "größe", "🦀", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), "x".repeat(65536), '"\\\n\u0001\u2028'],
  [0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 2 ** 52, 2 ** 53 - 1],
  [-1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, -(2 ** 53 - 1)],
  [0.5, -1.25, 1e100, 5e-324, -0, NaN, Infinity],
  [true, false, null, undefined],
  [{}, { a: 1, b: { c: [] } }, { "": 0, größe: 1, 7: 2 }, [[]], nested(50)],
  [new Array(15).fill(1), new Array(16).fill(1), new Array(65536).fill(null)],
  [Object.fromEntries(new Array(15).fill(0).map((_, n) => [`k${n}`, n])), Object.fromEntries(new Array(300).fill(0).map((_, n) => [`k${n}`, n]))],
  [{ a: undefined, b: 1 }, { a: undefined }, { a: 1, b: undefined, c: 2 }, [undefined, 1]],
  [new Date(0), new Date(1600000000123), new Date(-1), { at: new Date(8.64e15) }, new Date(-8.64e15)],
  [Buffer.from("abc"), Buffer.alloc(0), { photo: Buffer.from([0, 255]) }, [Buffer.alloc(256, 7)]],
  [buffer(0), buffer(1), buffer(2), buffer(4), buffer(8), buffer(16), { deep: [buffer(300)] }],
  [new Uint16Array([1, 2]), new Float64Array([0.5])],
  [Buffer.alloc(65536, 1)],
  [{ toJSON: () => ({ replaced: true }) }],
];

function plain(value) {
  if (value instanceof ArrayBuffer) return { $hex: Buffer.from(value).toString("hex") };
  if (ArrayBuffer.isView(value)) return { $hex: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex") };
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Date || value === null || typeof value !== "object") return value;
  if (typeof value.toJSON === "function") return plain(value.toJSON());
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

const packet = ({ type, nsp, id, data }) => ({ type, nsp, id, data: plain(data) });

function decode({ parser, messages }) {
  const packets = [];
  const decoder = new parsers[parser].Decoder();
  decoder.on("decoded", (decoded) => packets.push(packet(decoded)));
  let error = false;
  try {
    for (const message of messages) {
      decoder.add(typeof message === "string" ? message : Buffer.from(message.$hex, "hex"));
    }
  } catch {
    error = true;
  }
  return { packets, error };
}

function encode({ parser, sample }) {
  const values = samples[sample];
  if (!values) return null;
  const sent = { type: 2, data: ["sample", ...values], id: sample, nsp: "/größe" };
  // The parsers put placeholders into what they are given.
  const expected = packet(sent);
  const messages = new parsers[parser].Encoder().encode(sent);
  return { messages: messages.map((message) => (typeof message === "string" ? message : plain(message))), packet: expected };
}

endWithStdin();
commands((word, rest) => {
  const question = JSON.parse(rest ? `${word} ${rest}` : word);
  console.log(JSON.stringify("sample" in question ? encode(question) : decode(question)));
});
console.log("ready");
