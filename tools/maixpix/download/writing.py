"""Brings received bytes to the part file in threads, and the journal up to date behind them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from maixpix.download.journal import INTERVAL_BYTES, INTERVAL_S, LAG_BYTES, Journal
from maixpix.download.partfile import PartFile

BLOCK = 640 * 1024
"""Bytes of one connection that are handed to a thread at once, when there is none beside it."""

SMALLEST = 64 * 1024
"""A block of one connection is no smaller, however many there are: every hand-over costs a change of threads."""

FILLING = 1280 * 1024
"""Bytes that the blocks of all connections take that are being filled. These, those on their way, and what the system
holds are what a killed program has received and lost: `INTERVAL_BYTES` together."""

UNDER_WAY = 1280 * 1024
"""Bytes that are on their way through the threads: some are written while those before are hashed."""

BUFFERED = 768 * 1024
"""Bytes that the system may hold for all connections."""

LINGER_S = 0.01
"""A thread waits so long for more before it ends; it is there again as soon as something comes."""

T = TypeVar("T")


class Stage(Generic[T]):
    """A thread of `executor` that does `work` with all that was handed in meanwhile, in order, as long as there is
    something: to be asked by the event loop each time would take longer than most of the work."""

    def __init__(self, executor: Executor, work: Callable[[Sequence[T]], None]) -> None:
        self._executor = executor
        self._work = work
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[T] = SimpleQueue()
        self._is_there = False

    def put(self, one: T) -> None:
        """Hand in; from any thread."""
        self._waiting.put(one)
        with self._lock:
            is_needed, self._is_there = not self._is_there, True
        if is_needed:
            self._executor.submit(self._run)

    def _run(self) -> None:
        while True:
            try:
                taken = [self._waiting.get(timeout=LINGER_S)]
            except Empty:
                with self._lock:
                    # Whoever puts something in behind this look finds that nobody is there.
                    self._is_there = not self._waiting.empty()
                    if not self._is_there:
                        return
                continue
            with suppress(Empty):
                while True:
                    taken.append(self._waiting.get_nowait())
            self._work(taken)


@dataclass
class _Handed:
    position: int
    pieces: list[bytes | memoryview]
    front: int
    done: asyncio.Future[None]
    failure: Exception | None = None


class Writer:
    """Writes for all connections of one download, in the order in which it is told; one thread writes, another hashes
    behind it. What is hashed together has one line in the journal."""

    def __init__(self, file: PartFile, journal: Journal, executor: Executor) -> None:
        self.file = file
        self.journal = journal
        self.is_kept = False
        """Whether the journal is written at all: without a version to hold it against it would be worth nothing."""
        self.executor = executor
        self.connections = 0
        """Answers that are being poured into the file."""
        self._hashing = Stage(executor, self._hash_all)
        self._writing = Stage(executor, self._write_all)
        self._under_way: deque[tuple[asyncio.Future[None], int]] = deque()
        self._unsaved = 0
        self._saving = 0
        self._save: asyncio.Future[None] | None = None
        self._saved_at = time.monotonic()

    @property
    def block(self) -> int:
        """Bytes of one connection that are handed to a thread at once."""
        return max(SMALLEST, min(BLOCK, FILLING // max(1, self.connections)))

    def put(self, position: int, pieces: list[bytes | memoryview]) -> asyncio.Future[None]:
        """Have `pieces` written; the future is done when they are in the file and hashed, and the journal says so."""
        done = asyncio.get_running_loop().create_future()
        self._under_way.append((done, sum(map(len, pieces))))
        self._writing.put(_Handed(position, pieces, self.file.there.front, done))
        return done

    async def room(self) -> None:
        """Wait until a block more may be put."""
        while self._under_way and sum(size for _, size in self._under_way) + self.block > UNDER_WAY:
            await asyncio.wait([self._under_way[0][0]])

    def _write_all(self, handed: Sequence[_Handed]) -> None:
        for one in handed:
            try:
                self.file.write(one.position, one.pieces)
            except Exception as error:  # noqa: BLE001  whatever it is, it is raised where the block is waited for
                one.failure = error
            self._hashing.put(one)

    def _hash_all(self, handed: Sequence[_Handed]) -> None:
        written = [one for one in handed if one.failure is None]
        try:
            blocks = [self.file.account(one.position, one.pieces) for one in written]
            if self.is_kept:
                self.journal.note(self.file.state(blocks))
            self.file.hash_on(handed[-1].front)
        except Exception as error:  # noqa: BLE001  the same
            for one in written:
                one.failure = error
        handed[0].done.get_loop().call_soon_threadsafe(self._tell, handed)

    def _tell(self, handed: Sequence[_Handed]) -> None:
        for one in handed:
            _, size = self._under_way.popleft()  # both threads keep to the order
            if one.failure is None:
                self.file.there.add(one.position, one.position + size)
                self._unsaved += size
                one.done.set_result(None)
            else:
                one.done.set_exception(one.failure)
                one.done.exception()  # has been told: of several that fail together only the first is asked

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
            await self._writer.room()
            while self._pending and self._pending[0].done():
                self._pending.popleft().result()
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

    async def _settle(self) -> None:
        """Wait until none of its blocks is on its way."""
        while self._pending:
            first = self._pending[0]
            await asyncio.wait([first])
            if self._pending and self._pending[0] is first:
                self._pending.popleft()
            first.result()
