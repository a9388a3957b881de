"""Register blocks that firmware configures but whose work is not modelled: they keep what is written.

KPU, FFT, I2S and AES appear here so that configuring them is harmless; what they would compute never comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.k210.bus import Device, log

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

BLOCKS = (
    ("kpu", 0x4080_0000, 0x1_0000),
    ("fft", 0x4200_0000, 0x40_0000),
    ("spi2", 0x5024_0000, 0x1_0000),
    ("i2s0", 0x5025_0000, 0x1000),
    ("i2s1", 0x5026_0000, 0x1000),
    ("i2s2", 0x5027_0000, 0x1000),
    ("aes", 0x5045_0000, 0x1000),
)
"""Name, base and size (Kendryte SDK platform.h)."""


class Storage(Device):
    """Keeps every register; says once that nothing will come of it."""

    def __init__(self, soc: Soc, name: str, base: int, size: int) -> None:
        self.SIZE = size
        super().__init__(soc, name, base)

    def read(self, offset: int) -> int:
        self.soc.polled()  # who waits for a result here waits for ever, and need not be executed in full
        return self.regs.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if not self.warned:
            self.warned.add(0)
            log.warning("%s (%#x) is not modelled: its registers only remember", self.name, self.base)
        self.regs[offset] = value
