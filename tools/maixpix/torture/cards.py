"""Whether two panels show the same text in different fonts: each firmware brings its own, the hosted engine another.

Text is compared as a cipher is: where one panel has equal characters the other has equal ones too, and different ones
where it has different ones, in the same places and colours.
"""

from __future__ import annotations

from collections.abc import Iterator

WIDTH, HEIGHT, LINE = 320, 240, 16
CELL_W, CELL_H = 8, 12
"""Pixels of the panel, of a line of text, and of a character's cell (`pix.screen`)."""

_TITLE, _FIRST, _CODE = 12, 44, HEIGHT - 20
"""Where the title of an error card stands, its first line, and its code: pixels from the top."""

_ROW = 3 * WIDTH


def same_card(panel: bytes, wanted: bytes) -> bool:
    """Whether the RGB panel `panel` shows the error card that `wanted` shows, be it in another font."""
    if panel == wanted:
        return True
    if len(panel) != len(wanted) != 0:
        return False
    there: dict[bytes, bytes] = {}
    back: dict[bytes, bytes] = {}
    inside = bytearray(panel)
    outside = bytearray(wanted)
    for y in _rows(wanted):
        for x in range(0, WIDTH, CELL_W):
            one, other = _cell(panel, x, y), _cell(wanted, x, y)
            if sorted(set(_pixels(one))) != sorted(set(_pixels(other))):
                return False
            if there.setdefault(_mask(other), _mask(one)) != _mask(one):
                return False
            if back.setdefault(_mask(one), _mask(other)) != _mask(other):
                return False
            for line in range(y, y + CELL_H):
                at = line * _ROW + 3 * x
                inside[at : at + 3 * CELL_W] = outside[at : at + 3 * CELL_W] = bytes(3 * CELL_W)
    return inside == outside


def _rows(wanted: bytes) -> Iterator[int]:
    """Where the lines of text of an error card begin."""
    yield _TITLE
    y = _FIRST
    while y + LINE <= _CODE:
        text = any(wanted[y * _ROW : (y + CELL_H) * _ROW])
        below = any(wanted[(y + CELL_H) * _ROW : (y + LINE) * _ROW])
        if text and not below:
            yield y
            y += LINE
        else:
            y += LINE // 2
    yield _CODE


def _cell(panel: bytes, x: int, y: int) -> bytes:
    return b"".join(panel[line * _ROW + 3 * x : line * _ROW + 3 * (x + CELL_W)] for line in range(y, y + CELL_H))


def _pixels(cell: bytes) -> list[bytes]:
    return [cell[at : at + 3] for at in range(0, len(cell), 3)]


def _mask(cell: bytes) -> bytes:
    """Which pixels of a cell differ from its first one: the glyph, or its negative, the same one for the same glyph."""
    pixels = _pixels(cell)
    return bytes(pixel != pixels[0] for pixel in pixels)
