"""What goes through the pipes between the companion and its decoders: a JSON object, then bytes.

JSON and not pickle: a decoder that a picture has taken over must not be able to tell the companion what to run.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

MAX_HEAD = 64 * 1024
LENGTHS = struct.Struct(">II")
"""Bytes of the JSON object and of the body behind it."""


def pack(head: dict[str, Any], body: bytes | bytearray = b"") -> list[bytes | bytearray]:
    """The pieces of one message."""
    text = json.dumps(head).encode()
    return [LENGTHS.pack(len(text), len(body)), text, body]


def read(source: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next message of a blocking pipe, None at its end."""
    lengths = source.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head, body = LENGTHS.unpack(lengths)
    return json.loads(source.read(head)), source.read(body)
