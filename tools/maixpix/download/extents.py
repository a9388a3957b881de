"""Which bytes of a file are there: a sorted list of ranges that neither overlap nor touch."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Extents:
    """Half-open ranges of byte offsets."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def __len__(self) -> int:
        """Bytes in all ranges together."""
        return sum(self._stops) - sum(self._starts)

    @property
    def front(self) -> int:
        """Up to where everything is there from the first byte on."""
        return self._stops[0] if self._starts[:1] == [0] else 0

    def copy(self) -> Extents:
        """The same ranges, independent of these."""
        return Extents(self)

    def clear(self) -> None:
        """Nothing is there."""
        self._starts.clear()
        self._stops.clear()

    def add(self, start: int, stop: int) -> None:
        """The bytes from `start` to `stop` are there."""
        if start >= stop:
            return
        low = bisect_left(self._stops, start)
        high = bisect_right(self._starts, stop)
        if low < high:
            start, stop = min(start, self._starts[low]), max(stop, self._stops[high - 1])
        self._starts[low:high], self._stops[low:high] = [start], [stop]

    def remove(self, start: int, stop: int) -> None:
        """The bytes from `start` to `stop` are not there."""
        kept = [piece for a, b in self for piece in ((a, min(b, start)), (max(a, stop), b)) if piece[0] < piece[1]]
        self._starts, self._stops = [a for a, _ in kept], [b for _, b in kept]

    def gaps(self, stop: int) -> Iterator[tuple[int, int]]:
        """What is missing below `stop`, in order."""
        position = 0
        for start, end in self:
            if start >= stop:
                break
            if position < start:
                yield position, start
            position = end
        if position < stop:
            yield position, stop

    def before(self, position: int) -> int:
        """Where the run of bytes that ends at `position` begins; `position` itself when there is none."""
        index = bisect_left(self._stops, position)
        if index < len(self._stops) and self._starts[index] < position:
            return self._starts[index]
        return position
