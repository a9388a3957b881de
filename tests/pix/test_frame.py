"""`apps/frame.py`: the next picture every few seconds, and the last one kept on the panel when there is trouble."""

import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from maixpix.board.bundle import build
from maixpix.companion import ServeSettings, running
from maixpix.demo.run import expected_panel, psnr
from rig.app_board import SERVER, run
from rig.panel_text import card_of
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.launch import run_app

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


# -- with a server in virtual time -------------------------------------------------------------------------------


def picture(colour, format="JPEG", size=(320, 240)):
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, format)
    return out.getvalue()


RED, BLUE = (200, 0, 0), (0, 0, 200)


@pytest.fixture
def virtual(tmp_path, board_card):
    """virtual(answers, end_ms) -> (outcome, card, requests); the last answer is repeated. None: no server there."""
    card = board_card(tmp_path / "card")

    def start(answers, end_ms, name="desk"):
        settings = {"wifi": [["home", "k"]], "server": f"http://{SERVER}", "interval_s": 2, "name": name}
        (card / "pix.json").write_text(json.dumps(settings))
        requests = []

        def answer(path, head):
            requests.append(path)
            body = answers[min(len(requests), len(answers)) - 1]
            return [f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body]

        config = BoardConfig(card=str(card), wifi=[WifiNetwork("home", "k")])
        served = (answer, 80) if answers else (answer, 81)
        outcome = run(config, card / "apps" / "frame.py", served[0], end_ms=end_ms, port=served[1])
        return outcome, card, requests

    return start


def shows(panel, colour):
    return all(abs(a - b) < 12 for a, b in zip(panel.getpixel((160, 120)), colour, strict=True))


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (picture(BLUE, "PNG"), "not-jpeg"),
        (picture(BLUE, "JPEG", (1200, 900)), "too-big"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_picture_leaves_the_last_one_on_panel_and_card_even_over_a_reset(virtual, bad, code):
    good = picture(RED)
    outcome, card, requests = virtual([good, bad], 12_000)
    assert f"error {code}: " in outcome.console and len(requests) >= 2, outcome.console
    assert shows(outcome.panel, RED) and (card / "frame.jpg").read_bytes() == good
    # Then the power goes, and the server too.
    outcome, card, _ = virtual([], 13_000)
    assert "error refused" in outcome.console
    assert shows(outcome.panel, RED) and (card / "frame.jpg").read_bytes() == good


def test_the_card_stays_until_there_is_a_picture(virtual):
    bad = b"<html>not yet</html>"
    outcome, _, _ = virtual([bad], 8_000)
    assert card_of(outcome.panel)[0] == "A web page, no picture"
    outcome, _, requests = virtual([bad, bad, picture(BLUE)], 15_000)
    assert len(requests) >= 3 and shows(outcome.panel, BLUE)


def test_the_server_hears_the_name_as_it_was_set(virtual):
    _, _, requests = virtual([picture(RED)], 8_000, "desk & co #1")
    assert requests[0] == "/frame?board=desk%20%26%20co%20%231&size=320x240&fit=fit&format=jpeg"


def test_a_missing_card_is_told_before_wifi(tmp_path):
    """`pix` is on the flash, flattened."""
    files = build(ROOT, flat=True, mpy=False).files
    for name, data in files.items():
        if name.startswith("pix_"):
            (tmp_path / name).write_bytes(data)
    (tmp_path / "pix.json").write_text(json.dumps({"wifi": [["home", "k"]], "server": "http://pc"}))
    outcome = run(BoardConfig(flash_dir=str(tmp_path)), files["apps/frame.py"].decode(), end_ms=30_000)
    assert "error no-card" in outcome.console and "modem" not in outcome.console
    assert card_of(outcome.panel)[0] == "No SD card"
