"""What is around the board: one machine with servers of pictures and software and receivers of files, one that is
hostile, guests of its pages, and a telephone.

All of it is played in virtual time (`virtualboard.network.Script`) and outlives the board's power cycles. What anybody
was sent is kept (`traffic`), as nobody may hear what is not meant for him.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from maixpix.torture.air import Software
from maixpix.torture.desk import Desk
from maixpix.torture.guests import Guests
from maixpix.torture.pages import EVIL, EvilTalk, Shelf
from maixpix.torture.phone import Phone
from maixpix.torture.scenario import AIR, AIR_LIES, FILES, HOST, PAGE_LIES, RAW, SINK_LIES, Cycle, Lie, Scenario
from maixpix.torture.sinks import RawTalk, Sink, TusTalk
from maixpix.torture.talk import Answering, Talk
from virtualboard.board import Board
from virtualboard.running import RunningBoard

ADDRESSES = {HOST: "10.9.8.7", EVIL: "10.6.6.6"}
"""Names of the board's network."""

_WEB = 80


@dataclass
class Heard:
    """One connection: at which host and port, in which power cycle, and the bytes that came there."""

    host: str
    port: int
    cycle: int
    data: bytearray


class World:
    """The servers of one run."""

    def __init__(self, scenario: Scenario) -> None:
        self.shelf = Shelf(scenario.server, scenario.pictures)
        self.sink = Sink(scenario.server)
        self.air = Software()
        self.guests = Guests(scenario) if scenario.app == "web" else None
        self.phone = Phone(scenario) if scenario.app == "portal" else None
        self.desk = Desk(scenario) if scenario.app in ("deploy", "fill") else None
        self.traffic: list[Heard] = []
        self.told: list[str] = []
        """Lies that were told, in order."""
        self._named = scenario.settings.get("upload", "").startswith("tcp+name:")
        self._quiet = False
        self._lies: dict[int, Lie] = {}

    def enter(self, board: Board, number: int, cycle: Cycle) -> None:
        """The servers are there for `board` in power cycle `number`."""
        self._lies = {lie.nth: lie for lie in reversed(cycle.lies)}
        # Each counts its own connections.
        doors: tuple[tuple[int, tuple[str, ...], Callable[[Lie | None], Talk]], ...] = (
            (_WEB, PAGE_LIES, lambda lie: Answering(lambda request: self.shelf.steps(request, lie))),
            (FILES, SINK_LIES, lambda lie: TusTalk(self.sink, lie)),
            (RAW, SINK_LIES, lambda lie: RawTalk(self.sink, lie, self._named)),
            (AIR, AIR_LIES, lambda lie: Answering(lambda request: self.air.steps(request, lie))),
        )
        for port, lies, make in doors:
            board.network.attach(ADDRESSES[HOST], port, self._door(port, number, lies, make))
        board.network.attach(ADDRESSES[EVIL], _WEB, self._evil(number))
        for visitors in (self.guests, self.phone):
            if visitors is not None:
                visitors.enter(board, number, self._lies, self.told.append)

    def leave(self) -> None:
        """The power cycle is over, and its board gone."""
        for around in (self.guests, self.phone, self.desk):
            if around is not None:
                around.leave()

    def plug(self, running: RunningBoard, number: int) -> None:
        """The board of power cycle `number` is about to be switched on."""
        if self.desk is not None:
            self.desk.plug(running, number)

    def over(self) -> None:
        """The run is over."""
        if self.desk is not None:
            self.desk.over()

    def quiet(self) -> None:
        """From now on everybody tells the truth and behaves; the servers have their last picture and version."""
        self._quiet = True
        self.shelf.change(last=True)
        self.air.last = True
        for visitors in (self.guests, self.phone):
            if visitors is not None:
                visitors.quiet()

    def _door(
        self, port: int, cycle: int, lies: tuple[str, ...], make: Callable[[Lie | None], Talk]
    ) -> Callable[[], Talk | None]:
        count = 0

        def open_door() -> Talk | None:
            nonlocal count
            lie = None if self._quiet else self._lies.get(count)
            count += 1
            if lie is not None and lie.do not in lies:
                lie = None
            if lie is not None:
                self.told.append(lie.do)
                if lie.do == "refuse":
                    return None
            talk = make(lie)
            self.traffic.append(Heard(HOST, port, cycle, talk.heard))
            return talk

        return open_door

    def _evil(self, cycle: int) -> Callable[[], Talk]:
        def open_door() -> Talk:
            talk = EvilTalk()
            self.traffic.append(Heard(EVIL, _WEB, cycle, talk.heard))
            return talk

        return open_door
