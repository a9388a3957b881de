"""DMAC: six channels (DesignWare AXI DMA). Registers and bits: Kendryte SDK dmac.h; use of them: dmac.c.

A channel moves its data when it is enabled and the peripheral at its other end is ready, and reports completion when
that peripheral has really shifted the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.clock import Alarm
from virtualboard.k210.bus import Device
from virtualboard.k210.plic import IRQ_DMA0

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc
    from virtualboard.k210.spi import Spi

CHANNELS = 6

_CFG, _CHEN, _INTSTATUS, _RESET = 0x10, 0x18, 0x30, 0x58
_CHANNEL0, _STEP = 0x100, 0x100
_SAR, _DAR, _BLOCK_TS, _CTL, _LLP = 0x00, 0x08, 0x10, 0x18, 0x28
_INTSTATUS_EN, _CH_INTSTATUS, _INTSIGNAL_EN, _INTCLEAR = 0x80, 0x88, 0x90, 0x98
_BLOCK_DONE, _DONE = 1, 2
_COMMON = {
    0x00: "id", 0x08: "compver", 0x10: "cfg", 0x18: "chen", 0x30: "intstatus", 0x38: "com_intclear",
    0x40: "com_intstatus_en", 0x48: "com_intsignal_en", 0x50: "com_intstatus", 0x58: "reset",
}  # fmt: skip
_PER_CHANNEL = {
    0x00: "sar", 0x08: "dar", 0x10: "block_ts", 0x18: "ctl", 0x20: "cfg", 0x28: "llp", 0x30: "status",
    0x38: "swhssrc", 0x40: "swhsdst", 0x48: "blk_tfr", 0x50: "axi_id", 0x58: "axi_qos", 0x80: "intstatus_en",
    0x88: "intstatus", 0x90: "intsignal_en", 0x98: "intclear",
}  # fmt: skip


def _names() -> dict[int, str]:
    names = {}
    for low, name in _COMMON.items():
        names[low], names[low + 4] = name, f"{name}.high"
    for channel in range(CHANNELS):
        for low, name in _PER_CHANNEL.items():
            at = _CHANNEL0 + _STEP * channel + low
            names[at], names[at + 4] = f"channel[{channel}].{name}", f"channel[{channel}].{name}.high"
    return names


class Dmac(Device):
    NAME = "dmac"
    BASE = 0x5000_0000
    TIMED = True
    NAMES = _names()

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self.enabled = 0
        self._done: dict[int, int] = {}  # channel -> virtual ns when its last word is out
        self._alarms: dict[int, Alarm] = {}
        self.reads = {_CHEN: self._read_chen, _INTSTATUS: self._pending, _RESET: lambda: 0}
        self.writes = {_CHEN: self._write_chen, _RESET: lambda _v: None}
        for channel in range(CHANNELS):
            at = _CHANNEL0 + _STEP * channel
            self.reads[at + _CH_INTSTATUS] = lambda c=channel: self._status(c)
            self.writes[at + _INTCLEAR] = lambda v, c=channel: self._clear(c, v)
            self.writes[at + _INTSIGNAL_EN] = lambda v, c=channel: self._set_signal(c, v)
            self.writes[at + _INTSTATUS_EN] = lambda v, c=channel: self._set_enable(c, v)

    def reset(self) -> None:
        super().reset()
        self.enabled = 0
        for alarm in self._alarms.values():
            alarm.cancel()
        self._alarms.clear()
        self._done.clear()
        for channel in range(CHANNELS):
            self._update(channel)

    @property
    def busy(self) -> bool:
        return bool(self.enabled or self._done)

    def poke(self) -> None:
        """A peripheral became ready: start the channels that waited for it, senders first."""
        if not self.enabled:
            return
        self._settle()
        waiting = [c for c in range(CHANNELS) if self.enabled >> c & 1 and c not in self._done]
        for receiving in (False, True):
            for channel in waiting:
                if channel not in self._done and self._is_receiver(channel) is receiving:
                    self._run(channel)

    # -- one channel --------------------------------------------------------------------------------------

    def _register(self, channel: int, at: int) -> int:
        return self.regs.get(_CHANNEL0 + _STEP * channel + at, 0)

    def _is_receiver(self, channel: int) -> bool:
        return self.soc.spi_at(self._register(channel, _SAR)) is not None

    def _run(self, channel: int) -> None:
        control = self._register(channel, _CTL)
        source, target = self._register(channel, _SAR), self._register(channel, _DAR)
        count = (self._register(channel, _BLOCK_TS) & 0x3F_FFFF) + 1
        width_in, width_out = 1 << (control >> 8 & 7), 1 << (control >> 11 & 7)
        fixed_in, fixed_out = bool(control >> 4 & 1), bool(control >> 6 & 1)
        sender, receiver = self.soc.spi_at(target), self.soc.spi_at(source)
        when = self.soc.clock.now
        if receiver is not None:
            words = receiver.take(count) if receiver.ready else None
            if words is None:
                return
            when = receiver.free_at
        elif self.soc.in_ram(source):
            words = self.soc.read_words(source, count, width_in, fixed_in)
        else:
            words = [self.soc.peek(source if fixed_in else source + i * width_in) for i in range(count)]
        if sender is not None:
            if not sender.ready:
                return
            when = self._send(sender, words)
        elif self.soc.in_ram(target):
            self.soc.write_words(target, words, width_out, fixed_out)
        else:
            for i, word in enumerate(words):
                self.soc.poke(target if fixed_out else target + i * width_out, word)
        self._done[channel] = when
        if self._register(channel, _INTSTATUS_EN) and self.soc.plic.wanted(IRQ_DMA0 + channel):
            self._alarms[channel] = self.soc.clock.at(when, lambda: self._finish(channel))

    def _send(self, spi: Spi, words: list[int]) -> int:
        spi.push_many(words)
        spi.settle()
        return spi.free_at

    def _finish(self, channel: int) -> None:
        self._forget(channel)
        self.enabled &= ~(1 << channel)
        at = _CHANNEL0 + _STEP * channel + _CH_INTSTATUS
        self.regs[at] = self.regs.get(at, 0) | (_DONE | _BLOCK_DONE) & self._register(channel, _INTSTATUS_EN)
        self._update(channel)

    # -- registers ----------------------------------------------------------------------------------------

    def _read_chen(self) -> int:
        self.poke()
        if self._done:
            self.soc.wait_until(min(self._done.values()))
            self._settle()
        else:
            self.soc.polled()
        return self.enabled

    def _forget(self, channel: int) -> None:
        self._done.pop(channel, None)
        alarm = self._alarms.pop(channel, None)
        if alarm is not None:
            alarm.cancel()

    def _settle(self) -> None:
        """Finish what is over by now. Alarms are only set for interrupts; firmware that polls needs none."""
        if self._done:
            now = self.soc.clock.now
            for channel in [c for c, when in self._done.items() if when <= now]:
                self._finish(channel)

    def _write_chen(self, value: int) -> None:
        self._settle()
        for channel in range(CHANNELS):
            if value >> (8 + channel) & 1:
                if value >> channel & 1:
                    self.enabled |= 1 << channel
                else:
                    self.enabled &= ~(1 << channel)
                    self._forget(channel)
        self.poke()

    def _set_enable(self, channel: int, value: int) -> None:
        self.regs[_CHANNEL0 + _STEP * channel + _INTSTATUS_EN] = value

    def _set_signal(self, channel: int, value: int) -> None:
        self.regs[_CHANNEL0 + _STEP * channel + _INTSIGNAL_EN] = value
        self._update(channel)

    def _clear(self, channel: int, value: int) -> None:
        at = _CHANNEL0 + _STEP * channel + _CH_INTSTATUS
        before = self.regs.get(at, 0)
        if before & value:
            self.regs[at] = before & ~value
            self._update(channel)

    def _status(self, channel: int) -> int:
        self._settle()
        return self._register(channel, _CH_INTSTATUS)

    def _signals(self, channel: int) -> int:
        # The SDK never writes intsignal_en; its reset value lets every enabled status through (dmac.c).
        signal = self.regs.get(_CHANNEL0 + _STEP * channel + _INTSIGNAL_EN, 0xFFFF_FFFF)
        return self._register(channel, _CH_INTSTATUS) & signal

    def _pending(self) -> int:
        return sum(1 << c for c in range(CHANNELS) if self._signals(c))

    def _update(self, channel: int) -> None:
        self.soc.plic.set_level(IRQ_DMA0 + channel, bool(self._signals(channel)))
