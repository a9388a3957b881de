"""Bring a card to what a plan says, so that a cut at any point leaves every file old or new, and prove it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from maixpix.board import bundle, install, settings
from maixpix.board.places import Place
from maixpix.errors import UserError
from maixpix.fill.card_names import CardNames
from maixpix.fill.lock import Locked, lock_path, read_lock, write_lock
from maixpix.fill.plan import Plan
from maixpix.fill.sources import Source, Store, digest_of

NEW = "_fill.new"
"""Where a file is written before it gets its name: at the top of the card, so that no folder is ever listed longer."""

CLUSTER = 32 * 1024
DIGITS = 16
"""Hexadecimal digits of a SHA-256 by which places tell their files (`Place.scan`)."""

OnProgress = Callable[[int, int, str], None]


@dataclass
class Difference:
    """How a card differs from its plan: paths to write, and paths that the plan no longer has."""

    write: list[Locked] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.write or self.remove)


@dataclass
class Report:
    """What was done. `written` counts bytes put onto the card, `downloaded` those that came over the network."""

    files: int
    written_files: int
    written: int
    removed: int
    downloaded: int
    software: int = 0
    notes: tuple[str, ...] = ()


class Filling:
    """One plan and one place."""

    def __init__(self, plan: Plan, place: Place) -> None:
        if place.flat and plan.groups:
            raise UserError(f"{place.name} has no folders", "put a FAT32 card into the board")
        if plan.app:
            bundle.check_app(plan.app)
        settings.check(plan.settings or {})
        self.plan = plan
        self.place = place
        self._store = Store(plan)
        self._lock = lock_path(plan.path)

    def differences(self) -> Difference:
        """What `fill` would change, by this PC's files and what earlier runs downloaded; nothing is transferred."""
        known = read_lock(self._lock)
        entries = self._entries(self._store.gather(may_download=False).sources, known)
        return self._compare([entry for _, entry in entries], known)

    def fill(self, on_progress: OnProgress | None = None) -> Report:
        """Make the card what the plan says. Raises `UserError`; run again, it goes on from there."""
        known = read_lock(self._lock)
        gathered = self._store.gather()
        entries = self._entries(gathered.sources, known)
        difference = self._compare([entry for _, entry in entries], known)
        self._check_room(difference.write)
        # The lock first: whoever goes on after a cut must give the same names. What is gone from the plan stays in it
        # until it is gone from the card.
        gone = [entry for entry in known.values() if entry.path in difference.remove]
        write_lock(self._lock, [*(entry for _, entry in entries), *gone])
        written = self._write(entries, difference.write, on_progress)
        for path in difference.remove:
            self.place.remove(path)
        self._prove([entry for _, entry in entries])
        if gone:
            write_lock(self._lock, [entry for _, entry in entries])
        report = Report(len(entries), len(difference.write), written, len(difference.remove), gathered.downloaded)
        self._put_software(report)
        return report

    def _entries(self, sources: Iterable[Source], known: dict[str, Locked]) -> list[tuple[Source, Locked]]:
        """Every source with its place on the card; what is known is not made again to learn its digest."""
        sources = list(sources)
        names = CardNames({key: entry.path for key, entry in known.items()}, [source.key for source in sources])
        found = []
        for source in sources:
            sha256 = digest_of(source.file)
            path = names.path(source.key, source.group.to, source.name, source.suffix)
            entry = known.get(source.key)
            if entry is None or (entry.source_sha256, entry.made) != (sha256, source.made):
                data = self._store.bytes_for(source, sha256)
                entry = Locked(source.key, sha256, source.made, path, len(data), hashlib.sha256(data).hexdigest())
            found.append((source, Locked(source.key, sha256, source.made, path, entry.size, entry.sha256)))
        return found

    def _compare(self, entries: list[Locked], known: dict[str, Locked]) -> Difference:
        folders = {path.partition("/")[0] for path in (one.path for one in (*entries, *known.values()))}
        there = self._scan(folders)
        wanted = {entry.path for entry in entries}
        return Difference(
            [entry for entry in entries if there.get(entry.path) != entry.sha256[:DIGITS]],
            # Only what an earlier run put there, and only as long as nobody has changed it since.
            [
                entry.path
                for entry in known.values()
                if entry.path not in wanted and there.get(entry.path) == entry.sha256[:DIGITS]
            ],
        )

    def _scan(self, folders: Iterable[str]) -> dict[str, str]:
        return {
            f"{folder}/{path}": digest for folder in sorted(folders) for path, digest in self.place.scan(folder).items()
        }

    def _check_room(self, entries: list[Locked]) -> None:
        needed = sum(-(-entry.size // CLUSTER) * CLUSTER for entry in entries)
        free = self.place.free()
        if entries and needed + CLUSTER > free:
            raise UserError(
                f"{self.place.name} has {free // 1024:,} kB free and needs {needed // 1024:,} kB",
                "remove files from it, or use a bigger card",
            )

    def _write(self, entries: list[tuple[Source, Locked]], wanted: list[Locked], on_progress: OnProgress | None) -> int:
        total, done = sum(entry.size for entry in wanted), 0
        paths = {entry.path for entry in wanted}
        for source, entry in entries:
            if entry.path not in paths:
                continue
            if on_progress is not None:
                on_progress(done, total, entry.path)
            data = self._store.bytes_for(source, entry.source_sha256)
            if hashlib.sha256(data).hexdigest() != entry.sha256:
                raise UserError(f"{source.key} comes out differently now", f"delete {self._lock} and run again")
            self.place.write(NEW, data)
            self.place.move(NEW, entry.path)
            done += len(data)
        if wanted and on_progress is not None:
            on_progress(total, total, "reading back")
        self.place.remove(NEW)
        return done

    def _prove(self, entries: list[Locked]) -> None:
        """Read the card back."""
        there = self._scan({entry.path.partition("/")[0] for entry in entries})
        wrong = [entry.path for entry in entries if there.get(entry.path) != entry.sha256[:DIGITS]]
        if wrong:
            raise UserError(
                f"{len(wrong)} files came out damaged on {self.place.name} ({', '.join(wrong[:3])})",
                "run the command again, and use another card if it repeats",
            )

    def _put_software(self, report: Report) -> None:
        changes = dict(self.plan.settings or {})
        if self.plan.app:
            done = install.install(self.place, bundle.build())
            report.software, report.notes = done.sent, done.notes
            changes["app"] = self.plan.app
        if changes:
            settings.write(self.place, settings.merge(settings.read(self.place), changes))
