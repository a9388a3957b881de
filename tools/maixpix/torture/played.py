"""What a run has shown: the console, the faults, the card and the panel of every power cycle. The laws look at this."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from maixpix.torture.scenario import Scenario
from maixpix.torture.world import World
from virtualboard.clock import MS, SECOND


@dataclass
class Mark:
    """A moment at which the panel is at rest: the console line that told of it, and what the panel showed (RGB)."""

    cycle: int
    ns: int
    line: str
    panel: bytes
    error: str
    """The error that the console told right before, "" for none."""
    kept: int
    """Bytes in use on the heap after its last collection; 0 where the engine does not tell."""


@dataclass
class Cycled:
    """What one power cycle showed. `lines` are (virtual ns, text); `files` the card afterwards, path -> content."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    ended: str = ""
    faults: list[tuple[int, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The console."""
        return "\n".join(line for _, line in self.lines)

    def told(self, start: str) -> list[str]:
        """What stands behind `start` in the lines that begin so."""
        return [line[len(start) :] for _, line in self.lines if line.startswith(start)]


@dataclass
class Played:
    """A whole run. `given` are the files that were on the card at its start."""

    scenario: Scenario
    world: World
    given: dict[str, bytes] = field(default_factory=dict)
    cycles: list[Cycled] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    panel: bytes = b""
    goal_ns: int | None = None
    """When the last power cycle reached what its app is for; None: never."""
    virtual_ns: int = 0
    host_s: float = 0.0

    @property
    def last(self) -> Cycled:
        """The cycle that recovered, or not."""
        return self.cycles[-1]

    @property
    def recovered_s(self) -> float | None:
        """Seconds from the end of all faults to the goal; None: it was never reached."""
        quiet_ns = self.scenario.quiet_ms * MS
        return None if self.goal_ns is None else max(0, self.goal_ns - quiet_ns) / SECOND

    @property
    def digest(self) -> str:
        """SHA-256 over everything that the run showed: the same for the same scenario, engine and software."""
        shown = hashlib.sha256()
        for cycled in self.cycles:
            shown.update(json.dumps([cycled.lines, cycled.ended, cycled.faults]).encode())
            for path, data in sorted(cycled.files.items()):
                shown.update(path.encode() + hashlib.sha256(data).digest())
        for mark in self.marks:
            shown.update(mark.panel)
        shown.update(self.panel + repr((self.goal_ns, self.world.told, sorted(self.world.sink.times))).encode())
        return shown.hexdigest()
