"""Plays a scenario: the power cycles of one card, on either engine, and keeps everything that the laws look at."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from maixpix.paths import board_files
from maixpix.torture.goals import GOALS, rgb
from maixpix.torture.kinds import KINDS
from maixpix.torture.played import Cycled, Mark, Played
from maixpix.torture.prepare import prepare
from maixpix.torture.scenario import KEY, SSID, Cycle, Scenario
from maixpix.torture.world import ADDRESSES, World
from maixpix.virtual.byte_code import SourceOfByteCode
from maixpix.virtual.engines import fill_flash
from virtualboard.board import Board, BoardConfig, WifiNetwork
from virtualboard.clock import MS
from virtualboard.engine import HOSTED, K210, EngineOptions
from virtualboard.running import RunningBoard

SETTLE_MS = 400
"""From the goal to the end of a run: a program that prints has still to close its files and its links."""

_LOOK_MS = 500
_MARKS = ("shown ", "safe ", "sent ", "had been sent ")
"""How console lines begin behind which the panel shows a picture, or a file is through."""

_CARD_LINE = " starts again in "
"""What the supervisor prints when the card of an error is on the panel."""

_CARD_BYTES = 64 * 1024 * 1024


@dataclass
class How:
    """Which engine plays. `firmware` is a MaixPy image for the chip; `plant` changes device files before the run, path
    on the card -> (text, other text), for tests of the laws."""

    engine: str = HOSTED
    firmware: Path | None = None
    plant: dict[str, tuple[str, str]] = field(default_factory=dict)


def play(scenario: Scenario, how: How | None = None) -> Played:
    """Play `scenario` from its first power cycle to its goal, or to the end of the time that recovery may take."""
    how = how or How()
    began = time.process_time()
    world = World(scenario)
    run = Played(scenario, world)
    with tempfile.TemporaryDirectory(prefix="maixpix-torture-") as name:
        folder = Path(name)
        prepare(folder / "card", scenario, how.plant)
        run.given = _files(folder / "card")
        for number, cycle in enumerate(scenario.cycles):
            _PowerCycle(run, how, folder, number, cycle).play()
    world.over()
    run.host_s = time.process_time() - began
    return run


def _files(card: Path) -> dict[str, bytes]:
    """The files of a card by their path, in lower case as FAT finds them."""
    found = {}
    for file in sorted(card.rglob("*")):
        if file.is_file():
            found[file.relative_to(card).as_posix().lower()] = file.read_bytes()
    return found


class _PowerCycle:
    """The board of one power cycle, from power-on to its end."""

    def __init__(self, run: Played, how: How, folder: Path, number: int, cycle: Cycle) -> None:
        self._run = run
        self._how = how
        self._number = number
        self._cycle = cycle
        self._folder = folder
        self._cycled = Cycled()
        self._line = b""
        kind = KINDS[run.scenario.app]
        self._stays = kind.restarts or kind.cable
        """The prompt is not the end: a watchdog may restart the board, or somebody may type."""
        self._limit_ms = run.scenario.quiet_ms + 1000 * kind.recovers_s
        run.cycles.append(self._cycled)

    def play(self) -> None:
        """From power-on to the power cut, or to the goal."""
        scenario = self._run.scenario
        board = Board(
            BoardConfig(
                at=scenario.at,
                card=str(self._folder / "card"),
                card_bytes=_CARD_BYTES,
                flash_dir=None if self._how.engine == K210 else self._flash_folder(),
                camera=str(_camera()),
                wifi=[WifiNetwork(SSID, KEY)],
                names=ADDRESSES,
                reach=[],
                faults=self._cycle.faults,
                seed=scenario.seed * 16 + self._number,
            )
        )
        board.network.listen_on = None
        try:
            with self._flash_kept(board):
                self._play_on(board)
        finally:
            board.power_off()
            self._run.world.leave()
            self._cycled.files = _files(self._folder / "card")
            self._run.virtual_ns += board.clock.now

    def _flash_folder(self) -> str:
        folder = self._folder / "flash"
        folder.mkdir(exist_ok=True)
        return str(folder)

    @contextlib.contextmanager
    def _flash_kept(self, board: Board) -> Iterator[None]:
        """The chip's flash, filled for the first cycle and kept for the next one."""
        if self._how.engine != K210:
            yield
            return
        kept = self._folder / "flash.bin"
        fill_flash(board.flash, None if kept.exists() else self._how.firmware, kept)
        try:
            yield
        finally:
            board.flash.save(kept)

    def _play_on(self, board: Board) -> None:
        run, clock = self._run, board.clock
        run.world.enter(board, self._number, self._cycle)
        options = EngineOptions(self._how.engine, repl=self._stays, decode_mpy=_source_of_byte_code())
        running = RunningBoard(board, options)
        self._running = running
        running.console.listen(self._hear)
        run.world.plug(running, self._number)
        if self._cycle.end_ms is not None:
            clock.at(self._cycle.end_ms * MS, board.cut_power)
        else:
            clock.at(run.scenario.quiet_ms * MS, self._quiet)
            clock.at(self._limit_ms * MS, lambda: running.end("no goal"))
            clock.at(run.scenario.quiet_ms * MS + 1, self._look)
        running.run()
        self._cycled.ended = running.engine.ended
        self._cycled.faults = list(running.faults.happened)
        if self._line:
            self._cycled.lines.append((clock.now, self._line.decode("utf-8", "replace")))
        if self._cycle.end_ms is None:
            run.panel = rgb(board)

    def _quiet(self) -> None:
        self._running.faults.end()
        self._run.world.quiet()

    def _look(self) -> None:
        self._judge("")
        if self._run.goal_ns is None:
            self._running.board.clock.after(_LOOK_MS * MS, self._look)

    def _hear(self, when: int, data: bytes) -> None:
        *ended, self._line = (self._line + data).split(b"\n")
        for raw in ended:
            line = raw.decode("utf-8", "replace").rstrip("\r")
            if line.startswith(_MARKS) or _CARD_LINE in line:
                self._mark(when, line)
            self._cycled.lines.append((when, line))
            self._judge(line)
        if not self._stays and self._how.engine == K210 and self._line == b">>> ":
            self._running.end("finished")  # the chip stays at its prompt, where the hosted engine ends

    def _mark(self, when: int, line: str) -> None:
        heap: dict[str, Any] = self._running.engine.figures().get("heap", {})
        panel = rgb(self._running.board)
        before = self._cycled.lines[-1][1] if self._cycled.lines else ""
        error = before.removeprefix("error ") if before.startswith("error ") else ""
        self._run.marks.append(Mark(self._number, when, line, panel, error, heap.get("kept", 0)))

    def _judge(self, line: str) -> None:
        run, board = self._run, self._running.board
        if self._cycle.end_ms is None and run.goal_ns is None and GOALS[run.scenario.app](run, board, line):
            run.goal_ns = board.clock.now
            board.clock.after(SETTLE_MS * MS, lambda: self._running.end("goal"))


@cache
def _source_of_byte_code() -> SourceOfByteCode:
    """One for all boards of this process: it compiles every file to find its source."""
    return SourceOfByteCode(lambda text: None)


def _camera() -> Path:
    return board_files() / "assets" / "pictures" / "coffee.jpg"
