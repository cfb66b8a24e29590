// An HTTP agent that counts what passes: statuses, connections, and connections that carried several sessions.
//
// With several targets each request goes to one of them at random. That is what a TCP balancer without
// affinity, DNS round robin or an anycast address does to a client in front of two Limpets.
import http from "node:http";

export class CountingAgent extends http.Agent {
  statuses = {};
  refusals = [];
  requests = 0;
  connections = 0;
  sharedConnections = 0;
  #ports = [];
  #closed = new Set();
  #running = new Map();
  #idle = [];

  constructor() {
    super({ keepAlive: true });
  }

  /** Sends each later request to one of these ports; an empty list leaves the URL's own. */
  retarget(ports) {
    this.#ports = ports;
  }

  /**
   * Says that the client is about to close this session. The POST that closes it can overtake the poll that the
   * client has just sent on another connection; the server then rightly does not know the poll's session.
   */
  closes(sid) {
    this.#closed.add(sid);
  }

  /** Waits until no request to `port` is in flight. */
  settled(port) {
    return new Promise((resolve) => {
      if (!this.#running.get(port)) return resolve();
      this.#idle.push({ port, resolve });
    });
  }

  createConnection(...args) {
    this.connections += 1;
    return super.createConnection(...args);
  }

  addRequest(request, options, ...rest) {
    const port =
      this.#ports.length > 0 ? this.#ports[Math.floor(Math.random() * this.#ports.length)] : Number(options.port);
    this.requests += 1;
    this.#running.set(port, (this.#running.get(port) ?? 0) + 1);
    request.once("close", () => this.#ended(port));
    request.once("upgrade", (response) => this.#answered(request, response));
    request.once("response", (response) => this.#answered(request, response));
    request.once("socket", (socket) => this.#carries(socket, sidOf(request)));
    super.addRequest(request, { ...options, port }, ...rest);
  }

  #answered(request, response) {
    if (response.statusCode === 400 && request.method === "GET" && this.#closed.has(sidOf(request))) return;
    this.statuses[response.statusCode] = (this.statuses[response.statusCode] ?? 0) + 1;
    if (response.statusCode >= 400 && this.refusals.length < 5) {
      this.refusals.push(`${response.statusCode} to ${request.method} ${request.path}`);
    }
  }

  #carries(socket, sid) {
    if (sid === null) return;
    socket.sids ??= new Set();
    socket.sids.add(sid);
    if (socket.sids.size === 2) this.sharedConnections += 1;
  }

  #ended(port) {
    this.#running.set(port, this.#running.get(port) - 1);
    if (this.#running.get(port) > 0) return;
    this.#idle = this.#idle.filter((waiter) => {
      if (waiter.port === port) waiter.resolve();
      return waiter.port !== port;
    });
  }
}

function sidOf(request) {
  return new URLSearchParams(request.path.split("?")[1]).get("sid");
}
