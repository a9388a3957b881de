"""Brings received bytes to the part file in threads, and the journal up to date behind them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor

from maixpix.download.journal import INTERVAL_BYTES, INTERVAL_S, LAG_BYTES, Journal
from maixpix.download.partfile import PartFile

BLOCK = 1024 * 1024
"""Bytes that are handed to a thread at once, shared by all connections: every hand-over costs a change of threads, and
what is in memory only, a killed program fetches again."""

SMALLEST = 64 * 1024
"""A block of one connection is no smaller, however many there are."""

DEPTH = 2
"""Blocks of one connection that are on their way: one is written while the one before is hashed."""


class Writer:
    """Writes for all connections of one download."""

    def __init__(self, file: PartFile, journal: Journal, executor: Executor) -> None:
        self.file = file
        self.journal = journal
        self.is_kept = False
        """Whether the journal is written at all: without a version to hold it against it would be worth nothing."""
        self.executor = executor
        self.connections = 0
        """Answers that are being poured into the file."""
        self._unsaved = 0
        self._saving = 0
        self._save: asyncio.Future[None] | None = None
        self._saved_at = time.monotonic()

    @property
    def block(self) -> int:
        """Bytes of one connection that are handed to a thread at once."""
        return max(SMALLEST, BLOCK // max(1, self.connections))

    def write(
        self, position: int, pieces: list[bytes], size: int, before: asyncio.Task[None] | None
    ) -> asyncio.Task[None]:
        """Start writing; the task is done when the bytes are in the file and hashed, behind those of `before`."""
        return asyncio.ensure_future(self._write(position, pieces, size, before))

    async def _write(self, position: int, pieces: list[bytes], size: int, before: asyncio.Task[None] | None) -> None:
        in_thread = asyncio.get_running_loop().run_in_executor
        await in_thread(self.executor, self.file.write, position, pieces)
        if before is not None:
            await asyncio.wait([before])  # its failure is its own
        await in_thread(self.executor, self._account, position, pieces)
        self.file.there.add(position, position + size)
        self._unsaved += size

    def _account(self, position: int, pieces: Sequence[bytes]) -> None:
        snapshot = self.file.account(position, pieces)
        if self.is_kept:
            self.journal.note(snapshot)

    async def keep_up(self) -> None:
        """Save when it is time; wait when the disk has fallen too far behind. Raises `DownloadError` when it failed."""
        self._save_if_due()
        while self._save is not None and self._unsaved + self._saving > LAG_BYTES:
            await self.settle()
            self._save_if_due()

    async def settle(self) -> None:
        """Wait for the save that is under way. Raises `DownloadError` when the disk failed."""
        if self._save is not None:
            # Others may wait for the same save, so being cancelled here must not cancel it.
            save = self._save
            await asyncio.wait([save])
            if self._save is save:
                self._collect()

    async def save_all(self) -> None:
        """Bring the journal up to date now."""
        await self.settle()
        if self.is_kept and self._unsaved:
            self._begin()
            await self.settle()

    def _save_if_due(self) -> None:
        if self._save is not None and self._save.done():
            self._collect()
        is_due = self._unsaved >= INTERVAL_BYTES or time.monotonic() - self._saved_at >= INTERVAL_S
        if self.is_kept and self._save is None and self._unsaved and is_due:
            self._begin()

    def _begin(self) -> None:
        self._saving, self._unsaved = self._unsaved, 0
        self._saved_at = time.monotonic()
        self._save = asyncio.get_running_loop().run_in_executor(self.executor, self.journal.save, self.file)

    def _collect(self) -> None:
        save, self._save, self._saving = self._save, None, 0
        if save is not None:
            save.result()


class Pouring:
    """What one answer has brought and what is not in the file yet; `position` is where the next bytes belong."""

    def __init__(self, writer: Writer, position: int) -> None:
        self.position = position
        self._writer = writer
        self._pieces: list[bytes] = []
        self._held = 0
        self._pending: deque[asyncio.Task[None]] = deque()
        writer.connections += 1

    async def take(self, data: bytes) -> None:
        """Keep `data`; full blocks go to the file while the next ones are received."""
        self._pieces.append(data)
        self._held += len(data)
        self.position += len(data)
        if self._held >= self._writer.block:
            await self._settle(DEPTH - 1)
            if self._held:  # a tick may have come first
                self._begin()
            await self._writer.keep_up()

    def tick(self) -> None:
        """Called from time to time, so that a slow connection's bytes do not wait for a block to be full."""
        if self._held and all(task.done() and task.exception() is None for task in self._pending):
            self._begin()

    async def finish(self) -> None:
        """Everything into the file. Raises `DownloadError` when the disk failed."""
        self._writer.connections -= 1
        await self._settle()
        if self._held:
            self._begin()
            await self._settle()

    def _begin(self) -> None:
        pieces, held = self._pieces, self._held
        self._pieces, self._held = [], 0
        before = self._pending[-1] if self._pending else None
        self._pending.append(self._writer.write(self.position - held, pieces, held, before))

    async def _settle(self, most: int = 0) -> None:
        """Wait until at most so many writes are under way."""
        while len(self._pending) > most:
            first = self._pending[0]
            await asyncio.wait([first])
            if self._pending and self._pending[0] is first:
                self._pending.popleft()
            first.result()
