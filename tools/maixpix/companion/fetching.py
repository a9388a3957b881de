"""`/fetch`: a picture from the web, brought in on a board's behalf.

Boards have no usable TLS, so the companion fetches for them. Off unless allowed, because whoever can reach the
companion could otherwise look into the network around it: only http and https, only public addresses (checked where
the connection is made, after name resolution, on every redirect), bounded in size and time, no cookies, no proxies.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import Executor
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from maixpix.companion.cache import RenditionCache
from maixpix.companion.convert import Rendition, convert
from maixpix.companion.problems import Refused
from maixpix.companion.respond import Representation, send
from maixpix.companion.settings import ServeSettings
from maixpix.companion.sniff import media_type_of

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_REDIRECTS = (301, 302, 303, 307, 308)


def is_public(address: str) -> bool:
    """True for an address on the open internet; the IPv4 address inside of a mapped or translated one counts."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class _PublicOnly(AbstractResolver):
    """Resolves names and drops what is not public, so that the address checked is the address connected to."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        usable = [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, address in found
            if is_public(str(address[0]))
        ]
        if not usable:
            raise _private(host)
        return usable

    async def close(self) -> None:
        """Nothing is held."""


def _public_socket(address: tuple[Any, ...]) -> socket.socket:
    """The last look before connecting, whatever way an address took here (aiohttp does not resolve 127.1)."""
    family, kind, protocol, _, where = address
    if not is_public(str(where[0])):
        raise _private(str(where[0]))
    return socket.socket(family, kind, protocol)


class _PictureInPage(HTMLParser):
    """Finds the picture that a page names for previews (`og:image`, `twitter:image`)."""

    def __init__(self) -> None:
        super().__init__()
        self.url: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        kind = (given.get("property") or given.get("name") or "").lower()
        if tag == "meta" and self.url is None and kind in ("og:image", "og:image:url", "twitter:image"):
            self.url = given.get("content")


class WebFetching:
    """Request handler of `/fetch?url=...`, with the same rendition parameters as `/pictures`."""

    def __init__(self, settings: ServeSettings, cache: RenditionCache, executor: Executor) -> None:
        self.settings = settings
        self.cache = cache
        self._executor = executor
        self._places = asyncio.Semaphore(settings.fetch.at_once)

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        """The picture behind `url`, or behind the preview picture that the page at `url` names."""
        if not self.settings.allow_fetch:
            raise Refused(403, "fetch-off", "fetching from the web is off", "start the companion with --allow-fetch")
        rendition = Rendition.parse(request.query, None)
        url = request.query.get("url", "")
        async with self._places:
            try:
                body = await asyncio.wait_for(self._bring(url), self.settings.fetch.total_s)
            except (asyncio.TimeoutError, TimeoutError):
                limit = f"{self.settings.fetch.total_s:g} s"
                raise Refused(504, "fetch-slow", f"{_host(url)} took longer than {limit}", "try again later") from None
        loop = asyncio.get_running_loop()
        digest = await loop.run_in_executor(self._executor, lambda: hashlib.sha256(body).digest())
        if rendition is None:
            kind = media_type_of(body[:64])
            if kind is None:
                raise Refused(415, "not-a-picture", f"{_host(url)} sent no picture", "name the picture's own address")
            found = Representation(body, len(body), digest, kind)
        else:
            entry = await self.cache.get(
                f"web {digest.hex()}\0{rendition.key}",
                lambda: loop.run_in_executor(self._executor, self._convert, body, rendition),
            )
            found = Representation(entry.body, len(entry.body), entry.digest, rendition.media_type)
        return await send(request, found, self.settings.http.write_s)

    def _convert(self, body: bytes, rendition: Rendition) -> bytes:
        return convert(io.BytesIO(body), rendition, self.settings.pictures)

    async def _bring(self, url: str) -> bytes:
        """Bytes of the picture at `url`; raises `Refused` for whatever goes wrong on the way."""
        guard = {} if self.settings.fetch_private else {"resolver": _PublicOnly(), "socket_factory": _public_socket}
        connector = aiohttp.TCPConnector(use_dns_cache=False, force_close=True, **guard)
        headers = {"User-Agent": "maixpix", "Accept": "image/*, text/html;q=0.5"}
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            try:
                kind, body, url = await self._follow(session, url)
                if kind != "text/html":
                    return body
                page = _PictureInPage()
                page.feed(body.decode("utf-8", "replace"))
                if not page.url:
                    raise Refused(
                        415,
                        "no-picture",
                        f"the page at {_host(url)} names no picture",
                        "name the picture's own address",
                    )
                kind, body, _ = await self._follow(session, urljoin(url, page.url))
                if kind == "text/html":
                    raise Refused(415, "no-picture", "the page leads to another page", "name the picture's own address")
                return body
            except aiohttp.ClientError as error:
                refused = _cause_of(error, lambda cause: isinstance(cause, Refused))
                if isinstance(refused, Refused):
                    raise refused from None
                raise Refused(
                    502, "fetch-failed", f"{_host(url)} cannot be reached: {error}", "check the address"
                ) from error
            except OSError as error:
                raise Refused(502, "fetch-failed", f"{_host(url)} failed: {error}", "check the address") from error

    async def _follow(self, session: aiohttp.ClientSession, url: str) -> tuple[str, bytes, str]:
        """Media type, body and final address."""
        limits = self.settings.fetch
        for _ in range(limits.max_redirects + 1):
            self._check(url)
            async with session.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS and "Location" in response.headers:
                    url = urljoin(url, response.headers["Location"])
                    continue
                if response.status != 200:
                    raise Refused(
                        502, "fetch-status", f"{_host(url)} answered {response.status}", "open the address in a browser"
                    )
                body = bytearray()
                # The count is of unpacked bytes: a small compressed answer cannot grow past the limit either.
                async for piece in response.content.iter_chunked(64 * 1024):
                    body += piece
                    if len(body) > limits.max_bytes:
                        raise Refused(
                            413,
                            "fetch-big",
                            f"{_host(url)} sends more than {limits.max_bytes} bytes",
                            "choose a smaller one",
                        )
                return response.content_type, bytes(body), url
        raise Refused(508, "fetch-loop", f"{_host(url)} redirects without end", "name the final address")

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
            raise _private(host)


def _private(host: str) -> Refused:
    return Refused(403, "fetch-private", f"{host[:80]} is no public address", "allow it with --fetch-private")


def _cause_of(error: BaseException | None, wanted: Callable[[BaseException], bool]) -> BaseException | None:
    while error is not None and not wanted(error):
        error = error.__cause__ or error.__context__
    return error


def _host(url: str) -> str:
    """Where an address leads, without credentials, for messages."""
    try:
        return urlsplit(url).hostname or "the address"
    except ValueError:
        return "the address"
