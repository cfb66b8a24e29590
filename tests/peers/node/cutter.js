// A way to a server that can be cut in several ways, and led to another server.
import { createServer, connect } from "node:net";
import { once } from "node:events";

export class Cutter {
  #pairs = new Set();
  #server;
  #refuses = false;

  /** Leads to `target`, a port; `t.after` ends it. */
  static async start(t, target) {
    const cutter = new Cutter();
    cutter.target = target;
    cutter.#server = createServer({ noDelay: true }, (client) => cutter.#join(client));
    cutter.#server.listen(0, "127.0.0.1");
    await once(cutter.#server, "listening");
    cutter.port = cutter.#server.address().port;
    t.after(() => {
      cutter.cut();
      cutter.#server.close();
    });
    return cutter;
  }

  #join(client) {
    if (this.#refuses) return client.destroy();
    const server = connect({ port: this.target, host: "127.0.0.1", noDelay: true });
    const pair = { client, server };
    this.#pairs.add(pair);
    client.pipe(server);
    server.pipe(client);
    for (const socket of [client, server]) socket.on("error", () => {});
    client.on("close", () => pair.isHung || server.destroy());
    server.on("close", () => {
      client.destroy();
      this.#pairs.delete(pair);
    });
  }

  /** Ends every connection, on both sides. */
  cut() {
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  /** Ends every connection as the client sees it; the server hears nothing of it, and what it says goes nowhere. */
  hang() {
    for (const pair of this.#pairs) {
      pair.isHung = true;
      pair.client.unpipe(pair.server);
      pair.server.unpipe(pair.client);
      pair.server.resume();
      pair.client.destroy();
    }
  }

  /** Lets nobody through from now on, or everybody again. */
  refuse(refuses) {
    this.#refuses = refuses;
  }
}
