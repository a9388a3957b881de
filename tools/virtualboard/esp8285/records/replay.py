"""Play a recorded session against a profile, and find the first byte at which the virtual module says something else.

The log is the prompt book. What was typed is typed again, as soon as the module has said what the log has before it;
what the world did (a client came, a peer sent or closed, the radio joined by itself, somebody typed too early) is done
again when the log shows it next. Everything that the module prints must be the next bytes of the log.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass

from virtualboard.clock import MS, SECOND
from virtualboard.esp8285.profiles import Profile
from virtualboard.esp8285.receiver import State
from virtualboard.esp8285.records import scene as scenes
from virtualboard.esp8285.records.session import Session, escape
from virtualboard.esp8285.records.stage import QUIET_NS, SERVER_PORT, Actor, Stage
from virtualboard.network import Datagrams

PATIENCE_NS = 40 * SECOND
"""How long the next byte of the log is awaited: longer than any command takes."""

_EXPLAINS = (
    (rb"AT\+CWJAP", rb"WIFI "),
    (rb"AT\+CWQAP", rb"WIFI DISCONNECT"),
    (rb"AT\+CIPSTART", rb"(?:[0-4],)?CONNECT|\+LINK_CONN"),
    (rb"AT\+CIPCLOSE", rb"(?:[0-4],)?CLOSED"),
)
"""Which words are the answer of a command and none of the world's: command, beginning of the log's next bytes."""


@dataclass(frozen=True)
class Outcome:
    """How a replay ended: the log's bytes, those of the module, and how many agree from the start."""

    session: Session
    profile: str
    printed: bytes
    agreed: int
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """True when the module said all that the log has."""
        return self.agreed == len(self.session.printed)

    def side_by_side(self, width: int = 58) -> list[str]:
        """Both dialogues, a line each; `|` between equal lines, `#` between others."""
        left, right = _lines(self.session.printed), _lines(self.printed)
        rows = max(len(left), len(right))
        left += [""] * (rows - len(left))
        right += [""] * (rows - len(right))
        return [f"{a:<{width}.{width}} {'|' if a == b else '#'} {b}" for a, b in zip(left, right, strict=True)]


def _lines(data: bytes) -> list[str]:
    return [escape(line) for line in re.findall(rb"[^\n]*\n|[^\n]+", data)]


def replay(session: Session, profile: Profile | None = None, seed: int = 0) -> Outcome:
    """Play `session` against `profile`, or against each that its firmware may belong to, and take the best."""
    best: Outcome | None = None
    for candidate in [profile] if profile is not None else scenes.candidates(session.firmware):
        outcome = _Play(session, candidate, seed).run()
        if best is None or outcome.agreed > best.agreed:
            best = outcome
        if best.same:
            break
    assert best is not None
    return best


class _Play:
    """One replay: the stage, what the log still wants, and what the module has said."""

    def __init__(self, session: Session, profile: Profile, seed: int) -> None:
        self._session = session
        self._profile_name = profile.name
        self._stage = Stage(session, profile, seed)
        self._modem = self._stage.modem
        self._clock = self._stage.clock
        self._expected = session.printed
        self._typed = list(session.commands)
        self._out = bytearray()
        self._waited = 0
        self._running = b""
        self._split = 0  # bytes of the next command that are typed already
        self._answer: int | None = None  # where the answer of what was typed last begins in the output
        pulled = re.finditer(rb"\r\n\+CIPRECVDATA,(\d+):", session.printed)
        self._pulled = b"".join(session.printed[data.end() : data.end() + int(data[1])] for data in pulled)

    def run(self) -> Outcome:
        """From the first byte of the log to the first difference, or to its end."""
        self._stage.set_up()
        self._stage.tx.take()
        try:
            while self._settle() and (self._act() or self._wait()):
                pass
        finally:
            self._stage.close()
        printed = bytes(self._out)
        agreed = next((i for i, (a, b) in enumerate(zip(printed, self._expected, strict=False)) if a != b), None)
        if agreed is None:
            agreed = min(len(printed), len(self._expected))
        return Outcome(self._session, self._profile_name, printed, agreed, tuple(self._stage.scene.notes))

    def _settle(self) -> bool:
        """Let what is being said come to an end. False when it is the whole log, or something else."""
        quiet = self._clock.now
        while self._clock.now - quiet < QUIET_NS:
            self._clock.advance(5 * MS)
            if said := self._stage.tx.take():
                self._out += said
                quiet = self._clock.now
                self._waited = 0
        agrees = self._expected.startswith(bytes(self._out))
        if not agrees and self._answer is not None and self._out[self._answer :] == b"\r\nOK\r\n":
            # Whoever leaves the answer of a setting out of his log keeps what came of it.
            del self._out[self._answer :]
            self._note("left out")
            agrees = True
        return agrees and len(self._out) < len(self._expected)

    def _note(self, what: str) -> None:
        if what not in self._stage.scene.notes:
            self._stage.scene.notes.append(what)

    def _wait(self) -> bool:
        """The next byte takes its time; False when it will not come."""
        self._clock.advance(100 * MS)
        self._waited += 100 * MS
        return self._waited < PATIENCE_NS

    def _act(self) -> bool:
        """Do what the log needs to go on. False when it only takes time."""
        rest = self._expected[len(self._out) :]
        state = self._modem.receiver.state
        if self._modem.enabled and not self._modem.running:
            return False
        if rest.startswith((b"\r\nbusy ", b"\r\nWill force to restart")):
            return self._type()
        if state is State.PAYLOAD and self._typed:
            return self._world(rest) or self._type()
        if self._typed and self._modem.settings.echo:
            line = self._typed[0]
            if rest.startswith(line + b"\r") or scenes.split_echo(line, rest):
                return self._type()
        if not self._explained(rest) and self._world(rest):
            return True
        if not self._modem.receiver.at_rest or not self._typed:
            return False
        return self._type()

    def _explained(self, rest: bytes) -> bool:
        """True when what comes next is the answer of the command that runs, or of the next one."""
        if not self._modem.receiver.at_rest:
            command = self._running
        elif self._typed and not self._modem.settings.echo:
            command = self._typed[0]
        else:
            return False
        return any(re.match(verb, command) and re.match(answer, rest) for verb, answer in _EXPLAINS)

    def _type(self) -> bool:
        """Type the next command; `AT` when the log has an answer to something that it does not name."""
        line = self._typed.pop(0) if self._typed else b"AT"
        self._answer = None
        if missing := re.fullmatch(rb"<(\d+) bytes?>", line):
            early = self._running.startswith(b"AT+CIPSENDEX") and int(missing[1]) < self._announced()
            self._stage.rx.write(b"x" * int(missing[1]) + b"\\0" * early)
        elif self._modem.receiver.state in (State.PAYLOAD, State.TRANSPARENT) or line == b"+++":
            self._stage.rx.write(line)
        else:
            self._prepare(line)
            self._running = line
            if b"=" in line and not self._modem.settings.echo:
                self._answer = len(self._out)
            self._stage.rx.write(line[self._split :] + b"\r\n")
            self._split = 0
        self._waited = 0
        return True

    def _announced(self) -> int:
        """How many bytes the send that runs has announced."""
        return int(re.findall(rb"\d+", self._running)[-1])

    def _prepare(self, line: bytes) -> None:
        """What the world must be for the answer that the log has to this command."""
        rest = self._expected[len(self._out) :]
        if line.startswith(b"AT+CIPSEND"):
            failed = re.search(rb"(\r\n(?:\r\n)?)SEND (FAIL\r\n(?:\r\nSEND OK)?|OK)", rest)
            if failed and failed[2].startswith(b"FAIL"):
                fail = self._modem.late_send_ok if failed[2].endswith(b"OK") else self._modem.fail_send
                fail(empty_line=failed[1] == b"\r\n\r\n")
        if self._modem.settings.echo and (split := scenes.split_echo(line, rest)):
            self._part(line, *split)
        if line.startswith(b"AT+CIPSNTPTIME?"):
            self._set_time(rest)

    def _part(self, line: bytes, at: int, notice: bytes) -> None:
        """A notice inside the echo of `line`: what happens to a link does, at that byte; others are only printed."""
        if not notice.endswith((b",CONNECT\r\n", b",CLOSED\r\n")):
            self._modem.split_echo(notice, at)
            return
        self._stage.rx.write(line[:at])
        self._split = at
        self._settle()
        self._world(notice)
        self._settle()

    def _set_time(self, rest: bytes) -> None:
        told = re.search(rb"\+CIPSNTPTIME:\w{3} (\w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})", rest)
        if told is None or told[1].endswith(b"1970"):
            return
        self._clock.advance(2 * SECOND)
        text = told[1].decode()
        moment = datetime.datetime.strptime(text, "%b %d %H:%M:%S %Y").replace(tzinfo=datetime.timezone.utc)
        zone = self._modem.settings.time_servers[0] if self._modem.settings.time_servers else 0
        self._stage.network.started_at += round(moment.timestamp()) - zone * 3600 - self._stage.network.unix_time()

    def _world(self, rest: bytes) -> bool:
        """Let the world do what the log shows next; False when that is nothing of the world's."""
        for pattern, act in self._cues():
            if match := re.match(pattern, rest):
                return act(match)
        return False

    def _cues(self) -> tuple[tuple[bytes, Callable[[re.Match[bytes]], bool]], ...]:
        return (
            (rb"WIFI (DISCONNECT|CONNECTED)\r\n", self._radio),
            (rb"([0-4]),CONNECT\r\n", self._client),
            (rb"\r\n\+IPD,(?:([0-4]),)?(\d+)(?:,([\d.]+),(\d+))?:", self._data),
            (rb"\r\n\+IPD,(?:([0-4]),)?(\d+)\r\n", self._notice),
            (rb"(?:([0-4]),)?CLOSED\r\n", self._closed),
            (rb"[0-4],CONNECT FAIL\r\n", self._vanish),
            (rb'\+STA_CONNECTED:"([0-9a-f:]{17})"', self._station),
            (rb'\+STA_DISCONNECTED:"([0-9a-f:]{17})"', self._station_left),
            (rb"\r\n ets |\r\nready", self._reset),
        )

    def _radio(self, match: re.Match[bytes]) -> bool:
        station = self._modem.station
        if station.point is not None:
            if match[1] == b"CONNECTED" or not self._modem.receiver.at_rest:
                return False
            station.lose()
            return True
        if station.ssid or not self._stage.scene.stored:
            return False  # it is on its way
        station.auto_join()
        return True

    def _client(self, match: re.Match[bytes]) -> bool:
        actor = self._stage.actors[int(match[1])] = Actor()
        port = self._modem.settings.server_port
        if port is None:
            port = SERVER_PORT
            self._modem.server.open(port)
        self._stage.network.call(port, actor)
        return True

    def _data(self, match: re.Match[bytes]) -> bool:
        number = int(match[1] or 0)
        begin = len(self._out) + match.end()
        data = self._expected[begin : begin + int(match[2])]
        link = self._modem.links[number]
        if link is not None and match[3]:
            link.ip, link.port = match[3].decode(), int(match[4])
        if link is not None and isinstance(link.peer, Datagrams):
            link.peer.on_data(data, link.ip, link.port)
        elif number in self._stage.actors:
            self._stage.actors[number].send(data)
        else:
            return False
        return True

    def _notice(self, match: re.Match[bytes]) -> bool:
        """Passive receiving: the log tells what came when it is read."""
        number = int(match[1] or 0)
        count = int(match[2]) - self._modem.links.waiting(number)
        if number not in self._stage.actors or count <= 0:
            return False
        data, self._pulled = self._pulled[:count], self._pulled[count:]
        self._stage.actors[number].send(data.ljust(count, b"x"))
        return True

    def _closed(self, match: re.Match[bytes]) -> bool:
        actor = self._stage.actors.pop(int(match[1] or 0), None)
        if actor is None:
            return False
        actor.finish()
        return True

    def _vanish(self, _match: re.Match[bytes]) -> bool:
        self._modem.server.lose_clients()
        return True

    def _station(self, match: re.Match[bytes]) -> bool:
        mac = match[1].decode()
        lease = re.search(rb'\+DIST_STA_IP:"%s","([\d.]+)"' % match[1], self._expected[len(self._out) :])
        self._modem.own.joined(mac, lease[1].decode() if lease else "192.168.4.2")
        return True

    def _station_left(self, match: re.Match[bytes]) -> bool:
        self._modem.own.left(match[1].decode())
        return True

    def _reset(self, _match: re.Match[bytes]) -> bool:
        modem = self._modem
        cause = self._stage.scene.cause
        if modem.enabled and not modem.running:
            return False  # it is on its way
        if cause in (None, 1) and not modem.running:
            modem.enable(False)
            modem.enable(True)
        elif modem.running:
            told = re.match(rb"\r\n ets [^\r\n]*rst cause:(\d)", self._expected[len(self._out) :])
            kinds = {b"1": "power", b"2": "exception"}
            modem.restart(cause or kinds.get(told[1] if told else b"", "watchdog"))
        else:
            modem.enable(True)
            modem.restart(cause or 1)
        self._clock.advance(SECOND // 2)
        return True
