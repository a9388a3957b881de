"""A host folder as the blocks of a FAT32 card.

`Volume` lays the folder's files out on a card that is never stored: tables and directories are made once, file
content is read from the host when a block of it is asked for, blocks that the board writes are kept in memory.
`virtualboard.card.sync` brings those back into the folder. A file that is edited on the host while the board runs
changes under the board, as nothing of it was copied.
"""

from __future__ import annotations

import bisect
import hashlib
import os
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from virtualboard.card.fat32 import (
    BAD,
    END,
    ENTRY,
    FREE,
    PER_SECTOR,
    SECTOR,
    Geometry,
    Node,
    Tree,
    directory_entries,
    dot_entries,
    label_entry,
)
from virtualboard.card.names import Entry, scan, slots_as_laid_out

_CHUNK = 64 << 10
_ZEROS = bytes(SECTOR)


@dataclass(frozen=True)
class Origin:
    """A host file as it was when last read or written: to notice that somebody else has changed it."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Origin | None:
        """The state of `path` now; None when it is not a plain file."""
        try:
            status = path.lstat()
        except OSError:
            return None
        if not path.is_file() or path.is_symlink():
            return None
        return cls(status.st_size, status.st_mtime_ns)


@dataclass
class _Plan:
    """A directory on its way onto the volume."""

    path: tuple[str, ...]
    folder: Path
    mtime: float
    parent: int
    chain: list[int] = field(default_factory=list)


class Volume:
    """The blocks of a card that shows `folder`. Blocks are `SECTOR` bytes, numbered from the card's start.

    What does not fit or cannot be on a FAT card is left off and listed in `left_off` as (path, reason).
    """

    def __init__(self, geometry: Geometry, folder: Path, leave_free: int | None = None) -> None:
        self.geometry = geometry
        self.folder = folder
        self.left_off: list[tuple[str, str]] = []
        self.tree = Tree()
        self.origins: dict[tuple[str, ...], Origin] = {}
        self.written: dict[int, bytes] = {}
        """Blocks that differ from what the folder gives."""
        self.dirty: set[int] = set()
        """Blocks written since the last write-back."""
        self.boot = b""
        """The boot sector as the card came with it."""
        self._fixed: dict[int, bytes] = {}
        self._table = array("I", [0x0FFF_FFF8, END])
        self._limit = geometry.clusters + 2
        self._was_limited = False
        self._extent_starts: list[int] = []
        self._extents: list[tuple[int, int, tuple[str, ...], int]] = []
        self._chunk: tuple[Path, int, bytes] | None = None
        self._build()
        self.fill(leave_free)

    def tables_digest(self) -> str:
        """SHA-256 of allocation tables and directories, which firmware keeps parts of in its memory."""
        digest = hashlib.sha256()
        for sector in [*range(self.geometry.start, self.geometry.data_start), *sorted(self._fixed)]:
            digest.update(self.read(sector))
        return digest.hexdigest()

    # -- blocks -------------------------------------------------------------------------------------------

    def read(self, sector: int) -> bytes:
        """One block; the host file's present content where the block belongs to a file."""
        data = self.written.get(sector)
        if data is None:
            data = self._fixed.get(sector)
        if data is not None:
            return self._with_limit(sector, data) if self._in_table(sector) else data
        if self._in_table(sector):
            return self._with_limit(sector, self._table_sector(sector))
        at = bisect.bisect_right(self._extent_starts, sector) - 1
        if at >= 0:
            start, count, path, offset = self._extents[at]
            if sector < start + count:
                return self._from_host(path, offset + (sector - start) * SECTOR)
        return _ZEROS

    def write(self, sector: int, data: bytes) -> None:
        """Replace one block."""
        self.written[sector] = bytes(data)
        self.dirty.add(sector)

    def path_of(self, path: tuple[str, ...]) -> Path:
        """Where in the folder a path of the volume is."""
        return self.folder.joinpath(*path)

    # -- a full card --------------------------------------------------------------------------------------

    def fill(self, leave_free: int | None) -> None:
        """Leave at most `leave_free` clusters free: the others count as unusable. None: all that are free."""
        self._limit = self.geometry.clusters + 2
        if leave_free is None:
            return
        self._was_limited = True
        left = leave_free
        cluster = 2
        while cluster < self.geometry.clusters + 2:
            sector = self.geometry.fat_start + cluster // PER_SECTOR
            entries = array("I", self.read(sector))
            for entry in entries[cluster % PER_SECTOR :]:
                if entry & 0x0FFF_FFFF in (FREE, BAD):
                    if left == 0:
                        self._limit = cluster
                        self._write_info()
                        return
                    left -= 1
                cluster += 1

    def _in_table(self, sector: int) -> bool:
        return self.geometry.fat_start <= sector < self.geometry.data_start

    def _with_limit(self, sector: int, data: bytes) -> bytes:
        """A table sector in which the free clusters from the limit on are unusable."""
        if self._limit >= self.geometry.clusters + 2 and not self._was_limited:
            return data
        first = (sector - self.geometry.fat_start) % self.geometry.fat_sectors * PER_SECTOR
        entries = array("I", data)
        for i in range(min(PER_SECTOR, self.geometry.clusters + 2 - first)):
            if entries[i] in (FREE, BAD):
                entries[i] = FREE if first + i < self._limit else BAD
        return entries.tobytes()

    # -- where blocks come from ---------------------------------------------------------------------------

    def _table_sector(self, sector: int) -> bytes:
        first = (sector - self.geometry.fat_start) % self.geometry.fat_sectors * PER_SECTOR
        return self._table[first : first + PER_SECTOR].tobytes().ljust(SECTOR, b"\0")

    def _from_host(self, path: tuple[str, ...], offset: int) -> bytes:
        host = self.path_of(path)
        start = offset - offset % _CHUNK
        if self._chunk is None or self._chunk[:2] != (host, start):
            self._chunk = (host, start, read_plain(host, start, _CHUNK))
        return self._chunk[2][offset - start : offset - start + SECTOR].ljust(SECTOR, b"\0")

    def map_files(self, tree: Tree) -> None:
        """From now on take the content of `tree`'s files from the folder, where it has just been brought.

        Written blocks are forgotten when the folder has every byte of them.
        """
        geometry = self.geometry
        self.tree = tree
        self._chunk = None
        extents: list[tuple[int, int, tuple[str, ...], int]] = []
        for path, node in tree.nodes.items():
            if node.is_dir or path not in self.origins:
                continue
            offset = 0
            for cluster in node.chain[: geometry.clusters_for(node.size)]:
                start = geometry.sector_of(cluster)
                count = min(geometry.cluster_sectors, -(-(node.size - offset) // SECTOR))
                for sector in range(start, start + min(count, (node.size - offset) // SECTOR)):
                    self.written.pop(sector, None)
                if extents and extents[-1][2] == path and extents[-1][0] + extents[-1][1] == start:
                    extents[-1] = (extents[-1][0], extents[-1][1] + count, path, extents[-1][3])
                else:
                    extents.append((start, count, path, offset))
                offset += count * SECTOR
        extents.sort()
        self._extents = extents
        self._extent_starts = [extent[0] for extent in extents]

    # -- building -----------------------------------------------------------------------------------------

    def _build(self) -> None:
        mtime = self.folder.stat().st_mtime
        root = _Plan((), self.folder, mtime, 0)
        pending = [root]
        while pending:
            plan = pending.pop()
            pending += self._build_directory(plan)
        self._write_boot(int(mtime) & 0xFFFF_FFFF)
        self.map_files(self.tree)

    def _build_directory(self, plan: _Plan) -> list[_Plan]:
        """Lay out one directory and its files; returns its sub-directories, which follow later."""
        geometry = self.geometry
        listing = scan(plan.folder)
        where = "/".join(plan.path) + "/" if plan.path else ""
        self.left_off += [(where + name, reason) for name, reason in listing.hidden]
        if not plan.path:
            slots = 1 + sum(slots_as_laid_out(entry.name, entry.alias) for entry in listing.entries)
            plan.chain = self._allocate(geometry.clusters_for(ENTRY * slots))
            self.tree.nodes[()] = Node(True, 0, plan.chain)
        content = label_entry(plan.mtime) if not plan.path else dot_entries(plan.chain[0], plan.parent, plan.mtime)
        below: list[_Plan] = []
        for entry in listing.entries:
            path = (*plan.path, entry.name)
            chain = self._allocate(self._clusters_of(entry))
            if not chain and (entry.is_dir or entry.size):
                self.left_off.append((where + entry.name, "does not fit on the card"))
                continue
            first = chain[0] if chain else 0
            content += directory_entries(entry.name, entry.alias, entry.is_dir, first, entry.size, entry.mtime)
            self.tree.nodes[path] = Node(entry.is_dir, entry.size, chain, int(entry.mtime))
            if entry.is_dir:
                parent = plan.chain[0] if plan.path else 0
                below.append(_Plan(path, entry.path, entry.mtime, parent, chain))
            else:
                origin = Origin.of(entry.path)
                if origin is not None:
                    self.origins[path] = origin
        # Should the directory have grown since its clusters were counted, the newest names have to wait.
        for index in range(0, min(len(content), len(plan.chain) * geometry.cluster_bytes), SECTOR):
            cluster = plan.chain[index // geometry.cluster_bytes]
            sector = geometry.sector_of(cluster) + index % geometry.cluster_bytes // SECTOR
            self._fixed[sector] = content[index : index + SECTOR].ljust(SECTOR, b"\0")
        return below

    def _clusters_of(self, entry: Entry) -> int:
        if not entry.is_dir:
            return self.geometry.clusters_for(entry.size)
        # Reserved when the parent is laid out, so that an entry always has its clusters.
        slots = 2 + sum(slots_as_laid_out(e.name, e.alias) for e in scan(entry.path).entries)
        return self.geometry.clusters_for(ENTRY * slots)

    def _allocate(self, count: int) -> list[int]:
        """`count` clusters in a row as a chain; none at all when they are not there."""
        first = len(self._table)
        if count == 0 or first + count > self.geometry.clusters + 2:
            return []
        self._table.extend(range(first + 1, first + count))
        self._table.append(END)
        return list(range(first, first + count))

    def _write_boot(self, serial: int) -> None:
        geometry = self.geometry
        self.boot = boot = geometry.boot_sector(serial)
        self._fixed[0] = geometry.mbr()
        self._fixed[geometry.start] = self._fixed[geometry.start + 6] = boot
        third = bytes(510) + b"\x55\xaa"
        self._fixed[geometry.start + 2] = self._fixed[geometry.start + 8] = third
        self._write_info()

    def _write_info(self) -> None:
        geometry = self.geometry
        free = 0
        if self._limit >= geometry.clusters + 2:
            free = geometry.clusters + 2 - len(self._table)
        else:
            free = max(0, self._limit - len(self._table))
        info = geometry.info_sector(free, len(self._table))
        for sector in (geometry.start + 1, geometry.start + 7):
            if sector not in self.written:
                self._fixed[sector] = info


def read_plain(path: Path, offset: int, count: int) -> bytes:
    """Up to `count` bytes of a plain file, never through a symbolic link; b"" when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return b""
    try:
        os.lseek(fd, offset, os.SEEK_SET)
        out = b""
        while len(out) < count:
            piece = os.read(fd, count - len(out))
            if not piece:
                break
            out += piece
        return out
    except OSError:
        return b""
    finally:
        os.close(fd)
