"""A folder that files are downloaded to: where each goes, and what earlier runs left there."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maixpix.download.journal import read_journal
from maixpix.download.partfile import disk_error
from maixpix.download.record import Entry, Record

MAX_NAME = 255
JOURNAL = ".part.json"

log = logging.getLogger("maixpix.download")


@dataclass(frozen=True)
class Place:
    """Where a file goes, and what stands beside it until it is there."""

    final: Path
    part: Path
    journal: Path

    @classmethod
    def of(cls, final: Path) -> Place:
        """The usual names; a name that leaves no room for the endings is shortened to its digest."""
        stem = final.name
        if len(os.fsencode(stem)) + len(JOURNAL) + len(".new") > MAX_NAME:
            stem = hashlib.sha256(os.fsencode(stem)).hexdigest()[:32]
        return cls(final, final.with_name(stem + ".part"), final.with_name(stem + JOURNAL))


class Folder:
    """The folder `path` as it was when it was first looked into. The constructor blocks, and makes the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = Record(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self.present = set(os.listdir(path))  # noqa: PTH208  names are all that is wanted
            self._names = self._unfinished() | {entry.url: entry.name for entry in self.record.all()}
        except OSError as error:
            raise disk_error(error, path) from None

    def place_of(self, url: str) -> Place | None:
        """Where the file from `url` went before, finished or not."""
        name = self._names.get(without_login(url))
        return Place.of(self.path / name) if name is not None else None

    def take_back(self, place: Place) -> None:
        """Undo what a run did that was killed between giving the final name and taking the other one away."""
        if {place.part.name, place.final.name} <= self.present and place.part.samefile(place.final):
            place.final.unlink()
            self.present.discard(place.final.name)

    def remember(self, entries: Sequence[Entry]) -> None:
        """Put finished downloads into the record. Blocks."""
        try:
            self.record.add(entries)
        except OSError:
            # A later run will not know the files and will leave them alone; they themselves are there and right.
            log.warning("%s: what was downloaded cannot be recorded", self.path, exc_info=True)

    def _unfinished(self) -> dict[str, str]:
        names = {}
        for journal in (self.path / name for name in self.present if name.endswith(JOURNAL)):
            left = read_journal(journal)
            # The name in a journal is believed only where it leads back to the journal: it could be anything else.
            if left is not None and Place.of(self.path / Path(left.name).name).journal == journal:
                names[left.url] = Path(left.name).name
        return names


def without_login(url: str) -> str:
    """The address without the user and password that may stand in it, for whatever is kept or shown."""
    head, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return head + slashes + host.rpartition("@")[2] + slash + path


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, "" when there is none."""
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1024 * 1024):
                sha.update(piece)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise disk_error(error, path) from None
    return sha.hexdigest()
