"""A deployment or a setup cut at any byte leaves a board that starts: the old version or the new one, whole."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from maixpix.board import bundle, install
from maixpix.board.places import FolderPlace
from maixpix.cli import run as maixpix
from rig.cable_tape import Recorder, Tape, cut, many_starts, start
from rig.running_board import ROOT, RunningBoard, device_tree, started_version

POINTS = 40


@pytest.fixture(autouse=True, scope="module")
def quick():
    with many_starts():
        yield


def points(tape: Tape) -> list[int]:
    """Numbers of bytes: spread over the whole, dense in the last tenth, where the switch is, and its very last ones."""
    total = sum(len(data) for _, data in tape)
    spread = [total * n // (POINTS // 2 + 2) for n in range(1, POINTS // 2 + 2)]
    dense = [total - total * n // (10 * POINTS // 2) for n in range(1, POINTS // 2 + 1)]
    return sorted({*spread, *dense, total - 1, total})


def copied(folders: dict[str, Path], to: Path) -> dict[str, Path]:
    shutil.rmtree(to, ignore_errors=True)
    return {name: Path(shutil.copytree(folder, to / name)) for name, folder in folders.items()}


def record(folders: dict[str, Path], tmp_path: Path, *command: str) -> Tape:
    """What `command` types at a board with copies of `folders`, which waits at its prompt."""
    used = copied(folders, tmp_path / "recorded")
    with RunningBoard(used.get("sd"), used["flash"]) as board:
        board.listen(rb">>> $")
        recorder = Recorder(board.port)
        assert maixpix([*command, "--port", recorder.port]) == 0
        return recorder.close()


def outcomes(tape: Tape, folders: dict[str, Path], tmp_path: Path) -> list[tuple[int, str, dict[str, Path]]]:
    """(bytes typed, what the board printed at its next start, its folders) for every cut."""
    found = []
    where = points(tape)
    assert len(where) >= POINTS
    for number, typed in enumerate(where):
        used = copied(folders, tmp_path / f"cut{number}")
        # Every other board is fed by its own supply and goes on for a while after the cable is gone; so does the one
        # that was typed everything.
        linger = 1000 if number == len(where) - 1 else 200 * (number % 2)
        cut(tape, typed, used.get("sd"), used["flash"], linger_ms=linger)
        heard = start(used.get("sd"), used["flash"])
        assert b"Traceback" not in heard, f"cut at {typed}: {heard[-800:]!r}"
        found.append((typed, heard.decode("utf-8", "replace"), used))
    return found


def real_tree(folder: Path, version: str) -> Path:
    """The real device package and two apps that tell the version of all that was deployed with them."""
    shutil.copytree(ROOT / "firmware", folder / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "apps").mkdir()
    (folder / "firmware" / "pix" / "part.py").write_text(f"VERSION = {version!r}\n# {'x' * 2000}\n")
    for app in ("one", "two"):
        (folder / "apps" / f"{app}.py").write_text(
            "from pix import part\n\n\ndef main():\n"
            f"    print('parts', part.VERSION + '-' + {version!r}, 'from {app}')\n"
        )
    return folder


def test_a_deployment_with_a_change_of_app(tmp_path, monkeypatch):
    card, flash = tmp_path / "sd", tmp_path / "flash"
    card.mkdir()
    flash.mkdir()
    for version in ("older", "old"):
        tree = real_tree(tmp_path / version, version)
        install.install(FolderPlace(card), bundle.build(tree, mpy=False))
    install.install_loader(FolderPlace(flash), bundle.loader())
    (card / "pix.json").write_text('{"app": "one"}')
    new = real_tree(tmp_path / "new", "new")
    monkeypatch.setattr("maixpix.board.bundle.board_files", lambda: new)
    folders = {"sd": card, "flash": flash}
    tape = record(folders, tmp_path, "deploy", "--source", "--app", "two")
    seen = []
    for typed, heard, _ in outcomes(tape, folders, tmp_path):
        app = re.findall(r"from (one|two)", heard)[-1]
        seen.append((started_version(heard.encode()), app))
        assert seen[-1] in (("old", "one"), ("new", "one"), ("new", "two")), f"cut at {typed}"
    assert seen == sorted(seen, key=[("old", "one"), ("new", "one"), ("new", "two")].index), "never back again"
    assert set(seen) == {("old", "one"), ("new", "one"), ("new", "two")}


def test_the_first_installation(tmp_path, monkeypatch):
    card, flash = tmp_path / "sd", tmp_path / "flash"
    card.mkdir()
    flash.mkdir()
    start(card, flash)  # MaixPy writes its own main.py
    tree = device_tree(tmp_path / "tree", "new")
    monkeypatch.setattr("maixpix.board.bundle.board_files", lambda: tree)
    monkeypatch.setattr("maixpix.board.settings.keys", lambda: {"app": ("show", "text")})
    folders = {"sd": card, "flash": flash}
    tape = record(folders, tmp_path, "deploy", "--source", "--app", "show")
    started = 0
    for _, heard, used in outcomes(tape, folders, tmp_path):
        if "parts" in heard:
            assert started_version(heard.encode()) == "new"
            started += 1
        else:
            assert b"Welcome to MaixPy" in (used["sd"] / "main.py").read_bytes()
    assert 0 < started < POINTS


def test_the_flat_flash(tmp_path, monkeypatch):
    flash = tmp_path / "flash"
    flash.mkdir()
    for version in ("older", "old"):
        tree = device_tree(tmp_path / version, version)
        install.install(FolderPlace(flash), bundle.build(tree, flat=True, mpy=False))
    new = device_tree(tmp_path / "new", "new")
    monkeypatch.setattr("maixpix.board.bundle.board_files", lambda: new)
    tape = record({"flash": flash}, tmp_path, "deploy", "--source", "--to", "flash")
    seen = [started_version(heard.encode()) for _, heard, _ in outcomes(tape, {"flash": flash}, tmp_path)]
    assert set(seen) == {"old", "new"}
    assert seen == sorted(seen, key=["old", "new"].index)


def test_the_settings(tmp_path):
    card, flash = tmp_path / "sd", tmp_path / "flash"
    card.mkdir()
    flash.mkdir()
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "firmware", tree / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "apps").mkdir()
    (tree / "apps" / "show.py").write_text(
        "from pix import config\n\n\ndef main():\n    s = config.load()\n    print('settings', s.server, s.wifi)\n"
    )
    install.install(FolderPlace(card), bundle.build(tree, mpy=False))
    old = {"server": "http://old:1", "wifi": [["Home", "the old key"]]}
    (card / "pix.json").write_text(json.dumps(old))
    folders = {"sd": card, "flash": flash}
    tape = record(folders, tmp_path, "setup", "--server", "http://new:2", "--wifi", "Cafe", "--open")
    before = f"settings {old['server']} {old['wifi']}"
    after = f"settings http://new:2 {[['Cafe', ''], *old['wifi']]}"
    seen = []
    for typed, heard, used in outcomes(tape, folders, tmp_path):
        seen.append(re.findall(r"settings http.*", heard)[-1].strip())
        assert seen[-1] in (before, after), f"cut at {typed}"
        assert json.loads((used["sd"] / "pix.json").read_text())
    assert set(seen) == {before, after}


@pytest.mark.parametrize("place", ["flash", "sd"])
def test_a_power_loss_between_removing_and_renaming_main_is_mended_by_the_next_deployment(tmp_path, place, monkeypatch):
    """The one step that FAT and SPIFFS cannot do at once; only an update of the loader on the flash does it again."""
    folder = tmp_path / place
    for name in {"flash", place}:
        (tmp_path / name).mkdir()
    files = bundle.build(device_tree(tmp_path / "tree", "new"), flat=place == "flash", mpy=False)
    install.install(FolderPlace(folder), files)
    (folder / "main.py").rename(folder / "main.new")
    card = folder if place == "sd" else None
    assert b"Traceback" not in start(card, tmp_path / "flash")
    assert b"Welcome to MaixPy" in (folder / "main.py").read_bytes()
    monkeypatch.setattr("maixpix.board.bundle.board_files", lambda: tmp_path / "tree")
    with RunningBoard(card, tmp_path / "flash") as board:
        assert maixpix(["deploy", "--source", "--to", place, "--port", board.port]) == 0
        assert started_version(board.listen(rb"parts \S+ from [^\n]*\n")) == "new"
    assert not (folder / "main.new").exists()
