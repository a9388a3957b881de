"""What the board does by itself: main.py, pix/start.py and pix/log.py on the hosted engine."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from maixpix.board import bundle, install
from maixpix.board.link import Link
from maixpix.board.places import FolderPlace
from maixpix.cli import run as maixpix
from rig.running_board import ROOT, RunningBoard

APPS = {
    "good": "def main():\n    print('good ran')\n",
    "crash": "def main():\n    print('crash ran')\n    raise ValueError('boom')\n",
    "fails": "def main():\n    print('fails ran')\n    return 1\n",
    "named": "from pix.errors import PixError\n\n\ndef main():\n    raise PixError('no-card')\n",
    "memory": "def main():\n    print('memory ran')\n    return bytearray(4000000)\n",
    "loop": "def main():\n    print('loop ran')\n    while True:\n        pass\n",
    "waits": (
        "import utime\nimport time\n\n\ndef main():\n    end = utime.ticks_add(utime.ticks_ms(), 6000)\n"
        "    while utime.ticks_diff(end, utime.ticks_ms()) > 0:\n        pass\n"
        "    time.sleep_ms(100000)\n    print('waited', utime is time)\n    raise ValueError('once more')\n"
    ),
    "hangs": "def main():\n    print('hangs ran')\n    while True:\n        pass\n",
    "wrong": "import nothing_of_that_name\n",
}


@pytest.fixture
def card(tmp_path):
    """Call it with an app's name: a card that starts it."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "firmware", tree / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "apps").mkdir()
    for name, text in APPS.items():
        (tree / "apps" / f"{name}.py").write_text(text)

    def make(app: str, **more: object) -> Path:
        folder = tmp_path / "sd"
        folder.mkdir(exist_ok=True)
        install.install(FolderPlace(folder), bundle.build(tree, mpy=False))
        (folder / "pix.json").write_text(json.dumps({"app": app, **more}))
        return folder

    return make


@pytest.fixture
def play(tmp_path):
    """Call it with a card: the board with it, running."""
    running = []

    def start(folder: Path) -> RunningBoard:
        running.append(RunningBoard(folder, tmp_path / "flash"))
        return running[-1].__enter__()

    yield start
    for board in running:
        board.__exit__()


def test_the_app_of_the_settings_runs_and_its_end_is_the_prompt(card, play):
    heard = play(card("good")).listen(rb">>> $")
    assert b"good ran" in heard
    assert b"starts again" not in heard


def test_an_app_that_dies_is_run_again_with_growing_pauses_and_logged(card, play):
    folder = card("crash")
    heard = play(folder).listen(rb"starts again in 16 s")
    heard = heard[: heard.index(b"starts again in 16 s") + 20]  # the board may be further by now
    assert re.findall(rb"again in (\d+) s", heard) == [b"2", b"4", b"8", b"16"]
    assert heard.count(b"crash ran") == 4
    lines = (folder / "pix.log").read_text().splitlines()
    assert len(lines) >= 4 and all(" crash crash: ValueError: boom (" in line for line in lines)
    assert re.fullmatch(
        r"1 \d+\.\d{3} crash crash: ValueError: boom \(crash\.py line 3 in main < start\.py line \d+ in \w+\)", lines[0]
    )


def test_pauses_stop_growing_at_a_minute(card, play):
    heard = play(card("fails")).listen(rb"(?s:(again in 60 s.*){3})")
    assert re.findall(rb"again in (\d+) s", heard)[:6] == [b"2", b"4", b"8", b"16", b"32", b"60"]
    assert b"fails ran" in heard


def test_named_errors_are_printed_and_logged_with_their_remedy(card, play):
    folder = card("named")
    heard = play(folder).listen(rb"starts again").decode()
    line = (folder / "pix.log").read_text().splitlines()[0]
    assert " error named: no-card: " in line
    assert "error no-card: " in heard
    assert "; " in line


def test_no_memory_means_a_fresh_start(card, play):
    folder = card("memory")
    play(folder).listen(rb"memory ran(?s:.)*memory ran")
    starts = [line.split()[0] for line in (folder / "pix.log").read_text().splitlines()]
    assert starts[:1] == ["1"]


def test_an_app_that_cannot_be_imported_does_not_lock_anyone_out(card, play):
    heard = play(card("wrong")).listen(rb"starts again in 4 s")
    assert b"nothing_of_that_name" in heard


def test_ctrl_c_ends_at_the_prompt(card, play):
    board = play(card("loop"))
    board.listen(rb"loop ran")
    fd = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    os.write(fd, b"\x03")
    os.close(fd)
    assert b"stopped: loop" in board.listen(rb">>> $")


def test_the_key_held_at_the_start_leaves_the_board_at_the_prompt(card, play):
    board = play(card("good"))
    board.listen(rb">>> $")
    board.press(True)
    fd = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    os.write(fd, b"\x04")
    os.close(fd)
    heard = board.listen(rb">>> $")
    assert b"key held: no app is started" in heard
    assert b"good ran" not in heard


def test_the_watchdog_resets_a_board_whose_app_hangs_and_it_comes_back(card, play):
    heard = play(card("hangs", watchdog_s=1)).listen(rb"(?s:hangs ran.*hangs ran)")
    between = heard.split(b"hangs ran")[1]
    assert b"[MAIXPY] Pll0" in between, "a reset of the chip, not of the interpreter"


def test_without_the_watchdog_a_hanging_app_is_left_alone(card, play):
    board = play(card("hangs", watchdog_s=0))
    board.listen(rb"hangs ran")
    fd = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    os.write(fd, b"\x03")
    os.close(fd)
    assert b"[MAIXPY]" not in board.listen(rb">>> $")


def test_the_watchdog_lets_bounded_waits_of_any_length_be_and_ends_with_the_app(card, play):
    board = play(card("waits", watchdog_s=1))
    heard = board.listen(rb"waited True(?s:.*)starts again in 2 s")
    assert heard.count(b"[MAIXPY] Pll0") <= 1
    fd = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    os.write(fd, b"\x03")
    os.close(fd)
    board.listen(rb"stopped: waits")
    with Link(board.port) as link:
        # Nothing resets the board while a person works at its prompt, and the clock is the old one again.
        link.run("import utime\nutime.sleep_ms(100000)")
        assert link.run("import utime,time\nprint(type(utime) is type(uos) if 'uos' in dir() else 1)")


def test_what_a_damaged_card_says_of_the_version_keeps_no_app_from_running(card, play):
    folder = card("good")
    (slot,) = (folder / "maixpix").glob("*/version")
    slot.write_bytes(b"\xff\xfe\x80")
    assert b"good ran" in play(folder).listen(rb">>> $")


def test_a_line_that_is_too_long_for_the_log_is_cut_between_letters(card, play):
    folder = card("good")
    write = "for n in range(3):\n        Log().write('x' * n, '\u00e9' * 300)"
    (folder / "good.py").write_text(f"from pix.log import Log\n\n\ndef main():\n    {write}\n")
    (folder / "pix.json").write_text(json.dumps({"app": "/sd/good.py"}))
    play(folder).listen(rb">>> $")
    lines = (folder / "pix.log").read_bytes().splitlines()
    assert [len(line.decode()) for line in lines] and {len(line) for line in lines} == {398, 399}


def test_settings_that_are_wrong_are_told_and_nothing_is_started(card, play):
    folder = card("good", rotation=9)
    heard = play(folder).listen(rb">>> $")
    assert b"good ran" not in heard
    assert b"rotation must be from 0 to 3" in heard
    assert "rotation" in (folder / "pix.log").read_text()


def test_a_settings_file_whose_replacement_was_cut_is_completed(card, play):
    folder = card("good")
    (folder / "pix.json").rename(folder / "pix.new")
    assert b"good ran" in play(folder).listen(rb">>> $")
    assert (folder / "pix.json").exists()
    assert not (folder / "pix.new").exists()


def test_settings_that_were_cut_before_the_old_ones_went_leave_the_card(card, play):
    folder = card("good")
    before = (folder / "pix.json").read_bytes()
    (folder / "pix.new").write_text('{"app": "crash", "wifi": [["home", "correct horse"]]}')
    assert b"good ran" in play(folder).listen(rb">>> $")
    assert (folder / "pix.json").read_bytes() == before and not (folder / "pix.new").exists()


def test_the_log_is_a_ring_that_survives_starts(card, play, capsys):
    folder = card("crash")
    old = "".join(f"7 {n}.000 crash {'x' * 90}\n" for n in range(78))
    (folder / "pix.log").write_text(old)
    play(folder).listen(rb"starts again in 8 s")
    newer, older = (folder / "pix.log").read_text(), (folder / "pix.old").read_text()
    assert len(newer) + len(older) < 2 * 8192
    assert older.startswith("7 0.000")
    assert newer.startswith("8 ") or "\n8 " in older
    assert maixpix(["logs", "--card", str(folder / "none")]) == 1
    assert capsys.readouterr().err.startswith(f"maixpix: there is no folder {folder / 'none'}; ")
    assert maixpix(["logs", "--card", str(folder), "-n", "2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2
    assert all("ValueError: boom" in line for line in shown)
