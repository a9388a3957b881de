"""`/playlist`: the folder as a list for one board, with the digest and size of each picture as its panel wants it.

Digests are known once a picture has been converted, which happens in the background: what is not ready in time is
listed without one, and boards then ask for it when it is due. The same list has the same bytes, so that a board that
has it is told so (304) and writes nothing to its card. The form is that of firmware/pix/plist.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from maixpix.companion.convert import Rendition
from maixpix.companion.decoding.queue import Caller
from maixpix.companion.pictures import Picture, picture_url
from maixpix.companion.problems import Refused
from maixpix.companion.requests import note
from maixpix.companion.respond import Representation, send
from maixpix.companion.settings import ServeSettings
from maixpix.text import one_line

MAGIC = "maixpix-playlist 1"
MOST = 300
"""Entries of one list. A board takes 500, in 65535 bytes."""

MAX_BYTES = 60_000
MAX_LINE = 500
READY_S = 2.5
"""Seconds that a board waits for digests; it gives the server eight in all."""

_MAX_KNOWN = 20_000
_MAX_UNDER_WAY = 8

Represent = Callable[[Picture, Rendition, Caller], Awaitable[Representation]]
"""As `PictureServing.represent`."""


@dataclass(frozen=True)
class Known:
    """What a conversion gave; no digest when there is none, because it failed."""

    digest: str = ""
    size: int = 0


class Playlists:
    """Makes the lists. `list_pictures` gives the folder's pictures in the order of their names."""

    def __init__(
        self, settings: ServeSettings, list_pictures: Callable[[], Awaitable[list[Picture]]], represent: Represent
    ) -> None:
        self._settings = settings
        self._list = list_pictures
        self._represent = represent
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def playlist(self, request: web.Request) -> web.StreamResponse:
        """The list of the board `board`, for the panel that the query describes."""
        rendition = Rendition.parse(request.query, self._settings.panel)
        if rendition is None:
            raise Refused(400, "bad-size", "no size is told", "add size=320x240")
        note(request, "the playlist")
        pictures = ordered(await self._list(), self._settings.order, request.query.get("board", ""))[:MOST]
        await self._prepare(pictures, rendition, Caller.of(request))
        known = [self._known.get((picture.identity, rendition.key)) for picture in pictures]
        text = written(
            [(p, k) for p, k in zip(pictures, known, strict=True) if k is None or k.digest],
            _query(request),
            self._settings.interval_s,
        )
        body = text.encode()
        found = Representation(body, len(body), hashlib.sha256(body).digest(), "text/plain")
        found.headers["Maixpix-Zone"] = str(zone_minutes())
        return await send(request, found, self._settings.http.write_s)

    async def close(self) -> None:
        """Give up what is being prepared."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _prepare(self, pictures: list[Picture], rendition: Rendition, caller: Caller) -> None:
        """Have digests made, at most one run for each kind of panel; wait for it a little while."""
        key = rendition.key
        if all((picture.identity, key) in self._known for picture in pictures):
            return
        task = self._under_way.get(key)
        if task is None and len(self._under_way) < _MAX_UNDER_WAY:
            waiting = Caller(caller.address, lambda: False)
            task = asyncio.create_task(self._digest_all(pictures, rendition, waiting))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        if task is not None:
            await asyncio.wait({task}, timeout=READY_S)

    async def _digest_all(self, pictures: list[Picture], rendition: Rendition, caller: Caller) -> None:
        for picture in pictures:
            name = picture.identity, rendition.key
            if name in self._known:
                self._known.move_to_end(name)
                continue
            try:
                found = await self._represent(picture, rendition, caller)
                known = Known(found.digest.hex(), found.size)
            except Refused as refused:
                if refused.status == 503:
                    return  # too busy: the next request goes on
                known = Known()
            self._known[name] = known
            while len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)


def ordered(pictures: list[Picture], order: str, board: str) -> list[Picture]:
    """`pictures` by name, newest first, or shuffled: for each board in another way, and always the same."""
    if order == "newest":
        return sorted(pictures, key=lambda picture: -picture.modified)
    if order == "random":
        return sorted(pictures, key=lambda picture: hashlib.sha256(f"{board}\0{picture.name}".encode()).digest())
    return pictures


def written(entries: list[tuple[Picture, Known | None]], query: str, seconds: int) -> str:
    """The text of the list."""
    lines = [MAGIC]
    size = 0
    for picture, known in entries:
        proof = f"{known.digest} {known.size}" if known is not None else "- -"
        caption = one_line(picture.path.stem).encode("ascii", "replace").decode()[:60]
        line = f"{seconds or '-'} {proof} - - {picture_url(picture)[1:]}?{query} {caption}"
        if len(line) > MAX_LINE:
            continue
        size += len(line) + 1
        if size > MAX_BYTES:
            break
        lines.append(line)
    return "\n".join([*lines, f"end {len(lines) - 1}"]) + "\n"


def zone_minutes(now: float | None = None) -> int:
    """Minutes that this machine's clock is east of Greenwich, summer time included."""
    return round((time.localtime(now).tm_gmtoff or 0) / 60)


def _query(request: web.Request) -> str:
    """The part of the request's query that describes the picture, for each entry's URL."""
    wanted = [(name, request.query[name]) for name in ("size", "fit", "format", "quality", "background")
              if name in request.query]  # fmt: skip
    return "&".join(f"{name}={quote(value)}" for name, value in wanted) or "size=320x240"
