"""One file over one or several connections, until it is complete and proven.

Longer than 350 lines: one attempt's answer decides what the next one asks, and the rules for that stand together.

The first connection is asked for the whole, which every server understands. Where the answer tells a version that
parts can be held against, others take halves of what is left (`Segments`). They only ever help: at the first answer
of theirs that does not fit they stop, and the first connection goes on alone. Neighbouring answers overlap by
`SEAM` bytes, which must be the same in both, whatever the headers said.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from maixpix.download.answer import Answer
from maixpix.download.client import Client, check_size
from maixpix.download.helpers import Helpers
from maixpix.download.journal import KEPT_FROM, Left
from maixpix.download.options import AUTO_PARTS, OnProgress, Options, Progress
from maixpix.download.rate import Pace, RateLimit
from maixpix.download.reply import Reply
from maixpix.download.retries import Retries
from maixpix.download.segments import ENDLESS, Segment, Segments
from maixpix.download.trouble import Broken, Changed, DownloadError, Lie, Stalled, Trouble, Unrelated
from maixpix.download.unpacking import Unpacker
from maixpix.download.version import ALGORITHMS, Version, check_digest, expected_digests
from maixpix.download.writing import BUFFERED, SMALLEST, Pouring, Writer

SEAM = 1024
TICK_S = 0.1
TELL_S = 0.1
STRIKES = 2
"""Answers that do not fit before the download starts again: with two servers behind one name the next one may fit."""

T = TypeVar("T")


class Transfer:
    """Fetches `url` into the writer's part file. `run` does everything up to the proof."""

    def __init__(
        self,
        client: Client,
        url: str,
        writer: Writer,
        options: Options,
        limit: RateLimit,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.client = client
        self.url = url
        self.writer = writer
        self.file = writer.file
        self.options = options
        self.version = Version()
        self.received = 0
        self.notes: list[str] = []
        self.segments = Segments(self.file.there)
        self._limit = limit
        self._on_progress = on_progress
        self._told_at = 0.0
        self.retries = Retries(options)
        self._helpers = Helpers(self, options.parts)
        self._pourings: set[Pouring] = set()
        self._must_restart = False
        self._tied_size: int | None = None
        self._is_suspicious = False
        self._strikes = 0
        self._cuts = 0
        self._is_end_doubtful = False
        self._seams: list[tuple[int, bytes]] = []
        self._read_out: deque[Reply] = deque(maxlen=16)

    def go_on_from(self, left: Left) -> None:
        """What the part file holds, by its journal, is of this version; and what is to come, if it holds nothing."""
        self.version = left.version
        self._tied_size = left.version.size
        self.segments.total = left.version.size if len(self.file.there) else None
        self.writer.is_kept = True

    async def run(self, first: Reply | None = None) -> dict[str, bytes]:
        """Fetch and prove the file; returns its digests by their names in `hashlib`.

        `first` is an answer to a plain request that has been read up to its headers. Raises `DownloadError`; whatever
        is safe then stays in part file and journal, unless it was proven to be wrong.
        """
        is_second_try = False
        ticker = asyncio.ensure_future(self._tick())
        try:
            while True:
                await self._fetch(first)
                try:
                    return await self._prove()
                except Lie as lie:
                    self.note(lie.text)
                    if is_second_try:
                        self.writer.journal.remove()
                        raise self.retries.given_up(lie) from None
                    is_second_try, self._helpers.are_allowed, self._is_suspicious, first = True, False, True, None
                    await self._restart()
        finally:
            ticker.cancel()
            await self._helpers.stop()
            with suppress(DownloadError):  # the failure that ended the run is the one to tell
                await self.writer.save_all()

    async def _tick(self) -> None:
        """What has come goes to the disk and into the journal, also while nothing more comes."""
        with suppress(DownloadError):  # whoever writes next meets the same failure, and tells it
            while True:
                await asyncio.sleep(TICK_S)
                for pouring in self._pourings:
                    pouring.tick()
                await self.writer.keep_up()

    # -- attempts -----------------------------------------------------------------------------------------

    async def _fetch(self, reply: Reply | None) -> None:
        """Attempt after attempt until all bytes are there."""
        while True:
            try:
                if reply is not None:
                    opened, reply = reply, None
                    await self._with_segment(lambda segment, opened=opened: self._use(opened, segment))
                elif self._must_restart:
                    await self._restart()
                elif self._is_end_doubtful:
                    await self._prove_end()
                elif self.segments.is_complete and not self._helpers.are_busy:
                    return
                else:
                    await self._attempt()
                self._helpers.check()
            except Trouble as trouble:
                self.note(trouble.text)
                self._cuts += isinstance(trouble, Broken)
                if isinstance(trouble, Lie):
                    self._is_suspicious = True
                if isinstance(trouble, Lie) and not isinstance(trouble, Unrelated):
                    self._strikes += 1
                    self._must_restart |= self._strikes >= STRIKES
                pause = self.retries.after(trouble, len(self.file.there))
                self._tell(trouble.text)
                await asyncio.sleep(pause)

    async def _attempt(self) -> None:
        if self.segments.is_complete:
            await self._helpers.wait()
            return
        if len(self.file.there) and not self._can_join():
            # Nothing ties a second answer to the first one: the whole is asked for again, as long as that may help.
            await self._restart()
        if not await self._with_segment(self._ask):
            await self._helpers.wait()

    def _can_join(self) -> bool:
        """Whether further bytes may be put behind those that are there."""
        return bool(self.version.condition or expected_digests(self.options, self.version)) or self._cuts >= STRIKES

    async def _with_segment(self, use: Callable[[Segment], Awaitable[None]]) -> bool:
        segment = self.segments.steal()
        if segment is None:
            return False
        try:
            await use(segment)
        finally:
            self.segments.release(segment)
        return True

    async def _ask(self, segment: Segment) -> None:
        headers = self.headers_for(segment)
        try:
            reply = await self.client.open(self.url, headers)
        except DownloadError as error:
            if "Range" in headers and error.kind == "refused":
                # The whole was given out before: it is the part that is refused, or a link that has just expired.
                raise Lie(f"refuses to go on: {error.message.removeprefix('the server ')}") from None
            raise
        await self._use(reply, segment)

    def headers_for(self, segment: Segment) -> dict[str, str]:
        """A plain request for a whole file, else one for the segment and its seams."""
        headers = {"Cache-Control": "no-cache"} if self._is_suspicious else {}
        total = self.segments.total
        if not len(self.file.there) and (segment.position == 0 and segment.stop in (ENDLESS, total)):
            return headers
        overlap = max(16, SEAM >> (3 * self.retries.failures)) if self.version.condition else SEAM
        start = max(segment.position - overlap, self.file.there.before(segment.position))
        stop = "" if segment.stop in (ENDLESS, total) else str(min(int(segment.stop) + SEAM, total or 0) - 1)
        headers["Range"] = f"bytes={start}-{stop}"
        if self.version.condition:
            headers["If-Range"] = self.version.condition
        return headers

    async def _use(self, reply: Reply, segment: Segment) -> None:
        """Take what the first connection's answer brings."""
        try:
            answer = reply.answer
            if answer.is_end:
                self._take_end(answer)
            elif answer.coding:
                await self._take_packed(reply)
            else:
                await self._fit(answer, segment)
                self._helpers.begin(answer)
                await self.pour(reply, segment)
        finally:
            reply.close()

    async def _fit(self, answer: Answer, segment: Segment) -> None:
        """Hold an answer against what is there; start again where it is of another version."""
        is_begun = bool(len(self.file.there))
        tied, told = self._tied_size, answer.version
        if tied is not None and not (told.etag or told.modified or told.digests) and told.size != tied:
            # An error page sent as 200 looks like this; a new version would have its own tag or date.
            size = "as many bytes as it likes" if told.size is None else f"{told.size:,} bytes"
            raise Unrelated(f"sends something else: {size} of no version instead of {tied:,}")
        if is_begun and (difference := self.version.differs(answer.version)):
            self._strike(f"has other content than before ({difference})", answer)
        is_sure = bool(expected_digests(self.options, self.version)) or self.version.takes_part_of(told)
        if is_begun and not answer.is_whole and not is_sure:
            self._strike("sends a part without the tag of the file", answer)
        if answer.is_whole:
            if is_begun:
                if self.version.condition and not self._strikes:
                    self.note("ignores the request for a part and sends the whole")
                await self._restart()
            segment.start = segment.position = 0
            segment.stop = ENDLESS if answer.stop is None else answer.stop
        elif answer.start > segment.position or answer.stop is None or answer.stop <= segment.position:
            self._strike(
                f"sends bytes {answer.start}-{(answer.stop or 0) - 1} when asked for {segment.position}", answer
            )
        await self._adopt(answer.version)
        if segment.stop == ENDLESS and self.segments.total is not None:
            segment.stop = self.segments.total

    def _strike(self, text: str, answer: Answer) -> None:
        """An answer does not fit. Returns for a whole one that is to be used instead of what is there."""
        if self._strikes + 1 < STRIKES or not answer.is_whole:
            raise Changed(text)
        self.note(text)

    async def _adopt(self, version: Version) -> None:
        """From now on the download is of `version`, or more is known of it."""
        if len(self.file.there):
            digests = {**version.digests, **self.version.digests}
            size = self.version.size if self.version.size is not None else version.size
            version = Version(self.version.etag, self.version.modified, self.version.dated, size, digests)
        elif version.size is not None:
            self.segments.total = version.size
        is_new = version != self.version
        self.version = version
        if version.size is not None and (is_new or self.segments.total is None):
            self.segments.total = version.size
            await self._in_thread(self.file.allocate, version.size)
        if version.condition and version.size is not None:
            self._tied_size = version.size
        self.writer.is_kept = bool(version.condition or expected_digests(self.options, self.version))
        if is_new and self.writer.is_kept and not len(self.file.there) and (version.size or ENDLESS) > KEPT_FROM:
            await self._in_thread(self.writer.journal.begin, version)

    def _take_end(self, answer: Answer) -> None:
        """A 416: right only where the file ends."""
        end = self.file.there.front
        if self.segments.total is None and answer.version.size in (None, end):
            self.segments.total = end
            return
        self._strike("says that there is nothing (416) where its file goes on", answer)

    async def _restart(self) -> None:
        """Nothing of what is there counts."""
        await self._helpers.stop()
        await self.writer.settle()
        await self._in_thread(self.file.restart)
        self.writer.journal.remove()
        self._seams.clear()
        self._read_out.clear()
        self.segments.total = None
        self.version = Version()
        self.writer.is_kept = False
        self._must_restart = self._is_end_doubtful = False
        self._strikes = 0

    # -- bodies -------------------------------------------------------------------------------------------

    async def pour(self, reply: Reply, segment: Segment) -> None:
        """Read the answer into the file as far as the segment goes. What came before a failure is kept."""
        read_to = reply.answer.start
        stop = reply.answer.stop
        pace = Pace(self.options.idle_s, self.options.min_rate)
        pouring = Pouring(self.writer, segment.position)
        self._pourings.add(pouring)
        reply.buffer_at_most(BUFFERED // (self.options.parts or AUTO_PARTS))
        reply.take_over(lambda: SMALLEST if self.options.limit else self.writer.block)
        try:
            while segment.position < segment.stop:
                data = await reply.read()
                if not data:
                    self._end_of(reply, segment)
                    break
                if not pace.is_kept(len(data)) and not self.options.limit:
                    raise Stalled("hardly sends anything")
                self.received += len(data)
                await self._limit.take(len(data))
                if read_to < segment.position:
                    known = data[: segment.position - read_to]
                    await self._compare(read_to, known)
                    read_to, data = read_to + len(known), data[len(known) :]
                read_to += len(data)
                room = segment.stop - segment.position
                if len(data) > room and (stop is None or stop > segment.stop + SEAM) and self.segments.extend(segment):
                    room = segment.stop - segment.position
                if len(data) > room:
                    self._seams.append((int(segment.stop), bytes(data[int(room) : int(room) + SEAM])))
                    data = data[: int(room)]
                segment.position += len(data)
                check_size(segment.position, self.options)
                await pouring.take(data)
                self._tell()
            else:
                await self._read_to_end(reply, segment, read_to)
        finally:
            self._pourings.discard(pouring)
            await pouring.finish()

    def _end_of(self, reply: Reply, segment: Segment) -> None:
        """The answer has ended before its segment."""
        if segment.stop != ENDLESS:
            whole = f" of {self.segments.total:,}" if self.segments.total else ""
            raise Broken(f"ends the answer at byte {segment.position:,}{whole}")
        if reply.answer.ends_by_close or not reply.answer.is_whole:
            self._is_end_doubtful = True
        else:
            self.segments.total = segment.position
        self._read_out.append(reply)

    async def _read_to_end(self, reply: Reply, segment: Segment, position: int) -> None:
        """The segment is full and the answer has been read up to `position`: where it should end, it must end."""
        stop = reply.answer.stop
        if stop is None and segment.stop == self.segments.total:
            stop = self.segments.total
        if stop is None or stop > segment.stop + SEAM:
            return  # the rest is being fetched by another connection
        while data := await reply.read():
            if position + len(data) > stop:
                self._must_restart = True
                raise Lie("sends more bytes than it told")
            self._seams.append((position, bytes(data)))
            position += len(data)
        self._check_surplus(reply)
        self._read_out.append(reply)

    def _check_surplus(self, reply: Reply) -> None:
        try:
            reply.check_surplus()
        except Lie:
            self._must_restart = True
            raise

    async def _compare(self, position: int, data: bytes) -> None:
        """Bytes that came before must come the same way again."""
        if not await self._in_thread(self.file.agrees, position, data):
            self._must_restart = True
            raise Changed(f"sends other bytes than before at {position:,}")

    async def _take_packed(self, reply: Reply) -> None:
        """A body that is packed though it was asked for plain: unpacked on the way, never continued."""
        self.note(f"sends it packed as {reply.answer.coding} though asked for it plain")
        await self._restart()
        self._helpers.are_allowed = False
        await self._adopt(reply.answer.version)
        self.writer.is_kept = False
        unpacker = Unpacker(reply.answer.coding)
        position = 0
        try:
            while data := await reply.read():
                self.received += len(data)
                await self._limit.take(len(data))
                for plain in unpacker.feed(data):
                    await self.writer.put(position, [plain])
                    position += len(plain)
                    check_size(position, self.options)
                self._tell()
        finally:
            self._must_restart = True
        if not unpacker.is_complete:
            raise Broken("ends the packed answer too early")
        reply.check_surplus()
        self._must_restart = False
        self.segments.total = position

    async def _prove_end(self) -> None:
        """The connection's end was all that told where the content ends: a second answer has to say the same."""
        end = len(self.file.there)
        start = max(0, end - SEAM)
        reply = await self.client.open(self.url, {"Range": f"bytes={start}-", "Cache-Control": "no-cache"})
        try:
            answer = reply.answer
            if answer.is_end and answer.version.size in (None, end) and start == end:
                self.segments.total = end
            elif answer.is_end or answer.coding or self.version.differs(answer.version):
                self._must_restart = True
                raise Changed("has other content than a moment ago")
            elif answer.start <= end:
                await self._read_again(reply, end)
        finally:
            reply.close()
        self._is_end_doubtful = False

    async def _read_again(self, reply: Reply, end: int) -> None:
        """Compare a second answer with the first; it may only be longer where the first one broke off."""
        answer = reply.answer
        size = answer.version.size
        if size is not None and size < end:
            self._must_restart = True
            raise Changed(f"has {size:,} bytes after sending {end:,}")
        position, more = answer.start, b""
        while position < end and (data := await reply.read()):
            data, more = data[: end - position], data[end - position :]
            await self._compare(position, data)
            position += len(data)
        if position < end:
            self._must_restart = True
            raise Changed(f"ends at {position:,} now, and at {end:,} before")
        if size is not None:
            self.segments.total = size  # more than `end` means that the first answer was cut: it is continued
        elif more or await reply.read():
            self._must_restart = True
            raise Broken(f"closes the connection early, at {end:,} bytes, without telling the length")
        else:
            self.segments.total = end

    # -- proof and talk -----------------------------------------------------------------------------------

    async def _prove(self) -> dict[str, bytes]:
        """Seams, surplus and digests. Raises `Lie` when one of them is wrong."""
        for position, data in self._seams:
            if not await self._in_thread(self.file.agrees, position, data):
                raise Lie(f"sent parts that do not fit together at {position:,}")
        for reply in self._read_out:
            reply.check_surplus()
        expected = expected_digests(self.options, self.version)
        size = self.segments.total or 0
        digests = await self._in_thread(self.file.digests, size, [ALGORITHMS[name][0] for name in expected])
        for name, wanted in expected.items():
            check_digest(name, digests[ALGORITHMS[name][0]], wanted)
        return digests

    def note(self, text: str) -> None:
        """What the server did, as the part of a sentence that follows \"the server\"."""
        if text not in self.notes and len(self.notes) < 50:
            self.notes.append(text)

    def _tell(self, note: str = "") -> None:
        now = time.monotonic()
        if self._on_progress is None or (now - self._told_at < TELL_S and not note):
            return
        self._told_at = now
        parts = tuple(
            (one.start, one.position, None if one.stop == ENDLESS else int(one.stop)) for one in self.segments
        )
        self._on_progress(Progress(len(self.file.there), self.segments.total, parts, note))

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.writer.executor, work, *arguments)
