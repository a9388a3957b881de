"""`frame` and `snap` with their pages on a real MaixPy image (MAIXPY_FIRMWARE names it), deployed as byte code: guests
get the page, a picture, an upload and the settings while the work goes on."""

import json
import re
from pathlib import Path

import pytest

from maixpix.board import bundle, install
from maixpix.board.places import FolderPlace
from rig.app_board import SERVER, Served
from rig.board_process import FIRMWARE, needs_firmware
from rig.chip_app import run_until
from rig.visits import KEY, LOGIN, Visit, picture, press, token, upload
from rig.web_bench import PORT, get, post
from virtualboard.board import Board, BoardConfig, WifiNetwork
from virtualboard.clock import MS
from virtualboard.engine import K210, EngineOptions, put_part
from virtualboard.running import RunningBoard

pytestmark = [pytest.mark.firmware, pytest.mark.slow, needs_firmware]

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)

MOST_NAMES = 1260
"""That fit into MicroPython's tables of 20 to 640 names; the next one takes a table of 1,280, 10 kB of the heap (1.11,
`qstr.c`)."""


def play(folder, at, visit, settings):
    """Run the deployed board until `visit` is over, and ask it then how many names it knows: (console text, card)."""
    card = folder / "card"
    card.mkdir()
    install.install(FolderPlace(card), bundle.build(mpy=True))
    known = {"wifi": [["home", "k"]], "name": "desk", "web": PORT, "web_key": KEY}
    (card / "pix.json").write_text(json.dumps({**known, **settings}))
    board = Board(BoardConfig(card=str(card), wifi=[WifiNetwork("home", "k")], at=at))
    put_part(board.flash, 0, Path(FIRMWARE).read_bytes(), program=True)
    asked = []

    def answer(path, head):
        if path.startswith("/playlist"):
            return [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
        asked.append(path)
        body = picture((RED, BLUE)[len(asked) % 2])
        return [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body]

    board.network.attach(SERVER, 80, lambda: Served(answer, board))
    visit.watch(board, None)
    running = RunningBoard(board, EngineOptions(K210))

    def over():
        for after_ms, typed in ((0, b"\x03"), (3000, b"import micropython; micropython.qstr_info()\r")):
            board.clock.after(after_ms * MS, lambda typed=typed: board.console_rx.write(typed))
        board.clock.after(4000 * MS, lambda: running.end("visited"))

    visit.over = over

    def failed(said):
        return "the app failed" if b"starts again" in said or said.count(b"init end") > 1 else ""

    ended, console = run_until(board, running, failed, 120)
    log = card / "pix.log"
    assert ended == "visited", console[-600:] + (log.read_bytes() if log.exists() else b"")
    names = re.search(rb"n_qstr=(\d+)", console)
    assert names and int(names[1]) <= MOST_NAMES, console[-300:]
    return console.decode(), card


def patient(heard, request):
    """A guest who comes again when the board says that its memory is short just now (503, Retry-After)."""
    for _ in range(4):
        yield request
        if heard[-1].status != 503:
            return
        assert "retry-after" in heard[-1].fields
        yield 3000


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_the_frame_serves_its_pages_and_goes_on_changing_pictures(tmp_path, at):
    def ask(heard):
        yield 4000
        yield get("/", LOGIN)
        yield get("/now", LOGIN)
        yield get("/settings", LOGIN)
        yield from patient(heard, upload(heard[0], "new.jpg", picture(GREEN)))
        yield 3000
        yield from patient(heard, get("/", LOGIN))
        yield from patient(heard, post("/settings", f"csrf={token(heard[-1])}&interval_s=7".encode(), LOGIN))
        yield 15_000
        yield get("/", LOGIN)
        visit.over()

    visit = Visit(ask)
    settings = {"app": "frame", "server": f"http://{SERVER}", "interval_s": 5}
    console, card = play(tmp_path, at, visit, settings)
    answers = [guest for guest in visit.heard if guest.status != 503]
    assert [guest.status for guest in answers] == [200, 200, 200, 303, 200, 303, 200], console
    assert answers[1].body in (picture(RED), picture(BLUE)) and b"Shown: /sd/pics/new.jpg" in answers[4].body
    assert (card / "pics" / "new.jpg").read_bytes() == picture(GREEN)
    assert json.loads((card / "pix.json").read_text())["interval_s"] == 7
    assert console.count("shown ") >= 4 and "error" not in console


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_snap_takes_pictures_for_its_page_and_by_the_clock(tmp_path, at):
    def ask(heard):
        yield get("/", LOGIN)
        yield press(heard[0], "snap")
        yield 4000
        yield get("/?in=outbox", LOGIN)
        yield get("/file/outbox/s0000002.jpg", LOGIN)
        yield get("/settings", LOGIN)
        visit.over()

    visit = Visit(ask)
    console, card = play(tmp_path, at, visit, {"app": "snap", "snap_s": 15, "upload": ""})
    assert [guest.status for guest in visit.heard] == [200, 303, 200, 200, 200], console
    assert visit.heard[3].body == (card / "outbox" / "s0000002.jpg").read_bytes()
    assert "error" not in console
