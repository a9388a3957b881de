"""Small files, which come whole: written, made durable and named many at a time.

Making one file durable costs the disk about as much as making fifty, and every change of threads costs more than what
there is to do for a file of 20 kB. So while a thread keeps some, the next ones gather. Each still has its final name
only after its bytes are durable, and only if its digest is right.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from maixpix.download.folder import Folder, Place
from maixpix.download.partfile import PartFile, sync_together
from maixpix.download.record import Entry
from maixpix.download.version import ALGORITHMS, Version, check_digest

LITTLE = 128 * 1024
"""Bytes up to which a file is fetched into memory first."""

MOST = 128
"""Files that are kept at once: as many file descriptors."""

T = TypeVar("T")


@dataclass
class Little:
    """A whole body, where it goes, and what it must be held against. `failure` is what kept it from being kept."""

    url: str
    place: Place
    folder: Folder
    body: bytes
    version: Version
    digests: dict[str, bytes]
    may_replace: bool
    sha256: str = ""
    failure: BaseException | None = None


class LittleFiles:
    """Keeps small files in a thread of `executor`, all those at once that came while the last ones were kept."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._waiting: list[tuple[Little, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def keep(self, little: Little) -> str:
        """Prove, write and name a file; returns its SHA-256. Raises `WrongDigest`, or `DownloadError` for the disk."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((little, done))
        if self._task is None:
            self._task = asyncio.ensure_future(self._work())
        await done
        if little.failure is not None:
            raise little.failure
        return little.sha256

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                files = [little for little, _ in batch]
                await asyncio.get_running_loop().run_in_executor(self._executor, keep_all, files)
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)
        finally:
            self._task = None


def keep_all(files: Sequence[Little]) -> None:
    """Keep `files`, each of which fails for itself. Blocks."""
    groups: dict[Folder, list[tuple[Little, PartFile]]] = {}
    for little in files:
        if (file := _written(little)) is not None:
            groups.setdefault(little.folder, []).append((little, file))
    for folder, group in groups.items():
        are_safe = sync_together([file for _, file in group])
        entries = [entry for little, file in group if (entry := _settled(little, file, are_safe)) is not None]
        # The record first: a run that is killed in between leaves files that the next one knows.
        folder.remember(entries)
        for little, file in group:
            if little.failure is None:
                _guarded(little, file, partial(file.finish, little.place.final, little.may_replace))


def _settled(little: Little, file: PartFile, is_safe: bool) -> Entry | None:
    """What the record is to say of a file that is durable now; None, and `failure` set, when the disk failed."""
    status = _guarded(little, file, file.status if is_safe else partial(file.settle, len(little.body)))
    if status is None:
        return None
    final = little.place.final
    return Entry(final.name, little.url, status.st_size, little.sha256, status.st_mtime_ns, little.version)


def _written(little: Little) -> PartFile | None:
    """The part file with the proven body in it; None, and `failure` set, when that came to nothing."""
    file = PartFile(little.place.part)

    def write() -> None:
        for name, wanted in little.digests.items():
            check_digest(name, hashlib.new(ALGORITHMS[name][0], little.body).digest(), wanted)
        little.sha256 = hashlib.sha256(little.body).hexdigest()
        file.open()
        file.put(little.body)

    _guarded(little, file, write)
    return file if little.failure is None else None


def _guarded(little: Little, file: PartFile, work: Callable[[], T]) -> T | None:
    """Do `work`; a failure is the file's own, and nothing of it stays."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001  whatever it is, it is raised where the file is waited for
        little.failure = error
        if file.is_open:
            file.discard()
        return None
