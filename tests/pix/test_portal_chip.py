"""The portal on a real MaixPy image (MAIXPY_FIRMWARE names it), byte code and all, with a scripted telephone."""

import json
from pathlib import Path

import pytest

from maixpix.board import bundle, install
from maixpix.board.places import FolderPlace
from rig.board_process import FIRMWARE, needs_firmware
from rig.chip_app import run_until
from rig.telephone import Telephone
from virtualboard.board import Board, BoardConfig
from virtualboard.engine import K210, EngineOptions, put_part
from virtualboard.running import RunningBoard

pytestmark = [pytest.mark.firmware, pytest.mark.slow, needs_firmware]


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_a_telephone_sets_the_board_up(tmp_path, at):
    card = tmp_path / "card"
    card.mkdir()
    install.install(FolderPlace(card), bundle.build())
    settings = {"wifi": [["old", "12345678"]], "app": "frame", "server": "http://pc:1", "portal_s": 3600}
    (card / "pix.json").write_text(json.dumps(settings))
    board = Board(BoardConfig(card=str(card), at=at))
    put_part(board.flash, 0, Path(FIRMWARE).read_bytes(), program=True)
    phone = Telephone(board)
    form = {"ssid": "home", "server": "pc:8000", "app": "show"}
    seen = {}

    def start():
        phone.ask_name(lambda: phone.get("/hotspot-detect.html", probed, host="captive.apple.com"))

    def probed(answer):
        assert (answer.status, answer.fields["location"]) == (302, "http://4.3.2.1/")
        phone.get("/", lambda page: phone.join(page, refused, key="wrong horse", **form))

    def refused(page):
        seen["refused"] = page.body
        phone.join(page, lambda done: seen.update(done=done.body), key="correct horse", **form)

    phone.when_open(start)
    running = RunningBoard(board, EngineOptions(K210))
    ended, console = run_until(board, running, lambda said: "set up" if b"the board starts anew" in said else "", 200)
    assert ended == "set up", console[-500:]
    assert phone.names[0].endswith(b"\x04\x03\x02\x01")
    assert "home refused the key" in seen["refused"] and "192.168.4.50" in seen["done"]
    assert b"Traceback" not in console
    assert json.loads((card / "pix.json").read_text()) == {
        "wifi": [["home", "correct horse"], ["old", "12345678"]], "app": "show", "server": "http://pc:8000",
        "portal_s": 3600,
    }  # fmt: skip
