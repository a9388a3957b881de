"""Bodies that are packed (gzip, deflate) though they were asked for plain, unpacked as they come."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from maixpix.download.trouble import Lie

MAX_INFLATED = 1024 * 1024
"""Bytes that are unpacked at a time, whatever a few packed ones stand for."""

_ANY_HEAD = 47
"""For zlib: gzip or zlib, told by the head."""


class Unpacker:
    """Unpacks what is said to be `coding`. Several gzip members are one content (RFC 1952), zeros may follow them."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._unpacker = zlib.decompressobj(_ANY_HEAD)

    @property
    def is_complete(self) -> bool:
        """True where the packed body may end."""
        return self._unpacker.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Plain bytes, in pieces of at most `MAX_INFLATED`. Raises `Lie` for what is not packed so."""
        is_full = False  # zlib may hold plain bytes back though it has taken all packed ones
        while data or (is_full and not self._unpacker.eof):
            if self._unpacker.eof:
                if self._coding == "gzip" and not data.strip(b"\0"):
                    return
                self._unpacker = zlib.decompressobj(_ANY_HEAD)
            try:
                plain = self._unpacker.decompress(data, MAX_INFLATED)
            except zlib.error:
                raise Lie(f"says that it packs as {self._coding}, but does not") from None
            data = self._unpacker.unconsumed_tail or self._unpacker.unused_data
            is_full = len(plain) == MAX_INFLATED
            if plain:
                yield plain
