"""A telephone that sets the board up: it joins the board's own network, fills in the form, and misbehaves before that.

Its owner reads the network's key off the panel, and comes back as often as that network is on the air.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from maixpix.torture.client import FORM, Answer, Call, form, request
from maixpix.torture.scenario import KEY, PHONE_LIES, SSID, Lie, Scenario
from maixpix.torture.talk import Do, Step
from virtualboard.board import Board
from virtualboard.clock import MS
from virtualboard.network import Visitor

HOME = "4.3.2.1"
"""The board in its own network."""

PROBES = ("/hotspot-detect.html", "/generate_204", "/connecttest.txt", "/canonical.html", "/wpad.dat", "/a/b?c=d")
_QUESTION = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07captive\x05apple\x03com\x00\x00\x01\x00\x01"
_LOOK_MS, _AGAIN_MS, _AWAY_MS = 400, 1500, 12_000


class Phone:
    """The telephone of a run. `heard` has everything that the board said to it, with the power cycle; `keys` are those
    of the board's own network."""

    def __init__(self, scenario: Scenario) -> None:
        self.heard: list[tuple[int, bytes]] = []
        self.keys: set[bytes] = set()
        self._scenario = scenario
        self._final = False

    def enter(self, board: Board, cycle: int, lies: dict[int, Lie], told: Callable[[str], None]) -> None:
        """It is near `board` in power cycle `cycle`."""
        self._board = board
        self._cycle = cycle
        self._lies = lies
        self._told = told
        self._rng = random.Random(f"phone {self._scenario.seed} {cycle}")
        self._visitor = Visitor(board.network, board.modem.own)
        self._turn = 0
        self._count = 0
        self._look()

    def quiet(self) -> None:
        """From now on it behaves."""
        self._final = True

    def leave(self) -> None:
        """The power cycle is over."""
        del self._board, self._visitor

    # -- its owner ----------------------------------------------------------------------------------------

    def _later(self, ms: int, action: Callable[[], None]) -> None:
        """Do that, unless the board's network has gone away and something new has begun."""
        turn = self._turn
        self._board.clock.after(ms * MS, lambda: action() if turn == self._turn else None)

    def _look(self) -> None:
        """Is the board's network there? Then join it."""
        self._turn += 1
        own = self._board.modem.own
        if not (own.on and own.key):
            self._later(_LOOK_MS, self._look)
            return
        self.keys.add(bytes(own.key))
        self._visitor.on_gone = self._gone
        self._later(1000, lambda: self._visitor.join(own.key, done=self._joined))

    def _gone(self) -> None:
        self._turn += 1
        self._later(_AGAIN_MS, self._look)

    def _joined(self) -> None:
        if self._visitor.trouble:
            self._gone()
            return
        self._visitor.resolve(_QUESTION, self._named)

    def _named(self, answer: bytes | None) -> None:
        self.heard.append((self._cycle, answer or b""))
        self._later(100, lambda: self._call(request("GET", self._rng.choice(PROBES), "captive.apple.com"), self._ask))

    def _ask(self, _: Answer | None = None) -> None:
        """The page, and what is done with it."""
        lie = None if self._final else self._lies.get(self._count)
        self._count += 1
        do = lie.do if lie is not None and lie.do in PHONE_LIES else ""
        if do:
            self._told(do)
        odd = self._odd(do)
        if odd is not None:
            self._call_steps(odd, lambda answer: self._later(_AGAIN_MS, self._ask))
        elif do == "walks-off":
            self._visitor.leave()
            self._turn += 1
            self._later(_AWAY_MS, self._look)
        else:
            self._call(request("GET", "/", HOME), lambda page: self._fill_in(page, do))

    def _odd(self, do: str) -> list[Step] | None:
        if do == "silent":
            return []
        if do == "reset":
            return [request("GET", "/", HOME)[:-9], Do.RESET]
        if do == "junk":
            return [bytes(range(256)) * 5 + b"\r\n\r\n"]
        if do == "head-flood":
            return [b"GET / HTTP/1.1\r\n" + b"X-Flood: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 200 + b"\r\n"]
        if do in ("probes", "crowd"):
            for path in PROBES[:4] if do == "probes" else ["/"] * 6:
                self._call(request("GET", path, "www.example.com"), lambda answer: None)
            return []
        return None

    def _fill_in(self, page: Answer, do: str) -> None:
        if page.status != 200 or not page.token:
            if "It works" in page.text:
                return
            self._later(_AGAIN_MS, self._state if page.status == 302 else self._ask)
            return
        values = {"ssid": SSID, "key": KEY, "csrf": page.token}
        wrong = {
            "wrong-key": {"key": KEY[:-1] + "?"},
            "short-key": {"key": "short"},
            "no-network": {"ssid": "", "other": "nowhere"},
            "no-token": {"csrf": "0" * 24},
            "no-app": {"app": "none"},
        }
        body = form(**(values | wrong.get(do, {})))
        said = request("POST", "/join", HOME, FORM, body=body)
        if do == "twice":
            self._call(said, lambda answer: None)
        self._call(said, lambda answer: self._later(4000, self._state))

    def _state(self) -> None:
        self._call(request("GET", "/state", HOME), self._stated)

    def _stated(self, answer: Answer) -> None:
        if answer.status == 200 and "It works" in answer.text:
            return
        self._later(3000 if answer.status == 200 else _AGAIN_MS, self._state if answer.status == 200 else self._ask)

    # -- its browser --------------------------------------------------------------------------------------

    def _call(self, said: bytes, then: Callable[[Answer], None]) -> None:
        self._call_steps([said], then)

    def _call_steps(self, steps: list[Step], then: Callable[[Answer], None]) -> None:
        def came(answer: Answer) -> None:
            self.heard.append((self._cycle, answer.raw))
            if turn == self._turn:
                then(answer)

        turn = self._turn
        if not self._visitor.call(Call(steps, came)):
            self._later(_AGAIN_MS, lambda: then(Answer()))
