"""Fault plans by lot: what may go wrong with the line, the module, the network, the card and the supply in a run."""

from __future__ import annotations

import random
from typing import Any

Entry = dict[str, Any]

MODEM, CABLE = ("to_chip", "to_modem"), ("console_tx", "console_rx")
"""Lines on which a run goes: that of the module, and that of a PC."""

EVERY_CHANGE = ("drop", "double", "flip")
"""What may happen to bytes of the line."""


def fault(
    rng: random.Random, changes: dict[str, tuple[str, ...]], out_bytes: int, last: bool, lanes: tuple[str, str]
) -> Entry:
    """One entry of a fault plan. `changes`: what may happen to bytes, by lane; `out_bytes`: how many go out in a run;
    `last`: it is for the last power cycle, in which nothing may last; `lanes`: the way in and the way out."""
    lane = rng.choice(lanes)
    inside = lane == lanes[0]
    most = rng.choice([1_500, 4_000, 40_000]) if inside else max(800, out_bytes // rng.choice([1, 4]))
    byte = rng.randrange(100, most)
    sort = rng.randrange(6)
    if sort == 0:
        # On the way in, bits that flip again and again would take the name of a digest's field, and nothing proves the
        # picture behind it.
        which = [change for change in changes[lane] if change != "flip" or lane != "to_chip"]
        return {"when": {"lane": lane, "chance": 10 ** rng.uniform(-5.5, -3.3)}, "do": rng.choice(which)}
    if sort == 1:
        return {"when": {"lane": lane, "byte": byte}, **_of_bytes(rng, lane, changes[lane])}
    command = {"command": rng.choice(_COMMANDS), "nth": rng.randrange(1, 6)}
    card = {"card_bytes": rng.randrange(1, rng.choice([20, 120])) * 512}
    when = rng.choice([{"lane": lane, "byte": byte}, command, card, {"ms": rng.randrange(100, 20_000)}])
    event = rng.choice(_EVENTS if last else _EVENTS + _LASTING)
    if last and event["do"] in _LATE:
        # Before the supervisor runs nobody could do anything about it.
        when = {"ms": rng.randrange(3_000, 20_000)}
    return {"when": when, **event}


def _of_bytes(rng: random.Random, lane: str, changes: tuple[str, ...]) -> Entry:
    do = rng.choice((*changes, "delay"))
    if do == "delay":
        return {"do": do, "lane": lane, "ms": rng.choice([1, 20, 250, 3000])}
    entry = {"do": do, "count": rng.choice([1, 1, 2, 5, 40])}
    return entry | {"mask": rng.randrange(1, 256)} if do == "flip" and rng.random() < 0.5 else entry


_LATE = ("remove-card", "fail-card-reads")

_COMMANDS = ("AT+CIPSEND", "AT+CIPSTART", "AT+CIPCLOSE", "AT+CWJAP", "AT+CIPRECVDATA", "AT+UART", "AT")

_EVENTS: tuple[Entry, ...] = (
    {"do": "reset-modem"},
    {"do": "brown-out"},
    {"do": "lose-wifi", "for_ms": 2500},
    {"do": "lose-wifi", "for_ms": 15_000},
    {"do": "lose-dhcp", "for_ms": 8000},
    {"do": "change-address"},
    {"do": "roam"},
    {"do": "close-link", "link": 4},
    {"do": "close-link", "link": 4, "reset": True},
    {"do": "close-link", "link": 0},
    {"do": "stall-modem", "ms": 4000},
    {"do": "stall-modem", "ms": 25_000},
    {"do": "busy-modem", "ms": 1500},
    {"do": "fail-send"},
    {"do": "late-send-ok"},
    {"do": "vary-boot", "variant": "noise"},
    {"do": "store-baud", "baud": 74_880},
    {"do": "store-baud", "baud": 9600},
    {"do": "say", "text": "\r\nbusy s...\r\n"},
    {"do": "say", "text": "\x00\x80\xff+IPD,4,9:"},
    {"do": "jump-clock", "s": -400_000_000},
    {"do": "jump-clock", "s": 400_000_000},
    {"do": "stall-card", "ms": 50},
    {"do": "stall-card", "ms": 300},
    {"do": "stall-card", "ms": 800},
    {"do": "stall-card-every", "bytes": 16_384, "ms": 250},
    {"do": "fail-card-writes", "count": 1},
    {"do": "fail-card-writes", "count": 20},
    {"do": "fail-card-reads", "count": 1},
    {"do": "press-key", "for_ms": 120},
    {"do": "remove-card", "for_ms": 3000},
    {"do": "lock-card", "for_ms": 4000},
)
_LASTING: tuple[Entry, ...] = (
    {"do": "cut-power"},
    {"do": "cut-power"},
    {"do": "cut-power"},
    {"do": "cut-power"},
    {"do": "remove-card"},
    {"do": "remove-card"},
    {"do": "lock-card"},
    {"do": "fill-card", "leave": 0},
    {"do": "fill-card", "leave": 80_000},
    {"do": "fill-card", "leave": 200_000},
)
"""What lasts until the board is switched on anew."""


def that_spare_the_start(entries: list[Entry]) -> list[Entry]:
    """`entries` without those that would leave a board which restarts without its card, and so without its software."""
    return [entry for entry in entries if entry["do"] not in _LATE]


def one_flip(entries: list[Entry]) -> list[Entry]:
    """`entries` with no more than one place on the way in where bits flip."""
    first = next((entry for entry in entries if _flips_in(entry)), None)
    return [entry for entry in entries if entry is first or not _flips_in(entry)]


def _flips_in(entry: Entry) -> bool:
    return entry["do"] == "flip" and entry["when"]["lane"] == "to_chip"


def at_once(entries: list[Entry]) -> None:
    """Let everything of a plan that strikes at some moment strike at the same one."""
    events = [entry for entry in entries if "chance" not in entry["when"] and entry["do"] not in EVERY_CHANGE]
    # What may not strike before the supervisor runs decides.
    base = next((entry for entry in events if entry["do"] in _LATE), next(iter(events), None))
    for entry in events:
        if base is not None:
            entry["when"] = base["when"]
