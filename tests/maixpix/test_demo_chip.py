"""The demo on the emulated chip with a real MaixPy image, and what it says without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maixpix.cli import run as maixpix
from maixpix.demo.board import Console, DemoBoard, DemoOptions
from rig.board_process import FIRMWARE, needs_firmware


@needs_firmware
@pytest.mark.firmware
@pytest.mark.slow
@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_the_same_program_shows_the_same_picture(at, tmp_path, capsys):
    reports = []
    for engine, options in (("hosted", []), ("k210", ["--firmware", FIRMWARE])):
        out = tmp_path / engine
        assert maixpix(["demo", "--out", str(out), "--at", at, *options]) == 0
        reports.append(json.loads((out / "report.json").read_text()))
    hosted, chip = reports
    assert (hosted["engine"], chip["engine"]) == ("hosted", "k210")
    assert hosted["ok"] and chip["ok"]
    assert hosted["file_bytes"] == chip["file_bytes"]
    assert (tmp_path / "hosted/card/show.jpg").read_bytes() == (tmp_path / "k210/card/show.jpg").read_bytes()

    def words(report):
        return [stage["text"].split()[0] for stage in report["stages"]]

    assert words(hosted) == words(chip)
    assert "s of the board's time in" in capsys.readouterr().out


@needs_firmware
@pytest.mark.firmware
@pytest.mark.slow
def test_the_chip_gets_the_larger_heap_and_its_faults_are_told(tmp_path):
    said = []
    apps = tmp_path / "card" / "apps"
    apps.mkdir(parents=True)
    (apps / "heap.py").write_text(
        "import gc\nfrom Maix import utils\nprint(utils.gc_heap_size(), gc.mem_free() >> 20)\n"
    )
    options = DemoOptions(tmp_path, panel=(480, 320), engine="k210", firmware=Path(FIRMWARE))
    board = DemoBoard(options, {}, tmp_path / "card", Console(said.append))
    board.prepare(said.append)
    report = board.play("heap", {}, tmp_path / "panel.png", [{"when": {"ms": 100}, "do": "stall-card"}])
    assert said[1:] == ["   0.100 s  fault: stall-card", said[-1]] and said[-1].endswith("  2097152 1")
    assert "gc_heap_size(2097152)" in said[0] and report["panel"]["width"] == 480


@needs_firmware
@pytest.mark.firmware
@pytest.mark.slow
def test_the_chip_stops_when_its_power_is_cut(tmp_path, capsys):
    plan = '[{"when": {"ms": 3000}, "do": "cut-power"}]'
    assert maixpix(["demo", "--out", str(tmp_path), "--faults", plan, "--firmware", FIRMWARE]) == 1
    assert "no picture reached the card: the board's power was cut; " in capsys.readouterr().err
    stages = json.loads((tmp_path / "report.json").read_text())["stages"]
    assert stages[-1]["text"] == "fault: cut-power" and (tmp_path / "demo.png").exists()


def test_a_chip_without_firmware_and_firmware_without_a_chip_are_told(tmp_path, capsys):
    assert maixpix(["demo", "--out", str(tmp_path), "--engine", "k210"]) == 1
    assert "name a MaixPy image with --firmware" in capsys.readouterr().err
    assert maixpix(["demo", "--out", str(tmp_path), "--engine", "hosted", "--firmware", "x.bin"]) == 1
    assert capsys.readouterr().err == "maixpix: the hosted engine runs no firmware file; leave out --engine hosted\n"
