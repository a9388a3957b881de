"""Sends one representation, whole or in part, with its validators and digest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from maixpix.companion.problems import Refused
from maixpix.companion.ranges import repr_digest, select, strong_etag

PIECE = 64 * 1024
"""Bytes read and written at a time."""


SMALL = 48 * 1024
"""Bytes that go out with their head in one call: what the system does not take of them at once, asyncio keeps without
making anybody wait (64 KiB)."""


@dataclass(frozen=True)
class Representation:
    """What a GET would send whole: bytes, or a file of `size` bytes, with SHA-256 `digest`."""

    content: bytes | Path
    size: int
    digest: bytes
    media_type: str
    headers: dict[str, str] = field(default_factory=dict)


async def send(request: web.Request, it: Representation, write_s: float) -> web.StreamResponse:
    """Answer GET or HEAD: 200, 206, 304, 412 or 416 as the request's conditions say.

    A peer that takes longer than `write_s` for one piece is cut off.
    """
    etag = strong_etag(it.digest)
    chosen = select(request.method, request.headers, it.size, etag)
    if chosen.status == 416:
        raise Refused(416, "range", "the range lies behind the end", f"ask for bytes below {it.size}", {
            "Content-Range": f"bytes */{it.size}", "ETag": etag,
        })  # fmt: skip
    if chosen.status == 412:
        raise Refused(412, "changed", "the picture is not the one named by If-Match", "fetch it anew", {"ETag": etag})
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Accept-Ranges": "bytes", **it.headers}
    if chosen.status == 304:
        return web.Response(status=304, headers=headers)
    headers |= {
        "Content-Type": it.media_type,
        "Content-Length": str(chosen.length),
        "Repr-Digest": repr_digest(it.digest),
    }
    if chosen.status == 206:
        headers["Content-Range"] = f"bytes {chosen.start}-{chosen.stop - 1}/{it.size}"
    if isinstance(it.content, bytes) and chosen.length <= SMALL and _takes_it(request):
        whole = web.Response(status=chosen.status, headers=headers, body=it.content[chosen.start : chosen.stop])
        await whole.prepare(request)
        await whole.write_eof()
        return whole
    response = web.StreamResponse(status=chosen.status, headers=headers)
    await response.prepare(request)
    if request.method != "HEAD":
        try:
            async for piece in _pieces(it.content, chosen.start, chosen.stop):
                await asyncio.wait_for(response.write(piece), write_s)
            await asyncio.wait_for(response.write_eof(), write_s)
        except (OSError, asyncio.TimeoutError) as error:
            # The head is out: only a broken connection can tell the peer that the rest is missing.
            raise ConnectionResetError(f"could not finish {request.path}: {error}") from error
    return response


def _takes_it(request: web.Request) -> bool:
    """Whether the peer has taken all that it was sent before."""
    return request.transport is not None and not request.transport.get_write_buffer_size()


async def _pieces(content: bytes | Path, start: int, stop: int) -> AsyncIterator[bytes | memoryview]:
    if isinstance(content, bytes):
        view = memoryview(content)
        for position in range(start, stop, PIECE):
            yield view[position : min(position + PIECE, stop)]
        return
    loop = asyncio.get_running_loop()
    file = await loop.run_in_executor(None, content.open, "rb")
    try:
        file.seek(start)
        while start < stop:
            piece = await loop.run_in_executor(None, file.read, min(PIECE, stop - start))
            if not piece:
                raise OSError("the file became shorter while it was sent")
            start += len(piece)
            yield piece
    finally:
        file.close()
