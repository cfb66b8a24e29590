// What the nodes of a cluster must do for each other, whatever they are written in, and whoever emits into it.
//
// node cluster-suite.js --url URL,URL[,URL…] [--acting 0,1,…] [--emitter '["program", …]'] [--features emit,ask,…] [--only words]
// The nodes take the commands of cluster-node.js. Their names are the words that `asked` answers with. Each of those in
// `--acting` acts in turn, the first unless said; the others have to do their part. `--emitter` is a program that acts
// instead, see world.js.
import { emit } from "./cluster/events.js";
import { ask, fetch, make, rooms, server } from "./cluster/requests.js";
import { Emitter } from "./cluster/world.js";
import { options } from "./options.js";
import { run } from "./suite.js";

const opts = options({ url: "", only: "", acting: "0", emitter: "", features: "emit,ask,fetch,make,server,rooms" });
const urls = opts.url.split(",");
const features = opts.features.split(",");
const emitter = opts.emitter === "" ? undefined : new Emitter(JSON.parse(opts.emitter));

const cases = (acting) => {
  const all = { emit: () => [...emit(acting, "/"), ...emit(acting, "/other")], ask, fetch, make, server, rooms };
  return features.flatMap((feature) => all[feature](acting));
};
const places = emitter ? [0] : opts.acting.split(",").map(Number);
const named = (at, [name, act]) => [places.length > 1 ? `${name}, by node ${at}` : name, act];
const wanted = places.flatMap((at) => cases({ urls, at, emitter }).map((entry) => named(at, entry)));
await run(wanted, { only: opts.only ? opts.only.split(",") : [], alone: ["emit to a whole"] });
