"""A telephone in the network of a virtual board: joins it, asks for names, fetches pages and posts forms, in virtual
time. Whatever it does next is told by functions that are called with what came."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from virtualboard.clock import MS, SECOND
from virtualboard.network import Script, Visitor

HOME = "4.3.2.1"
QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07captive\x05apple\x03com\x00\x00\x01\x00\x01"


@dataclass
class Answer:
    """What a server said: status, fields by lower-case name, body with its chunks put together."""

    path: str
    status: int
    fields: dict[str, str]
    body: str
    size: int

    @property
    def token(self):
        return re.search(r'name="csrf" value="(\w+)"', self.body)[1]


class _Request(Script):
    def __init__(self, path, data, then):
        self._path, self._data, self._then = path, data, then
        self._heard = bytearray()

    def connected(self):
        self.send(self._data)

    def received(self, data):
        self._heard += data

    def finished(self):
        if self._then is not None and self._heard:
            self._then(parsed(self._path, bytes(self._heard)))


def parsed(path, data):
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if fields.get("transfer-encoding") == "chunked":
        out = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            out, body = out + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        body = out
    elif "content-length" in fields and body:
        assert int(fields["content-length"]) == len(body)
    return Answer(path, int(first.split()[1]), fields, body.decode(), len(data))


class Telephone:
    """`board` is a virtual board that is not running yet. Everything that comes is kept in `answers`."""

    def __init__(self, board, mac="02:00:00:00:00:09"):
        self.board = board
        self.visitor = Visitor(board.network, board.modem.own, mac)
        self.answers: list[Answer] = []
        self.names: list[bytes | None] = []
        board.network.listen_on = None  # nothing here takes real time

    def after(self, seconds, action):
        self.board.clock.after(round(seconds * SECOND), action)

    def when_open(self, then):
        """Join the board's network as soon as it is on the air with a key, then call `then()`."""
        own = self.board.modem.own
        if own.on and own.key:
            self.after(1, lambda: self.visitor.join(own.key, done=then))
        else:
            self.board.clock.after(200 * MS, lambda: self.when_open(then))

    def ask_name(self, then=None):
        def told(data):
            self.names.append(data)
            if then is not None:
                then()

        self.visitor.resolve(QUESTION, told)

    def get(self, path, then=None, host=HOME, method="GET", body=b"", fields=""):
        def came(answer):
            self.answers.append(answer)
            if then is not None:
                then(answer)

        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}"
        if body:
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        return self.visitor.call(_Request(path, head.encode() + b"\r\n" + body, came))

    def post(self, path, form, then=None, **more):
        return self.get(path, then, method="POST", body=urlencode(form).encode(), **more)

    def join(self, page, then, **form):
        """Fill in the form of the portal's `page`; `then(answer)` gets the page on which that ends."""

        def look(_):
            self.after(4, lambda: self.get("/state", settled))

        def settled(answer):
            if answer.status == 303:
                self.get("/", then)
            elif "Joining" in answer.body:
                self.after(3, lambda: self.get("/state", settled))
            else:
                then(answer)

        self.post("/join", {"csrf": page.token, **form}, look)
