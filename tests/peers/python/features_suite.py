"""Features of a server that runs `features`, by an unmodified client of python-socketio.

The same verdict as suite.js: one JSON line `{ok, passed, failed: [{name, why}]}`; exits 1 if a case failed.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
import traceback

import socketio

parser = argparse.ArgumentParser()
parser.add_argument("--url", default="http://127.0.0.1:3000", help="several, separated by commas, are nodes of one cluster")
parser.add_argument("--nodes", type=int, default=1)
parser.add_argument("--transports", default="polling,websocket")
parser.add_argument("--name", default="")
opts = parser.parse_args()

urls = itertools.cycle(opts.url.split(","))
transports = opts.transports.split(",")
counter = itertools.count()
cases = []


def unique(word):
    """A name that no other case uses."""
    return f"{word}-{os.getpid()}-{next(counter)}"


def case(act):
    cases.append(act)
    return act


class Peer:
    """A client that keeps what arrives, by event."""

    def __init__(self, stack, namespaces, **settings):
        self.client = socketio.AsyncClient(reconnection=False, **settings)
        self.namespace = namespaces[0]
        self.heard = {}
        self.reasons = asyncio.Queue()
        self.errors = asyncio.Queue()
        for namespace in namespaces:
            self.client.on("disconnect", self.reasons.put, namespace=namespace)
            self.client.on("connect_error", self.errors.put, namespace=namespace)
        stack.push_async_callback(self.close)

    async def close(self):
        # This client waits for its last poll, which may take as long as a heartbeat.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.client.disconnect(), 2)

    @classmethod
    async def connect(cls, stack, namespaces=("/",), auth=None, query="", headers=None, **settings):
        peer = cls(stack, list(namespaces), **settings)
        await peer.client.connect(
            next(urls) + query, transports=transports, namespaces=list(namespaces), auth=auth, headers=headers or {}, wait_timeout=10
        )
        return peer

    def on(self, event):
        """Names an event before it can arrive."""
        if event not in self.heard:
            queue = self.heard[event] = asyncio.Queue()

            async def put(*args):
                await queue.put(list(args))

            self.client.on(event, put, namespace=self.namespace)
        return self.heard[event]

    async def next(self, event):
        return await asyncio.wait_for(self.on(event).get(), 10)

    async def emit(self, event, *args):
        await self.client.emit(event, args, namespace=self.namespace)

    async def ask(self, event, *args):
        return await self.client.call(event, args, namespace=self.namespace, timeout=8)


async def refusal(stack, namespace, auth):
    """What a client that is not let in is told."""
    peer = Peer(stack, [namespace])
    with contextlib.suppress(TimeoutError, socketio.exceptions.ConnectionError):
        await asyncio.wait_for(peer.client.connect(next(urls), transports=transports, namespaces=[namespace], auth=auth), 5)
        raise AssertionError("it was let in")
    return await asyncio.wait_for(peer.errors.get(), 5)


async def spread(stack, least=3):
    """As many clients as there are nodes, one on each, and at least three."""
    found = {}
    for _ in range(12 * opts.nodes):
        if len(found) == opts.nodes:
            break
        peer = await Peer.connect(stack)
        node = (await peer.ask("whoami"))["node"]
        if node in found:
            await peer.client.disconnect()
        else:
            found[node] = peer
    assert len(found) == opts.nodes, "every node is reached"
    peers = list(found.values())
    while len(peers) < least:
        peers.append(await Peer.connect(stack))
    return peers


VALUES = [[], [1, -2.5, 0], ["", "größe \U0001f41a \u2028"], [True, False, None], [{"z": 1, "a": {"y": [], "b": {}}}], ["x" * 200000]]


@case
async def connects_and_the_ids_agree(stack):
    peer = await Peer.connect(stack)
    me = await peer.ask("whoami")
    assert me["id"] == peer.client.get_sid() and me["namespace"] == "/", me
    assert peer.client.transport() == transports[-1], peer.client.transport()


@case
async def a_payload_and_a_query(stack):
    peer = await Peer.connect(stack, auth={"token": "a b", "n": [1, None]}, query="/?name=x%20y")
    shake = await peer.ask("handshake")
    assert shake["auth"] == {"token": "a b", "n": [1, None]}, shake
    assert shake["query"]["name"] == "x y", shake


@case
async def headers_of_the_handshake(stack):
    peer = await Peer.connect(stack, headers={"x-test": "yes"})
    assert (await peer.ask("handshake"))["headers"]["x-test"] == "yes"


@case
async def several_namespaces(stack):
    peer = await Peer.connect(stack, namespaces=["/", "/custom", "/room-5"])
    names = [(await peer.client.call("whoami", namespace=name, timeout=8))["namespace"] for name in ("/", "/custom", "/room-5")]
    assert names == ["/", "/custom", "/room-5"], names
    assert len({peer.client.get_sid(name) for name in names}) == 3


@case
async def an_unknown_namespace_is_refused(stack):
    error = await refusal(stack, "/nobody", None)
    assert error == {"message": "Invalid namespace"} or error == "Invalid namespace", error


@case
async def a_middleware_refuses_with_data(stack):
    error = await refusal(stack, "/guarded", {"token": "closed"})
    assert error == {"message": "not allowed", "data": {"code": 7, "hint": "say open"}}, error


@case
async def a_middleware_lets_in(stack):
    peer = await Peer.connect(stack, namespaces=["/guarded"], auth={"token": "open"})
    assert await peer.ask("put", "more", 1) == {"seen": ["first", "second"], "more": 1}


@case
async def events_come_back(stack):
    peer = await Peer.connect(stack)
    peer.on("echo-back")
    for args in VALUES:
        await peer.emit("echo", *args)
        assert await peer.next("echo-back") == args


@case
async def a_hundred_events_in_order(stack):
    peer = await Peer.connect(stack)
    peer.on("echo-back")
    # This client takes at most 16 packets with one poll.
    for burst in range(10):
        for n in range(10):
            await peer.emit("echo", burst, n)
        assert [await peer.next("echo-back") for _ in range(10)] == [[burst, n] for n in range(10)]


@case
async def acknowledgements_of_the_server(stack):
    peer = await Peer.connect(stack)
    for args in VALUES[1:]:
        answer = await peer.ask("echo-ack", *args)
        assert answer == (args[0] if len(args) == 1 else tuple(args)), answer


@case
async def acknowledgements_of_the_client(stack):
    peer = await Peer.connect(stack)

    async def question(a, b):
        return {"sum": a + b}

    peer.client.on("question", question)
    assert await peer.ask("ask", 5000, "question", [1, 2]) == {"value": {"sum": 3}}


@case
async def a_client_that_does_not_acknowledge_in_time(stack):
    peer = await Peer.connect(stack)

    async def question():
        await asyncio.sleep(1)

    peer.client.on("question", question)
    assert await peer.ask("ask", 100, "question", []) == {"error": "timeout"}


@case
async def bytes_both_ways(stack):
    peer = await Peer.connect(stack)
    value = {"one": bytes(range(9)), "two": [b"", bytes(100000)]}
    peer.on("echo-back")
    await peer.emit("echo", "x", value)
    assert await peer.next("echo-back") == ["x", value]
    assert await peer.ask("echo-ack", value) == value

    async def question(given):
        return {"given": given}

    peer.client.on("question", question)
    assert await peer.ask("ask", 5000, "question", [b"\x01\x02"]) == {"value": {"given": b"\x01\x02"}}


@case
async def a_catch_all_handler_of_the_server(stack):
    peer = await Peer.connect(stack)
    peer.on("any-heard")
    await peer.emit("any:one", 1, "x")
    assert await peer.next("any-heard") == ["any:one", [1, "x"]]


@case
async def a_middleware_of_the_socket(stack):
    peer = await Peer.connect(stack)
    peer.on("middleware-error")
    await peer.emit("forbidden")
    assert await peer.next("middleware-error") == ["forbidden here"]


@case
async def rooms(stack):
    peers = await spread(stack)
    name, event, everyone = unique("room"), unique("event"), unique("everyone")
    for peer in peers:
        peer.on(event), peer.on(everyone)
    for peer in peers[1:]:
        await peer.ask("join", name)
    await peers[0].ask("cast", {"to": [name]}, event, [1, {"x": b"12"}])
    await peers[1].ask("cast", {"via": "socket", "to": [name]}, event, [2])
    await peers[0].ask("cast", {"via": "io"}, everyone, [])
    for index, peer in enumerate(peers):
        await peer.next(everyone)
        # The two senders may sit on different nodes, so the second event can come last.
        wanted = {0: [], 1: [[1, {"x": b"12"}]]}.get(index, [[1, {"x": b"12"}], [2]])
        heard = [await peer.next(event) for _ in wanted]
        assert sorted(heard, key=lambda args: args[0]) == wanted, (index, heard)


@case
async def acknowledgements_of_a_room(stack):
    peers = await spread(stack)
    name = unique("room")
    for index, peer in enumerate(peers):

        async def question(index=index):
            return index

        peer.client.on("question", question)
        await peer.ask("join", name)
    answer = await peers[0].ask("cast-ack", {"to": [name]}, 5000, "question", [])
    assert answer["error"] is None and sorted(answer["answers"]) == list(range(len(peers))), answer


@case
async def sockets_of_every_node_are_fetched(stack):
    peers = await spread(stack)
    name = unique("room")
    for index, peer in enumerate(peers):
        await peer.ask("join", name)
        await peer.ask("put", "index", index)
    found = await peers[0].ask("fetch", {"to": [name]})
    assert sorted(one["data"]["index"] for one in found) == list(range(len(peers))), found
    assert {one["id"] for one in found} == {peer.client.get_sid() for peer in peers}


@case
async def the_server_disconnects(stack):
    for close in (False, True):
        peer = await Peer.connect(stack)
        await peer.emit("kick", close)
        assert await asyncio.wait_for(peer.reasons.get(), 5) in ("server disconnect", "transport close")


@case
async def the_client_disconnects(stack):
    peer, watcher = await Peer.connect(stack), await Peer.connect(stack)
    key = unique("key")
    await peer.ask("remember", key)
    await peer.client.disconnect()
    for _ in range(100):
        reason = await watcher.ask("reason", key)
        if reason or opts.nodes > 1:
            break
        await asyncio.sleep(0.01)
    assert opts.nodes > 1 or reason["reason"] in (
        "client namespace disconnect",
        "transport close",
        "transport error",
    ), reason


async def outcome(act):
    """Why a case failed, or None."""
    try:
        async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
            await act(stack)
    except Exception as error:  # every failure of a case is its verdict
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__]
        return f"{error!r} (line {frames[-1].lineno if frames else '?'})"


async def main():
    wanted = [act for act in cases if opts.name in act.__name__]
    queue, failed = list(wanted), []

    async def work():
        while queue:
            act = queue.pop(0)
            why = await outcome(act)
            if why is not None:
                failed.append({"name": act.__name__.replace("_", " "), "why": why})

    await asyncio.gather(*(work() for _ in range(6)))
    ok = not failed and bool(wanted)
    print(json.dumps({"ok": ok, "passed": len(wanted) - len(failed), "failed": failed}), flush=True)
    sys.exit(0 if ok else 1)


asyncio.run(main())
