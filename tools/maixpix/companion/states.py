"""What boards tell of themselves: the field `Maixpix-State` of their requests, and `/boards`, where people read it.

The form is that of firmware/pix/report.py. A board is known by its name; what it says is of the last request that said
anything. Others may claim to be it: nothing here is more than told.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from maixpix.companion import pages
from maixpix.companion.settings import ServeSettings
from maixpix.names import safe_board
from maixpix.text import one_line

STATE_HEADER, BOARD_HEADER = "Maixpix-State", "X-Maixpix-Board"

MAX_STATE = 600
"""Characters of one report."""

MAX_BOARDS = 256
MAX_EACH = 8
"""Boards behind one address, where others than this machine can connect."""

FIELDS = {
    "sw": "software", "at": "AT", "rssi": "signal (dBm)", "heap": "free heap", "up": "up (s)", "pics": "pictures",
    "writes": "card writes (files/bytes)", "shown": "shown", "err": "last error", "note": "update",
}  # fmt: skip
"""What the page has a column for."""


@dataclass
class State:
    """The last report of one board. `heard` is in seconds of the desk's clock, `clock_off` in seconds, None unknown."""

    address: str
    heard: float
    values: Mapping[str, str] = field(default_factory=dict)
    clock_off: int | None = None


class StateDesk:
    """Keeps the reports. `now` gives seconds that never go back, `wall` seconds since 1970."""

    def __init__(
        self,
        settings: ServeSettings,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._now = now
        self._wall = wall
        self.states: OrderedDict[str, State] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/boards", self.page), web.get("/boards.json", self.listing)]

    def hear(self, request: web.Request) -> None:
        """Take down what the request tells, if it tells anything."""
        text = request.headers.get(STATE_HEADER, "")
        name = safe_board(request.headers.get(BOARD_HEADER, "") or request.query.get("board", ""))
        address = request.remote or ""
        if not text or not name or not self._may_be(name, address):
            return
        values = parse_state(text)
        self.states[name] = State(address, self._now(), values, self._clock_off(values.get("clock", "")))
        self.states.move_to_end(name)
        while len(self.states) > MAX_BOARDS:
            self.states.popitem(last=False)

    async def page(self, request: web.Request) -> web.Response:
        """All boards as a table."""
        html = pages.boards(self._rows(), list(FIELDS.values()))
        return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})

    async def listing(self, request: web.Request) -> web.Response:
        """The same as JSON."""
        found = [
            {
                "board": name,
                "address": state.address,
                "seconds": round(self._now() - state.heard),
                "clockOff": state.clock_off,
                "state": dict(state.values),
            }
            for name, state in sorted(self.states.items())
        ]
        return web.json_response({"boards": found}, headers={"Cache-Control": "no-store"})

    def _rows(self) -> list[list[str]]:
        rows = []
        for name, state in sorted(self.states.items()):
            ago = round(self._now() - state.heard)
            clock = "unknown" if state.clock_off is None else f"{state.clock_off:+d} s"
            if state.values.get("clock", "").startswith("?"):
                clock += " (a guess)"
            rows.append([name, state.address, f"{ago} s ago", clock, *(state.values.get(key, "") for key in FIELDS)])
        return rows

    def _may_be(self, name: str, address: str) -> bool:
        if self._settings.is_local or name in self.states:
            return True
        return sum(state.address == address for state in self.states.values()) < MAX_EACH

    def _clock_off(self, text: str) -> int | None:
        digits = text.removeprefix("?")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 12):
            return None
        return int(digits) - round(self._wall())


def parse_state(text: str) -> dict[str, str]:
    """The known names and their values in a report; what is not understood is left out."""
    values = {}
    for item in text[:MAX_STATE].split(";"):
        name, mark, value = item.partition("=")
        if mark and (name in FIELDS or name in ("v", "clock")):
            values[name] = one_line(value)[:80]
    return values
