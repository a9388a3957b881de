"""One request at a time: what a peer sends ahead waits, within bounds, until the request before it is answered.

aiohttp takes every head apart as soon as it is there, however many lie before it in the line. Behind one request that
takes its time, 8 MB of small ones cost 180 MB of memory and four seconds in which nobody else was answered; behind an
`Upgrade` that nobody takes up, bytes gathered without end. So a connection's bytes are cut at the ends of heads here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from aiohttp import web

from maixpix.companion.problems import Refused

AHEAD = 64 * 1024
"""Bytes that wait before nothing more is read from the peer; below that a peer that hangs up is still noticed."""

_END = re.compile(rb"\n\r?\n")
_PIECE = 4096  # of a body: whole heads may lie behind its end


class OneByOne:
    """Hands the bytes of one connection to `hand_on`: a head, its body, and nothing more until it is answered."""

    def __init__(self, hand_on: Callable[[bytes], None]) -> None:
        self._hand_on = hand_on
        self._held = bytearray()
        self._last = b""  # of the head that is being handed on
        self._wants_head = True
        self._request: web.BaseRequest | None = None
        self._is_answered = False
        self._is_packed = False

    @property
    def is_full(self) -> bool:
        """Whether so much waits that nothing more should be read."""
        return len(self._held) >= AHEAD

    def feed(self, data: bytes) -> None:
        """Bytes from the peer."""
        self._held += data
        self._go_on()

    def began(self, request: web.BaseRequest) -> None:
        """The head that was handed on last is a request: its body may follow.

        Raises `Refused` (415) for a packed body, which aiohttp would unpack as it comes, whoever wants it or not. It is
        never handed on, so that the connection ends with the answer.
        """
        self._request, self._is_answered = request, False
        if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            self._is_packed = True
            raise Refused(415, "packed", "packed bodies are not taken", "send it without Content-Encoding")
        self._go_on()

    def answered(self) -> None:
        """The request is answered: what is left of its body may follow, then the next head."""
        self._is_answered = True
        self._go_on()

    def _go_on(self) -> None:
        while self._held and not self._is_packed:
            if self._request is not None and not self._request.content.is_eof():
                self._pass(_PIECE)
            elif self._request is not None and self._is_answered:
                self._request, self._wants_head, self._last = None, True, b""
            elif self._wants_head:
                self._pass_head()
            else:
                return

    def _pass_head(self) -> None:
        """Hand on until the head ends; empty lines before it (RFC 9112 section 2.2) are no end."""
        if not self._last:
            del self._held[: len(self._held) - len(self._held.lstrip(b"\r\n"))]
        end = _END.search(self._last + self._held)
        if end is None:
            self._last = bytes((self._last + self._held)[-2:])
            self._pass(len(self._held))
        else:
            self._wants_head = False
            self._pass(end.end() - len(self._last))

    def _pass(self, count: int) -> None:
        piece = bytes(self._held[:count])
        del self._held[:count]
        if piece:
            self._hand_on(piece)
