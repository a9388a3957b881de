"""`maixpix demo` as users run it: both ways of a picture, its report, and its refusals."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from maixpix.demo import judge, psnr


def demo(tmp_path, *options):
    return subprocess.run(
        [sys.executable, "-m", "maixpix", "demo", "--out", str(tmp_path / "out"), *options],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("--at", "1.7.4", "--baud", "2000000", "--panel", "240x240")])
def test_a_picture_goes_both_ways(tmp_path, options):
    done = demo(tmp_path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the panel shows the picture" in done.stdout and "the snapshot is in the gallery" in done.stdout
    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text())
    assert report["ok"] and report["line_share"] > 0.7
    assert report["file_bytes"] == (out / "card" / "show.jpg").stat().st_size
    kept = list((out / "uploads").rglob("s0000001.jpg"))
    assert len(kept) == 1 and kept[0].read_bytes() == (out / "received.jpg").read_bytes()
    assert not list((out / "card" / "outbox").glob("*.jpg"))
    with Image.open(out / "demo.png") as picture:
        assert picture.width > 900


def test_a_picture_of_ones_own(tmp_path):
    mine = tmp_path / "mine.png"
    Image.linear_gradient("L").convert("RGB").resize((500, 300)).save(mine)
    done = demo(tmp_path, "--picture", str(mine))
    assert done.returncode == 0, done.stdout + done.stderr
    ok, _ = judge(tmp_path / "out" / "panel.png", tmp_path / "out" / "card" / "show.jpg", (320, 240))
    with Image.open(tmp_path / "out" / "panel.png") as panel, Image.open(mine) as wanted:
        assert ok and psnr(panel.crop((0, 24, 320, 216)), wanted.resize((320, 192))) > 28


def test_trouble_that_stays_ends_with_one_line_and_exit_code_1(tmp_path):
    done = demo(tmp_path, "--faults", '[{"when": {"ms": 4000}, "do": "lose-wifi"}]')
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("maixpix: no picture reached the card; ")
    assert "error " in done.stdout
    assert json.loads((tmp_path / "out" / "report.json").read_text())["ok"] is False


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--picture", "nowhere.jpg"), 1, "there is no picture nowhere.jpg"),
        (("--faults", "[1]"), 1, "fault 1: an entry needs"),
        (("--faults", '[{"when": {"ms": 1}, "do": "dance"}]'), 1, "cannot do 'dance'; known: drop"),
        (("--panel", "big"), 2, "'big' is no size"),
        (("--baud", "fast"), 2, "is not a valid"),
    ],
)
def test_wrong_use_is_told_in_words(tmp_path, options, code, words):
    done = demo(tmp_path, *options)
    assert done.returncode == code
    assert words in done.stderr and "Traceback" not in done.stderr
