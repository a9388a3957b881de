"""The board's pages beside the work of `frame` and `snap`: answered, guarded, obeyed, and the work goes on."""

import io
import json
import random
import shutil

import pytest
from PIL import Image

from rig.app_board import SERVER, run
from rig.visits import KEY, LOGIN, Visit, picture, press
from rig.web_bench import PORT, get
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.clock import MS

RED, BLUE = (200, 0, 0), (0, 0, 200)
SETTINGS = {"wifi": [["home", "k"]], "name": "desk", "web": PORT, "web_key": KEY, "baud": 1000000}

PROGRAM = "import sys\nsys.path.append('/sd/apps')\nimport {0}\nfrom pix.start import once\nonce({0}.main)\n"


def noise():
    """A picture of 320 x 240 that takes long over the line."""
    out = io.BytesIO()
    Image.frombytes("RGB", (320, 240), random.Random(5).randbytes(320 * 240 * 3)).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture
def play(tmp_path, deployed):
    """play(app, visit, end_ms, at, answer, settings) -> (outcome, card)."""
    folder, options = deployed
    card = shutil.copytree(folder, tmp_path / "card")

    def start(app, visit, end_ms, at="1.1", answer=None, **settings):
        (card / "pix.json").write_text(json.dumps({**SETTINGS, **settings}))
        config = BoardConfig(card=str(card), wifi=[WifiNetwork("home", "k")], at=at)
        outcome = run(config, PROGRAM.format(app), answer, end_ms=end_ms, watch=visit.watch, options=options)
        return outcome, card

    return start


def served(bodies):
    """Answers pictures in turn, no playlist; `asked` has the paths."""
    asked = []

    def answer(path, head):
        if path.startswith("/playlist"):
            return [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
        asked.append(path)
        body = bodies[(len(asked) - 1) % len(bodies)]
        return [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body]

    return answer, asked


def shown(outcome):
    """Virtual milliseconds at which the frame has shown a picture."""
    return [when for when, line in outcome.lines if line.startswith("shown ")]


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_the_frame_has_pages_beside_its_pictures(play, at):
    def ask(heard):
        yield get("/")
        yield 4000  # a picture is there
        yield get("/", LOGIN)
        yield press(heard[1], "next")
        yield 1500
        yield get("/", LOGIN)
        yield get("/now", LOGIN)

    visit = Visit(ask)
    answer, asked = served([picture(RED), picture(BLUE)])
    outcome, _ = play("frame", visit, 45_000, at, answer, server=f"http://{SERVER}", interval_s=15)
    refused, page, pressed, after, now = visit.heard
    assert refused.status == 401 and KEY.encode() not in refused.heard
    assert page.status == 200 and b"Wi-Fi" in page.body and b'src="/now' in page.body
    assert (pressed.status, pressed.fields["location"]) == (303, "/")
    assert b"next picture" in after.body and now.body in (picture(RED), picture(BLUE))
    times = shown(outcome)
    assert any(0 <= when - pressed.accepted_ns / MS < 1500 for when in times), outcome.console
    assert len([when for when in times if when > now.closed_ns / MS]) >= 2 and len(asked) >= 3, outcome.console
    assert "error" not in outcome.console


def test_guests_are_served_while_the_frame_fetches_a_picture(play):
    def ask(heard):
        yield 100
        while len(heard) < 14:
            yield get("/", LOGIN)
            yield 400

    visit = Visit(ask)
    answer, _ = served([noise()])
    outcome, _ = play(
        "frame", visit, 28_000, "1.7.4", answer, server=f"http://{SERVER}", interval_s=5, baud=115200
    )  # fmt: skip
    assert [guest.status for guest in visit.heard] == [200] * 14, outcome.console
    assert max(guest.first_ns - guest.accepted_ns for guest in visit.heard) < 2000 * MS
    assert shown(outcome) and "error" not in outcome.console, outcome.console


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_snap_takes_a_picture_for_its_page(play, at):
    def ask(heard):
        yield get("/")
        yield get("/", LOGIN)
        yield press(heard[1], "snap")
        yield 3000
        yield get("/?in=outbox", LOGIN)
        yield get("/file/outbox/s0000002.jpg", LOGIN)

    visit = Visit(ask)
    outcome, card = play("snap", visit, 40_000, at, snap_s=20, upload="")
    refused, page, pressed, listed, taken = visit.heard
    assert refused.status == 401 and page.status == 200 and pressed.status == 303
    assert b"s0000002.jpg" in listed.body and b"Taken, 2 waiting" in listed.body
    assert taken.body == (card / "outbox" / "s0000002.jpg").read_bytes()
    assert len(list((card / "outbox").glob("s*.jpg"))) >= 2, outcome.console  # those of "snap_s" too
    assert "error" not in outcome.console
