"""Laws about guests of the board's pages, about what they leave on its card, and about its settings and software."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from maixpix.torture import air, easel
from maixpix.torture.guests import Guests, Visit
from maixpix.torture.played import Played
from maixpix.torture.scenario import KEY, SSID

_GOOD = (200, 206, 303)


def pages(run: Played) -> Iterator[str]:
    """Who may not do something is refused, whatever he tries. A file that the board gives out is one that it has, and a
    picture that it has taken is on the card from then on, byte by byte."""
    guests = run.world.guests
    if guests is None:
        return
    changed = [any(" of to_modem" in what for _, what in cycled.faults) for cycled in run.cycles]
    for visit in guests.visits:
        where = f"cycle {visit.cycle}: {visit.lie or 'a guest'} who wanted {visit.what} {visit.name}".rstrip()
        if guests.denied(visit) and visit.answer.status in _GOOD:
            yield f"{where} was answered {visit.answer.status}"
        elif visit.what == "file" and visit.answer.status == 200 and not changed[visit.cycle]:
            if visit.answer.body not in _contents(run, guests, visit.name):
                yield f"{where} was given another file"
        elif visit.what == "upload" and visit.answer.status == 303 and visit.name not in guests.gone:
            yield from _is_kept(run, guests, visit, where)


def _contents(run: Played, guests: Guests, name: str) -> set[bytes]:
    """What the file `name` may ever have held."""
    path = f"pics/{name}"
    found = {cycled.files[path] for cycled in run.cycles if path in cycled.files}
    found |= {data for data in (run.given.get(path), guests.sent.get(name)) if data is not None}
    if not found or not name.startswith(("g", "p")):
        found |= {visit.answer.body for visit in guests.visits if visit.name == name}  # it came and went in one cycle
    return found


def _is_kept(run: Played, guests: Guests, visit: Visit, where: str) -> Iterator[str]:
    for number in range(visit.cycle, len(run.cycles)):
        there = run.cycles[number].files.get(f"pics/{visit.name}")
        if there != guests.sent[visit.name]:
            yield f"{where} was told that it is there, and behind cycle {number} it is {'another' if there else 'gone'}"
            return


def settings(run: Played) -> Iterator[str]:
    """Behind every power cycle the board has settings: those it had, or those that somebody has given to it."""
    for number, cycled in enumerate(run.cycles):
        data = cycled.files.get("pix.json", cycled.files.get("pix.new", b""))
        try:
            told = json.loads(data)
        except ValueError:
            yield f"cycle {number}: the settings are {data[:40]!r}"
            continue
        if not _may_be(run, told):
            yield f"cycle {number}: the settings are others than anybody has given"
        chosen = isinstance(told, dict) and told.get("wifi", [])[:1] == [[SSID, KEY]]
        if cycled is run.last and run.world.phone is not None and run.goal_ns is not None and not chosen:
            yield "in the end the network that was chosen is not in the settings"


def _may_be(run: Played, told: Any) -> bool:
    given = run.scenario.settings
    possible = [given]
    if run.world.guests is not None:
        possible += [given | {"name": name} for name in run.world.guests.named]
    if run.world.phone is not None:
        possible.append(given | {"wifi": [[SSID, KEY], *given["wifi"]]})
    return told in possible


def software(run: Played) -> Iterator[str]:
    """Behind every power cycle the loader would start the version that was there, or one that the server has sealed for
    this board, byte by byte. In the end that is the last one, and nobody has any reason to doubt it."""
    if run.scenario.app not in ("update", "deploy"):
        return
    allowed = {"", *run.world.air.offered} if run.world.desk is None else {"", air.LAST}
    loader = easel.software(byte_code=True).loader
    for number, cycled in enumerate(run.cycles):
        main = cycled.files.get("main.py", b"")
        if main != loader and (main != run.given["main.py"] or (cycled is run.last and run.goal_ns is not None)):
            yield f"cycle {number}: the loader is {'another' if main else 'gone'}"
        slot, state = air.chosen(cycled.files)
        name = air.whole(cycled.files, slot) if slot else None
        if name is None:
            yield f"cycle {number}: the loader would start {'a mixture in ' + slot if slot else 'nothing'}"
        elif name not in allowed:
            yield f"cycle {number}: the loader would start the version {name!r}, which nobody has offered"
        if run.goal_ns is not None and number == len(run.cycles) - 1 and (name, state) != (air.LAST, b"ok"):
            yield f"in the end the version {name!r} is in place, {state.decode('latin-1')}"


def filled(run: Played) -> Iterator[str]:
    """What `fill` puts onto a card is under its name only when it is whole, and in the end all of it is there."""
    desk = run.world.desk
    if desk is None or run.scenario.app != "fill":
        return
    for number, cycled in enumerate(run.cycles):
        there = {path: hashlib.sha256(data).hexdigest() for path, data in cycled.files.items() if path[:5] == "kept/"}
        yield from (
            f"cycle {number}: {path} is no file of the plan" for path in there if there[path] not in desk.sources
        )
        if cycled is run.last and run.goal_ns is not None and {*there.values()} != desk.sources:
            yield f"in the end {len(there)} files of the plan are there"


PICTURES = re.compile(r"pics/(?!snap)[\w~-]+\.jpg")
"""Pictures that guests send, or have fetched; those of the camera are called snap."""
