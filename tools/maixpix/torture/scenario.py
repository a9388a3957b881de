"""A scenario: everything that makes one run, as plain data, drawn from a seed.

A run is one card that is switched on several times (`Cycle`). Each power cycle has a fault plan
(`virtualboard.faults`), what the servers do wrong (`Lie`), and the moment at which the power is cut; the last one has
no end of its own: its faults end at `quiet_ms`, the servers tell the truth from then on, and the board has to recover.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from virtualboard.faults import check_plan

APPS = ("show", "frame", "get", "snap", "send", "update", "web", "portal", "deploy", "fill")
"""What is tortured: apps of the board, its pages, its portal, new software through the air."""

SSID, KEY, TOKEN = "home", "sesame-open-42!", "upload-token-77"
WEB_KEY = "guest-key-99"
UPDATE_KEY = "0123456789abcdef" * 4
HOST, FILES, RAW, AIR = "pc", 8000, 3456, 8080
"""The one machine of the board's network: pictures at port 80, uploads by tus and by raw TCP, software."""

PAGE_LIES = (
    "refuse", "silent", "reset", "cut", "stall", "long-stall", "drip", "short-length", "long-length", "wrong-digest",
    "change", "no-range", "other-range", "bad-chunk", "huge-chunk", "no-last-chunk", "chunk-flood", "head-flood",
    "long-field", "junk", "interim", "404", "500", "503", "403", "511", "204", "page", "gzip", "redirect-evil",
    "redirect-loop", "redirect-tls", "redirect-nowhere", "redirect-flood", "redirect-port", "redirect-home",
    "redirect-scheme", "half-close", "noise", "torn", "endless",
    "not-modified", "twice",
)  # fmt: skip
"""What a server of pictures does wrong; see `pages`. No lie is among them that nothing could tell from the truth."""

SINK_LIES = (
    "refuse", "silent", "reset", "lose-answer", "500", "503", "404", "413", "wrong-offset", "huge-offset",
    "no-location", "other-location", "wrong-digest", "drip", "slow", "forget", "junk",
)  # fmt: skip
"""What a receiver of files does wrong; see `sinks`."""

AIR_LIES = (
    "refuse", "silent", "reset", "slow", "500", "404", "forged", "replayed", "torn-list", "flipped-list", "long-list",
    "evil-path", "many-files", "flipped-file", "torn-file", "other-file", "other-board", "bad-version",
)  # fmt: skip
"""What a server of software does wrong; see `air`."""

GUEST_LIES = (
    "silent", "reset", "half-close", "stall", "drip", "short-body", "long-length", "head-flood", "long-field", "junk",
    "wrong-key", "no-key", "no-token", "foreign-origin", "foreign-host", "traverse", "torn-picture", "no-picture",
    "huge", "crowd", "many-parts", "secret-file",
)  # fmt: skip
"""What a guest of the board's pages does wrong; see `guests`."""

PHONE_LIES = (
    "wrong-key", "no-token", "no-network", "short-key", "walks-off", "silent", "reset", "junk", "head-flood", "twice",
    "probes", "no-app", "crowd",
)  # fmt: skip
"""What a telephone at the portal does wrong; see `phone`."""


@dataclass
class Lie:
    """What a server does to its `nth` connection of a power cycle (from 0), or a guest with his `nth` visit: a word of
    the lists above."""

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
        if self.app not in APPS:
            raise ValueError(f"no app is {self.app!r}; known: {', '.join(APPS)}")
        if not self.cycles or any((each.end_ms is None) != (each is self.cycles[-1]) for each in self.cycles):
            raise ValueError("every cycle but the last one ends")
        for each in self.cycles:
            check_plan(each.faults)

    @property
    def troubles(self) -> int:
        """How many faults, lies and power cuts are in it."""
        return sum(len(each.faults) + len(each.lies) for each in self.cycles) + len(self.cycles) - 1
