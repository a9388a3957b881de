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
            core, register = divmod(offset - _CONTEXT, _CONTEXT_STEP)
            if core < 2 and register == 4:
                return self._claim(core)
            if core < 2 and register == 0:
                return self.thresholds[core]
        elif offset >= _ENABLES:
            core, register = divmod(offset - _ENABLES, _ENABLES_STEP)
            if core < 2 and register < 4 * _WORDS:
                return self.enables[core] >> 8 * register & 0xFFFF_FFFF
        elif 0 <= offset - _PENDING < 4 * _WORDS:
            return (self.levels & ~self.in_service) >> 8 * (offset - _PENDING) & 0xFFFF_FFFF
        elif offset < 4 * SOURCES:
            return self.priorities[offset >> 2]
        self._unknown(offset, "read")
        return 0

    def write(self, offset: int, value: int) -> None:
        if offset >= _CONTEXT:
            core, register = divmod(offset - _CONTEXT, _CONTEXT_STEP)
            if core < 2 and register == 4:
                self.in_service &= ~(1 << (value & 127))
            elif core < 2 and register == 0:
                if self.thresholds[core] == value:
                    return  # handlers store it twice for each interrupt (SDK handle_irq_m_ext)
                self.thresholds[core] = value
            else:
                self._unknown(offset, f"written with {value:#x}")
        elif offset >= _ENABLES:
            core, register = divmod(offset - _ENABLES, _ENABLES_STEP)
            if core < 2 and register < 4 * _WORDS:
                shift = 8 * register
                self.enables[core] = self.enables[core] & ~(0xFFFF_FFFF << shift) | value << shift
            else:
                self._unknown(offset, f"written with {value:#x}")
        elif offset < 4 * SOURCES:
            self.priorities[offset >> 2] = value
        else:
            self._unknown(offset, f"written with {value:#x}")
        self._update()

    def _best(self, core: int, ready: int) -> int:
        best, priority = 0, self.thresholds[core]
        while ready:
            source = (ready & -ready).bit_length() - 1
            ready &= ready - 1
            if self.priorities[source] > priority:
                best, priority = source, self.priorities[source]
        return best

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
            if bool(source) is not bool(core.mip & MEIP):
                core.set_mip(MEIP, bool(source))
