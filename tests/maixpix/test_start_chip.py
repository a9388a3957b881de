"""The watchdog of pix/start.py on a real MaixPy image (MAIXPY_FIRMWARE names it)."""

from __future__ import annotations

import json
import shutil

import pytest

from maixpix.board import bundle, install
from maixpix.board.places import FolderPlace
from rig.board_process import needs_firmware
from rig.running_board import ROOT, RunningBoard

pytestmark = [pytest.mark.firmware, pytest.mark.slow, needs_firmware]

HANGS = "def main():\n    print('hangs ran')\n    while True:\n        pass\n"
WAITS = (
    "import utime\n\n\ndef main():\n    end = utime.ticks_add(utime.ticks_ms(), 6000)\n"
    "    while utime.ticks_diff(end, utime.ticks_ms()) > 0:\n        pass\n    utime.sleep_ms(6000)\n"
    "    print('waited')\n"
)


@pytest.mark.parametrize(
    ("text", "until"), [(HANGS, rb"hangs ran(?s:.*)hangs ran"), (WAITS, rb"waited")], ids=["hangs", "waits"]
)
def test_real_firmware_is_reset_when_its_app_hangs_and_only_then(tmp_path, text, until):
    tree, card = tmp_path / "tree", tmp_path / "sd"
    card.mkdir()
    shutil.copytree(ROOT / "firmware", tree / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "apps").mkdir()
    (tree / "apps" / "show.py").write_text(text)
    install.install(FolderPlace(card), bundle.build(tree))
    (card / "pix.json").write_text(json.dumps({"watchdog_s": 1}))
    with RunningBoard(card, tmp_path / "flash", script="k210_board.py") as board:
        heard = board.listen(until, 100)
    assert b"Traceback" not in heard
    if text is HANGS:
        assert b"[MAIXPY] Pll0" in heard.split(b"hangs ran")[1]
    else:
        assert heard.count(b"[MAIXPY] Pll0") <= 1
