"""Guests of the board's pages: they look, send pictures, change things, and misbehave in all the ways there are.

What every visit came to is kept (`visits`), as are the pictures that were sent (`sent`), so that the laws can say what
the card must have. After the quiet one guest is left, who brings the last picture onto the panel.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from maixpix.torture.client import FORM, Answer, Call, form, multipart, request
from maixpix.torture.pictures import pool
from maixpix.torture.scenario import GUEST_LIES, HOST, Lie, Scenario
from maixpix.torture.talk import Do, Step
from virtualboard.board import Board
from virtualboard.clock import MS

ADDRESS = "192.168.4.50"
"""What guests call the board."""

_WHATS = ("index", "index", "now", "file", "upload", "upload", "show", "settings", "rename", "delete", "next", "fetch",
          "snap")  # fmt: skip
_PROPER = ("stall", "drip", "half-close")
"""Ways that are odd and not wrong: such a visit may well succeed."""

_DENIED = ("wrong-key", "no-key", "no-token", "foreign-origin", "foreign-host", "traverse", "secret-file", "no-picture",
           "huge", "short-body", "many-parts", "head-flood", "long-field", "junk")  # fmt: skip
"""Ways to which the answer must not be a good one."""

_FILE = re.compile(r'href="/file/pics/([\w.~-]+)"')
_AGAIN_MS, _LOOK_MS, _PATIENCE_MS = 500, 1500, 9000


@dataclass
class Visit:
    """One visit: in which power cycle, what for (`name`: which file), how he misbehaved, and what the board said."""

    cycle: int
    what: str
    name: str
    lie: str
    answer: Answer


class Guests:
    """All guests of a run. `named` are the names that were given to the board, `gone` the files that somebody wanted
    deleted."""

    def __init__(self, scenario: Scenario) -> None:
        self.visits: list[Visit] = []
        self.sent: dict[str, bytes] = {}
        self.named: set[str] = set()
        self.gone: set[str] = set()
        self._scenario = scenario
        self._pictures = scenario.pictures
        self._key = scenario.settings.get("web_key", "")
        self._final = False
        self._stays_away = False
        self._open = 0
        self._cycle = 0

    def enter(self, board: Board, cycle: int, lies: dict[int, Lie], told: Callable[[str], None]) -> None:
        """They come to `board` in power cycle `cycle`."""
        self._board = board
        self._cycle = cycle
        self._lies = lies
        self._told = told
        self._rng = random.Random(f"guests {self._scenario.seed} {cycle}")
        self._token = ""
        self._names: list[str] = []
        self._count = self._open = 0
        self._brought_ns = -(10**12)
        self._later(_AGAIN_MS)

    def quiet(self) -> None:
        """From now on they behave, and want the last picture on the panel."""
        self._final = True

    def leave(self) -> None:
        """The power cycle is over."""
        del self._board

    def gone_home(self) -> bool:
        """Nobody comes any more; True when nobody is there."""
        self._stays_away = True
        return self._open == 0

    # -- one after the other ------------------------------------------------------------------------------

    def _later(self, ms: int) -> None:
        self._board.clock.after(ms * MS, self._come)

    def _come(self) -> None:
        if self._stays_away:
            return
        network = self._board.network
        if not network.station_online() or 80 not in network.listening:
            self._later(_AGAIN_MS)
            return
        lie = None if self._final else self._lies.get(self._count)
        self._count += 1
        do = lie.do if lie is not None and lie.do in GUEST_LIES else ""
        if do:
            self._told(do)
        what, name = self._wish(do)
        self._call(
            what, name, do, lie.share if lie is not None else 0.5, lambda: self._later(self._rng.randrange(1200))
        )
        if do == "crowd":
            for _ in range(6):
                self._call("index", "", "silent", 0.0, lambda: None)

    def _wish(self, do: str) -> tuple[str, str]:
        """(what he wants, which file)."""
        rng = self._rng
        if do in ("torn-picture", "no-picture", "huge", "short-body", "many-parts", "long-length"):
            return "upload", self._new_name()
        if do in ("no-token", "foreign-origin"):
            return rng.choice([("upload", self._new_name()), ("rename", "evil"), ("show", "p0.jpg")])
        if not self._token or do in ("wrong-key", "no-key", "foreign-host", "traverse", "secret-file"):
            return "index", ""
        if self._final:
            waited = (self._board.clock.now - self._brought_ns) // MS
            if waited < _PATIENCE_MS:
                return "index", ""
            return "upload", self._new_name()
        what = rng.choice(_WHATS)
        if what == "upload":
            return what, self._new_name()
        if what == "rename":
            return what, f"desk{rng.randrange(9)}"
        if what in ("file", "show", "delete"):
            return (what, rng.choice(self._names)) if self._names else ("index", "")
        return what, ""

    def _new_name(self) -> str:
        return f"g{len(self.sent):03}.jpg"

    # -- one visit ----------------------------------------------------------------------------------------

    def _call(self, what: str, name: str, do: str, share: float, over: Callable[[], None]) -> None:
        visit = Visit(self._cycle, what, name, do, Answer())
        self.visits.append(visit)

        def then(answer: Answer) -> None:
            visit.answer = answer
            self._learn(visit)
            self._open -= 1
            over()

        steps = self._steps(visit, share)
        self._open += 1
        if not self._board.network.call(80, Call(steps, then)):
            self._open -= 1
            over()

    def _steps(self, visit: Visit, share: float) -> list[Step]:
        do = visit.lie
        said = self._request(visit)
        at = int(len(said) * share)
        if do == "silent":
            return []
        if do == "reset":
            return [said[:at], Do.RESET]
        if do == "stall":
            return [said[:at], 3000, said[at:]]
        if do == "drip":
            return [step for at in range(0, min(len(said), 1500), 50) for step in (said[at : at + 50], 20)] + [
                said[1500:]
            ]
        if do == "short-body":
            return [said[: len(said) - 400], 200, Do.RESET]
        if do == "half-close":
            return [said, Do.FINISH]
        if do == "junk":
            return [bytes(range(256)) * 6 + b"\r\n\r\n"]
        if do == "head-flood":
            return [b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 60) for n in range(200)) + b"\r\n"]
        if do == "long-field":
            return [b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n"]
        return [said]

    def _request(self, visit: Visit) -> bytes:
        do, token = visit.lie, "" if visit.lie == "no-token" else self._token
        fields: list[tuple[str, object]] = [*self._login(do)]
        if do == "foreign-origin":
            fields.append(("Origin", "http://evil.example"))
        host = "evil.example" if do == "foreign-host" else ADDRESS
        if do == "traverse":
            path = self._rng.choice(["/file/pics/../pix.json", "/file/pics/..%2Fpix.json", "/file/..%2f/pix.json",
                                     "/file/outbox/%2e%2e%2Fpix.json", "//sd/pix.json"])  # fmt: skip
            return request("GET", path, host, *fields)
        if do == "secret-file":
            return request("GET", self._rng.choice(["/file/card/pix.json", "/file/card/PIX.JSON"]), host, *fields)
        if visit.what == "upload":
            return self._upload(visit, token, host, fields)
        forms = {
            "rename": ("/settings", {"name": visit.name}),
            "show": ("/do", {"in": "pics", "show": visit.name}),
            "delete": ("/do", {"in": "pics", "delete": visit.name}),
            "next": ("/do", {"do": "next"}),
            "snap": ("/do", {"do": "snap"}),
            "fetch": ("/do", {"do": "fetch", "url": f"http://{HOST}/a.jpg"}),
        }
        if visit.what in forms:
            path, values = forms[visit.what]
            if do not in _DENIED:
                self.named |= {visit.name} if visit.what == "rename" else set()
                self.gone |= {visit.name} if visit.what == "delete" else set()
            return request("POST", path, host, *fields, FORM, body=form(csrf=token, **values))
        paths = {"now": "/now", "settings": "/settings", "file": f"/file/pics/{visit.name}"}
        return request("GET", paths.get(visit.what, "/"), host, *fields)

    def _upload(self, visit: Visit, token: str, host: str, fields: list[tuple[str, object]]) -> bytes:
        do = visit.lie
        data = pool()[self._pictures[-1] if self._final else self._rng.choice(self._pictures[:-1])]
        if self._final:
            self._brought_ns = self._board.clock.now
        if do == "torn-picture":
            data = data[: len(data) * 2 // 3]
        elif do == "no-picture":
            data = b"<html>" + bytes(2000)
        self.sent[visit.name] = data
        kind, body = multipart(token, visit.name, data)
        if do == "many-parts":
            body = (
                b"".join(
                    b'--torture7MA4YWxk\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' for _ in range(60)
                )
                + body
            )
        if do == "huge":
            return request("POST", "/upload", host, *fields, kind, ("Content-Length", 999_999_999)) + body
        if do == "long-length":
            return request("POST", "/upload", host, *fields, kind, ("Content-Length", len(body) + 500)) + body
        return request("POST", "/upload", host, *fields, kind, body=body)

    def _login(self, do: str) -> list[tuple[str, object]]:
        if not self._key or do == "no-key":
            return []
        user, _, key = self._key.rpartition(":")
        if do == "wrong-key":
            key = key[:-1] + "?"
        return [("Authorization", "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode())]

    def _learn(self, visit: Visit) -> None:
        answer = visit.answer
        if visit.what == "index" and answer.status == 200 and visit.lie not in _DENIED:
            self._token = answer.token or self._token
            self._names = _FILE.findall(answer.text)
        elif answer.status == 403 and not visit.lie:
            self._token = ""

    # -- what the laws ask --------------------------------------------------------------------------------

    def denied(self, visit: Visit) -> bool:
        """Whether the answer to `visit` must not be a good one."""
        if visit.lie in ("wrong-key", "no-key"):
            return bool(self._key)
        return visit.lie in _DENIED

    @staticmethod
    def proper(visit: Visit) -> bool:
        """Whether nothing was wrong with the guest."""
        return not visit.lie or visit.lie in _PROPER
