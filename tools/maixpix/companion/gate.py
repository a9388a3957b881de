"""The HTTP door: limits on connections that the HTTP server itself does not set.

aiohttp waits for ever for the first request head of a connection, and takes as many connections as come. The gate
stands between the transport and aiohttp's protocol: every head has its time and its turn, every address its number of
connections, and when the house is full, whoever holds most gives up the connection that has been quiet for longest. So
neither idle connections, nor bodies that never come, nor answers that nobody takes, nor requests sent ahead by the
thousand keep an honest board out.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from aiohttp import web

from maixpix.companion.crowd import Crowd
from maixpix.companion.onebyone import OneByOne
from maixpix.companion.settings import HttpLimits

STUCK_S = 2.0
"""Seconds after which a reader that takes nothing may have to make room for others."""


class Gate:
    """Makes one `_Visitor` a connection; `greet` and `part` bracket every request that came in complete."""

    def __init__(self, server: Callable[[], asyncio.Protocol], limits: HttpLimits) -> None:
        self._server = server
        self._limits = limits
        self._visitors: dict[asyncio.BaseTransport, _Visitor] = {}
        self._crowd: Crowd[_Visitor] = Crowd(limits.max_connections, limits.max_per_address)
        self.refused = 0
        """Connections closed at once because there were too many, none of which could be spared."""
        self.ended = 0
        """Quiet connections ended to make room."""

    def __call__(self) -> asyncio.Protocol:
        return _Visitor(self, self._server(), self._limits)

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._crowd)

    def greet(self, request: web.BaseRequest) -> None:
        """A request head arrived complete: its handler has the connection now. Raises `Refused` for a packed body."""
        if (visitor := self._visitor(request)) is not None:
            visitor.serve(request)

    def part(self, request: web.BaseRequest) -> None:
        """The request is answered: the next head has the keep-alive time to come."""
        if (visitor := self._visitor(request)) is not None:
            visitor.rest(self._limits.keepalive_s)

    def enter(self, visitor: _Visitor) -> bool:
        """Whether a new connection may stay; another one may have to go for it."""
        may_stay, spared = self._crowd.admit(visitor)
        if spared is not None:
            self.ended += 1
            spared.transport.abort()
        if may_stay:
            self._visitors[visitor.transport] = visitor
        else:
            self.refused += 1
        return may_stay

    def leave(self, visitor: _Visitor) -> None:
        """The connection is gone."""
        self._crowd.leave(visitor)
        self._visitors.pop(visitor.transport, None)

    def _visitor(self, request: web.BaseRequest) -> _Visitor | None:
        return self._visitors.get(request.transport) if request.transport is not None else None


class _Visitor(asyncio.Protocol):
    """Passes every event on to aiohttp's protocol for an admitted connection."""

    transport: asyncio.Transport

    def __init__(self, gate: Gate, inner: asyncio.Protocol, limits: HttpLimits) -> None:
        self._gate = gate
        self._inner = inner
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._admitted = False
        self._timer: asyncio.TimerHandle | None = None
        self._request: web.BaseRequest | None = None
        self._reader_stuck = False
        self._bytes = OneByOne(inner.data_received)
        self._is_full = False
        self.address = ""
        self.heard = self._loop.time()

    def serve(self, request: web.BaseRequest) -> None:
        """A handler runs: how long that may take is its own business."""
        self._request = request
        self._stop_timer()
        self._go_on(lambda: self._bytes.began(request))

    def rest(self, limit_s: float) -> None:
        """The request is answered: the next complete head has `limit_s` to come."""
        self.wait(limit_s)
        self._go_on(self._bytes.answered)

    def wait(self, limit_s: float) -> None:
        """Nothing is asked: the next complete head has `limit_s` to come."""
        self._request = None
        self._stop_timer()
        self._timer = self._loop.call_later(limit_s, self._too_late, limit_s)

    def _too_late(self, limit_s: float) -> None:
        if self.transport.get_write_buffer_size():
            self.wait(limit_s)  # still takes its answer
        else:
            self.transport.abort()

    def can_be_spared(self) -> bool:
        """Nothing is asked, or its body is still to come, or its answer has not been taken for a while.

        The quietest goes first, so a body on its way stays as long as there are some that never come.
        """
        if self._request is None or (self._request.body_exists and not self._request.content.is_eof()):
            return True
        return self._reader_stuck and self._loop.time() - self.heard > STUCK_S

    # -- called by asyncio --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        self._admitted = self._gate.enter(self)
        if not self._admitted:
            self.transport.abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # Linux ends a connection by itself whose peer takes nothing for so long (RFC 5482).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._limits.write_s * 1000))
        self.wait(self._limits.head_s)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._gate.leave(self)
        if self._admitted:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._admitted:
            self.heard = self._loop.time()
            self._go_on(lambda: self._bytes.feed(data))

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._admitted else False

    def pause_writing(self) -> None:
        self._reader_stuck = True
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._reader_stuck = False
        self.heard = self._loop.time()
        self._inner.resume_writing()

    def _go_on(self, step: Callable[[], None]) -> None:
        """Take a `step`, then read from the peer as long as there is room for what it sends ahead."""
        if self._is_full:
            # Before the step, in which aiohttp may want a pause of its own.
            self._is_full = False
            self.transport.resume_reading()
        step()
        if self._bytes.is_full:
            self._is_full = True
            self.transport.pause_reading()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
