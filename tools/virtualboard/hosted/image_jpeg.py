"""JPEG as MaixPy's decoder reads it (MaixPy-v1 `picojpeg.c`, `picojpeg_util.c`): header, tables, scan, colours.

Not a JPEG decoder of ours: whatever that one refuses, overlooks or gets wrong is done here the same way, bit by bit, so
that a picture shows on the hosted board what it shows on the chip. What it keeps from picture to picture (its Huffman
tables, and which of them each component uses) is kept here too: a file that brings no usable table of its own is
decoded with the one of the picture before.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image as Pil
from PIL import ImageChops, __version__

from virtualboard.cache import PICTURES, kept
from virtualboard.hosted import image_scan, pixels
from virtualboard.hosted.image_scan import Block, Codes, Step, read_scan
from virtualboard.hosted.pixels import to_rgb565

BAD_PRECISION, BAD_HEIGHT, BAD_WIDTH, TOO_MANY_COMPONENTS, BAD_SOF_LENGTH = 7, 8, 9, 10, 11
BAD_SOS_LENGTH, BAD_SOS_COMP_ID = 14, 15
NO_ARITHMETIC, UNEXPECTED_MARKER, NOT_JPEG, UNSUPPORTED_MARKER = 17, 18, 19, 20
UNDEFINED_QUANT_TABLE, UNDEFINED_HUFF_TABLE = 23, 24
UNSUPPORTED_COLORSPACE, UNSUPPORTED_SAMP_FACTORS = 26, 27
UNSUPPORTED_QUANT_TABLE, UNSUPPORTED_MODE = 36, 37
"""Status numbers as the firmware prints them (`picojpeg.h`)."""

_MAX_SIDE = 16384
_MOST_KEPT = 320 * 240
"""Pixels of a picture that is decoded once and kept: 0.3 s of the host's time. A board shows the same ones again."""
_PICTURES_KEPT = 250
_MAX_CODES = (12, 12, 255, 255)  # of DC tables 0 and 1, AC tables 0 and 1
_FACTORS = {(1, 1), (2, 1), (1, 2), (2, 2)}

# What the inverse DCT leaves to the quantiser: scale factors in zigzag order, 7 bits behind the point.
_WINOGRAD = (
    128, 178, 178, 167, 246, 167, 151, 232, 232, 151, 128, 209, 219, 209, 128, 101,
    178, 197, 197, 178, 101, 69, 139, 167, 177, 167, 139, 69, 35, 96, 131, 151,
    151, 131, 96, 35, 49, 91, 118, 128, 118, 91, 49, 46, 81, 101, 101, 81,
    46, 42, 69, 79, 69, 42, 35, 54, 54, 35, 28, 37, 28, 19, 19, 10,
)  # fmt: skip


class Refused(Exception):
    """`pjpeg_decode_init` fails with this status: the firmware makes an image of 0x0 of it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Frame:
    """What a JPEG's header told, ready for its scan."""

    width: int
    height: int
    components: list[tuple[int, int, int, int]]
    """Of each: identifier, horizontal and vertical factor, quantiser."""
    data: bytes
    quantisers: list[list[int]]
    restart_interval: int = 0
    scan_at: int = 0
    """Where the scan's codes begin."""
    in_scan: list[int] = field(default_factory=list)

    @property
    def grey(self) -> bool:
        return len(self.components) == 1


class Decoder:
    """The decoder with its statics, which outlive a picture and a soft reset; a new one is what a reset leaves."""

    def __init__(self) -> None:
        self._values = [bytearray(16), bytearray(16), bytearray(256), bytearray(256)]
        self._codes = [Codes.cleared() for _ in range(4)]
        self._dc_of = [0, 0, 0]
        self._ac_of = [0, 0, 0]

    def read_header(self, data: bytes) -> Frame:
        """Everything up to the scan; raises `Refused`. `data` begins with FF D8."""
        reader = _Reader(data)
        reader.at = 2
        tables = _Tables()
        marker = self._markers(reader, tables)
        if marker == 0xC2:
            raise Refused(UNSUPPORTED_MODE)
        if marker == 0xC9:
            raise Refused(NO_ARITHMETIC)
        if marker != 0xC0:
            raise Refused(UNSUPPORTED_MARKER)
        frame = _read_frame(reader, tables)
        _check_factors(frame)
        marker = self._markers(reader, tables)
        if marker != 0xDA:
            raise Refused(UNEXPECTED_MARKER)
        self._read_scan_header(reader, frame)
        for i in frame.in_scan:
            # A table number that is too great for DC is looked up among those for AC, as the firmware does.
            if not (tables.huffman >> self._dc_of[i] & 1 and tables.huffman >> self._ac_of[i] + 2 & 1):
                raise Refused(UNDEFINED_HUFF_TABLE)
        for i in frame.in_scan:
            if frame.components[i][3] not in tables.quantised:
                raise Refused(UNDEFINED_QUANT_TABLE)
        frame.restart_interval = tables.restart_interval
        frame.scan_at = reader.at
        return frame

    def read_pixels(self, frame: Frame) -> bytearray:
        """The pixels: grey bytes or RGB565, high byte first. Raises `image_scan.BadScan`."""
        steps = [
            (self._codes[bool(dc)], self._codes[2 + bool(ac)], frame.quantisers[component[3]])
            for component, dc, ac in zip(frame.components, self._dc_of, self._ac_of, strict=False)
        ]
        if frame.width * frame.height > _MOST_KEPT:
            return _pixels(frame, steps)
        return bytearray(kept(_key(frame, steps), lambda: bytes(_pixels(frame, steps)), PICTURES, _PICTURES_KEPT))

    # -- header -------------------------------------------------------------------------------------------

    def _markers(self, reader: _Reader, tables: _Tables) -> int:
        """Read segments until one that their reader does not care for; returns its marker.

        The results of the segments' own readers are ignored: what they leave unread is skipped up to the next marker.
        """
        while True:
            marker = reader.marker()
            if marker == 0xC4:
                self._read_huffman(reader, tables)
            elif marker == 0xDB:
                _read_quantisers(reader, tables)
            elif marker == 0xDD:
                if reader.word() == 4:
                    tables.restart_interval = reader.word()
            elif marker == 0xCC:
                raise Refused(NO_ARITHMETIC)
            elif marker == 0xC8 or 0xD0 <= marker <= 0xD7 or marker == 0x01:
                raise Refused(UNEXPECTED_MARKER)
            elif 0xC0 <= marker <= 0xCF or marker in (0xD8, 0xD9, 0xDA):
                return marker
            else:
                length = reader.word()
                reader.at += max(0, length - 2)

    def _read_huffman(self, reader: _Reader, tables: _Tables) -> None:
        left = reader.word() - 2
        while left > 0:
            index = reader.byte()
            if index & 0xF > 1 or index & 0xF0 > 0x10:
                return
            number = index >> 3 & 2 | index & 1
            # Counts as there from here on, whatever follows.
            tables.huffman |= 1 << number
            counts = [reader.byte() for _ in range(16)]
            total = sum(counts)
            if total > _MAX_CODES[number]:
                return
            for i in range(total):
                self._values[number][i] = reader.byte()
            if left < 17 + total:
                # The values are new, the codes are not.
                self._codes[number] = self._codes[number].with_values(self._values[number])
                return
            left -= 17 + total
            self._codes[number] = Codes.of(counts, self._values[number])

    def _read_scan_header(self, reader: _Reader, frame: Frame) -> None:
        left = reader.word()
        count = reader.byte()
        if left != 2 * count + 6 or not 1 <= count <= 3:
            raise Refused(BAD_SOS_LENGTH)
        identifiers = [component[0] for component in frame.components]
        for _ in range(count):
            identifier, wanted = reader.byte(), reader.byte()
            if identifier not in identifiers:
                raise Refused(BAD_SOS_COMP_ID)
            i = identifiers.index(identifier)
            frame.in_scan.append(i)
            self._dc_of[i], self._ac_of[i] = wanted >> 4, wanted & 15
        reader.at += 3


def _pixels(frame: Frame, steps: list[Step]) -> bytearray:
    _, h, v, _ = frame.components[0]
    across, down = -(-frame.width // (8 * h)), -(-frame.height // (8 * v))
    order = [Block(0, x, y) for y in range(v) for x in range(h)]
    order += [Block(i, 0, 0) for i in range(1, len(frame.components))]
    widths = [8 * h * across] + [8 * across] * (len(frame.components) - 1)
    planes = [bytearray(width * 8 * (v if i == 0 else 1) * down) for i, width in enumerate(widths)]
    read_scan(frame.data, frame.scan_at, frame.restart_interval, (across, down), (h, v), order, steps, planes)
    if frame.grey:
        picture = Pil.frombytes("L", (widths[0], 8 * v * down), bytes(planes[0]))
        return bytearray(picture.crop((0, 0, frame.width, frame.height)).tobytes())
    return to_rgb565(_colours(planes, (widths[0], 8 * v * down), (across * 8, down * 8)).crop(
        (0, 0, frame.width, frame.height)
    ))  # fmt: skip


def _key(frame: Frame, steps: list[Step]) -> str:
    """What decides the pixels: the file, the tables it is read with, and the text of what reads it."""
    codes = [(c.least, c.greatest, c.first, c.values) for dc, ac, _ in steps for c in (dc, ac)]
    told = (frame.width, frame.height, frame.components, frame.restart_interval, frame.scan_at, codes)
    head = repr((told, [quantiser for _, _, quantiser in steps])).encode()
    return hashlib.sha256(_reader_digest() + hashlib.sha256(head).digest() + frame.data).hexdigest()


@functools.cache
def _reader_digest() -> bytes:
    digest = hashlib.sha256(__version__.encode())
    for path in (__file__, image_scan.__file__, pixels.__file__):
        digest.update(Path(path).read_bytes())
    return digest.digest()


class _Tables:
    """What the segments of one file brought."""

    def __init__(self) -> None:
        self.huffman = 0
        self.quantisers = [[0] * 64, [0] * 64]
        self.quantised: set[int] = set()
        self.restart_interval = 0


class _Reader:
    """Bytes of the file; behind its last one FF and D9 come for ever, as the firmware reads on."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        at = self.at
        self.at = at + 1
        if at < len(self.data):
            return self.data[at]
        return 0xD9 if (at - len(self.data)) % 2 else 0xFF

    def word(self) -> int:
        return self.byte() << 8 | self.byte()

    def marker(self) -> int:
        """The next FF xx, whatever lies before it; FF FF and FF 00 are none."""
        while True:
            while self.byte() != 0xFF:
                pass
            found = 0xFF
            while found == 0xFF:
                found = self.byte()
            if found:
                return found


def _read_quantisers(reader: _Reader, tables: _Tables) -> None:
    left = reader.word() - 2
    while left > 0:
        index = reader.byte()
        wide, number = index >> 4, index & 15
        if number > 1:
            return
        tables.quantised.add(number)
        values = [reader.word() if wide else reader.byte() for _ in range(64)]
        tables.quantisers[number][:] = [
            _signed((_signed(q) * w + 4) >> 3) for q, w in zip(values, _WINOGRAD, strict=True)
        ]
        length = 129 if wide else 65
        if left < length:
            return
        left -= length


def _read_frame(reader: _Reader, tables: _Tables) -> Frame:
    length = reader.word()
    if reader.byte() != 8:
        raise Refused(BAD_PRECISION)
    height = reader.word()
    if not 0 < height <= _MAX_SIDE:
        raise Refused(BAD_HEIGHT)
    width = reader.word()
    if not 0 < width <= _MAX_SIDE:
        raise Refused(BAD_WIDTH)
    count = reader.byte()
    if count > 3:
        raise Refused(TOO_MANY_COMPONENTS)
    if length != 3 * count + 8:
        raise Refused(BAD_SOF_LENGTH)
    components = []
    for _ in range(count):
        identifier, factors, quantiser = reader.byte(), reader.byte(), reader.byte()
        if quantiser > 1:
            raise Refused(UNSUPPORTED_QUANT_TABLE)
        components.append((identifier, factors >> 4, factors & 15, quantiser))
    return Frame(width, height, components, reader.data, tables.quantisers)


def _check_factors(frame: Frame) -> None:
    factors = [component[1:3] for component in frame.components]
    if len(factors) not in (1, 3):
        raise Refused(UNSUPPORTED_COLORSPACE)
    if factors[0] not in (_FACTORS if len(factors) == 3 else {(1, 1)}) or factors[1:] not in ([], [(1, 1)] * 2):
        raise Refused(UNSUPPORTED_SAMP_FACTORS)


def _signed(value: int) -> int:
    """As a C `int16_t`."""
    return ((value + 0x8000) & 0xFFFF) - 0x8000


# -- colours ----------------------------------------------------------------------------------------------


def _split(shift: list[int]) -> tuple[list[int], list[int]]:
    """What is to be added and what to be taken away, for each value of a chroma byte."""
    return [max(0, value) for value in shift], [max(0, -value) for value in shift]


_CR_RED = _split([c + (c * 103 >> 8) - 179 for c in range(256)])
_CR_GREEN = _split([91 - (c * 183 >> 8) for c in range(256)])
_CB_GREEN = _split([44 - (c * 88 >> 8) for c in range(256)])
_CB_BLUE = _split([c + (c * 198 >> 8) - 227 for c in range(256)])


def _colours(planes: list[bytearray], size: tuple[int, int], chroma_size: tuple[int, int]) -> Pil.Image:
    """RGB from Y, Cb and Cr: each chroma sample is repeated, each sum is cut to a byte at once."""
    y = Pil.frombytes("L", size, bytes(planes[0]))
    cb, cr = (
        Pil.frombytes("L", chroma_size, bytes(plane)).resize(size, Pil.Resampling.NEAREST) for plane in planes[1:]
    )

    def shifted(band: Pil.Image, chroma: Pil.Image, amounts: tuple[list[int], list[int]]) -> Pil.Image:
        more, less = amounts
        return ImageChops.subtract(ImageChops.add(band, chroma.point(more)), chroma.point(less))

    red = shifted(y, cr, _CR_RED)
    green = shifted(shifted(y, cb, _CB_GREEN), cr, _CR_GREEN)
    blue = shifted(y, cb, _CB_BLUE)
    return Pil.merge("RGB", (red, green, blue))
