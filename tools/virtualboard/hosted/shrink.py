"""How MaixPy makes a picture smaller (`py_image_resize` of MaixPy-v1 `py_image.c`), byte for byte.

Colours are not averaged: each pixel is one of the source. Grey is averaged, with two faults: the steps of the rows
count for the columns too, and each window has a row and a column too many, which behind the last ones are whatever
lies there in memory.
"""

from __future__ import annotations

import struct


def colours(data: bytes, size: tuple[int, int], wanted: tuple[int, int]) -> bytes:
    """The RGB565 picture `data` of `size` in size `wanted`, smaller in one direction at least."""
    (width, height), (w, h) = size, wanted
    across, down = _step(width, w), _step(height, h)
    columns = [2 * _place(x, across) for x in range(w)]
    out = bytearray()
    for y in range(h):
        at = _place(y, down) * width * 2
        row = data[at : at + 2 * width]
        out += b"".join([row[i : i + 2] for i in columns])
    return bytes(out)


def greys(data: bytes, size: tuple[int, int], wanted: tuple[int, int]) -> bytes:
    """The same for levels of grey, smaller in both directions. What lies behind the picture in memory is black here."""
    (width, height), (w, h) = size, wanted
    step = _step(height, h)
    windows = [(_place(x, step), _place(x + 1, step) + 1) for x in range(w)]
    reach = max(width, windows[-1][1])
    memory = bytes(data) + bytes(width + reach)
    out = bytearray()
    for y in range(h):
        first, last = _place(y, step), _place(y + 1, step)
        rows = [memory[i * width : i * width + reach] for i in range(first, last + 1)]
        sums = [sum(column) for column in zip(*rows, strict=True)]
        out += bytes([sum(sums[a:b]) // ((b - a) * len(rows)) for a, b in windows])
    return bytes(out)


def _step(source: int, wanted: int) -> float:
    return _single(source / wanted)


def _place(i: int, step: float) -> int:
    return int(_single(i * step))


def _single(value: float) -> float:
    """What a number of single precision keeps of `value`: the chip counts in those."""
    return struct.unpack("<f", struct.pack("<f", value))[0]
