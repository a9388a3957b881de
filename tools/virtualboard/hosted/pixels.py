"""RGB565 as MaixPy keeps it: high byte first, eight bits cut (not rounded) to five or six."""

from __future__ import annotations

from typing import Any

from PIL import Image as Pil

_HIGH_RED = bytes(value & 0xF8 for value in range(256))
_HIGH_GREEN = bytes(value >> 5 for value in range(256))
_LOW_GREEN = bytes((value & 0x1C) << 3 for value in range(256))
_LOW_BLUE = bytes(value >> 3 for value in range(256))
_EXPAND_RED = bytes(value & 0xF8 | value >> 5 for value in range(256))


def _merge(a: bytes, b: bytes) -> bytes:
    """Byte-wise OR."""
    return (int.from_bytes(a, "little") | int.from_bytes(b, "little")).to_bytes(len(a), "little")


def to_rgb565(picture: Pil.Image) -> bytearray:
    """Pixels of an RGB picture, two bytes each, high byte first."""
    red, green, blue = (band.tobytes() for band in picture.convert("RGB").split())
    out = bytearray(2 * len(red))
    if red:
        out[0::2] = _merge(red.translate(_HIGH_RED), green.translate(_HIGH_GREEN))
        out[1::2] = _merge(green.translate(_LOW_GREEN), blue.translate(_LOW_BLUE))
    return out


_G_FROM_HIGH = bytes((value & 7) << 5 | (value & 7) >> 1 for value in range(256))
_G_FROM_LOW = bytes((value >> 5) << 2 for value in range(256))
_B_FROM_LOW = bytes((value & 31) << 3 | (value & 31) >> 2 for value in range(256))


def from_rgb565(data: bytes | bytearray | memoryview, size: tuple[int, int]) -> Pil.Image:
    """An RGB picture from RGB565 bytes, by repeating the high bits."""
    raw = bytes(data)
    high, low = raw[0::2], raw[1::2]
    bands = (
        high.translate(_EXPAND_RED),
        _merge(high.translate(_G_FROM_HIGH), low.translate(_G_FROM_LOW)),
        low.translate(_B_FROM_LOW),
    )
    return Pil.merge("RGB", [Pil.frombytes("L", size, band) for band in bands])


_GREY_HIGH = bytes(value & 0xF8 | value >> 5 for value in range(256))
_GREY_LOW = bytes((value & 0x1C) << 3 | value >> 3 for value in range(256))


def grey_to_rgb565(data: bytes | bytearray) -> bytearray:
    """What the LCD driver makes of 8-bit grey."""
    raw = bytes(data)
    out = bytearray(2 * len(raw))
    if raw:
        out[0::2] = raw.translate(_GREY_HIGH)
        out[1::2] = raw.translate(_GREY_LOW)
    return out


def swapped(red: int, green: int, blue: int) -> int:
    """A colour as MaixPy's integers have it: RGB565 with its two bytes swapped (RED is 0x00F8)."""
    value = (red & 0xF8) << 8 | (green & 0xFC) << 3 | blue >> 3
    return value >> 8 | (value & 0xFF) << 8


def colour_bytes(colour: Any) -> bytes:
    """Two bytes, as they go to the panel, of a MaixPy colour: (r, g, b) or a swapped integer."""
    if isinstance(colour, int):
        return (colour & 0xFFFF).to_bytes(2, "little")
    red, green, blue = (max(0, min(255, int(part))) for part in colour)
    # Rounded by tables (rb825_table, g826_table of imlib.h; the same for all levels on v0.6.2), where pictures are cut.
    value = (red * 31 + 127) // 255 << 11 | (green * 63 + 127) // 255 << 5 | (blue * 31 + 127) // 255
    return value.to_bytes(2, "big")


def colour_rgb(colour: Any) -> tuple[int, int, int]:
    """(r, g, b) that a MaixPy colour shows as."""
    high, low = colour_bytes(colour)
    value = high << 8 | low
    red, green, blue = value >> 11, value >> 5 & 63, value & 31
    return red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2
