"""`apps/show.py` and trouble that stays: its own card, its own console line, and the previous picture kept.

The boards run in this process and their servers are scripts, so that even minutes of waiting cost no real time. Cards
are read back from the panel's pixels.
"""

import base64
import functools
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from maixpix.board.bundle import build
from rig.app_board import SERVER, run
from rig.panel_text import YELLOW, card_of, read
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.clock import MS

ROOT = Path(__file__).resolve().parents[2]
KEY = "sesame-open-42"
URL = f"http://{SERVER}"


def encoded(format="JPEG", size=(320, 213), mode="RGB", **options):
    """A photograph in some format."""
    with Image.open(ROOT / "assets" / "pictures" / "coffee.jpg") as source:
        out = io.BytesIO()
        source.convert("RGB").resize(size).convert(mode).save(out, format, **options)
    return out.getvalue()


def plain(size, mode="L"):
    """A JPEG of one colour: many pixels in few bytes."""
    out = io.BytesIO()
    Image.new(mode, size).save(out, "JPEG")
    return out.getvalue()


GOOD = encoded(quality=80)
ARITHMETIC = GOOD.replace(b"\xff\xc0\x00\x11", b"\xff\xc9\x00\x11", 1)


def ok(body, *fields):
    head = "".join(f"{field}\r\n" for field in ("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *fields))
    return [head.encode() + b"\r\n", body]


def status(code, reason, *fields):
    lines = (f"HTTP/1.1 {code} {reason}", "Content-Length: 0", *fields)
    return ["".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"]


WRONG_DIGEST = "Repr-Digest: sha-256=:" + base64.b64encode(bytes(32)).decode() + ":"


def lose_a_byte(board):
    """One byte in the first frames of the body never reaches the chip."""
    lost = board.to_chip.sent + 2000
    board.to_chip.mangle = lambda index, byte: b"" if index == lost else bytes((byte,))


def restart_soon(board):
    """The module restarts in the middle of the body, before the first block of 4 KiB is complete."""
    board.clock.after(30 * MS, lambda: board.modem.restart(4))


@functools.cache
def pages():
    """What the server says to each path, good and bad."""
    return {
        "/good.jpg": ok(GOOD, 'ETag: "1"'),
        "/loop": status(302, "Found", "Location: /loop"),
        "/https": status(302, "Found", "Location: https://pc/x.jpg"),
        "/short": [ok(GOOD + bytes(5000))[0], GOOD],
        "/long": [ok(GOOD[:-100])[0], GOOD],
        "/missing.jpg": status(404, "Not Found"),
        "/secret.jpg": status(403, "Forbidden"),
        "/login.jpg": status(401, "Unauthorized"),
        "/broken": status(503, "Service Unavailable"),
        "/nonsense": [b"220 mail ready\r\n\r\n"],
        "/nothing": [],
        "/reset": [*ok(GOOD)[:1], GOOD[:3000], "reset"],
        "/silent": [*ok(GOOD)[:1], GOOD[:3000], None],
        "/digest": ok(GOOD, WRONG_DIGEST),
        "/page": ok(b"<html>hi</html>"),
        "/empty": ok(b""),
        "/png": ok(encoded("PNG", (64, 48))),
        "/gif": ok(encoded("GIF", (64, 48))),
        "/webp": ok(encoded("WEBP", (64, 48))),
        "/progressive": ok(encoded(progressive=True)),
        "/cmyk": ok(encoded(mode="CMYK")),
        "/arithmetic": ok(ARITHMETIC),
        "/bmp32": ok(encoded("BMP", (64, 48), "RGBA")),
        "/cut": ok(GOOD[:-500]),
        "/big": ok(plain((1600, 1200))),
        "/lossy": [ok(GOOD)[0], lose_a_byte, GOOD],
        "/unreadable": [*ok(GOOD), lambda board: board.card.fail_reads(1)],
        "/restart": [ok(GOOD)[0], restart_soon, GOOD],
        "/pieces": ok(plain((3000, 30), "RGB")),
    }


def answer(path, head):
    page = pages()[path]
    return page() if callable(page) else page


@pytest.fixture
def show(tmp_path, board_card):
    """show(picture) -> (outcome, card folder); a previous picture is on the card."""
    card = board_card(tmp_path / "card")
    Image.new("RGB", (320, 240), (0, 80, 160)).save(card / "show.jpg")

    def start(picture="", settings=(), wifi_key=KEY, ssid="home", network=(), faults=(), watch=None, **config):
        (card / "pix.json").write_text(json.dumps({"wifi": [[ssid, wifi_key]], "picture": picture, **dict(settings)}))
        points = [WifiNetwork("home", KEY, **dict(network))]
        board = BoardConfig(card=str(card), wifi=points, faults=list(faults), **config)
        outcome = run(board, ROOT / "apps" / "show.py", answer, end_ms=300_000, watch=watch)
        assert KEY not in outcome.console and wifi_key not in outcome.console
        return outcome, card

    return start


def squeezed(*texts):
    return [text.replace(" ", "") for text in texts]


def assert_failed(outcome, card, code, words):
    """One error line on the console, the same on the panel, the old picture and nothing else on the card."""
    told = re.findall(r"^error ([a-z0-9-]+): (.*?); (.*)$", outcome.console, re.M)
    assert len(told) == 1 and told[0][0] == code, outcome.console
    assert words in told[0][1]
    table = (ROOT / "firmware" / "pix" / "errors.py").read_text()
    key = code if f"\n\n{code}\n" in table else re.sub("http-5..", "http-5xx", code)
    title = re.search(rf"\n\n{key}\n(.+)\n", table)[1]
    assert squeezed(*card_of(outcome.panel)) == squeezed(title, told[0][1], told[0][2], code)
    with Image.open(card / "show.jpg") as kept:
        assert kept.size == (320, 240) and kept.getpixel((160, 120))[2] > 140
    assert outcome.ok


# -- the server's and the picture's fault ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code", "words", "asked"),
    [
        ("/missing.jpg", "http-404", "404", 1),
        ("/secret.jpg", "http-403", "403", 1),
        ("/login.jpg", "http-401", "401", 1),
        ("/broken", "http-503", "503", 5),
        ("/loop", "redirect-loop", "more than 5", 6),
        ("/https", "https", "TLS", 1),
        ("/short", "truncated", "less than it told", None),
        ("/long", "too-long", "more than it told", 1),
        ("/nonsense", "not-http", "220 mail ready", 1),
        ("/nothing", "link-lost", "closed without an answer", 5),
        ("/reset", "truncated", "less than it told", 5),  # AT 1.1 tells a reset and an end in the same words
        ("/silent", "timeout", "stopped sending: 10 s", 5),
        ("/digest", "digest-mismatch", "does not match", 2),
        ("/page", "web-page", "200", 1),
        ("/empty", "not-picture", "the file is empty", 1),
        ("/png", "not-jpeg", "JPEG and BMP only: this is a PNG", 1),
        ("/gif", "not-jpeg", "this is a GIF", 1),
        ("/webp", "not-jpeg", "this is a WebP", 1),
        ("/progressive", "progressive", "baseline", 1),
        ("/cmyk", "jpeg-kind", "4 colours of 8 bits", 1),
        ("/arithmetic", "jpeg-kind", "arithmetic coding", 1),
        ("/bmp32", "bmp-kind", "32 bits", 1),
        ("/cut", "bad-picture", "damaged or cut off", 1),
        ("/big", "too-big", "1600x1200 needs", 1),
    ],
)
def test_bad_answers(show, path, code, words, asked):
    outcome, card = show(URL + path)
    assert_failed(outcome, card, code, words)
    assert asked in (None, outcome.connections), outcome.console
    assert sorted(entry.name for entry in card.iterdir() if "$" in entry.name or "~" in entry.name) == []


def test_a_picture_larger_than_the_panels_finds_its_block(show):
    """180 kB in one piece: what was set aside for the ring and for a picture lies together at the end of the heap."""
    outcome, _ = show(URL + "/pieces")
    assert "shown 3000x30" in outcome.console and "error" not in outcome.console, outcome.console


# -- the network's and the module's fault ------------------------------------------------------------------------


def slow_radio(board, engine):
    """The access point is seen, but does not answer in time."""
    board.air.points[0].associate_ms = 60_000


@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ({"wifi_key": "not-the-key"}, "wrong-password", "refused the key: home"),
        ({"ssid": "elsewhere"}, "no-network", "not in the air here: elsewhere"),
        ({"network": {"dhcp_ok": False}}, "no-address", "no IP address: home"),
        ({"watch": slow_radio}, "join-timeout", "did not end in time: home"),
        ({"faults": [{"when": {"lane": "to_chip", "byte": 9000}, "do": "lose-wifi"}]}, "wifi-lost", "went away"),
        ({"picture": "http://nosuch.example/x.jpg"}, "dns-failed", "nosuch.example"),
        ({"picture": "http://127.0.0.9:1/x.jpg"}, "refused", "127.0.0.9:1"),
        ({"picture": "http://192.0.2.1/x.jpg"}, "connect-timeout", "192.0.2.1:80"),
        ({"picture": URL + "/lossy"}, "bytes-lost", "Bytes were lost"),
        ({"picture": URL + "/restart"}, "modem-rebooted", "started again by itself"),
        ({"model": "bit"}, "no-modem", "does not answer"),
    ],
)
def test_trouble_on_the_way(show, case, code, words):
    outcome, card = show(**{"picture": URL + "/good.jpg", **case})
    assert_failed(outcome, card, code, words)


@pytest.mark.parametrize(("path", "attempts"), [("/restart", 5), ("/lossy", 5)])
def test_it_fails_in_the_body_of_every_attempt(show, path, attempts):
    outcome, _ = show(URL + path)
    assert outcome.connections == attempts
    assert len(re.findall("^again in ", outcome.console, re.M)) == attempts - 1


def test_a_module_that_restarts_at_every_connect(show):
    faults = [{"when": {"command": "AT+CIPSTART", "nth": n}, "do": "reset-modem"} for n in range(1, 30)]
    outcome, card = show(URL + "/good.jpg", faults=faults)
    assert_failed(outcome, card, "modem-rebooted", "started again")


@pytest.mark.parametrize(
    ("picture", "settings", "code", "words"),
    [
        ("", {}, "settings", "server is not set"),
        ("", {"server": URL}, "settings", "picture is not set"),
        ("https://pc/x.jpg", {}, "https", "TLS"),
        ("ftp://pc/x.jpg", {"server": URL}, "bad-url", "does not begin with http://"),
        ("http:///x.jpg", {}, "bad-url", "host is missing"),
        ("x.jpg", {"server": "pc:8000"}, "bad-url", "does not begin with http://"),
        ("x.jpg", {"fit": "wide"}, "settings", "/sd/pix.json: fit must be one of fit, fill, stretch"),
    ],
)
def test_wrong_settings_are_told_before_the_modem_is_started(show, picture, settings, code, words):
    outcome, card = show(picture, settings)
    assert_failed(outcome, card, code, words)
    assert "modem" not in outcome.console


# -- the card's fault --------------------------------------------------------------------------------------------


def test_no_card_is_told_at_once(tmp_path):
    """All of `pix` is on the flash, flattened as `maixpix deploy` does it."""
    flash = tmp_path / "flash"
    flash.mkdir()
    files = build(ROOT, flat=True, mpy=False).files
    for name, data in files.items():
        if name.startswith("pix_"):
            (flash / name).write_bytes(data)
    (flash / "pix.json").write_text(json.dumps({"wifi": [["home", KEY]], "picture": URL + "/good.jpg"}))
    outcome = run(BoardConfig(flash_dir=str(flash)), files["apps/show.py"].decode(), answer, end_ms=60_000)
    told = re.findall(r"^error (.*?): (.*?); (.*)$", outcome.console, re.M)
    assert [entry[0] for entry in told] == ["no-card"], outcome.console
    assert squeezed(*card_of(outcome.panel)) == squeezed("No SD card", *told[0][1:], "no-card")
    assert "modem" not in outcome.console and outcome.connections == 0


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"do": "fill-card", "leave": 4096}, "card-full", "16 kB needed, 0 kB free"),
        ({"do": "remove-card"}, "card-error", "/sd/show.jpg, error 5"),
        ({"do": "fail-card-writes", "count": 50}, "card-error", "/sd/show.jpg, error 5"),
    ],
)
def test_trouble_with_the_card(show, fault, code, words):
    outcome, card = show(URL + "/good.jpg", faults=[{"when": {"command": "AT+CIPSTART"}, **fault}])
    assert_failed(outcome, card, code, words)
    assert "$" not in outcome.console and "~" not in outcome.console


def test_a_card_that_cannot_be_read_back(show):
    """The check before the rename cannot read the new file's header."""
    outcome, card = show(URL + "/unreadable")
    assert_failed(outcome, card, "card-error", "error 5")
    assert outcome.connections == 1


# -- what is said meanwhile --------------------------------------------------------------------------------------


def when(outcome, pattern):
    """Virtual ms of the first console line that matches."""
    return next(ms for ms, line in outcome.lines if re.search(pattern, line))


def test_progress_of_a_slow_line_is_told_by_quarters(show):
    outcome, _ = show(URL + "/good.jpg", {"baud": 9600})
    told = re.findall(r"^(\d+) % of (\d+) bytes$", outcome.console, re.M)
    assert [total for _, total in told] == [str(len(GOOD))] * 3
    assert [int(percent) // 25 for percent, _ in told] == [1, 2, 3]
    assert when(outcome, "^fetched") - when(outcome, "^fetching") > 15_000


def test_progress_of_unknown_length_is_told_every_two_seconds(show):
    pages()["/endless"] = [b"HTTP/1.1 200 OK\r\n\r\n", GOOD]
    outcome, _ = show(URL + "/endless", {"baud": 9600})
    told = [int(count) for count in re.findall(r"^(\d+) bytes so far$", outcome.console, re.M)]
    assert told == sorted(set(told)) and 3 <= len(told) <= 9 and told[-1] <= len(GOOD)


@pytest.mark.parametrize(
    ("case", "title", "line"),
    [
        ({"picture": "http://127.0.0.9:1/x.jpg"}, "Server refused", "refused: Nothing listens .*: 127.0.0.9:1"),
        ({"picture": URL + "/broken"}, "Server in trouble", "http-503: The server could not do it: 503"),
        ({"picture": URL + "/silent"}, "Server is silent", "timeout: The server stopped sending: 10 s"),
    ],
)
def test_every_retry_is_told_with_its_cause(show, case, title, line):
    outcome, _ = show(**case)
    told = re.findall(f"^again in (.*?): {line}$", outcome.console, re.M)
    assert told == ["250 ms", "500 ms", "1 s", "2 s"], outcome.console


def test_a_retry_is_on_the_panel_within_seconds_and_gone_with_the_picture(show):
    """The first answer is 503, the second the picture."""
    turns = iter((status(503, "Busy", "Retry-After: 20"), ok(GOOD)))
    pages()["/later"] = lambda: next(turns)
    looks = []

    def watch(board, engine):
        board.clock.at(20_000 * MS, lambda: looks.append(board.panel.image()))

    outcome, card = show(URL + "/later", watch=watch)
    assert (card / "show.jpg").read_bytes() == GOOD, outcome.console
    assert when(outcome, "^again in 20 s: http-503") - when(outcome, "^fetching") < 1000
    lines = [line.text for line in read(looks[0])]
    assert [line.text for line in read(looks[0]) if line.front == YELLOW] == ["Server in trouble, again in 20 s"]
    assert lines[:2] == ["modem starting", "modem AT 1.1 at 115200 baud"]
    assert outcome.panel.getpixel((160, 5)) == (0, 0, 0) and read(outcome.panel) == []


@pytest.mark.parametrize(
    ("case", "code", "limit_s"),
    [
        ({"picture": "http://nosuch.example/x.jpg"}, "dns-failed", 30),
        ({"faults": [{"when": {"lane": "to_chip", "byte": 9000}, "do": "lose-wifi"}]}, "wifi-lost", 45),
    ],
)
def test_what_will_hardly_pass_is_tried_only_once_more(show, case, code, limit_s):
    outcome, _ = show(**{"picture": URL + "/good.jpg", **case})
    assert len(re.findall(f"^again in .*: {code}:", outcome.console, re.M)) == 1, outcome.console
    assert when(outcome, f"^error {code}") - when(outcome, "^fetching") < limit_s * 1000


# -- names and addresses -----------------------------------------------------------------------------------------


def test_the_password_of_a_url_is_nowhere(show):
    url = f"http://ann:s3cret@{SERVER}/missing.jpg"
    seen = []

    def look(board, engine):
        board.panel.on_frame = lambda: seen.append([line.text for line in read(board.panel.image())])

    outcome, card = show(url, watch=look)
    everything = outcome.console + repr(seen) + (card / "pix.log").read_text()
    assert "s3cret" not in everything and "ann" not in everything
    assert f"fetching {URL}/missing.jpg" in outcome.console
    assert any(f"fetching {URL}/missing.jpg" in texts for texts in seen)


@pytest.mark.parametrize("picture", [f"HTTP://{SERVER}/good.jpg", f"Http://{SERVER.upper()}:80/good.jpg#x"])
def test_a_scheme_may_be_written_in_any_case(show, picture):
    outcome, card = show(picture, {"server": "http://192.0.2.1"})
    assert (card / "show.jpg").read_bytes() == GOOD, outcome.console
