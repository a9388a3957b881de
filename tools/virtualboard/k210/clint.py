"""CLINT: inter-processor interrupts and the machine timer. Layout: Kendryte SDK clint.h (mtime = CPU clock / 50)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.clock import Alarm
from virtualboard.k210.bus import Device
from virtualboard.k210.traps import MSIP, MTIP

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

DIVIDER = 50
_MTIMECMP, _MTIME = 0x4000, 0xBFF8
_NEVER = (1 << 64) - 1


class Clint(Device):
    NAME = "clint"
    BASE = 0x0200_0000
    SIZE = 0x10000
    TIMED = True

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self.compare = [_NEVER, _NEVER]
        self._alarms: list[Alarm | None] = [None, None]
        for core in (0, 1):
            self.reads[4 * core] = lambda c=core: int(bool(self.soc.cores[c].mip & MSIP))
            self.writes[4 * core] = lambda v, c=core: self.soc.cores[c].set_mip(MSIP, bool(v & 1))
            for half in (0, 1):
                at = _MTIMECMP + 8 * core + 4 * half
                self.reads[at] = lambda c=core, h=half: self.compare[c] >> 32 * h & 0xFFFF_FFFF
                self.writes[at] = lambda v, c=core, h=half: self._set_compare(c, h, v)
        self.reads[_MTIME] = lambda: self._time() & 0xFFFF_FFFF
        self.reads[_MTIME + 4] = lambda: self._time() >> 32

    def reset(self) -> None:
        self.compare = [_NEVER, _NEVER]
        for core in (0, 1):
            self._schedule(core)

    def reschedule(self) -> None:
        """The CPU frequency changed or a state was restored: the same counts fall due at other times."""
        for core in (0, 1):
            self._schedule(core)

    def state(self) -> dict[str, object]:
        return {"compare": list(self.compare)}

    def _time(self) -> int:
        self.soc.polled()
        return self.soc.cycles_now() // DIVIDER

    def _set_compare(self, core: int, half: int, value: int) -> None:
        keep = self.compare[core] & (0xFFFF_FFFF << 32 * (1 - half))
        self.compare[core] = keep | value << 32 * half
        self._schedule(core)

    def _schedule(self, core: int) -> None:
        alarm = self._alarms[core]
        if alarm is not None:
            alarm.cancel()
            self._alarms[core] = None
        due = self.compare[core] * DIVIDER
        reached = due <= self.soc.cycles_now()
        self.soc.cores[core].set_mip(MTIP, reached)
        if not reached and due < 1 << 62:
            self._alarms[core] = self.soc.clock.at(self.soc.timebase.ns(due) + 1, lambda: self._schedule(core))
