"""`/fetch`: a picture from the web, brought in on a board's behalf.

Boards have no usable TLS, so the companion fetches for them. Off unless allowed, because whoever can reach the
companion could otherwise look into the network around it: only http and https, only addresses of the open internet
(`maixpix.companion.addresses`), bounded in size and time, no cookies, no proxies, and a share for each who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import socket
import ssl
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp import web

from maixpix.companion.addresses import PublicOnly, is_public, private, public_socket
from maixpix.companion.cache import RenditionCache
from maixpix.companion.convert import Rendition
from maixpix.companion.decoding.decoders import PAGE_BYTES, Decoders
from maixpix.companion.decoding.queue import Caller
from maixpix.companion.problems import Refused
from maixpix.companion.requests import note
from maixpix.companion.respond import Representation, send
from maixpix.companion.settings import ServeSettings
from maixpix.companion.sniff import media_type_of
from maixpix.companion.webbodies import unpacked
from maixpix.companion.webheads import Answer, HeadLimit, LimitedConnector
from maixpix.companion.work import in_thread

_REDIRECTS = (301, 302, 303, 307, 308)
_PAGE = "text/html"

Error = TypeVar("Error", bound=BaseException)
Result = TypeVar("Result")


class WebFetching:
    """Request handler of `/fetch?url=...`, with the same rendition parameters as `/pictures`."""

    def __init__(self, settings: ServeSettings, cache: RenditionCache, decoders: Decoders, executor: Executor) -> None:
        self.settings = settings
        self.cache = cache
        self._decoders = decoders
        self._executor = executor
        self._places = asyncio.Semaphore(settings.fetch.at_once)
        self._asking: Counter[str] = Counter()

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        """The picture behind `url`, or behind the preview picture that the page at `url` names."""
        if not self.settings.allow_fetch:
            raise Refused(403, "fetch-off", "fetching from the web is off", "start the companion with --allow-fetch")
        rendition = Rendition.parse(request.query, None)
        url = request.query.get("url", "")
        caller = Caller.of(request)
        note(request, f"a picture of {_host(url)}")
        async with self._share(caller), contextlib.AsyncExitStack() as at_end:
            # A place is a picture in memory: until it is converted, or on disk for as long as its reader takes.
            async with self._places:
                body = await self._in_time(url, caller)
                found = await self._represent(body, url, rendition, caller, at_end)
                del body
            return await send(request, found, self.settings.http.write_s)

    async def _in_time(self, url: str, caller: Caller) -> bytearray:
        try:
            return await asyncio.wait_for(self._bring(url, caller), self.settings.fetch.total_s)
        except (asyncio.TimeoutError, TimeoutError):
            limit = f"{self.settings.fetch.total_s:g} s"
            raise Refused(504, "fetch-slow", f"{_host(url)} took longer than {limit}", "try again later") from None

    async def _represent(
        self, body: bytearray, url: str, rendition: Rendition | None, caller: Caller, at_end: contextlib.AsyncExitStack
    ) -> Representation:
        """What is sent: a conversion, or a file that `at_end` removes."""
        digest = await self._run(lambda: hashlib.sha256(body).digest())
        if rendition is not None:
            entry = await self.cache.get(
                f"web {digest.hex()}",
                rendition.key,
                lambda caller: self._decoders.convert(body, rendition, caller, is_foreign=True),
                caller,
            )
            return Representation(entry.body, len(entry.body), entry.digest, rendition.media_type)
        kind = media_type_of(bytes(body[:64]))
        if kind is None:
            raise Refused(415, "not-a-picture", f"{_host(url)} sent no picture", "name the picture's own address")
        folder = await self._run(lambda: tempfile.TemporaryDirectory(prefix="maixpix-", ignore_cleanup_errors=True))
        at_end.push_async_callback(self._run, folder.cleanup)
        file = Path(folder.name) / "picture"
        await self._run(lambda: file.write_bytes(body))
        return Representation(file, len(body), digest, kind)

    async def _run(self, function: Callable[[], Result]) -> Result:
        return await in_thread(self._executor, function)

    @contextlib.asynccontextmanager
    async def _share(self, caller: Caller) -> AsyncIterator[None]:
        """A share of what can be asked for at once, of which nobody gets all; whoever wants more has to ask again."""
        limits = self.settings.fetch
        if self._asking[caller.address] >= limits.each or sum(self._asking.values()) >= limits.most:
            raise Refused(503, "fetch-busy", "too many fetches are under way", "ask again in 2 s", {"Retry-After": "2"})
        self._asking[caller.address] += 1
        try:
            yield
        finally:
            self._asking[caller.address] -= 1
            self._asking += Counter()  # drops what has come down to nothing

    async def _bring(self, url: str, caller: Caller) -> bytearray:
        """Bytes of the picture at `url`; raises `Refused` for whatever goes wrong on the way."""
        guard: dict[str, Any] = {}
        if not self.settings.fetch_private:
            guard = {"resolver": PublicOnly(), "socket_factory": public_socket}
        connector = LimitedConnector(use_dns_cache=False, force_close=True, **guard)
        headers = {"User-Agent": "maixpix", "Accept": "image/*, text/html;q=0.5", "Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(
            connector=connector,
            response_class=Answer,
            auto_decompress=False,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        ) as session:
            kind, body, url = await self._follow(session, url)
            if kind != _PAGE:
                return body
            named = await self._decoders.picture_of_page(body, caller)
            if not named:
                raise Refused(
                    415, "no-picture", f"the page at {_host(url)} names no picture", "name the picture's own address"
                )
            kind, body, _ = await self._follow(session, _join(url, named))
            if kind == _PAGE:
                raise Refused(415, "no-picture", "the page leads to another page", "name the picture's own address")
            return body

    async def _follow(self, session: aiohttp.ClientSession, url: str) -> tuple[str, bytearray, str]:
        """Media type, body (of a page its beginning) and final address."""
        for _ in range(self.settings.fetch.max_redirects + 1):
            self._check(url)
            try:
                async with session.get(url, allow_redirects=False) as response:
                    if response.status in _REDIRECTS and "Location" in response.headers:
                        url = _join(url, response.headers["Location"])
                        continue
                    if response.status != 200:
                        raise Refused(
                            502, "fetch-status", f"{_host(url)} answered {response.status}",
                            "open the address in a browser",
                        )  # fmt: skip
                    return response.content_type, await self._body(response, url), url
            except (aiohttp.ClientError, OSError, ValueError) as error:
                if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
                    raise
                raise _sentence(error, _host(url)) from error
        raise Refused(508, "fetch-loop", f"{_host(url)} redirects without end", "name the final address")

    async def _body(self, response: aiohttp.ClientResponse, url: str) -> bytearray:
        limit = self.settings.fetch.max_bytes
        body = bytearray()
        async for piece in unpacked(response):
            body += piece
            if response.content_type == _PAGE:
                if len(body) >= PAGE_BYTES:
                    break
            elif len(body) > limit:
                raise Refused(413, "fetch-big", f"{_host(url)} sends more than {limit} bytes", "choose a smaller one")
        return body  # as it is: a copy would be as big again

    def _check(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host, parts = None, urlsplit("")
        if parts.scheme not in ("http", "https") or not host or len(url) > 4096:
            raise Refused(400, "bad-url", "only http and https addresses can be fetched", "write url=https://...")
        if self.settings.fetch_private:
            return
        try:
            ipaddress.ip_address(host.split("%")[0])
        except ValueError:
            return  # a name: checked when it is resolved
        if not is_public(host):
            raise private(host)


def _sentence(error: Exception, host: str) -> Refused:
    """A library's error in words of ours."""
    for kind, code, words, remedy in (
        (HeadLimit, "fetch-head", "does not come to the point: its answer has no end of headers", "name another one"),
        (
            aiohttp.ClientConnectorCertificateError,
            "fetch-tls",
            "shows a certificate that is not trusted",
            "try http://",
        ),
        (ssl.SSLError, "fetch-tls", "does not speak TLS as it should", "try http://"),
        (socket.gaierror, "fetch-name", "is not known to the name server", "check the address"),
        (ConnectionRefusedError, "fetch-failed", "refuses connections at that port", "check the address"),
        (aiohttp.ClientPayloadError, "fetch-cut", "broke off before the end", "try again later"),
        (aiohttp.ServerDisconnectedError, "fetch-cut", "hung up without an answer", "try again later"),
        (aiohttp.InvalidURL, "bad-url", "has an address that cannot be read", "write url=https://..."),
        (aiohttp.ClientResponseError, "fetch-http", "does not answer in HTTP", "check the address"),
        (OSError, "fetch-failed", "cannot be reached", "check the address"),
    ):
        if _cause(error, kind) is not None:
            return _cause(error, Refused) or Refused(502, code, f"{host} {words}", remedy)
    return _cause(error, Refused) or Refused(502, "fetch-failed", f"{host} cannot be reached", "check the address")


def _cause(error: BaseException | None, kind: type[Error]) -> Error | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _join(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:
        return ""  # refused when it is looked at


def _host(url: str) -> str:
    """Where an address leads, without credentials, for messages."""
    try:
        return (urlsplit(url).hostname or "the address")[:80]
    except ValueError:
        return "the address"
