"""PLIC: from level-sensitive sources to the cores' external interrupts. Layout: Kendryte SDK plic.h.

Context 2 x core is that core's machine mode; supervisor contexts exist on the chip and are not used by firmware.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from virtualboard.k210.bus import Device
from virtualboard.k210.traps import MEIP

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

SOURCES = 65

IRQ_I2C0, IRQ_UART1, IRQ_TIMER0A = 8, 11, 14
IRQ_WDT0, IRQ_GPIO, IRQ_DVP, IRQ_DMA0, IRQ_UARTHS, IRQ_GPIOHS0 = 21, 23, 24, 27, 33, 34
"""Source numbers (SDK plic_irq_t). Numbered blocks follow their first: UART2 is IRQ_UART1 + 1."""

_PENDING, _ENABLES, _ENABLES_STEP, _CONTEXT, _CONTEXT_STEP = 0x1000, 0x2000, 0x100, 0x20_0000, 0x2000
_WORDS = -(-SOURCES // 32)  # of 32 sources each, in the pending and enable registers


class Plic(Device):
    NAME = "plic"
    BASE = 0x0C00_0000
    SIZE = 0x40_0000
    SHADOW = 0x1000  # the priorities

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self.priorities = [0] * SOURCES
        self.enables = [0, 0]
        self.thresholds = [0, 0]
        self.levels = 0
        self.pulses = 0
        self.in_service = 0
        self._next = [0, 0]
        for core in (0, 1):
            context = _CONTEXT + _CONTEXT_STEP * core
            self.reads[context] = lambda c=core: self.thresholds[c]
            self.reads[context + 4] = lambda c=core: self._claim(c)
            self.writes[context] = lambda v, c=core: self._set_threshold(c, v)
            self.writes[context + 4] = self._complete

    def reset(self) -> None:
        self.priorities = [0] * SOURCES
        self.enables = [0, 0]
        self.thresholds = [0, 0]
        self.levels = self.pulses = self.in_service = 0
        self.publish()
        self._update()

    def publish(self) -> None:
        ctypes.memset(self.shadow, 0, self.SHADOW)
        ctypes.memmove(self.shadow, (ctypes.c_uint32 * SOURCES)(*self.priorities), 4 * SOURCES)

    def restore(self, state: dict[str, object]) -> None:
        super().restore(state)
        self.publish()
        self._update()

    def state(self) -> dict[str, object]:
        return {
            "priorities": list(self.priorities),
            "enables": list(self.enables),
            "thresholds": list(self.thresholds),
            "levels": self.levels,
            "pulses": self.pulses,
            "in_service": self.in_service,
        }

    def set_level(self, source: int, on: bool) -> None:
        """The interrupt line of `source` is high or low."""
        levels = self.levels | 1 << source if on else self.levels & ~(1 << source)
        if levels != self.levels:
            self.levels = levels
            self._update()

    def pulse(self, source: int) -> None:
        """`source` asks once: its line falls when the interrupt is claimed."""
        self.pulses |= 1 << source
        self.set_level(source, True)

    def wanted(self, source: int) -> bool:
        """True when some core has enabled `source`."""
        return bool((self.enables[0] | self.enables[1]) >> source & 1)

    def read(self, offset: int) -> int:
        if offset >= _CONTEXT:
            if offset in self.reads:
                return self.reads[offset]()
        elif offset >= _ENABLES:
            core, register = divmod(offset - _ENABLES, _ENABLES_STEP)
            if core < 2 and register < 4 * _WORDS:
                return self.enables[core] >> 8 * register & 0xFFFF_FFFF
        elif 0 <= offset - _PENDING < 4 * _WORDS:
            return (self.levels & ~self.in_service) >> 8 * (offset - _PENDING) & 0xFFFF_FFFF
        elif offset < 4 * SOURCES:
            return self.priorities[offset >> 2]
        self.unknown(offset, "read")
        return 0

    def write(self, offset: int, value: int) -> None:
        if offset >= _CONTEXT:
            if offset in self.writes:
                self.writes[offset](value)
            else:
                self.unknown(offset, f"written with {value:#x}")
            return
        if offset >= _ENABLES:
            core, register = divmod(offset - _ENABLES, _ENABLES_STEP)
            if core < 2 and register < 4 * _WORDS:
                shift = 8 * register
                self.enables[core] = self.enables[core] & ~(0xFFFF_FFFF << shift) | value << shift
            else:
                self.unknown(offset, f"written with {value:#x}")
        elif offset < 4 * SOURCES:
            self.priorities[offset >> 2] = value
        else:
            self.unknown(offset, f"written with {value:#x}")
        self._update()

    def _best(self, core: int, ready: int) -> int:
        best, priority = 0, self.thresholds[core]
        while ready:
            source = (ready & -ready).bit_length() - 1
            ready &= ready - 1
            if self.priorities[source] > priority:
                best, priority = source, self.priorities[source]
        return best

    def _set_threshold(self, core: int, value: int) -> None:
        if self.thresholds[core] != value:  # handlers store it twice for each interrupt (SDK handle_irq_m_ext)
            self.thresholds[core] = value
            self._update()

    def _complete(self, source: int) -> None:
        self.in_service &= ~(1 << (source & 127))
        self._update()

    def _claim(self, core: int) -> int:
        source = self._next[core]
        if source:
            self.in_service |= 1 << source
            if self.pulses >> source & 1:
                self.pulses &= ~(1 << source)
                self.levels &= ~(1 << source)
            self._update()
        return source

    def _update(self) -> None:
        """Find out which source each core would claim now; a core that has one is interrupted."""
        ready = self.levels & ~self.in_service
        for index, core in enumerate(self.soc.cores):
            mine = ready & self.enables[index]
            source = self._next[index] = self._best(index, mine) if mine else 0
            if source:
                if not core.mip & MEIP:
                    core.set_mip(MEIP, True)
            elif core.mip & MEIP:
                core.set_mip(MEIP, False)
