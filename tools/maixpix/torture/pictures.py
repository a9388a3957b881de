"""Pictures that the scripted server has: eight different ones, made from the sample photographs."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image

from maixpix.paths import board_files

_MADE = (
    ("coffee.jpg", (320, 240), 40),
    ("chelsea.jpg", (320, 240), 40),
    ("rocket.jpg", (240, 240), 70),
    ("coffee.jpg", (160, 120), 30),
    ("chelsea.jpg", (340, 170), 60),
    ("rocket.jpg", (320, 240), 85),
    ("coffee.jpg", (321, 121), 90),
    ("chelsea.jpg", (64, 240), 50),
)
"""(photograph, size in pixels, JPEG quality): 2 to 30 kB, as large as the panel, smaller, larger, odd."""


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
