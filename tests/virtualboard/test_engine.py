"""One face for both engines: the same program, the same figures, the same ways to end."""

from __future__ import annotations

import pytest

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, SECOND
from virtualboard.engine import HOSTED, K210, EngineError, EngineOptions, make_engine, put_part
from virtualboard.nor_flash import NorFlash
from virtualboard.program import Program
from virtualboard.running import RunningBoard

FIGURES = {
    "engine", "virtual_ns", "waited_real_ns", "ended", "error", "resets", "lanes", "card", "panel", "modem", "faults",
}  # fmt: skip


@pytest.fixture
def board():
    made = Board(BoardConfig())
    yield made
    made.power_off()


def test_what_a_program_prints_and_how_it_ended(board):
    running = RunningBoard(board)
    printed = bytearray()
    code = running.run_program(Program("print(6 * 7)\n1 // 0\n"), lambda _when, data: printed.extend(data))
    assert (code, running.engine.ended) == (1, "finished")
    assert b"\r\n42\r\n" in printed
    report = running.report()
    assert report["engine"] == HOSTED and report["error"].startswith("ZeroDivisionError")
    assert set(report) >= FIGURES


@pytest.mark.parametrize(("end_ns", "ended"), [(1 * SECOND, "time limit"), (None, "power cut")])
def test_a_program_that_does_not_end_by_itself(end_ns, ended):
    faults = [{"when": {"ms": 1500}, "do": "cut-power"}]
    board = Board(BoardConfig(faults=faults))
    running = RunningBoard(board)
    code = running.run_program(Program("while True: pass\n"), lambda _when, _data: None, end_ns)
    assert (code, running.report()["ended"]) == (3, ended)
    assert len(running.report()["faults"]) == (ended == "power cut")
    board.power_off()


def test_a_reset_from_outside(board):
    running = RunningBoard(board)
    heard = bytearray()
    running.console.listen(lambda _when, data: heard.extend(data))
    board.clock.at(2 * SECOND, running.reset)
    board.clock.at(4 * SECOND, running.end)
    running.run()
    assert heard.count(b"init end") == 2 and running.report()["resets"] == 1


def test_no_such_engine(board):
    with pytest.raises(EngineError, match="no engine 'toaster'; use hosted or k210"):
        make_engine(board, EngineOptions("toaster"))
    with pytest.raises(ValueError, match="unknown engine options: speed"):
        EngineOptions.from_dict({"speed": 2})


def test_the_chip_behind_the_same_face(board):
    pytest.importorskip("unicorn")
    engine = make_engine(board, EngineOptions(K210, isp=True))
    board.clock.at(50 * MS, lambda: engine.halt("enough"))
    engine.run(lambda: False)
    assert engine.ended == "enough" and engine.machine.rom.serving
    assert board.clock.now < 2 * SECOND
    engine.hold(True)
    assert not engine.machine.rom.serving
    with pytest.raises(EngineError, match="cannot be put before"):
        engine.start_with(Program("pass"))


def test_a_chip_without_prompt_is_told_so(board):
    pytest.importorskip("unicorn")
    running = RunningBoard(board, EngineOptions(K210, isp=True))
    with pytest.raises(EngineError, match="no prompt appeared within 2 s"):
        running.execute(b"pass", lambda _data: None, timeout_s=2)


def test_what_does_not_fit_the_flash(board):
    pytest.importorskip("unicorn")
    with pytest.raises(EngineError, match="do not fit the flash"):
        put_part(NorFlash(board.clock, 1 << 16), 65_530, b"x" * 100, program=False)
