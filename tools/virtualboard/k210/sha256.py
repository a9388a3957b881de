"""SHA256: the hash block, fed by the CPU word by word. Registers: Kendryte SDK sha256.h; use: sha256.c.

Firmware pads the message itself; the block compresses 64-byte blocks (FIPS 180-4) until sha_data_cnt of them are in.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from virtualboard.k210.bus import Device

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

_RESULT, _DATA_IN, _NUM, _FUNCTION0, _FUNCTION1 = 0x00, 0x20, 0x28, 0x2C, 0x34
_MASK = 0xFFFF_FFFF


def _roots(power: float, count: int) -> list[int]:
    """First 32 bits of the fractional parts of the square or cube roots of the first primes, exactly."""
    primes = [n for n in range(2, 312) if all(n % d for d in range(2, n))][:count]
    out = []
    for prime in primes:
        degree = 2 if power == 0.5 else 3
        target = prime << (32 * degree)
        low, high = 0, 1 << 40
        while low < high:
            middle = (low + high + 1) // 2
            if middle**degree <= target:
                low = middle
            else:
                high = middle - 1
        out.append(low & _MASK)
    return out


_H0 = _roots(0.5, 8)
_K = _roots(1 / 3, 64)


def compress(state: list[int], block: bytes) -> list[int]:
    """The SHA-256 compression function on one block of 64 bytes."""
    w = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        x, y = w[i - 15], w[i - 2]
        s0 = ((x >> 7 | x << 25) ^ (x >> 18 | x << 14) ^ (x >> 3)) & _MASK
        s1 = ((y >> 17 | y << 15) ^ (y >> 19 | y << 13) ^ (y >> 10)) & _MASK
        w.append((w[i - 16] + s0 + w[i - 7] + s1) & _MASK)
    a, b, c, d, e, f, g, h = state
    for k, x in zip(_K, w, strict=True):
        s1 = ((e >> 6 | e << 26) ^ (e >> 11 | e << 21) ^ (e >> 25 | e << 7)) & _MASK
        t1 = h + s1 + (e & f ^ ~e & g) + k + x
        s0 = ((a >> 2 | a << 30) ^ (a >> 13 | a << 19) ^ (a >> 22 | a << 10)) & _MASK
        t2 = s0 + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (t1 + t2) & _MASK, a, b, c, (d + t1) & _MASK, e, f, g
    return [(x + y) & _MASK for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


class Sha256(Device):
    NAME = "sha256"
    BASE = 0x502C_0000
    NAMES = {_RESULT + 4 * n: f"sha_result[{n}]" for n in range(8)} | {
        0x20: "sha_data_in1", 0x24: "reserved0", 0x28: "sha_num_reg", 0x2C: "sha_function_reg_0",
        0x30: "reserved1", 0x34: "sha_function_reg_1",
    }  # fmt: skip

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self.hash = list(_H0)
        self.words: list[int] = []
        self.blocks = 0
        self.writes = {_DATA_IN: self._data, _FUNCTION0: self._function0}
        self.reads = {_FUNCTION0: self._finished, _FUNCTION1: lambda: self.regs.get(_FUNCTION1, 0) & ~0x100}
        for n in range(8):
            # Result words are stored last first (sha256_final reads them backwards), bytes in message order.
            self.reads[_RESULT + 4 * n] = lambda n=n: int.from_bytes(self.hash[7 - n].to_bytes(4, "big"), "little")

    def reset(self) -> None:
        super().reset()
        self.hash, self.words, self.blocks = list(_H0), [], 0

    def state(self) -> dict[str, object]:
        return {"regs": dict(self.regs), "hash": list(self.hash), "words": list(self.words), "blocks": self.blocks}

    def _function0(self, value: int) -> None:
        if value & 1:
            self.hash, self.words, self.blocks = list(_H0), [], 0
        self.regs[_FUNCTION0] = value

    def _data(self, word: int) -> None:
        self.words.append(word)
        if len(self.words) == 16:
            self.hash = compress(self.hash, struct.pack("<16I", *self.words))
            self.words.clear()
            self.blocks += 1

    def _finished(self) -> int:
        done = self.blocks >= max(1, self.regs.get(_NUM, 0) & 0xFFFF)
        return self.regs.get(_FUNCTION0, 0) & ~1 | done
