"""A Flask-SocketIO replica that shares a Redis message queue with the others. Prints `listening PORT`.

`/headers` shows what it was sent, `/info` how many sessions it has.
"""

import argparse
import os
import threading

from flask import Flask, jsonify, request
from flask_socketio import SocketIO, emit
from werkzeug.serving import make_server

parser = argparse.ArgumentParser()
parser.add_argument("--name", default="flask")
parser.add_argument("--redis", required=True)
parser.add_argument("--end-with-stdin", action="store_true")
opts = parser.parse_args()

app = Flask(__name__)
socketio = SocketIO(app, async_mode="threading", message_queue=opts.redis)
sessions = set()


@app.get("/headers")
def headers():
    return jsonify({"name": opts.name, "headers": [list(pair) for pair in request.headers]})


@app.get("/info")
def info():
    return jsonify({"name": opts.name, "sessions": len(sessions)})


@socketio.on("connect")
def connect():
    sessions.add(request.sid)


@socketio.on("disconnect")
def disconnect():
    sessions.discard(request.sid)


@socketio.on("whoami")
def whoami():
    return {"node": opts.name}


@socketio.on("say")
def say(text):
    emit("said", {"node": opts.name, "text": text}, broadcast=True)


def end_with_stdin():
    while os.read(0, 4096):
        pass
    os._exit(0)


if opts.end_with_stdin:
    threading.Thread(target=end_with_stdin, daemon=True).start()
server = make_server("127.0.0.1", 0, app, threaded=True)
print(f"listening {server.server_port}", flush=True)
server.serve_forever()
