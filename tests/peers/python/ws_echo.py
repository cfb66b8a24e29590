"""Talks to an echo as wsproto can: the same as ws-echo.js in short, with frames and compression of another hand.

wsproto compresses each fragment with one window and keeps it between messages, unless the answer says otherwise.
"""

import argparse
import json
import os
import socket
import sys
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

parser = argparse.ArgumentParser()
parser.add_argument("--url", default="ws://127.0.0.1:3000/")
opts = parser.parse_args()
url = urlsplit(opts.url)

problems = []
messages = 0


class Echo:
    """One connection."""

    def __init__(self, extensions):
        self.connection = WSConnection(ConnectionType.CLIENT)
        self.socket = socket.create_connection((url.hostname, url.port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = []
        self.send(Request(host=url.netloc, target="/", extensions=extensions))
        self.accepted = self.next()
        assert isinstance(self.accepted, AcceptConnection), self.accepted

    def send(self, event):
        self.socket.sendall(self.connection.send(event))

    def next(self):
        while not self.pending:
            data = self.socket.recv(65536)
            self.connection.receive_data(data or None)
            self.pending.extend(self.connection.events())
        return self.pending.pop(0)

    def message(self):
        """Returns the next message, with the pongs that came before."""
        global messages
        parts, pongs = [], []
        while True:
            event = self.next()
            if isinstance(event, Pong):
                pongs.append(bytes(event.payload))
                continue
            if not isinstance(event, (TextMessage, BytesMessage)):
                raise RuntimeError(f"{event} while a message was expected")
            parts.append(event.data)
            if event.message_finished:
                messages += 1
                return ("" if isinstance(event, TextMessage) else b"").join(parts), pongs


def check(holds, problem):
    if not holds and len(problems) < 10:
        problems.append(problem)


def exchange(extensions):
    echo = Echo(extensions)
    name = f"{[extension.__dict__ for extension in extensions]}"
    for length in (0, 1, 125, 126, 127, 1000, 40000, 65535, 65536, 300000):
        for sent in ("Größe 🦀 "[: 1 + length % 7] * (length // 8) + "x", os.urandom(length), bytes(length)):
            kind = TextMessage if isinstance(sent, str) else BytesMessage
            echo.send(kind(data=sent))
            check(echo.message()[0] == sent, f"{name}: {length} came back differently")
            third = (len(sent) + 2) // 3
            echo.send(kind(data=sent[:third], message_finished=False))
            echo.send(Ping(payload=b"between"))
            echo.send(kind(data=sent[third : 2 * third], message_finished=False))
            echo.send(kind(data=sent[2 * third :]))
            back, pongs = echo.message()
            check(back == sent, f"{name}: {length} came back differently in fragments")
            check(pongs == [b"between"], f"{name}: {pongs} between fragments")
    echo.send(CloseConnection(code=3001, reason="größe"))
    event = echo.next()
    check(isinstance(event, CloseConnection) and event.code == 3001 and event.reason == "größe", f"{name}: {event}")


for offered in (
    [],
    [PerMessageDeflate()],
    [PerMessageDeflate(client_no_context_takeover=True, server_no_context_takeover=True)],
    [PerMessageDeflate(client_max_window_bits=10)],
):
    try:
        exchange(offered)
    except Exception as error:  # what went wrong belongs into the verdict
        check(False, f"{offered}: {error!r}")
print(json.dumps({"ok": not problems, "messages": messages, "problems": problems}), flush=True)
sys.exit(1 if problems else 0)
