"""A desk with a PC at the board's serial cable: `deploy` or `fill`, again and again until it says that it has done it.

Both run as on a real PC, on `Link` and mpremote; only their serial port is a `cable.Cable`. What they put onto the card
may be the old or the new whole, whatever happens to the line, the card and the supply.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import serial

from maixpix.board import bundle, install
from maixpix.board.link import Link
from maixpix.board.places import BoardPlace
from maixpix.errors import UserError
from maixpix.fill.filling import Filling
from maixpix.fill.plan import read_plan
from maixpix.torture import air, easel
from maixpix.torture.cable import Cable
from maixpix.torture.pictures import planted, pool
from maixpix.torture.scenario import Scenario
from virtualboard.running import RunningBoard

serial.protocol_handler_packages.append("maixpix.torture")

_BEGIN_MS = 1500
_AGAIN_S = 1.0

_PLAN = """\
[[files]]
from = "{folder}"
to = "kept"
"""


class Desk:
    """The PC of a run. `done`: the command has told its end, and nothing was wrong with it. `troubles` are the errors
    that it has told, with the power cycle; `sources` the digests of the files that `fill` puts onto the card."""

    def __init__(self, scenario: Scenario) -> None:
        self.done = False
        self.troubles: list[tuple[int, str]] = []
        self.sources: set[str] = set()
        self._work = {"deploy": self._deploy, "fill": self._fill}[scenario.app]
        self._scenario = scenario
        self._folder = tempfile.TemporaryDirectory(prefix="maixpix-desk-")
        self._cable: Cable | None = None
        self._plan = self._make_plan(Path(self._folder.name)) if scenario.app == "fill" else None

    def plug(self, running: RunningBoard, cycle: int) -> None:
        """The cable is in for power cycle `cycle`, from before power-on."""
        self._cycle = cycle
        if not self.done:
            self._cable = Cable(running, self._again_and_again, _BEGIN_MS)

    def leave(self) -> None:
        """The power is off."""
        cable, self._cable = self._cable, None
        if cable is not None:
            cable.pull()

    def over(self) -> None:
        """The run is over."""
        self._folder.cleanup()

    def _again_and_again(self, cable: Cable) -> None:
        while not cable.out:
            try:
                self._work(cable)
                self.done = True
                return
            except UserError as error:
                self.troubles.append((self._cycle, error.told))
            try:
                cable.wait(_AGAIN_S)
            except serial.SerialException:
                return

    # -- the commands -------------------------------------------------------------------------------------

    def _deploy(self, cable: Cable) -> None:
        with Link(cable.port, restart=True, clock=cable.time) as link:
            place = self._card(link)
            files = bundle.Bundle(air.version(air.LAST).files, easel.software(byte_code=True).loader, compiled=True)
            install.install(place, files, trial=place.try_import)

    def _fill(self, cable: Cable) -> None:
        assert self._plan is not None
        with Link(cable.port, restart=True, clock=cable.time) as link:
            Filling(read_plan(self._plan), self._card(link)).fill()

    @staticmethod
    def _card(link: Link) -> BoardPlace:
        if not link.wait_for_card():
            raise UserError("there is no card in the board", "insert one")
        return BoardPlace(link, "/sd")

    # -- what is filled in --------------------------------------------------------------------------------

    def _make_plan(self, folder: Path) -> Path:
        source = folder / "source"
        source.mkdir()
        for number, data in enumerate([*planted(2), *(pool()[number] for number in self._scenario.pictures)]):
            (source / f"p{number}.jpg").write_bytes(data)
            self.sources.add(hashlib.sha256(data).hexdigest())
        plan = folder / "plan.toml"
        plan.write_text(_PLAN.format(folder=source.as_posix()))
        return plan
