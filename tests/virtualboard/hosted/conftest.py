"""Runs device code on a hosted board inside the test process."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from rig.garbage import set_aside
from virtualboard.board import Board, BoardConfig
from virtualboard.host.console import ConsoleLog
from virtualboard.hosted.engine import Engine, Program


@dataclass
class Ran:
    """What one run left behind."""

    engine: Engine
    board: Board
    text: str
    code: int

    @property
    def lines(self):
        return self.text.splitlines()

    @property
    def last(self):
        return self.lines[-1]


class Device:
    """A board whose card and flash are folders of the test."""

    def __init__(self, folder: Path) -> None:
        self.card = folder / "card"
        self.flash = folder / "flash"
        self.card.mkdir()
        self.flash.mkdir()
        self.boards = []

    def board(self, **settings):
        settings.setdefault("card", str(self.card))
        settings.setdefault("flash_dir", str(self.flash))
        board = Board(BoardConfig(**settings))
        self.boards.append(board)
        return board

    def run(self, source, *, board=None, before=None, **options):
        """Run source text to its end; `before(board, engine)` may set alarms first. Boot text is cut off."""
        settings = options.pop("settings", {})
        board = board or self.board(**settings)
        log = ConsoleLog(board)
        options.setdefault("end_ns", 300_000_000_000)
        program = None if source is None else Program(textwrap.dedent(source))
        engine = Engine(board, program, **options)
        if before is not None:
            before(board, engine)
        set_aside()
        code = engine.run()
        text = log.text
        if source is not None:
            text = text.rpartition("[MaixPy] init end\n")[2]
        return Ran(engine, board, text, code)

    def value(self, expression, setup="", **options):
        """What an expression prints as on the device."""
        ran = self.run(f"{textwrap.dedent(setup)}\nprint({expression})\n", **options)
        assert ran.code == 0, ran.text
        return ran.last


@pytest.fixture
def device(tmp_path):
    made = Device(tmp_path)
    yield made
    for board in made.boards:
        board.power_off()
