"""docs/sockets.md is what the stock firmware does, row by row; the two examples come out alike wherever they run."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from rig.board_process import ENGINES, FIRMWARE
from virtualboard import Bench, EngineError

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ROOT / "tests" / "rig" / "sockets"
IMPORTS = (
    "import machine\nfrom board import board_info\nfrom fpioa_manager import fm\n"
    "board_info.WIFI_RX, board_info.WIFI_TX = 7, 6\n"
)


@pytest.fixture(scope="module")
def picture() -> bytes:
    """A small BMP: its file twice, and its picture, fit the heap."""
    out = io.BytesIO()
    with Image.open(ROOT / "assets" / "pictures" / "coffee.jpg") as source:
        source.convert("RGB").resize((160, 120)).save(out, "BMP")
    return out.getvalue()


@pytest.fixture
def bench(request, tmp_path, picture):
    made = Bench(tmp_path, firmware=FIRMWARE if request.param == "k210" else None)
    made.serve(lambda request: b"one\ntwo\n" if request.target == "/lines" else picture)
    return made


everywhere = [
    pytest.mark.parametrize("bench", ENGINES, indirect=True),
    pytest.mark.timeout(3600),  # a busy machine emulates a minute of the chip in ten of its own
]


def all_of(test):
    for mark in everywhere:
        test = mark(test)
    return test


def table() -> list[tuple[str, str, bool]]:
    """(row, outcome, whether it waits) as the page has them."""
    page = (ROOT / "docs" / "sockets.md").read_text("utf-8")
    found = re.findall(r"^\| ([^|`]+) \| `([^`]+)`(, after a wait)? \|", page, re.MULTILINE)
    return [(name, outcome, bool(wait)) for name, outcome, wait in found if name not in ("fetch", "send")]


@all_of
def test_every_row_of_the_page_is_what_happens(bench):
    done = bench.run((PROGRAMS / "rows.py").read_text())
    assert done.ok, done.output + done.traceback
    rows = [line[4:].rsplit(" | ", 2) for line in done.output.splitlines() if line.startswith("row ")]
    assert [(name, outcome, wait == "waits") for name, outcome, wait in rows] == table()
    assert len(rows) > 25


@all_of
@pytest.mark.parametrize("call", ['sendto(b"x", ("10.0.0.2", 80))', "recvfrom(10)"])
def test_what_has_nothing_behind_it_stops_the_board(bench, call):
    program = (PROGRAMS / "rows.py").read_text().split("def tell")[0]
    program += f"s = usocket.socket()\ns.connect(SERVER)\ns.settimeout(1)\nprint('now')\ns.{call}\nprint('after')\n"
    with contextlib.suppress(EngineError):  # the chip stays where it stopped
        bench.run(program, timeout_s=25)
    assert "\ncore dump: " in bench.console.split("now")[1] and "after" not in bench.console


@all_of
@pytest.mark.parametrize("name", ["fetch", "send"])
def test_the_examples_as_they_stand_come_out_as_the_page_says(bench, name, picture):
    (bench.card / "picture.bmp").write_bytes(picture)
    done = bench.run((PROGRAMS / f"{name}.py").read_text())
    if bench.engine == "k210" and "v0.5" in FIRMWARE:  # there MaixPy's start leaves the names at the prompt
        assert done.ok
        return
    assert done.traceback.splitlines()[-1] == "NameError: name 'fm' isn't defined"
    assert bench.modem.commands == []


@all_of
def test_the_examples_with_their_imports_bring_the_picture_and_send_it(bench, picture):
    done = bench.run(IMPORTS + (PROGRAMS / "fetch.py").read_text())
    assert done.ok, done.traceback
    assert (bench.card / "picture.bmp").read_bytes() == picture
    assert f"{len(picture)}\nsave to /sd/picture.bmp\nsave ok\ndisplay\n" in done.output
    assert len(bench.panel.image().getcolors(1 << 17)) > 100
    heard = bench.listen(3456)
    done = bench.run(IMPORTS + (PROGRAMS / "send.py").read_text())
    assert done.ok, done.traceback
    assert heard.data == picture
