"""What the token guards: on an address that others reach, everything about uploads, and every change.

Boards show it as a bearer, browsers once on the login page, which swaps it for a cookie that no script can read and no
foreign page can send along. Giving pictures out stays open: boards fetch them without a token.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from aiohttp import web

from maixpix.companion import pages
from maixpix.companion.forms import read_form
from maixpix.companion.hosts import is_same_origin
from maixpix.companion.problems import Refused
from maixpix.companion.settings import ServeSettings
from maixpix.companion.tokens import is_bearer, is_token

GUARDED = ("/gallery", "/uploads", "/events", "/boards")
"""Beginnings of guarded paths; the doors of uploads and `/command` ask for the bearer themselves."""

COOKIE_S = 30 * 24 * 3600
TRIES, TRIES_S = 10, 60.0
"""Wrong tokens that one address may show, and in how many seconds."""

_MAX_ADDRESSES = 1024


class Access:
    """Looks at every request, and answers `/login`. `now` gives seconds that never go back."""

    def __init__(self, settings: ServeSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        # Derived from the token: it holds over restarts, and ends when the token is changed.
        key = (settings.token or "").encode()
        self._session = hmac.new(key, b"maixpix browser session", hashlib.sha256).hexdigest()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/login", self.page), web.post("/login", self.login)]

    def check(self, request: web.Request) -> web.Response | None:
        """None lets a request pass; a browser is led to the login page. Raises `Refused` (401) for programs."""
        if not self._settings.is_guarded or not request.path.startswith(GUARDED) or self._may_enter(request):
            return None
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=303, headers={"Location": f"/login?next={quote(request.path, safe='/')}"})
        raise Refused(
            401, "token", "this needs the token", "log in at /login, or send Authorization: Bearer",
            {"WWW-Authenticate": 'Bearer realm="maixpix"'},
        )  # fmt: skip

    async def page(self, request: web.Request) -> web.Response:
        """The login page."""
        return self._answer(_safe_next(request.query.get("next", "")), "")

    async def login(self, request: web.Request) -> web.Response:
        """The token from the page's form, swapped for the cookie."""
        form = await read_form(request, self._settings.http.form_s)
        if not is_same_origin(request):
            raise Refused(403, "foreign-page", "the request does not come from the login page", "open /login")
        where = _safe_next(form.get("next", ""))
        tries = self._tries(request.remote or "")
        if len(tries) >= TRIES:
            wait = str(int(TRIES_S))
            raise Refused(429, "too-many", "too many wrong tokens", f"wait {wait} s", {"Retry-After": wait})
        if self._settings.token is None or not is_token(self._settings.token, form.get("token", "")):
            tries.append(self._now())
            return self._answer(where, "This is not the token.", 403)
        response = web.Response(status=303, headers={"Location": where})
        response.set_cookie(
            self._cookie(request), self._session, max_age=COOKIE_S, path="/", httponly=True, samesite="Strict"
        )
        return response

    def _may_enter(self, request: web.Request) -> bool:
        if is_bearer(self._settings.token, request.headers.get("Authorization", "")):
            return True
        shown = request.cookies.get(self._cookie(request), "")
        # Other ports of this host are the same site to a browser, whose pages must not act in its name either.
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self._session.encode()) and is_same_origin(request)

    def _cookie(self, request: web.Request) -> str:
        # Cookies do not tell ports apart.
        try:
            port = urlsplit("//" + request.headers.get("Host", "")).port
        except ValueError:
            port = None
        return f"maixpix-{port or 80}"

    def _tries(self, address: str) -> deque[float]:
        tries = self._wrong.setdefault(address, deque())
        self._wrong.move_to_end(address)
        while len(self._wrong) > _MAX_ADDRESSES:
            self._wrong.popitem(last=False)
        while tries and tries[0] < self._now() - TRIES_S:
            tries.popleft()
        return tries

    def _answer(self, where: str, complaint: str, status: int = 200) -> web.Response:
        html = pages.login(where, complaint)
        return web.Response(text=html, content_type="text/html", status=status, headers={"Cache-Control": "no-store"})


def _safe_next(path: str) -> str:
    """A page of ours to go on to, never another site's."""
    ours = path.startswith(GUARDED) and "//" not in path and "\\" not in path and path.isprintable()
    return path if ours else "/gallery"
