"""The board's pages on a real MaixPy image (MAIXPY_FIRMWARE names it), and the heap they take there."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from rig.board_process import FIRMWARE, needs_firmware
from rig.served_board import ROOT, ServedBoard, curl

pytestmark = [pytest.mark.firmware, pytest.mark.slow, needs_firmware]


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_the_panel_app_serves_shows_and_takes_pictures(tmp_path, at):
    picture = io.BytesIO()
    with Image.open(ROOT / "assets" / "pictures" / "coffee.jpg") as coffee:
        coffee.convert("RGB").resize((300, 200)).save(picture, "JPEG")
    (tmp_path / "up.jpg").write_bytes(picture.getvalue())
    options = ("--engine", "k210", "--firmware", str(FIRMWARE), "--at", at)
    files = {"pics/coffee.jpg": picture.getvalue()}
    with ServedBoard(tmp_path, {"app": "panel", "name": "desk"}, options, files) as board:
        page = curl(board.url + "/").stdout.decode()
        token = re.search(r'name="csrf" value="(\w+)"', page).group(1)
        assert "coffee.jpg" in page and len(page) < 12_000
        assert curl(board.url + "/file/pics/coffee.jpg").stdout == picture.getvalue()
        assert curl("-o", "/dev/null", "-w", "%{http_code}", board.url + "/none").stdout == b"404"
        sent = curl(
            "-F", f"csrf={token}", "-F", f"photo=@{tmp_path}/up.jpg", "-w", "%{http_code}", board.url + "/upload"
        )
        assert sent.stdout.endswith(b"303")
        for _ in range(20):
            page = curl(board.url + "/").stdout.decode()
            if "Shown:" in page:
                break
        assert "Shown: /sd/pics/up.jpg" in page
        assert curl(board.url + "/now").stdout == picture.getvalue()
        assert "Settings" in curl(board.url + "/settings").stdout.decode()
    assert (board.card / "pics" / "up.jpg").read_bytes() == picture.getvalue()
