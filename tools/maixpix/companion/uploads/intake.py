"""One raw TCP connection read through one bounded buffer, and the three ways in which it can end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

QUIET_S = 10.0
"""Seconds without a byte after which a sender may have to make room for others."""

BUFFER = 16 * 1024
MAX_BUFFER = 256 * 1024
"""Bytes of each of a sender's two buffers, at first and at most; the rest waits in the kernel and at the sender.

Every piece costs a change of threads, so whoever fills a buffer gets a bigger one. Boards never do: they send 2 KiB.
"""


class Intake(asyncio.BufferedProtocol):
    """`on_connect` is called with the intake of every new connection."""

    transport: asyncio.Transport

    def __init__(self, on_connect: Callable[[Intake], None]) -> None:
        self._on_connect = on_connect
        self._buffer = bytearray(BUFFER)
        self._filled = 0
        self._lent = bytearray(BUFFER)
        self._paused = False
        self._ended = False
        self._lost = False
        self._news: asyncio.Future[None] | None = None
        self._count = 0
        self.address = ""
        self.heard = 0.0
        """Loop time at which something last came."""

    def can_be_spared(self) -> bool:
        """It has sent nothing, so that no file has begun, or nothing more for a while."""
        return self._count == 0 or asyncio.get_running_loop().time() - self.heard > QUIET_S

    async def read(self) -> memoryview:
        """What has arrived, empty at the orderly end; valid until the next read. Raises `ConnectionResetError`."""
        while not self._filled:
            if self._ended:
                return memoryview(b"")
            if self._lost:
                raise ConnectionResetError("the connection broke")
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        piece, filled = self._buffer, self._filled
        # The caller has done with the other buffer: it takes what arrives while this one is written to disk.
        self._buffer, self._filled = self._lent, 0
        self._lent = piece
        if filled >= len(self._buffer) < MAX_BUFFER:
            self._buffer = bytearray(min(4 * filled, MAX_BUFFER))
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return memoryview(piece)[:filled]

    @property
    def peer(self) -> str:
        """Address of the sender."""
        return str((self.transport.get_extra_info("peername") or ("",))[0])

    async def part(self, answer: bytes, patience_s: float) -> None:
        """Send `answer`, then close in an orderly way: the sender's file is safe (or it was told otherwise)."""
        if answer:
            self.transport.write(answer)
        if self.transport.can_write_eof() and not self._lost:
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        # Bytes that are still coming would turn the close into a reset and could destroy the answer.
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._drain(), patience_s)
        self.transport.close()

    def reset(self) -> None:
        """Close so that the sender sees a reset: its file was not kept."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # -- called by asyncio --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.address = self.peer
        self.heard = asyncio.get_running_loop().time()
        self._on_connect(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._filled == len(self._buffer):
            # Windows' event loop has read already what it hands over, and does not stop in the middle.
            self._buffer = self._buffer + bytes(max(sizehint, BUFFER))
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        self._count += nbytes
        self.heard = asyncio.get_running_loop().time()
        if self._filled == len(self._buffer) and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return True  # keep our direction open for the answer

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _drain(self) -> None:
        while await self.read():
            pass
