"""`apps/show.py` end to end on a virtual board: right pictures, and trouble that passes."""

import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from maixpix.companion import ServeSettings, running
from maixpix.demo.run import expected_panel, link_figures, psnr
from rig.panel_text import card_of
from rig.servers import Raw
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.launch import RUN_LIMIT_S, run_app

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "assets" / "pictures"
KEY = "sesame-open-42"


def encoded(format="JPEG", **options):
    """A photograph of 320x213 in some format."""
    with Image.open(PICTURES / "coffee.jpg") as source:
        out = io.BytesIO()
        source.convert("RGB").resize((320, 213)).save(out, format, **options)
    return out.getvalue()


GOOD = encoded(quality=80)


def answer(connection, head):
    """One good picture, and nothing else."""
    if head.split()[1] == b"/good.jpg":
        told = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n'
        connection.sendall(told % len(GOOD) + GOOD)
    else:
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")


@pytest.fixture(scope="module")
def server():
    raw = Raw(answer)
    yield raw
    raw.close()


@pytest.fixture
def show(tmp_path, board_card):
    """A function that runs the app; returns (result, card folder, panel picture)."""
    card = board_card(tmp_path / "card")
    previous = Image.new("RGB", (320, 240), (0, 80, 160))
    previous.save(card / "show.jpg")

    def run(picture, server="", wifi_key=KEY, ssid="home", faults=(), timeout_s=RUN_LIMIT_S, **config):
        settings = {"wifi": [[ssid, wifi_key]], "server": server, "picture": picture, **config.pop("settings", {})}
        (card / "pix.json").write_text(json.dumps(settings))
        board = BoardConfig(card=str(card), wifi=[WifiNetwork("home", KEY)], names={"pc": "127.0.0.1"}, **config)
        board.faults = list(faults)
        panel = tmp_path / "panel.png"
        result = run_app(board, card / "apps" / "show.py", panel=panel, timeout_s=timeout_s)
        assert KEY not in result.console and wifi_key not in result.console
        with Image.open(panel) as shown:
            return result, card, shown.convert("RGB")

    return run


# -- the good cases ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "baud", "format", "share"),
    [
        ("1.1", 115200, "jpeg", 0.97),
        ("1.1", 1_000_000, "jpeg", 0.97),
        ("1.1", 2_000_000, "jpeg", 0.97),
        ("1.7.4", 115200, "jpeg", 0.96),
        ("1.7.4", 1_000_000, "jpeg", 0.88),
        ("1.7.4", 2_000_000, "bmp", 0.80),  # the first and last pieces weigh too much in a file of 12 kB
    ],
)
def test_a_photograph_reaches_the_panel(show, at, baud, format, share):
    with running(ServeSettings(PICTURES, port=0, names=("pc",))) as companion:
        url = f"http://pc:{companion.port}"
        # The share is the board's own: a companion that gets no processor for a while does not count.
        settings = {"baud": baud, "format": format}
        result, card, panel = show("rocket.jpg", url, at=at, settings=settings, grace_ms=5000)
    assert "error" not in result.console
    assert psnr(panel, expected_panel(card / "show.jpg", (320, 240))) > 30
    with Image.open(PICTURES / "rocket.jpg") as source:
        asked = source.convert("RGB").resize((320, 214), Image.Resampling.LANCZOS)
    seen = panel.crop((0, 13, 320, 227))
    assert psnr(seen, asked) > 25  # against the original itself, JPEG loss and all
    figures = link_figures(result.report, baud)
    assert figures["line_share"] >= share, figures
    assert result.report["uarts"]["UART2"]["dropped"] == 0


@pytest.mark.parametrize("at", ["1.3", "1.6"])
def test_other_modems_do_as_well(show, server, at):
    result, card, _ = show(server.url("/good.jpg"), at=at)
    assert (card / "show.jpg").read_bytes() == GOOD, result.console


def test_rgb565_bmp_is_shown_exactly(show):
    with running(ServeSettings(PICTURES, port=0, names=("pc",))) as companion:
        settings = {"format": "bmp", "fit": "fill"}
        _, card, panel = show("chelsea.jpg", f"http://pc:{companion.port}", settings=settings)
    with Image.open(card / "show.jpg") as sent:
        assert sent.format == "BMP"
        assert panel.tobytes() == expanded(sent)


def expanded(picture):
    """RGB bytes of a 565 picture with its low bits replicated, as the panel shows them."""
    out = bytearray(picture.convert("RGB").tobytes())
    for i in range(0, len(out), 3):
        r, g, b = out[i] >> 3, out[i + 1] >> 2, out[i + 2] >> 3
        out[i : i + 3] = bytes((r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2))
    return bytes(out)


# -- trouble that passes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"when": {"lane": "to_chip", "byte": 9000}, "do": "lose-wifi", "for_ms": 3000},
        {"when": {"lane": "to_chip", "byte": 9000}, "do": "reset-modem"},
        {"when": {"lane": "to_chip", "byte": 9000}, "do": "brown-out"},
        {"when": {"lane": "to_chip", "byte": 9000}, "do": "drop"},
        {"when": {"lane": "to_chip", "byte": 9000}, "do": "double", "count": 3},
        {"when": {"lane": "to_chip", "byte": 6000}, "do": "stall-card", "ms": 300},
        {"when": {"command": "AT+CIPSTART"}, "do": "busy-modem", "ms": 1500},
    ],
    ids=lambda fault: fault["do"],
)
@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_a_passing_trouble_ends_with_the_right_file(show, server, fault, at):
    result, card, panel = show(server.url("/good.jpg"), at=at, faults=[fault])
    assert (card / "show.jpg").read_bytes() == GOOD, result.console
    assert psnr(panel, expected_panel(card / "show.jpg", (320, 240))) > 30
    assert result.report["faults"]


# -- real sockets and real processes; trouble that stays is in test_show_cards ------------------------------------


def test_a_refusal_by_a_real_server(show, server):
    result, card, panel = show(server.url("/missing.jpg"))
    assert re.search(r"^error http-404: .*404.*; Check the picture's name", result.console, re.M)
    assert card_of(panel)[3] == "http-404"
    assert (card / "show.jpg").stat().st_size < 5000 and result.ok


def test_a_port_where_nothing_listens(show):
    result, _, panel = show("http://127.0.0.1:1/x.jpg")
    assert card_of(panel)[0] == "Server refused" and "127.0.0.1:1" in result.console


@pytest.mark.parametrize("name", ["my holiday #1.jpg", "a%20b.jpg", "50% &co+=;.jpg", "Größe ß.jpg", "sub dir/x.jpg"])
def test_names_of_pictures_are_taken_as_they_are(show, tmp_path, name):
    file = tmp_path / "pictures" / name
    file.parent.mkdir(parents=True)
    Image.new("RGB", (320, 240), (200, 0, 0)).save(file)
    with running(ServeSettings(tmp_path / "pictures", port=0, names=("pc",))) as companion:
        result, _, panel = show(name, f"http://pc:{companion.port}/")
    assert "shown 320x240" in result.console, result.console
    assert panel.getpixel((160, 120))[0] > 180
