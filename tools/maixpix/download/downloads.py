"""From an address to a file under its final name: where it goes, what is there already, what an earlier run left."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from maixpix.download.answer import Answer
from maixpix.download.client import Client, check_url
from maixpix.download.filename import file_name
from maixpix.download.folder import Folder, Place, sha256_of, without_login
from maixpix.download.journal import Journal, Left, read_journal
from maixpix.download.little import LITTLE, Little, LittleFiles
from maixpix.download.options import OnProgress, Options, Result
from maixpix.download.partfile import PartFile, exists_error, sync_folder
from maixpix.download.rate import RateLimit
from maixpix.download.record import Entry
from maixpix.download.reply import Reply
from maixpix.download.retries import Retries
from maixpix.download.transfer import SEAM, Transfer
from maixpix.download.trouble import DownloadError, Trouble
from maixpix.download.version import Version, expected_digests
from maixpix.download.writing import Writer

THREADS = 16
"""What blocks goes there: the disk, and reading what is there already."""

T = TypeVar("T")


class Downloads:
    """Any number of downloads with the same options, over one set of connections; an asynchronous context."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._client = Client(self.options)
        self._limit = RateLimit(self.options.limit)
        self._executor = ThreadPoolExecutor(THREADS, "download")
        self._little = LittleFiles(self._executor)
        self._taken: dict[tuple[Folder, str], str] = {}
        self._folders: dict[Path, Folder] = {}
        self._looking = asyncio.Lock()

    async def __aenter__(self) -> Downloads:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)
        for home in set(self._folders.values()):
            await self._in_thread(sync_folder, home.path)
        self._executor.shutdown()

    async def get(
        self,
        url: str,
        path: Path | None = None,
        folder: Path | None = None,
        on_progress: OnProgress | None = None,
        sha256: str = "",
    ) -> Result:
        """Fetch `url` to the file `path`, or into `folder` under the name that the server gives it.

        `sha256` is this file's digest, for when the options have none. Raises `DownloadError`.
        """
        options, digest = self.options, (sha256 or self.options.sha256).lower()
        if digest != options.sha256:
            options = replace(options, sha256=digest)
        work = self._get(url, path, folder, options, on_progress)
        if options.total_s is None:
            return await work
        try:
            return await asyncio.wait_for(work, options.total_s)
        except (asyncio.TimeoutError, TimeoutError):
            raise DownloadError(
                f"{url} took longer than {options.total_s:g} s", "run the same command again to go on", kind="slow"
            ) from None

    async def _get(
        self, url: str, path: Path | None, folder: Path | None, options: Options, on_progress: OnProgress | None
    ) -> Result:
        began = time.monotonic()
        check_url(url)
        folder = path.parent if path is not None else folder or Path()
        home = await self._home(folder)
        place = Place.of(path) if path is not None else home.place_of(url)
        reply = None
        try:
            if place is None:
                reply = await self._patiently(lambda: self._client.open(url, {}))
                place = Place.of(folder / file_name(reply.headers, reply.url))
            self._take(home, place, url)
            home.take_back(place)
            if place.final.name in home.present:
                found = await self._existing(url, place, options, reply)
                if isinstance(found, Result):
                    return replace(found, seconds=time.monotonic() - began)
                reply = found
            if reply is None and place.journal.name not in home.present:
                reply = await self._patiently(lambda: self._client.open(url, {}))
            is_new = options.overwrite or place.final.name not in home.present
            is_begun = place.journal.name in home.present  # then this answer has to be of the version begun
            if reply is not None and _is_little(reply.answer) and is_new and not is_begun:
                if result := await self._fetch_little(url, home, place, options, reply):
                    return replace(result, seconds=time.monotonic() - began)
                reply = None
            opened, reply = reply, None
            result = await self._fetch(url, place, options, on_progress, opened)
        finally:
            if reply is not None:
                reply.close()
        return replace(result, seconds=time.monotonic() - began)

    async def _home(self, folder: Path) -> Folder:
        """The folder, looked into once, however many files of it begin at the same time."""
        if folder not in self._folders:
            async with self._looking:
                if folder not in self._folders:
                    where = folder.absolute()
                    home = self._folders.get(where) or await self._in_thread(Folder, where)
                    self._folders[where] = self._folders[folder] = home
        return self._folders[folder]

    async def _fetch_little(
        self, url: str, home: Folder, place: Place, options: Options, reply: Reply
    ) -> Result | None:
        """A file that fits into memory, in one go; None when that came to nothing."""
        try:
            pieces = []
            while data := await reply.read():
                await self._limit.take(len(data))
                pieces.append(data)
            if not pieces:
                await reply.linger()
            reply.check_surplus()
            body, version = b"".join(pieces), reply.answer.version
            digests = expected_digests(options, version)
            little = Little(without_login(url), place, home, body, version, digests, options.overwrite)
            sha256 = await self._little.keep(little)
        except Trouble:
            return None
        finally:
            reply.close()
        return Result(
            without_login(url), place.final, len(body), sha256, "fetched", _proof(options, version), len(body)
        )

    async def _fetch(
        self, url: str, place: Place, options: Options, on_progress: OnProgress | None, reply: Reply | None
    ) -> Result:
        file, journal = PartFile(place.part), Journal(place.journal, place.final.name, without_login(url))
        try:
            writer = Writer(file, journal, self._executor)
            transfer = Transfer(self._client, url, writer, options, self._limit, on_progress)
            left = await self._in_thread(self._open, file, place, url, options)
            if left is not None:
                transfer.go_on_from(left)
                await self._in_thread(journal.go_on if len(file.there) else partial(journal.begin, left.version))
            is_resumed = bool(len(file.there))
            if is_resumed and reply is not None:
                reply.close()
                reply = None
            digests = await transfer.run(reply)
            sha256 = digests["sha256"].hex()
            size = transfer.segments.total or 0
            is_same = await self._in_thread(self._finish, url, place, options, file, transfer, sha256)
            journal.remove()
        except BaseException as error:
            if reply is not None:
                reply.close()
            self._clean_up(file, journal, error)
            raise
        state = "unchanged" if is_same else "resumed" if is_resumed else "fetched"
        proof = _proof(options, transfer.version)
        return Result(
            without_login(url), place.final, size, sha256, state, proof, transfer.received, notes=tuple(transfer.notes)
        )

    def _finish(
        self, url: str, place: Place, options: Options, file: PartFile, transfer: Transfer, sha256: str
    ) -> bool:
        """Give the proven file its name. True when the same content had it already; the part file is removed then."""
        may_replace = options.overwrite or options.if_changed
        if not options.overwrite and sha256_of(place.final) == sha256:
            file.discard()
            self._remember(url, place, place.final.stat(), transfer.version, sha256)
            return True
        if not may_replace and os.path.lexists(place.final):
            raise exists_error(place.final)
        # The record first: a run that is killed in between leaves a file that the next one knows.
        self._remember(url, place, file.settle(transfer.segments.total or 0), transfer.version, sha256)
        file.finish(place.final, may_replace)
        return False

    def _open(self, file: PartFile, place: Place, url: str, options: Options) -> Left | None:
        """Open the part file and take over what an earlier run left there, if it can be used."""
        left = read_journal(place.journal)
        file.open()
        is_usable = left is not None and _same_place(left.url, without_login(url))
        is_tied = left is not None and bool(left.version.condition or left.version.digests or options.sha256)
        if left is None or not is_usable or not is_tied:
            file.restart()
            place.journal.unlink(missing_ok=True)
            return None
        file.take_over(left.blocks, left.points)
        if left.version.size is not None and len(file.there) >= left.version.size:
            # Complete but not yet named: the last bytes are asked for again, so that the server confirms the version.
            file.there.remove(max(0, left.version.size - SEAM), left.version.size)
        return left

    def _clean_up(self, file: PartFile, journal: Journal, error: BaseException) -> None:
        """After a failure: keep what a next run can use, and nothing else."""
        if not file.is_open:
            return
        is_wrong = isinstance(error, DownloadError) and error.kind in ("digest", "exists")
        if is_wrong or read_journal(journal.path) is None:
            file.discard()
            journal.remove()
        journal.close()
        file.close()

    async def _existing(self, url: str, place: Place, options: Options, reply: Reply | None) -> Result | Reply | None:
        """A file has the name: the result when it is the wanted one, else an answer to go on with, or None.

        Raises `DownloadError` when it is not to be replaced.
        """
        if not place.final.is_file():
            raise DownloadError(f"{place.final} is there and is no file", "choose another name", kind="exists")
        sha256 = await self._in_thread(sha256_of, place.final) if options.sha256 else ""
        size = place.final.stat().st_size
        if options.sha256 and sha256 == options.sha256:
            return Result(without_login(url), place.final, size, sha256, "unchanged", "sha256")
        if options.overwrite:
            return reply
        entry = await self._in_thread(self._folders[place.final.parent].record.by_name, place.final.name)
        if entry is None or entry.url != without_login(url) or not entry.is_true_of(place.final):
            if not options.if_changed:
                raise exists_error(place.final)
            return reply
        if reply is None:
            reply = await self._patiently(lambda: self._client.open(url, _conditions(entry)))
        if reply.answer.status == 304 or entry.version.is_confirmed_by(reply.answer.version):
            reply.close()
            return Result(without_login(url), place.final, size, entry.sha256, "unchanged", "version")
        if entry.version.differs(reply.answer.version) and not options.if_changed:
            reply.close()
            raise DownloadError(
                f"{place.final} is there already, and the server has another one now",
                "use --if-changed to replace it",
                kind="exists",
            )
        return reply  # nothing tells whether it is the same: it is fetched and compared

    async def _patiently(self, open_it: Callable[[], Awaitable[Reply]]) -> Reply:
        retries = Retries(self.options)
        while True:
            try:
                return await open_it()
            except Trouble as trouble:
                await asyncio.sleep(retries.after(trouble, 0))

    def _remember(self, url: str, place: Place, status: os.stat_result, version: Version, sha256: str) -> None:
        entry = Entry(place.final.name, without_login(url), status.st_size, sha256, status.st_mtime_ns, version)
        self._folders[place.final.parent].remember([entry])

    def _take(self, home: Folder, place: Place, url: str) -> None:
        """Two addresses of one run must not give the same name."""
        name = place.final.name
        if (home, name) in self._taken:
            raise DownloadError(
                f"{self._taken[home, name]} and {url} both give {name}", "name the files with -o", kind="exists"
            )
        self._taken[home, name] = url

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)


async def get_many(
    downloads: Downloads,
    wanted: Sequence[tuple[str, Path | None, Path | None, str]],
    on_result: Callable[[int, Result | DownloadError], None] | None = None,
    on_progress: Callable[[int], OnProgress | None] | None = None,
) -> list[Result | DownloadError]:
    """Fetch all of `wanted` (address, path, folder, SHA-256 or ""), some at a time; failures stop nothing.

    The results come in the order of `wanted`; `on_result(index, result)` is called as each is there.
    """
    results: dict[int, Result | DownloadError] = {}
    waiting = iter(enumerate(wanted))

    async def work() -> None:
        for index, (url, path, folder, sha256) in waiting:
            try:
                progress = on_progress(index) if on_progress is not None else None
                results[index] = await downloads.get(url, path, folder, progress, sha256)
            except DownloadError as error:
                results[index] = error
            if on_result is not None:
                on_result(index, results[index])

    tasks = [asyncio.ensure_future(work()) for _ in range(min(downloads.options.at_once, len(wanted)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [results[index] for index in range(len(wanted))]


def _proof(options: Options, version: Version) -> str:
    return "sha256" if options.sha256 else ",".join(sorted(version.digests)) or "length"


def _is_little(answer: Answer) -> bool:
    return answer.is_whole and not answer.coding and answer.stop is not None and answer.stop <= LITTLE


def _conditions(entry: Entry) -> dict[str, str]:
    if entry.version.etag:
        return {"If-None-Match": entry.version.etag}
    return {"If-Modified-Since": entry.version.modified} if entry.version.modified else {}


def _same_place(old: str, new: str) -> bool:
    """The same address but for its query: signatures in links expire."""
    return old.partition("?")[0] == new.partition("?")[0]
