"""The slots of FAT directories: the order in which names are listed, and when a directory needs another cluster.

A directory is a row of 32-byte slots. A name takes one, and more in front of it for its long form; FatFs puts a new
name into the first gap that is large enough and never gives clusters back (FatFs R0.13 `dir_alloc`,
`dir_register`, `dir_remove`). Keeping the same account makes the file face list and fill up as a real card would.
"""

from __future__ import annotations

from collections.abc import Iterable

from virtualboard.card.names import slots_as_laid_out, slots_by_fatfs


class Directory:
    """The slots of one directory with `slots_per_cluster` slots in a cluster.

    It begins as `virtualboard.card.volume` lays it out: `reserved` slots (the volume label, or the two dot entries),
    then the names in the given order, each with its 8.3 alias.
    """

    def __init__(self, reserved: int, names: Iterable[tuple[str, str]], slots_per_cluster: int) -> None:
        self._per_cluster = slots_per_cluster
        self._slots: list[str | None] = [""] * reserved
        for name, alias in names:
            self._slots += [name] * slots_as_laid_out(name, alias)
        self.clusters = max(1, -(-len(self._slots) // slots_per_cluster))

    def order(self) -> dict[str, int]:
        """Position of each name in the directory."""
        places: dict[str, int] = {}
        for index, name in enumerate(self._slots):
            if name and name not in places:
                places[name] = index
        return places

    def growth(self, name: str) -> int:
        """Clusters that the directory would have to grow by to take `name`."""
        end = self._gap(slots_by_fatfs(name)) + slots_by_fatfs(name)
        return max(0, -(-end // self._per_cluster) - self.clusters)

    def add(self, name: str) -> None:
        """Put `name` into the first gap that is large enough."""
        count = slots_by_fatfs(name)
        start = self._gap(count)
        self.clusters += self.growth(name)
        self._slots += [None] * (start + count - len(self._slots))
        self._slots[start : start + count] = [name] * count

    def discard(self, name: str, keep_last: bool = False) -> None:
        """Free the slots of `name`; with `keep_last`, all but those in which it was put last."""
        places = [index for index, owner in enumerate(self._slots) if owner == name]
        if keep_last:
            places = places[: -slots_by_fatfs(name)]
        for index in places:
            self._slots[index] = None

    def _gap(self, count: int) -> int:
        run = 0
        for index, owner in enumerate(self._slots):
            run = 0 if owner is not None else run + 1
            if run == count:
                return index - count + 1
        return len(self._slots) - run
