"""A python-socketio server as a replica under test; the same events as server.js. Prints `listening PORT`."""

import argparse
import asyncio
import os
import sys
import threading

import socketio
from aiohttp import web

parser = argparse.ArgumentParser()
parser.add_argument("--name", default="python")
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--cors", default=None)
parser.add_argument("--ping-interval", type=int, default=25000)
parser.add_argument("--ping-timeout", type=int, default=20000)
parser.add_argument("--end-with-stdin", action="store_true")
opts = parser.parse_args()

server = socketio.AsyncServer(
    async_mode="aiohttp",
    ping_interval=opts.ping_interval / 1000,
    ping_timeout=opts.ping_timeout / 1000,
    cors_allowed_origins=opts.cors,
)
totals = {"opened": 0, "received": 0, "gaps": 0}
streams = {}


@server.event
async def connect(sid, environ):
    totals["opened"] += 1
    streams[sid] = {"sent": 0, "received": 0, "gaps": 0, "task": None}


@server.event
async def disconnect(sid, reason):
    stop_sending(streams.pop(sid))


@server.event
async def whoami(sid):
    return {"node": opts.name, "transport": server.transport(sid)}


@server.event
async def echo(sid, value):
    return value


@server.event
async def numbered(sid, n):
    stream = streams[sid]
    if n != stream["received"]:
        stream["gaps"] += 1
        totals["gaps"] += 1
    stream["received"] = n + 1
    totals["received"] += 1


@server.event
async def start(sid, every_ms):
    streams[sid]["task"] = asyncio.create_task(send_numbered(sid, every_ms / 1000))


@server.event
async def stop(sid):
    stream = streams[sid]
    stop_sending(stream)
    return {key: stream[key] for key in ("sent", "received", "gaps")}


def stop_sending(stream):
    if stream["task"] is not None:
        stream["task"].cancel()


async def send_numbered(sid, every_seconds):
    stream = streams[sid]
    while True:
        await asyncio.sleep(every_seconds)
        n = stream["sent"]
        stream["sent"] += 1
        await server.emit("numbered", n, to=sid)


async def info(request):
    return web.json_response({"name": opts.name, "sessions": len(streams), **totals})


def end_with_stdin():
    while os.read(0, 4096):
        pass
    os._exit(0)


async def main():
    app = web.Application()
    app.router.add_get("/info", info)
    server.attach(app)
    runner = web.AppRunner(app, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, opts.host, opts.port).start()
    print(f"listening {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if opts.end_with_stdin:
    threading.Thread(target=end_with_stdin, daemon=True).start()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(0)
