"""What a node and servers of python-socketio do for each other on their channel of a Redis.

cluster_suite.py --url http://127.0.0.1:3001 --redis redis://127.0.0.1:6379
The node under test takes the commands of cluster-node.js. A full server of Python and a write-only manager run in here.
The same verdict as suite.js: one JSON line `{ok, passed, failed: [{name, why}]}`; exits 1 if a case failed.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os

import socketio
from aiohttp import web

parser = argparse.ArgumentParser()
parser.add_argument("--url", required=True)
parser.add_argument("--redis", required=True)
opts = parser.parse_args()

LIMIT = 20
counter = itertools.count()
cases = []


def case(act):
    cases.append(act)
    return act


class Peer:
    """A client that keeps what arrives."""

    def __init__(self):
        self.client = socketio.AsyncClient(reconnection=False)
        self.heard = asyncio.Queue()
        self.gone = asyncio.Event()

        @self.client.on("*")
        async def any_event(event, *args):
            await self.heard.put([event, *args])
            return f"heard {event}", len(args)

        @self.client.event
        async def disconnect(reason):
            self.gone.set()

    @classmethod
    async def connect(cls, stack, url):
        peer = cls()
        stack.push_async_callback(peer.client.disconnect)
        await peer.client.connect(url, transports=["websocket"], auth={"name": "p"})
        return peer

    @property
    def sid(self):
        return self.client.get_sid()

    async def hears(self, *expected):
        came = await asyncio.wait_for(self.heard.get(), LIMIT)
        assert came == list(expected), f"{came} came, not {list(expected)}"

    async def command(self, *args):
        answer = await self.client.call(args[0], tuple(args[1:]), timeout=LIMIT)
        assert "error" not in answer, answer
        return answer["ok"]


class World:
    """A full server of Python, a manager that only writes, and clients."""

    async def start(self):
        self.server = socketio.AsyncServer(async_mode="aiohttp", client_manager=socketio.AsyncRedisManager(opts.redis))
        self.rooms = {}

        @self.server.event
        async def join(sid, room):
            await self.server.enter_room(sid, room)
            return True

        app = web.Application()
        self.server.attach(app)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.writer = socketio.RedisManager(opts.redis, write_only=True)
        self.listening = await self.until_heard()

    async def until_heard(self):
        """Python's server listens when an event of somebody else reaches its client."""
        async with contextlib.AsyncExitStack() as stack:
            there = await Peer.connect(stack, self.url)
            for _ in range(200):
                await self.write("there")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(there.heard.get(), 0.1)
                    return True
            raise TimeoutError("the server of Python does not listen")

    async def write(self, event, *args, **how):
        await asyncio.to_thread(self.writer.emit, event, tuple(args), **how)


def unique(word):
    return f"{word}-{os.getpid()}-{next(counter)}"


@case
async def what_a_manager_writes_reaches_our_clients(world, stack):
    ours = await Peer.connect(stack, opts.url)
    other = await Peer.connect(stack, opts.url)
    room = unique("room")
    for peer in (ours, other):
        await peer.command("join", [room])
    await world.write("hi", 1, {"z": [True, None], "a": "größe 🐚"}, b"\x00\xff", room=room)
    expected = ["hi", 1, {"z": [True, None], "a": "größe 🐚"}, b"\x00\xff"]
    await ours.hears(*expected)
    await other.hears(*expected)
    await world.write("not you", room=room, skip_sid=ours.sid)
    await world.write("mark", room=[room, "nobody"])
    await other.hears("not you")
    await ours.hears("mark")
    await other.hears("mark")
    await world.write("to you", "x", to=ours.sid)
    await ours.hears("to you", "x")


@case
async def a_server_of_python_moves_our_sockets(world, stack):
    ours = await Peer.connect(stack, opts.url)
    room = unique("room")
    await world.server.enter_room(ours.sid, room)
    await world.server.emit("in", room=room)
    await ours.hears("in")
    await world.server.leave_room(ours.sid, room)
    await world.server.emit("out", room=room)
    await world.server.enter_room(ours.sid, room)
    await world.server.emit("in again", room=room)
    await ours.hears("in again")
    await world.server.close_room(room)
    await world.server.emit("closed", room=room)
    await world.server.emit("mark", to=ours.sid)
    await ours.hears("mark")
    await world.server.disconnect(ours.sid)
    await asyncio.wait_for(ours.gone.wait(), LIMIT)


@case
async def our_clients_acknowledge_to_a_server_of_python(world, stack):
    ours = await Peer.connect(stack, opts.url)
    answer = asyncio.get_running_loop().create_future()
    await world.server.emit("ask", ("a", "b"), to=ours.sid, callback=lambda *args: answer.set_result(args))
    await ours.hears("ask", "a", "b")
    assert await asyncio.wait_for(answer, LIMIT) == ("heard ask", 2)


@case
async def what_our_node_emits_reaches_clients_of_python(world, stack):
    ours = await Peer.connect(stack, opts.url)
    theirs = await Peer.connect(stack, world.url)
    room = unique("room")
    await theirs.client.call("join", room, timeout=LIMIT)
    await ours.command("emit", {"rooms": [room]}, "hi", 1, {"z": 1, "a": b"\x00\xff"}, "größe")
    await theirs.hears("hi", 1, {"z": 1, "a": b"\x00\xff"}, "größe")
    await ours.command("emit", {"rooms": [theirs.sid]}, "you")
    await theirs.hears("you")
    await ours.command("make", {"rooms": [theirs.sid]}, "join", [room + "-2"])
    await ours.command("emit", {"rooms": [room + "-2"], "except": ["nobody"]}, "in")
    await theirs.hears("in")
    await ours.command("make", {"rooms": [theirs.sid]}, "disconnect", False)
    await asyncio.wait_for(theirs.gone.wait(), LIMIT)


async def main():
    world = World()
    await world.start()
    failed = []
    for act in cases:
        try:
            async with asyncio.timeout(LIMIT * 2), contextlib.AsyncExitStack() as stack:
                await act(world, stack)
        except BaseException as error:  # noqa: BLE001 the verdict names it
            failed.append({"name": act.__name__.replace("_", " "), "why": f"{type(error).__name__}: {error}"})
    print(json.dumps({"ok": not failed, "passed": len(cases) - len(failed), "failed": failed}), flush=True)
    os._exit(1 if failed else 0)


asyncio.run(main())
