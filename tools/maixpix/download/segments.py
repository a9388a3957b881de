"""Who fetches which bytes: open ranges are taken from the front, and when none is open, from whoever has most left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from maixpix.download.extents import Extents

SMALLEST = 1024 * 1024
"""Bytes that are worth a connection of their own; less is not taken from a neighbour."""

STOLEN = 4 * 1024 * 1024
"""The same for bytes that a neighbour has asked for already: its connection has to be closed, with what is in it."""

ROUNDS = 2
"""Pieces that each connection is to fetch one after the other: while the second half of a file comes, the first is
hashed, which at the end of a fast download is what would still have to be done."""

ENDLESS = math.inf


@dataclass(eq=False)
class Segment:
    """Bytes from `position` to `stop` that one connection is fetching; `stop` is `ENDLESS` while nobody knows it."""

    start: int
    position: int
    stop: float

    @property
    def left(self) -> float:
        """Bytes still to come."""
        return self.stop - self.position


class Segments:
    """The segments being fetched, over the bytes that are there."""

    def __init__(self, there: Extents) -> None:
        self.there = there
        self.total: int | None = None
        self._piece = ENDLESS
        self._active: list[Segment] = []

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._active)

    @property
    def is_complete(self) -> bool:
        """All bytes are there; False as long as the total is unknown."""
        return self.total is not None and len(self.there) >= self.total

    def claim(self) -> Segment | None:
        """A piece of the first range that is neither there nor being fetched; None when there is none."""
        for start, stop in self._open():
            return self._begin(start, min(stop, start + self._piece))
        return None

    def deal(self, count: int) -> list[Segment]:
        """Cut the only segment being fetched for `count` connections; the segments of all others than its own.

        What is left open behind them is for whoever is through first.
        """
        first = self._active[0]
        left = first.left + sum(stop - start for start, stop in self._open())
        rounds = ROUNDS if left >= ROUNDS * count * STOLEN else 1
        self._piece = max(SMALLEST, math.ceil(left / (rounds * count)))
        first.stop = min(first.stop, first.position + self._piece)
        shares = [self.claim() for _ in range(count - 1)]
        return [share for share in shares if share is not None]

    def steal(self, smallest: int = STOLEN) -> Segment | None:
        """An open range, or the second half of the longest one being fetched; None when less than `smallest` is it."""
        if (segment := self.claim()) is not None:
            return segment
        most = max(self._active, key=lambda one: one.left, default=None)
        if most is None or most.stop == ENDLESS or most.left < 2 * smallest:
            return None
        middle, stop = int(most.position + most.left // 2), int(most.stop)
        most.stop = middle
        return self._begin(middle, stop)

    def extend(self, segment: Segment) -> bool:
        """Let a segment at its end go on into an open range right behind it. False when there is none."""
        for start, stop in self._open():
            if start == segment.stop:
                segment.stop = min(stop, start + self._piece)
                return True
        return False

    def release(self, segment: Segment) -> None:
        """The segment is no longer being fetched; what of it is not there is open again."""
        if segment in self._active:
            self._active.remove(segment)

    def _begin(self, start: int, stop: float) -> Segment:
        segment = Segment(start, start, stop)
        self._active.append(segment)
        return segment

    def _open(self) -> Iterator[tuple[int, float]]:
        taken = self.there.copy()
        for segment in self._active:
            if segment.stop == ENDLESS:
                return
            taken.add(segment.start, int(segment.stop))
        if self.total is not None:
            yield from taken.gaps(self.total)
        else:
            end = self.there.front
            if not self._active:
                yield end, ENDLESS
