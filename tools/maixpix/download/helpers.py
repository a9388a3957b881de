"""Further connections for one download: they take halves of what is left, and only ever help.

At the first answer of theirs that does not fit they stop for good; what they had taken falls back to the first
connection. What they brought before is of the same version, and the overlaps are compared at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from maixpix.download.answer import Answer
from maixpix.download.options import AUTO, AUTO_PARTS
from maixpix.download.segments import SMALLEST, Segment
from maixpix.download.trouble import Changed, DownloadError, Lie, Trouble

if TYPE_CHECKING:
    from maixpix.download.transfer import Transfer

MOST_FAILURES = 3
GROW_S = 0.5
WORTH_S = 2.0
"""Another connection is opened when the rest would take longer than this."""


class Helpers:
    """The helpers of one transfer."""

    def __init__(self, transfer: Transfer, parts: int) -> None:
        self.are_allowed = parts != 1
        self._transfer = transfer
        self._parts = parts
        self._tasks: set[asyncio.Task[None]] = set()
        self._shares: list[Segment] = []

    @property
    def are_busy(self) -> bool:
        """Whether any helper is at work."""
        return bool(self._tasks)

    async def wait(self) -> None:
        """Until one of them has ended."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    def check(self) -> None:
        """Raises what ended a helper and ends the download, too: the disk."""
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()

    async def stop(self) -> None:
        """End them all."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for share in self._shares:  # a task that is cancelled before it began gives nothing back itself
            self._transfer.segments.release(share)

    def begin(self, answer: Answer) -> None:
        """The first connection's answer is there: open others, now or when they turn out to pay."""
        left = (self._transfer.segments.total or 0) - len(self._transfer.file.there)
        if not self.are_allowed or self._tasks or left < 2 * SMALLEST or not self._transfer.version.condition:
            return
        if self._parts == AUTO:
            if answer.has_ranges:
                self._start(self._grow())
            return
        # All shares are dealt out before any is asked for, so that nobody asks for what another one gets.
        self._shares = self._transfer.segments.deal(self._parts)
        for share in self._shares:
            self._start(self._help(share))

    def _start(self, work: Awaitable[None]) -> None:
        self._tasks.add(asyncio.ensure_future(work))

    async def _grow(self) -> None:
        """Add connections while the rest takes long and the last one made it faster."""
        rates = [0.0]
        while len(rates) <= AUTO_PARTS and self.are_allowed:
            before = self._transfer.received
            await asyncio.sleep(GROW_S)
            rate = (self._transfer.received - before) / GROW_S
            left = (self._transfer.segments.total or 0) - len(self._transfer.file.there)
            if left < 2 * SMALLEST or left < WORTH_S * rate or rate < 1.1 * rates[-1]:
                return
            rates.append(rate)
            if len(rates) <= AUTO_PARTS:
                self._start(self._help(self._transfer.segments.steal()))

    async def _help(self, segment: Segment | None) -> None:
        """Fetch `segment` and halves of what is left until there is none, or until an answer does not fit."""
        failures = 0
        while segment is not None:
            try:
                reply = await self._transfer.client.open(self._transfer.url, self._transfer.headers_for(segment))
                try:
                    self._check_part(reply.answer, segment)
                    await self._transfer.pour(reply, segment)
                finally:
                    reply.close()
            except Lie as lie:
                self.are_allowed = False
                self._transfer.note(lie.text)
            except Trouble as trouble:
                failures += 1
                self._transfer.note(trouble.text)
                self._transfer.segments.release(segment)
                await asyncio.sleep(self._transfer.retries.short_pause(failures))
            except DownloadError as error:
                if error.kind == "disk":
                    raise
                self.are_allowed = False
                self._transfer.note(f"refuses parts: {error.message}")
            finally:
                self._transfer.segments.release(segment)
            segment = self._transfer.segments.steal() if self.are_allowed and failures < MOST_FAILURES else None

    def _check_part(self, answer: Answer, segment: Segment) -> None:
        if not self._transfer.version.is_confirmed_by(answer.version):
            difference = self._transfer.version.differs(answer.version) or "no word of its version"
            raise Changed(f"sends parts of other content ({difference})")
        if answer.is_whole:
            raise Lie("sends the whole when asked for a part")
        if answer.start > segment.position or answer.stop is None or answer.stop <= segment.position:
            raise Lie(f"sends bytes from {answer.start} when asked for {segment.position}")
