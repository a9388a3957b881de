"""TIMER0-2: four down-counters each (DesignWare APB timers). Registers: Kendryte SDK timer.h; use: timer.c."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.clock import SECOND, Alarm
from virtualboard.k210.bus import Device
from virtualboard.k210.plic import IRQ_TIMER0A

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

BASES = (0x502D_0000, 0x502E_0000, 0x502F_0000)
CHANNELS = 4
_LOAD, _CURRENT, _CONTROL, _EOI, _STATUS, _STEP = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
_ALL_STATUS, _ALL_EOI, _RAW, _LOAD2 = 0xA0, 0xA4, 0xA8, 0xB0
_ENABLE, _USER_MODE, _MASKED = 1, 2, 4


class Timer(Device):
    """TIMER `index`. Channels 0 and 1 share interrupt A, 2 and 3 interrupt B."""

    TIMED = True
    KEPT = ("_raised",)
    NAMES = {0xA0: "intr_stat", 0xA4: "eoi", 0xA8: "raw_intr_stat", 0xAC: "comp_version"} | {
        channel * _STEP + at: f"channel[{channel}].{name}"
        for channel in range(CHANNELS)
        for at, name in ((0, "load_count"), (4, "current_value"), (8, "control"), (12, "eoi"), (16, "intr_stat"))
    } | {_LOAD2 + 4 * n: f"load_count2[{n}]" for n in range(CHANNELS)}  # fmt: skip

    def __init__(self, soc: Soc, index: int) -> None:
        super().__init__(soc, f"timer{index}", BASES[index])
        self._index = index
        self._raised = 0
        self._start = [0] * CHANNELS
        self._alarms: list[Alarm | None] = [None] * CHANNELS
        self._hz = soc.sysctl.timer_hz(index)
        for channel in range(CHANNELS):
            at = channel * _STEP
            self.reads[at + _CURRENT] = lambda c=channel: self._current(c)
            self.reads[at + _EOI] = lambda c=channel: self._end(1 << c)
            self.reads[at + _STATUS] = lambda c=channel: self._due() >> c & 1
            self.writes[at + _CONTROL] = lambda v, c=channel: self._set_control(c, v)
            self.writes[at + _LOAD] = lambda v, c=channel: self._set_load(c, v)
        self.reads[_ALL_STATUS] = self._due
        self.reads[_ALL_EOI] = lambda: self._end(0xF)
        self.reads[_RAW] = lambda: self._raised

    def reset(self) -> None:
        super().reset()
        self._raised = 0
        for channel in range(CHANNELS):
            self._stop(channel)
        self._update()

    def restore(self, state: dict[str, object]) -> None:
        super().restore(state)
        for channel in range(CHANNELS):
            self._go(channel)

    def clocks_changed(self) -> None:
        """The rate may have changed: the counts that are left stay, and take another time."""
        before, self._hz = self._hz, self.soc.sysctl.timer_hz(self._index)
        if before == self._hz:
            return
        now = self.soc.clock.now
        for channel, alarm in enumerate(self._alarms):
            if alarm is not None:
                alarm.cancel()
                self._start[channel] = now - (now - self._start[channel]) * before // self._hz
                self._arm(channel)

    def _control(self, channel: int) -> int:
        return self.regs.get(channel * _STEP + _CONTROL, 0)

    def _period_ns(self, channel: int) -> int:
        load = self.regs.get(channel * _STEP + _LOAD, 0) if self._control(channel) & _USER_MODE else 0xFFFF_FFFF
        return max(1, load) * SECOND // self._hz

    def _set_control(self, channel: int, value: int) -> None:
        before = self._control(channel)
        self.regs[channel * _STEP + _CONTROL] = value
        if (before ^ value) & (_ENABLE | _USER_MODE):
            self._go(channel)
        self._update()

    def _set_load(self, channel: int, value: int) -> None:
        self.regs[channel * _STEP + _LOAD] = value
        if self._control(channel) & _ENABLE and self._alarms[channel] is None:
            self._go(channel)

    def _go(self, channel: int) -> None:
        self._stop(channel)
        if self._control(channel) & _ENABLE:
            self._start[channel] = self.soc.clock.now
            self._arm(channel)

    def _stop(self, channel: int) -> None:
        alarm = self._alarms[channel]
        if alarm is not None:
            alarm.cancel()
            self._alarms[channel] = None

    def _arm(self, channel: int) -> None:
        due = self._start[channel] + self._period_ns(channel)
        self._alarms[channel] = self.soc.clock.at(due, lambda: self._elapse(channel))

    def _elapse(self, channel: int) -> None:
        self._start[channel] += self._period_ns(channel)
        self._raised |= 1 << channel
        self._arm(channel)
        self._update()

    def _current(self, channel: int) -> int:
        self.soc.polled()
        if not self._control(channel) & _ENABLE:
            return self.regs.get(channel * _STEP + _LOAD, 0)
        left = self._start[channel] + self._period_ns(channel) - self.soc.clock.now
        return max(0, left * self._hz // SECOND) & 0xFFFF_FFFF

    def _end(self, channels: int) -> int:
        self._raised &= ~channels
        self._update()
        return 0

    def _due(self) -> int:
        open_channels = sum(1 << c for c in range(CHANNELS) if not self._control(c) & _MASKED)
        return self._raised & open_channels

    def _update(self) -> None:
        due = self._due()
        irq = IRQ_TIMER0A + 2 * self._index
        self.soc.plic.set_level(irq, bool(due & 3))
        self.soc.plic.set_level(irq + 1, bool(due & 12))
