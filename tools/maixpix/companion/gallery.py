"""The gallery: what boards sent, live in a browser, with thumbnails, download and delete."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from aiohttp import web

from maixpix.companion import pages
from maixpix.companion.boards import BoardDesk
from maixpix.companion.cache import RenditionCache
from maixpix.companion.convert import Rendition
from maixpix.companion.decoding.decoders import Decoders
from maixpix.companion.decoding.queue import Caller
from maixpix.companion.events import EventHub
from maixpix.companion.forms import read_form
from maixpix.companion.hosts import PageSecret
from maixpix.companion.pictures import MEDIA_TYPES
from maixpix.companion.problems import Refused
from maixpix.companion.respond import Representation, send
from maixpix.companion.settings import ServeSettings
from maixpix.companion.sniff import HEAD_BYTES, media_type_of
from maixpix.companion.uploads.log import Stored
from maixpix.companion.uploads.storage import UploadStore
from maixpix.companion.work import as_refusals, in_thread

PER_PAGE = 60
PER_LISTING = 1000

Result = TypeVar("Result")


class Gallery:
    """Request handlers of `/gallery` and `/uploads/`."""

    def __init__(
        self,
        settings: ServeSettings,
        store: UploadStore,
        hub: EventHub,
        cache: RenditionCache,
        decoders: Decoders,
        executor: Executor,
    ) -> None:
        self.settings = settings
        self.store = store
        self.hub = hub
        self.cache = cache
        self._decoders = decoders
        self._executor = executor
        self._secret = PageSecret()
        self.desk = BoardDesk(settings, self._secret, hub)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/gallery", self.page),
            web.post("/gallery/delete", self.delete_by_form),
            *self.desk.routes(),
            web.get("/events", self.hub.events, allow_head=False),
            web.get("/uploads.json", self.listing),
            web.get("/uploads/{day}/{name}", self.upload),
            web.delete("/uploads/{day}/{name}", self.delete),
        ]

    async def page(self, request: web.Request) -> web.Response:
        """The latest uploads; further ones arrive by `/events`."""
        page = pages.page_number(request.query.get("page", "1"))
        stored = await self._run(self.store.list)
        start = (page - 1) * PER_PAGE
        html = pages.gallery(
            [card(entry, note) for entry, note in await self._run(self._noted, stored[start : start + PER_PAGE])],
            total=len(stored),
            page=page,
            last=max(1, -(-len(stored) // PER_PAGE)),
            secret=self._secret.value,
            boards=self.desk.present(),
            allow_delete=self.settings.may_delete,
            deleted=await self._run(self.store.deleted) if page == 1 else [],
        )
        return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})

    async def listing(self, request: web.Request) -> web.Response:
        """Uploads as JSON, the latest first; `count` is the number of all, `next` leads to older ones."""
        stored = await self._run(self.store.list)
        page = pages.page_number(request.query.get("page", "1"))
        start, stop = (page - 1) * PER_LISTING, page * PER_LISTING
        found: dict[str, object] = {"count": len(stored), "uploads": [card(entry) for entry in stored[start:stop]]}
        if stop < len(stored):
            found["next"] = f"/uploads.json?page={page + 1}"
        return web.json_response(found, headers={"Cache-Control": "no-store"})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """One upload as it came, or as a rendition; `download=1` has the browser save it."""
        rendition = Rendition.parse(request.query, None)
        file = f"{request.match_info['day']}/{request.match_info['name']}"
        stored, path = await self._run(self.store.find, file)
        if rendition is not None:

            async def make(caller: Caller) -> bytes:
                with as_refusals(_REFUSALS):
                    return await self._decoders.convert(path, rendition, caller, is_foreign=True)

            entry = await self.cache.get(f"upload {stored.sha256}", rendition.key, make, Caller.of(request))
            found = Representation(entry.body, len(entry.body), entry.digest, rendition.media_type)
            return await send(request, found, self.settings.http.write_s)
        kind = media_type_of(await self._run(_head, path))
        headers = {}
        # What is no picture is never shown by the browser, whatever it claims to be.
        if kind is None or "download" in request.query:
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(path.name, safe='')}"
        found = Representation(
            path, stored.size, bytes.fromhex(stored.sha256), kind or "application/octet-stream", headers
        )
        return await send(request, found, self.settings.http.write_s)

    async def delete(self, request: web.Request) -> web.Response:
        """Remove an upload; asked by the page's script."""
        self._check_may_delete(request, request.headers.get("X-Maixpix-Secret", ""))
        await self._run(self.store.delete, f"{request.match_info['day']}/{request.match_info['name']}")
        return web.Response(status=204)

    async def delete_by_form(self, request: web.Request) -> web.Response:
        """Remove an upload; asked by the page's form where no script runs."""
        form = await read_form(request, self.settings.http.form_s)
        self._check_may_delete(request, form.get("secret", ""))
        await self._run(self.store.delete, form.get("file", ""))
        return web.Response(status=303, headers={"Location": "/gallery"})

    def _noted(self, entries: list[Stored]) -> list[tuple[Stored, str]]:
        """Each with what should be known of it besides."""
        return [(entry, self._note(entry)) for entry in entries]

    def _note(self, entry: Stored) -> str:
        if not self.store.is_there(entry):
            return "the file is no longer in the uploads folder"
        again = self.store.latest_again(entry.file)
        return again_text(again) if again is not None else ""

    def _check_may_delete(self, request: web.Request, secret: str) -> None:
        if not self.settings.may_delete:
            raise Refused(403, "no-delete", "deleting is switched off", "remove the file from the uploads folder")
        self._secret.check(request, secret)

    async def _run(self, function: Callable[..., Result], *arguments: object) -> Result:
        return await in_thread(self._executor, function, *arguments, refusals=_REFUSALS)


_REFUSALS = {FileNotFoundError: Refused(404, "gone", "the upload was removed just now", "see /gallery for the list")}


def again_text(stored: Stored) -> str:
    """What is said of an upload whose content has come once more, as `stored`."""
    return f"the same came again as {stored.name} from {stored.board or stored.sender}"


def card(stored: Stored, note: str = "") -> dict[str, object]:
    """A stored upload as the page, its script and `/uploads.json` show it."""
    suffix = Path(stored.file).suffix.lower()
    return {
        "url": "/uploads/" + quote(stored.file),
        "sizeText": pages.size_text(stored.size),
        "picture": suffix in MEDIA_TYPES,
        "kind": suffix.removeprefix(".") or "file",
        "note": note,
        "again": again_text(stored),
        **stored.line(),
    }


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
