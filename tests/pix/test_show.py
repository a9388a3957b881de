"""`apps/show.py` end to end on a virtual board: right pictures, and every trouble with its own card and line."""

import functools
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from pix_servers import Raw

from maixpix.companion import ServeSettings, running
from maixpix.demo import expected_panel, link_figures, psnr
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.hosted.launch import run_app

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "assets" / "pictures"
KEY = "sesame-open-42"

CARD = """
from pix.screen import Screen
class Error:
    code = %r
    title = %r
    cause = %r
    remedy = %r
Screen().error(Error())
"""


def encoded(format="JPEG", **options):
    """A photograph of 320x213 in some format."""
    with Image.open(PICTURES / "coffee.jpg") as source:
        out = io.BytesIO()
        source.convert("RGB").resize((320, 213)).save(out, format, **options)
    return out.getvalue()


GOOD = encoded(quality=80)


def answer(connection, head):
    """A server with one of every kind of answer, good and bad."""
    path = head.split()[1].decode()
    ok = b"HTTP/1.1 200 OK\r\n"
    length = b"Content-Length: %d\r\n\r\n"
    if path == "/good.jpg":
        connection.sendall(ok + b'ETag: "1"\r\n' + length % len(GOOD) + GOOD)
    elif path == "/loop":
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n")
    elif path == "/short":
        connection.sendall(ok + length % (len(GOOD) + 5000) + GOOD)
    elif path == "/long":
        connection.sendall(ok + length % (len(GOOD) - 100) + GOOD)
    elif path == "/real.png":
        body = encoded("PNG")
        connection.sendall(ok + length % len(body) + body)
    elif path == "/progressive.jpg":
        body = encoded(progressive=True)
        connection.sendall(ok + length % len(body) + body)
    elif path == "/page":
        connection.sendall(ok + length % 15 + b"<html>hi</html>")
    elif path == "/nonsense":
        connection.sendall(b"220 mail ready\r\n\r\n")
    elif path == "/broken":
        connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
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

    def run(picture, server="", wifi_key=KEY, ssid="home", faults=(), timeout_s=60.0, **config):
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


@functools.cache
def card_picture(tmp, code, title, cause, remedy):
    """The error card with these texts, drawn by a board that had no trouble."""
    folder = Path(tmp) / "card"
    if not folder.exists():
        import shutil

        shutil.copytree(ROOT / "firmware" / "pix", folder / "pix")
    out = Path(tmp) / "card.png"
    assert run_app(BoardConfig(card=str(folder)), CARD % (code, title, cause, remedy), panel=out).ok
    with Image.open(out) as shown:
        return shown.convert("RGB")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cards"))


def error_of(result):
    """(code, cause, remedy) of the one error line on the console."""
    lines = re.findall(r"^error ([a-z0-9-]+): (.*?); (.*)$", result.console, re.M)
    assert len(lines) == 1, result.console
    return lines[0]


def assert_failed(outcome, code, words, scratch, keeps=True):
    result, card, panel = outcome
    told, cause, remedy = error_of(result)
    assert told == code, result.console
    assert words in cause
    table = (ROOT / "firmware" / "pix" / "errors.py").read_text()
    key = re.sub("http-5..", "http-5xx", code)
    titles = re.findall(rf"\n\n{key}\n(.+)\n", table)
    assert panel == card_picture(scratch, code, titles[0], cause, remedy)
    if keeps:
        with Image.open(card / "show.jpg") as kept:
            assert kept.size == (320, 240) and kept.getpixel((160, 120))[2] > 140
    assert result.ok


# -- the good cases ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "baud", "share"),
    [("1.1", 115200, 0.97), ("1.1", 1_000_000, 0.97), ("1.1", 2_000_000, 0.97), ("1.7.4", 1_000_000, 0.88)],
)
def test_a_photograph_reaches_the_panel(show, at, baud, share):
    with running(ServeSettings(PICTURES, port=0, names=("pc",))) as companion:
        url = f"http://pc:{companion.port}"
        result, card, panel = show("rocket.jpg", url, at=at, settings={"baud": baud})
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


# -- trouble that stays ------------------------------------------------------------------------------------------


def test_wrong_password(show, server, scratch):
    assert_failed(show(server.url("/good.jpg"), wifi_key="not-the-key"), "wrong-password", "home", scratch)


def test_unknown_network(show, server, scratch):
    assert_failed(show(server.url("/good.jpg"), ssid="elsewhere"), "no-network", "elsewhere", scratch)


def test_access_point_lost_for_good(show, server, scratch):
    fault = {"when": {"lane": "to_chip", "byte": 9000}, "do": "lose-wifi"}
    assert_failed(show(server.url("/good.jpg"), faults=[fault]), "wifi-lost", "went away", scratch)


def test_module_that_keeps_restarting(show, server, scratch):
    faults = [{"when": {"command": "AT+CIPSTART", "nth": n}, "do": "reset-modem"} for n in range(1, 30)]
    assert_failed(show(server.url("/good.jpg"), faults=faults), "modem-rebooted", "started again", scratch)


def test_name_without_address(show, scratch):
    assert_failed(show("http://nosuch.example/x.jpg"), "dns-failed", "nosuch.example", scratch)


def test_port_where_nothing_listens(show, scratch):
    assert_failed(show("http://127.0.0.1:1/x.jpg"), "refused", "127.0.0.1:1", scratch)


def test_https(show, scratch):
    assert_failed(show("https://pc/x.jpg"), "https", "TLS", scratch)


def test_no_settings(show, scratch):
    assert_failed(show(""), "settings", "server and picture are not set", scratch)


@pytest.mark.parametrize(
    ("path", "code", "words", "keeps"),
    [
        ("/missing.jpg", "http-404", "404", True),
        ("/loop", "redirect-loop", "more than 5", True),
        ("/short", "truncated", "less than it told", True),
        ("/long", "too-long", "more than it told", True),
        ("/nonsense", "bad-response", "malformed", True),
        ("/broken", "http-503", "503", True),
        ("/real.png", "png", "JPEG and BMP only", False),
        ("/progressive.jpg", "progressive", "baseline", False),
        ("/page", "not-picture", "web page", False),
    ],
)
def test_bad_answers(show, server, scratch, path, code, words, keeps):
    assert_failed(show(server.url(path)), code, words, scratch, keeps)


def test_full_card(show, server, scratch):
    fault = {"when": {"command": "AT+CIPSTART"}, "do": "fill-card", "leave": 4096}
    assert_failed(show(server.url("/good.jpg"), faults=[fault]), "card-full", "room", scratch)


def test_card_pulled_out(show, server, scratch):
    fault = {"when": {"command": "AT+CIPSTART"}, "do": "remove-card"}
    assert_failed(show(server.url("/good.jpg"), faults=[fault]), "card-error", "could not be read", scratch)


def test_a_silent_module(show, server, scratch):
    # A Maix Bit has no modem at all: nothing ever comes in on the line.
    assert_failed(show(server.url("/good.jpg"), model="bit"), "no-modem", "does not answer", scratch)
