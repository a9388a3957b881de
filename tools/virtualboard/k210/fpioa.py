"""FPIOA: which of the chip's functions each of the 48 pads carries. Layout and numbers: Kendryte SDK fpioa.h."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.k210.bus import Device
from virtualboard.pins import PADS, UARTHS_RX, UARTHS_TX

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

_PULL_UP = 1 << 16
_RESET_FUNCTIONS = {0: 0, 1: 1, 2: 2, 3: 3, 4: UARTHS_RX, 5: UARTHS_TX}


class Fpioa(Device):
    NAME = "fpioa"
    BASE = 0x502B_0000
    TIMED = True
    SHADOW = 0x1000
    NAMES = {4 * n: f"io[{n}]" for n in range(PADS)} | {
        0xC0 + 4 * n: f"tie.{name}[{n % 8}]" for name, first in (("en", 0), ("val", 8)) for n in range(first, first + 8)
    }

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self._pads: dict[int, int] = {}
        self._ranges: dict[int, list[tuple[int, int]]] = {}
        self.reset()

    def reset(self) -> None:
        self.regs.clear()
        for pad, function in _RESET_FUNCTIONS.items():
            self.regs[4 * pad] = function
        self.publish()
        self._index()

    def write(self, offset: int, value: int) -> None:
        before = self.regs.get(offset)
        super().write(offset, value)
        if value != before and offset < 4 * PADS:
            self._index()
            self.soc.pads_changed()

    def restore(self, state: dict[str, object]) -> None:
        super().restore(state)
        self.publish()
        self._index()

    def pad(self, function: int) -> int | None:
        """The pad that carries `function` (the lowest when several do), or None."""
        return self._pads.get(function)

    def pads_of(self, first: int, count: int) -> list[tuple[int, int]]:
        """(number, pad) of each of the `count` functions from `first` on that a pad carries; numbers begin with 0."""
        found = self._ranges.get(first)
        if found is None:
            numbered = ((number, self._pads.get(first + number)) for number in range(count))
            found = self._ranges[first] = [(number, pad) for number, pad in numbered if pad is not None]
        return found

    def pulled_up(self, pad: int) -> bool:
        """True when the pad's own pull-up resistor is on."""
        return bool(self.regs.get(4 * pad, 0) & _PULL_UP)

    def _index(self) -> None:
        self._pads = {}
        self._ranges.clear()
        for pad in range(PADS - 1, -1, -1):
            if 4 * pad in self.regs:
                self._pads[self.regs[4 * pad] & 0xFF] = pad
