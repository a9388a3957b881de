"""Reads the text on a panel back, glyph by glyph, knowing nothing of how the device code lays it out."""

from dataclasses import dataclass
from functools import cache, lru_cache

from virtualboard.hosted import font
from virtualboard.hosted.lcd import COLOURS

WIDTH, HEIGHT = font.WIDTH, font.HEIGHT


def colour(name):
    """RGB of one of `lcd`'s colours, as the panel shows it."""
    swapped = COLOURS[name]
    value = swapped >> 8 | (swapped & 0xFF) << 8
    r, g, b = value >> 11, value >> 5 & 0x3F, value & 0x1F
    return r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2


BLACK, WHITE, RED, YELLOW = [colour(name) for name in ("BLACK", "WHITE", "RED", "YELLOW")]
GREEN, GREY, LIGHTGREY = [colour(name) for name in ("GREEN", "DARKGREY", "LIGHTGREY")]


@dataclass(frozen=True)
class Line:
    """A row of text: its top left pixel, text without the spaces around it, and colours."""

    x: int
    y: int
    text: str
    front: tuple
    back: tuple


@cache
def _glyphs():
    return {bytes(pixel // 255 for pixel in font.glyph(chr(c)).convert("L").tobytes()): chr(c) for c in range(33, 127)}


@lru_cache(maxsize=4096)  # the same few characters stand on every panel
def _character(cell):
    """(character, front, back) of a cell's RGB bytes; None when it shows no character."""
    pixels = [tuple(cell[at : at + 3]) for at in range(0, len(cell), 3)]
    colours = sorted(set(pixels))
    if len(colours) == 1:
        return " ", None, colours[0]
    if len(colours) != 2:
        return None
    for front, back in (colours, colours[::-1]):
        glyph = bytes(pixel == front for pixel in pixels)
        if glyph in _glyphs():
            return _glyphs()[glyph], front, back
    return None


def _cells(rows):
    """The cells of a row of text, which is in these rows of RGB bytes; none when one of them shows no character."""
    cells = []
    for at in range(0, len(rows[0]), 3 * WIDTH):
        cell = _character(b"".join(row[at : at + 3 * WIDTH].ljust(3 * WIDTH, b"\0") for row in rows))
        if cell is None:
            return []
        cells.append(cell)
    return cells


def read(picture):
    """Every `Line` of text on the panel, from the top. A row counts only when all of it is whole characters."""
    data, stride = picture.tobytes(), 3 * picture.width
    assert len(data) == stride * picture.height, picture.mode
    rows = [data[y * stride : (y + 1) * stride] for y in range(picture.height)]
    lines = []
    y = 0
    while y <= picture.height - HEIGHT:
        here = rows[y : y + HEIGHT]
        cells = [] if all(row == here[0][:3] * picture.width for row in here) else _cells(here)
        shown = [at for at, cell in enumerate(cells) if cell[1] is not None]
        if not shown:
            y += 1
            continue
        text = "".join(cell[0] for cell in cells).strip()
        fronts = {cells[at][1] for at in shown}
        backs = {cells[at][2] for at in shown}
        assert len(fronts) == len(backs) == 1, text
        lines.append(Line(shown[0] * WIDTH, y, text, fronts.pop(), backs.pop()))
        y += HEIGHT
    return lines


def unread(picture, lines=None):
    """A copy with everything that `read` understood blanked: what is left was cut, overdrawn or is no text."""
    rest = picture.copy()
    for line in read(picture) if lines is None else lines:
        rest.paste(line.back, (line.x, line.y, line.x + WIDTH * len(line.text), line.y + HEIGHT))
    return rest


def card_of(picture):
    """(title, cause, remedy, code) of an error card. AssertionError unless it is one, with nothing cut off."""
    lines = read(picture)
    by = {front: " ".join(line.text for line in lines if line.front == front) for front in (WHITE, YELLOW, LIGHTGREY)}
    titles = [line.text for line in lines if line.back == RED]
    causes = [line.text for line in lines if line.front == WHITE and line.back == BLACK]
    assert len(titles) == 1, lines
    blank = unread(picture, lines)
    assert sorted(found for _, found in blank.getcolors(99)) == sorted([BLACK, RED]), "something is cut or overdrawn"
    return titles[0], " ".join(causes), by[YELLOW], by[LIGHTGREY]
