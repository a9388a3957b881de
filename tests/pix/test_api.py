"""The device API as newcomers call it: settings without a file, fetch.get, the light, and what wrong arguments say."""

import hashlib
import json
from itertools import pairwise

import pytest

from rig.app_board import SERVER, run
from virtualboard.board import BoardConfig

JSON = b'{"name": "cat", "sizes": [1, 2, 3]}'
BIG = bytes(range(256)) * 400


def whole(body, *fields, status=b"200 OK"):
    head = b"".join(b"%s\r\n" % field for field in fields)
    return [b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), head), body]


def answer(path, head):
    """A server of a few addresses."""
    if path == "/json":
        return whole(JSON, b"Content-Type: application/json", b"X-Mine: yes")
    if path == "/moved":
        return [b"HTTP/1.1 302 Found\r\nLocation: /json\r\nContent-Length: 0\r\n\r\n"]
    if path == "/big":
        return whole(BIG)
    if path == "/stream":
        return [b"HTTP/1.1 200 OK\r\n\r\n", BIG]
    if path == "/cut":
        return [*whole(BIG)[:1], BIG[:500], "reset"]
    return whole(b"gone", status=b"404 Not Found")


JOIN = "from pix import config, fetch, wifi\nmodem = wifi.bring_up(config.Settings(wifi=[['home', 'correct horse']]))\n"


@pytest.fixture
def say(tmp_path, board_card):
    """Run a few lines after the Wi-Fi is up; returns the lines that they print."""
    card = board_card(tmp_path / "card")

    def play(program, before=JOIN, at="1.1", watch=None, **config):
        done = run(BoardConfig(card=str(card), at=at, **config), before + program, answer, watch=watch)
        return [
            line
            for line in done.console.splitlines()
            if line and not line.startswith(("[MAIXPY]", "[MaixPy]", "[Warning]"))
        ]

    return play


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_get_reads_like_requests(say, at):
    program = f"""
r = fetch.get(modem, "http://{SERVER}/moved", also=["X-Mine"])
print(r.status_code, r.ok, r.headers["content-type"], r.headers.get("X-MINE"), "date" in r.headers, r.url)
print(r.json()["sizes"], r.text == r.content.decode(), len(r.content))
r.close()
with fetch.get(modem, "http://{SERVER}/none") as r:
    print(r.status_code, r.ok, r.content)
import uhashlib, ubinascii
h = uhashlib.sha256()
r = fetch.get(modem, "http://{SERVER}/stream")
for piece in r.iter_content(1000):
    h.update(piece)
print(len(piece), ubinascii.hexlify(h.digest()).decode())
"""
    assert say(program, at=at) == [
        f"200 True application/json yes False http://{SERVER}/json",
        f"[1, 2, 3] True {len(JSON)}",
        "404 False b'gone'",
        f"{len(BIG) % 1000} {hashlib.sha256(BIG).hexdigest()}",
    ]


def test_get_is_bounded_and_a_body_that_breaks_off_is_an_error(say):
    program = f"""
from pix.errors import PixError
for path, most in (("big", 65536), ("stream", 65536), ("cut", 200000)):
    try:
        fetch.get(modem, "http://{SERVER}/" + path, most=most, retries=1).content
    except PixError as error:
        print(error.line)
print(len(fetch.get(modem, "http://{SERVER}/big", most=200000).content))
"""
    lines = say(program)
    told = "Read it with iter_content(), or fetch it to the card"
    assert lines[:2] == [
        f"big-answer: It is longer than a program takes at once: {len(BIG)} bytes; {told}",
        f"big-answer: It is longer than a program takes at once: more than 65536 bytes; {told}",
    ]
    assert lines[2].split(":")[0] in ("truncated", "link-lost")
    assert lines[3] == str(len(BIG))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ('wifi.bring_up("home", "key-of-mine")', "wifi.bring_up(settings): config.load() or config.Settings(wifi=[[na"),
        ("wifi.bring_up({'wifi': []})", "wifi.bring_up(settings): config.load()"),
        ('wifi.bring_up(config.Settings(), "key-of-mine")', "progress is a function such as print"),
        ('config.Settings(wify=[["home", "key-of-mine"]])', "there is no setting wify"),
        ('config.Settings(wifi=["home", "key-of-mine"])', "wifi must be a list of [name, key] pairs"),
        ("config.Settings(retries='3')", "retries must be a whole number"),
        (
            'fetch.get("http://pc/", "/sd/x")',
            "fetch.get(modem, url): the modem of wifi.bring_up and a URL are expected",
        ),
        (
            'fetch.fetch("http://pc/", "/sd/x", None)',
            "fetch.fetch(modem, url, path): the modem of wifi.bring_up, a URL",
        ),
        ("fetch.fetch(wifi.modem_of(config.Settings()), 'http://pc/', 'x.jpg')", "a path such as /sd/x.jpg"),
        ("upload.Uploader('http://pc/', '/sd/x.jpg')", "upload.Uploader(modem, target): the modem of wifi.bring_up"),
        ("screen.Screen(240)", "screen.Screen(settings): config.load() or config.Settings(wifi=[[name, key]]) is exp"),
        ("wifi.bring_up(config.Settings())", "no Wi-Fi network is set"),
    ],
)
def test_wrong_arguments_are_told_what_is_expected(say, call, told):
    imports = "from pix import wifi, config, fetch, screen, upload\n"
    lines = say(f"try:\n    {call}\nexcept Exception as error:\n    print(error)\n", before=imports)
    assert told in lines[-1] and "key-of-mine" not in lines[-1]


@pytest.mark.parametrize(
    ("key", "on", "shape"),
    [
        ("correct horse", 1, [(True, "on")]),
        ("correct horse", 0, [(True, "off"), (False, "on")]),
        ("wrong", 1, [(True, 300), (False, 300)] * 3),
    ],
)
def test_the_light_is_on_when_joined_and_blinks_three_times_when_not(say, key, on, shape):
    seen = []

    def watch(board, _engine):
        board.pads.on_level(12, lambda level: seen.append((board.clock.now // 1_000_000, level)))

    lines = say(
        f"from pix import config, wifi\nwifi.bring_up(config.Settings(wifi=[['home', {key!r}]], led=12, led_on={on}))\n"
        "import utime\nutime.sleep_ms(500)\nprint('joined')\n",
        before="",
        watch=watch,
    )
    assert (lines[-1] == "joined") is (key != "wrong")
    if key != "wrong":
        assert [level for _, level in seen][: len(shape)] == [level for level, _ in shape]
        return
    assert [level for _, level in seen][:6] == [True, False] * 3
    times = [when for when, _ in seen][:6]
    assert all(295 <= b - a <= 320 for a, b in pairwise(times)), times


def test_joining_is_tried_again_as_often_as_the_setting_says(say):
    lines = say(
        "from pix import config, wifi\nfrom pix.errors import PixError\n"
        "try:\n    wifi.bring_up(config.Settings(wifi=[['home', 'wrong']], retries=2), print)\n"
        "except PixError as error:\n    print(error.line)\n",
        before="",
    )
    assert sum(line == "wifi joining home" for line in lines) == 3
    assert lines[-1].startswith("wrong-password: The network refused the key: home;")


def test_settings_of_a_program_are_checked_as_those_of_a_file(pix_modules):
    config = pix_modules.load("config")
    made = config.Settings(wifi=[["a", "b"]], led=3)
    assert (made.wifi, made.led, made.retries, made.warnings) == ([["a", "b"]], 3, 0, [])
    assert json.dumps(config.Settings().wifi) == "[]"
