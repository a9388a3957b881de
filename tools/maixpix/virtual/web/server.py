"""The page's HTTP server: in a thread of its own, on loopback only; everything of the board is asked for by mailbox.

Who is let in is `maixpix.virtual.web.key`'s to say.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import io
import json
import logging
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from maixpix.companion.gate import Gate
from maixpix.companion.pages import SECURITY_HEADERS, static_type
from maixpix.companion.problems import Refused
from maixpix.companion.respond import Representation, send
from maixpix.companion.saying import HttpLog
from maixpix.companion.settings import HttpLimits
from maixpix.errors import UserError
from maixpix.virtual.web import card_files
from maixpix.virtual.web.key import PageKey
from maixpix.virtual.web.view import Cursor, LiveView

if TYPE_CHECKING:
    from maixpix.virtual.live import LiveBoard

log = logging.getLogger("maixpix.virtual.web")

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOOK_S = 0.1
"""Between two looks at the board for each open page."""
_ASK_S = 10.0
_WRITE_S = 10.0
_BEAT_S = 5.0
_PAGES = 8
_TYPED = 8192
_HTTP = HttpLimits(head_s=10.0, form_s=10.0, max_connections=64, max_per_address=64)


class LiveServer:
    """The application. `asking` runs a function in the engine's thread and waits for its result."""

    def __init__(self, live: LiveBoard, port: int) -> None:
        self.key = PageKey(port)
        self.gate: Gate | None = None
        self._mailbox = live.mailbox
        self._view = LiveView(live)
        self._pages = 0
        self._ending: asyncio.Event | None = None
        self.app = web.Application(middlewares=[self._guard], client_max_size=64 * 1024)
        self.app.on_response_prepare.append(_harden)
        self.app.on_startup.append(self._start)
        self.app.on_shutdown.append(self._end)
        self.app.router.add_get("/", self._page)
        self.app.router.add_get("/static/{name}", self._static)
        self.app.router.add_get("/panel.png", self._panel)
        self.app.router.add_get("/events", self._events)
        self.app.router.add_get("/card.json", self._card)
        self.app.router.add_get("/card/{path:.+}", self._download)
        self.app.router.add_post("/type", self._type)
        self.app.router.add_post("/key", self._key)
        self.app.router.add_post("/reset", self._reset)

    async def _start(self, _app: web.Application) -> None:
        self._ending = asyncio.Event()

    async def _end(self, _app: web.Application) -> None:
        # aiohttp waits for open requests; live pages would never end by themselves.
        if self._ending is not None:
            self._ending.set()

    async def asking(self, function: Callable[[], T]) -> T:
        """Run `function` in the engine's thread. HTTP 503 when the board is switched off or does not listen."""
        future = self._mailbox.ask(function)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), _ASK_S)
        except (asyncio.TimeoutError, TimeoutError):
            raise web.HTTPServiceUnavailable(text="the board is too busy to answer; try again\n") from None
        except asyncio.CancelledError:
            if not future.cancelled() or _is_cancelled():
                raise
            raise web.HTTPServiceUnavailable(text="the board is switched off\n") from None

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if self.gate is not None:
                self.gate.greet(request)
            if request.path.startswith("/static/"):
                self.key.check_host(request)
            elif (response := self.key.admit(request)) is not None:
                return response
            return await handler(request)
        except Refused as refused:
            return refused.response(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return Refused(500, "internal", "the page's server failed", "see the terminal").response(request)
        finally:
            if self.gate is not None:
                self.gate.part(request)

    # -- the page -----------------------------------------------------------------------------------------

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(body=_asset("page.html"), content_type="text/html", charset="utf-8")

    async def _static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if (kind := static_type(name)) is None:
            raise web.HTTPNotFound
        try:
            return web.Response(body=_asset(name), content_type=kind, charset="utf-8")
        except FileNotFoundError:
            raise web.HTTPNotFound from None

    async def _panel(self, _request: web.Request) -> web.Response:
        picture = await self.asking(self._view.panel)

        def encode() -> bytes:
            out = io.BytesIO()
            picture.save(out, "PNG")
            return out.getvalue()

        return web.Response(body=await asyncio.to_thread(encode), content_type="image/png")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: hello, console, log, panel, card, time; each with a JSON object."""
        if self._pages >= _PAGES:
            raise web.HTTPServiceUnavailable(text="too many pages are open; close some\n")
        self._pages += 1
        try:
            about = await self.asking(self._view.about)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            # Pages are closed, and stop reading, at any time; that is no error of anybody's.
            with contextlib.suppress(ConnectionError, asyncio.TimeoutError, TimeoutError):
                # What it knew of a board before is void: it gets the whole story again.
                await _send(response, [("hello", about)], "retry: 1000\n")
                await self._follow(response)
            return response
        finally:
            self._pages -= 1

    async def _follow(self, response: web.StreamResponse) -> None:
        if self._ending is None:
            raise RuntimeError("the server was not started")
        cursor = Cursor()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        loop = asyncio.get_running_loop()
        told = 0.0
        while not self._ending.is_set():
            try:
                news = await self.asking(lambda: self._view.since(cursor))
            except web.HTTPServiceUnavailable:
                await _send(response, [("gone", {})])
                return
            if "console" in news:
                news["console"] = {"text": decoder.decode(news["console"])}
            events = [(kind, data) for kind, data in news.items() if kind != "time"]
            if events or loop.time() - told > _BEAT_S / 10:
                told = loop.time()
                await _send(response, [*events, ("time", news["time"])])
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _LOOK_S)

    # -- the card -----------------------------------------------------------------------------------------

    async def _card(self, _request: web.Request) -> web.Response:
        folder = await self.asking(self._view.card_folder)
        files, more = await asyncio.to_thread(card_files.listing, folder) if folder is not None else ([], False)
        return web.json_response({"present": folder is not None, "files": files, "more": more})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        folder = await self.asking(self._view.card_folder)
        path = await asyncio.to_thread(card_files.inside, folder, request.match_info["path"])
        if path is None:
            raise web.HTTPNotFound(text="there is no such file on the card\n")
        # Not aiohttp's own way to send a file, which would give out one called the same with .gz, link or not.
        size, digest = await asyncio.to_thread(card_files.sized, path)
        headers = {"Content-Disposition": "attachment", "Cache-Control": "no-store"}
        return await send(request, Representation(path, size, digest, "application/octet-stream", headers), _WRITE_S)

    # -- hands --------------------------------------------------------------------------------------------

    async def _type(self, request: web.Request) -> web.Response:
        text = await _field(request, "text", str)
        if len(text) > _TYPED:
            raise web.HTTPRequestEntityTooLarge(_TYPED, len(text))
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            raise web.HTTPBadRequest(text="half a character cannot be typed\n")
        await self.asking(lambda: self._view.type(text))
        return web.Response(status=204)

    async def _key(self, request: web.Request) -> web.Response:
        down = await _field(request, "down", bool)
        await self.asking(lambda: self._view.press(down))
        return web.Response(status=204)

    async def _reset(self, _request: web.Request) -> web.Response:
        await self.asking(self._view.reset)
        return web.Response(status=204)


@contextlib.contextmanager
def serving(live: LiveBoard, port: int) -> Iterator[str]:
    """Serve the page of `live` on loopback `port` (0 picks one) beside it; gives the address with its key.

    Enter it before the board runs. Raises UserError when the port cannot be had.
    """
    listening = _listening(port)
    port = listening.getsockname()[1]
    server = LiveServer(live, port)
    ready: threading.Event = threading.Event()
    failed: list[BaseException] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        runner = web.AppRunner(
            server.app, handle_signals=False, access_log=None, logger=HttpLog(log, {}), shutdown_timeout=2.0
        )
        await runner.setup()
        if runner.server is None:
            raise RuntimeError("aiohttp made no server")
        server.gate = Gate(runner.server, _HTTP)
        doors = await loop.create_server(server.gate, sock=listening)
        try:
            ready.set()
            await stop.wait()
        finally:
            doors.close()
            await runner.cleanup()

    def work() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:  # noqa: BLE001  handed to the thread that asked
            failed.append(error)
        finally:
            ready.set()
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=work, name="maixpix-live-web", daemon=True)
    thread.start()
    ready.wait()
    if failed:
        raise failed[0]
    try:
        yield server.key.url
    finally:
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)


async def _send(response: web.StreamResponse, events: list[tuple[str, Any]], before: str = "") -> None:
    text = before + "".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in events)
    await asyncio.wait_for(response.write(text.encode()), _WRITE_S)


async def _field(request: web.Request, name: str, kind: type[T]) -> T:
    try:
        value = (await asyncio.wait_for(request.json(), _HTTP.form_s))[name]
    except (asyncio.TimeoutError, TimeoutError):
        raise web.HTTPRequestTimeout(text="the rest of the request did not come\n") from None
    except (ValueError, LookupError, TypeError, RecursionError):  # LookupError: no such field, or no such charset
        value = None
    if not isinstance(value, kind):
        raise web.HTTPBadRequest(text=f"send a JSON object with {name} ({kind.__name__})\n")
    return value


def _asset(name: str) -> bytes:
    return (resources.files("maixpix.virtual.web") / "static" / name).read_bytes()


def _listening(port: int) -> socket.socket:
    listening = socket.socket()
    try:
        if sys.platform != "win32":  # there it would let two servers share one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise UserError(f"the page cannot have port {port} ({error.strerror})", "choose another --web") from None
    return listening


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    cancelling = getattr(task, "cancelling", None)  # from Python 3.11 on
    return bool(cancelling is not None and cancelling())


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "maixpix"
