"""Makes JPEG files that no usual program writes: any factors, scans, identifiers, tables and restart intervals.

Follows ITU-T T.81; slow and plain. What Pillow can write is left to Pillow. `split` and `join` take any JPEG apart.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What makes a picture of each EXIF orientation upright (CIPA DC-008)."""

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"

ZIGZAG = (
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
)  # fmt: skip

_COSINES = [
    [math.sqrt((1 if u else 0.5) / 4) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(8)] for u in range(8)
]


def adobe(transform: int) -> bytes:
    """An APP14 of Adobe."""
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes((transform,))


def exif(orientation: int, order: str = "little") -> bytes:
    """An APP1 with nothing but the orientation."""

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little" if order == "little" else "big")

    tiff = (b"II" if order == "little" else b"MM") + number(42, 2) + number(8, 4) + number(1, 2)
    tiff += number(0x0112, 2) + number(3, 2) + number(1, 4) + number(orientation, 2) + bytes(2) + number(0, 4)
    return segment(0xE1, b"Exif\0\0" + tiff)


def segment(marker: int, payload: bytes) -> bytes:
    """A marker with its length and content."""
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload


@dataclass(frozen=True)
class Table:
    """A Huffman table: number of codes of each length, values in their order."""

    counts: tuple[int, ...]
    values: tuple[int, ...]

    def codes(self) -> dict[int, tuple[int, int]]:
        """value -> (code, length); the first of several wins."""
        found: dict[int, tuple[int, int]] = {}
        code = at = 0
        for length, count in enumerate(self.counts, 1):
            for value in self.values[at : at + count]:
                found.setdefault(value, (code, length))
                code += 1
            at += count
            code <<= 1
        return found

    def content(self, kind: int, number: int) -> bytes:
        """As it stands in a DHT."""
        return bytes((kind << 4 | number,)) + bytes(self.counts) + bytes(self.values)


def flat_table(values: Sequence[int]) -> Table:
    """Codes of eight bits for all `values` (fewer than 255)."""
    return Table((0,) * 7 + (len(values),) + (0,) * 8, tuple(values))


def _ac_values() -> tuple[int, ...]:
    return (0x00, *(run << 4 | size for run in range(16) for size in range(1, 11)), 0xF0)


DC_PLAIN = Table((0, 0, 0, 12) + (0,) * 12, tuple(range(12)))
"""Twelve codes of four bits."""
AC_PLAIN = flat_table(_ac_values())
DC_13 = Table((0, 0, 0, 13) + (0,) * 12, (*range(12), 12))
"""With a thirteenth code that nothing uses, as T.81 allows."""
DC_STEEP = Table((0, 1, 5, 1, 1, 1, 1, 1, 1) + (0,) * 7, tuple(range(12)))
"""The lengths of T.81's example for luminance."""


@dataclass(frozen=True)
class Spec:
    """How a JPEG is to be made. `factors`, `ids`, `quantiser`, `dc`, `ac` go by component."""

    factors: tuple[tuple[int, int], ...] = ((1, 1), (1, 1), (1, 1))
    ids: tuple[int, ...] = (1, 2, 3)
    colours: str = "YCbCr"
    """Pillow's mode of the components: YCbCr, RGB, L, CMYK."""
    scans: tuple[tuple[int, ...], ...] = ()
    """The components of each scan; all in one when empty."""
    quantiser: tuple[int, ...] = (0, 1, 1, 1)
    steps: dict[int, int] = field(default_factory=dict)
    """Quantiser -> its step for all frequencies; 3 where nothing is said."""
    wide_steps: bool = False
    dc: tuple[int, ...] = (0, 1, 1, 1)
    ac: tuple[int, ...] = (0, 1, 1, 1)
    dc_tables: dict[int, Table] = field(default_factory=lambda: {0: DC_PLAIN, 1: DC_STEEP})
    ac_tables: dict[int, Table] = field(default_factory=lambda: {0: AC_PLAIN, 1: AC_PLAIN})
    interval: int = 0
    sof: int = 0xC0
    before: bytes = JFIF
    """Segments behind SOI."""
    behind_frame: bytes = b""
    """Segments between SOF and the Huffman tables."""
    tables_first: bool = False
    """Huffman tables before SOF."""
    one_dht: bool = False
    padding: int = 1
    """The bit that fills the last byte of an interval."""


def make(picture: Image.Image, spec: Spec | None = None, **changes: object) -> bytes:
    """`picture` as a JPEG."""
    spec = replace(spec or Spec(), **changes)
    if spec.colours == "L":
        spec = replace(spec, factors=spec.factors[:1])
    bands = [band.copy() for band in picture.convert(spec.colours).split()]
    wide, high = max(h for h, _ in spec.factors), max(v for _, v in spec.factors)
    across, down = -(-picture.width // (8 * wide)), -(-picture.height // (8 * high))
    planes = [_plane(band, h, v, across, down, wide, high) for band, (h, v) in zip(bands, spec.factors, strict=True)]
    steps = [spec.steps.get(q, 3) for q in spec.quantiser]
    blocks = [_Blocks(plane, step) for plane, step in zip(planes, steps, strict=False)]
    out = [SOI, spec.before, _dqt(spec)]
    frame = segment(spec.sof, _frame(picture, spec))
    tables = _dht(spec)
    out += [tables, frame, spec.behind_frame] if spec.tables_first else [frame, spec.behind_frame, tables]
    if spec.interval:
        out.append(segment(0xDD, spec.interval.to_bytes(2, "big")))
    for members in spec.scans or (tuple(range(len(planes))),):
        head = bytes((len(members),)) + b"".join(bytes((spec.ids[i], spec.dc[i] << 4 | spec.ac[i])) for i in members)
        out.append(segment(0xDA, head + b"\x00\x3f\x00"))
        if len(members) == 1 and len(planes) > 1:
            # A scan of one component has no padding to whole units.
            h, v = spec.factors[members[0]]
            size = -(-picture.width * h // (8 * wide)), -(-picture.height * v // (8 * high))
            units = [[(members[0], x, y)] for y in range(size[1]) for x in range(size[0])]
        else:
            units = [_unit(members, spec.factors, x, y) for y in range(down) for x in range(across)]
        out.append(_scan(units, blocks, spec))
    return b"".join(out) + EOI


def _plane(band: Image.Image, h: int, v: int, across: int, down: int, wide: int, high: int) -> Image.Image:
    """A component in its own resolution, its edges repeated up to whole units."""
    full = extended(band, (8 * wide * across, 8 * high * down))
    return full.resize((8 * h * across, 8 * v * down), Image.Resampling.BOX)


def extended(band: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`band` on a larger canvas, its last column and row repeated."""
    full = Image.new("L", size)
    full.paste(band)
    right = band.crop((band.width - 1, 0, band.width, band.height))
    for x in range(band.width, full.width):
        full.paste(right, (x, 0))
    bottom = full.crop((0, band.height - 1, full.width, band.height))
    for y in range(band.height, full.height):
        full.paste(bottom, (0, y))
    return full


class _Blocks:
    """Quantised coefficients of a plane, by block."""

    def __init__(self, plane: Image.Image, step: int) -> None:
        self._plane = plane
        self._step = step
        self._known: dict[tuple[int, int], list[int]] = {}

    def at(self, x: int, y: int) -> list[int]:
        if (x, y) not in self._known:
            samples = self._plane.crop((8 * x, 8 * y, 8 * x + 8, 8 * y + 8)).tobytes()
            self._known[x, y] = _quantised(samples, self._step)
        return self._known[x, y]


@functools.cache
def _quantised(samples: bytes, step: int) -> list[int]:
    rows = [[sum(c * (samples[8 * y + x] - 128) for x, c in enumerate(wave)) for wave in _COSINES] for y in range(8)]
    square = [sum(wave[y] * rows[y][u] for y in range(8)) for wave in _COSINES for u in range(8)]
    return [round(square[place] / step) for place in ZIGZAG]


def _unit(members: Sequence[int], factors: Sequence[tuple[int, int]], x: int, y: int) -> list[tuple[int, int, int]]:
    return [
        (i, x * factors[i][0] + column, y * factors[i][1] + row)
        for i in members
        for row in range(factors[i][1])
        for column in range(factors[i][0])
    ]


def _frame(picture: Image.Image, spec: Spec) -> bytes:
    head = b"\x08" + picture.height.to_bytes(2, "big") + picture.width.to_bytes(2, "big") + bytes((len(spec.factors),))
    parts = zip(spec.ids, spec.factors, spec.quantiser, strict=False)
    return head + b"".join(bytes((identifier, h << 4 | v, q)) for identifier, (h, v), q in parts)


def _dqt(spec: Spec) -> bytes:
    out = b""
    for number in sorted(set(spec.quantiser[: len(spec.factors)]) | set(spec.steps)):
        step = spec.steps.get(number, 3)
        values = step.to_bytes(2, "big") * 64 if spec.wide_steps else bytes((step,)) * 64
        out += segment(0xDB, bytes((spec.wide_steps << 4 | number,)) + values)
    return out


def _dht(spec: Spec) -> bytes:
    contents = [
        table.content(kind, number)
        for kind, tables in enumerate((spec.dc_tables, spec.ac_tables))
        for number, table in sorted(tables.items())
    ]
    if spec.one_dht:
        return segment(0xC4, b"".join(contents))
    return b"".join(segment(0xC4, content) for content in contents)


def _scan(units: list[list[tuple[int, int, int]]], blocks: list[_Blocks], spec: Spec) -> bytes:
    dc_codes = {number: table.codes() for number, table in spec.dc_tables.items()}
    ac_codes = {number: table.codes() for number, table in spec.ac_tables.items()}
    out = []
    interval = spec.interval or len(units)
    for number, start in enumerate(range(0, len(units), interval)):
        if start:
            out.append(bytes((0xFF, 0xD0 + (number - 1) % 8)))
        bits = 1  # a leading one keeps zeros in front
        before = [0] * len(blocks)
        for unit in units[start : start + interval]:
            for i, x, y in unit:
                values = blocks[i].at(x, y)
                for code, length in _block(values, before[i], dc_codes[spec.dc[i]], ac_codes[spec.ac[i]]):
                    bits = bits << length | code
                before[i] = values[0]
        while (bits.bit_length() - 1) % 8:
            bits = bits << 1 | spec.padding
        packed = bits.to_bytes((bits.bit_length() + 7) // 8, "big")[1:]
        out.append(packed.replace(b"\xff", b"\xff\x00"))
    return b"".join(out)


def _block(
    values: list[int], before: int, dc: dict[int, tuple[int, int]], ac: dict[int, tuple[int, int]]
) -> list[tuple[int, int]]:
    """Codes and extra bits of one block, each with its length."""
    out = []
    difference = values[0] - before
    size = abs(difference).bit_length()
    out += [dc[size], (_extra(difference, size), size)]
    run = 0
    last = max((k for k in range(1, 64) if values[k]), default=0)
    for k in range(1, last + 1):
        if not values[k]:
            run += 1
            continue
        while run > 15:
            out.append(ac[0xF0])
            run -= 16
        size = abs(values[k]).bit_length()
        out += [ac[run << 4 | size], (_extra(values[k], size), size)]
        run = 0
    if last < 63:
        out.append(ac[0x00])
    return out


def _extra(value: int, size: int) -> int:
    return value if value >= 0 else value + (1 << size) - 1


# -- taking files apart -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """A JPEG's segments up to SOS, each whole with its marker; the codes of its first scan; all from the marker that
    ends them on."""

    head: tuple[bytes, ...]
    scan: bytes
    tail: bytes = EOI

    def index(self, marker: int) -> int:
        """Which segment of the head has the marker."""
        return next(i for i, piece in enumerate(self.head) if piece[1] == marker)

    def put(self, at: int, *pieces: bytes) -> Parts:
        """With `pieces` before segment `at`."""
        return replace(self, head=(*self.head[:at], *pieces, *self.head[at:]))

    def change(self, at: int, *pieces: bytes) -> Parts:
        """With `pieces` instead of segment `at`."""
        return replace(self, head=(*self.head[:at], *pieces, *self.head[at + 1 :]))

    def intervals(self) -> list[bytes]:
        """The scan between its restart markers."""
        out, start, at = [], 0, 0
        while (at := self.scan.find(b"\xff", at)) >= 0:
            if 0xD0 <= self.scan[at + 1] <= 0xD7:
                out.append(self.scan[start:at])
                start = at + 2
            at += 2
        return [*out, self.scan[start:]]


def split(data: bytes) -> Parts:
    """Take a JPEG apart."""
    at, head = 2, []
    while True:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        head.append(data[at:end])
        if data[at + 1] == 0xDA:
            break
        at = end
    stop = end
    while True:
        stop = data.find(b"\xff", stop)
        if stop < 0 or stop + 1 >= len(data):
            return Parts(tuple(head), data[end:], b"")
        if data[stop + 1] == 0 or 0xD0 <= data[stop + 1] <= 0xD7:
            stop += 2
            continue
        return Parts(tuple(head), data[end:stop], data[stop:])


def join(parts: Parts) -> bytes:
    """Put it together again."""
    return SOI + b"".join(parts.head) + parts.scan + parts.tail


def weave(intervals: Sequence[bytes]) -> bytes:
    """A scan from its intervals."""
    out = intervals[0]
    for number, piece in enumerate(intervals[1:]):
        out += bytes((0xFF, 0xD0 + number % 8)) + piece
    return out
