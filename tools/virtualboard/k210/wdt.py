"""WDT0 and WDT1 (DesignWare APB watchdogs). Registers: Kendryte SDK wdt.h; use: wdt.c."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.clock import SECOND, Alarm
from virtualboard.k210.bus import Device
from virtualboard.k210.plic import IRQ_WDT0
from virtualboard.k210.sysctl import RESET_WDT0

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

BASES = (0x5040_0000, 0x5041_0000)
_CR, _TORR, _CCVR, _CRR, _STAT, _EOI = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
_ENABLE, _INTERRUPT_FIRST = 1, 2
_KICK = 0x76


class Watchdog(Device):
    """Watchdog `index`: resets the chip, or interrupts first and resets when that is not answered in time."""

    TIMED = True
    KEPT = ("_barked",)
    NAMES = {  # noqa: RUF012
        0x00: "cr", 0x04: "torr", 0x08: "ccvr", 0x0C: "crr", 0x10: "stat", 0x14: "eoi", 0x1C: "prot_level",
        0xE4: "comp_param_5", 0xE8: "comp_param_4", 0xEC: "comp_param_3", 0xF0: "comp_param_2",
        0xF4: "comp_param_1", 0xF8: "comp_version", 0xFC: "comp_type",
    }  # fmt: skip

    def __init__(self, soc: Soc, index: int) -> None:
        super().__init__(soc, f"wdt{index}", BASES[index])
        self._index = index
        self._barked = False
        self._alarm: Alarm | None = None
        self._hz = soc.sysctl.wdt_hz(index)
        self.reads = {_CCVR: self._count, _STAT: lambda: int(self._barked), _EOI: self._end}
        self.writes = {_CR: self._set_cr, _CRR: self._kick}

    def reset(self) -> None:
        super().reset()
        self._barked = False
        self._stop()
        self._update()

    def restore(self, state: dict[str, object]) -> None:
        super().restore(state)
        self._start()

    def clocks_changed(self) -> None:
        """The rate may have changed: the counts that are left stay, and take another time."""
        before, self._hz = self._hz, self.soc.sysctl.wdt_hz(self._index)
        if self._alarm is not None and before != self._hz:
            left = self._alarm.when - self.soc.clock.now
            self._stop()
            self._alarm = self.soc.clock.after(left * before // self._hz, self._elapse)

    @property
    def _period_ns(self) -> int:
        return (1 << 16 + (self.regs.get(_TORR, 0) & 15)) * SECOND // self._hz

    def _set_cr(self, value: int) -> None:
        was = self.regs.get(_CR, 0) & _ENABLE
        self.regs[_CR] = value
        if not value & _ENABLE:
            self._stop()
        elif not was:
            self._start()

    def _kick(self, value: int) -> None:
        if value & 0xFF == _KICK:
            self._barked = False
            self._start()
            self._update()

    def _start(self) -> None:
        self._stop()
        if self.regs.get(_CR, 0) & _ENABLE:
            self._alarm = self.soc.clock.after(self._period_ns, self._elapse)

    def _stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _elapse(self) -> None:
        self._alarm = None
        if self.regs.get(_CR, 0) & _INTERRUPT_FIRST and not self._barked:
            self._barked = True
            self._start()
            self._update()
        else:
            self.soc.request_reset(RESET_WDT0 << self._index)

    def _count(self) -> int:
        if self._alarm is None:
            return 0
        return (self._alarm.when - self.soc.clock.now) * self._hz // SECOND & 0xFFFF_FFFF

    def _end(self) -> int:
        self._barked = False
        self._update()
        return 0

    def _update(self) -> None:
        # The line stays high on the chip. Firmware without a callback never clears it and would be interrupted over
        # and over until the reset; one interrupt has the same outcome.
        if self._barked:
            self.soc.plic.pulse(IRQ_WDT0 + self._index)
        else:
            self.soc.plic.set_level(IRQ_WDT0 + self._index, False)
