"""Bytes and times as people write them: 64M, 2G, 12h, 7d."""

from __future__ import annotations

import re

from maixpix.errors import UserError

BYTES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


def parse_bytes(text: str) -> int:
    """Bytes of `64M`, `2G`, `1.5G` or `4096`: powers of 1024, in either case. Raises `UserError`."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if not match:
        raise UserError(f"{text!r} is no number of bytes", "write for example 64M or 2G")
    return int(float(match[1]) * BYTES[match[2].upper()])


def bytes_text(count: int) -> str:
    """The shortest text that `parse_bytes` reads as `count`."""
    for unit in "TGMK":
        if count and count % BYTES[unit] == 0:
            return f"{count // BYTES[unit]}{unit}"
    return str(count)


def parse_seconds(text: str) -> int:
    """Seconds of `90s`, `30m`, `12h` or `7d`. Raises `UserError`."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip(), re.ASCII)
    if not match:
        raise UserError(f"{text!r} is no time", "write for example 12h or 7d")
    return int(match[1]) * SECONDS[match[2]]


def seconds_text(count: int) -> str:
    """The shortest text that `parse_seconds` reads as `count`."""
    for unit in "dhm":
        if count and count % SECONDS[unit] == 0:
            return f"{count // SECONDS[unit]}{unit}"
    return f"{count}s"
