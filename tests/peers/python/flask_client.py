"""Sessions of python-socketio's client, by every transport: each says something and hears what all say.

Prints `connected`, waits for a line on standard input, and then prints one JSON line.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter

import socketio

parser = argparse.ArgumentParser()
parser.add_argument("--url", required=True)
parser.add_argument("--count", type=int, default=9)
parser.add_argument("--deadline", type=int, default=120)
opts = parser.parse_args()

TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]]


class Session:
    """One session, its node, and what it heard from which node."""

    def __init__(self, index):
        self.index = index
        self.node = None
        self.heard = Counter()
        self.complete = asyncio.Event()
        self.client = socketio.AsyncClient(reconnection=False)
        self.client.on("said", self.on_said)

    async def on_said(self, said):
        self.heard[said["text"]] += 1
        if len(self.heard) == opts.count:
            self.complete.set()

    async def connect(self):
        await self.client.connect(opts.url, transports=TRANSPORTS[self.index % 3])
        self.node = (await self.client.call("whoami"))["node"]

    async def say(self):
        await self.client.emit("say", f"text {self.index}")
        await self.complete.wait()


async def main():
    sessions = [Session(index) for index in range(opts.count)]
    problems = []
    try:
        async with asyncio.timeout(opts.deadline):
            # One after the other, so that the balancer sees the load of those before.
            for session in sessions:
                await session.connect()
            print("connected", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            await asyncio.gather(*(session.say() for session in sessions))
    except Exception as problem:  # whatever it is, the verdict shows it
        problems.append(repr(problem))
    for session in sessions:
        wrong = {text: count for text, count in session.heard.items() if count != 1}
        if wrong or len(session.heard) != opts.count:
            problems.append(f"session {session.index} heard {len(session.heard)} texts, not once: {wrong}")
        await session.client.disconnect()
    result = {"sessions": len(sessions), "nodes": Counter(session.node for session in sessions), "problems": problems}
    print(json.dumps({"ok": not problems, **result}), flush=True)


asyncio.run(main())
