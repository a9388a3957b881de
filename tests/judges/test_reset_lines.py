"""The reset sequences of the real kflash 1.1.6, taken out of its source, on the reset lines of every board type."""

from __future__ import annotations

import ast
import importlib.util
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import SECOND
from virtualboard.host.reset_lines import WIRINGS, ResetLines

# Which sequences kflash's main loop uses for a board type, and the one it would start a program with.
SEQUENCES = {
    "kd233": ("reset_to_isp_kd233", "reset_to_boot_kd233"),
    "dan": ("reset_to_isp_dan", "reset_to_boot_dan"),
    "bit": ("reset_to_isp_dan", "reset_to_boot_dan"),
    "bit_mic": ("reset_to_isp_kd233", "reset_to_boot_maixgo"),
    "goE": ("reset_to_isp_kd233", "reset_to_boot_maixgo"),
    "goD": ("reset_to_isp_goD", "reset_to_boot_goD"),
    "maixduino": ("reset_to_isp_kd233", "reset_to_boot_maixgo"),
    "trainer": ("reset_to_isp_dan", "reset_to_boot_dan"),
}


@pytest.fixture(scope="module")
def source() -> ast.Module:
    return ast.parse(Path(importlib.util.find_spec("kflash").origin).read_text(encoding="utf-8"))


class Bench:
    """A board without an engine: what happens to its chip is noted."""

    def __init__(self, wiring: str) -> None:
        self.board = Board(BoardConfig())
        self.happened: list[str] = []
        self.lines = ResetLines(self.board, wiring, self._hold)
        self.lines.opened()

    def _hold(self, on: bool) -> None:
        boot = "run" if self.board.pads.level(self.board.model.boot_key) else "boot"
        self.happened.append("held" if on else f"started to {boot}")

    def play(self, source: ast.Module, name: str) -> None:
        """Run kflash's function `name`; its pauses are virtual."""
        function = next(n for n in ast.walk(source) if isinstance(n, ast.FunctionDef) and n.name == name)
        clock = types.SimpleNamespace(sleep=lambda seconds: self.board.clock.advance(round(seconds * SECOND)))
        space: dict[str, Callable] = {"time": clock}
        exec(compile(ast.Module([function], []), "kflash", "exec"), space)
        port = types.SimpleNamespace(setDTR=lambda on: self.lines.set(dtr=on), setRTS=lambda on: self.lines.set(rts=on))
        space[name](types.SimpleNamespace(_port=port))
        self.board.clock.advance(SECOND // 5)


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    built = Bench(request.param)
    yield built
    built.board.power_off()


def test_the_table_has_kflashs_board_types(source: ast.Module) -> None:
    choices = next(
        n.value for n in ast.walk(source) if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "boards_choices"
    )
    assert list(WIRINGS) == ast.literal_eval(choices)


@pytest.mark.parametrize("bench", WIRINGS, indirect=True, ids=str)
def test_into_the_boot_rom_again_and_back_to_the_program(
    request: pytest.FixtureRequest, bench: Bench, source: ast.Module
) -> None:
    isp, run = SEQUENCES[request.node.callspec.params["bench"]]
    assert bench.happened == []  # opening the port did nothing
    for _ in range(2):  # kflash repeats it until the ROM answers
        bench.play(source, isp)
        assert bench.happened[-1] == "started to boot"
    bench.play(source, run)
    assert bench.happened[-1] == "started to run"
    count = len(bench.happened)
    bench.lines.release()
    bench.board.clock.advance(SECOND)
    assert len(bench.happened) == count
    assert bench.board.pads.level(bench.board.model.boot_key)


@pytest.mark.parametrize(("bench", "foreign"), [("dan", "reset_to_isp_kd233"), ("goE", "reset_to_isp_dan")],
                         indirect=["bench"])  # fmt: skip
def test_the_other_wirings_sequence_does_not_reach_the_boot_rom(bench: Bench, foreign: str, source: ast.Module) -> None:
    bench.play(source, foreign)
    assert "started to boot" not in bench.happened
