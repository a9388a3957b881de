"""The scan of a JPEG as MaixPy's decoder reads it: Huffman codes, restart markers, the inverse DCT in 16 bits.

Source: MaixPy-v1 `picojpeg.c`. Behind a marker, and behind the end of the file, it goes on with ones for ever, which
standard tables read as blocks without change: the rest of a file that was cut off is flat. Only a restart marker that
is not the expected one, and a run of zeros past the end of a block, are errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

DECODE_ERROR, BAD_RESTART_MARKER = 28, 29
_RESTART_SEARCH = 1536  # bytes that are looked through for a restart marker
_NONE = 0xFFFF
_PEEK = 8  # bits that are looked up at once

_ZIGZAG = (
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
)  # fmt: skip


class BadScan(Exception):
    """`pjpeg_decode_mcu` fails with this status: OSError(1) for the program."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Block(NamedTuple):
    """One block of a unit of the scan (an MCU): its component, its place in blocks within the unit."""

    component: int
    x: int
    y: int


@dataclass
class Codes:
    """A Huffman table as the firmware keeps it: for each length the least and greatest code and the first value."""

    least: list[int]
    greatest: list[int]
    first: list[int]
    values: bytes
    short: list[tuple[int, int] | None] = field(default_factory=list)
    """(value, bits) for what the next 8 bits begin with, None for longer codes."""

    def __post_init__(self) -> None:
        self.short = [self._find(bits, _PEEK, 1) for bits in range(1 << _PEEK)]

    @classmethod
    def cleared(cls) -> Codes:
        """The table of a board that has not seen a picture: all zero."""
        return cls([0] * 16, [0] * 16, [0] * 16, bytes(256))

    @classmethod
    def of(cls, counts: list[int], values: bytes | bytearray) -> Codes:
        """From the number of codes of each length and their values."""
        least, greatest, first = [0] * 16, [_NONE] * 16, [0] * 16
        code = at = 0
        for i, count in enumerate(counts):
            if count:
                least[i], greatest[i], first[i] = code, (code + count - 1) & 0xFFFF, at
                at = (at + count) & 0xFF
                code = (code + count) & 0xFFFF
            code = code << 1 & 0xFFFF
        return cls(least, greatest, first, bytes(values))

    def with_values(self, values: bytes | bytearray) -> Codes:
        """The same codes with other values."""
        return Codes(self.least, self.greatest, self.first, bytes(values))

    def long(self, bits: int) -> tuple[int, int]:
        """(value, bits) of a code of more than 8 bits, from the next 17; no code at all is a zero of 17 bits."""
        return self._find(bits >> 1, 16, _PEEK + 1) or (0, 17)

    def _find(self, bits: int, count: int, shortest: int) -> tuple[int, int] | None:
        for length in range(shortest, count + 1):
            code = bits >> count - length
            if code <= self.greatest[length - 1] != _NONE:
                at = (self.first[length - 1] + code - self.least[length - 1]) & 0xFF
                return (self.values[at] if at < len(self.values) else 0), length
        return None


Step = tuple[Codes, Codes, list[int]]
"""What a component is read with: DC codes, AC codes, quantiser."""


def read_scan(
    data: bytes,
    at: int,
    interval: int,
    units: tuple[int, int],
    factors: tuple[int, int],
    order: list[Block],
    steps: list[Step],
    planes: list[bytearray],
) -> None:
    """Decode the scan that begins at `at` into `planes`, one byte a sample; raises `BadScan`.

    `units` across and down, each of the blocks in `order`; `factors` of the first component; a restart marker comes
    after every `interval` units, 0 for none.
    """
    across, down = units
    strides = [8 * across * (factors[0] if i == 0 else 1) for i in range(len(planes))]
    heights = [8 * (factors[1] if i == 0 else 1) for i in range(len(planes))]
    widths = [8 * (factors[0] if i == 0 else 1) for i in range(len(planes))]
    bits = _Bits(data, at)
    dc = [0] * len(planes)
    left, restart = interval, 0
    block = [0] * 64
    for unit in range(across * down):
        if interval:
            if left == 0:
                bits.restart(restart)
                restart = (restart + 1) & 7
                dc = [0] * len(planes)
                left = interval
            left -= 1
        row, column = divmod(unit, across)
        for component, x, y in order:
            dc[component] = bits.read_block(block, dc[component], steps[component])
            stride = strides[component]
            corner = (row * heights[component] + 8 * y) * stride + column * widths[component] + 8 * x
            _place(block, planes[component], corner, stride)


class _Bits:
    """The codes of a scan, one restart interval after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._begin(at)

    def _begin(self, at: int) -> None:
        self._start = at
        self._stop = _next_marker(self._data, at)
        self._bytes = self._data[at : self._stop].replace(b"\xff\x00", b"\xff")
        self._taken = 0  # bytes that are in the accumulator or were
        self._held = 0
        self._count = 0  # bits in it

    def _refill(self) -> None:
        piece = self._bytes[self._taken : self._taken + 6].ljust(6, b"\xff")
        self._taken += 6
        self._held = (self._held & (1 << self._count) - 1) << 48 | int.from_bytes(piece, "big")
        self._count += 48

    def restart(self, expected: int) -> None:
        """Go on behind the next restart marker; raises `BadScan` when it is not RST `expected`."""
        used = 8 * self._taken - self._count
        at = self._position(1 + (used + 7) // 8)  # the decoder is a byte ahead
        data, size = self._data, len(self._data)
        left = _RESTART_SEARCH
        while left and (at >= size or data[at] != 0xFF):
            if at >= size:
                raise BadScan(BAD_RESTART_MARKER)  # the end reads as FF D9
            at += 1
            left -= 1
        while left and at < size and data[at] == 0xFF:
            at += 1
            left -= 1
        if not left or at >= size or data[at] != 0xD0 + expected:
            raise BadScan(BAD_RESTART_MARKER)
        self._begin(at + 1)

    def _position(self, taken: int) -> int:
        """Where in the file the decoder stands that took `taken` bytes of this interval."""
        if taken >= len(self._bytes):
            return self._stop
        stuffed = self._bytes.count(b"\xff", 0, taken)
        return self._start + taken + stuffed

    def read_block(self, block: list[int], before: int, step: Step) -> int:
        """Read one block's coefficients, dequantised, into `block`; returns its DC value. `before`: the last one's."""
        dc_codes, ac_codes, quantiser = step
        if self._count < 40:
            self._refill()
        held, count = self._held, self._count
        value, length = dc_codes.short[held >> count - 8 & 0xFF] or dc_codes.long(held >> count - 17 & 0x1FFFF)
        count -= length
        extra = value & 15
        count -= extra
        dc = (before + _extend(held >> count & (1 << extra) - 1, value) + 0x8000 & 0xFFFF) - 0x8000
        block[:] = _ZEROS
        block[0] = ((dc & 0xFFFF) * quantiser[0] + 0x8000 & 0xFFFF) - 0x8000
        short, zigzag = ac_codes.short, _ZIGZAG
        k = 1
        while k < 64:
            if count < 40:
                self._count = count
                self._refill()
                held, count = self._held, self._count
            value, length = short[held >> count - 8 & 0xFF] or ac_codes.long(held >> count - 17 & 0x1FFFF)
            count -= length
            run, size = value >> 4, value & 15
            if size:
                count -= size
                k += run
                if k > 63:
                    raise BadScan(DECODE_ERROR)
                number = held >> count & (1 << size) - 1
                if number < 1 << size - 1:
                    number -= (1 << size) - 1
                block[zigzag[k]] = (number * quantiser[k] + 0x8000 & 0xFFFF) - 0x8000
                k += 1
            elif run == 15:
                k += 16
                if k > 64:
                    raise BadScan(DECODE_ERROR)
            else:
                break
        self._count = count
        return dc


_ZEROS = [0] * 64


def _extend(number: int, size: int) -> int:
    """The signed number that `size` bits mean; sizes over 15 are no size."""
    if 0 < size < 16 and number < 1 << size - 1:
        return number - (1 << size) + 1
    return number


def _next_marker(data: bytes, at: int) -> int:
    """Where the codes from `at` end: at the first FF that no 00 follows, or at the end of the file."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            return len(data)
        if data[at + 1 : at + 2] != b"\0":
            return at
        at += 2


def _place(block: list[int], plane: bytearray, corner: int, stride: int) -> None:
    """Transform `block` and put its 8x8 samples into the plane."""
    if not any(block[1:]):
        sample = min(255, max(0, (block[0] + 64 >> 7) + 128))
        row = bytes((sample,)) * 8
        for at in range(corner, corner + 8 * stride, stride):
            plane[at : at + 8] = row
        return
    samples = inverse_dct(block)
    for i in range(8):
        at = corner + i * stride
        plane[at : at + 8] = samples[8 * i : 8 * i + 8]


def inverse_dct(block: list[int]) -> bytes:
    """64 samples from coefficients scaled by Winograd's factors; every variable of the firmware has 16 bits.

    Sums of 16 bits may be cut late, because a later cut gives the same; before a shift they are cut.
    """
    work = [0] * 64
    for i in range(0, 64, 8):
        c0, c1, c2, c3, c4, c5, c6, c7 = block[i : i + 8]
        if not (c1 | c2 | c3 | c4 | c5 | c6 | c7):
            work[i : i + 8] = (c0,) * 8
            continue
        work[i : i + 8] = [(value + 0x8000 & 0xFFFF) - 0x8000 for value in _pass(c0, c1, c2, c3, c4, c5, c6, c7)]
    out = bytearray(64)
    for i in range(8):
        c0, c1, c2, c3, c4, c5, c6, c7 = work[i::8]
        if not (c1 | c2 | c3 | c4 | c5 | c6 | c7):
            sample = (c0 + 64 >> 7) + 128
            out[i::8] = bytes((0 if sample < 0 else 255 if sample > 255 else sample,)) * 8
            continue
        out[i::8] = bytes([_CLAMP[value + 64 >> 7] for value in _pass(c0, c1, c2, c3, c4, c5, c6, c7)])
    return bytes(out)


def _pass(
    c0: int, c1: int, c2: int, c3: int, c4: int, c5: int, c6: int, c7: int
) -> tuple[int, int, int, int, int, int, int, int]:
    """One row or column."""
    x4 = (c5 - c3 + 0x8000 & 0xFFFF) - 0x8000
    x6 = (c1 - c7 + 0x8000 & 0xFFFF) - 0x8000
    x5, x7 = c1 + c7, c5 + c3
    turned = ((x4 - x6 + 0x8000 & 0xFFFF) - 0x8000) * 196 + 128 >> 8
    x17 = (x5 + x7 + 0x8000 & 0xFFFF) - 0x8000
    t2 = ((x6 * 277 + 128 >> 8) - turned - x17 + 0x8000 & 0xFFFF) - 0x8000
    t3 = ((((x5 - x7 + 0x8000 & 0xFFFF) - 0x8000) * 362 + 128 >> 8) - t2 + 0x8000 & 0xFFFF) - 0x8000
    x44 = (t3 + turned - (x4 * 669 + 128 >> 8) + 0x8000 & 0xFFFF) - 0x8000
    x13 = c2 + c6
    x32 = (((c2 - c6 + 0x8000 & 0xFFFF) - 0x8000) * 362 + 128 >> 8) - x13
    x30, x31 = c0 + c4, c0 - c4
    x40 = (x30 + x13 + 0x8000 & 0xFFFF) - 0x8000
    x43 = (x30 - x13 + 0x8000 & 0xFFFF) - 0x8000
    x41 = (x31 + x32 + 0x8000 & 0xFFFF) - 0x8000
    x42 = (x31 - x32 + 0x8000 & 0xFFFF) - 0x8000
    return x40 + x17, x41 + t2, x42 + t3, x43 - x44, x43 + x44, x42 - t3, x41 - t2, x40 - x17


_CLAMP = {value: min(255, max(0, value + 128)) for value in range(-1024, 1025)}
