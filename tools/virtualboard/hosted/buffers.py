"""Bytes out of whatever device code passes where MicroPython wants a readable buffer."""

from __future__ import annotations

from typing import Any


def raw(data: Any) -> bytes:
    """The bytes of a str (UTF-8), bytes-like object, array or picture; TypeError for anything else."""
    if isinstance(data, str):
        return data.encode()
    own = getattr(data, "__device_buffer__", None)
    if own is not None:
        return bytes(own())
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    try:
        return bytes(memoryview(data).cast("B"))
    except TypeError:
        raise TypeError("object with buffer protocol required") from None
