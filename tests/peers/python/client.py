"""Runs N sessions of python-socketio's client; the same exchange and JSON line as client.js.

All sessions share one aiohttp session, so that one TCP connection carries requests of many sessions.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter

import aiohttp
import socketio

parser = argparse.ArgumentParser()
parser.add_argument("--url", default="http://127.0.0.1:3000")
parser.add_argument("--count", type=int, default=1)
parser.add_argument("--transports", default="polling,websocket")
parser.add_argument("--heartbeats", type=int, default=2)
parser.add_argument("--every", type=int, default=250)
parser.add_argument("--deadline", type=int, default=120000)
opts = parser.parse_args()

transports = opts.transports.split(",")
statuses = Counter()
problems = []
finished_sids = set()


def note(problem):
    if len(problems) < 10:
        problems.append(problem)


class Session:
    """One session and what it saw."""

    def __init__(self, index, http):
        self.index = index
        self.sent = self.received = self.gaps = self.lost = self.disconnects = self.connect_errors = 0
        self.node = self.transport = None
        self.finished = False
        self.client = socketio.AsyncClient(http_session=http, reconnection=False)
        self.heartbeats = self.watch_heartbeats()
        self.client.on("numbered", self.on_numbered)
        self.client.on("disconnect", self.on_disconnect)
        self.client.on("connect_error", self.on_connect_error)

    def watch_heartbeats(self):
        """Returns an event that is set after the wanted number of pings; the client itself has no event for them."""
        enough = asyncio.Event()
        receive = self.client.eio._receive_packet
        seen = 0

        async def receive_packet(packet):
            nonlocal seen
            seen += packet.packet_type == 2
            if seen >= opts.heartbeats:
                enough.set()
            await receive(packet)

        self.client.eio._receive_packet = receive_packet
        return enough

    async def on_numbered(self, n):
        if n != self.received:
            self.gaps += 1
            note(f"session {self.index}: expected message {self.received}, got {n}")
        self.received = n + 1

    async def on_disconnect(self, reason):
        if not self.finished:
            self.disconnects += 1
            note(f"session {self.index}: disconnect: {reason}")

    async def on_connect_error(self, reason):
        self.connect_errors += 1
        note(f"session {self.index}: connect_error: {reason}")

    async def run(self):
        await self.client.connect(opts.url, transports=transports)
        self.node = (await self.client.call("whoami"))["node"]
        value = {"text": f"größe {self.index} \U0001f41a", "bytes": bytes(n % 256 for n in range(self.index, self.index + 300))}
        if await self.client.call("echo", value) != value:
            note(f"session {self.index}: a changed echo")
        await self.client.emit("start", opts.every)
        sending = asyncio.create_task(self.send_numbered())
        await self.heartbeats.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        server = await self.client.call("stop")
        self.transport = self.client.transport()
        self.lost = abs(server["sent"] - self.received) + abs(self.sent - server["received"])
        self.gaps += server["gaps"]
        self.finished = True
        finished_sids.add(self.client.eio.sid)
        await self.client.disconnect()

    async def send_numbered(self):
        while True:
            await asyncio.sleep(opts.every / 1000)
            n = self.sent
            self.sent += 1
            await self.client.emit("numbered", n)


async def main():
    trace = aiohttp.TraceConfig()

    async def on_request_end(session, context, params):
        if params.url.query.get("sid") in finished_sids:
            return  # the poll that was open while the session ended
        statuses[str(params.response.status)] += 1
        if params.response.status >= 400:
            note(f"{params.response.status} to {params.method} {params.url}")

    trace.on_request_end.append(on_request_end)
    async with aiohttp.ClientSession(trace_configs=[trace]) as http:
        sessions = [Session(index, http) for index in range(opts.count)]
        try:
            async with asyncio.timeout(opts.deadline / 1000):
                outcomes = await asyncio.gather(*(session.run() for session in sessions), return_exceptions=True)
            for outcome in outcomes:
                if outcome is not None:
                    note(repr(outcome))
        except TimeoutError:
            note("the deadline passed")

    def total(key):
        return sum(getattr(session, key) for session in sessions)

    result = {key: total(key) for key in ("sent", "received", "lost", "gaps", "connect_errors", "disconnects")}
    result |= {
        "sessions": len(sessions),
        "nodes": Counter(session.node for session in sessions),
        "transports": Counter(session.transport for session in sessions),
        "statuses": statuses,
        "problems": problems,
    }
    ok = not problems and not any(int(status) >= 400 for status in statuses)
    print(json.dumps({"ok": ok, **result}), flush=True)
    sys.exit(0 if ok else 1)


asyncio.run(main())
