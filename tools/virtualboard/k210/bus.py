"""The peripheral bus: devices at their addresses, 32-bit registers by name, a warning once for what is unknown."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from virtualboard.kept import put_back

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

_PAGE = 0x1000

log = logging.getLogger("virtualboard.k210")


class Device:
    """One register block.

    Subclasses name their registers in `NAMES` (offset -> name in the Kendryte SDK) and put the ones with a behaviour
    into `self.reads` and `self.writes`. All others simply keep what was written. `TIMED` devices see the exact instant
    of each access on the board's clock; the rest are cheaper. The first `SHADOW` bytes of a block are registers that
    read as they were written: cores load from memory, and only stores come here.
    """

    NAME = ""
    BASE = 0
    SIZE = 0x1000
    TIMED = False
    SHADOW = 0
    UNTIMED: frozenset[int] = frozenset()
    """Registers of a `TIMED` block whose access usually needs no instant; it calls `soc.sync` when it does."""
    KEPT: tuple[str, ...] = ()
    """Attributes beyond the registers that `state` takes along."""
    NAMES: dict[int, str] = {}  # noqa: RUF012 - a constant table of the class

    def __init__(self, soc: Soc, name: str | None = None, base: int | None = None) -> None:
        self.soc = soc
        self.name = name or self.NAME
        self.base = self.BASE if base is None else base
        self.regs: dict[int, int] = {}
        self.reads: dict[int, Callable[[], int]] = {}
        self.writes: dict[int, Callable[[int], None]] = {}
        self.warned: set[int] = set()
        """What was told already, by offset."""
        self._page = ctypes.create_string_buffer(self.SHADOW + _PAGE if self.SHADOW else 1)
        self.shadow = -(-ctypes.addressof(self._page) // _PAGE) * _PAGE
        """Host address of the memory that cores load from."""

    def reset(self) -> None:
        """What a reset of the chip leaves in the block."""
        self.regs.clear()

    def publish(self) -> None:
        """Make the memory of a `SHADOW` block agree with the registers, after a change that no store made."""
        ctypes.memset(self.shadow, 0, self.SHADOW)
        for offset, value in self.regs.items():
            ctypes.c_uint32.from_address(self.shadow + offset).value = value

    def read(self, offset: int) -> int:
        """The 32-bit register at `offset`."""
        action = self.reads.get(offset)
        if action is not None:
            return action()
        if offset not in self.NAMES:
            self.unknown(offset, "read")
        return self.regs.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """A 32-bit store to `offset`."""
        action = self.writes.get(offset)
        if action is not None:
            action(value)
            return
        if offset not in self.NAMES:
            self.unknown(offset, f"written with {value:#x}")
        self.regs[offset] = value

    def state(self) -> dict[str, object]:
        """Plain data from which `restore` makes the block what it is now."""
        return {"regs": dict(self.regs)} | {name: getattr(self, name) for name in self.KEPT}

    @property
    def busy(self) -> bool:
        """True while a transfer is under way, of which `state` would not tell."""
        return False

    def restore(self, state: dict[str, object]) -> None:
        """Inverse of `state`."""
        put_back(self, state)

    def unknown(self, offset: int, what: str) -> None:
        """Say once that firmware wants a register at `offset` that nothing models; `what` tells what it did."""
        if offset not in self.warned:
            self.warned.add(offset)
            log.warning("%s has no register at %#x (address %#x): %s", self.name, offset, self.base + offset, what)
