"""Names and sizes on a FAT card: what a host folder looks like to FatFs, and which names may come back.

A host folder can hold things a FAT volume cannot: symbolic links, devices, names with forbidden characters, two
names that differ only in case. `scan` shows the rest, with the 8.3 alias of each entry, and tells what it hid.

Rules of names: FatFs R0.13 `ff.c` (`create_name`, `gen_numname`), as MicroPython v1.11 carries it, with long
names, code page 437 and no Unicode API (MaixPy-v1 `mpconfigport.h`).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

MAX_NAME = 255
"""UTF-16 units in a long name."""

SYNC_PREFIX = ".card-write-back-"
"""Names of files on their way from the card into the folder; left over only when the host died meanwhile."""

_FORBIDDEN = frozenset('"*:<>?|/\\\x7f')
_NOT_IN_ALIAS = frozenset("+,;=[]")


@dataclass(frozen=True)
class Entry:
    """One visible file or directory of a card folder, its name also as FatFs compares it. `size` is in bytes, `mtime`
    in Unix seconds."""

    name: str
    folded: str
    alias: str
    path: Path
    is_dir: bool
    size: int
    mtime: float


@dataclass
class Listing:
    """The entries of one directory in name order, and (name, reason) of what a FAT volume cannot hold."""

    entries: list[Entry] = field(default_factory=list)
    hidden: list[tuple[str, str]] = field(default_factory=list)


@lru_cache(maxsize=4096)
def name_problem(name: str) -> str | None:
    """Why `name` cannot be a long name on a FAT volume, or None when it can."""
    if not name or name in (".", ".."):
        return "not a name"
    if any(c in _FORBIDDEN or c < " " for c in name):
        return "has a character that FAT forbids"
    if name[-1] in " .":
        return "ends in a space or dot"
    try:
        if len(name.encode("utf-16-le")) > 2 * MAX_NAME:
            return "is longer than 255 characters"
    except UnicodeEncodeError:
        return "is not valid text"
    return None


def folded(name: str) -> str:
    """`name` as FatFs compares it: without regard to case."""
    return name.upper()


class Aliases:
    """The 8.3 names of one directory: hands out one per long name, each only once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def reserve(self, alias: str) -> None:
        """Never hand out `alias`."""
        self._taken.add(alias)

    def add(self, name: str) -> str:
        """The 8.3 name (upper case, with its dot) of `name`: as it is when it fits, else with a ~N tail."""
        stem, dot, extension = name.rpartition(".")
        if not dot or not stem.strip(" ."):
            stem, extension = name, ""
        body, lossy = _short_part(stem)
        ext, ext_lossy = _short_part(extension)
        suffix = "." + ext[:3] if ext else ""
        alias = body[:8] + suffix
        if lossy or ext_lossy or len(body) > 8 or len(ext) > 3 or not body or alias in self._taken:
            alias = self._numbered(body or "_", suffix)
        self._taken.add(alias)
        return alias

    def _numbered(self, body: str, suffix: str) -> str:
        key = body[:6] + suffix
        number = self._next.get(key, 1)
        while True:
            tail = f"~{number}"
            alias = body[: 8 - len(tail)] + tail + suffix
            number += 1
            if alias not in self._taken:
                self._next[key] = number
                return alias


@lru_cache(maxsize=4096)
def _short_part(text: str) -> tuple[str, bool]:
    """`text` in the characters of an 8.3 name, and whether something was lost."""
    out = []
    lossy = False
    for c in text.upper():
        if c in " .":
            lossy = True
        elif c in _NOT_IN_ALIAS or c > "~" or c in _FORBIDDEN:
            out.append("_")
            lossy = True
        else:
            out.append(c)
    return "".join(out), lossy


def slots_as_laid_out(name: str, alias: str) -> int:
    """Directory slots of a name as `virtualboard.card.fat32.directory_entries` writes it."""
    return 1 if name == alias else 1 + _long_slots(name)


@lru_cache(maxsize=4096)
def slots_by_fatfs(name: str) -> int:
    """Directory slots that FatFs gives a new name.

    A name that fits 8.3, in which neither the stem nor the extension mixes small and capital letters, needs no long
    form: two bits of its entry say which part is small (`create_name`).
    """
    stem, _, extension = name.rpartition(".") if "." in name[1:] else (name, "", "")
    body, lossy = _short_part(stem)
    ext, ext_lossy = _short_part(extension)
    fits = not (lossy or ext_lossy) and 0 < len(body) <= 8 and len(ext) <= 3
    mixed = any(part != part.upper() and part != part.lower() for part in (stem, extension))
    return 1 if fits and not mixed else 1 + _long_slots(name)


def _long_slots(name: str) -> int:
    """Slots for the long form: 13 UTF-16 units in each."""
    return -(-len(name.encode("utf-16-le")) // 26)


def to_device(entry: Entry) -> str:
    """The name MicroPython shows for an entry.

    FatFs without its Unicode API hands out code page 437 bytes, which MicroPython takes for UTF-8. Names with
    characters outside the code page are shown by their 8.3 alias. Undecodable bytes become lone surrogates.
    """
    if entry.name.isascii():
        return entry.name
    try:
        return entry.name.encode("cp437").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return entry.alias


def from_device(name: str) -> str:
    """The name on the card for a name that MicroPython passes: its UTF-8 bytes taken as code page 437."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("cp437")


def scan(folder: Path) -> Listing:
    """What of `folder` a FAT volume shows, in name order.

    Symbolic links are never followed, so nothing outside the folder is reachable. Raises OSError when the
    folder cannot be read.
    """
    listing = Listing()
    aliases = Aliases()
    seen: set[str] = set()
    with os.scandir(folder) as items:
        found = sorted(items, key=lambda item: (folded(item.name), item.name))
    for item in found:
        reason = name_problem(item.name)
        try:
            status = item.stat(follow_symlinks=False)
        except OSError:
            listing.hidden.append((item.name, "cannot be read"))
            continue
        if item.is_symlink():
            reason = "is a symbolic link"
        elif item.name.startswith(SYNC_PREFIX):
            reason = "was left over by a write-back that did not end"
        elif not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            reason = "is neither a file nor a directory"
        elif folded(item.name) in seen:
            reason = "differs from another name only in case"
        elif stat.S_ISREG(status.st_mode) and status.st_size > 0xFFFF_FFFF:
            reason = "is larger than 4 GiB"
        if reason is not None:
            listing.hidden.append((item.name, reason))
            continue
        alias = aliases.add(item.name)
        seen.add(folded(item.name))
        is_dir = stat.S_ISDIR(status.st_mode)
        size = 0 if is_dir else status.st_size
        path = Path(item.path)
        listing.entries.append(Entry(item.name, folded(item.name), alias, path, is_dir, size, status.st_mtime))
    return listing
