// Every feature of a server that runs `features`, by an unmodified socket.io-client of version 4 or 2.
//
// node features-suite.js --url URL[,URL...] [--nodes N] [--client 2] [--transports ...] [--parser msgpack]
//   [--features connect,event,...] (those of FEATURES unless named) [--name "text of a case"]
import { opts } from "./features/peer.js";
import * as events from "./features/events.js";
import * as http from "./features/http.js";
import * as life from "./features/life.js";
import * as rooms from "./features/rooms.js";
import { run } from "./suite.js";

const groups = { ...events, ...rooms, ...life, ...http };
const FEATURES = "connect,namespace,middleware,disconnect,event,ack,binary,volatile,all,room,castack,fetch,remote,serverside,hooks,compress";
const wanted = (opts.features || FEATURES).split(",");
const unknown = wanted.filter((name) => groups[name] === undefined);
if (unknown.length > 0) throw new Error(`unknown features: ${unknown}`);
const cases = wanted
  .filter((group) => !opts.skip.split(",").includes(group))
  .flatMap((group) => groups[group].map(([name, act]) => [`${group}: ${name}`, act]))
  .filter(([name]) => name.includes(opts.name));
await run(cases);
