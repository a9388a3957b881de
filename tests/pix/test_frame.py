"""`apps/frame.py`: the next picture every few seconds, and the last one kept on the panel when there is trouble."""

import hashlib
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from maixpix.board.bundle import build
from maixpix.companion import ServeSettings, running
from maixpix.demo.verdicts import psnr
from rig.app_board import SERVER, run
from rig.panel_text import card_of
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.clock import SECOND
from virtualboard.launch import run_app
from virtualboard.network.script import Script

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "assets" / "pictures"


@pytest.fixture
def frame(tmp_path, board_card):
    card = board_card(tmp_path / "card")

    def run(server, end_ms, faults=(), frames=None):
        settings = {"wifi": [["home", "k"]], "server": server, "interval_s": 2, "list_s": 10, "name": "desk"}
        (card / "pix.json").write_text(json.dumps(settings))
        config = BoardConfig(
            card=str(card), wifi=[WifiNetwork("home", "k")], names={"pc": "127.0.0.1"}, faults=list(faults)
        )
        panel = tmp_path / "panel.png"
        result = run_app(config, card / "apps" / "frame.py", panel=panel, end_ms=end_ms)
        with Image.open(panel) as shown:
            return result, card, shown.convert("RGB")

    return run


def shown(console):
    """Captions of the pictures in the order in which they were shown."""
    return re.findall(r"^shown (\S+) \d+ ms", console, re.M)


def near(panel, name):
    """Whether the panel shows the companion's picture of that name."""
    with Image.open(next(PICTURES.glob(f"{name}.*"))) as source:
        small = ImageOps.pad(source.convert("RGB"), (320, 240)).resize((16, 12))
    return psnr(panel.resize((16, 12)), small) > 24


def test_the_playlist_goes_round_and_is_fetched_once(frame):
    with running(ServeSettings(PICTURES, port=0, names=("pc",))) as companion:
        result, card, panel = frame(f"http://pc:{companion.port}", 30_000)
        states = dict(companion.companion.desk.states)
    names = shown(result.console)
    assert len(names) >= 6 and names[:3] == ["chelsea", "coffee", "rocket"] and names[3:6] == names[:3], result.console
    assert near(panel, names[-1])
    assert len(list((card / "frame").glob("*.jpg"))) == 3
    assert states["desk"].values["pics"] in ("2", "3") and states["desk"].values["rssi"] == "-50"
    assert abs(states["desk"].clock_off) <= 60  # the virtual board has less time than we


def test_it_goes_round_without_a_network_and_after_a_power_cut(frame):
    lost = {"when": {"ms": 13000}, "do": "lose-wifi"}
    with running(ServeSettings(PICTURES, port=0, names=("pc",))) as companion:
        result, card, _ = frame(f"http://pc:{companion.port}", 75_000, [lost])
    assert "error wifi-lost" in result.console, result.console
    assert len(shown(result.console)) > 15 and "wifi-lost" in (card / "pix.log").read_text()
    files = {file: file.stat().st_mtime_ns for file in (card / "frame").glob("*.jpg")}
    # The power comes back and the PC stays away.
    result, card, panel = frame(f"http://pc:{companion.port}", 25_000)
    assert len(shown(result.console)) > 5 and "error refused" in result.console, result.console
    assert result.console.index("shown ") < result.console.index("modem AT")
    assert near(panel, shown(result.console)[-1])
    assert {file: file.stat().st_mtime_ns for file in (card / "frame").glob("*.jpg")} == files


def test_it_goes_on_when_the_network_comes_back(frame):
    lost = {"when": {"ms": 5500}, "do": "lose-wifi", "for_ms": 5000}
    with running(ServeSettings(PICTURES, port=0, names=("pc",))) as companion:
        result, _, _ = frame(f"http://pc:{companion.port}", 40_000, [lost])
    assert set(shown(result.console)) == {"chelsea", "coffee", "rocket"}, result.console


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

    def start(answers, end_ms, name="desk", watch=None, **more):
        settings = {"wifi": [["home", "k"]], "server": f"http://{SERVER}", "interval_s": 2, "name": name, **more}
        (card / "pix.json").write_text(json.dumps(settings))
        requests = []

        def answer(path, head):
            if path.startswith("/playlist"):
                return [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
            requests.append(path)
            body = answers[min(len(requests), len(answers)) - 1]
            return [f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body]

        config = BoardConfig(card=str(card), wifi=[WifiNetwork("home", "k")])

        def look(board, engine):
            if not answers:
                board.network.attach(SERVER, 80, None)  # whatever this machine has there
            if watch is not None:
                watch(board, engine)

        outcome = run(config, card / "apps" / "frame.py", answer, end_ms=end_ms, watch=look)
        return outcome, card, requests

    return start


def kept(card):
    """The pictures on the card."""
    return [file.read_bytes() for file in (card / "frame").glob("*.jpg")]


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
    assert shows(outcome.panel, RED) and kept(card) == [good]
    # Then the power goes, and the server too.
    outcome, card, _ = virtual([], 13_000)
    assert "error refused" in outcome.console
    assert shows(outcome.panel, RED) and kept(card) == [good]


def test_the_card_stays_until_there_is_a_picture(virtual):
    bad = b"<html>not yet</html>"
    outcome, _, _ = virtual([bad], 11_000)
    assert card_of(outcome.panel)[0] == "A web page, no picture"
    outcome, _, requests = virtual([bad, bad, picture(BLUE)], 20_000)
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


def test_a_server_that_only_drips_holds_the_playlist_for_a_while_only(tmp_path, board_card):
    card = board_card(tmp_path / "card")
    settings = {"wifi": [["home", "k"]], "playlist": f"http://{SERVER}/list.txt", "interval_s": 5, "list_s": 3600}
    (card / "pix.json").write_text(json.dumps(settings))
    pictures = {"red": picture(RED), "blue": picture(BLUE)}
    entries = [f"- {hashlib.sha256(data).hexdigest()} {len(data)} - - {name} {name}" for name, data in pictures.items()]
    listed = "\n".join(["maixpix-playlist 1", *entries, "end 2", ""]).encode()

    class Server(Script):
        def __init__(self, board):
            self.board = board

        def received(self, data):
            path = data.split()[1].decode()
            body = pictures.get(path[1:], listed)
            self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            if path == "/blue":
                self.left = body
                self.drip()
            else:
                self.send(body)
                self.finish()

        def drip(self):
            self.send(self.left[:1])
            self.left = self.left[1:]
            self.board.clock.after(2 * SECOND, self.drip)

    def watch(board, _engine):
        board.network.attach(SERVER, 80, lambda: Server(board))

    config = BoardConfig(card=str(card), wifi=[WifiNetwork("home", "k")])
    outcome = run(config, card / "apps" / "frame.py", end_ms=50_000, watch=watch)
    after = outcome.console.partition("error timeout")[2]
    assert shown(outcome.console)[0] == "red" and after, outcome.console
    assert "is up to date" not in after  # what drips rests


# -- a module that is back in its network by itself ----------------------------------------------------------------


def test_a_module_that_remembers_the_network_is_not_reset(virtual):
    kept_flash = []
    cold, _, _ = virtual([picture(RED)], 14_000, watch=lambda board, _: kept_flash.append(board.modem))
    assert "wifi joining home" in cold.console
    flash = kept_flash[0].flash
    assert flash.ssid == b"home"

    def remembers(board, _engine):
        board.modem.flash = flash

    warm, _, requests = virtual([picture(BLUE)], 14_000, watch=remembers)
    assert "modem starting" not in warm.console and "joining" not in warm.console, warm.console
    assert len(requests) >= 1 and shows(warm.panel, BLUE)


def test_a_module_that_remembers_another_network_joins_ours(virtual):
    def remembers(board, _engine):
        board.modem.flash.ssid, board.modem.flash.password = b"elsewhere", b"k"

    outcome, _, requests = virtual([picture(BLUE)], 22_000, watch=remembers)
    assert "wifi joining home" in outcome.console and len(requests) >= 1, outcome.console


def test_a_module_that_is_stuck_is_reset(virtual):
    outcome, _, requests = virtual([picture(BLUE)], 22_000, watch=lambda board, _: board.modem.stall(9_000_000_000))
    assert "modem starting" in outcome.console and len(requests) >= 1, outcome.console
