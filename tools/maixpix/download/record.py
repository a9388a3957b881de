"""What was downloaded into a folder, and from where: `.maixpix-get`, one JSON object a line, the last word counts.

By this record a second run knows, without fetching again, whether a file is still what the server has.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maixpix.download.partfile import open_private
from maixpix.download.version import Version

NAME = ".maixpix-get"
_SPARE_LINES = 1000


@dataclass(frozen=True)
class Entry:
    """One finished download; `modified` is the file's own time in ns, by which a change made here is noticed."""

    name: str
    url: str
    size: int
    sha256: str
    modified: int
    version: Version

    def is_true_of(self, path: Path) -> bool:
        """Whether the file is still as it was downloaded. Blocks for a look at the file, not for a read."""
        try:
            status = path.stat(follow_symlinks=False)
        except OSError:
            return False
        return status.st_size == self.size and status.st_mtime_ns == self.modified


class Record:
    """The record of one folder. All methods block."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._entries: dict[str, Entry] | None = None
        self._lock = threading.Lock()

    def by_name(self, name: str) -> Entry | None:
        """What is known of the file called `name`."""
        return self._load().get(name)

    def all(self) -> list[Entry]:
        """Everything, the latest last."""
        return list(self._load().values())

    def add(self, entries: Sequence[Entry]) -> None:
        """Remember finished downloads. Raises `OSError`."""
        with self._lock:
            known = self._load()
            for entry in entries:
                known.pop(entry.name, None)
                known[entry.name] = entry
        with open_private(self._path, "ab") as file:
            file.write(b"".join(map(_line, entries)))

    def _load(self) -> dict[str, Entry]:
        if self._entries is None:
            lines = self._path.read_bytes().splitlines() if self._path.is_file() else []
            found = [entry for line in lines if (entry := _read(line)) is not None]
            self._entries = {}
            for entry in found:
                self._entries.pop(entry.name, None)
                self._entries[entry.name] = entry
            if len(lines) > 2 * len(self._entries) + _SPARE_LINES:
                self._rewrite(self._entries)
        return self._entries

    def _rewrite(self, entries: dict[str, Entry]) -> None:
        new = self._path.with_name(NAME + ".new")
        with open_private(new, "wb") as file:
            file.write(b"".join(_line(entry) for entry in entries.values()))
            os.fsync(file.fileno())
        new.replace(self._path)


def _line(entry: Entry) -> bytes:
    found = {
        "name": entry.name,
        "url": entry.url,
        "size": entry.size,
        "sha256": entry.sha256,
        "modified": entry.modified,
        "version": entry.version.to_json(),
    }
    return json.dumps(found).encode() + b"\n"


def _read(line: bytes) -> Entry | None:
    try:
        found = json.loads(line)
        return Entry(
            str(found["name"]),
            str(found["url"]),
            int(found["size"]),
            str(found["sha256"]),
            int(found["modified"]),
            Version.from_json(found["version"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
