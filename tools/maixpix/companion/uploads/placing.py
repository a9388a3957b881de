"""From a proven upload to its final name: the steps of which each is durable before the next, and their recovery.

The order is that of `maixpix.companion.uploads.storage`: bytes, facts with the final name, the name itself, the log.
"""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from maixpix.companion.problems import Refused
from maixpix.companion.uploads.index import UploadIndex
from maixpix.companion.uploads.log import Stored
from maixpix.companion.uploads.partial import Facts, facts_path, fsync_folder, part_path
from maixpix.companion.uploads.room import Room
from maixpix.names import numbered


class Placing:
    """Moves uploads from the folder `partials` to their place below `root`. Does no locking of its own: the store does.

    Raises `OSError` when the disk fails; the same call can then be made again.
    """

    def __init__(self, root: Path, partials: Path, index: UploadIndex, room: Room) -> None:
        self._root = root
        self._partials = partials
        self._index = index
        self._room = room

    def place(self, facts: Facts, digest: str, size: int, name: str) -> Stored:
        """Give an upload with durable bytes its place: that of equal content, or a new one called like `name`."""
        now = _now()
        known = self._index.same_content(digest)
        duplicate = known is not None
        file = known.file if known is not None else self._reserve(now.strftime("%Y-%m-%d"), name)
        done = dataclasses.replace(facts, file=file, sha256=digest, length=size, duplicate=duplicate)
        try:
            done.save(facts_path(self._partials, facts.id))
            fsync_folder(self._partials)
        except OSError:
            if not duplicate:
                (self._root / file).unlink(missing_ok=True)
            raise
        facts.file, facts.sha256, facts.length, facts.duplicate = file, digest, size, duplicate
        return self._settle(facts, name, now)

    def settle(self, facts: Facts) -> Stored:
        """The last steps once more, after an error or a crash stopped `place` behind its durable facts."""
        return self._settle(facts, Path(str(facts.file)).name, _now())

    def abandon(self, facts: Facts, size: int) -> None:
        """Remove the unplaced bytes (`size` of them) and the facts; what was placed stays."""
        part = part_path(self._partials, facts.id)
        if part.exists():
            self._room.give_back(size)
            part.unlink()
            if facts.file is not None and not facts.duplicate:
                (self._root / facts.file).unlink(missing_ok=True)  # the empty file that kept the name free
        facts_path(self._partials, facts.id).unlink(missing_ok=True)

    def recover(self) -> set[str]:
        """Finish or drop what a crash left; the ids of uploads that wait for more bytes."""
        waiting: set[str] = set()
        for path in self._partials.glob("*.new"):
            path.unlink()
        for path in self._partials.glob("*.json"):
            facts = Facts.load(path)
            part = path.with_suffix(".part")
            if facts is None or facts.id != path.stem or not (facts.is_done or part.exists()):
                path.unlink()
            elif facts.is_done and part.exists():
                # Stopped between the facts and the final name; the bytes were durable and proven before.
                (self._root / str(facts.file)).parent.mkdir(exist_ok=True)
                self.settle(facts)
            elif facts.is_done:
                self._log_late(facts)
            elif not facts.is_done:
                waiting.add(facts.id)
        for part in self._partials.glob("*.part"):
            # Without facts nobody can resume it, and its sender was told nothing.
            if not part.with_suffix(".json").exists():
                part.unlink()
        return waiting

    def _settle(self, facts: Facts, name: str, now: datetime.datetime) -> Stored:
        """Final name, then log."""
        if facts.file is None or facts.sha256 is None or facts.length is None:
            raise ValueError("the facts are not complete")
        part = part_path(self._partials, facts.id)
        stored = _stored(facts, name, now)
        if facts.duplicate:
            part.unlink(missing_ok=True)
            self._room.give_back(stored.size)
            self._index.note_duplicate(stored)
        else:
            final = self._root / facts.file
            part.replace(final)
            fsync_folder(final.parent)
            self._index.add(stored)
        if facts.door != "tus":
            # Nobody comes back to ask after it, as a tus sender may.
            facts_path(self._partials, facts.id).unlink(missing_ok=True)
        return stored

    def _log_late(self, facts: Facts) -> None:
        """Stopped between the final name and the log: sender and board are told by the facts."""
        final = self._root / str(facts.file)
        known = self._index.find(str(facts.file)) is not None
        if not (known or facts.duplicate) and final.is_file() and final.stat().st_size == facts.length:
            when = datetime.datetime.fromtimestamp(final.stat().st_mtime).astimezone()
            self._index.add(_stored(facts, final.name, when))
        if facts.door != "tus":
            facts_path(self._partials, facts.id).unlink(missing_ok=True)

    def _reserve(self, day: str, name: str) -> str:
        """Take a free name in the day's folder by an empty file of that name; path below the root."""
        folder = self._root / day
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            fsync_folder(self._root)
        for number in range(100_000):
            candidate = numbered(name, number)
            try:
                (folder / candidate).open("xb").close()
            except FileExistsError:
                continue
            return f"{day}/{candidate}"
        raise Refused(507, "too-many-names", f"too many uploads are called {name}", "use other names")


def _stored(facts: Facts, name: str, when: datetime.datetime) -> Stored:
    return Stored(
        file=str(facts.file),
        name=name,
        size=facts.length or 0,
        sha256=str(facts.sha256),
        when=when.isoformat(timespec="milliseconds"),
        sender=facts.sender,
        board=facts.board,
        door=facts.door,
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now().astimezone()
