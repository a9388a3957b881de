"""One open file of the card: `CardFile`, the stream behind MaixPy's `open('/sd/...')`.

Behaviour: MicroPython v1.11 `extmod/vfs_fat_file.c` over FatFs R0.13 with one sector window a volume (FF_FS_TINY).
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from virtualboard.card.fat32 import SECTOR

if TYPE_CHECKING:
    from virtualboard.card.files import CardFiles

EIO, EACCES, EINVAL, ENOSPC = 5, 13, 22, 28


@contextlib.contextmanager
def on_host() -> Iterator[None]:
    """Trouble of the host (rights, full disk, vanished files) reaches the board as a failing card: OSError(5)."""
    try:
        yield
    except OSError as e:
        if len(e.args) == 1:
            raise
        raise OSError(EIO) from e


class CardFile:
    """A file on the card, opened by `CardFiles.open`. Positions and sizes in bytes.

    Errors are OSError with the errno number: 5 card failed (and every later read and write of this file too),
    13 not opened for this, 22 closed, 28 card full (what fitted was written).
    """

    def __init__(self, files: CardFiles, path: Path, *, read: bool, write: bool, fresh: bool, text: bool) -> None:
        self._files = files
        self.path = path
        self.text = text
        """True when opened without `b`: MicroPython then reads characters, not bytes. Left to the caller."""
        self.readable = read
        self.writable = write
        self.modified = False
        self.detached = False
        """True once the directory entry was removed or renamed: what follows is lost, as with FatFs."""
        self.closed = False
        self._fresh = fresh  # the directory entry itself is not on the card yet
        self._failed = False
        self._position = 0
        self._recorded = path.stat().st_size  # size in the directory
        self._tail = bytearray()  # bytes beyond it
        self._window = -1  # sector of the file that FatFs has in its window
        self._window_data = b""
        self._dirty = False  # the window has bytes that are not on the card
        self._undo: tuple[int, bytes] | None = None  # what the dirty window hides, when inside the recorded size

    # -- stream -------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Bytes in the file as this handle sees it."""
        return self._recorded + len(self._tail)

    def read(self, count: int = -1) -> bytes:
        """Up to `count` bytes; all that is left when negative."""
        self._check(self.readable)
        left = max(0, self.size - self._position)
        count = left if count < 0 else min(count, left)
        if count == 0:
            return b""
        start = self._position
        first, last = start // SECTOR, (start + count - 1) // SECTOR
        if first == last == self._window and len(self._window_data) >= start + count - first * SECTOR:
            at = start - first * SECTOR
            self._position += count
            return self._window_data[at : at + count]
        self._charge(reads=last - first + 1 - (first == self._window) + self._table_sectors(start, count))
        # FatFs reads whole sectors straight to the caller; only a last partial sector stays in the window.
        begin = min(start, last * SECTOR)
        block = self._fetch(begin, (last + 1) * SECTOR - begin)
        self._show(last, block[last * SECTOR - begin :])
        self._position += count
        return block[start - begin : start - begin + count]

    def readinto(self, buffer: bytearray | memoryview, count: int = -1) -> int:
        """Fill `buffer` (or its first `count` bytes); returns how many bytes were read."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view) if count < 0 else min(count, len(view)))
        view[: len(data)] = data
        return len(data)

    def readline(self, limit: int = -1) -> bytes:
        """Up to and with the next line feed (or `limit` bytes)."""
        out = bytearray()
        while limit < 0 or len(out) < limit:
            c = self.read(1)
            out += c
            if c in (b"", b"\n"):
                break
        return bytes(out)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write all of `data`; OSError(28) when only a part fitted on the card."""
        self._check(self.writable)
        data = bytes(data)
        if not data:
            return 0
        start = self._position
        self._grow_to(start)
        end = min(start + len(data), self._allocated_end(start + len(data)))
        fits = data[: end - start]
        if fits:
            self._charge_write(start, len(fits))
            inside = fits[: max(0, self._recorded - start)]
            if inside:
                self._overwrite(start, inside)
            beyond = fits[len(inside) :]
            at = start + len(inside) - self._recorded
            self._tail[at : at + len(beyond)] = beyond
            self._position = end
            self.modified = True
            last = (end - 1) // SECTOR
            self._dirty = end % SECTOR != 0
            self._show(last if self._dirty else -1, self._fetch(last * SECTOR, SECTOR) if self._dirty else b"")
        if len(fits) < len(data):
            raise OSError(ENOSPC)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; beyond the end a file being written grows (with undefined data), another stops at its end.

        OSError(22) for a position below 0.
        """
        base = (0, self._position, self.size)[whence]
        if base + offset < 0:
            raise OSError(EINVAL)
        if self.closed:
            return self._position
        target = base + offset
        if target > self.size:
            if self.writable and not self._failed:
                self._grow_to(self._allocated_end(target))
            target = min(target, self.size)
        self._position = target
        return target

    def tell(self) -> int:
        """The position."""
        return self._position

    def flush(self) -> None:
        """Put everything on the card: data, directory entry, free count."""
        if self.closed:
            raise OSError(EINVAL)
        self._files.check_card()
        if not self.modified:
            return
        # The window if it is dirty, the sector of the directory (read, written) and FSINFO.
        self._charge(reads=1, writes=2 + self._dirty)
        if not self.detached:
            if self._tail:
                with on_host(), self.path.open("r+b") as f:
                    f.seek(self._recorded)
                    f.write(self._tail)
            self._files.stamp(self.path)
        self._recorded += len(self._tail)
        self._tail.clear()
        self._dirty = self._fresh = self.modified = False
        self._undo = None

    def close(self) -> None:
        """Flush and end; closing twice is harmless."""
        if self.closed:
            return
        try:
            self.flush()
        finally:
            self.closed = True
            self._files.forget(self)
            self._tail.clear()

    def __enter__(self) -> CardFile:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- power loss and space -----------------------------------------------------------------------------

    def tear(self, chance: random.Random) -> None:
        """Power or card went away: leave on the card what had reached it by then. The handle is dead."""
        self._failed = True
        if self.closed or self.detached or not self.modified:
            return
        self.detached = True
        if self._undo is not None and chance.random() < 0.5:
            at, old = self._undo
            with on_host(), self.path.open("r+b") as f:
                f.seek(at)
                f.write(old)
        if self._fresh and not self._tail and chance.random() < 0.5:
            self.path.unlink()  # nothing had moved the window with the new entry out to the card
        self._tail.clear()

    def unflushed_clusters(self) -> int:
        """Clusters that this file holds beyond those its recorded size explains."""
        if self.closed:
            return 0
        geometry = self._files.card.geometry
        if self.detached:
            return 0
        return geometry.clusters_for(self.size) - geometry.clusters_for(self._recorded)

    # -- inside -------------------------------------------------------------------------------------------

    def _check(self, allowed: bool) -> None:
        if self.closed:
            raise OSError(EINVAL)
        if self._failed:
            raise OSError(EIO)
        self._files.check_card()
        if not allowed:
            raise OSError(EACCES)

    def _charge(self, reads: int = 0, writes: int = 0) -> None:
        try:
            self._files.card.charge_reads(reads)
            self._files.card.charge_writes(writes)
        except OSError:
            self._failed = True
            raise

    def _charge_write(self, start: int, count: int) -> None:
        """Card time of a write: sectors that are complete go out, a partial one waits in the window."""
        end = start + count
        reads = self._table_sectors(start, count)
        if start % SECTOR and self._window != start // SECTOR:
            reads += 1
        if end % SECTOR and end < self.size and start // SECTOR != end // SECTOR:
            reads += 1
        writes = end // SECTOR - start // SECTOR
        if self._dirty and self._window != start // SECTOR:
            writes += 1
        # A new cluster is looked for, linked in the first table and copied to the second.
        new = max(0, self._clusters(end) - self._clusters(self.size))
        reads = max(reads, new)
        writes += 2 * new
        self._charge(reads, writes)

    def _table_sectors(self, start: int, count: int) -> int:
        """Cluster boundaries crossed: each needs a look at the allocation table."""
        size = self._files.card.geometry.cluster_bytes
        return (start + count - 1) // size - max(0, start - 1) // size  # the first cluster is in the directory

    def _clusters(self, size: int) -> int:
        return self._files.card.geometry.clusters_for(size)

    def _allocated_end(self, wanted: int) -> int:
        """How far the file can grow towards `wanted` bytes; takes the clusters for it."""
        have = self._clusters(self.size)
        need = self._clusters(wanted) - have
        if need <= 0:
            return wanted
        got = min(need, self._files.free_clusters())
        self._files.take_clusters(got)
        return wanted if got == need else (have + got) * self._files.card.geometry.cluster_bytes

    def _grow_to(self, size: int) -> None:
        if size > self.size:
            self._tail += bytes(size - self.size)
            self.modified = True

    def _overwrite(self, start: int, data: bytes) -> None:
        """Bytes inside the recorded size go to the card sector by sector, without waiting for a flush."""
        if self.detached:
            return
        last = (start + len(data) - 1) // SECTOR * SECTOR
        with on_host(), self.path.open("r+b") as f:
            if self._undo is None or self._undo[0] != last:
                f.seek(last)
                self._undo = (last, f.read(SECTOR))
            f.seek(start)
            f.write(data)

    def _fetch(self, start: int, count: int) -> bytes:
        """File content as this handle sees it, recorded part from the folder and tail from memory."""
        data = b""
        if start < self._recorded:
            with on_host():
                data = _read(self.path, start, min(count, self._recorded - start))
        at = start + len(data) - self._recorded
        if len(data) < count and at >= 0:
            data += bytes(self._tail[at : at + count - len(data)])
        return data

    def _show(self, sector: int, data: bytes) -> None:
        self._window, self._window_data = sector, data


def _read(path: Path, start: int, count: int) -> bytes:
    """Bytes of a file of the host. It is opened for each read, as somebody may have put another in its place, and
    without Python's file objects, which cost three times as much as the system calls."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        os.lseek(descriptor, start, os.SEEK_SET)
        return os.read(descriptor, count)
    finally:
        os.close(descriptor)
