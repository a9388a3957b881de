"""What must hold after every run, whatever went wrong in it: each law tells what breaks it, a sentence a breach.

A law looks at nothing but a run that is over (`play.Played`), so that a breach can be planted in one.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from maixpix.torture import air, easel
from maixpix.torture.cards import same_card
from maixpix.torture.kinds import KINDS
from maixpix.torture.pages import EVIL
from maixpix.torture.pictures import is_whole, pool
from maixpix.torture.played import Cycled, Played
from maixpix.torture.scenario import FILES, HOST, KEY, RAW, TOKEN, UPDATE_KEY, WEB_KEY
from maixpix.torture.visiting import PICTURES, filled, pages, settings, software

HEAP_GROWTH = 16 * 1024
"""Bytes that a program may keep more behind its last file than behind its second: the heap is in pieces of 512."""

_LOGS = ("pix.log", "pix.old")
_SETTINGS = ("pix.json", "pix.new")
_LOG_BYTES = 2 * 8192
_LOG_TEXT = 370
"""Characters of an error that a line of the log holds for sure."""

_EPISODE_S = 0.2
"""Two lines of the log about the same that are no further apart are of one episode."""

_LOG_LINE = re.compile(r"(\d+) \d+\.\d{3} (\w+) (.*)")
_SNAP = re.compile(r"outbox/s\d{7}\.jpg")
_SHOT = re.compile(r"pics/snap\d*\.jpg")
_SENT = re.compile(r"sent/s\d{7}\.jpg")


@dataclass(frozen=True)
class Keeps:
    """What an app may leave on the card: its picture, which it `shows` or not, and other files; all are patterns."""

    picture: str = ""
    others: tuple[str, ...] = ()
    shows: bool = True
    changes: str = ""
    """What that was given with the card it may change, a pattern; there are laws of its own for that."""


KEEPS = {
    "show": Keeps(r"show\.jpg"),
    # It never ends: the next picture, or the note of this one, may be on its way.
    "frame": Keeps(r"frame/[0-9a-f]{8}\.jpg", (r"frame/[0-9a-f]{8}\.(tag|[$~^](jp|ta))", r"frame/now")),
    "get": Keeps(r"got/got\.jpg", (r"get\.lst",), shows=False),
    "snap": Keeps(others=(r"outbox/number", r"outbox/s\d{7}\.jpg", r"sent/s\d{7}\.jpg")),
    "update": Keeps(
        r"frame/[0-9a-f]{8}\.jpg",
        (r"frame/[0-9a-f]{8}\.(tag|[$~^](jp|ta))", r"frame/now", r"maixpix/[ab]/[^~$^]*"),
        changes=r"maixpix/.*",
    ),
    "deploy": Keeps(others=(r"maixpix/[ab]/[^~$^]*",), shows=False, changes=r"maixpix/.*|main\.py"),
    "fill": Keeps(others=(r"kept/p\d\.jpg",), shows=False),
    "web": Keeps(PICTURES.pattern, (_SHOT.pattern,), changes=r"pix\.json|pics/.*"),
    "portal": Keeps(
        r"frame/[0-9a-f]{8}\.jpg", (r"frame/[0-9a-f]{8}\.(tag|[$~^](jp|ta))", r"frame/now"), changes=r"pix\.json"
    ),
    "send": Keeps(others=(r"dcim/p\d\.\^jp", r"outbox/number")),
}
"""What each app leaves behind."""


def recovers(run: Played) -> Iterator[str]:
    """Once all faults are over the app reaches what it is for, within the time that is stated for it."""
    limit = KINDS[run.scenario.app].recovers_s
    if run.recovered_s is None:
        where = "at its prompt" if run.last.ended == "finished" else f"after {limit} s"
        yield f"{run.scenario.app} has not recovered {where}"


def panel(run: Played) -> Iterator[str]:
    """Where a picture is told, the panel shows one that the server had, pixel by pixel; where an error is told, its
    card. At the end of a run that recovered it shows the last picture."""
    keeps = KEEPS[run.scenario.app]
    had = {easel.picture(number): number for number in run.scenario.pictures} if keeps.shows else {}
    for mark in run.marks:
        where = f"cycle {mark.cycle}, {mark.ns / 1e9:.3f} s"
        if mark.line.startswith("shown ") and mark.panel not in had:
            yield f"{where}: the panel shows no picture that the server had"
        heard = not any(" of console_" in what for _, what in run.cycles[mark.cycle].faults)
        if (
            heard
            and "starts again in" in mark.line
            and mark.error
            and not same_card(mark.panel, easel.error_card(mark.error))
        ):
            yield f"{where}: the panel shows no card of the error {mark.error!r}"
    if run.goal_ns is not None and keeps.picture and keeps.shows and run.panel not in had:
        yield "in the end the panel shows no picture that the server had"


def card(run: Played) -> Iterator[str]:
    """Behind every power cycle each file is what its name says: the software and what was put there as it was, the
    picture one that the server had, pictures of the camera whole and unchanged."""
    keeps = KEEPS[run.scenario.app]
    had = {pool()[number] for number in run.scenario.pictures}
    if run.world.guests is not None:
        had |= {*run.world.guests.sent.values(), *run.given.values()}
    seen: dict[str, bytes] = {}
    for number, cycled in enumerate(run.cycles):
        files = cycled.files
        for path, data in run.given.items():
            own = path == "outbox/number" or _SNAP.fullmatch(path) or re.fullmatch(keeps.changes, path)
            if not own and files.get(path) != data:
                yield f"cycle {number}: {path} is {'changed' if path in files else 'gone'}"
        for path, data in files.items():
            if re.fullmatch(keeps.picture, path) and data not in had:
                yield f"cycle {number}: {path} is no picture that the server had"
            if _SNAP.fullmatch(path) or _SENT.fullmatch(path) or _SHOT.fullmatch(path):
                if not is_whole(data):
                    yield f"cycle {number}: {path} is no whole picture"
                name = path.rpartition("/")[2]
                if seen.setdefault(name, data) != data:
                    yield f"cycle {number}: {path} has changed"
        counter = files.get("outbox/number", b"0000000\n")
        # Made anew on a card that then took nothing, it is empty, and the pictures tell the number.
        nothing = not counter and card_faults(cycled)
        if not nothing and (len(counter) != 8 or not counter[:7].isdigit()):
            yield f"cycle {number}: outbox/number is {counter[:20]!r}"


def uploads(run: Played) -> Iterator[str]:
    """No file is lost: every one that ever was is at the receiver, byte for byte, or on the card. None is sent again
    once the board has said that it is safe. The receiver has nothing that was never there."""
    sink = run.world.sink
    files = run.last.files
    known = _every_file(run)
    plain = run.scenario.settings.get("upload", "").startswith("tcp://")
    changed = any(" of to_modem" in what for cycled in run.cycles for _, what in cycled.faults)
    for name, digest in known.items():
        here = [path for path, data in files.items() if hashlib.sha256(data).hexdigest() == digest]
        if digest in sink.stored:
            continue
        if not here:
            yield f"{name} is lost"
        elif run.goal_ns is not None and any(path.startswith("outbox/s") for path in here):
            yield f"{name} still waits"
        elif run.goal_ns is not None and not plain and not changed:
            yield f"{name} was taken for sent and is not at the receiver"
    for digest, data in sink.stored.items():
        part = plain and any(data == other[: len(data)] for other in _contents(run))
        whole = digest in known.values() or (is_whole(data) and run.scenario.app == "snap")
        if not whole and not part and not changed:
            yield f"the receiver has {len(data)} bytes as {sink.names[digest]!r} that no file ever had"
    yield from _again(run)


def _every_file(run: Played) -> dict[str, str]:
    """Name -> digest of every file that was ever to be sent: planted, or seen on the card behind a power cycle, or,
    told as taken, at the receiver."""
    found = {}
    for files in [run.given, *(cycled.files for cycled in run.cycles)]:
        for path, data in files.items():
            if (path.startswith("dcim/p") and path.endswith(".jpg")) or _SNAP.fullmatch(path) or _SENT.fullmatch(path):
                found[path.rpartition("/")[2]] = hashlib.sha256(data).hexdigest()
    by_name = {name: digest for digest, name in run.world.sink.names.items()}
    for cycled in run.cycles:
        for words in cycled.told("taken "):
            name = words.split(" ")[0]
            if name not in found:
                found[name] = by_name.get(name) or _of_size(run, words) or f"nowhere: {name}"
    return found


def _of_size(run: Played, words: str) -> str:
    """The digest of a file at the receiver that has the size told in "NAME SIZE bytes", where names do not travel (or
    were damaged on the way)."""
    size = words.split(" ")[1]
    fits = [digest for digest, data in run.world.sink.stored.items() if str(len(data)) == size and is_whole(data)]
    return fits[0] if fits else ""


def _contents(run: Played) -> list[bytes]:
    files = [run.given, *(cycled.files for cycled in run.cycles)]
    return [data for each in files for data in each.values()] + list(run.world.sink.stored.values())


def _again(run: Played) -> Iterator[str]:
    """Whether the board sends a file that it has called safe before, or twice in one power cycle."""
    for number, cycled in enumerate(run.cycles):
        names = [words.split(" ")[0] for words in cycled.told("safe ")]
        for name, count in Counter(names).items():
            if count > 1:
                yield f"cycle {number}: {name} was sent {count} times"


def leftovers(run: Played) -> Iterator[str]:
    """At the clean end there is nothing on the card but what was there and what the app leaves behind."""
    if run.goal_ns is None:
        return
    keeps = KEEPS[run.scenario.app]
    for path in run.last.files:
        known = path in run.given or path in _LOGS
        # What a guest has left on a card that refused to be cleaned goes with the next start.
        later = keeps.picture == PICTURES.pattern and card_faults(run.last) and re.fullmatch(r"pics/.*\.[$~]..", path)
        if not known and not later and not any(re.fullmatch(each, path) for each in (keeps.picture, *keeps.others)):
            yield f"{path} was left on the card"


def room(run: Played) -> Iterator[str]:
    """The card's room returns: what lies on it is no more than what was there, the log's two files, and what the app
    keeps by its nature."""
    if run.goal_ns is None:
        return
    before = sum(map(len, run.given.values()))
    files = run.last.files
    kept = sum(len(data) for path, data in files.items() if path not in run.given and path not in _LOGS)
    keeps = KEEPS[run.scenario.app]
    most = (1 + len(keeps.others)) * (1024 + max(map(len, pool()))) if keeps.picture else kept
    if keeps.changes:
        most = kept  # visitors bring things, and a version is no small matter: `leftovers` knows what may be there
    logs = sum(len(files.get(path, b"")) for path in _LOGS)
    if kept > most or logs > _LOG_BYTES:
        yield f"{kept + logs} bytes more than the {before} before are in use"


def heap(run: Played) -> Iterator[str]:
    """What the program keeps in memory does not grow from file to file (on the engine that tells)."""
    for number in range(len(run.cycles)):
        kept = [mark.kept for mark in run.marks if mark.cycle == number and mark.kept and "again in" not in mark.line]
        if len(kept) > 3 and min(kept[-2:]) > max(kept[1:3]) + HEAP_GROWTH:
            grown = kept[-1] - kept[1]
            yield f"cycle {number}: {grown} bytes more are kept behind file {len(kept)} than behind the second"


def log(run: Played) -> Iterator[str]:
    """The log is honest: each of its errors was told on the console in that power cycle, not more often than there;
    every code that was told has a line; nothing has crashed."""
    last = 0
    for number, cycled in enumerate(run.cycles):
        lines, last = _log_lines(cycled.files, last)
        told = [" ".join(line.split())[:_LOG_TEXT] for line in cycled.told("error ")]
        said: list[str] = []
        for line in lines:
            found = _LOG_LINE.fullmatch(line)
            if found is None:
                yield f"cycle {number}: a line of the log is {line[:60]!r}"
            elif found[2] == "crash" and not card_faults(cycled) and air.CRASH not in found[3]:
                yield f"cycle {number}: the app crashed: {found[3]}"
            elif found[2] == "error":
                said.append(found[3][:_LOG_TEXT])
        for one, other in pairwise([line for line in lines if _LOG_LINE.fullmatch(line)]):
            if "error " in one and one.split(" ", 2)[2] == other.split(" ", 2)[2] and _seconds(one, other) < _EPISODE_S:
                yield f"cycle {number}: the log has twice {one}"
        for line, count in Counter(said).items():
            if count > told.count(line) and _console_tells_all(run):
                yield f"cycle {number}: the log has {count} lines, and the console {told.count(line)}, of {line}"
        missing = {_code(line) for line in told} - {_code(line) for line in said}
        if not card_faults(cycled) and cycled.ended != "power cut":
            yield from (f"cycle {number}: the log has no line of {code}" for code in sorted(missing))


def _seconds(one: str, other: str) -> float:
    """How long after the line `one` of the log `other` was written."""
    return float(other.split(" ")[1]) - float(one.split(" ")[1])


def _console_tells_all(run: Played) -> bool:
    """What went wrong with a guest's page is logged alone: it is nobody's business at the console. And a PC hears less
    than was said where its line loses bytes, or while it keeps the board from running."""
    return run.world.guests is None and run.world.desk is None


def _log_lines(files: dict[str, bytes], last: int) -> tuple[list[str], int]:
    """The log's lines of starts with a number above `last`, and the highest number in it. A line that was torn when the
    power went is none."""
    lines = b"".join(files.get(path, b"") for path in reversed(_LOGS)).decode("utf-8", "replace").split("\n")[:-1]
    numbers = [int(found[1]) if (found := _LOG_LINE.match(line)) else 0 for line in lines]
    new = [line for line, number in zip(lines, numbers, strict=True) if number > last or not number]
    return new, max([last, *numbers])


def _code(line: str) -> str:
    return line.partition(":")[0]


def card_faults(cycled: Cycled) -> bool:
    """Whether the card failed, was full or away in that power cycle: what happened then may be missing in its log."""
    wrong = ("fail-card", "fill-card", "remove-card", "lock-card")
    return any(what.startswith(wrong) for _, what in cycled.faults)


def secrets(run: Played) -> Iterator[str]:
    """Keys and token stand in the settings and nowhere else: not on the console, not in another file of the card, on no
    page; the token goes to the server that it belongs to and to nobody else, keys to nobody. The key of the board's own
    network is on the panel alone."""
    own_keys = {key.decode() for key in run.world.phone.keys} if run.world.phone is not None else set()
    secrets_ = {KEY, TOKEN, WEB_KEY, UPDATE_KEY, *own_keys}
    yield from _told_to_visitors(run, secrets_)
    for number, cycled in enumerate(run.cycles):
        for secret in secrets_:
            if secret in cycled.text:
                yield f"cycle {number}: the console tells {_masked(secret)}"
            for path, data in cycled.files.items():
                if path not in _SETTINGS and secret.encode() in data:
                    yield f"cycle {number}: {path} has {_masked(secret)} in it"
    asked = [run.scenario.settings.get(name, "") for name in ("picture", "get")]
    basic = any(url.startswith("http://reader:") for url in asked)
    own = {(HOST, FILES), (HOST, RAW)} if run.scenario.settings.get("upload") else {(HOST, 80)} if basic else set()
    for heard in run.world.traffic:
        data = bytes(heard.data)
        for secret in secrets_ - {TOKEN}:
            if secret.encode() in data:
                yield f"{heard.host}:{heard.port} was told {_masked(secret)}"
        lettered = b"Authorization:" in data or TOKEN.encode() in data
        if lettered and (heard.host, heard.port) not in own:
            yield f"{'the hostile host' if heard.host == EVIL else heard.host} at port {heard.port} was told the token"


def _told_to_visitors(run: Played, secrets_: set[str]) -> Iterator[str]:
    guests, phone = run.world.guests, run.world.phone
    told = [(visit.cycle, visit.answer.raw) for visit in guests.visits] if guests is not None else []
    for number, data in told + (phone.heard if phone is not None else []):
        for secret in secrets_:
            if secret.encode() in data:
                yield f"cycle {number}: a page tells {_masked(secret)}"


def _masked(secret: str) -> str:
    return f"the secret {secret[:2]}..."


LAWS: dict[str, Callable[[Played], Iterator[str]]] = {
    law.__name__: law
    for law in (recovers, panel, card, uploads, pages, settings, software, filled, leftovers, room, heap, log, secrets)
}
"""Every law by its name."""


def breaches(run: Played) -> list[str]:
    """What is wrong with a run, each sentence behind the name of its law; [] when all laws hold."""
    return [f"{name}: {told}" for name, law in LAWS.items() for told in law(run)]
