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
    return to_rgb565(Pil.frombytes("RGB", (header.width, header.height), b"".join(rows), "raw", "BGR"))


def _rows(header: Bmp, data: bytes) -> list[bytes]:
    """The file's rows in its order, each with its padding; what the file lacks is made up as the reader does."""
    wanted = header.row_bytes * header.height
    body = data[header.offset : header.offset + wanted]
    if len(body) < wanted:
        # Nothing is read into the variables of the reader, which hold the last pixel; in one go the memory stays.
        unit = header.depth // 8
        whole = len(body) // unit * unit
        last = bytes(unit) if header.fast else body[whole - unit : whole] or bytes(unit)
        body = body[:whole] + last * ((wanted - whole) // unit + 1)
    return [body[y * header.row_bytes : (y + 1) * header.row_bytes] for y in range(header.height)]


def _row(header: Bmp, piece: bytes) -> bytes:
    """The pixels of a row, without its padding."""
    unit = header.depth // 8
    row = piece[: unit * header.width]
    if header.mirrored:
        row = b"".join(row[at : at + unit] for at in range(len(row) - unit, -1, -unit))
    return row
