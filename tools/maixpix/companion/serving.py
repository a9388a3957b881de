"""The picture half of the companion: list, pictures, frames, JSON."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from aiohttp import web

from maixpix.companion import pages
from maixpix.companion.cache import RenditionCache
from maixpix.companion.convert import Rendition, why_not
from maixpix.companion.decoding.decoders import Decoders
from maixpix.companion.decoding.queue import Caller
from maixpix.companion.frames import Slideshow
from maixpix.companion.pictures import Picture, PictureFolder, picture_url
from maixpix.companion.playlists import Playlists
from maixpix.companion.problems import Refused
from maixpix.companion.requests import note
from maixpix.companion.respond import Representation, send
from maixpix.companion.settings import ServeSettings
from maixpix.companion.sniff import HEAD_BYTES
from maixpix.companion.work import as_refusals, in_thread

PER_PAGE = 120

Result = TypeVar("Result")


class PictureServing:
    """Request handlers for everything below `/pictures` and for `/frame`."""

    def __init__(self, settings: ServeSettings, cache: RenditionCache, decoders: Decoders, executor: Executor) -> None:
        self.settings = settings
        self.folder = PictureFolder(settings.folder, settings.pictures.max_pictures)
        self.cache = cache
        self._decoders = decoders
        self._executor = executor
        self._slideshow = Slideshow()
        self.playlists = Playlists(settings, self._list, self.represent)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/pictures.json", self.listing),
            web.get(r"/pictures/{name:[\s\S]+}", self.picture),
            web.get("/frame", self.frame),
            web.get("/playlist", self.playlists.playlist),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """The pictures as a page, with a preview of each as the panel will show it."""
        pictures, left_out = await self._run(self.folder.survey)
        page = pages.page_number(request.query.get("page", "1"))
        start = (page - 1) * PER_PAGE
        html = pages.index(
            await self._run(self._looked_at, pictures[start : start + PER_PAGE]),
            total=len(pictures),
            page=page,
            last=max(1, -(-len(pictures) // PER_PAGE)),
            settings=self.settings,
            left_out=left_out,
        )
        return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})

    def _looked_at(self, pictures: list[Picture]) -> list[tuple[Picture, str]]:
        """Each with why it cannot be shown, as far as its first bytes and earlier tries tell."""
        return [(picture, self._why_not(picture)) for picture in pictures]

    def _why_not(self, picture: Picture) -> str:
        try:
            with picture.path.open("rb") as file:
                refused = why_not(file.read(HEAD_BYTES), self.settings.pictures.also_read)
        except OSError as error:
            return f"it cannot be read ({error.strerror})"
        if refused is not None:
            return refused.line
        preview = Rendition(*self.settings.panel, quality=pages.PREVIEW_QUALITY)
        return self.cache.why_not(f"file {picture.identity}", preview.key) or ""

    async def listing(self, request: web.Request) -> web.Response:
        """The pictures as JSON: name, URL, bytes, modified (seconds since 1970) and media type of each."""
        found = [
            {
                "name": picture.name,
                "url": picture_url(picture),
                "bytes": picture.size,
                "modified": picture.modified // 1_000_000_000,
                "type": picture.media_type,
            }
            for picture in await self._list()
        ]
        return web.json_response({"count": len(found), "pictures": found}, headers={"Cache-Control": "no-store"})

    async def picture(self, request: web.Request) -> web.StreamResponse:
        """One picture by name: as it is, or as the rendition that the query asks for."""
        note(request, request.match_info["name"])
        rendition = Rendition.parse(request.query, None)
        picture = await self._run(self.folder.find, request.match_info["name"])
        found = await self.represent(picture, rendition, Caller.of(request))
        return await send(request, found, self.settings.http.write_s)

    async def frame(self, request: web.Request) -> web.StreamResponse:
        """The next picture of a board's slideshow; Content-Location tells which one it is.

        A request with Range resumes the current picture instead of going on, and HEAD only looks at what comes next.
        Pictures that cannot be converted are passed over as long as one remains.
        """
        rendition = Rendition.parse(request.query, self.settings.panel)
        board, order = request.query.get("board", ""), request.query.get("order", "name")
        stay = "Range" in request.headers
        pictures = await self._list()
        failure = Refused(404, "no-pictures", "the folder holds no pictures yet", "put some into it and ask again")
        for picture in self._slideshow.candidates(pictures, board, order, stay):
            try:
                found = await self.represent(picture, rendition, Caller.of(request))
            except Refused as refused:
                if refused.status == 503:
                    raise  # the next one would not be made either
                failure = refused
                continue
            if request.method != "HEAD":
                self._slideshow.taken(picture, board, order)
            note(request, picture.name)
            location = f"{picture_url(picture)}?{_query(rendition)}"
            found.headers.update({"Content-Location": location, "Cache-Control": "no-store"})
            return await send(request, found, self.settings.http.write_s)
        raise failure

    async def represent(self, picture: Picture, rendition: Rendition | None, caller: Caller) -> Representation:
        """What a GET of `picture` as `rendition` (None: the file itself) sends."""
        if rendition is None:
            digest = await self._run(self.folder.digest, picture)
            return Representation(picture.path, picture.size, digest, picture.media_type)
        limit = self.settings.pictures.max_source_bytes
        if picture.size > limit:
            raise Refused(
                413, "too-big", f"the file has {picture.size} bytes", f"convert it to one below {limit} bytes first"
            )

        async def make(caller: Caller) -> bytes:
            with as_refusals(_REFUSALS):
                return await self._decoders.convert(picture.path, rendition, caller)

        entry = await self.cache.get(f"file {picture.identity}", rendition.key, make, caller)
        return Representation(entry.body, len(entry.body), entry.digest, rendition.media_type)

    async def _list(self) -> list[Picture]:
        return await self._run(self.folder.list)

    async def _run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run blocking work in the pool; a file that went away or may not be read is a refusal, not a crash."""
        return await in_thread(self._executor, function, *arguments, refusals=_REFUSALS)


_REFUSALS = {
    FileNotFoundError: Refused(404, "gone", "the picture was removed just now", "see / for the list"),
    PermissionError: Refused(403, "unreadable", "the picture may not be read", "check the file's permissions"),
}


def _query(rendition: Rendition) -> str:
    text = f"size={rendition.width}x{rendition.height}&fit={rendition.fit}&format={rendition.format}"
    if rendition.format == "jpeg":
        text += f"&quality={rendition.quality}"
    if rendition.background != (0, 0, 0):
        text += "&background={:02x}{:02x}{:02x}".format(*rendition.background)
    return text
