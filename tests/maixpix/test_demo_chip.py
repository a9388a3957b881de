"""The demo on the emulated chip with a real MaixPy image, and what it says without one."""

from __future__ import annotations

import json

import pytest
from board_process import FIRMWARE, needs_firmware

from maixpix.cli import run as maixpix


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


def test_a_chip_without_firmware_and_firmware_without_a_chip_are_told(tmp_path, capsys):
    assert maixpix(["demo", "--out", str(tmp_path), "--engine", "k210"]) == 1
    assert "name a MaixPy image with --firmware" in capsys.readouterr().err
    assert maixpix(["demo", "--out", str(tmp_path), "--engine", "hosted", "--firmware", "x.bin"]) == 1
    assert capsys.readouterr().err == "maixpix: the hosted engine runs no firmware file; leave out --engine hosted\n"
