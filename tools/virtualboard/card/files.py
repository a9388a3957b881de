"""The card as MaixPy's `uos` sees it: FatFs semantics on a host folder, for an engine without a FatFs of its own.

Behaviour follows MicroPython v1.11 `extmod/vfs_fat.c`, `vfs_fat_file.c` and FatFs R0.13 `ff.c`. Paths are those
that remain below the mount point, always taken from the card's root. Errors are `OSError` with one argument, the
errno number MicroPython would give.

What FatFs leaves undone until `flush` or `close` is left undone here: bytes beyond the size recorded in the
directory live only in the open file, other handles do not see them, and a power loss forgets them. Bytes written
inside the recorded size reach the card as FatFs moves its one-sector window.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from virtualboard.card.handle import CardFile, on_host
from virtualboard.card.names import MAX_NAME, Entry, scan, to_device
from virtualboard.card.tree import CardTree
from virtualboard.clock import SECOND

if TYPE_CHECKING:
    from virtualboard.card.card import SdCard

ENOENT, EIO, EACCES, EEXIST, ENOTDIR, EISDIR, EINVAL = 2, 5, 13, 17, 20, 21, 22

DIR, FILE = 0x4000, 0x8000
"""`stat` modes and `ilistdir` types."""

_YEAR_2000 = 946_684_800  # Unix seconds
_YEAR_2060 = 1_893_456_000  # seconds since 2000: MaixPy stores a clock of 2000 in a field that counts from 1980


class CardFiles:
    """File operations on the card; `sdcard.files`.

    Every call charges the card's time to `sdcard.busy_until`. All calls raise OSError(5) when the card is gone or was
    changed since the mount, OSError(19) when none was ever mounted.
    """

    def __init__(self, card: SdCard) -> None:
        self.card = card
        self.seconds_since_boot: Callable[[], int] = lambda: card.clock.now // SECOND
        self._open: dict[CardFile, None] = {}  # in the order of opening
        self._stamps: dict[Path, int] = {}
        self._tree = CardTree(card, lambda: sum(handle.unflushed_clusters() for handle in self._open))

    # -- mounting -----------------------------------------------------------------------------------------

    def mount(self) -> None:
        """Begin anew with the card in the slot; raises OSError(19) when there is none."""
        if self._tree.mount():
            self._stamps.clear()
        self.card.charge_reads(4)  # partition table, boot sector, FSINFO, root directory

    @property
    def mounted(self) -> bool:
        """True while the card that was mounted is still in the slot."""
        return self._tree.mounted

    # -- names and directories ----------------------------------------------------------------------------

    def ilistdir(self, path: str = "/") -> Iterator[tuple[str, int, int, int]]:
        """Entries of a directory as (name, type, 0, size in bytes), in the order of the FAT directory.

        Of a card that was pulled out the root has none: FatFs opens it without reading, and a listing just ends where
        it cannot read (MicroPython 1.11 vfs_fat.c; seen on v0.6.2 of the emulated chip).
        """
        try:
            entry = self._tree.find(path)
        except OSError as error:
            if error.args[0] != EIO or path.strip("/"):
                raise
            return
        if entry is not None and not entry.is_dir:
            raise OSError(ENOENT)
        folder = self._tree.root() if entry is None else entry.path
        for item in list(self._tree.entries(folder)):
            yield (to_device(item), DIR if item.is_dir else FILE, 0, 0 if item.is_dir else self._tree.size(item))

    def listdir(self, path: str = "/") -> list[str]:
        """Names in a directory."""
        return [entry[0] for entry in self.ilistdir(path)]

    def stat(self, path: str) -> tuple[int, int, int, int, int, int, int, int, int, int]:
        """(mode, 0, 0, 0, 0, 0, size in bytes, time, time, time), times in seconds since 2000 by the FAT stamp."""
        entry = self._tree.find(path)
        if entry is None:
            return (DIR, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        mode, size = (DIR, 0) if entry.is_dir else (FILE, self._tree.size(entry))
        stamp = self._stamps.get(entry.path)
        if stamp is None:
            # A FAT time stamp counts in steps of two seconds and cannot say anything before 1980.
            stamp = max(int(entry.path.lstat().st_mtime) - _YEAR_2000, -631_152_000) & ~1
        return (mode, 0, 0, 0, 0, 0, size, stamp, stamp, stamp)

    def exists(self, path: str) -> bool:
        """Whether there is such a file or directory."""
        try:
            self._tree.find(path)
        except OSError as e:
            if e.args[0] in (ENOENT, EINVAL):
                return False
            raise
        return True

    def is_dir(self, path: str) -> bool:
        """Whether `path` is a directory."""
        entry = self._tree.find(path)
        return entry is None or entry.is_dir

    def statvfs(self, path: str = "/") -> tuple[int, int, int, int, int, int, int, int, int, int]:
        """(bytes a cluster, same, clusters, free, free, 0, 0, 0, 0, 255)."""
        self._tree.root()
        self.card.charge_reads(1)
        self._tree.forget()
        geometry = self.card.geometry
        free = self._tree.free_clusters()
        size = geometry.cluster_bytes
        return (size, size, geometry.clusters, free, free, 0, 0, 0, 0, MAX_NAME)

    def hidden(self) -> list[tuple[str, str]]:
        """(path, reason) of everything in the folder that a FAT card cannot hold, for a report to the user."""
        out: list[tuple[str, str]] = []
        stack = [self._tree.root()]
        while stack:
            folder = stack.pop()
            listing = scan(folder)
            inside = folder.relative_to(self._tree.root())
            out += [(str(inside / name), reason) for name, reason in listing.hidden]
            stack += [entry.path for entry in listing.entries if entry.is_dir]
        return sorted(out)

    # -- changes ------------------------------------------------------------------------------------------

    def mkdir(self, path: str) -> None:
        """Make a directory. OSError 17 when the name is taken, 2 without its parent, 13 when the card is full."""
        folder, name, entry = self._tree.place(path)
        if entry is not None or name == "":
            raise OSError(EEXIST)
        self._tree.check_room(folder, name, 1)
        # An empty cluster is written in full, then the entry, both tables and FSINFO.
        self.card.charge_writes(self.card.geometry.cluster_sectors + 4)
        self._check_unseen(folder / name)
        with on_host():
            (folder / name).mkdir()
        self._tree.take(1)
        self._created(folder, name)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory. OSError 13 when it is not empty, 20 for a file."""
        entry = self._tree.existing(path)
        if not entry.is_dir:
            raise OSError(ENOTDIR)
        if self._tree.entries(entry.path):
            raise OSError(EACCES)
        self.card.charge_writes(4)
        try:
            entry.path.rmdir()
        except OSError as e:
            # Things that a FAT card cannot hold are still in there; they are not ours to delete.
            raise OSError(EACCES) from e
        self._tree.take(-self._tree.directory(entry.path).clusters)
        self._tree.removed(entry.path)
        self._stamps.pop(entry.path, None)

    def remove(self, path: str) -> None:
        """Remove a file. OSError 21 for a directory."""
        entry = self._tree.existing(path)
        if entry.is_dir:
            raise OSError(EISDIR)
        self._unlink(entry)

    def rename(self, old: str, new: str) -> None:
        """Rename; an existing file of the new name is removed first, as MicroPython does (not atomic).

        OSError 21 when the new name is another directory, 22 when a directory would move into itself.
        """
        source = self._tree.existing(old)
        folder, name, target = self._tree.place(new)
        if name == "":
            raise OSError(EINVAL)
        if source.is_dir and (folder == source.path or source.path in folder.parents):
            raise OSError(EINVAL)
        if target is not None and target.path != source.path:
            if target.is_dir:
                raise OSError(EISDIR)
            self._unlink(target)
        self._tree.check_room(folder, name)
        self.card.charge_writes(4)
        stamp = self._stamps.get(source.path)
        if target is None:
            self._check_unseen(folder / name)
        self._detach(source.path)
        with on_host():
            source.path.rename(folder / name)
        self._created(folder, name)
        self._tree.removed(source.path, renamed_to=folder / name)
        self._stamps.pop(source.path, None)
        if stamp is not None:
            self._stamps[folder / name] = stamp

    def open(self, path: str, mode: str = "r") -> CardFile:
        """Open a file; `mode` as in MicroPython v1.11: any of r w x a + b t, in any order, others ignored.

        OSError 2 when it is missing (or a directory, for reading), 17 when it exists (x), 13 when it is a
        directory or the directory cannot take a new entry, 22 for an impossible name.
        """
        read = "r" in mode or "+" in mode
        write = any(c in mode for c in "wxa+")
        create = any(c in mode for c in "wxa")
        folder, name, entry = self._tree.place(path)
        if name == "":
            raise OSError(EINVAL)
        if entry is None:
            if not create:
                raise OSError(ENOENT)
            self._check_unseen(folder / name)
            self._tree.check_room(folder, name)
            self.card.charge_writes(1)
            with on_host():
                (folder / name).touch(exist_ok=False)
            self._created(folder, name)
            entry = self._tree.lookup(folder, name)
            if entry is None:
                raise OSError(EIO)
            fresh = True
        else:
            if entry.is_dir:
                raise OSError(EACCES if create else ENOENT)
            if "x" in mode:
                raise OSError(EEXIST)
            fresh = False
            if "w" in mode:
                self._detach(entry.path)
                self._free_chain(self._tree.size(entry))
                with on_host(), entry.path.open("r+b") as f:
                    f.truncate(0)
        handle = CardFile(self, entry.path, read=read, write=write, fresh=fresh, text="b" not in mode)
        if create and (fresh or "w" in mode):
            handle.modified = True
        if "a" in mode:
            handle.seek(0, 2)
        self._open[handle] = None
        return handle

    def read_bytes(self, path: str) -> bytes:
        """The whole content of a file."""
        with self.open(path, "rb") as f:
            return f.read()

    def close_all(self) -> None:
        """Close what is still open, as the finalisers of a soft reset do; a file that cannot be closed is lost."""
        for handle in list(self._open):
            try:
                handle.close()
            except OSError:
                handle.detached = True

    def filled(self) -> None:
        """The card was filled: what is used now is what limits from here on."""
        self._tree.filled()

    def power_loss(self) -> None:
        """Forget what open files had not flushed."""
        for handle in list(self._open):
            handle.tear(self.card.random)
        self._open.clear()
        self._tree.forget()

    # -- for open files -----------------------------------------------------------------------------------

    def free_clusters(self) -> int:
        """Clusters that are free, files not yet flushed accounted for."""
        return self._tree.free_clusters()

    def take_clusters(self, count: int) -> None:
        """Account for `count` clusters given to (or, negative, taken from) an open file."""
        self._tree.take(count)

    def forget(self, handle: CardFile) -> None:
        """`handle` was closed."""
        self._open.pop(handle, None)

    def check_card(self) -> None:
        """Raise OSError(5) when the mounted card is gone."""
        self._tree.root()

    def stamp(self, path: Path) -> None:
        """Record the time stamp that MaixPy would write to the directory."""
        self._stamps[path] = _YEAR_2060 + self.seconds_since_boot() & ~1

    # -- inside -------------------------------------------------------------------------------------------

    def _created(self, folder: Path, name: str) -> None:
        self._tree.created(folder, name)
        self.stamp(folder / name)

    def _check_unseen(self, path: Path) -> None:
        """Refuse (13) to make what the host has already in a form that the card does not show."""
        if os.path.lexists(path):
            raise OSError(EACCES)

    def _unlink(self, entry: Entry) -> None:
        size = self._tree.size(entry)
        self.card.charge_writes(2)
        self._free_chain(size)
        self._detach(entry.path)
        with on_host():
            entry.path.unlink()
        self._tree.removed(entry.path)
        self._stamps.pop(entry.path, None)

    def _free_chain(self, size: int) -> None:
        clusters = self.card.geometry.clusters_for(size)
        table_sectors = -(-clusters // 128)  # an allocation table has 128 entries a sector, and there are two
        self.card.charge_writes(2 * table_sectors)
        self._tree.take(-clusters)

    def _detach(self, path: Path) -> None:
        """Open files whose entry moved or went away: their later flushes go nowhere."""
        for handle in self._open:
            if handle.path == path or path in handle.path.parents:
                handle.detached = True
