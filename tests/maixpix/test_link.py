"""The way into a board that does not make it easy: it restarts, prints for ever, or is no board at all."""

from __future__ import annotations

import json
import os
import pty
import signal
import threading
import tty

import pytest

from maixpix.board.link import BoardError, Link
from maixpix.cli import run as maixpix
from maixpix.errors import UserError
from rig.board_process import FIRMWARE, BoardProcess, needs_firmware, wait_for_prompt
from rig.patience import patient
from rig.running_board import RunningBoard

START = b"\r\n[MAIXPY] Pll0:freq:806000000\r\n[MAIXPY] Pll1:freq:398666666\r\n[MAIXPY] cpu:freq:403000000\r\n"


@pytest.fixture
def impatient(monkeypatch):
    """Short waits, for boards that never answer."""
    monkeypatch.setattr("maixpix.board.link._ENTER_TIMEOUT_S", 1)
    monkeypatch.setattr("maixpix.board.link._CHARACTER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("maixpix.board.link._IDE_TRIES", 3)


@pytest.fixture
def board(tmp_path):
    (tmp_path / "sd").mkdir()
    with RunningBoard(tmp_path / "sd", tmp_path / "flash") as one:
        yield one


@pytest.fixture
def talker():
    """Call it with a text: the name of a port on which something says that text for ever, whatever it is told."""
    ends: list[int] = []
    stop = threading.Event()
    threads = []

    def make(text: bytes) -> str:
        master, slave = pty.openpty()
        ends.extend((master, slave))
        tty.setraw(master)
        tty.setraw(slave)
        os.set_blocking(master, False)

        def talk() -> None:
            while not stop.wait(0.02):
                try:
                    os.read(master, 4096)
                except BlockingIOError:
                    pass
                try:
                    os.write(master, text)
                except BlockingIOError:
                    pass

        threads.append(threading.Thread(target=talk, daemon=True))
        threads[-1].start()
        return os.ttyname(slave)

    yield make
    stop.set()
    for thread in threads:
        thread.join(patient(5))
    for end in ends:
        os.close(end)


def test_a_boot_script_that_resets_is_named_and_worked_around(tmp_path, capsys):
    (tmp_path / "sd").mkdir()
    (tmp_path / "sd" / "boot.py").write_text("import machine\nmachine.reset()\n")
    with RunningBoard(tmp_path / "sd", tmp_path / "flash", {"paced": True}) as board:
        _examined_and_cured(board, capsys)


def _examined_and_cured(board, capsys):
    assert maixpix(["doctor", "--no-network", "--json", "--port", board.port]) == 1
    said = capsys.readouterr()
    found = {one["name"]: one for one in json.loads(said.out)["findings"]}
    assert "repl" in found, said.out
    assert found["repl"]["state"] == "wrong"
    assert found["repl"]["text"] == "boot.py on the board restarts it again and again"
    assert found["camera"]["state"] == "ok", "the rest is examined all the same"
    # Its remedy is a command that works.
    command = found["repl"]["remedy"].removeprefix("remove it: maixpix ")
    assert command == "run --resume -c \"import uos; uos.remove('boot.py')\""
    assert maixpix(["run", "--resume", "--port", board.port, "-c", "import uos; uos.remove('boot.py')"]) == 0
    with Link(board.port) as link:
        assert (link.soft_reset_works, link.restarts) == (True, False)


@pytest.mark.parametrize("does", ["print('busy')", "pass"])
def test_a_boot_script_that_never_ends_is_named_and_worked_around(board, monkeypatch, does):
    monkeypatch.setattr("maixpix.board.link._ENTER_TIMEOUT_S", patient(1))
    (board.card / "boot.py").write_text(f"while True:\n    {does}\n")
    notes = []
    with Link(board.port, notes.append) as link:
        assert (link.soft_reset_works, link.restarts) == (False, False)
        assert notes == ["the soft reset did not end: boot.py on the board loops; going on without it"]
        assert link.run("print(6*7)").strip() == "42"


def test_a_board_that_only_ever_restarts_is_told_as_such(talker):
    with pytest.raises(UserError) as caught, Link(talker(START)):
        pass
    assert caught.value.message == "the board restarts again and again"
    assert "boot.py or its power supply" in caught.value.remedy


def test_a_board_that_never_stops_talking_is_told_as_such(talker, impatient):
    with pytest.raises(UserError, match="does not let itself be stopped"), Link(talker(b"busy busy busy busy ")):
        pass


def test_a_command_whose_output_never_ends_is_given_up(board):
    with Link(board.port) as link:
        with pytest.raises(UserError) as caught:
            link.run("while 1:print('on and on')", timeout_s=0.5)
        assert caught.value.message == "something on the board prints without end"
        assert caught.value.remedy
        link.start_main()
    with Link(board.port) as link:
        assert link.run("print(6*7)").strip() == "42"


def test_a_board_that_restarts_in_the_middle_is_told(board, impatient):
    with Link(board.port) as link, pytest.raises(UserError, match="the board restarted in the middle") as caught:
        link.run("import machine\nmachine.reset()", timeout_s=1)
    assert "supply" in caught.value.remedy


@pytest.mark.parametrize("name", ["/dev/null", "/"])
def test_what_is_no_serial_port_is_told_in_one_line(name, capsys):
    for command in (["logs"], ["logs", "--follow"], ["reset", "--lines"], ["run", "-c", "1"]):
        assert maixpix([*command, "--port", name]) == 1
        assert capsys.readouterr().err == (
            f"maixpix: {name} is no serial port; choose one of those that `maixpix ports` lists\n"
        )


def test_remedies_follow_the_number_and_not_the_text():
    full = BoardError("OSError: [Errno 28] ENOSPC", "")
    assert (full.number, full.remedy) == (28, "the card is full: remove files from it")
    assert BoardError("OSError: 28", "").remedy == full.remedy
    other = BoardError("OSError: [Errno 128] whatever", "")
    assert other.number == 128
    assert other.remedy == BoardError("ValueError: 28", "").remedy == "run `maixpix logs` or `maixpix doctor` for more"


def test_the_app_is_started_again_whatever_happened(board):
    (board.card / "main.py").write_text("print('app ' + 'runs')\n")
    with Link(board.port, restart=True) as link:
        link.run("1")
    board.listen(rb"app runs")
    with pytest.raises(ZeroDivisionError), Link(board.port, restart=True) as link:
        raise ZeroDivisionError
    board.listen(rb"app runs")
    with pytest.raises(KeyboardInterrupt), Link(board.port, restart=True) as link:
        # Ctrl-C while a command runs there, and half of another has been typed.
        link._need().exec_raw_no_follow("while 1:pass")
        link._busy = True
        link.serial.write(b"print('half a comm")
        raise KeyboardInterrupt
    board.listen(rb"app runs")


@pytest.mark.firmware
@pytest.mark.slow
@needs_firmware
def test_real_firmware_in_ide_mode_is_recognised_and_brought_back():
    with BoardProcess("--firmware", FIRMWARE) as board:
        wait_for_prompt(board)
        with Link(board.pty) as link:
            link.run("f=open('/flash/ide_mode.conf','w')\nf.close()")
            link.hard_reset()
        with pytest.raises(UserError) as caught, Link(board.pty):
            pass
        assert caught.value.message == "the board was in the mode of MaixPy IDE"
        assert caught.value.remedy.startswith("it was reset, run the command again")
        with Link(board.pty) as link:
            assert link.run("print(6*7)").strip() == "42"


@pytest.mark.firmware
@pytest.mark.slow
@needs_firmware
def test_real_firmware_that_restarts_for_ever_is_caught(tmp_path):
    (tmp_path / "sd").mkdir()
    (tmp_path / "sd" / "boot.py").write_text("import machine\nmachine.reset()\n")
    with RunningBoard(tmp_path / "sd", tmp_path / "flash", script="k210_board.py") as board:
        board.listen(rb"(?s:Pll0.*Pll0)", 60)
        notes = []
        with Link(board.port, notes.append) as link:
            assert link.restarts
            link.run("import uos;uos.remove('boot.py')")
        assert notes == ["the soft reset did not end: boot.py on the board restarts the board; going on without it"]
        with Link(board.port) as link:
            assert link.soft_reset_works


def test_a_starved_virtual_board_has_its_own_time_to_take_a_command(tmp_path, monkeypatch):
    monkeypatch.setattr("maixpix.board.link._CHARACTER_TIMEOUT_S", 0.3)
    monkeypatch.setattr("maixpix.board.transport._ANSWER_S", 2)
    with BoardProcess("--flash", str(tmp_path / "flash")) as board, Link(board.pty) as link:
        assert link.run("print(6*7)").strip() == "42"
        board.process.send_signal(signal.SIGSTOP)
        threading.Timer(5, board.process.send_signal, (signal.SIGCONT,)).start()
        assert link.run("print(6*7)").strip() == "42"
