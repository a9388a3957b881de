"""`maixpix board`: typed programs, what is kept, how it ends, and what it says when it cannot."""

from __future__ import annotations

import json
import signal
import socket
import threading
from concurrent.futures import CancelledError

import pytest
from PIL import Image

from maixpix.cli import run as maixpix
from maixpix.flash import kfpkg
from maixpix.virtual.live import LiveBoard, LiveOptions
from maixpix.virtual.mailbox import Mailbox
from rig.board_process import ENGINES, BoardProcess, engine_options, needs_firmware
from rig.patience import patient
from virtualboard.board import Board, BoardConfig
from virtualboard.clock import Clock


@pytest.mark.parametrize("engine", ENGINES)
def test_a_typed_program_prints_its_answer(engine, tmp_path, capsys):
    (tmp_path / "note.txt").write_text("from the host")
    code = 'print(open("/sd/note.txt").read()); f = open("/sd/back.txt", "w"); f.write("from the board"); f.close()'
    assert maixpix(["board", *engine_options(engine), "--card", str(tmp_path), "--exec", code]) == 0
    assert capsys.readouterr().out == "from the host\n"
    assert (tmp_path / "back.txt").read_text() == "from the board"


@pytest.mark.parametrize("engine", ENGINES)
def test_an_exception_is_exit_code_1_and_a_traceback_on_stderr(engine, capsys):
    assert maixpix(["board", *engine_options(engine), "--exec", "print('before')\nraise ValueError('so')"]) == 1
    said = capsys.readouterr()
    assert said.out == "before\n"
    assert said.err.splitlines()[0] == "Traceback (most recent call last):"
    assert said.err.splitlines()[-1] == "ValueError: so"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_longer_than_the_consoles_ring_runs_whole(engine, tmp_path, capsys):
    program = tmp_path / "long.py"
    program.write_text("total = 0\n" + "".join(f"total += {n}  # {'y' * 50}\n" for n in range(300)) + "print(total)\n")
    assert program.stat().st_size > 15_000
    assert maixpix(["board", *engine_options(engine), "--run", str(program)]) == 0
    assert capsys.readouterr().out == f"{sum(range(300))}\n"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_panel_is_saved_as_it_is_at_the_end(engine, tmp_path, capsys):
    picture = tmp_path / "panel.png"
    code = "import lcd; lcd.init(); lcd.clear(lcd.RED)"
    assert maixpix(["board", *engine_options(engine), "--exec", code, "--screenshot", str(picture)]) == 0
    with Image.open(picture) as panel:
        assert panel.size == (320, 240)
        assert panel.getcolors() == [(320 * 240, (255, 0, 0))]


def test_the_same_program_sees_the_same_time(capsys):
    code = "import utime; print(utime.ticks_us()); utime.sleep_ms(1500); print(utime.ticks_us())"
    outputs = set()
    for _ in range(3):
        assert maixpix(["board", "--exec", code]) == 0
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 1
    first, second = map(int, outputs.pop().split())
    assert 1_500_000 <= second - first < 1_510_000


def test_an_endless_program_ends_in_time_and_in_one_line(capsys):
    assert maixpix(["board", "--exec", "while True: pass", "--timeout", "6"]) == 1
    assert capsys.readouterr().err == (
        "maixpix: the program did not end within 6 s of the board's time; raise --timeout, or look for a loop\n"
    )


def test_main_py_that_never_ends_is_stopped_for_the_program(tmp_path, capsys):
    (tmp_path / "main.py").write_text("while True:\n    pass\n")
    assert maixpix(["board", "--card", str(tmp_path), "--exec", "print('reached')"]) == 0
    assert capsys.readouterr().out == "reached\n"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--card", "{tmp}/none"], "there is no folder {tmp}/none; name an existing folder to be the SD card"),
        (["--camera", "{tmp}/none"], "there is no picture {tmp}/none; name a picture file or a folder of pictures"),
        (["--card", "{tmp}/binary"], "{tmp}/binary is a file, no folder; name an existing folder to be the SD card"),
        (["--camera", "{tmp}/notes.txt"], "{tmp}/notes.txt is no picture; name a picture file or a folder of pictures"),
        (["--camera", "{tmp}/words"], "there is no picture in the folder {tmp}/words; name a picture file or"),
        (["--exec", "1", "--screenshot", "{tmp}/panel.txt"], "panel.txt: no picture can be kept as .txt; name it .png"),
        (["--firmware", "{tmp}/model.kfpkg"], "model.kfpkg puts nothing to address 0, where the chip starts; name a"),
        (["--firmware", "{tmp}/junk.kfpkg"], "junk.bin is no K210 firmware (its start is unknown); download one"),
        (["--run", "{tmp}/none.py"], "there is no program {tmp}/none.py; name a Python file"),
        (
            ["--run", "{tmp}/binary"],
            "{tmp}/binary is no text that can be read (line 1); save it as plain text in UTF-8",
        ),
        (["--engine", "hosted", "--firmware", "x.bin"], "the hosted engine runs no firmware file; add --engine k210"),
        (["--engine", "hosted", "--isp"], "the hosted engine has no boot ROM to flash through; add --engine k210"),
        (
            ["--flash", "{tmp}/binary", "--exec", "1"],
            "{tmp}/binary is a file, the hosted engine keeps its flash in a folder; name a folder",
        ),
        (
            ["--engine", "k210"],
            "the emulated chip has nothing to run; name a MaixPy image with --firmware, or flash one: --isp",
        ),
        (["--firmware", "{tmp}/page.bin"], "page.bin is a web page, not the file behind it; download the .bin itself"),
        (["--faults", "[{"], "the fault plan is not JSON"),
        (["--exec", "1", "--screenshot", "{tmp}/no/panel.png"], "cannot write {tmp}/no/panel.png: No such file"),
        (["--web", "{used}"], "the page cannot have port {used} (Address already in use); choose another --web"),
        (["--rfc2217", "{used}"], "port {used} is in use; stop the other program or choose another --rfc2217"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(options, line, tmp_path, capsys):
    (tmp_path / "binary").write_bytes(bytes(range(128, 256)))
    (tmp_path / "page.bin").write_text("<!doctype html><p>gone")
    (tmp_path / "words").mkdir()
    for text in (tmp_path / "notes.txt", tmp_path / "words" / "list.txt"):
        text.write_text("no picture")
    kfpkg.write([kfpkg.Part(0x300000, "m.kmodel", b"KMDL" + bytes(99))], tmp_path / "model.kfpkg")
    kfpkg.write([kfpkg.Part(0, "junk.bin", bytes(range(256)), True)], tmp_path / "junk.kfpkg")
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        names = {"tmp": tmp_path, "used": used.getsockname()[1]}
        assert maixpix(["board", *(option.format(**names) if "[" not in option else option for option in options)]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("maixpix: " + line.format(**names) if "[" not in line else "maixpix: " + line), said


def test_wrong_usage_is_exit_code_2(capsys):
    assert maixpix(["board", "--exec", "1", "--run", "x.py"]) == 2
    assert maixpix(["board", "--web", "70000"]) == 2
    assert maixpix(["board", "--lines", "amigo"]) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [[], ["--speed", "max"], ["--isp"], ["--isp", "--speed", "max"]])
def test_ctrl_c_ends_a_running_board_cleanly(options, number):
    with BoardProcess(*options) as board:
        assert board.stop(number) == 0
    assert board.said[-1] == "switched off\n"


def test_ctrl_c_during_a_program_is_exit_code_130(tmp_path):
    import subprocess
    import sys
    import time

    from rig.board_process import ROOT

    process = subprocess.Popen(
        [sys.executable, "-m", "maixpix", "board", "--exec", "print('on')\nwhile True: pass", "--speed", "real"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT / "tools",
    )
    assert process.stdout.readline() == "on\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(patient(20)) == 130
    assert process.stderr.read().strip() == "maixpix: stopped"
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_flash_is_kept_between_runs(engine, tmp_path, capsys):
    flash = tmp_path / "flash"
    options = ["board", *engine_options(engine), "--flash", str(flash), "--exec"]
    assert maixpix([*options, "f = open('/flash/kept.txt', 'w'); f.write('yes'); f.close()"]) == 0
    assert maixpix([*options, "print(open('/flash/kept.txt').read())"]) == 0
    assert capsys.readouterr().out == "yes\n"
    if engine == "k210":
        assert flash.stat().st_size == 16 << 20


@needs_firmware
@pytest.mark.firmware
def test_a_kept_flash_boots_without_naming_the_firmware_again(tmp_path, capsys):
    flash = str(tmp_path / "flash")
    assert maixpix(["board", *engine_options("k210"), "--flash", flash, "--exec", "pass"]) == 0
    assert maixpix(["board", "--engine", "k210", "--flash", flash, "--exec", "print(6 * 7)"]) == 0
    assert capsys.readouterr().out == "42\n"


def test_faults_happen_on_a_live_board(tmp_path, capsys):
    plan = json.dumps([{"when": {"ms": 1000}, "do": "remove-card"}])
    code = "import os, utime\nutime.sleep(2)\ntry:\n    open('/sd/x')\nexcept OSError as e:\n    print('card gone')"
    (tmp_path / "x").write_text("x")
    code = maixpix(["board", "--card", str(tmp_path), "--faults", plan, "--exec", code])
    said = capsys.readouterr()
    assert (code, said.out) == (0, "card gone\n"), said


def test_reset_starts_the_board_anew():
    live = LiveBoard(LiveOptions(paced=False))
    heard = bytearray()
    live.console.listen(lambda _when, data: heard.extend(data))
    live.board.clock.after(2_000_000_000, live.reset)
    live.board.clock.after(4_000_000_000, live.stop)
    try:
        live.run()
    finally:
        live.close()
    assert heard.count(b"init end") == 2


def test_a_mailbox_runs_work_in_the_engines_thread_and_tells_who_is_too_late():
    clock = Clock()
    box = Mailbox(clock)
    here = threading.get_ident()
    futures = []
    thread = threading.Thread(target=lambda: futures.append(box.ask(threading.get_ident)))
    thread.start()
    thread.join()
    clock.poll(1_000_000_000)
    assert futures[0].result(0) == here

    failing = box.ask(lambda: 1 // 0)
    clock.poll(1_000_000_000)
    with pytest.raises(ZeroDivisionError):
        failing.result(0)

    for _ in range(100_000):  # more than the socket pair holds
        last = box.ask(lambda: "done")
    clock.poll(1_000_000_000)
    assert last.result(0) == "done"

    waiting = box.ask(lambda: None)
    box.close()
    with pytest.raises(CancelledError):
        waiting.result(0)
    with pytest.raises(CancelledError):
        box.ask(lambda: None).result(0)


def test_the_console_module_loads_where_there_are_no_pseudo_terminals():
    import subprocess
    import sys

    from rig.board_process import ROOT

    code = (
        "import sys\nfor name in ('termios', 'pty', 'tty'): sys.modules[name] = None\n"
        "from virtualboard.host.console import HAS_PTY, PtyConsole, ConsoleLog\n"
        "from virtualboard.board import Board, BoardConfig\n"
        "board = Board(BoardConfig()); log = ConsoleLog(board)\n"
        "board.console_tx.write(b'heard'); board.clock.advance(10**9)\n"
        "assert not HAS_PTY and log.text == 'heard'\n"
        "try: PtyConsole(board)\nexcept OSError as error: print(error.strerror)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "tools", timeout=patient(60)
    )
    assert done.stdout == "this system has no pseudo-terminals\n", done.stderr


def test_what_is_handed_in_keeps_its_order_with_the_rate():
    from virtualboard.host.console import ConsoleLine

    board = Board(BoardConfig())
    line = ConsoleLine(board)
    seen: list[tuple[bytes, int]] = []
    board.console_rx.on_write = lambda: seen.append((b"", line.baud))
    line._mark = (board.clock.now, line._mark[1] - 50_000_000)  # the host thought for 50 ms
    line.hand_in(b"at the old rate")
    line.hand_in_baud(1_500_000)
    line.hand_in(b"at the new one")
    assert not seen
    board.clock.advance(1_000_000_000)
    assert [rate for _, rate in seen] == [115200, 1_500_000]


def test_the_help_shows_options_that_exist(capsys):
    assert maixpix(["board", "--help"]) == 0
    text = capsys.readouterr().out
    offered = {word for word in text.split() if word.startswith("--")}
    examples = text[text.index("Examples:") : text.index("Options:")]
    for word in examples.split():
        if word.startswith("--") and word != "--port" and word != "--board":
            assert word in offered, word
