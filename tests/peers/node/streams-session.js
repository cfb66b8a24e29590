// What Node's streams adapter makes of a session in Redis: takes the one of `pid`, prints `restored JSON` with what was missed
// behind `offset`, keeps it again with one more room and bytes in its data, prints `kept`, and ends.
//
// node streams-session.js --redis redis://127.0.0.1:6379 --pid p --offset 1-0
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { options, say } from "./options.js";

const opts = options({ redis: "", pid: "", offset: "" });
const client = await createClient({ url: opts.redis }).connect();
const server = { opts: { connectionStateRecovery: { maxDisconnectionDuration: 60000 } } };
const adapter = createAdapter(client)({ name: "/", server, sockets: new Map() });
try {
  const { sid, pid, rooms, data, missedPackets } = await adapter.restoreSession(opts.pid, opts.offset);
  say(`restored ${JSON.stringify({ sid, pid, rooms, data, missedPackets })}`);
  adapter.persistSession({ sid, pid, rooms: [...rooms, "more"], data: { ...data, avatar: Buffer.from([1, 255]) } });
  while (!(await client.exists(`sio:session:${pid}`)));
  say("kept");
} catch (error) {
  say(`refused ${error}`);
}
process.exit();
