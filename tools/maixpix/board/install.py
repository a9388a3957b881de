"""Put a version onto a place so that a cut at any point leaves the old version or the new one, never a mixture.

Two folders take turns. The one that does not run is emptied of what differs, filled, checked by SHA-256 taken on the
board, and only then given its "ready" file, whose number is one higher than the running one's. The loader takes the
highest number. So nothing that runs is ever written to, and the switch is the creation of one tiny file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from maixpix.board import own
from maixpix.board.bundle import Bundle, digest, is_loader
from maixpix.board.places import DEMO_MARK, Place, sizes
from maixpix.errors import UserError

HOME = "maixpix"
SLOTS = ("a", "b")
READY = "ready"

_FIRST = ("pix/errors.", "pix_errors.")
"""The file of a version that needs no other: on it is tried whether the board takes the form of all."""

Progress = Callable[[int, int, str], None]
Trial = Callable[[str], None]
"""Called with the folder of a version in which `_FIRST` is there; raises UserError when the board cannot use it."""


@dataclass(frozen=True)
class Version:
    """What one folder holds; `number` is 0 when it is not whole."""

    slot: str
    number: int
    files: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class Result:
    """`number` is that of the version now in place; `sent` counts the files that went over the line."""

    number: int
    sent: int
    kept: int
    changed: bool
    loader_changed: bool
    notes: tuple[str, ...] = ()


def versions(place: Place) -> list[Version]:
    """Both folders' versions, the running one first."""
    found = place.scan(HOME)
    result = []
    for slot in SLOTS:
        files = {path[2:]: value for path, value in found.items() if path.startswith(slot + "/")}
        number = 0
        if READY in files:
            words = (place.read(f"{HOME}/{slot}/{READY}") or b"").split()
            # A version that came through the air and is on trial counts as well: it is the one that runs.
            if len(words) == 2 and words[0].isdigit() and words[1] in (b"ok", b"o", b"1", b"2", b"3"):
                number = int(words[0])
            del files[READY]
        result.append(Version(slot, number, files))
    # With none whole the first version goes to the first folder.
    return sorted(result, key=lambda version: (-version.number, version.slot == SLOTS[0]))


def install(
    place: Place,
    bundle: Bundle,
    progress: Progress | None = None,
    trial: Trial | None = None,
    without: Collection[str] = (),
) -> Result:
    """Bring `place` to the state of `bundle`. Raises UserError; the version that ran before still does then.

    `trial` is called before all but one file are sent, and for a version that is there already. Own apps that the
    bundle does not have are taken over from the version that runs, but for those in `without`.
    """
    current, spare = versions(place)
    wanted = {path: digest(data) for path, data in bundle.files.items()}
    replaced = {*own.names(wanted), "", *without}
    wanted.update({path: value for path, value in current.files.items() if own.owner(path) not in replaced})
    sent = 0
    number = current.number
    changed = current.number == 0 or current.files != wanted
    if changed:
        number = current.number + 1
        sent = _fill(place, bundle, wanted, current, spare, progress, trial)
        # The number is of fixed width, so the loader can compare the texts; one sector is written whole or not.
        ready, state = f"{HOME}/{spare.slot}/{READY}", b"%08d ok" % number
        place.write(ready, state)
        if place.read(ready) != state:
            place.remove(ready)
            raise UserError(f"{ready} did not arrive whole on {place.name}", "the old version stays; run it again")
    elif trial is not None and _first_of(wanted):
        trial(f"{HOME}/{current.slot}")
    loader_changed, notes = install_loader(place, bundle.loader)
    return Result(number, sent, len(wanted) - sent, changed, loader_changed, tuple(notes))


def install_loader(place: Place, loader: bytes, replace_own: bool = True) -> tuple[bool, list[str]]:
    """Make `loader` the place's main.py; returns whether it changed, and notes for people.

    A main.py that the user wrote is kept as main.old (main.ol1...), or left alone when `replace_own` is False.
    """
    present = place.read("main.py")
    if present == loader:
        return False, []
    if present is not None and is_loader(present) and not place.flat:
        place.patch("main.py", loader)
        return True, []
    notes = []
    own = present is not None and not is_loader(present) and DEMO_MARK not in present
    if own and not replace_own:
        return False, [f"main.py on {place.name} is your own and was left alone"]
    place.write("main.new", loader)
    if place.read("main.new") != loader:
        place.remove("main.new")
        raise UserError(f"main.py did not arrive whole on {place.name}", "run the command again")
    if own and present is not None:
        kept = next(name for name in ("main.old", *(f"main.ol{n}" for n in range(1, 1000))) if place.read(name) is None)
        place.write(kept, present)
        notes.append(f"your own main.py on {place.name} is now {kept}")
    place.rename("main.new", "main.py")
    return True, notes


def _first_of(paths: Iterable[str]) -> str:
    return next((path for path in paths if path.startswith(_FIRST)), "")


def _fill(
    place: Place,
    bundle: Bundle,
    wanted: dict[str, str],
    current: Version,
    spare: Version,
    progress: Progress | None,
    trial: Trial | None,
) -> int:
    """Make the spare folder equal to the bundle; returns the number of files sent."""
    folder = f"{HOME}/{spare.slot}"
    place.remove(f"{folder}/{READY}")
    for path in spare.files:
        if path not in wanted:
            place.remove(f"{folder}/{path}")
    first = _first_of(wanted) if trial is not None else ""
    missing = [path for path in wanted if spare.files.get(path) != wanted[path]]
    missing.sort(key=lambda path: path != first)
    if trial is not None and first and first not in missing:
        trial(folder)
    to_send = [path for path in missing if current.files.get(path) != wanted[path]]
    # Of what is taken over the size is not known: a cluster each; a card that gets full says so itself.
    needed = sizes({path: bundle.files.get(path, b"?") for path in missing if path not in spare.files})
    if not place.flat and place.free() < needed:
        raise UserError(f"{place.name} has no room for {needed // 1024} kB", "remove files from it")
    total, done = sum(len(bundle.files[path]) for path in to_send), 0
    for path in missing:
        if path in to_send:
            if progress is not None:
                progress(done, total, path)
            place.write(f"{folder}/{path}", bundle.files[path])
            done += len(bundle.files[path])
        else:
            place.copy(f"{HOME}/{current.slot}/{path}", f"{folder}/{path}")
        if trial is not None and path == first:
            trial(folder)
    if progress is not None and total:
        progress(total, total, "checking")
    arrived = place.scan(folder)
    wrong = sorted(path for path in wanted if arrived.get(path) != wanted[path])
    if wrong:
        raise UserError(
            f"{len(wrong)} files arrived damaged on {place.name} ({', '.join(wrong[:3])})",
            "the old version stays; run the command again, check the card if it repeats",
        )
    return len(to_send)
