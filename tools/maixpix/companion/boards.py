"""Boards that ask what to do: `GET /command?board=NAME` answers `snap` once for every wish made on the gallery page.

Boards cannot be called (MaixPy v1 has no listening sockets), so they ask every few seconds. A wish goes to one request
only, and is forgotten when the board does not come for it in time.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from maixpix.companion.events import EventHub
from maixpix.companion.forms import read_form
from maixpix.companion.hosts import PageSecret
from maixpix.companion.problems import Refused
from maixpix.companion.settings import ServeSettings
from maixpix.companion.tokens import check_bearer
from maixpix.names import safe_board

AWAY_S = 60.0
"""Seconds after its last question for which a board is offered on the page, and for which a wish waits for it."""

MAX_BOARDS = 256
MAX_WISHES = 8
MAX_EACH = 8
"""Boards behind one address, where others than this machine can connect."""


@dataclass
class _Board:
    asked: float
    address: str = ""
    wishes: list[float] = field(default_factory=list)


class BoardDesk:
    """Request handlers of `/command` and `/gallery/snap`. `now` gives seconds that never go back."""

    def __init__(
        self, settings: ServeSettings, secret: PageSecret, hub: EventHub, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._hub = hub
        self._now = now
        self._boards: OrderedDict[str, _Board] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/command", self.command, allow_head=False), web.post("/gallery/snap", self.wish)]

    def present(self) -> list[str]:
        """Names of the boards that have asked lately."""
        limit = self._now() - AWAY_S
        return sorted(name for name, board in self._boards.items() if board.asked >= limit)

    async def command(self, request: web.Request) -> web.Response:
        """A board asks: 200 with the word `snap`, or 204 when there is nothing to do."""
        check_bearer(self._settings.token, request.headers.get("Authorization", ""))
        headers = {"Cache-Control": "no-store"}
        name = safe_board(request.query.get("board", ""))
        if not self._may_be(name, request):
            return web.Response(status=204, headers=headers)
        is_new = name not in self.present()
        board = self._boards.setdefault(name, _Board(0.0))
        self._boards.move_to_end(name)
        while len(self._boards) > MAX_BOARDS:
            self._boards.popitem(last=False)
        board.asked = self._now()
        board.address = request.remote or ""
        if is_new:
            self._hub.publish("board", {"name": name})
        board.wishes = [made for made in board.wishes if made >= self._now() - AWAY_S]
        if not board.wishes:
            return web.Response(status=204, headers=headers)
        board.wishes.pop(0)
        return web.Response(text="snap\n", headers=headers)

    def _may_be(self, name: str, request: web.Request) -> bool:
        """Whether a request comes from a board: it has a name, is no browser's, and is not one of too many."""
        if not name or any(header in request.headers for header in ("Sec-Fetch-Mode", "Accept-Language", "Origin")):
            return False
        if self._settings.is_local or name in self._boards:
            return True
        return sum(board.address == request.remote for board in self._boards.values()) < MAX_EACH

    async def wish(self, request: web.Request) -> web.Response:
        """A person asks for a picture of one board."""
        form = await read_form(request, self._settings.http.form_s)
        self._secret.check(request, form.get("secret", ""))
        name = form.get("board", "")
        if name not in self.present():
            raise Refused(404, "board-away", f"{name[:64]!r} has not asked for a minute", "switch it on")
        wishes = self._boards[name].wishes
        if len(wishes) >= MAX_WISHES:
            raise Refused(429, "too-many", f"{len(wishes)} pictures are wanted of {name} already", "wait for them")
        wishes.append(self._now())
        return web.Response(status=303, headers={"Location": "/gallery"})
