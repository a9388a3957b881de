"""What is around the board: one machine with a server of pictures and receivers of files, and one that is hostile.

All of it is played in virtual time (`virtualboard.network.Script`) and outlives the board's power cycles. What anybody
was sent is kept (`traffic`), as nobody may hear what is not meant for him.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from maixpix.torture.pages import EVIL, EvilTalk, PageTalk, Shelf
from maixpix.torture.scenario import FILES, HOST, RAW, Cycle, Lie, Scenario
from maixpix.torture.sinks import RawTalk, Sink, TusTalk
from maixpix.torture.talk import Talk
from virtualboard.board import Board

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
        for host, port, make in (
            (HOST, _WEB, lambda lie: PageTalk(self.shelf, lie)),
            (HOST, FILES, lambda lie: TusTalk(self.sink, lie)),
            (HOST, RAW, lambda lie: RawTalk(self.sink, lie, self._named)),
        ):
            board.network.attach(ADDRESSES[host], port, self._door(host, port, number, make))
        board.network.attach(ADDRESSES[EVIL], _WEB, self._evil(number))

    def quiet(self) -> None:
        """From now on everybody tells the truth, and the server of pictures has its last one."""
        self._quiet = True
        self.shelf.change(last=True)

    def _door(self, host: str, port: int, cycle: int, make: Callable[[Lie | None], Talk]) -> Callable[[], Talk | None]:
        count = 0

        def open_door() -> Talk | None:
            nonlocal count
            lie = None if self._quiet else self._lies.get(count)
            count += 1
            if lie is not None:
                self.told.append(lie.do)
                if lie.do == "refuse":
                    return None
            talk = make(lie)
            self.traffic.append(Heard(host, port, cycle, talk.heard))
            return talk

        return open_door

    def _evil(self, cycle: int) -> Callable[[], Talk]:
        def open_door() -> Talk:
            talk = EvilTalk()
            self.traffic.append(Heard(EVIL, _WEB, cycle, talk.heard))
            return talk

        return open_door
