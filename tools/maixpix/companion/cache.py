"""Converted pictures, kept in memory and on disk within bounds; the same conversion is never done twice at a time.

What cannot be converted is remembered too: a slideshow, or whoever reloads a page, comes by again and again. But only
what a source is to blame for counts for all its renditions: nobody may spoil a good picture for others by wanting it
in a way in which it cannot be had.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from maixpix.companion.decoding.queue import Caller
from maixpix.companion.problems import Refused

_SUFFIX = ".rendition"
_MAX_FAILED = 1024
_LASTING = (413, 415, 422)  # refusals that hold for as long as the source does not change


@dataclass(frozen=True)
class Rendered:
    """Bytes of a conversion and their SHA-256."""

    body: bytes
    digest: bytes

    @classmethod
    def of(cls, body: bytes) -> Rendered:
        return cls(body, hashlib.sha256(body).digest())


@dataclass(frozen=True)
class _Running:
    """A conversion under way and who waits for it."""

    task: asyncio.Task[Rendered]
    callers: list[Caller]


class RenditionCache:
    """Least recently used entries go first, from memory and from disk on their own.

    One entry is one file: SHA-256 of the body, then the body; a file that does not match its digest is thrown away.
    Belongs to one event loop; file work runs in `executor`.
    """

    def __init__(self, folder: Path, memory_bytes: int, disk_bytes: int, executor: Executor) -> None:
        self.folder = folder
        self.memory_bytes = memory_bytes
        self.disk_bytes = disk_bytes
        self.conversions = 0
        """Conversions done since the start."""
        self._executor = executor
        self._memory: OrderedDict[str, Rendered] = OrderedDict()
        self._held = 0
        self._disk: OrderedDict[str, int] = OrderedDict()
        self._stored = 0
        self._running: dict[str, _Running] = {}
        self._failed: OrderedDict[str, tuple[int, str, str, str]] = OrderedDict()

    def open(self) -> None:
        """Make the folder and take stock of what an earlier run left in it. Blocks."""
        self.folder.mkdir(parents=True, exist_ok=True)
        kept: list[tuple[float, str, int]] = []
        with os.scandir(self.folder) as scan:
            for entry in scan:
                if entry.name.endswith(".new"):
                    Path(entry.path).unlink(missing_ok=True)
                elif entry.name.endswith(_SUFFIX) and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    kept.append((status.st_mtime, entry.name.removesuffix(_SUFFIX), status.st_size))
        for _, name, size in sorted(kept):
            self._disk[name] = size
            self._stored += size
        self._discard(self._surplus())

    async def get(
        self, source: str, rendition: str, make: Callable[[Caller], Awaitable[bytes]], caller: Caller
    ) -> Rendered:
        """The `rendition` of `source`, made by `make` when there is none; its errors reach every waiting caller.

        Equal requests wait for one conversion: `make` gets a caller that has gone when all of them have.
        """
        name = _name(source, rendition)
        if (entry := self._memory.get(name)) is not None:
            self._memory.move_to_end(name)
            return entry
        if (known := self._failed.get(source) or self._failed.get(name)) is not None:
            raise Refused(*known)
        running = self._running.get(name)
        if running is None or running.task.done():
            callers = [caller]
            together = Caller(caller.address, lambda: all(one.has_gone() for one in callers))
            task = asyncio.create_task(self._produce(name, lambda: make(together)))
            running = self._running[name] = _Running(task, callers)
            task.add_done_callback(lambda done: self._finished(name, source, done))
        else:
            running.callers.append(caller)
        # Shielded: a caller that hangs up must not take the others' conversion with it.
        return await asyncio.shield(running.task)

    def why_not(self, source: str, rendition: str) -> str | None:
        """In a line, why `rendition` could not be made when it was tried last; None when it could, or was not."""
        known = self._failed.get(source) or self._failed.get(_name(source, rendition))
        return None if known is None else known[2]

    async def close(self) -> None:
        """Wait for conversions under way."""
        await asyncio.gather(*(running.task for running in self._running.values()), return_exceptions=True)

    def _finished(self, name: str, source: str, task: asyncio.Task[Rendered]) -> None:
        if (running := self._running.get(name)) is not None and running.task is task:
            del self._running[name]
        # Looked at here, because every caller may have gone by now.
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Refused) and error.status in _LASTING:
            blamed = name if error.is_once else source
            self._failed[blamed] = error.status, error.code, error.cause, error.remedy
            while len(self._failed) > _MAX_FAILED:
                self._failed.popitem(last=False)

    async def _produce(self, name: str, make: Callable[[], Awaitable[bytes]]) -> Rendered:
        loop = asyncio.get_running_loop()
        if name in self._disk:
            entry = await loop.run_in_executor(self._executor, self._read, name)
            if entry is not None:
                self._disk.move_to_end(name)
                self._remember(name, entry)
                return entry
            self._stored -= self._disk.pop(name)
        body = await make()
        self.conversions += 1
        entry = Rendered.of(body)
        self._remember(name, entry)
        if len(body) <= self.disk_bytes and await loop.run_in_executor(self._executor, self._write, name, entry):
            self._disk[name] = len(body) + 32
            self._stored += len(body) + 32
            if surplus := self._surplus():
                await loop.run_in_executor(self._executor, self._discard, surplus)
        return entry

    def _remember(self, name: str, entry: Rendered) -> None:
        if len(entry.body) > self.memory_bytes:
            return
        self._memory[name] = entry
        self._held += len(entry.body)
        while self._held > self.memory_bytes:
            self._held -= len(self._memory.popitem(last=False)[1].body)

    def _surplus(self) -> list[str]:
        """Names that must leave the disk; they are forgotten at once."""
        names = []
        while self._stored > self.disk_bytes:
            name, size = self._disk.popitem(last=False)
            self._stored -= size
            names.append(name)
        return names

    def _discard(self, names: list[str]) -> None:
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / (name + _SUFFIX)

    def _read(self, name: str) -> Rendered | None:
        path = self._path(name)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        entry = Rendered.of(data[32:])
        return entry if entry.digest == data[:32] else None

    def _write(self, name: str, entry: Rendered) -> bool:
        """Whether the entry is on disk now; a full or read-only disk only costs the next conversion."""
        try:
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".new", delete=False) as file:
                file.write(entry.digest + entry.body)
        except OSError:
            return False
        try:
            Path(file.name).replace(self._path(name))
        except OSError:
            with contextlib.suppress(OSError):
                Path(file.name).unlink()
            return False
        return True


def _name(source: str, rendition: str) -> str:
    """What a rendition is filed under."""
    return hashlib.sha256(f"{source}\0{rendition}".encode("utf-8", "surrogatepass")).hexdigest()
