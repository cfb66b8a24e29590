"""What a node and servers of python-socketio do for each other on their channel of a Redis.

cluster_suite.py --url http://127.0.0.1:3001 --redis redis://127.0.0.1:6379 --emitter '["program", …]'
The node under test takes the commands of cluster-node.js. A full server of Python and a write-only manager run in here.
The emitter under test takes the lines that cluster/world.js describes, and emits to Python's servers.
The same verdict as suite.js: one JSON line `{ok, passed, failed: [{name, why}]}`; exits 1 if a case failed.
"""

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import os

import socketio
from aiohttp import web

parser = argparse.ArgumentParser()
parser.add_argument("--url", required=True)
parser.add_argument("--redis", required=True)
parser.add_argument("--emitter", required=True, type=json.loads)
opts = parser.parse_args()

LIMIT = 20
counter = itertools.count()
cases = []


def case(act):
    cases.append(act)
    return act


class Peer:
    """A client that keeps what arrives."""

    def __init__(self, namespace):
        self.client = socketio.AsyncClient(reconnection=False)
        self.namespace = namespace
        self.heard = asyncio.Queue()
        self.gone = asyncio.Event()

        @self.client.on("*", namespace=namespace)
        async def any_event(event, *args):
            await self.heard.put([event, *args])
            if event == "silence":
                await asyncio.Future()
            return f"heard {event}", len(args)

        @self.client.on("disconnect", namespace=namespace)
        async def disconnect(reason):
            self.gone.set()

    @classmethod
    async def connect(cls, stack, url, namespace="/"):
        peer = cls(namespace)
        stack.push_async_callback(peer.client.disconnect)
        await peer.client.connect(url, transports=["websocket"], auth={"name": "p"}, namespaces=[namespace])
        return peer

    @property
    def sid(self):
        return self.client.get_sid(self.namespace)

    async def hears(self, *expected):
        came = await asyncio.wait_for(self.heard.get(), LIMIT)
        assert came == list(expected), f"{came} came, not {list(expected)}"

    async def answer(self, *args):
        return await self.client.call(args[0], tuple(args[1:]), namespace=self.namespace, timeout=LIMIT)

    async def command(self, *args):
        answer = await self.answer(*args)
        assert "error" not in answer, answer
        return answer["ok"]


class Emitter:
    """The emitter under test."""

    async def start(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*opts.emitter, stdin=pipe, stdout=pipe)
        self.lock = asyncio.Lock()

    async def answer(self, namespace, *args):
        encode = lambda value: {"$bytes": base64.b64encode(value).decode()}  # noqa: E731 of bytes
        async with self.lock:
            self.process.stdin.write(json.dumps(["0", namespace, *args], default=encode).encode() + b"\n")
            line = await asyncio.wait_for(self.process.stdout.readline(), LIMIT)
        return json.loads(line)[1]

    async def command(self, *args, namespace="/"):
        answer = await self.answer(namespace, *args)
        assert "error" not in answer, answer


class World:
    """A full server of Python, a manager that only writes, and clients."""

    async def start(self):
        manager = socketio.AsyncRedisManager(opts.redis)
        self.server = socketio.AsyncServer(async_mode="aiohttp", client_manager=manager, namespaces=["/", "/other"])

        for namespace in ("/", "/other"):

            @self.server.on("join", namespace=namespace)
            async def join(sid, room, namespace=namespace):
                await self.server.enter_room(sid, room, namespace=namespace)
                return True

        app = web.Application()
        self.server.attach(app)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.writer = socketio.RedisManager(opts.redis, write_only=True)
        self.emitter = Emitter()
        await self.emitter.start()
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
async def a_manager_that_only_writes_moves_our_sockets(world, stack):
    ours = await Peer.connect(stack, opts.url, "/other")
    room = unique("room")
    how = {"namespace": "/other"}
    await asyncio.to_thread(world.writer.enter_room, ours.sid, "/other", room)
    await world.write("in", room=room, **how)
    await ours.hears("in")
    await asyncio.to_thread(world.writer.leave_room, ours.sid, "/other", room)
    await world.write("out", room=room, **how)
    await asyncio.to_thread(world.writer.enter_room, ours.sid, "/other", room)
    await world.write("in again", room=room, **how)
    await ours.hears("in again")
    await asyncio.to_thread(world.writer.close_room, room, "/other")
    await world.write("closed", room=room, **how)
    await world.write("you", to=ours.sid, **how)
    await ours.hears("you")


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


@case
async def clients_of_python_acknowledge_to_our_node(world, stack):
    ours = await Peer.connect(stack, opts.url, "/other")
    theirs = await Peer.connect(stack, world.url, "/other")
    how = {"rooms": [theirs.sid], "timeout": 5000}
    assert await ours.command("ask", how, "question", "a", b"\x00\xff") == ["heard question"]
    await theirs.hears("question", "a", b"\x00\xff")
    # Nobody says how many of Python's clients are in a room: those get the event, and only ours are waited for.
    room = unique("room")
    await ours.command("join", [room])
    await theirs.client.call("join", room, namespace="/other", timeout=LIMIT)
    assert await ours.command("ask", {"rooms": [room], "timeout": 5000}, "question", "b") == ["heard question"]
    await theirs.hears("question", "b")
    # Who does not answer is missed.
    answer = await ours.answer("ask", {"rooms": [theirs.sid], "timeout": 300}, "silence")
    assert "error" in answer, answer


@case
async def what_our_emitter_emits_reaches_clients_of_python(world, stack):
    theirs = [await Peer.connect(stack, world.url, namespace) for namespace in ("/", "/", "/other")]
    first, second, other = theirs
    room, hall = unique("room"), unique("hall")
    for peer in theirs:
        await peer.client.call("join", room, namespace=peer.namespace, timeout=LIMIT)
    emit = world.emitter.command
    await emit("emit", {"rooms": [room, "nobody"], "volatile": True, "compress": False}, "hi", 1, {"z": b"\x00\xff"}, "größe")
    for peer in (first, second):
        await peer.hears("hi", 1, {"z": b"\x00\xff"}, "größe")
    await emit("emit", {"rooms": [room], "except": [first.sid]}, "not the first")
    await second.hears("not the first")
    await emit("emit", {"rooms": [second.sid]}, "you")
    await second.hears("you")
    await emit("emit", {"rooms": [room]}, "elsewhere", namespace="/other")
    await other.hears("elsewhere")
    await emit("make", {"rooms": [first.sid, second.sid]}, "join", [hall])
    await emit("emit", {"rooms": [hall]}, "in")
    for peer in (first, second):
        await peer.hears("in")
    await emit("make", {"rooms": [first.sid]}, "leave", [hall])
    await emit("emit", {"rooms": [hall]}, "one left")
    await second.hears("one left")
    await emit("make", {"rooms": [hall]}, "leave", [hall])
    await emit("emit", {"rooms": [hall]}, "none left")
    await emit("emit", {}, "all", hall)
    for peer in (first, second):
        await peer.hears("all", hall)
    await emit("make", {"rooms": [first.sid]}, "disconnect", False)
    await asyncio.wait_for(first.gone.wait(), LIMIT)
    # Python has no events for servers, and moves nobody whom it does not know by its id.
    assert "python-socketio" in (await world.emitter.answer("/", "server", "told", 1))["error"]
    assert "single sockets" in (await world.emitter.answer("/", "make", {}, "join", [hall]))["error"]


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
