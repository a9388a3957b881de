"""The companion as one object: starts the doors, puts the handlers together, ends cleanly.

Longer than 350 lines: one start and one end of everything that serves.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from maixpix.companion import pages
from maixpix.companion.access import Access
from maixpix.companion.cache import RenditionCache
from maixpix.companion.decoding.decoders import Decoders
from maixpix.companion.doorway import Doorway
from maixpix.companion.events import EventHub
from maixpix.companion.fetching import WebFetching
from maixpix.companion.gallery import Gallery, card
from maixpix.companion.gate import Gate
from maixpix.companion.hosts import is_own_name
from maixpix.companion.problems import Refused
from maixpix.companion.requests import RequestLog, log_upload
from maixpix.companion.saying import HttpLog
from maixpix.companion.serving import PictureServing
from maixpix.companion.settings import ServeSettings
from maixpix.companion.states import StateDesk
from maixpix.companion.updates import UpdateDoor
from maixpix.companion.uploads.log import Stored
from maixpix.companion.uploads.storage import UploadStore
from maixpix.companion.uploads.tcp import TcpDoor
from maixpix.companion.uploads.tus import TusDoor
from maixpix.errors import UserError

log = logging.getLogger("maixpix.companion")

CLEAN_EVERY_S = 3600.0
"""Between two looks for unfinished uploads that nobody goes on with."""

_UPLOAD_THREADS = 4
_DISK_THREADS = 4

_READ_AHEAD = 128 * 1024
"""Bytes of one request body after which reading waits for the disk (aiohttp holds up to twice as many)."""

Opened = TypeVar("Opened")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Companion:
    """The picture server; ``async with Companion(settings) as companion`` keeps it open.

    Raises `UserError` at start for unusable settings, a port in use and the like. `port` and `tcp_port` tell where it
    really listens.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.port = 0
        self.tcp_port: int | None = None
        self.serving: PictureServing | None = None
        self.store: UploadStore | None = None
        self.gate: Gate | None = None
        self.decoders: Decoders | None = None
        self._access = Access(settings)
        self._requests = RequestLog()
        self.desk = StateDesk(settings)
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self._writers = ThreadPoolExecutor(_UPLOAD_THREADS, "maixpix-upload")

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it, without a final slash."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.settings.host, self.settings.host)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}:{self.port}"

    async def __aenter__(self) -> Companion:
        self.settings.check()
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stop()

    async def warm(self) -> None:
        """Start the decoders now, so that the first boards do not wait for them."""
        if self.decoders is not None:
            try:
                await self.decoders.warm()
            except OSError as error:
                log.warning("no decoder can be started: %s", error.strerror)

    async def _start(self) -> None:
        settings = self.settings
        self._on_close(lambda: asyncio.to_thread(self._writers.shutdown))
        pool = ThreadPoolExecutor(_DISK_THREADS, "maixpix-picture")
        self._on_close(lambda: asyncio.to_thread(pool.shutdown, cancel_futures=True))
        decoders = self.decoders = Decoders(settings.pictures)
        self._on_close(decoders.close)
        folder = settings.cache_dir or self._scratch()
        limits = settings.pictures
        cache = RenditionCache(folder, limits.cache_memory_bytes, limits.cache_disk_bytes, pool)
        try:
            await asyncio.to_thread(cache.open)
        except OSError as error:
            raise UserError(
                f"the cache folder {folder} is not usable ({error.strerror})", "name another one"
            ) from error
        self._on_close(cache.close)
        self.serving = PictureServing(settings, cache, decoders, pool)
        self._on_close(self.serving.playlists.close)
        app = web.Application(middlewares=[self._guard], client_max_size=64 * 1024)
        app.on_response_prepare.append(_harden)
        app.router.add_routes(self.serving.routes())
        app.router.add_get("/fetch", WebFetching(settings, cache, decoders, pool).fetch)
        app.router.add_get("/static/{name}", self._static)
        app.router.add_routes(self.desk.routes())
        if settings.update:
            app.router.add_routes(UpdateDoor(settings, pool).routes())
        if settings.is_guarded:
            app.router.add_routes(self._access.routes())
        if settings.uploads is not None:
            await self._receive_into(settings.uploads, app, cache, decoders, pool)
        await self._listen(app)
        if self.store is not None and settings.tcp_port is not None:
            await self._listen_raw(self.store, settings.tcp_port)

    def _scratch(self) -> Path:
        scratch = tempfile.TemporaryDirectory(prefix="maixpix-", ignore_cleanup_errors=True)
        self._on_close(lambda: asyncio.to_thread(scratch.cleanup))
        return Path(scratch.name)

    async def _receive_into(
        self, uploads: Path, app: web.Application, cache: RenditionCache, decoders: Decoders, pool: Executor
    ) -> None:
        settings = self.settings
        hub = EventHub(settings.http)

        def tell(what: str, stored: Stored) -> None:
            hub.publish(what, card(stored))
            log_upload(what, stored)

        store = UploadStore(uploads, settings.upload_limits, tell)
        try:
            await asyncio.to_thread(store.open)
        except OSError as error:
            raise UserError(
                f"the uploads folder {uploads} is not usable ({error.strerror})",
                "name another one by --uploads, or receive nothing by --no-uploads",
            ) from error
        self.store = store
        self._on_close(lambda: asyncio.to_thread(store.close))
        app.router.add_routes(TusDoor(settings, store, self._writers).routes())
        app.router.add_routes(Gallery(settings, store, hub, cache, decoders, pool).routes())
        cleaner = asyncio.create_task(self._expire_hourly(store))
        self._on_close(lambda: _cancel(cleaner))

        # aiohttp waits for open requests when it stops; live views would never end by themselves.
        async def end_live_views(app: web.Application) -> None:
            hub.close()

        app.on_shutdown.append(end_live_views)

    async def _expire_hourly(self, store: UploadStore) -> None:
        while True:
            try:
                if dropped := await _loop().run_in_executor(self._writers, store.expire):
                    log.info("%d old unfinished uploads were dropped", dropped)
            except Exception:
                log.exception("old unfinished uploads could not be dropped; trying again in an hour")
            await asyncio.sleep(CLEAN_EVERY_S)

    async def _listen_raw(self, store: UploadStore, port: int) -> None:
        door = TcpDoor(self.settings, store, self._writers)
        listening = await self._bind(lambda: door.listen(_socket(self.settings.host, port)), port)
        self.tcp_port = listening.sockets[0].getsockname()[1]
        self._on_close(door.close)

        async def stop_listening() -> None:
            listening.close()

        self._on_close(stop_listening)

    async def _listen(self, app: web.Application) -> None:
        settings = self.settings
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=HttpLog(log, {}),
            keepalive_timeout=settings.http.keepalive_s,
            lingering_time=2.0,
            read_bufsize=_READ_AHEAD,
            shutdown_timeout=2.0,
        )
        await runner.setup()
        self._on_close(runner.cleanup)
        if runner.server is None:
            raise RuntimeError("aiohttp made no server")
        self.gate = Gate(runner.server, settings.http)
        gate = self.gate

        async def open_door() -> Doorway:
            sock = _socket(settings.host, settings.port)
            self.port = sock.getsockname()[1]
            doorway = Doorway(sock, gate)
            await doorway.open()
            return doorway

        doorway = await self._bind(open_door, settings.port)

        async def stop_listening() -> None:
            doorway.close()

        self._on_close(stop_listening)

    async def _bind(self, start: Callable[[], Awaitable[Opened]], port: int) -> Opened:
        """Open a port, or say in words why not."""
        try:
            return await start()
        except OSError as error:
            where = f"{self.settings.host} port {port}"
            if error.errno == errno.EADDRINUSE:
                raise UserError(f"{where} is in use", "stop the other program or choose another --port") from error
            if error.errno == errno.EACCES:
                raise UserError(f"{where} is reserved for the system", "choose a --port above 1023") from error
            raise UserError(f"cannot listen on {where}: {error.strerror}", "check --host and --port") from error

    def _on_close(self, action: Callable[[], Awaitable[None]]) -> None:
        self._closing.append(action)

    async def _stop(self) -> None:
        while self._closing:
            try:
                await self._closing.pop()()
            except Exception:
                log.exception("while stopping")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Admits a request, and turns every failure into one line for its sender."""
        self._requests.began(request)
        try:
            if self.gate is not None:
                self.gate.greet(request)
            # Whoever has hung up right behind the request is known to be gone one turn of the loop later.
            await asyncio.sleep(0)
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError("the peer did not wait for its answer")
            if "Host" in request.headers and not is_own_name(request.headers["Host"], self.settings.names):
                raise Refused(
                    421,
                    "foreign-host",
                    "this name does not belong to the companion",
                    "use its address, or start it with --name",
                )
            self.desk.hear(request)
            response = self._access.check(request) or await handler(request)
            self._requests.answered(request, response)
            return response
        except Refused as refused:
            self._requests.refused(request, refused)
            return refused.response(request)
        except web.HTTPException as error:
            return _http_problem(error).response(request)
        except ConnectionError:
            # The peer went away or stopped reading; there is nobody to tell.
            if request.transport is not None:
                request.transport.abort()
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return Refused(500, "internal", "the companion failed", "see its log for the reason").response(request)
        finally:
            if self.gate is not None:
                self.gate.part(request)

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if (kind := pages.static_type(name)) is None:
            raise web.HTTPNotFound
        try:
            body = pages.asset(name)
        except FileNotFoundError:
            raise web.HTTPNotFound from None
        return web.Response(body=body, content_type=kind, headers={"Cache-Control": "max-age=300"})


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in pages.SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "maixpix"


def _http_problem(error: web.HTTPException) -> Refused:
    if error.status == 404:
        return Refused(404, "not-found", "there is nothing at this address", "see / for what there is")
    if error.status == 405:
        headers = {"Allow": error.headers.get("Allow", "")}
        return Refused(405, "method", "this address does not take that method", f"use {headers['Allow']}", headers)
    if error.status == 413:
        return Refused(413, "too-big", "the request body is too big", "send less")
    return Refused(error.status, "http", error.reason or "the request failed", "see / for what there is")


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _socket(host: str, port: int) -> socket.socket:
    """A listening address made ready; one socket, so that port 0 means one port."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would let two servers share one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
