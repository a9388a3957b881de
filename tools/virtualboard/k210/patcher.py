"""Replaces the few instructions that Unicorn cannot run as a K210 does.

Unicorn 2.1.4 answers `csrr rd, mcycle` with the host's time stamp counter, always reads `mhartid` as 0, keeps `mip`
out of reach, and shows nobody when firmware opens the interrupt enable in `mstatus`, leaves a trap handler (`mret`) or
waits in `wfi`. Each such instruction is four bytes, and so is a load or store relative to x0, which reaches two pages:
page 0 (RAM of the core's own) and the last page of the address space (calls into the engine). Only the copy in the
emulated SRAM is changed; the image in flash stays as it is.

Data that looks like such an instruction is changed, too: at two-byte steps the odds are below one in a hundred for a
MaixPy image, and none has shown it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PAGE0_MIP = 8
PAGE0_MHARTID = 16

TOP_PAGE = 0xFFFF_FFFF_FFFF_F000
TOP_CYCLE = 0x800
"""Offset in the top page where a 64-bit load reads the cycle counter; x0 - 2048 points here."""
TOP_WFI = 0x808
TOP_MRET = 0x80C
TOP_CSR = 0x810
"""First offset of the stores that stand for instructions which write `mstatus`."""
MAX_SITES = (0x1000 - TOP_CSR) // 4

_MSTATUS, _MIP, _MCYCLE, _CYCLE, _MHARTID = 0x300, 0x344, 0xB00, 0xC00, 0xF14
_SYSTEM = 0x73
_CSRRS = 2
_WFI = 0x10500073
_MRET = 0x30200073


@dataclass(frozen=True)
class CsrWrite:
    """An `mstatus` instruction with no destination: funct3 (1 write, 2 set, 3 clear; +4 immediate) and source."""

    funct3: int
    source: int


def load_double(rd: int, offset: int) -> int:
    """`ld rd, offset(x0)`."""
    return ((offset & 0xFFF) << 20) | (3 << 12) | (rd << 7) | 0x03


def store_word(offset: int) -> int:
    """`sw x0, offset(x0)`."""
    return ((offset & 0xFE0) << 20) | (2 << 12) | ((offset & 0x1F) << 7) | 0x23


def _is_system(word: int) -> bool:
    return word & 0x7F == _SYSTEM


class Patcher:
    """Patches code images and remembers what each numbered store stood for."""

    def __init__(self) -> None:
        self.sites: list[CsrWrite] = []
        self.counts: dict[str, int] = {}

    def patch(self, code: bytes | bytearray | memoryview) -> bytearray:
        """A copy of `code` with the instructions replaced. Instructions start at every second byte (RV64C)."""
        out = bytearray(code)
        position = 0
        find = out.find
        while True:
            # Every SYSTEM instruction has 0x73 or 0xF3 in its first byte.
            plain, high = find(b"\x73", position), find(b"\xf3", position)
            at = min(p for p in (plain, high, len(out)) if p >= 0)
            if at + 4 > len(out):
                return out
            position = at + 1
            if at & 1:
                continue
            word = struct.unpack_from("<I", out, at)[0]
            new = self._replacement(word)
            if new is not None:
                struct.pack_into("<I", out, at, new)
                position = at + 4

    def _replacement(self, word: int) -> int | None:
        if word == _WFI:
            return self._count("wfi", store_word(TOP_WFI - 0x1000))
        if word == _MRET:
            return self._count("mret", store_word(TOP_MRET - 0x1000))
        if not _is_system(word):
            return None
        csr, source, funct3, rd = word >> 20, word >> 15 & 31, word >> 12 & 7, word >> 7 & 31
        if funct3 == _CSRRS and source == 0:
            if csr in (_MCYCLE, _CYCLE):
                return self._count("mcycle", load_double(rd, TOP_CYCLE - 0x1000))
            if csr == _MIP:
                return self._count("mip", load_double(rd, PAGE0_MIP))
            if csr == _MHARTID:
                return self._count("mhartid", load_double(rd, PAGE0_MHARTID))
        if csr == _MSTATUS and rd == 0 and funct3 & 3:
            write = CsrWrite(funct3, source)
            if write not in self.sites:
                self.sites.append(write)
            return self._count("mstatus", store_word(TOP_CSR + 4 * self.sites.index(write) - 0x1000))
        return None

    def _count(self, name: str, new: int) -> int:
        self.counts[name] = self.counts.get(name, 0) + 1
        return new
