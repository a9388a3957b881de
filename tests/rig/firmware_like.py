"""Made-up firmware files that look like MaixPy builds to anything that recognises them."""

from __future__ import annotations

import random
import struct


def maixpy_like(size: int = 96 * 1024, seed: int = 1, version: str = "v0.6.2-44-gd9dc6c58c") -> bytes:
    """A program with the start-up bytes, gp and version text of a MaixPy build; .sdata begins 1024 before its end."""
    body = bytearray(random.Random(seed).randbytes(size))
    body[0:8] = b"\x21\xa8\xef\xbe\xad\xde\x01\x00"
    body[8:4104] = bytes(4096)
    gp = size - 1024 + 0x800
    at = 0xFC
    low = (gp - at) & 0xFFF
    high = (gp - at + (0x1000 if low >= 0x800 else 0)) & 0xFFFFF000
    struct.pack_into("<II", body, at, high | 0x197, (low << 20) | 0x18193)
    text = f"MicroPython {version} on 2021-03-30; Sipeed_M1 with kendryte-k210\r\n".encode()
    body[6000 : 6000 + len(text)] = text
    return bytes(body)
