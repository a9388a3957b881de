"""CPU cycles and virtual nanoseconds: two views of one instant.

Cycles are the master while the cores run; nanoseconds are what the board's clock counts. Between two changes of the
CPU frequency both are joined by one straight line, so no rounding ever adds up.
"""

from __future__ import annotations

from virtualboard.clock import SECOND


class Timebase:
    """Cycles since power-on at a CPU frequency of `hz`, which firmware changes through SYSCTL."""

    def __init__(self, hz: int) -> None:
        self.hz = hz
        self.cycle0 = 0
        """Cycle count, and virtual time, since which it is `hz`."""
        self.ns0 = 0

    def set_hz(self, hz: int, cycles: int) -> None:
        """From `cycles` on the cores run at `hz`."""
        self.ns0 = self.ns(cycles)
        self.cycle0 = cycles
        self.hz = hz

    def save(self) -> list[int]:
        """What `load` needs."""
        return [self.hz, self.cycle0, self.ns0]

    def load(self, state: list[int]) -> None:
        """Inverse of `save`."""
        self.hz, self.cycle0, self.ns0 = (int(value) for value in state)

    def ns(self, cycles: int) -> int:
        """Virtual time of the end of cycle `cycles`."""
        return self.ns0 + (cycles - self.cycle0) * SECOND // self.hz

    def cycles(self, ns: int) -> int:
        """First cycle count whose virtual time is not before `ns`."""
        return self.cycle0 - (self.ns0 - ns) * self.hz // SECOND
