"""What MaixPy's picture readers accept, and what they make of it.

BMP follows `bmp.c` header field by field; JPEG headers are judged as `picojpeg.c` judges them and the pixels are then
decoded by Pillow (another inverse DCT: single pixels can differ by a few steps of 5 or 6 bits from the board's).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from PIL import Image as Pil
from PIL import ImageFile

from virtualboard.hosted.errors import DeviceOSError
from virtualboard.hosted.pixels import to_rgb565

GREYSCALE, RGB565 = 4, 2

PJPG_BAD_PRECISION, PJPG_BAD_HEIGHT, PJPG_BAD_WIDTH = 7, 8, 9
PJPG_TOO_MANY_COMPONENTS, PJPG_BAD_SOF_LENGTH = 10, 11
PJPG_NO_ARITHMETIC, PJPG_UNEXPECTED_MARKER, PJPG_NOT_JPEG = 17, 18, 19
PJPG_UNSUPPORTED_COLORSPACE, PJPG_UNSUPPORTED_SAMP_FACTORS, PJPG_UNSUPPORTED_MODE = 26, 27, 37
_MAX_SIDE = 16384


class BadHeader(Exception):
    """picojpeg's init failed with a status number."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Header:
    """Size and format of a picture, known before memory is asked for."""

    width: int
    height: int
    bpp: int


# -- BMP --------------------------------------------------------------------------------------------------


@dataclass
class Bmp(Header):
    """A BMP that the reader goes on with."""

    depth: int
    offset: int
    row_bytes: int
    top_down: bool

    @property
    def fast(self) -> bool:
        """8-bit top-down with full words is read in one go."""
        return self.depth == 8 and self.top_down and self.width % 4 == 0


def bmp_header(data: bytes) -> Bmp:
    """Read a BMP's header; ValueError or OSError with the firmware's texts for what it refuses."""
    head = data[:70].ljust(70, b"\0")
    file_size, offset = struct.unpack_from("<I4xI", head, 2)
    if file_size <= offset:
        raise ValueError("file_corrupted_raise!")
    width, height, depth, compression = struct.unpack_from("<ii2xHI", head, 18)
    top_down = height < 0
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
    return Bmp(width, height, GREYSCALE if depth == 8 else RGB565, depth, offset, row_bytes, top_down)


def bmp_pixels(header: Bmp, data: bytes) -> bytearray:
    """The pixels, top row first; what the file lacks stays zero."""
    body = data[header.offset :].ljust(header.row_bytes * header.height, b"\0")
    rows = [body[y * header.row_bytes : (y + 1) * header.row_bytes] for y in range(header.height)]
    if not header.top_down:
        rows.reverse()
    if header.depth == 8:
        return bytearray(b"".join(row[: header.width] for row in rows))
    if header.depth == 16:
        packed = b"".join(row[: 2 * header.width] for row in rows)
        out = bytearray(len(packed))
        out[0::2], out[1::2] = packed[1::2], packed[0::2]
        return out
    packed = b"".join(row[: 3 * header.width] for row in rows)
    return to_rgb565(Pil.frombytes("RGB", (header.width, header.height), packed, "raw", "BGR"))


# -- JPEG -------------------------------------------------------------------------------------------------


def jpeg_header(data: bytes) -> Header:
    """Read a JPEG's markers up to the scan; BadHeader with picojpeg's status for what it refuses."""
    if data[:2] != b"\xff\xd8":
        raise BadHeader(PJPG_NOT_JPEG)
    position = 2
    found: Header | None = None
    while True:
        while position < len(data) and data[position] != 0xFF:
            position += 1
        while position < len(data) and data[position] == 0xFF:
            position += 1
        if position + 2 >= len(data):
            raise BadHeader(PJPG_NOT_JPEG)
        marker = data[position]
        position += 1
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            continue
        if marker == 0xD9:
            raise BadHeader(PJPG_NOT_JPEG)
        length = int.from_bytes(data[position : position + 2], "big")
        body = data[position + 2 : position + length]
        if marker == 0xC0:
            found = _sof(body)
        elif 0xC1 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            raise BadHeader(PJPG_UNSUPPORTED_MODE)
        elif marker in (0xC8, 0xCC):
            raise BadHeader(PJPG_NO_ARITHMETIC)
        elif marker == 0xDA:
            if found is None:
                raise BadHeader(PJPG_UNEXPECTED_MARKER)
            return found
        position += length


def _sof(body: bytes) -> Header:
    if len(body) < 6:
        raise BadHeader(PJPG_BAD_SOF_LENGTH)
    precision, height, width, count = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise BadHeader(PJPG_BAD_PRECISION)
    if not 0 < height <= _MAX_SIDE:
        raise BadHeader(PJPG_BAD_HEIGHT)
    if not 0 < width <= _MAX_SIDE:
        raise BadHeader(PJPG_BAD_WIDTH)
    if count not in (1, 3) or len(body) < 6 + 3 * count:
        raise BadHeader(PJPG_UNSUPPORTED_COLORSPACE)
    factors = [body[7 + 3 * i] for i in range(count)]
    if count == 1:
        if factors[0] != 0x11:
            raise BadHeader(PJPG_UNSUPPORTED_SAMP_FACTORS)
        return Header(width, height, GREYSCALE)
    if factors[1:] != [0x11, 0x11] or factors[0] not in (0x11, 0x21, 0x12, 0x22):
        raise BadHeader(PJPG_UNSUPPORTED_SAMP_FACTORS)
    return Header(width, height, RGB565)


def jpeg_pixels(header: Header, data: bytes) -> bytearray:
    """The pixels; a file that ends early leaves the rest grey. OSError(1) for garbage in the middle."""
    mode = "L" if header.bpp == GREYSCALE else "RGB"
    parser = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        with Pil.open(io.BytesIO(data)) as picture:
            picture.load()
            decoded = picture.convert(mode)
    except (OSError, SyntaxError, ValueError):
        raise DeviceOSError(1) from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = parser
    if header.bpp == GREYSCALE:
        return bytearray(decoded.tobytes())
    return to_rgb565(decoded)
