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
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from virtualboard.card_directory import Directory
from virtualboard.card_handle import CardFile, on_host
from virtualboard.clock import SECOND
from virtualboard.fat32 import ENTRY
from virtualboard.fat_names import (
    MAX_NAME,
    Entry,
    Listing,
    folded,
    from_device,
    name_problem,
    scan,
    to_device,
)

if TYPE_CHECKING:
    from virtualboard.sdcard import SdCard

ENOENT, EIO, EACCES, EEXIST, ENODEV, ENOTDIR, EISDIR, EINVAL = 2, 5, 13, 17, 19, 20, 21, 22

DIR, FILE = 0x4000, 0x8000
"""`stat` modes and `ilistdir` types."""

_YEAR_2000 = 946_684_800  # Unix seconds
_YEAR_2060 = 1_893_456_000  # seconds since 2000: MaixPy stores a clock of 2000 in a field that counts from 1980
_FRESH_NS = 100_000_000  # a directory changed this recently may change again within one tick of its time stamp


class CardFiles:
    """File operations on the card; `sdcard.files`.

    Every call charges the card's time to `sdcard.busy_until`. All calls raise OSError(5) when the card is gone or was
    changed since the mount, OSError(19) when none was ever mounted.
    """

    def __init__(self, card: SdCard) -> None:
        self.card = card
        self.seconds_since_boot: Callable[[], int] = lambda: card.clock.now // SECOND
        self._mounted = card.insertions
        self._open: dict[CardFile, None] = {}  # in the order of opening
        self._directories: dict[Path, Directory] = {}
        self._stamps: dict[Path, int] = {}
        self._cache: dict[Path, tuple[int, Listing]] = {}
        self._used: int | None = None
        self._filled_limit: int | None = None

    # -- mounting -----------------------------------------------------------------------------------------

    def mount(self) -> None:
        """Begin anew with the card in the slot; raises OSError(19) when there is none."""
        if not self.card.present:
            raise OSError(ENODEV)
        if self._mounted != self.card.insertions:
            self._directories.clear()
            self._stamps.clear()
            self._filled_limit = None
        self._mounted = self.card.insertions
        self._cache.clear()
        self._used = None
        self.card.charge_reads(4)  # partition table, boot sector, FSINFO, root directory

    @property
    def mounted(self) -> bool:
        """True while the card that was mounted is still in the slot."""
        return self._mounted != 0 and self.card.present and self._mounted == self.card.insertions

    # -- names and directories ----------------------------------------------------------------------------

    def ilistdir(self, path: str = "/") -> Iterator[tuple[str, int, int, int]]:
        """Entries of a directory as (name, type, 0, size in bytes), in the order of the FAT directory."""
        entry = self._find(path)
        if entry is not None and not entry.is_dir:
            raise OSError(ENOENT)
        folder = self._root() if entry is None else entry.path
        for item in list(self._entries(folder)):
            yield (to_device(item), DIR if item.is_dir else FILE, 0, 0 if item.is_dir else self._size(item))

    def listdir(self, path: str = "/") -> list[str]:
        """Names in a directory."""
        return [entry[0] for entry in self.ilistdir(path)]

    def stat(self, path: str) -> tuple[int, int, int, int, int, int, int, int, int, int]:
        """(mode, 0, 0, 0, 0, 0, size in bytes, time, time, time), times in seconds since 2000 by the FAT stamp."""
        entry = self._find(path)
        if entry is None:
            return (DIR, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        mode, size = (DIR, 0) if entry.is_dir else (FILE, self._size(entry))
        stamp = self._stamps.get(entry.path)
        if stamp is None:
            # A FAT time stamp counts in steps of two seconds and cannot say anything before 1980.
            stamp = max(int(entry.path.lstat().st_mtime) - _YEAR_2000, -631_152_000) & ~1
        return (mode, 0, 0, 0, 0, 0, size, stamp, stamp, stamp)

    def exists(self, path: str) -> bool:
        """Whether there is such a file or directory."""
        try:
            self._find(path)
        except OSError as e:
            if e.args[0] in (ENOENT, EINVAL):
                return False
            raise
        return True

    def is_dir(self, path: str) -> bool:
        """Whether `path` is a directory."""
        entry = self._find(path)
        return entry is None or entry.is_dir

    def statvfs(self, path: str = "/") -> tuple[int, int, int, int, int, int, int, int, int, int]:
        """(bytes a cluster, same, clusters, free, free, 0, 0, 0, 0, 255)."""
        self._root()
        self.card.charge_reads(1)
        self._used = None
        geometry = self.card.geometry
        free = self.free_clusters()
        size = geometry.cluster_bytes
        return (size, size, geometry.clusters, free, free, 0, 0, 0, 0, MAX_NAME)

    def hidden(self) -> list[tuple[str, str]]:
        """(path, reason) of everything in the folder that a FAT card cannot hold, for a report to the user."""
        out: list[tuple[str, str]] = []
        stack = [self._root()]
        while stack:
            folder = stack.pop()
            listing = scan(folder)
            inside = folder.relative_to(self._root())
            out += [(str(inside / name), reason) for name, reason in listing.hidden]
            stack += [entry.path for entry in listing.entries if entry.is_dir]
        return sorted(out)

    # -- changes ------------------------------------------------------------------------------------------

    def mkdir(self, path: str) -> None:
        """Make a directory. OSError 17 when the name is taken, 2 without its parent, 13 when the card is full."""
        folder, name, entry = self._place(path)
        if entry is not None or name == "":
            raise OSError(EEXIST)
        self._check_room(folder, name, 1)
        # An empty cluster is written in full, then the entry, both tables and FSINFO.
        self.card.charge_writes(self.card.geometry.cluster_sectors + 4)
        self._check_unseen(folder / name)
        with on_host():
            (folder / name).mkdir()
        self._take(1)
        self._was_created(folder, name)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory. OSError 13 when it is not empty, 20 for a file."""
        entry = self._existing(path)
        if not entry.is_dir:
            raise OSError(ENOTDIR)
        if self._entries(entry.path):
            raise OSError(EACCES)
        self.card.charge_writes(4)
        try:
            entry.path.rmdir()
        except OSError as e:
            # Things that a FAT card cannot hold are still in there; they are not ours to delete.
            raise OSError(EACCES) from e
        self._take(-self._directory(entry.path).clusters)
        self._directories.pop(entry.path, None)
        self._was_removed(entry.path)

    def remove(self, path: str) -> None:
        """Remove a file. OSError 21 for a directory."""
        entry = self._existing(path)
        if entry.is_dir:
            raise OSError(EISDIR)
        self._unlink(entry)

    def rename(self, old: str, new: str) -> None:
        """Rename; an existing file of the new name is removed first, as MicroPython does (not atomic).

        OSError 21 when the new name is another directory, 22 when a directory would move into itself.
        """
        source = self._existing(old)
        folder, name, target = self._place(new)
        if name == "":
            raise OSError(EINVAL)
        if source.is_dir and (folder == source.path or source.path in folder.parents):
            raise OSError(EINVAL)
        if target is not None and target.path != source.path:
            if target.is_dir:
                raise OSError(EISDIR)
            self._unlink(target)
        self._check_room(folder, name)
        self.card.charge_writes(4)
        stamp = self._stamps.get(source.path)
        if target is None:
            self._check_unseen(folder / name)
        self._detach(source.path)
        with on_host():
            source.path.rename(folder / name)
        self._was_created(folder, name)
        self._was_removed(source.path, renamed_to=folder / name)
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
        folder, name, entry = self._place(path)
        if name == "":
            raise OSError(EINVAL)
        if entry is None:
            if not create:
                raise OSError(ENOENT)
            self._check_unseen(folder / name)
            self._check_room(folder, name)
            self.card.charge_writes(1)
            with on_host():
                (folder / name).touch(exist_ok=False)
            self._was_created(folder, name)
            entry = self._lookup(folder, name)
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
                self._free_chain(self._size(entry))
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

    # -- space --------------------------------------------------------------------------------------------

    def free_clusters(self) -> int:
        """Clusters that are free, files not yet flushed accounted for."""
        free = self.card.geometry.clusters - self._used_clusters()
        if self.card.leave_free is not None:
            if self._filled_limit is None:
                self._filled_limit = self._used_clusters() + self.card.leave_free
            free = min(free, self._filled_limit - self._used_clusters())
        return max(0, free)

    def filled(self) -> None:
        """The card was filled: what is used now is what limits from here on."""
        self._used = self._filled_limit = None
        if self.mounted:
            self.free_clusters()

    def power_loss(self) -> None:
        """Forget what open files had not flushed."""
        for handle in list(self._open):
            handle.tear(self.card.random)
        self._open.clear()
        self._cache.clear()
        self._used = None

    # -- for open files -----------------------------------------------------------------------------------

    def take_clusters(self, count: int) -> None:
        """Account for `count` clusters given to (or, negative, taken from) an open file."""
        self._take(count)

    def forget(self, handle: CardFile) -> None:
        """`handle` was closed."""
        self._open.pop(handle, None)

    def check_card(self) -> None:
        """Raise OSError(5) when the mounted card is gone."""
        self._root()

    def stamp(self, path: Path) -> None:
        """Record the time stamp that MaixPy would write to the directory."""
        self._stamps[path] = _YEAR_2060 + self.seconds_since_boot() & ~1

    # -- inside -------------------------------------------------------------------------------------------

    def _root(self) -> Path:
        if self._mounted == 0 or self.card.folder is None:
            raise OSError(ENODEV)
        if not self.mounted:
            raise OSError(EIO)
        return self.card.folder

    def _segments(self, path: str) -> list[str]:
        """The names along `path`, `.` and `..` worked off; raises OSError(22) for names FAT cannot have."""
        out: list[str] = []
        for raw in path.replace("\\", "/").split("/"):
            if raw in ("", "."):
                continue
            if raw == "..":
                del out[-1:]
                continue
            name = from_device(raw).rstrip(" .")
            if name_problem(name) is not None:
                raise OSError(EINVAL)
            out.append(name)
        return out

    def _place(self, path: str) -> tuple[Path, str, Entry | None]:
        """(directory, name as written, entry when it exists); an empty name stands for the root."""
        folder = self._root()
        segments = self._segments(path)
        if not segments:
            return folder, "", None
        for name in segments[:-1]:
            entry = self._lookup(folder, name)
            if entry is None or not entry.is_dir:
                raise OSError(ENOENT)
            folder = entry.path
        return folder, segments[-1], self._lookup(folder, segments[-1])

    def _find(self, path: str) -> Entry | None:
        """The entry at `path`, None for the root; raises OSError(2) when there is none."""
        _, name, entry = self._place(path)
        if entry is None and name:
            raise OSError(ENOENT)
        return entry

    def _existing(self, path: str) -> Entry:
        entry = self._find(path)
        if entry is None:
            raise OSError(EINVAL)  # the root itself
        return entry

    def _lookup(self, folder: Path, name: str) -> Entry | None:
        entries = self._entries(folder)
        # A directory is searched from its start; an entry takes a slot and, mostly, another for its long name.
        self.card.charge_reads(1 + len(entries) // 8)
        wanted = folded(name)
        for entry in entries:
            if folded(entry.name) == wanted or entry.alias == wanted:
                return entry
        return None

    def _entries(self, folder: Path) -> list[Entry]:
        try:
            status = folder.stat()
        except OSError as e:
            # Somebody on the host took the directory away.
            raise OSError(ENOENT if folder != self.card.folder else EIO) from e
        cached = self._cache.get(folder)
        if cached is None or cached[0] != status.st_mtime_ns:
            listing = scan(folder)
            order = self._reconcile(folder, listing)
            listing.entries.sort(key=lambda entry: order[entry.name])
            cached = (status.st_mtime_ns, listing)
            if time.time_ns() - status.st_mtime_ns > _FRESH_NS:
                self._cache[folder] = cached
        return cached[1].entries

    def _size(self, entry: Entry) -> int:
        try:
            return entry.path.lstat().st_size
        except FileNotFoundError as e:
            self._cache.clear()
            raise OSError(ENOENT) from e

    def _check_unseen(self, path: Path) -> None:
        """Refuse (13) to make what the host has already in a form that the card does not show."""
        if os.path.lexists(path):
            raise OSError(EACCES)

    def _unlink(self, entry: Entry) -> None:
        size = self._size(entry)
        self.card.charge_writes(2)
        self._free_chain(size)
        self._detach(entry.path)
        with on_host():
            entry.path.unlink()
        self._was_removed(entry.path)

    def _free_chain(self, size: int) -> None:
        clusters = self.card.geometry.clusters_for(size)
        table_sectors = -(-clusters // 128)  # an allocation table has 128 entries a sector, and there are two
        self.card.charge_writes(2 * table_sectors)
        self._take(-clusters)

    def _detach(self, path: Path) -> None:
        """Open files whose entry moved or went away: their later flushes go nowhere."""
        for handle in self._open:
            if handle.path == path or path in handle.path.parents:
                handle.detached = True

    def _was_created(self, folder: Path, name: str) -> None:
        directory = self._directory(folder)
        self._take(directory.growth(name))
        directory.add(name)
        self._cache.pop(folder, None)
        self.stamp(folder / name)

    def _was_removed(self, path: Path, renamed_to: Path | None = None) -> None:
        # A new name is entered before the old one goes, even when it is the same.
        self._directory(path.parent).discard(path.name, keep_last=renamed_to == path)
        if renamed_to != path:
            self._stamps.pop(path, None)
        for known in [known for known in self._directories if known == path or path in known.parents]:
            directory = self._directories.pop(known)
            if renamed_to is not None:
                self._directories[renamed_to / known.relative_to(path)] = directory
        self._cache.clear()

    def _check_room(self, folder: Path, name: str, more: int = 0) -> None:
        """Refuse (13) what the directory cannot take: it is full, and so is the card."""
        if self.free_clusters() < self._directory(folder).growth(name) + more:
            raise OSError(EACCES)

    def _directory(self, folder: Path) -> Directory:
        if folder not in self._directories:
            self._reconcile(folder, scan(folder))
        return self._directories[folder]

    def _reconcile(self, folder: Path, listing: Listing) -> dict[str, int]:
        """Make the account of a directory agree with the host's folder; returns the order of the names."""
        directory = self._directories.get(folder)
        if directory is None:
            names = [(entry.name, entry.alias) for entry in listing.entries]
            reserved = 1 if folder == self.card.folder else 2
            directory = Directory(reserved, names, self.card.geometry.cluster_bytes // ENTRY)
            self._directories[folder] = directory
        order = directory.order()
        present = {entry.name for entry in listing.entries}
        if order.keys() != present:
            # Somebody on the host came or went.
            for name in order.keys() - present:
                directory.discard(name)
            for name in sorted(present - order.keys()):
                directory.add(name)
            order = directory.order()
        return order

    def _take(self, clusters: int) -> None:
        if self._used is not None:
            self._used += clusters

    def _used_clusters(self) -> int:
        """Clusters in use: a walk over the folder at first, then kept up to date."""
        if self._used is None:
            geometry = self.card.geometry
            used = 0
            stack = [self._root()]
            while stack:
                folder = stack.pop()
                listing = scan(folder)
                self._reconcile(folder, listing)
                used += self._directories[folder].clusters
                entries = listing.entries
                for entry in entries:
                    if entry.is_dir:
                        stack.append(entry.path)
                    else:
                        used += geometry.clusters_for(entry.size)
            used += sum(handle.unflushed_clusters() for handle in self._open)
            self._used = used
        return self._used
