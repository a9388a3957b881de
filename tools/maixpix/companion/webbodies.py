"""Bodies from the web, unpacked a little at a time.

aiohttp's client unpacks as much as comes at once: 32 MB, in the event loop, out of what fits into one packet. Here it
is done in small steps, so that whoever reads can stop as soon as it is too much, and others are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import aiohttp

from maixpix.companion.problems import Refused

PIECE = 64 * 1024
"""Bytes read, and unpacked, in one step."""

_EITHER = 32 + zlib.MAX_WBITS  # of zlib: gzip and deflate, told apart by their heads


async def unpacked(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body's bytes, of a session with `auto_decompress` off. Raises `Refused` (502) for packing not understood."""
    packing = response.headers.get("Content-Encoding", "").strip().lower()
    unpacker = zlib.decompressobj(_EITHER)
    async for piece in response.content.iter_chunked(PIECE):
        if packing in ("", "identity"):
            yield piece
            continue
        if packing not in ("gzip", "x-gzip", "deflate"):
            raise _refused()
        while piece:
            try:
                yield unpacker.decompress(piece, PIECE)
            except zlib.error:
                raise _refused() from None
            piece = unpacker.unconsumed_tail
            await asyncio.sleep(0)  # others' turn


def _refused() -> Refused:
    return Refused(502, "fetch-packed", "the answer is packed in a way that cannot be read", "name another address")
