"""Brings received bytes to the part file in threads, and the journal up to date behind them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from maixpix.download.journal import INTERVAL_BYTES, INTERVAL_S, LAG_BYTES, Journal
from maixpix.download.partfile import PartFile

BLOCK = 1024 * 1024
"""Bytes that are handed to a thread at once, shared by all connections: every hand-over costs a change of threads, and
what is in memory only, a killed program fetches again."""

SMALLEST = 64 * 1024
"""A block of one connection is no smaller, however many there are."""

DEPTH = 2
"""Blocks of one connection that are on their way to the file while the next is received."""


class Writer:
    """Writes for all connections of one download, in the order in which it is told, and one at a time: what came while
    the last blocks were written goes to a thread together and has one line in the journal."""

    def __init__(self, file: PartFile, journal: Journal, executor: Executor) -> None:
        self.file = file
        self.journal = journal
        self.is_kept = False
        """Whether the journal is written at all: without a version to hold it against it would be worth nothing."""
        self.executor = executor
        self.connections = 0
        """Answers that are being poured into the file."""
        self._waiting: list[_Handed] = []
        self._work: asyncio.Task[None] | None = None
        self._unsaved = 0
        self._saving = 0
        self._save: asyncio.Future[None] | None = None
        self._saved_at = time.monotonic()

    @property
    def block(self) -> int:
        """Bytes of one connection that are handed to a thread at once."""
        return max(SMALLEST, BLOCK // max(1, self.connections))

    def put(self, position: int, pieces: list[bytes | memoryview]) -> asyncio.Future[None]:
        """Have `pieces` written; the future is done when they are in the file and hashed, and the journal says so."""
        handed = _Handed(position, pieces, asyncio.get_running_loop().create_future())
        self._waiting.append(handed)
        if self._work is None:
            self._work = asyncio.ensure_future(self._write_all())
        return handed.done

    async def _write_all(self) -> None:
        while self._waiting:
            handed, self._waiting = self._waiting, []
            front = self.file.there.front
            failure = await asyncio.get_running_loop().run_in_executor(self.executor, self._write, handed, front)
            for one in handed:
                if failure is None:
                    size = sum(map(len, one.pieces))
                    self.file.there.add(one.position, one.position + size)
                    self._unsaved += size
                if failure is None:
                    one.done.set_result(None)
                else:
                    one.done.set_exception(failure)
                    one.done.exception()  # has been told: of several that fail together only the first is asked
        self._work = None

    def _write(self, handed: Sequence[_Handed], front: int) -> Exception | None:
        """In a thread: what kept it from being done is the answer, so that everyone who waits can be told."""
        try:
            blocks = [self.file.write(one.position, one.pieces) for one in handed]
            if self.is_kept:
                self.journal.note(self.file.state(blocks))
            self.file.hash_on(front)
        except Exception as error:  # noqa: BLE001  whatever it is, it is raised where the blocks are waited for
            return error
        return None

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


@dataclass
class _Handed:
    position: int
    pieces: list[bytes | memoryview]
    done: asyncio.Future[None]


class Pouring:
    """What one answer has brought and what is not in the file yet; `position` is where the next bytes belong."""

    def __init__(self, writer: Writer, position: int) -> None:
        self.position = position
        self._writer = writer
        self._pieces: list[bytes | memoryview] = []
        self._held = 0
        self._pending: deque[asyncio.Future[None]] = deque()
        writer.connections += 1

    async def take(self, data: bytes | memoryview) -> None:
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
        if self._held and all(done.done() and done.exception() is None for done in self._pending):
            self._begin()

    async def finish(self) -> None:
        """Everything into the file. Raises `DownloadError` when the disk failed."""
        self._writer.connections -= 1
        if self._held:
            self._begin()
        await self._settle()

    def _begin(self) -> None:
        pieces, held = self._pieces, self._held
        self._pieces, self._held = [], 0
        self._pending.append(self._writer.put(self.position - held, pieces))

    async def _settle(self, most: int = 0) -> None:
        """Wait until at most so many blocks are on their way."""
        while len(self._pending) > most:
            first = self._pending[0]
            await asyncio.wait([first])
            if self._pending and self._pending[0] is first:
                self._pending.popleft()
            first.result()
