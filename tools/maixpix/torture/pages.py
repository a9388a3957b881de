"""The scripted server of pictures: what it serves, and all the ways in which it does that wrong.

It serves one path; which picture that is changes over time. A digest, where it tells one, is right, but for the lie of
that name. So whatever it does, a client can find out; what nobody could find out is not among the lies.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from maixpix.torture.pictures import pool
from maixpix.torture.scenario import HOST, Lie
from maixpix.torture.talk import Do, Request, Step, Talk, head

EVIL = "evil"
"""A host that no setting names; redirects lead there."""

PATH = "/a.jpg"


class Shelf:
    """The server: which picture it has now (`current`, a number of the pool), and how it serves it."""

    def __init__(self, server: dict[str, Any], pictures: list[int]) -> None:
        self.pictures = pictures
        self.answers = 0
        """Whole pictures, parts and 304s that were sent honestly."""
        self._server = server
        self._at = 0

    @property
    def current(self) -> int:
        """Number of the picture that it has now."""
        return self.pictures[self._at]

    def change(self, last: bool = False) -> None:
        """It has another picture from now on; the last one only when `last`."""
        self._at = len(self.pictures) - 1 if last else min(self._at + 1, max(0, len(self.pictures) - 2))

    def honest(self, request: Request) -> Iterator[Step]:
        """The right answer to `request`."""
        if request.method != "GET" or request.path != PATH:
            yield head("404 Not Found", ("Content-Length", 0))
            return
        self.answers += 1
        fields = request.fields
        tag = self._tag()
        if tag and fields.get("if-none-match") == tag:
            yield head("304 Not Modified", ("ETag", tag))
            return
        yield from self._answer(*self._range(request))

    def _range(self, request: Request) -> tuple[int, int]:
        """(first byte, 206) of a range that is asked for and can be given, else (0, 200)."""
        text = request.fields.get("range", "")
        first = text.removeprefix("bytes=").removesuffix("-")
        asked = self._server.get("ranges") and text.startswith("bytes=") and text.endswith("-") and first.isdigit()
        same = request.fields.get("if-range", self._validator()) == self._validator() != ""
        if asked and same and len(first) < 9 and 0 < int(first) < len(self.data):
            return int(first), 206
        return 0, 200

    @property
    def data(self) -> bytes:
        """The file that it has now."""
        return pool()[self.current]

    def _tag(self) -> str:
        kind = self._server.get("validator", "etag")
        return {"etag": f'"v{self.current}"', "weak": f'W/"v{self.current}"'}.get(kind, "")

    def _date(self) -> str:
        return f"Wed, 01 Jan 2020 00:00:{self.current:02} GMT"

    def _validator(self) -> str:
        return self._date() if self._server.get("validator") == "date" else self._tag()

    def _answer(self, first: int = 0, status: int = 200, **changed: Any) -> Iterator[Step]:
        """The file from byte `first` on. `changed`: other "data", "length", "framing", "fields" than right ones."""
        data = changed.get("data", self.data)
        body = data[first:]
        framing = changed.get("framing", self._server.get("framing", "length"))
        fields = [("Content-Type", "image/jpeg"), *self._facts(data, first, status), *changed.get("fields", ())]
        if framing == "chunked":
            fields.append(("Transfer-Encoding", "chunked"))
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces(body, 1000)) + b"0\r\n\r\n"
        elif framing == "length":
            fields.append(("Content-Length", changed.get("length", len(body))))
        yield head("206 Partial Content" if status == 206 else "200 OK", *fields)
        yield body

    def _facts(self, data: bytes, first: int, status: int) -> list[tuple[str, object]]:
        fields: list[tuple[str, object]] = []
        if self._tag():
            fields.append(("ETag", self._tag()))
        if self._server.get("validator") == "date":
            fields += [("Last-Modified", self._date()), ("Date", "Thu, 02 Jan 2020 00:00:00 GMT")]
        if self._server.get("digest"):
            fields.append(("Repr-Digest", digest_field(data)))
        if status == 206:
            fields.append(("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}"))
        return fields

    # -- lies ---------------------------------------------------------------------------------------------

    def steps(self, request: Request, lie: Lie | None) -> Iterator[Step]:
        """What is answered to `request`: the truth without a lie."""
        if lie is None:
            return self.honest(request)
        if lie.do == "change":
            self.change()
            return self.honest(request)
        if lie.do in _BODIES:
            return _BODIES[lie.do](self.honest(request), lie.share)
        if lie.do in _WORDS:
            return iter(_WORDS[lie.do]())
        return self._lie(request, lie.do)

    def _lie(self, request: Request, do: str) -> Iterator[Step]:
        size = len(self.data)
        if do == "short-length":
            yield from self._answer(framing="length", length=size - 500)
        elif do == "long-length":
            yield from self._answer(framing="length", length=size + 500)
        elif do == "wrong-digest":
            yield from self._wrong_digest()
        elif do == "no-range":
            yield from self._answer()
        elif do == "other-range":
            first, status = self._range(request)
            yield from self._answer(max(0, first - 512) if status == 206 else 512, 206)
        elif do == "noise":
            yield from self._answer(data=random.Random(size).randbytes(9000))
        elif do == "torn":
            yield from self._answer(data=self.data[: size * 2 // 3])
        elif do == "endless":
            yield head("200 OK", ("Content-Type", "image/jpeg"))
            while True:
                yield self.data[:1024]
                yield 20
        elif do == "not-modified":
            yield head("304 Not Modified", ("ETag", '"never"'))
        elif do == "gzip":
            yield from self._answer(fields=[("Content-Encoding", "gzip")])
        else:
            yield from self._chunk_lie(do)

    def _wrong_digest(self) -> Iterator[Step]:
        """As if it told the digest of another file; nothing else is told, so that the right one is not there too."""
        fields = [("Repr-Digest", digest_field(b"another")), ("Content-Length", len(self.data))]
        yield head("200 OK", ("Content-Type", "image/jpeg"), *fields)
        yield self.data

    def _chunk_lie(self, do: str) -> Iterator[Step]:
        """The body in chunks, the second of which has a wrong head, or an end that does not come."""
        yield head("200 OK", ("Content-Type", "image/jpeg"), ("Transfer-Encoding", "chunked"))
        first, rest = self.data[:1000], self.data[1000:]
        yield b"3e8\r\n" + first + b"\r\n"
        size = {"bad-chunk": b"zz", "huge-chunk": b"ffffffffffff", "chunk-flood": b"%x;%b" % (len(rest), b"x" * 9000)}
        yield size.get(do, b"%x" % len(rest)) + b"\r\n" + rest + b"\r\n"


def digest_field(data: bytes) -> str:
    """The field Repr-Digest of `data` (RFC 9530)."""
    return "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """`data` in pieces of `size` bytes."""
    return (data[at : at + size] for at in range(0, len(data), size))


def _whole(steps: Iterable[Step]) -> bytes:
    return b"".join(step for step in steps if isinstance(step, bytes))


def _split(steps: Iterable[Step], share: float) -> tuple[bytes, bytes]:
    """An answer cut behind its head and `share` of its body."""
    data = _whole(steps)
    body = data.find(b"\r\n\r\n") + 4
    at = body + int((len(data) - body) * share)
    return data[:at], data[at:]


def _silent(steps: Iterable[Step], share: float) -> Iterator[Step]:
    del steps, share
    yield Do.STAY


def _reset(steps: Iterable[Step], share: float) -> Iterator[Step]:
    yield _split(steps, share)[0]
    yield Do.RESET


def _cut(steps: Iterable[Step], share: float) -> Iterator[Step]:
    yield _split(steps, share)[0]


def _stalled(pause_ms: int) -> Callable[[Iterable[Step], float], Iterator[Step]]:
    def stall(steps: Iterable[Step], share: float) -> Iterator[Step]:
        before, behind = _split(steps, share)
        yield before
        yield pause_ms
        yield behind

    return stall


def _drip(steps: Iterable[Step], share: float) -> Iterator[Step]:
    size = 60 + int(200 * share)
    for piece in pieces(_whole(steps), size):
        yield piece
        yield 15


def _interim(steps: Iterable[Step], share: float) -> Iterator[Step]:
    del share
    yield b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 20
    yield from steps


def _twice(steps: Iterable[Step], share: float) -> Iterator[Step]:
    del share
    yield _whole(steps) + head("200 OK", ("Content-Length", 5)) + b"again"


_BODIES: dict[str, Callable[[Iterable[Step], float], Iterator[Step]]] = {
    "silent": _silent,
    "reset": _reset,
    "cut": _cut,
    "stall": _stalled(4000),
    "long-stall": _stalled(12_500),
    "drip": _drip,
    "interim": _interim,
    "twice": _twice,
}
"""What is done to the right answer."""


def _status(line: str, *fields: tuple[str, object]) -> Callable[[], list[Step]]:
    return lambda: [head(line, ("Content-Length", 4), *fields) + b"none"]


def _to(place: str) -> Callable[[], list[Step]]:
    return lambda: [head("302 Found", ("Location", place), ("Content-Length", 0))]


PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Who are you?</body></html>"
_TYPE = ("Content-Type", "text/html")
_MORE = ("Content-Length", 5000)
"""More than comes: whoever can read such a head sees that."""

_WORDS: dict[str, Callable[[], list[Step]]] = {
    "head-flood": lambda: [head("200 OK", *((f"X-{n}", "y" * 50) for n in range(300)), _MORE) + b"x"],
    "long-field": lambda: [head("200 OK", ("X-Long", "y" * 20_000), _MORE) + b"x"],
    "half-close": lambda: [],
    "junk": lambda: [bytes(range(256)) * 8],
    "404": _status("404 Not Found"),
    "500": _status("500 Internal Server Error"),
    "503": _status("503 Service Unavailable", ("Retry-After", 2)),
    "403": _status("403 Forbidden"),
    "511": _status("511 Network Authentication Required"),
    "204": lambda: [head("204 No Content")],
    "page": lambda: [head("200 OK", _TYPE, ("Content-Length", len(PAGE))) + PAGE],
    "redirect-evil": _to(f"http://{EVIL}/login"),
    "redirect-loop": _to(PATH),
    "redirect-tls": _to(f"https://{HOST}{PATH}"),
    "redirect-nowhere": lambda: [head("302 Found", ("Content-Length", 0))],
    "redirect-flood": _to(f"http://{HOST}/" + "a/../" * 900 + "\x1b[2J"),
    "redirect-port": _to(f"http://{HOST}:1/"),
    "redirect-home": _to("http://192.168.4.50/file/card/pix.json"),
    "redirect-scheme": _to("file:///sd/pix.json"),
}
"""Answers that have nothing of the picture."""


class EvilTalk(Talk):
    """A connection to a host that nobody has asked for: a page to log in at, whatever is asked."""

    def received(self, data: bytes) -> None:
        """Answer once the head is whole."""
        super().received(data)
        if b"\r\n\r\n" in self.heard:
            self.play([head("200 OK", _TYPE, ("Content-Length", len(PAGE))) + PAGE])
            self.over = True
