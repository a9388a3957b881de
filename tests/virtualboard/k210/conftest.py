"""Boards for the chip's tests. Programs run from memory unless a test boots from flash."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("unicorn", reason="the k210 engine needs the extra maixpix[k210]")

from rig.asm import assemble
from virtualboard.board import Board, BoardConfig
from virtualboard.k210.engine import K210Engine
from virtualboard.k210.soc import Soc


@pytest.fixture
def board() -> Iterator[Board]:
    built = Board(BoardConfig())
    yield built
    built.power_off()


@pytest.fixture
def engine(board: Board) -> K210Engine:
    return K210Engine(board)


@pytest.fixture
def soc(board: Board) -> Soc:
    """The chip without programs: tests store to its registers as drivers do, and let the board's clock run."""
    return Soc(board)


@pytest.fixture
def run_program(engine: K210Engine) -> Callable[..., K210Engine]:
    """Assemble a program, start both cores in it, and run for a time."""

    def run(source: str, timeout_ns: int = 5_000_000, until: Callable[[], bool] | None = None) -> K210Engine:
        engine.soc.reset()
        engine.soc.start(assemble(source))
        engine.run(until, timeout_ns)
        return engine

    return run
