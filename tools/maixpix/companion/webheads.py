"""A limit that aiohttp's client lacks: what a web server may send before the head of its answer is complete.

A server that sends `100 Continue` without end would keep the companion reading for as long as it likes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import aiohttp

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection

MAX_HEAD = 64 * 1024
"""Bytes of all heads of one answer, the interim ones included, and of the body's beginning that came with them."""


class HeadLimit(aiohttp.ClientError):
    """More than `MAX_HEAD` bytes came and no head was complete."""


class LimitedConnector(aiohttp.TCPConnector):
    """Watches what comes over every connection until its answer begins. Goes with `response_class=Answer`."""

    async def connect(self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if connection.transport is not None and connection.protocol is not None:
            connection.transport.set_protocol(_Watched(connection.transport, connection.protocol))
        return connection


class Answer(aiohttp.ClientResponse):
    """Tells the watch that its head is complete."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        await super().start(connection)
        if connection.transport is not None and isinstance(watched := connection.transport.get_protocol(), _Watched):
            watched.is_over = True
        return self


class _Watched(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, and counts bytes until `is_over`."""

    def __init__(self, transport: asyncio.Transport, inner: Any) -> None:
        self._transport = transport
        self._inner = inner
        self._count = 0
        self.is_over = False

    def data_received(self, data: bytes) -> None:
        # What comes in one piece with a complete head may be more: its body has begun.
        if not self.is_over and self._count > MAX_HEAD:
            self._inner.set_exception(HeadLimit("too much before the answer"))
            self._transport.abort()
            return
        self._count += len(data)
        self._inner.data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return cast("bool | None", self._inner.eof_received())

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
