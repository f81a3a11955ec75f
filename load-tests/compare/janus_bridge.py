"""WHIP (RFC 9725) and WHEP in front of the API of Janus' VideoRoom plugin, for load tests; standard library only.

A POST to /whip/ROOM/IDENTITY publishes as IDENTITY. Janus makes the offers that subscribers answer, so that playing is WHEP with
the server's offer: an empty POST is answered with an offer, a PATCH of what `Location` names brings the answer. POST to
/whep/ROOM/IDENTITY plays what IDENTITY publishes, to /others/ROOM/IDENTITY what everybody but IDENTITY publishes, in one connection.
DELETE of what `Location` names ends either.

What always holds: only loopback is listened on; when Janus ends so does the bridge; every request is bounded in time.
"""

import argparse
import http.client
import itertools
import json
import os
import queue
import shutil
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

# Longest wait for an answer of Janus, seconds.
TIMEOUT = 10
# Longest session description, bytes.
SDP_BYTES = 256 * 1024
# Longest answer of Janus, bytes.
ANSWER_BYTES = 1024 * 1024
# Events of one poll at most, and longer than a poll without any lasts, seconds.
EVENTS = 50
POLL = 60
# Of one room.
PUBLISHERS = 1_000
# What a room is made with: no cap, no recording, nobody told of what nobody asked.
ROOM = {
    "permanent": False,
    "is_private": True,
    "publishers": PUBLISHERS,
    "bitrate": 0,
    "fir_freq": 0,
    "audiocodec": "opus",
    "videocodec": "vp8",
    "record": False,
    "notify_joining": False,
}


class Fault(Exception):
    """Janus refused, or did not answer."""


class Janus:
    """One session with Janus: requests of many threads, and one long poll that brings what happens later."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.address, self.base = parts.netloc, parts.path
        self.numbers = itertools.count(1)
        self.waiting = {}
        self.threads = threading.local()
        wait_for(parts.hostname, parts.port)
        self.session = self.post(self.base, {"janus": "create", "transaction": "0"})["data"]["id"]
        threading.Thread(target=self.poll, daemon=True).start()

    def exchange(self, method, path, body=None):
        """One request over this thread's own connection."""
        if not hasattr(self.threads, "connection"):
            self.threads.connection = http.client.HTTPConnection(self.address, timeout=POLL)
        connection = self.threads.connection
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        return json.loads(connection.getresponse().read(ANSWER_BYTES))

    def post(self, path, message):
        answer = self.exchange("POST", path, json.dumps(message))
        if answer["janus"] == "error":
            raise Fault(answer["error"]["reason"])
        return answer

    def poll(self):
        """Hands each event to the request it answers; ends the bridge when Janus is gone."""
        try:
            while True:
                events = self.exchange("GET", f"{self.base}/{self.session}?maxev={EVENTS}")
                for event in events if isinstance(events, list) else [events]:
                    answers = self.waiting.get(event.get("transaction"))
                    if answers is not None:
                        answers.put(event)
        except (OSError, ValueError, http.client.HTTPException):
            END.set()

    def request(self, kind, handle=None, **fields):
        """Sends a request, and gives what answers it: at once, or as an event."""
        transaction = str(next(self.numbers))
        answers = self.waiting[transaction] = queue.Queue()
        path = "/".join(str(part) for part in (self.base, self.session, handle) if part is not None)
        try:
            answer = self.post(path, {"janus": kind, "transaction": transaction, **fields})
            if answer["janus"] == "ack":
                answer = answers.get(timeout=TIMEOUT)
        except (queue.Empty, OSError, http.client.HTTPException):
            raise Fault(f"no answer to {kind}") from None
        finally:
            del self.waiting[transaction]
        return answer

    def attach(self):
        """A handle of the VideoRoom plugin."""
        return self.request("attach", plugin="janus.plugin.videoroom")["data"]["id"]

    def detach(self, handle):
        self.request("detach", handle)

    def say(self, handle, jsep=None, **body):
        """Asks the plugin. Gives its answer, and the session description that came with it."""
        fields = {"body": body} if jsep is None else {"body": body, "jsep": jsep}
        answer = self.request("message", handle, **fields)
        data = answer["plugindata"]["data"]
        if "error" in data:
            raise Fault(data["error"])
        return data, answer.get("jsep", {}).get("sdp", "")


def wait_for(host, port):
    """Until Janus, which may be starting, takes connections."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            socket.create_connection((host, port), TIMEOUT).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Rooms:
    """The rooms that were made, and who publishes in each."""

    def __init__(self, janus):
        self.janus = janus
        self.maker = janus.attach()
        self.making = threading.Lock()
        self.made = set()

    def ensure(self, room):
        with self.making:
            if room not in self.made:
                self.janus.say(self.maker, request="create", room=room, **ROOM)
                self.made.add(room)

    def publishers(self, room):
        data, _ = self.janus.say(self.maker, request="listparticipants", room=room)
        return [str(one["id"]) for one in data["participants"] if one["publisher"]]


class Handler(BaseHTTPRequestHandler):
    """One request by HTTP."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave in pieces; what waits for an acknowledgement is a join that waits.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        def answer():
            kind, room, identity = self.words(3)
            open_one = {"whip": publish, "whep": play_one, "others": play_others}[kind]
            handle = JANUS.attach()
            try:
                sdp = open_one(handle, room, identity, self.body())
            except Exception:
                JANUS.detach(handle)
                raise
            self.reply(201, sdp, Location=f"/handle/{handle}")

        self.guarded(answer)

    def do_PATCH(self):
        def answer():
            jsep = {"type": "answer", "sdp": self.body()}
            JANUS.say(self.handle_id(), jsep, request="start")
            self.reply(204)

        self.guarded(answer)

    def do_DELETE(self):
        def answer():
            JANUS.detach(self.handle_id())
            self.reply(200)

        self.guarded(answer)

    def guarded(self, answer):
        try:
            answer()
        except (KeyError, ValueError) as error:
            self.reply(400, f"{error}\n")
        except Fault as fault:
            self.reply(502, f"{fault}\n")

    def words(self, count):
        words = [unquote(word) for word in urlsplit(self.path).path.split("/")[1:]]
        if len(words) != count or not all(words):
            raise ValueError("what a path names: see the head of this program")
        return words

    def handle_id(self):
        return int(self.words(2)[1])

    def body(self):
        length = int(self.headers.get("Content-Length", 0))
        if not 0 <= length <= SDP_BYTES:
            raise ValueError("too long")
        return self.rfile.read(length).decode()

    def reply(self, status, body="", **headers):
        body = body.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status == 201:
            self.send_header("Content-Type", "application/sdp")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def publish(handle, room, identity, offer):
    ROOMS.ensure(room)
    jsep = {"type": "offer", "sdp": offer}
    _, sdp = JANUS.say(handle, jsep, request="joinandconfigure", ptype="publisher", room=room, id=identity)
    return sdp


def play_one(handle, room, identity, _):
    return play(handle, room, [identity])


def play_others(handle, room, identity, _):
    return play(handle, room, [one for one in ROOMS.publishers(room) if one != identity])


def play(handle, room, feeds):
    streams = [{"feed": feed} for feed in feeds]
    _, sdp = JANUS.say(handle, request="join", ptype="subscriber", room=room, streams=streams)
    return sdp


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # Clients that join at once.
    request_queue_size = 1_024


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="where to listen, on loopback")
    parser.add_argument("--janus", required=True, help="the address of Janus' API")
    parser.add_argument("--remove", help="a folder to remove in the end")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = options()
    # It was started beside the server, but is no part of it: any core will do.
    os.sched_setaffinity(0, range(os.cpu_count()))
    END = threading.Event()
    try:
        JANUS = Janus(OPTIONS.janus)
        ROOMS = Rooms(JANUS)
        # Who connects finds Janus ready.
        SERVER = Server(("127.0.0.1", OPTIONS.port), Handler)
        threading.Thread(target=SERVER.serve_forever, daemon=True).start()
        END.wait()
    except (OSError, Fault) as fault:
        sys.exit(f"janus_bridge: {fault}")
    finally:
        if OPTIONS.remove:
            shutil.rmtree(OPTIONS.remove, ignore_errors=True)
