"""BMP as MaixPy reads it (MaixPy-v1 `bmp.c`), header field by field.

Masks and palette are not looked at; where the file ends too early, the last byte read stands for all that follow.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from PIL import Image as Pil

from virtualboard.hosted.errors import DeviceOSError
from virtualboard.hosted.pixels import to_rgb565

GREYSCALE, RGB565 = 4, 2


@dataclass
class Bmp:
    """A BMP that the reader goes on with."""

    width: int
    height: int
    bpp: int
    depth: int
    offset: int
    row_bytes: int
    top_down: bool
    mirrored: bool
    """A negative width: each row is read from right to left."""

    @property
    def fast(self) -> bool:
        """8-bit top-down with full words is read in one go."""
        return self.depth == 8 and self.top_down and self.width % 4 == 0 and not self.mirrored


def bmp_header(data: bytes) -> Bmp:
    """Read a BMP's header; ValueError or OSError with the firmware's texts for what it refuses."""
    head = data[:70].ljust(70, b"\0")
    file_size, offset = struct.unpack_from("<I4xI", head, 2)
    if file_size <= offset:
        raise ValueError("file_corrupted_raise!")
    width, height, depth, compression = struct.unpack_from("<ii2xHI", head, 18)
    top_down, mirrored = height < 0, width < 0
    width, height = abs(width), abs(height)
    if width == 0 or height == 0:
        raise ValueError("file_corrupted_raise!")
    if depth not in (8, 16, 24) or compression not in (0, 3):
        raise DeviceOSError("Unsupported format!")
    if (depth == 8 and compression != 0) or (depth == 16 and compression != 3):
        raise DeviceOSError("Unsupported format!")
    row_bytes = (width * depth + 31) // 32 * 4
    if row_bytes * height > file_size - offset:
        raise ValueError("file_corrupted_raise!")
    return Bmp(width, height, GREYSCALE if depth == 8 else RGB565, depth, offset, row_bytes, top_down, mirrored)


def bmp_pixels(header: Bmp, data: bytes) -> bytearray:
    """The pixels, top row first."""
    rows = [_row(header, piece) for piece in _rows(header, data)]
    if not header.top_down:
        rows.reverse()
    if header.depth == 8:
        return bytearray(b"".join(rows))
    if header.depth == 16:
        packed = b"".join(rows)
        out = bytearray(len(packed))
        out[0::2], out[1::2] = packed[1::2], packed[0::2]
        return out
    return to_rgb565(Pil.frombytes("RGB", (header.width, header.height), b"".join(rows), "raw", "BGR").point(_ROUNDED))


_ROUNDED = [
    *(round(value * 31 / 255) << 3 for value in range(256)),
    *(round(value * 63 / 255) << 2 for value in range(256)),
    *(round(value * 31 / 255) << 3 for value in range(256)),
]
"""Bits of red, green and blue: here they are rounded (the tables of `IM_RGB565`), in a JPEG they are cut."""


def _rows(header: Bmp, data: bytes) -> list[bytes]:
    """The file's rows in its order, each with its padding; what the file lacks is made up as the reader does."""
    size = header.row_bytes
    body = data[header.offset : header.offset + size * header.height]
    whole = len(body) // size
    rows = [body[y * size : (y + 1) * size] for y in range(whole)]
    unit = header.depth // 8
    last = bytes(unit) if header.fast or not whole else rows[-1][size // unit * unit - unit : size // unit * unit]
    for y in range(whole, header.height):
        row, last = _made_up(body[y * size : (y + 1) * size], size, last)
        rows.append(body[y * size : (y + 1) * size].ljust(size, b"\0") if header.fast else row)
    return rows


def _made_up(piece: bytes, size: int, last: bytes) -> tuple[bytes, bytes]:
    """A row of which only `piece` is there, and its last pixel; `last` is the pixel before.

    What cannot be read leaves the reader's variables as they were, and the one of 16 bits was swapped after each use.
    """
    unit = len(last)
    out = bytearray()
    for at in range(0, size // unit * unit, unit):
        there = piece[at : at + unit]
        if len(there) < unit:
            kept = last[::-1] if unit == 2 else last
            there += kept[len(there) :]
        last = there
        out += there
    return bytes(out.ljust(size, b"\0")), last


def _row(header: Bmp, piece: bytes) -> bytes:
    """The pixels of a row, without its padding."""
    unit = header.depth // 8
    row = piece[: unit * header.width]
    if header.mirrored:
        row = b"".join(row[at : at + unit] for at in range(len(row) - unit, -1, -unit))
    return row
