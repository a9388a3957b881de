"""The folder as a FAT volume's tree: names looked up as FatFs does, directories and free space accounted for.

Used by `virtualboard.card.files`. Names compare without regard to case, 8.3 aliases find their files, nothing outside
the folder is ever reached. The host may change the folder at any time; what it did shows at the next look.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from virtualboard.card.directory import Directory
from virtualboard.card.fat32 import ENTRY
from virtualboard.card.names import Entry, Listing, folded, from_device, name_problem, scan

if TYPE_CHECKING:
    from virtualboard.card.card import SdCard

ENOENT, EIO, EACCES, ENODEV, EINVAL = 2, 5, 13, 19, 22

_FRESH_NS = 20_000_000
"""A directory that changed this recently may change again within one tick of its time stamp: 10 ms, on Windows 16."""


class CardTree:
    """Directories and space of the mounted card. `unflushed` gives the clusters that only open files know of.

    Raises OSError(19) when no card was ever mounted, OSError(5) when the mounted one is gone.
    """

    def __init__(self, card: SdCard, unflushed: Callable[[], int]) -> None:
        self._card = card
        self._unflushed = unflushed
        self._mounted = card.insertions
        self._directories: dict[Path, Directory] = {}
        self._cache: dict[Path, tuple[int, Listing]] = {}
        self._used: int | None = None
        self._filled_limit: int | None = None

    def mount(self) -> bool:
        """Take the card in the slot; returns whether it is another insertion than before."""
        if not self._card.present:
            raise OSError(ENODEV)
        another = self._mounted != self._card.insertions
        if another:
            self._directories.clear()
            self._filled_limit = None
        self._mounted = self._card.insertions
        self.forget()
        return another

    @property
    def mounted(self) -> bool:
        """True while the card that was mounted is still in the slot."""
        return self._mounted != 0 and self._card.present and self._mounted == self._card.insertions

    def forget(self) -> None:
        """Look at the folder anew: the host or a power loss may have changed it."""
        self._cache.clear()
        self._used = None

    # -- names --------------------------------------------------------------------------------------------

    def root(self) -> Path:
        """The folder."""
        if self._mounted == 0 or self._card.folder is None:
            raise OSError(ENODEV)
        if not self.mounted:
            raise OSError(EIO)
        return self._card.folder

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

    def place(self, path: str) -> tuple[Path, str, Entry | None]:
        """(directory, name as written, entry when it exists); an empty name stands for the root."""
        folder = self.root()
        segments = self._segments(path)
        if not segments:
            return folder, "", None
        for name in segments[:-1]:
            entry = self.lookup(folder, name)
            if entry is None or not entry.is_dir:
                raise OSError(ENOENT)
            folder = entry.path
        return folder, segments[-1], self.lookup(folder, segments[-1])

    def find(self, path: str) -> Entry | None:
        """The entry at `path`, None for the root; raises OSError(2) when there is none."""
        _, name, entry = self.place(path)
        if entry is None and name:
            raise OSError(ENOENT)
        return entry

    def existing(self, path: str) -> Entry:
        """The entry at `path`, which must not be the root (22)."""
        entry = self.find(path)
        if entry is None:
            raise OSError(EINVAL)  # the root itself
        return entry

    def lookup(self, folder: Path, name: str) -> Entry | None:
        """The entry of that name or alias; costs reading the directory so far."""
        entries = self.entries(folder)
        # A directory is searched from its start; an entry takes a slot and, mostly, another for its long name.
        self._card.charge_reads(1 + len(entries) // 8)
        wanted = folded(name)
        for entry in entries:
            if entry.folded == wanted or entry.alias == wanted:
                return entry
        return None

    def entries(self, folder: Path) -> list[Entry]:
        """What is in a directory, in the order of its slots."""
        try:
            status = folder.stat()
        except OSError as e:
            # Somebody on the host took the directory away.
            raise OSError(ENOENT if folder != self._card.folder else EIO) from e
        cached = self._cache.get(folder)
        if cached is None or cached[0] != status.st_mtime_ns:
            listing = scan(folder)
            order = self._reconcile(folder, listing)
            listing.entries.sort(key=lambda entry: order[entry.name])
            cached = (status.st_mtime_ns, listing)
            if time.time_ns() - status.st_mtime_ns > _FRESH_NS:
                self._cache[folder] = cached
        return cached[1].entries

    def size(self, entry: Entry) -> int:
        """Bytes in the file by now."""
        try:
            return entry.path.lstat().st_size
        except FileNotFoundError as e:
            self._cache.clear()
            raise OSError(ENOENT) from e

    # -- what changes -------------------------------------------------------------------------------------

    def created(self, folder: Path, name: str) -> None:
        """`name` was made in `folder`."""
        directory = self.directory(folder)
        self.take(directory.growth(name))
        directory.add(name)
        self._cache.pop(folder, None)

    def removed(self, path: Path, renamed_to: Path | None = None) -> None:
        """`path` went away, or became `renamed_to`."""
        # A new name is entered before the old one goes, even when it is the same.
        self.directory(path.parent).discard(path.name, keep_last=renamed_to == path)
        for known in [known for known in self._directories if known == path or path in known.parents]:
            directory = self._directories.pop(known)
            if renamed_to is not None:
                self._directories[renamed_to / known.relative_to(path)] = directory
        self._cache.clear()

    def check_room(self, folder: Path, name: str, more: int = 0) -> None:
        """Refuse (13) what the directory cannot take: it is full, and so is the card."""
        if self.free_clusters() < self.directory(folder).growth(name) + more:
            raise OSError(EACCES)

    def directory(self, folder: Path) -> Directory:
        """The account of one directory."""
        if folder not in self._directories:
            self._reconcile(folder, scan(folder))
        return self._directories[folder]

    def _reconcile(self, folder: Path, listing: Listing) -> dict[str, int]:
        """Make the account of a directory agree with the host's folder; returns the order of the names."""
        directory = self._directories.get(folder)
        if directory is None:
            names = [(entry.name, entry.alias) for entry in listing.entries]
            reserved = 1 if folder == self._card.folder else 2
            directory = Directory(reserved, names, self._card.geometry.cluster_bytes // ENTRY)
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

    # -- space --------------------------------------------------------------------------------------------

    def free_clusters(self) -> int:
        """Clusters that are free, files not yet flushed accounted for."""
        free = self._card.geometry.clusters - self._used_clusters()
        if self._card.leave_free is not None:
            if self._filled_limit is None:
                self._filled_limit = self._used_clusters() + self._card.leave_free
            free = min(free, self._filled_limit - self._used_clusters())
        return max(0, free)

    def filled(self) -> None:
        """The card was filled: what is used now is what limits from here on."""
        self._used = self._filled_limit = None
        if self.mounted:
            self.free_clusters()

    def take(self, clusters: int) -> None:
        """`clusters` were given out (or, negative, given back)."""
        if self._used is not None:
            self._used += clusters

    def _used_clusters(self) -> int:
        """Clusters in use: a walk over the folder at first, then kept up to date."""
        if self._used is None:
            geometry = self._card.geometry
            used = 0
            stack = [self.root()]
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
            used += self._unflushed()
            self._used = used
        return self._used
