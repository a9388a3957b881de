"""What is stored, by path and by content: kept in memory, rebuilt from the log and the files at every start."""

from __future__ import annotations

import datetime
import hashlib
import logging
import re
from collections import deque
from pathlib import Path
from typing import BinaryIO

from maixpix.companion.uploads.log import Stored, UploadLog

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
"""Name of a folder of finished uploads."""

KEPT_DELETED = 20

log = logging.getLogger("maixpix.companion")


class UploadIndex:
    """Finished uploads below `root`. Does no locking of its own: the store does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = UploadLog(root / "log.jsonl")
        self._by_file: dict[str, Stored] = {}
        self._by_digest: dict[str, Stored] = {}
        self.again: dict[str, Stored] = {}
        """By file, how its content came the last time, where it came more than once."""
        self.deleted: deque[Stored] = deque(maxlen=KEPT_DELETED)
        """The latest deleted uploads, the last one last."""

    def __len__(self) -> int:
        return len(self._by_file)

    @property
    def size(self) -> int:
        """Bytes of all uploads."""
        return sum(stored.size for stored in self._by_file.values())

    def load(self) -> None:
        """Read the log; what it names and is no longer there as it was is left out."""
        self.log.repair()
        for line in self.log:
            if (stored := Stored.read(line)) is None:
                continue
            if line.get("event") == "deleted":
                self._forget(stored.file)
                self.deleted.append(stored)
            elif line.get("duplicate"):
                self.again[stored.file] = stored
            else:
                self._keep(stored)
        for file in [file for file, stored in self._by_file.items() if not self.is_there(stored)]:
            self._forget(file)

    def adopt_unlogged(self) -> None:
        """Take in files that have their final name but no line in the log (stopped between the two)."""
        days = [folder for folder in self.root.iterdir() if DAY.fullmatch(folder.name) and folder.is_dir()]
        for folder in sorted(days):
            for path in sorted(folder.iterdir()):
                file = f"{folder.name}/{path.name}"
                if file in self._by_file or path.is_symlink() or not path.is_file():
                    continue
                size = path.stat().st_size
                if size == 0:
                    path.unlink()  # a reserved name that was never filled
                    continue
                with path.open("rb") as source:
                    digest = _digest(source)
                when = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone().isoformat()
                self.add(Stored(file, path.name, size, digest, when, door="found"))

    def list(self) -> list[Stored]:
        """All uploads, the latest first."""
        return list(reversed(self._by_file.values()))

    def find(self, file: str) -> Stored | None:
        """The upload at this path below the root; only what the index names is found, so no path leads elsewhere."""
        stored = self._by_file.get(file)
        return stored if stored is not None and self.is_there(stored) else None

    def same_content(self, digest: str) -> Stored | None:
        """The upload with this SHA-256 (hexadecimal), if it is still there."""
        stored = self._by_digest.get(digest)
        return stored if stored is not None and self.is_there(stored) else None

    def add(self, stored: Stored) -> None:
        """A file has its final name: it belongs to the uploads from now on."""
        self._keep(stored)
        self._write(stored.line(), stored)

    def note_duplicate(self, stored: Stored) -> None:
        """The content of `stored` came once more."""
        self.again[stored.file] = stored
        self._write({**stored.line(), "duplicate": True}, stored)

    def remove(self, stored: Stored) -> None:
        """A file was deleted."""
        self._forget(stored.file)
        self.deleted.append(stored)
        deleted = datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
        self._write({"event": "deleted", **stored.line(), "deleted": deleted}, stored)

    def is_there(self, stored: Stored) -> bool:
        """Whether the file is a plain one in a day's folder, of the size that it was stored with."""
        day, _, name = stored.file.partition("/")
        if not DAY.fullmatch(day) or not name or name in (".", "..") or re.search(r"[/\\\0]", name):
            return False
        path = self.root / stored.file
        try:
            return not path.is_symlink() and path.is_file() and path.stat().st_size == stored.size
        except OSError:
            return False

    def _write(self, line: dict[str, object], stored: Stored) -> None:
        try:
            self.log.append(line)
        except OSError as error:
            # The picture itself is safe; the line is made up for at the next start.
            log.warning("the line for %s could not be logged: %s", stored.file, error)

    def _keep(self, stored: Stored) -> None:
        self._by_file[stored.file] = stored
        self._by_digest[stored.sha256] = stored

    def _forget(self, file: str) -> None:
        self.again.pop(file, None)
        stored = self._by_file.pop(file, None)
        if stored is not None and self._by_digest.get(stored.sha256) == stored:
            del self._by_digest[stored.sha256]


def _digest(source: BinaryIO) -> str:
    sha = hashlib.sha256()
    while piece := source.read(256 * 1024):
        sha.update(piece)
    return sha.hexdigest()
