"""The HTTP door: limits on connections that the HTTP server itself does not set.

aiohttp waits for ever for the first request head of a connection; silent or dripping peers would pile up. The gate
stands between the transport and aiohttp's protocol, counts connections, and cuts off those that do not come to the
point in time. Keep-alive connections are aiohttp's own business after that.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from aiohttp import web

from maixpix.companion.settings import HttpLimits


class Gate:
    """Makes one `_Visitor` a connection; `greet` is called with the transport of every complete request head."""

    def __init__(self, server: Callable[[], asyncio.Protocol], limits: HttpLimits) -> None:
        self._server = server
        self._limits = limits
        self._waiting: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}
        self.connections = 0
        self.refused = 0
        """Connections closed at once because there were too many."""

    def __call__(self) -> asyncio.Protocol:
        return _Visitor(self, self._server())

    def greet(self, request: web.BaseRequest) -> None:
        """A request head arrived complete: its connection may live on."""
        if request.transport is not None and (timer := self._waiting.pop(request.transport, None)) is not None:
            timer.cancel()

    def enter(self, transport: asyncio.Transport) -> bool:
        self.connections += 1
        if self.connections > self._limits.max_connections:
            self.refused += 1
            transport.abort()
            return False
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # Linux ends a connection by itself whose peer takes nothing for so long (RFC 5482).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._limits.write_s * 1000))
        loop = asyncio.get_running_loop()
        self._waiting[transport] = loop.call_later(self._limits.head_s, self._too_late, transport)
        return True

    def leave(self, transport: asyncio.Transport | None) -> None:
        self.connections -= 1
        if transport is not None and (timer := self._waiting.pop(transport, None)) is not None:
            timer.cancel()

    def _too_late(self, transport: asyncio.Transport) -> None:
        self._waiting.pop(transport, None)
        transport.abort()


class _Visitor(asyncio.Protocol):
    """Passes every event on to aiohttp's protocol for an admitted connection."""

    def __init__(self, gate: Gate, inner: asyncio.Protocol) -> None:
        self._gate = gate
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._admitted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._admitted = self._gate.enter(self._transport)
        if self._admitted:
            self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.leave(self._transport)
        if self._admitted:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._admitted:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._admitted else False

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
