"""An HTTP server whose every path misbehaves in its own way, for downloads: raw sockets, so that anything can be sent.

`CATALOGUE` (in `benchmarks.lies`) says what each path does and what has to come of it. Nothing here knows any client.
"""

from __future__ import annotations

import email.utils
import re
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

OLD = "Mon, 02 Nov 2026 10:00:00 GMT"
NEWER = "Tue, 03 Nov 2026 10:00:00 GMT"
PIECE = 64 * 1024


class Gone(Exception):
    """The connection is over, on purpose or by the peer."""


@dataclass
class Talk:
    """One request and the socket to answer it on. `number` counts the requests for this path from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    number: int
    port: int
    sock: socket.socket
    sent: Counter[str]
    """Bytes sent, by path, for the whole server."""
    others: list[Talk] = field(default_factory=list)
    """Earlier requests for this path."""

    @property
    def range(self) -> tuple[int, int | None] | None:
        """First and last byte that were asked for."""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        return (int(found[1]), int(found[2]) if found[2] else None) if found else None

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            self.sock.sendall(data)
        except OSError:
            raise Gone from None
        self.sent[self.path.partition("?")[0]] += len(data)

    def head(self, status: str, **headers: object) -> None:
        """Send a status line and headers; underscores become dashes, None leaves a header out, a list repeats it."""
        lines = [f"HTTP/1.1 {status}", f"Date: {email.utils.formatdate(usegmt=True)}"]
        for name, value in headers.items():
            values = value if isinstance(value, list) else [value]
            lines += [f"{name.replace('_', '-')}: {one}" for one in values if one is not None]
        self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    def drip(self, data: bytes, piece: int, pause_s: float) -> None:
        """Send slowly."""
        for start in range(0, len(data), piece):
            self.raw(data[start : start + piece])
            time.sleep(pause_s)

    def cut(self) -> None:
        """Close in an orderly way."""
        raise Gone

    def reset(self) -> None:
        """Close with a reset."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def stall(self, seconds: float) -> None:
        """Say nothing for a while, or until the peer has gone."""
        self.sock.settimeout(seconds)
        try:
            if not self.sock.recv(1):
                raise Gone
        except TimeoutError:
            self.sock.settimeout(30)
        except OSError:
            raise Gone from None

    def serve(
        self,
        content: bytes,
        *,
        etag: str | None = '"v1"',
        modified: str | None = OLD,
        ranges: bool = True,
        if_range: bool = True,
        cut_at: int | None = None,
        reset: bool = False,
        shown: Mapping[str, object] | None = None,
        pause_s: float = 0.0,
        length: bool = True,
    ) -> None:
        """The answer of an honest server, of which `cut_at` lets only so many body bytes through; `shown` overrides.

        `ranges` and `if_range` say whether these headers are understood, `length` whether the length is told.
        """
        size, first, last = len(content), 0, len(content) - 1
        headers: dict[str, object] = {"ETag": etag, "Last_Modified": modified, "Content_Type": "application/x-test"}
        status = "200 OK"
        if ranges:
            headers["Accept_Ranges"] = "bytes"
        known = self.headers.get("if-none-match"), self.headers.get("if-modified-since")
        if (known[0] and known[0] == etag) or (known[0] is None and known[1] and known[1] == modified):
            self.head("304 Not Modified", ETag=etag, Last_Modified=modified)
            return
        condition = self.headers.get("if-range")
        is_same = condition is None or not if_range or condition in (etag, modified)
        if ranges and self.range is not None and is_same and self.method == "GET":
            first, last = self.range[0], min(last, self.range[1] if self.range[1] is not None else last)
            if first >= size:
                headers |= {"Content_Range": f"bytes */{size}", "Content_Length": 0} | dict(shown or {})
                self.head("416 Range Not Satisfiable", **headers)
                return
            status, headers["Content_Range"] = "206 Partial Content", f"bytes {first}-{last}/{size}"
        body = content[first : last + 1]
        headers["Content_Length"] = len(body) if length else None
        if not length:
            headers["Connection"] = "close"
        headers |= shown or {}
        self.head(status, **headers)
        if self.method == "HEAD":
            return
        if pause_s:
            self.drip(body if cut_at is None else body[:cut_at], PIECE, pause_s)
        else:
            self.raw(body if cut_at is None else body[:cut_at])
        if cut_at is not None and cut_at < len(body):
            self.reset() if reset else self.cut()
        if not length:
            self.cut()


Behaviour = Callable[[Talk], None]


class LyingServer:
    """Serves `behaviours` by the first part of the path; a context. Every connection has its own thread.

    With `tls` it speaks https, by the name of localhost.
    """

    def __init__(self, behaviours: Mapping[str, Behaviour], tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.behaviours = behaviours
        self.sent: Counter[str] = Counter()
        self.talks: dict[str, list[Talk]] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()

    def __enter__(self) -> LyingServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *ignored: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def url(self, path: str) -> str:
        """The address of a behaviour; what follows a slash in `path` tells runs apart."""
        where = "http://127.0.0.1" if self._tls is None else "https://localhost"
        return f"{where}:{self.port}/{path}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(sock)
            threading.Thread(target=self._attend, args=(sock,), daemon=True).start()

    def _attend(self, sock: socket.socket) -> None:
        sock.settimeout(30)
        if self._tls is not None:
            try:
                sock = self._tls.wrap_socket(sock, server_side=True)
            except OSError:  # the client does not trust it
                sock.close()
                return
        buffer = b""
        with sock, suppress(Gone, OSError):
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = sock.recv(PIECE)
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                self._answer(sock, head.decode("latin-1"))
        with self._lock:
            self._open.discard(sock)

    def _answer(self, sock: socket.socket, head: str) -> None:
        first, *lines = head.split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
        key = path.partition("?")[0]
        with self._lock:
            others = list(self.talks.setdefault(key, []))
            talk = Talk(method, path, headers, len(others) + 1, self.port, sock, self.sent, others)
            self.talks[key].append(talk)
        self.behaviours[path.split("/")[1].partition("?")[0]](talk)
