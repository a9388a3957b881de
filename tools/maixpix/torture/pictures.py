"""Pictures that the scripted server has: eight different ones, made from the sample photographs."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image

from maixpix.paths import board_files

_MADE = (
    ("coffee.jpg", (160, 120), 90),
    ("chelsea.jpg", (160, 120), 90),
    ("rocket.jpg", (120, 120), 95),
    ("coffee.jpg", (96, 72), 70),
    ("chelsea.jpg", (330, 60), 80),
    ("rocket.jpg", (200, 150), 90),
    ("coffee.jpg", (161, 61), 95),
    ("chelsea.jpg", (64, 240), 85),
)
"""(photograph, size in pixels, JPEG quality): 2 to 11 kB, odd sizes and one larger than the panel. Small ones,
as most of a run's host time would be their decoding."""


@cache
def pool() -> tuple[bytes, ...]:
    """The files, baseline JPEG; the same in every process."""
    return tuple(_made(*each) for each in _MADE)


def _made(name: str, size: tuple[int, int], quality: int) -> bytes:
    with Image.open(board_files() / "assets" / "pictures" / name) as source:
        picture = source.convert("RGB").resize(size)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def planted(count: int) -> list[bytes]:
    """`count` files that wait on a card, all different: small ones, and every third one of several segments."""
    made = []
    for number in range(count):
        size, quality = ((640, 480), 80) if number % 3 == 2 else ((200 + 16 * number, 160), 50)
        made.append(_made("rocket.jpg" if number % 2 else "coffee.jpg", size, quality))
    return made


def is_whole(data: bytes) -> bool:
    """Whether `data` is a JPEG file that decodes from its first to its last byte."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return data[-2:] == b"\xff\xd9"
