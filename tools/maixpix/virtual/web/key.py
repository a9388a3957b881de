"""Who may see and steer a virtual board through its page: whoever has the key that was printed with its address.

Loopback is no proof of who asks: every user of this machine can connect, and every web page that is open in a browser
can make it send requests here. So the address that is printed holds a random key (as Jupyter's does). Opened once, it
is swapped for a cookie, which no script can read and no foreign page can send along; programs show the key itself.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from urllib.parse import urlsplit

from aiohttp import web

from maixpix.companion.hosts import is_same_origin

QUERY = "token"


class PageKey:
    """The key of the page on loopback `port`, and the cookie that it is swapped for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._key = secrets.token_urlsafe(18)
        self._session = secrets.token_urlsafe(24)
        # Cookies do not tell ports apart: two boards' pages would take each other's away.
        self._cookie = f"maixpix-board-{port}"

    @property
    def url(self) -> str:
        """The address to print."""
        return f"http://127.0.0.1:{self._port}/?{QUERY}={self._key}"

    def admit(self, request: web.Request) -> web.Response | None:
        """Let a request pass (None), or answer it: with the cookie for the key. HTTP 403 for everybody else."""
        self.check_host(request)
        if request.method not in ("GET", "HEAD") and request.content_type != "application/json":
            # What a foreign page can send without being asked about it is never JSON.
            raise web.HTTPForbidden(text="only the board's own page may do that\n")
        if _is_same(_bearer(request), self._key):
            return None
        if _is_same(request.query.get(QUERY, ""), self._key) and request.method in ("GET", "HEAD"):
            return self._swap() if request.path == "/" else None
        if not _is_same(request.cookies.get(self._cookie, ""), self._session):
            raise web.HTTPForbidden(text="open the page by the whole address that was printed, with its token\n")
        # Other ports of this machine are the same site to a browser, so the cookie alone proves no page.
        if not is_same_origin(request):
            raise web.HTTPForbidden(text="only the board's own page may do that\n")
        return None

    def check_host(self, request: web.Request) -> None:
        """HTTP 403 for a request under a foreign name: another site's, that its owner lets point to this machine."""
        if not _is_loopback(request.headers.get("Host", ""), self._port):
            raise web.HTTPForbidden(text="this name is not mine; use the address that was printed\n")

    def _swap(self) -> web.Response:
        """The cookie, and a way on to the page under an address that may be seen over a shoulder."""
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(self._cookie, self._session, path="/", httponly=True, samesite="Strict")
        return response


def _bearer(request: web.Request) -> str:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _is_loopback(host: str, port: int) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        name, given = parts.hostname or "", parts.port or 80
    except ValueError:
        return False
    if given != port or parts.netloc != host or "@" in host:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
