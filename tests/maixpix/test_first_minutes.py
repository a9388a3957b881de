"""The README's way from an empty card to a picture on the panel: setup, deploy, power-cycle."""

from __future__ import annotations

import http.server
import json
import os
import threading

import pytest
from boards_fixture import RunningBoard
from click.testing import CliRunner
from PIL import Image

from maixpix.cli import run as maixpix
from maixpix.commands.setup import setup
from maixpix.link import Link
from maixpix.places import BoardPlace

KEY = "correct horse battery"


@pytest.fixture
def pictures(tmp_path):
    """A plain server with one baseline JPEG of the panel's size."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.linear_gradient("L").resize((320, 240)).convert("RGB").save(folder / "grey.jpg", quality=90)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}/grey.jpg", (folder / "grey.jpg").read_bytes()
    httpd.shutdown()
    httpd.server_close()


def test_an_empty_card_becomes_a_picture(tmp_path, pictures, capsys):
    url, data = pictures
    card = tmp_path / "sd"
    card.mkdir()
    config = {"wifi": [{"ssid": "Home", "password": KEY}]}
    with RunningBoard(card, tmp_path / "flash", config) as board:
        done = CliRunner().invoke(
            setup, ["--port", board.port, "--wifi", "Home", "--picture", url, "--app", "show"], input=KEY + "\n"
        )
        assert done.exit_code == 0, done.output
        assert maixpix(["deploy", "--source", "--port", board.port, "--no-start"]) == 0
    with RunningBoard(card, tmp_path / "flash", config) as board:
        heard = board.listen(rb"shown 320x240[^\n]*\n|starts again", 40)
        assert b"shown 320x240" in heard
        board.listen(rb">>> $")
    assert (card / "show.jpg").read_bytes() == data
    assert json.loads((card / "pix.json").read_text())["wifi"] == [["Home", KEY]]
    said = capsys.readouterr()
    assert KEY not in heard.decode("utf-8", "replace") + said.out + said.err + done.output
    leaks = [
        path
        for path in card.rglob("*")
        if path.is_file() and path.name != "pix.json" and KEY.encode() in path.read_bytes()
    ]
    assert leaks == []


@pytest.mark.firmware
@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MAIXPY_FIRMWARE"), reason="MAIXPY_FIRMWARE names no MaixPy image")
def test_the_same_on_real_firmware_with_byte_code(tmp_path, pictures):
    url, data = pictures
    card = tmp_path / "sd"
    card.mkdir()
    config = {"wifi": [{"ssid": "Home", "password": KEY}]}
    with RunningBoard(card, tmp_path / "flash", config, script="k210_board.py") as board:
        done = CliRunner().invoke(
            setup, ["--port", board.port, "--wifi", "Home", "--picture", url, "--app", "show"], input=KEY + "\n"
        )
        assert done.exit_code == 0, done.output
        assert maixpix(["deploy", "--mpy", "--port", board.port, "--no-start"]) == 0
        assert maixpix(["reset", "--port", board.port]) == 0
        heard = board.listen(rb"shown 320x240[^\n]*\n|starts again", 60)
        assert b"shown 320x240" in heard
        assert KEY.encode() not in heard
        with Link(board.port) as link:
            assert link.wait_for_card()
            assert BoardPlace(link, "/sd").read("show.jpg") == data
            link.start_main()
        # The app is busy with the modem all the time now: it can still be stopped, and a soft reset does no harm.
        wrong = ["setup", "--port", board.port, "--picture", url + "-not"]
        for command in (wrong, ["reset", "--port", board.port], ["reset", "--port", board.port]):
            assert maixpix(command) == 0
            assert b"http-404" in board.listen(rb"starts again", 60)
