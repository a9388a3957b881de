"""The long way of a body, made short: from the system straight into blocks, past the HTTP parser.

Once the head of an answer with a plain length is read, there is nothing left to parse. aiohttp would go on to copy each
piece of the body twice and to wake its reader for it; a block is filled by the system itself and written as it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from maixpix.download.trouble import Broken, Trouble

LINGER_S = 0.005
"""After the last byte one that was never told may follow; while it is waited for, the disk has work anyway."""


class LongBody(asyncio.BufferedProtocol):
    """Receives `missing` more bytes from `transport`, which `before` was reading; `first` is what that has left.

    `block()` tells how many bytes the next block takes. A block that is full waits for its reader, and the server for
    both.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        before: asyncio.Protocol,
        first: bytes,
        missing: int,
        block: Callable[[], int],
    ) -> None:
        self.missing = missing
        self.has_surplus = False
        """Whether more came than was told."""
        self._transport = transport
        self._before = before
        self._size = block
        self._full: deque[memoryview] = deque()
        self._block = memoryview(first)
        self._filled, self._taken = len(first), 0
        self._failure: Trouble | None = None
        self._is_lost = self._is_paused = self._has_lingered = False
        self._waiter: asyncio.Future[None] | None = None
        transport.set_protocol(self)
        transport.resume_reading()

    async def read(self) -> memoryview | bytes:
        """What has come, b"" behind the last byte. Raises `Broken`, or what `fail` was told."""
        while not self._full and self._taken == self._filled:
            if self._failure is not None:
                raise self._failure
            if not self.missing:
                await self._linger()
                return b""
            await self._wait()
        if self._full:
            view = self._full.popleft()
        else:
            view, self._taken = self._block[self._taken : self._filled], self._filled
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return view

    def fail(self, trouble: Trouble) -> None:
        """Whoever waits gets `trouble`."""
        self._failure = trouble
        self._wake()

    def give_back(self) -> None:
        """The transport's end is the business of who was reading before."""
        if not self._is_lost:
            self._transport.set_protocol(self._before)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; at the end there is room for one byte too many."""
        if self._filled == len(self._block):
            if self._taken < self._filled:
                self._full.append(self._block[self._taken :])
            self._block = memoryview(bytearray(min(self._size(), self.missing + 1)))
            self._filled = self._taken = 0
        return self._block[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        if nbytes > self.missing:
            self.has_surplus, nbytes = True, self.missing
        self.missing -= nbytes
        self._filled += nbytes
        is_awaited = self._waiter is not None and not self._waiter.done()  # and so taken before more can come
        if self.has_surplus or (self._filled == len(self._block) and not is_awaited):
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """The other end, or this one, has closed."""
        self._is_lost = True
        if self.missing and self._failure is None:
            self._failure = Broken("ends the answer too early" if error is None else "closes the connection too early")
        self._before.connection_lost(error)
        self._wake()

    async def _linger(self) -> None:
        if not (self._has_lingered or self._is_lost or self.has_surplus):
            self._has_lingered = True
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wait(), LINGER_S)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
