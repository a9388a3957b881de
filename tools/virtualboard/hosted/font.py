"""An 8x12 text font for `lcd.draw_string` and `image.draw_string`.

The glyphs are those of Pillow's built-in bitmap font, centred in MaixPy's 8x12 cell: same metrics, other shapes.
"""

from __future__ import annotations

from functools import cache

from PIL import Image as Pil
from PIL import ImageDraw, ImageFont

WIDTH, HEIGHT = 8, 12


@cache
def glyph(char: str) -> Pil.Image:
    """Mask (mode 1) of one printable ASCII character, 8x12."""
    cell = Pil.new("1", (WIDTH, HEIGHT))
    ImageDraw.Draw(cell).text((1, 0), char, font=ImageFont.load_default_imagefont(), fill=1)
    return cell


def columns(char: str) -> tuple[int, int] | None:
    """First and last column that has a pixel, None for a blank."""
    box = glyph(char).getbbox()
    return None if box is None else (box[0], box[2] - 1)


def rounded(value: float) -> int:
    """`fast_roundf`: halves away from zero."""
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)


def draw_text(
    draw: ImageDraw.ImageDraw,
    x: int,
    y: int,
    text: str,
    fill: int | tuple[int, int, int],
    scale: float = 1.0,
    x_spacing: int = 0,
    y_spacing: int = 2,
    mono_space: bool = True,
) -> int:
    """Draw text as `imlib_draw_ascii_string` spaces it; returns the number of pixels touched."""
    anchor, last, touched = x, "", 0
    for char in text:
        if last == "\r" and char == "\n":
            last = char
            continue
        last = char
        if char in "\r\n":
            x = anchor
            y += rounded(HEIGHT * scale) + y_spacing
            continue
        if not " " <= char <= "~":
            third = rounded(scale * 3) // 2
            side_w, side_h = rounded(HEIGHT * scale) - 2 * third, rounded(WIDTH * scale) - 2 * third
            if side_w > 0 and side_h > 0:
                draw.rectangle((x + third, y + third, x + third + side_w - 1, y + third + side_h - 1), outline=fill)
            continue
        edges = columns(char)
        if not mono_space and edges is not None:
            x -= rounded(edges[0] * scale)
        mask = glyph(char)
        if scale != 1:
            mask = mask.resize(
                (max(1, rounded(WIDTH * scale)), max(1, rounded(HEIGHT * scale))), Pil.Resampling.NEAREST
            )
        draw.bitmap((x, y), mask, fill=fill)
        touched += mask.width * mask.height
        if mono_space:
            x += rounded(WIDTH * scale) + x_spacing
        elif edges is not None:
            x += rounded((edges[1] + 2) * scale) + x_spacing
        else:
            x += rounded(scale * 3)
    return touched
