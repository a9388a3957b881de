"""RTC: date and time that tick with the board's clock. Registers: Kendryte SDK rtc.h; use: rtc.c."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from virtualboard.clock import SECOND
from virtualboard.k210.bus import Device

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

_DATE, _TIME, _CURRENT, _CONTROL, _EXTENDED = 0x00, 0x04, 0x14, 0x1C, 0x28


class Rtc(Device):
    """The time set last plus the virtual time since. Alarm and tick interrupts are not modelled."""

    NAME = "rtc"
    BASE = 0x5046_0000
    TIMED = True
    NAMES = {  # noqa: RUF012
        0x00: "date", 0x04: "time", 0x08: "alarm_date", 0x0C: "alarm_time", 0x10: "initial_count",
        0x14: "current_count", 0x18: "interrupt_ctrl", 0x1C: "register_ctrl", 0x20: "reserved0",
        0x24: "reserved1", 0x28: "extended",
    }  # fmt: skip

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self._set_at: int | None = None
        self.reads = {_DATE: self._date, _TIME: self._time, _EXTENDED: self._century, _CURRENT: lambda: 1}
        for at in (_DATE, _TIME, _EXTENDED):
            self.writes[at] = lambda v, at=at: self._set(at, v)

    def reset(self) -> None:
        super().reset()
        self._set_at = None

    def state(self) -> dict[str, object]:
        return {"regs": dict(self.regs), "_set_at": self._set_at}

    def _set(self, at: int, value: int) -> None:
        now = self._now()
        if now is not None:
            self._hold(now)
        self.regs[at] = value
        self._set_at = self.soc.clock.now

    def _hold(self, now: datetime.datetime) -> None:
        """Write the running time into the registers, so that changing one field keeps the others."""
        self.regs[_DATE] = now.isoweekday() % 7 | now.day << 8 | now.month << 16 | now.year % 100 << 20
        self.regs[_TIME] = now.second << 10 | now.minute << 16 | now.hour << 24
        self.regs[_EXTENDED] = now.year // 100

    def _now(self) -> datetime.datetime | None:
        if self._set_at is None:
            return None
        date, time = self.regs.get(_DATE, 0), self.regs.get(_TIME, 0)
        try:
            start = datetime.datetime(
                (self.regs.get(_EXTENDED, 0) & 31) * 100 + (date >> 20),
                date >> 16 & 15,
                date >> 8 & 31,
                time >> 24 & 31,
                time >> 16 & 63,
                time >> 10 & 63,
            )
            return start + datetime.timedelta(seconds=(self.soc.clock.now - self._set_at) // SECOND)
        except (ValueError, OverflowError):
            return None  # half of the fields are set so far

    def _date(self) -> int:
        now = self._now()
        if now is None:
            return self.regs.get(_DATE, 0)
        return now.isoweekday() % 7 | now.day << 8 | now.month << 16 | now.year % 100 << 20

    def _time(self) -> int:
        now = self._now()
        return self.regs.get(_TIME, 0) if now is None else now.second << 10 | now.minute << 16 | now.hour << 24

    def _century(self) -> int:
        now = self._now()
        return self.regs.get(_EXTENDED, 0) if now is None else now.year // 100
