"""A core's registers, read all at once: Unicorn copies its whole state in less time than it takes to ask for two.

`uc_context_save` is public, what its copy looks like is not: where each register lies is found by writing to it.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from unicorn import riscv_const as reg

_WORD = 8
_INTEGERS = 32
_FIRST_MARK = 0x1234_5678_0000
_QUIET, _MIE = 3 << 11, 1 << 3
"""mstatus in machine mode, and its interrupt enable."""


@dataclass(frozen=True)
class Layout:
    """Where in the copy x0 to x31, pc and mstatus are, in bytes."""

    integers: int
    pc: int
    status: int


class _Copy:
    """Memory that Unicorn copies the state of the engine `uc` into."""

    def __init__(self, library: Any, uc: Any) -> None:
        self._owner = uc.context_save()  # frees it when collected
        self.place = self._owner.context
        self.memory = memoryview((ctypes.c_char * self._owner.size).from_address(self.place.value)).cast("B")
        self.save, self.handle = library["uc_context_save"], uc._uch  # without a prototype, whose checks take time


def find(library: Any, uc: Any) -> Layout | None:
    """The layout of the copies of `uc`, an engine whose registers may be changed; None when they are not found."""
    copy = _Copy(library, uc)

    def words() -> list[int]:
        copy.save(copy.handle, copy.place)
        whole = len(copy.memory) // _WORD * _WORD
        return copy.memory[:whole].cast("Q").tolist()

    marks = [_FIRST_MARK + 16 * number for number in range(_INTEGERS + 1)]
    for number, mark in enumerate(marks[1:_INTEGERS], 1):
        uc.reg_write(reg.UC_RISCV_REG_X0 + number, mark)
    uc.reg_write(reg.UC_RISCV_REG_PC, marks[_INTEGERS])
    uc.reg_write(reg.UC_RISCV_REG_MSTATUS, _QUIET)
    before = words()
    uc.reg_write(reg.UC_RISCV_REG_MSTATUS, _QUIET | _MIE)
    status = [at for at, (old, new) in enumerate(zip(before, words(), strict=True)) if old ^ new == _MIE]
    if len(status) != 1 or any(before.count(mark) != 1 for mark in marks[1:]):
        return None
    first = before.index(marks[1]) - 1
    if before[first : first + _INTEGERS] != [0, *marks[1:_INTEGERS]]:
        return None
    return Layout(first * _WORD, before.index(marks[_INTEGERS]) * _WORD, status[0] * _WORD)


class Registers:
    """The registers of the engine `uc`, as they are when one of these methods is called."""

    def __init__(self, library: Any, uc: Any, layout: Layout) -> None:
        self._copy = copy = _Copy(library, uc)
        self._save, self._handle, self._place = copy.save, copy.handle, copy.place
        self._integers = copy.memory[layout.integers : layout.integers + _WORD * _INTEGERS]
        self._but_zero = self._integers[_WORD:]
        self._status = copy.memory[layout.status : layout.status + _WORD]
        self._pc = ctypes.c_uint64.from_buffer(copy.memory, layout.pc)

    def pc(self) -> int:
        """Address of the instruction that runs, or would run next."""
        self._save(self._handle, self._place)
        return self._pc.value

    def look(self) -> tuple[int, bytes]:
        """pc, and x0 to x31 as little-endian words."""
        self._save(self._handle, self._place)
        return self._pc.value, self._integers.tobytes()

    def state(self) -> bytes:
        """x1 to x31 and mstatus."""
        self._save(self._handle, self._place)
        return self._but_zero.tobytes() + self._status.tobytes()
