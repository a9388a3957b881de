"""`apps/frame.py`: the next picture every few seconds, and the last one kept on the panel when there is trouble."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from maixpix.companion import ServeSettings, running
from maixpix.demo import expected_panel, psnr
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.hosted.launch import run_app

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "assets" / "pictures"


@pytest.fixture
def frame(tmp_path, board_card):
    card = board_card(tmp_path / "card")

    def run(server, end_ms, faults=(), frames=None):
        settings = {"wifi": [["home", "k"]], "server": server, "interval_s": 2, "name": "desk"}
        (card / "pix.json").write_text(json.dumps(settings))
        config = BoardConfig(
            card=str(card), wifi=[WifiNetwork("home", "k")], names={"pc": "127.0.0.1"}, faults=list(faults)
        )
        panel = tmp_path / "panel.png"
        result = run_app(config, card / "apps" / "frame.py", panel=panel, end_ms=end_ms)
        with Image.open(panel) as shown:
            return result, card, shown.convert("RGB")

    return run


def test_pictures_follow_each_other(frame):
    with running(ServeSettings(PICTURES, port=0, names=("pc",))) as companion:
        result, card, panel = frame(f"http://pc:{companion.port}", 15_000)
    sizes = re.findall(r"^shown (\d+) bytes", result.console, re.M)
    assert len(sizes) >= 3 and len(set(sizes[:3])) == 3, result.console
    assert psnr(panel, expected_panel(card / "frame.jpg", (320, 240))) > 30


def test_the_last_picture_stays_when_the_network_goes(frame):
    lost = {"when": {"ms": 9500}, "do": "lose-wifi"}
    with running(ServeSettings(PICTURES, port=0, names=("pc",))) as companion:
        result, card, panel = frame(f"http://pc:{companion.port}", 200_000, [lost])
    assert "error wifi-lost" in result.console, result.console
    assert psnr(panel, expected_panel(card / "frame.jpg", (320, 240))) > 30
    assert "wifi-lost" in (card / "pix.log").read_text()


def test_it_goes_on_when_the_network_comes_back(frame):
    lost = {"when": {"ms": 9500}, "do": "lose-wifi", "for_ms": 5000}
    with running(ServeSettings(PICTURES, port=0, names=("pc",))) as companion:
        result, _, _ = frame(f"http://pc:{companion.port}", 40_000, [lost])
    before, _, after = result.console.partition("lost, waiting for it")
    assert "shown" in before and len(re.findall(r"^shown", after, re.M)) >= 2, result.console


def test_a_board_that_never_showed_anything_shows_the_error(frame):
    result, _, panel = frame("http://127.0.0.1:1", 12_000)
    assert "error refused" in result.console
    assert panel.getpixel((300, 5))[0] > 200 and panel.getpixel((300, 5))[1] < 60  # the red band of a card
