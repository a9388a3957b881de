"""Content handed on piece by piece, in constant memory, that goes on after a cut or says that it cannot."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar

from maixpix.download.client import Client, check_size
from maixpix.download.options import Options
from maixpix.download.rate import Pace, RateLimit
from maixpix.download.reply import Reply
from maixpix.download.retries import Retries
from maixpix.download.trouble import Broken, Changed, DownloadError, Lie, Stalled, Trouble
from maixpix.download.unpacking import Unpacker
from maixpix.download.version import ALGORITHMS, Version, check_digest, expected_digests

LONGEST_LINE = 16 * 1024 * 1024
_OVERLAP = 1024
_INFLATED = 256 * 1024

T = TypeVar("T")


class Both(Generic[T]):
    """What can be iterated with ``for`` and with ``async for``."""

    def __init__(self, begin: Callable[[], AsyncIterator[T]]) -> None:
        self._begin = begin

    def __aiter__(self) -> AsyncIterator[T]:
        return self._begin()

    def __iter__(self) -> Iterator[T]:
        return _in_turn(self._begin())


class Stream(Both[bytes]):
    """Bytes of one address: ``for piece in stream(url)`` or ``async for piece in stream(url)``.

    What was handed out cannot be taken back. After a cut the rest is asked for under the same version; where there is
    none, the whole is read again and must begin with what was handed out. Otherwise, and when a digest turns out to
    be wrong at the end, `DownloadError` is raised.
    """

    def __init__(self, url: str, options: Options) -> None:
        super().__init__(lambda: _Source(url, options).pieces())

    def lines(self, encoding: str = "utf-8") -> Both[str]:
        """Lines of text without their ends. Raises `DownloadError` for a line of more than `LONGEST_LINE` bytes."""
        return Both(lambda: _lines(self.__aiter__(), encoding))

    def json_lines(self) -> Both[Any]:
        """The value of every line that is not empty. Raises `DownloadError` for what is no JSON."""
        return Both(lambda: _values(_lines(self.__aiter__(), "utf-8")))


class _Source:
    """The state of one iteration: what was handed out, and by what another answer is held against it."""

    def __init__(self, url: str, options: Options) -> None:
        self._url = url
        self._options = options
        self._version = Version()
        self._position = 0
        self._tail = b""
        self._hashes = {"sha256": hashlib.sha256()}
        self._is_whole_only = False
        self._is_end_doubtful = False
        self._is_done = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """All bytes, then the proof. Raises `DownloadError`."""
        retries, limit = Retries(self._options), RateLimit(self._options.limit)
        async with Client(self._options) as client:
            while not self._is_done:
                try:
                    reply = await client.open(self._url, self._headers())
                    try:
                        async for data in self._new_of(reply):
                            await limit.take(len(data))
                            yield data
                    finally:
                        reply.close()
                except Trouble as trouble:
                    await asyncio.sleep(retries.after(trouble, self._position))
        try:
            self._prove()
        except Lie as lie:
            raise retries.given_up(lie) from None

    def _headers(self) -> dict[str, str]:
        if not self._position or self._is_whole_only or not (self._version.condition or self._is_end_doubtful):
            return {}
        headers = {"Range": f"bytes={self._position - len(self._tail)}-"}
        if self._version.condition:
            headers["If-Range"] = self._version.condition
        return headers

    async def _new_of(self, reply: Reply) -> AsyncIterator[bytes]:
        """What one answer brings beyond what was handed out."""
        answer = reply.answer
        if self._position == 0:
            self._version = answer.version
            self._hashes |= {ALGORITHMS[name][0]: hashlib.new(ALGORITHMS[name][0]) for name in answer.version.digests}
        elif difference := self._version.differs(answer.version):
            self._is_whole_only = True
            raise Changed(f"has other content than what was read already ({difference})")
        elif not answer.is_whole and not answer.is_end and not self._version.takes_part_of(answer.version):
            self._is_whole_only = True
            raise Changed("sends a part without the tag of what was read already")
        if answer.is_end or answer.start > self._position:
            self._is_whole_only = True
            raise Lie(f"does not send the bytes from {self._position:,} on")
        again = _Again(self._position - answer.start, self._tail if answer.start else b"", self._hashes["sha256"])
        before, pace = self._position, Pace(self._options.idle_s, self._options.min_rate)
        async for data in _unpacked(reply) if answer.coding else _read(reply):
            if not pace.is_kept(len(data)) and not self._options.limit:
                raise Stalled("hardly sends anything")
            if data := again.beyond(data):
                self._hand_out(data)
                yield data
        if not again.is_over:
            raise Changed("has less content now than what was read already")
        self._end_of(reply, self._position > before)

    def _hand_out(self, data: bytes) -> None:
        self._position += len(data)
        check_size(self._position, self._options)
        self._tail = (self._tail + data)[-_OVERLAP:]
        for running in self._hashes.values():
            running.update(data)

    def _end_of(self, reply: Reply, is_longer: bool) -> None:
        """Decide whether the end of an answer is the end of the content."""
        reply.check_surplus()
        answer, size = reply.answer, self._version.size or reply.answer.version.size
        if size is not None:
            self._is_done = self._position == size
            if not self._is_done:
                raise Broken(f"ends the answer at byte {self._position:,} of {size:,}")
        elif answer.is_whole and not answer.ends_by_close:
            self._is_done = True
        else:
            # Only the connection's end told it: the next answer has to end at the same byte.
            self._is_done = self._is_end_doubtful and not is_longer
            self._is_end_doubtful = True

    def _prove(self) -> None:
        for name, wanted in expected_digests(self._options, self._version).items():
            check_digest(name, self._hashes[ALGORITHMS[name][0]].digest(), wanted)


class _Again:
    """Swallows what was handed out already, and raises `Changed` when it is not the same.

    `count` bytes come again; `known` are they when they were kept, else they are compared by `handed_out`.
    """

    def __init__(self, count: int, known: bytes, handed_out: hashlib._Hash) -> None:
        self._left = count
        self._sha = hashlib.sha256()
        self._wanted = hashlib.sha256(known).digest() if known else handed_out.digest()
        self.is_over = count == 0

    def beyond(self, data: bytes) -> bytes:
        """What of `data`, the next bytes of the answer, is new."""
        if self.is_over:
            return data
        old, new = data[: self._left], data[self._left :]
        self._sha.update(old)
        self._left -= len(old)
        if self._left == 0:
            self.is_over = True
            if self._sha.digest() != self._wanted:
                raise Changed("sends other bytes than what was read already")
        return new


async def _read(reply: Reply) -> AsyncIterator[bytes]:
    while data := await reply.read():
        yield data


async def _unpacked(reply: Reply) -> AsyncIterator[bytes]:
    unpacker = Unpacker(reply.answer.coding)
    async for data in _read(reply):
        for plain in unpacker.feed(data):
            yield plain
    if not unpacker.is_complete:
        raise Broken("ends the packed answer too early")


async def _lines(pieces: AsyncIterator[bytes], encoding: str) -> AsyncIterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    rest = ""
    async for piece in pieces:
        *lines, rest = (rest + decoder.decode(piece)).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
        if len(rest) > LONGEST_LINE:
            raise DownloadError("a line is longer than 16 MiB", "read the bytes instead", kind="lie")
    if rest := rest + decoder.decode(b"", final=True):
        yield rest.removesuffix("\r")


async def _values(lines: AsyncIterator[str]) -> AsyncIterator[Any]:
    number = 0
    async for line in lines:
        number += 1
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except ValueError as error:
            raise DownloadError(f"line {number} is no JSON: {error}", "check the address", kind="lie") from None


def _in_turn(found: AsyncIterator[T]) -> Iterator[T]:
    """Iterate an asynchronous generator without a running event loop: it advances only while a value is awaited."""
    loop = asyncio.new_event_loop()

    async def following() -> tuple[bool, Any]:
        try:
            return True, await found.__anext__()
        except StopAsyncIteration:
            return False, None

    try:
        while (step := loop.run_until_complete(following()))[0]:
            yield step[1]
    finally:
        loop.run_until_complete(found.aclose())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
