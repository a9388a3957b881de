"""Fault plans: what goes wrong, when, as data.

A plan is a list of entries, each with `when` and `do`:

    [{"when": {"lane": "to_chip", "byte": 8191},     "do": "drop", "count": 2},
     {"when": {"lane": "to_chip", "chance": 1e-5},   "do": "flip"},
     {"when": {"ms": 1500},                          "do": "lose-wifi", "for_ms": 4000},
     {"when": {"command": "AT+CIPSEND", "nth": 2},   "do": "reset-modem"},
     {"when": {"lane": "to_chip", "byte": 100000},   "do": "stall-card", "ms": 300}]

`when` is one of: `ms` (virtual milliseconds since power-on), `lane` with `byte` (the byte with that index, counted
from 0 over the life of the lane, has arrived), `lane` with `chance` (per byte; only for faults of the wire),
`card_bytes` (so many bytes have been written to the card), or `command` (an AT command that begins so, `nth` time,
default the first). Everything random comes from the board's seed: the same plan and the same peers give the same run.

`ACTIONS` and `WIRE_ACTIONS` say what can be done and with which options; `check_plan` refuses everything else before
a board is built, so that no mistake in a plan surfaces in the middle of a run.

Longer than 350 lines: one table of what can go wrong, and what reads it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from virtualboard.clock import MS

if TYPE_CHECKING:
    from virtualboard.board import Board
    from virtualboard.wire import Lane

Entry = dict[str, Any]
Act = Callable[["Board", Entry], None]


@dataclass(frozen=True)
class Number:
    """An option that is a number from `low` to `high`, both allowed."""

    low: float
    high: float
    whole: bool = True
    required: bool = False

    def takes(self, value: Any) -> bool:
        """Whether `value` may stand in a plan; NaN and true are no numbers."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low:.15g} to {self.high:.15g}"


@dataclass(frozen=True)
class Text:
    """An option that is text, of `choices` when there are any."""

    choices: tuple[str, ...] = ()
    required: bool = True

    def takes(self, value: Any) -> bool:
        """Whether `value` may stand in a plan."""
        if not isinstance(value, str) or any("\ud800" <= c <= "\udfff" for c in value):
            return False  # half a surrogate pair, which JSON can write, has no bytes
        return value in self.choices if self.choices else value != ""

    def __str__(self) -> str:
        return f"one of {', '.join(self.choices)}" if self.choices else "a text"


@dataclass(frozen=True)
class Flag:
    """An option that is true or false."""

    required: bool = False

    def takes(self, value: Any) -> bool:
        """Whether `value` may stand in a plan."""
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "true or false"


Options = dict[str, Number | Text | Flag]

LANES = ("to_chip", "to_modem", "console_rx", "console_tx")
"""Names of a board's lanes, as seen from the chip and from the console."""

BOOTS = ("noise", "rtc", "sdk", "vendor", "invalid")
"""Ways in which a module's boot may differ, as `Modem.vary_boot` knows them."""

_STATION = ("02:00:00:00:00:09", "192.168.4.2")
"""The station of join-station, unless the plan names another."""

_OTHER_ADDRESS, _OTHER_POINT = "192.168.4.77", "3c:84:6a:00:00:02"
"""What change-address gives and where roam leads."""

_LONG_S = 2_000_000_000
"""As far as a time server's clock can jump and still tell a time: some 63 years."""

_DAY_MS = 86_400_000
_DURATION = Number(0, _DAY_MS, whole=False)
_COUNT = Number(1, 1_000_000)


def _lose_wifi(board: Board, entry: Entry) -> None:
    board.modem.drop_wifi()
    if "for_ms" in entry:
        board.clock.after(round(entry["for_ms"] * MS), board.modem.restore_wifi)


def _remove_card(board: Board, entry: Entry) -> None:
    if not board.card.present:
        return
    board.card.remove()

    def back() -> None:
        # Somebody else may have been faster.
        if not board.card.present:
            board.card.insert()

    if "for_ms" in entry:
        board.clock.after(round(entry["for_ms"] * MS), back)


def _lock_card(board: Board, entry: Entry) -> None:
    board.card.lock()
    if "for_ms" in entry:
        board.clock.after(round(entry["for_ms"] * MS), lambda: board.card.lock(False))


def _delay(board: Board, entry: Entry) -> None:
    lane: Lane = getattr(board, entry["lane"])
    lane.pause(round(entry.get("ms", 20) * MS))


def _rejoin(board: Board, entry: Entry, **changed: Any) -> None:
    """The network throws its stations out and is another one when they come back; with "for_ms" it changes back."""
    points = board.air.points
    before = [{name: getattr(point, name) for name in changed} for point in points]

    def become(values: list[dict[str, Any]]) -> None:
        for point, new in zip(points, values, strict=True):
            for name, value in new.items():
                setattr(point, name, value)
        board.modem.station.lose()

    become([changed] * len(points))
    if "for_ms" in entry:
        board.clock.after(round(entry["for_ms"] * MS), lambda: become(before))


def _jump_clock(board: Board, entry: Entry) -> None:
    board.network.started_at += entry["s"]


def _store_baud(board: Board, entry: Entry) -> None:
    board.modem.flash.baud = entry["baud"]


def _press_key(board: Board, entry: Entry) -> None:
    pad = entry.get("pad")
    board.press(pad, True)
    board.clock.after(round(entry.get("for_ms", 100) * MS), lambda: board.press(pad, False))


ACTIONS: dict[str, tuple[Act, Options]] = {
    "reset-modem": (lambda b, e: b.modem.restart(e.get("cause", 4)), {"cause": Number(0, 7)}),
    "brown-out": (lambda b, e: b.modem.brown_out(), {}),
    "lose-wifi": (_lose_wifi, {"for_ms": _DURATION}),
    "lose-dhcp": (lambda b, e: _rejoin(b, e, dhcp_ok=False), {"for_ms": _DURATION}),
    "change-address": (
        lambda b, e: _rejoin(b, e, ip=e.get("ip", _OTHER_ADDRESS)),
        {"ip": Text(required=False), "for_ms": _DURATION},
    ),
    "roam": (lambda b, e: _rejoin(b, e, bssid=_OTHER_POINT, channel=11), {"for_ms": _DURATION}),
    "jump-clock": (_jump_clock, {"s": Number(-_LONG_S, _LONG_S, required=True)}),
    "store-baud": (_store_baud, {"baud": Number(110, 4_608_000, required=True)}),
    "close-link": (
        lambda b, e: b.modem.close_link(e.get("link", 0), reset=e.get("reset", False)),
        {"link": Number(0, 4), "reset": Flag()},
    ),
    "stall-modem": (lambda b, e: b.modem.stall(round(e.get("ms", 1000) * MS)), {"ms": _DURATION}),
    "busy-modem": (lambda b, e: b.modem.busy(round(e.get("ms", 1000) * MS)), {"ms": _DURATION}),
    "fail-send": (lambda b, e: b.modem.fail_send(e.get("empty_line", False)), {"empty_line": Flag()}),
    "late-send-ok": (lambda b, e: b.modem.late_send_ok(e.get("empty_line", True)), {"empty_line": Flag()}),
    "split-echo": (
        lambda b, e: b.modem.split_echo(e["text"].encode(), e.get("after", 1)),
        {"text": Text(), "after": Number(1, 256)},
    ),
    "vary-boot": (lambda b, e: b.modem.vary_boot(e["variant"]), {"variant": Text(BOOTS)}),
    "lack-command": (lambda b, e: b.modem.lack(e["command"].encode()), {"command": Text()}),
    "join-station": (
        lambda b, e: b.modem.own.joined(e.get("mac", _STATION[0]), e.get("ip", _STATION[1])),
        {"mac": Text(required=False), "ip": Text(required=False)},
    ),
    "lose-clients": (lambda b, e: b.modem.server.lose_clients(), {}),
    "delay": (_delay, {"lane": Text(LANES), "ms": _DURATION}),
    "say": (lambda b, e: b.modem.inject(e["text"].encode()), {"text": Text()}),
    "stall-card": (lambda b, e: b.card.stall(round(e.get("ms", 300) * MS)), {"ms": _DURATION}),
    "stall-card-every": (
        lambda b, e: b.card.stall_every(e["bytes"], round(e.get("ms", 300) * MS)),
        {"bytes": Number(0, 1 << 40, required=True), "ms": _DURATION},
    ),
    "fail-card-reads": (lambda b, e: b.card.fail_reads(e.get("count", 1)), {"count": _COUNT}),
    "fail-card-writes": (lambda b, e: b.card.fail_writes(e.get("count", 1)), {"count": _COUNT}),
    "lock-card": (_lock_card, {"for_ms": _DURATION}),
    "fill-card": (lambda b, e: b.card.fill(e.get("leave", 0)), {"leave": Number(0, 1 << 40)}),
    "remove-card": (_remove_card, {"for_ms": _DURATION}),
    "cut-power": (lambda b, e: b.cut_power(), {}),
    "press-key": (_press_key, {"pad": Number(0, 47), "for_ms": _DURATION}),
}
"""What can go wrong with a part: name -> (what to do, options it takes)."""

WIRE_ACTIONS: dict[str, Options] = {
    "drop": {"count": _COUNT},
    "double": {"count": _COUNT},
    "flip": {"count": _COUNT, "mask": Number(1, 255)},
}
"""What can go wrong with bytes on a lane, and the options it takes."""

TRIGGERS: dict[frozenset[str], Options] = {
    frozenset({"ms"}): {"ms": _DURATION},
    frozenset({"lane", "byte"}): {"lane": Text(LANES), "byte": Number(0, 1 << 40)},
    frozenset({"lane", "chance"}): {"lane": Text(LANES), "chance": Number(0, 1, whole=False)},
    frozenset({"card_bytes"}): {"card_bytes": Number(1, 1 << 40)},
    frozenset({"command"}): {"command": Text()},
    frozenset({"command", "nth"}): {"command": Text(), "nth": Number(1, 1_000_000)},
}
"""What starts a fault: the keys of "when" -> what each may be."""


def parse_plan(text: str) -> list[Entry]:
    """A plan from JSON text; ValueError says what is wrong with it."""
    try:
        plan = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the fault plan is not JSON: {error}") from None
    except RecursionError:
        raise ValueError("the fault plan is not JSON: it is nested too deeply") from None
    check_plan(plan)
    return plan


def check_plan(plan: Any) -> None:
    """Raise ValueError, naming the entry, unless `plan` is a well-formed list of entries."""
    if not isinstance(plan, list):
        raise ValueError("a fault plan is a list of entries")
    for number, entry in enumerate(plan, 1):
        try:
            _check_entry(entry)
        except ValueError as error:
            raise ValueError(f"fault {number}: {error}") from None


def _check_entry(entry: Any) -> None:
    if not isinstance(entry, dict) or not isinstance(entry.get("when"), dict):
        raise ValueError('an entry needs "when" (an object) and "do"')
    what = entry.get("do")
    when = frozenset(entry["when"])
    if when not in TRIGGERS:
        known = "; ".join(" with ".join(sorted(t, reverse=True)) for t in TRIGGERS)
        raise ValueError(f"no trigger is {' with '.join(sorted(map(str, when))) or 'empty'}; known: {known}")
    if not isinstance(what, str) or (what not in WIRE_ACTIONS and what not in ACTIONS):
        raise ValueError(f"cannot do {what!r}; known: {', '.join([*WIRE_ACTIONS, *ACTIONS])}")
    if what in WIRE_ACTIONS:
        if "lane" not in when:
            raise ValueError(f'{what} happens to bytes: "when" needs a lane')
        options = WIRE_ACTIONS[what]
        if "chance" in when and "count" in entry:
            raise ValueError(f'{what} takes no count with a chance: every byte has its own; "count" goes with "byte"')
    else:
        if "chance" in when:
            raise ValueError(f"{what} cannot have a chance per byte; only {', '.join(WIRE_ACTIONS)} can")
        options = ACTIONS[what][1]
    _check_options('"when"', entry["when"], TRIGGERS[when])
    _check_options(what, {name: entry[name] for name in entry if name not in ("when", "do")}, options)


def _check_options(owner: str, values: dict[str, Any], options: Options) -> None:
    unknown = sorted(set(values) - set(options))
    if unknown:
        known = ", ".join(f'"{name}" ({kind})' for name, kind in options.items()) or "none"
        raise ValueError(f"{owner} takes no {', '.join(unknown)}; its options: {known}")
    for name, kind in options.items():
        if name not in values:
            if kind.required:
                raise ValueError(f'{owner} needs "{name}", {kind}')
        elif not kind.takes(values[name]):
            raise ValueError(f'"{name}" of {owner} must be {kind}, not {_shown(values[name])}')


def _shown(value: Any) -> str:
    """`value` as the plan has it, shortened."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


class Faults:
    """A plan armed on one board. `happened` lists (virtual ns, what) in order, for reports and tests.

    `on_happened(virtual ns, what)`, when set, is told at once. ValueError for a plan that `check_plan` refuses.
    """

    def __init__(self, board: Board, plan: list[Entry], seed: int = 0) -> None:
        check_plan(plan)
        self.happened: list[tuple[int, str]] = []
        self.on_happened: Callable[[int, str], None] | None = None
        self._board = board
        self._seed = seed
        self._over = False
        self._manglers: list[_Mangler] = []
        self._commands: list[list[Any]] = []
        lanes: dict[str, Lane] = {name: getattr(board, name) for name in LANES}
        wire: dict[str, list[Entry]] = {}
        for entry in plan:
            when = entry["when"]
            if entry["do"] in WIRE_ACTIONS:
                wire.setdefault(when["lane"], []).append(entry)
            elif "ms" in when:
                board.clock.at(round(when["ms"] * MS), lambda e=entry: self._do(e))
            elif "lane" in when:
                lanes[when["lane"]].at_byte(when["byte"], lambda e=entry: self._do(e))
            elif "card_bytes" in when:
                board.card.at_written(when["card_bytes"], lambda e=entry: self._do(e))
            else:
                self._commands.append([entry, when.get("nth", 1)])
        for name, entries in wire.items():
            self._manglers.append(_Mangler(lanes[name], entries, random.Random(f"{seed}/{name}"), self._note))
        if self._commands:
            self._chain = board.modem.on_command
            board.modem.on_command = self._on_command

    def end(self) -> None:
        """From now on nothing goes wrong: what has not happened yet never does, what lasts is over.

        What a part has been made to keep (an odd rate, a clock that jumped, a full card) stays, and a card that is put
        back needs a restart of the board to be seen, as always.
        """
        board = self._board
        self._over = True
        self._commands.clear()
        for mangler in self._manglers:
            mangler.end()
        board.modem.restore_wifi()
        board.modem.missing = set(board.modem.profile.missing)
        for point, described in zip(board.air.points, board.config.wifi, strict=True):
            point.dhcp_ok = described.dhcp_ok
        if board.card.folder is not None:
            if not board.card.present:
                board.card.insert()
            board.card.fail_reads(0)
            board.card.fail_writes(0)
            board.card.lock(False)
            board.card.stall_every(0, 0)

    def _note(self, what: str) -> None:
        now = self._board.clock.now
        self.happened.append((now, what))
        if self.on_happened is not None:
            self.on_happened(now, what)

    def _do(self, entry: Entry) -> None:
        if self._over:
            return
        self._note(entry["do"])
        ACTIONS[entry["do"]][0](self._board, entry)

    def _on_command(self, line: bytes) -> None:
        if self._chain is not None:
            self._chain(line)
        for waiting in list(self._commands):
            if line.startswith(waiting[0]["when"]["command"].encode()):
                waiting[1] -= 1
                if waiting[1] == 0:
                    self._commands.remove(waiting)
                    # Not from inside the modem's own parser: as soon as time moves.
                    self._board.clock.after(0, lambda e=waiting[0]: self._do(e))


class _Mangler:
    """The wire faults of one lane."""

    def __init__(self, lane: Lane, entries: list[Entry], rng: random.Random, note: Callable[[str], None]) -> None:
        self._name = lane.name
        self._lane = lane
        self._note = note
        self._rng = rng
        self._by_byte: dict[int, Entry] = {}
        self._by_chance = [e for e in entries if "chance" in e["when"]]
        for entry in entries:
            if "byte" in entry["when"]:
                for index in range(entry["when"]["byte"], entry["when"]["byte"] + entry.get("count", 1)):
                    self._by_byte[index] = entry
        lane.mangle = self._mangle

    def end(self) -> None:
        """Every byte arrives as it was sent from now on."""
        self._lane.mangle = None

    def _mangle(self, index: int, byte: int) -> bytes:
        entry = self._by_byte.get(index)
        if entry is None:
            for candidate in self._by_chance:
                if self._rng.random() < candidate["when"]["chance"]:
                    entry = candidate
                    break
            else:
                return bytes((byte,))
        what = entry["do"]
        self._note(f"{what} byte {index} of {self._name}")
        if what == "drop":
            return b""
        if what == "double":
            return bytes((byte, byte))
        return bytes((byte ^ entry.get("mask", 1 << self._rng.randrange(8)),))
