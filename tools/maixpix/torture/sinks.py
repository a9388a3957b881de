"""Scripted receivers of uploads: a tus server and a raw TCP listener, which remember what they have and what they said.

Like the companion, the tus server and the listener that reads a line keep a file once, however often it comes, and
refuse one whose digest is not the one that was told. The plain listener keeps what came until the link ended.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from maixpix.torture.pages import EVIL, digest_field
from maixpix.torture.scenario import FILES, HOST, Lie
from maixpix.torture.talk import Do, Request, Step, Talk, head


@dataclass
class Partial:
    """An upload that the tus server knows: its whole length, what its metadata say, what it has of it."""

    length: int
    facts: dict[str, str]
    data: bytearray = field(default_factory=bytearray)


class Sink:
    """What the receivers have: `stored` by digest, `names` under which each came first, `times` how often it came."""

    def __init__(self, server: dict[str, Any]) -> None:
        self.stored: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        self.times: dict[str, int] = {}
        self.partial: dict[str, Partial] = {}
        self.tells = bool(server.get("digest", True))
        """It tells the digest of what it has; else it checks sums of pieces."""
        self._serial = 0

    def store(self, name: str, data: bytes) -> str:
        """Keep a whole file; returns its digest."""
        digest = hashlib.sha256(data).hexdigest()
        self.stored[digest] = bytes(data)
        self.names.setdefault(digest, name)
        self.times[digest] = self.times.get(digest, 0) + 1
        return digest

    # -- tus ----------------------------------------------------------------------------------------------

    def answer(self, request: Request, body: bytes, do: str) -> Iterator[Step]:
        """What the tus server does with a request whose `body` is whole, and answers; `do` is a lie or ""."""
        if do in _STATUS:
            yield head(_STATUS[do], ("Content-Length", 0), ("Retry-After", 1))
        elif do == "silent":
            yield Do.STAY
        elif do == "junk":
            yield bytes(range(256)) * 4
        else:
            if do == "forget":
                self.partial.clear()
            said = self._obey(request, body, do)
            if do == "lose-answer":
                yield Do.RESET
            elif do == "drip":
                for at in range(len(said)):
                    yield said[at : at + 1]
                    yield 10
            else:
                if do == "slow":
                    yield 6000
                yield said

    def _obey(self, request: Request, body: bytes, do: str) -> bytes:
        if request.method == "OPTIONS":
            algorithms = [] if self.tells else [("Tus-Checksum-Algorithm", "md5,sha256")]
            return head("204 No Content", ("Tus-Resumable", "1.0.0"), *algorithms)
        if request.method == "POST":
            return self._create(request, body, do)
        found = self.partial.get(request.path)
        if found is None or request.method not in ("HEAD", "PATCH"):
            return head("404 Not Found", ("Content-Length", 0))
        if request.method == "HEAD":
            return self._state("200 OK", found, do)
        if request.number("upload-offset") != len(found.data):
            return head("409 Conflict", ("Content-Length", 0))
        return self._append(request.path, request, body, found, "204 No Content", do)

    def _create(self, request: Request, body: bytes, do: str) -> bytes:
        length = request.number("upload-length")
        if length < 0:
            return head("400 Bad Request", ("Content-Length", 0))
        self._serial += 1
        path = f"/files/{self._serial:08}"
        made = self.partial[path] = Partial(length, _facts(request.fields.get("upload-metadata", "")))
        if do == "other-location":
            return head("201 Created", ("Location", f"http://{EVIL}{path}"), ("Upload-Offset", 0))
        where = [] if do == "no-location" else [("Location", f"http://{HOST}:{FILES}{path}")]
        return self._append(path, request, body, made, "201 Created", do, *where)

    def _append(
        self,
        path: str,
        request: Request,
        body: bytes,
        upload: Partial,
        status: str,
        do: str,
        *fields: tuple[str, object],
    ) -> bytes:
        """Take `body`, unless a sum says that it is not what was sent; then what is whole is kept."""
        told = request.fields.get("upload-checksum", "")
        if told.startswith("sha256 ") and told[7:] != base64.b64encode(hashlib.sha256(body).digest()).decode():
            return head("460 Checksum Mismatch", ("Content-Length", 0))
        if len(upload.data) + len(body) > upload.length:
            return head("413 Content Too Large", ("Content-Length", 0))
        upload.data += body
        if len(upload.data) == upload.length:
            promised = {upload.facts.get("sha256", ""), _promised(request.fields.get("repr-digest", ""))} - {""}
            if promised - {hashlib.sha256(upload.data).hexdigest()}:
                del self.partial[path]
                return head("460 Checksum Mismatch", ("Content-Length", 0))
            if do == "wrong-digest":
                del self.partial[path]  # it has something else than it was sent, and says so
            else:
                self.store(upload.facts.get("filename", ""), bytes(upload.data))
        return self._state(status, upload, do, *fields)

    def _state(self, status: str, upload: Partial, do: str, *fields: tuple[str, object]) -> bytes:
        offset = len(upload.data) + {"wrong-offset": 1, "huge-offset": 10**9}.get(do, 0)
        more: list[tuple[str, object]] = [("Tus-Resumable", "1.0.0"), ("Upload-Offset", offset), *fields]
        if self.tells and len(upload.data) == upload.length:
            more.append(("Repr-Digest", digest_field(b"another" if do == "wrong-digest" else bytes(upload.data))))
        return head(status, *more, ("Content-Length", 0))


_STATUS = {
    "500": "500 Internal Server Error",
    "503": "503 Service Unavailable",
    "404": "404 Not Found",
    "413": "413 Content Too Large",
}


def _facts(text: str) -> dict[str, str]:
    """Upload-Metadata (tus 1.0) as a dictionary; what is damaged is left out."""
    found = {}
    for pair in text.split(","):
        name, _, value = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            continue
    return found


def _promised(text: str) -> str:
    """The SHA-256 of a field Repr-Digest as hex text, "" when it holds none."""
    if not text.startswith("sha-256=:") or not text.endswith(":"):
        return ""
    try:
        return base64.b64decode(text[9:-1], validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


class TusTalk(Talk):
    """A connection to the tus server."""

    def __init__(self, sink: Sink, lie: Lie | None) -> None:
        super().__init__()
        self._sink = sink
        self._do = lie.do if lie is not None else ""
        self._share = lie.share if lie is not None else 0
        self._answered = False

    def received(self, data: bytes) -> None:
        """Answer once head and body are whole."""
        super().received(data)
        first, found, body = self.heard.partition(b"\r\n\r\n")
        if self._answered or not found:
            return
        request = Request(bytes(first))
        length = max(0, request.number("content-length"))
        if self._do == "reset" and len(body) >= int(length * self._share):
            self._keep_some(request, bytes(body))
            self._answered = True
            self.play([Do.RESET])
        elif len(body) >= length:
            self._answered = True
            self.play(self._sink.answer(request, bytes(body[:length]), self._do))

    def finished(self) -> None:
        """What came of a piece when the link ended is kept."""
        super().finished()
        first, found, body = self.heard.partition(b"\r\n\r\n")
        if found and not self._answered:
            self._answered = True
            self._keep_some(Request(bytes(first)), bytes(body))

    def _keep_some(self, request: Request, body: bytes) -> None:
        upload = self._sink.partial.get(request.path)
        at_its_end = upload is not None and request.number("upload-offset") == len(upload.data)
        if upload is None or request.method != "PATCH" or not at_its_end or "upload-checksum" in request.fields:
            return
        upload.data += body[: upload.length - len(upload.data) - 1]


class RawTalk(Talk):
    """A connection to the raw listener. With `named` a line comes before the file, and one goes back."""

    def __init__(self, sink: Sink, lie: Lie | None, named: bool) -> None:
        super().__init__()
        self._sink = sink
        self._do = lie.do if lie is not None else ""
        self._named = named
        self._done = False

    def connected(self) -> None:
        """A receiver that wants nothing closes at once."""
        if self._do in ("500", "413") and not self._named:
            self._done = True
            self.play([])

    def received(self, data: bytes) -> None:
        """Take bytes; answer when the file is whole."""
        super().received(data)
        if self._done:
            return
        if self._do == "reset" and len(self.heard) > 2000:
            self._done = True
            self.play([Do.RESET])
        elif self._named:
            line, found, body = self.heard.partition(b"\n")
            if found or len(line) > 1000:
                self._take(bytes(line), bytes(body))

    def _take(self, line: bytes, body: bytes) -> None:
        words = [word.partition("=") for word in line.decode("latin-1").split()]
        facts = {name: unquote(value) for name, _, value in words}
        size, promised = facts.get("size", ""), facts.get("sha256", "")
        if not line.startswith(b"#maixpix ") or not (size.isascii() and size.isdigit() and len(size) < 10):
            self._answer([b"error not understood\n"])
        elif len(body) >= int(size):
            data = body[: int(size)]
            if hashlib.sha256(data).hexdigest() != promised:
                self._answer([b"error digest\n"])
                return
            if self._do in _STATUS:
                self._answer([b"error no\n"])
                return
            if self._do != "wrong-digest":
                self._sink.store(facts.get("name", ""), data)
            self._answer(self._words(promised, size))

    def _words(self, digest: str, size: str) -> list[Step]:
        ok = f"ok {digest} {size}\n".encode()
        return {
            "silent": [Do.STAY],
            "lose-answer": [Do.RESET],
            "wrong-digest": [f"ok {'0' * 64} {size}\n".encode()],
            "junk": [b"\x00\xff\n"],
            "slow": [6000, ok],
            "drip": [step for at in range(len(ok)) for step in (ok[at : at + 1], 10)],
        }.get(self._do, [ok])

    def _answer(self, steps: list[Step]) -> None:
        self._done = True
        self.play(steps)

    def finished(self) -> None:
        """Plain: what came is the file."""
        super().finished()
        if not self._named and not self._done and self.heard:
            self._done = True
            self._sink.store("", bytes(self.heard))
