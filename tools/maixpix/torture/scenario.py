"""A scenario: everything that makes one run, as plain data, drawn from a seed.

A run is one card that is switched on several times (`Cycle`). Each power cycle has a fault plan
(`virtualboard.faults`), what the servers do wrong (`Lie`), and the moment at which the power is cut; the last one has
no end of its own: its faults end at `quiet_ms`, the servers tell the truth from then on, and the board has to recover.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from virtualboard.faults import LANES, check_plan

SSID, KEY, TOKEN = "home", "sesame-open-42!", "upload-token-77"
HOST, FILES, RAW = "pc", 8000, 3456
"""The one machine of the board's network: pictures at port 80, uploads by tus and by raw TCP."""

PAGE_LIES = (
    "refuse", "silent", "reset", "cut", "stall", "long-stall", "drip", "short-length", "long-length", "wrong-digest",
    "change", "no-range", "other-range", "bad-chunk", "huge-chunk", "no-last-chunk", "chunk-flood", "head-flood",
    "long-field", "junk", "interim", "404", "500", "503", "403", "511", "204", "page", "gzip", "redirect-evil",
    "redirect-loop", "redirect-tls", "redirect-nowhere", "redirect-flood", "redirect-port", "noise", "torn", "endless",
    "not-modified", "twice",
)  # fmt: skip
"""What a server of pictures does wrong; see `pages`. No lie is among them that nothing could tell from the truth."""

SINK_LIES = (
    "refuse", "silent", "reset", "lose-answer", "500", "503", "404", "413", "wrong-offset", "huge-offset",
    "no-location", "other-location", "wrong-digest", "drip", "slow", "forget", "junk",
)  # fmt: skip
"""What a receiver of files does wrong; see `sinks`."""


@dataclass
class Lie:
    """What a server does to its `nth` connection of a power cycle (from 0): one of PAGE_LIES or SINK_LIES."""

    nth: int
    do: str
    share: float = 0.5
    """Where in the answer's body, for those that happen there."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass
class Cycle:
    """One time that the board is switched on. `end_ms`: when its power is cut; None: it is the last one."""

    faults: list[dict[str, Any]] = field(default_factory=list)
    lies: list[Lie] = field(default_factory=list)
    end_ms: int | None = None


@dataclass
class Scenario:
    """One run. `pictures` are numbers of `pictures.pool` that the server has one after the other, the last of them
    from the quiet on; `server` says how it serves them, `planted` how many files wait on the card."""

    app: str
    seed: int = 0
    at: str = "1.7.4"
    settings: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    pictures: list[int] = field(default_factory=lambda: [0, 1])
    planted: int = 0
    quiet_ms: int = 0
    cycles: list[Cycle] = field(default_factory=lambda: [Cycle()])

    def to_json(self) -> str:
        """The scenario as one line of text, for `from_json`."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Scenario:
        """Inverse of `to_json`. ValueError says what is wrong with `text`."""
        try:
            data = json.loads(text)
            cycles = [
                Cycle(each["faults"], [Lie(**lie) for lie in each["lies"]], each["end_ms"])
                for each in data.pop("cycles")
            ]
            made = cls(**data, cycles=cycles)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"the text is no scenario: {error}") from None
        made.check()
        return made

    def check(self) -> None:
        """Raise ValueError unless this can be played."""
        if self.app not in KINDS:
            raise ValueError(f"no app is {self.app!r}; known: {', '.join(KINDS)}")
        if not self.cycles or any((each.end_ms is None) != (each is self.cycles[-1]) for each in self.cycles):
            raise ValueError("every cycle but the last one ends")
        for each in self.cycles:
            check_plan(each.faults)

    @property
    def troubles(self) -> int:
        """How many faults, lies and power cuts are in it."""
        return sum(len(each.faults) + len(each.lies) for each in self.cycles) + len(self.cycles) - 1


@dataclass(frozen=True)
class Kind:
    """What is particular to an app: its settings and server by lot, what its server may do wrong, how far its bytes
    go on the way out, whether what comes in is proven, and the longest recovery in seconds of the board's time."""

    draw: Callable[[random.Random], dict[str, Any]]
    lies: tuple[str, ...]
    out_bytes: int
    recovers_s: int


def _fetches(rng: random.Random) -> dict[str, Any]:
    """Settings and server of an app that fetches pictures."""
    server = {
        "validator": rng.choice(["etag", "etag", "etag", "date", "weak", "none"]),
        "ranges": rng.random() < 0.85,
        "framing": rng.choice(["length", "length", "length", "chunked", "close"]),
        "digest": rng.random() < 0.6,
    }
    settings = {"picture": f"http://{HOST}/a.jpg", "body_kb": 400, "body_s": 60}
    if rng.random() < 0.2:
        settings["picture"] = f"http://reader:{TOKEN}@{HOST}/a.jpg"
    return {"settings": settings, "server": server, "pictures": rng.sample(range(8), rng.randrange(2, 5))}


def _frame(rng: random.Random) -> dict[str, Any]:
    drawn = _fetches(rng)
    drawn["settings"]["interval_s"] = rng.choice([1, 2, 5])
    return drawn


def _get(rng: random.Random) -> dict[str, Any]:
    drawn = _fetches(rng)
    drawn["settings"]["get"] = drawn["settings"].pop("picture") + " /sd/got/got.jpg"
    return drawn


def _uploads(rng: random.Random) -> dict[str, Any]:
    """Settings and server of an app that sends files."""
    door = rng.choices(["http", "tcp+name", "tcp"], [65, 18, 17])[0]
    where = f"http://{HOST}:{FILES}/files/" if door == "http" else f"{door}://{HOST}:{RAW}"
    settings = {"upload": where, "token": "" if door == "tcp" else TOKEN}
    return {"settings": settings, "server": {"digest": rng.random() < 0.8}}


def _snap(rng: random.Random) -> dict[str, Any]:
    drawn = _uploads(rng)
    drawn["settings"] |= {
        "snaps": rng.randrange(1, 4),
        "snap_s": 1,
        "burst": rng.randrange(1, 3),
        "colour": rng.choice(["on", "off"]),
        "quality": rng.randrange(20, 90),
        "frame": rng.choice(["QQVGA", "QQVGA", "QVGA"]),
        "reserve_kb": 64,
    }
    return drawn | {"planted": rng.randrange(3)}


def _send(rng: random.Random) -> dict[str, Any]:
    drawn = _uploads(rng)
    drawn["settings"]["send"] = "DCIM/*.jpg"
    return drawn | {"planted": rng.randrange(1, 4)}


KINDS = {
    "show": Kind(_fetches, PAGE_LIES, 2_000, 180),
    "frame": Kind(_frame, PAGE_LIES, 8_000, 180),
    "get": Kind(_get, tuple(lie for lie in PAGE_LIES if lie not in ("noise", "torn")), 2_000, 180),
    "snap": Kind(_snap, SINK_LIES, 60_000, 400),
    "send": Kind(_send, SINK_LIES, 60_000, 300),
}
"""The apps that are tortured (get takes whatever a server calls a file). Another one takes a line here, one in
`laws.KEEPS`, and its end in `play.GOALS`."""


def draw(seed: int, app: str = "") -> Scenario:
    """The scenario of `seed`, of `app` when that is given."""
    rng = random.Random(f"torture {seed}")
    name = rng.choice(list(KINDS))
    kind = KINDS[app or name]
    made = Scenario(app or name, seed, rng.choice(["1.1", "1.1", "1.6", "1.7.4", "1.7.4"]), **kind.draw(rng))
    made.settings |= {"app": made.app, "wifi": [[SSID, KEY]], "baud": rng.choice([115200, 1_000_000, 1_000_000])}
    made.quiet_ms = rng.randrange(6_000, 30_000)
    changes = _changes(rng, made)
    count = rng.choices([1, 2, 3, 4], [45, 30, 15, 10])[0]
    made.cycles = []
    for number in range(count):
        last = number == count - 1
        faults = [_fault(rng, made, kind, changes, last) for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4, 6]))]
        told = [Lie(rng.randrange(6), rng.choice(kind.lies), round(rng.random(), 2)) for _ in range(rng.randrange(4))]
        made.cycles.append(Cycle(faults, told, None if last else rng.randrange(700, 25_000)))
    made.check()
    return made


def _changes(rng: random.Random, scenario: Scenario) -> dict[str, list[str]]:
    """What may happen to bytes on each lane. Without a digest of the server's nothing tells of a changed bit, nor of a
    lost byte and a doubled one together; then only one of the latter happens."""
    every = ["drop", "double", "flip"]
    proven = scenario.server.get("digest", True)
    return {"to_chip": every if proven else [rng.choice(every[:2])], "to_modem": every}


def _fault(
    rng: random.Random, scenario: Scenario, kind: Kind, changes: dict[str, list[str]], last: bool
) -> dict[str, Any]:
    """One entry of a fault plan."""
    lane = rng.choice(LANES[:2])
    most = {"to_chip": rng.choice([1_500, 4_000, 40_000]), "to_modem": max(800, kind.out_bytes // rng.choice([1, 4]))}
    byte = rng.randrange(100, most[lane])
    sort = rng.randrange(6)
    if sort == 0:
        return {"when": {"lane": lane, "chance": 10 ** rng.uniform(-5.5, -3.3)}, "do": rng.choice(changes[lane])}
    if sort == 1:
        do = rng.choice(changes[lane])
        return {"when": {"lane": lane, "byte": byte}, "do": do, "count": rng.choice([1, 1, 2, 5, 40])}
    command = {"command": rng.choice(_COMMANDS), "nth": rng.randrange(1, 6)}
    card = {"card_bytes": rng.randrange(1, rng.choice([20, 120])) * 512}
    when = rng.choice([{"lane": lane, "byte": byte}, command, card, {"ms": rng.randrange(100, 20_000)}])
    event = rng.choice(_EVENTS if last else _EVENTS + _LASTING)
    if last and event["do"] in ("remove-card", "fail-card-reads"):
        # Before the supervisor runs nobody could do anything about it.
        when = {"ms": rng.randrange(3_000, 20_000)}
    return {"when": when, **event}


_COMMANDS = ("AT+CIPSEND", "AT+CIPSTART", "AT+CIPCLOSE", "AT+CWJAP", "AT+CIPRECVDATA", "AT+UART", "AT")

_EVENTS: tuple[dict[str, Any], ...] = (
    {"do": "reset-modem"},
    {"do": "brown-out"},
    {"do": "lose-wifi", "for_ms": 2500},
    {"do": "lose-wifi", "for_ms": 15_000},
    {"do": "lose-dhcp", "for_ms": 8000},
    {"do": "change-address"},
    {"do": "roam"},
    {"do": "close-link", "link": 4},
    {"do": "close-link", "link": 4, "reset": True},
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
    {"do": "stall-card", "ms": 50},
    {"do": "stall-card", "ms": 300},
    {"do": "stall-card", "ms": 800},
    {"do": "stall-card-every", "bytes": 16_384, "ms": 250},
    {"do": "fail-card-writes", "count": 1},
    {"do": "fail-card-writes", "count": 20},
    {"do": "fail-card-reads", "count": 1},
    {"do": "press-key", "for_ms": 120},
    {"do": "remove-card", "for_ms": 3000},
)
_LASTING: tuple[dict[str, Any], ...] = (
    {"do": "cut-power"},
    {"do": "cut-power"},
    {"do": "cut-power"},
    {"do": "cut-power"},
    {"do": "remove-card"},
    {"do": "remove-card"},
    {"do": "fill-card", "leave": 0},
    {"do": "fill-card", "leave": 80_000},
    {"do": "fill-card", "leave": 200_000},
)
"""What lasts until the board is switched on anew."""
