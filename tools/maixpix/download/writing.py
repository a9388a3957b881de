"""Brings received bytes to the part file in threads, and the journal up to date behind them."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor

from maixpix.download.journal import INTERVAL_BYTES, INTERVAL_S, LAG_BYTES, Journal
from maixpix.download.partfile import PartFile

BLOCK = 512 * 1024
"""Bytes that are handed to a thread at once; every hand-over costs a change of threads."""


class Writer:
    """Writes for all connections of one download."""

    def __init__(self, file: PartFile, journal: Journal, executor: Executor) -> None:
        self.file = file
        self.journal = journal
        self.is_kept = False
        """Whether the journal is written at all: without a version to hold it against it would be worth nothing."""
        self.executor = executor
        self._unsaved = 0
        self._saving = 0
        self._save: asyncio.Future[None] | None = None
        self._saved_at = time.monotonic()

    def write(self, position: int, pieces: list[bytes], size: int) -> asyncio.Task[int]:
        """Start writing; the task is done when the bytes are in the file."""
        return asyncio.ensure_future(self._write(position, pieces, size))

    async def _write(self, position: int, pieces: list[bytes], size: int) -> int:
        await asyncio.get_running_loop().run_in_executor(self.executor, self.file.write, position, pieces)
        self.file.there.add(position, position + size)
        self._unsaved += size
        return size

    async def keep_up(self) -> None:
        """Save when it is time; wait when the disk has fallen too far behind."""
        if not self.is_kept:
            return
        is_due = self._unsaved >= INTERVAL_BYTES or time.monotonic() - self._saved_at >= INTERVAL_S
        if is_due and self._unsaved and (self._save is None or self._save.done()):
            await self.settle()
            self._begin()
        if self._save is not None and self._unsaved + self._saving > LAG_BYTES:
            await self.settle()

    async def settle(self) -> None:
        """Wait for the save that is under way. Raises `DownloadError` when the disk failed."""
        if self._save is not None:
            save, self._save = self._save, None
            await save
            self._saving = 0

    async def save_all(self) -> None:
        """Bring the journal up to date now."""
        await self.settle()
        if self.is_kept and self._unsaved:
            self._begin()
            await self.settle()

    def _begin(self) -> None:
        self._saving, self._unsaved = self._unsaved, 0
        self._saved_at = time.monotonic()
        self._save = asyncio.get_running_loop().run_in_executor(self.executor, self.journal.save, self.file)
