"""Requests over aiohttp, with redirects followed by hand."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from maixpix.download.answer import Answer, read_answer
from maixpix.download.options import Options
from maixpix.download.reply import Reply, Response, trouble_of
from maixpix.download.trouble import DownloadError, Lie
from maixpix.download.version import Version, join_digests, linked_digest

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout  # aiohttp needs it there too

MAX_REDIRECTS = 12
READ_BUFFER = 64 * 1024
"""Bytes that aiohttp keeps ahead of us on one connection; it stops reading at twice as many."""

HEAD_S = 5.0
"""Seconds beyond the idle time that an answer's head may take, with the connection before it."""

_SINGLE = ("Content-Range", "Content-Length", "ETag", "Last-Modified", "Content-Encoding", "Location")
_REDIRECTS = (301, 302, 303, 307, 308)
_SECRETS = ("authorization", "cookie", "proxy-authorization")


class Client:
    """A session with the options' headers, secrets and limits; use it as an asynchronous context."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        options = self._options
        timeout = aiohttp.ClientTimeout(
            total=None, connect=None, sock_connect=options.connect_s, sock_read=options.idle_s
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=options.per_host),
            timeout=timeout,
            auto_decompress=False,
            trust_env=_has_environment(),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            read_bufsize=READ_BUFFER,
            response_class=Response,
            headers={"User-Agent": "maixpix", "Accept-Encoding": "identity", "Accept": "*/*"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def open(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Ask for `url` and follow redirects. Raises `Trouble` for another attempt, `DownloadError` for none."""
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        check_url(url)
        home, digests, seen = _origin(url), {}, []
        is_conditional = "If-None-Match" in headers or "If-Modified-Since" in headers
        is_gzip_wanted = urlsplit(url).path.lower().endswith((".gz", ".tgz", ".svgz"))
        for _ in range(MAX_REDIRECTS):
            response = await self._ask(url, headers, home)
            try:
                _check_single(response.headers)
                digests = join_digests(digests, linked_digest(response.headers))
                target = response.headers.get("Location")
                if response.status not in _REDIRECTS or target is None:
                    return self._reply(response, digests, is_conditional, is_gzip_wanted)
            except BaseException:
                response.close()
                raise
            response.release()
            seen.append(url)
            url = _redirected(url, target)
            if seen.count(url) > 1:
                raise DownloadError(f"{seen[0]} redirects in circles", "check the address", kind="redirect")
        raise DownloadError(
            f"{seen[0]} redirects more than {MAX_REDIRECTS} times", "check the address", kind="redirect"
        )

    async def _ask(self, url: str, headers: Mapping[str, str], home: tuple[str, str, int]) -> Response:
        wanted = self._own_headers(url, home) | dict(headers)
        try:
            # An address that is encoded already is sent as it is: signatures in it may depend on every character.
            where = URL(url, encoded=url.isascii() and " " not in url)
            # Each byte of a head starts aiohttp's own time anew, and so does each 103.
            async with timeout(self._options.idle_s + HEAD_S):
                response = await self._session.get(where, headers=wanted, allow_redirects=False)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError) as error:
            raise trouble_of(error) from None
        assert isinstance(response, Response)
        return response

    def _own_headers(self, url: str, home: tuple[str, str, int]) -> dict[str, str]:
        """The user's headers; the secret ones only for the host that the user named."""
        options, is_home = self._options, _origin(url) == home
        headers = {name: text for name, text in options.headers.items() if is_home or name.lower() not in _SECRETS}
        if is_home and options.bearer:
            headers["Authorization"] = f"Bearer {options.bearer}"
        if is_home and options.basic is not None:
            secret = ":".join(options.basic).encode()
            headers["Authorization"] = "Basic " + base64.b64encode(secret).decode("ascii")
        if is_home and options.cookies:
            headers["Cookie"] = "; ".join(f"{name}={text}" for name, text in options.cookies.items())
        return headers

    def _reply(
        self, response: Response, digests: dict[str, bytes], is_conditional: bool, is_gzip_wanted: bool
    ) -> Reply:
        headers = response.headers
        if response.status == 304 and is_conditional:
            return Reply(response, headers, Answer(304, 0, 0, Version()), self._options.idle_s)
        answer = read_answer(response.status, headers, is_gzip_wanted)
        check_size(answer.version.size or 0, self._options)
        if digests:
            version = replace(answer.version, digests=join_digests(answer.version.digests, digests))
            answer = replace(answer, version=version)
        return Reply(response, headers, answer, self._options.idle_s)


def _check_single(headers: CIMultiDictProxy[str]) -> None:
    """Raises `Lie` for a header that says two things of which one client would take this and another one that."""
    for name in _SINGLE:
        if name in headers and len(set(headers.getall(name))) > 1:
            raise Lie(f"sends two different {name} headers")


def _has_environment() -> bool:
    """Whether there are proxies or passwords for aiohttp to find; it would look for the file at every request."""
    netrc = Path(os.environ.get("NETRC") or Path.home() / ("_netrc" if os.name == "nt" else ".netrc"))
    return bool(getproxies()) or netrc.is_file()


def check_url(url: str) -> None:
    """Raises `DownloadError` for whatever is no http or https address."""
    try:
        scheme, host, _ = _origin(url)
    except ValueError:
        scheme, host = "", ""
    if scheme not in ("http", "https") or not host:
        raise DownloadError(f"{url[:200]} is no http or https address", "write http://... or https://...", "refused")


def check_size(size: int, options: Options) -> None:
    """Raises `DownloadError` for a file of more than `max_bytes`."""
    if options.max_bytes and size > options.max_bytes:
        raise DownloadError(f"the file has more than {options.max_bytes:,} bytes", "check the address", "refused")


def _redirected(url: str, target: str) -> str:
    try:
        leads_to = urljoin(url, target.strip())
        check_url(leads_to)
    except (ValueError, DownloadError):
        raise DownloadError(
            f"{url} redirects to {target[:200]!r}, which is no http or https address", "check the address", "redirect"
        ) from None
    if url.startswith("https:") and not leads_to.startswith("https:"):
        raise DownloadError(
            f"{url} leads to the unprotected {leads_to}", "fetch that address if you mean it", "redirect"
        )
    return leads_to.partition("#")[0]


@lru_cache(maxsize=256)
def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
