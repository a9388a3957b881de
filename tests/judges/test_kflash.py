"""The real kflash 1.1.6, unchanged, writes the flash of an emulated chip that runs kflash's own stub.

No MaixPy image is needed: what is flashed is a small program of ours with ballast behind it.
"""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import serial

from rig.asm import assemble
from rig.board_process import ROOT, BoardProcess
from rig.patience import patient

pytest.importorskip("unicorn", reason="the emulated chip needs the k210 extra")

FLASH_SIZE = 16 << 20
# Answers every byte on the console (UARTHS at 115200 baud from 390 MHz) with "up ".
PROGRAM = assemble(
    """
    csrr t0, mhartid
park: bne t0, zero, park
    li s0, 0x38000000
    li t0, 3384
    sw t0, 0x18(s0)         # div
    addi t0, zero, 1
    sw t0, 0x08(s0)         # txctrl.txen
    sw t0, 0x0C(s0)         # rxctrl.rxen
again: lw t1, 4(s0)
    blt t1, zero, again     # nothing received
"""
    + "".join(
        f"w{n}: lw t1, 0(s0)\nblt t1, zero, w{n}\naddi t1, zero, {byte}\nsw t1, 0(s0)\n"
        for n, byte in enumerate(b"up ")
    )
    + "j again"
)


def image(size: int, seed: int) -> bytes:
    return PROGRAM + random.Random(seed).randbytes(size - len(PROGRAM))


def headed(payload: bytes) -> bytes:
    data = b"\x02" + struct.pack("<I", len(payload)) + payload
    return data + hashlib.sha256(data).digest()


ENVIRONMENT = dict(os.environ, PYTHONPATH=str(ROOT / "tools"), COLUMNS="100", LINES="24", PYTHONUNBUFFERED="1")


def command(port: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "maixpix.flash.kflash_run", "-p", port, "-n", *words]


def kflash(port: str, *words: str, code: int = 0) -> str:
    done = subprocess.run(command(port, *words), capture_output=True, text=True, timeout=patient(110), env=ENVIRONMENT)
    assert done.returncode == code, (done.stdout[-800:], done.stderr[-800:])
    return done.stdout


def flashed(file: Path) -> bytes:
    data = file.read_bytes()
    assert len(data) == FLASH_SIZE
    return data


@pytest.mark.parametrize("speed", ["real", "max"])
def test_an_image_lands_byte_for_byte_through_the_pseudo_terminal(tmp_path, speed):
    payload, program = image(40_000, 1), tmp_path / "program.bin"
    program.write_bytes(payload)
    with BoardProcess("--isp", "--flash", str(tmp_path / "flash"), "--speed", speed) as board:
        said = kflash(board.pty, "-B", "dan", "-b", "1500000", str(program))
        assert "rebooting" in said and "checksum" not in said.lower()
        if speed == "max":  # the stub takes its time to restart the chip
            with serial.Serial(board.pty, 115200, timeout=1) as line:  # the ROM has checked and started it
                assert any(line.write(b"?") and line.read_until(b"up ").endswith(b"up ") for _ in range(40))
        assert board.stop() == 0
    data = flashed(tmp_path / "flash")
    want = headed(payload)
    assert data[: len(want)] == want
    assert set(data[len(want) :]) == {0xFF}


def test_the_second_flash_replaces_the_first_and_spares_its_neighbour(tmp_path):
    """The stub reads, changes, erases and writes 64 KiB blocks; what lies in the same block elsewhere stays."""
    before = bytearray(random.Random(5).randbytes(FLASH_SIZE))
    file = tmp_path / "flash"
    file.write_bytes(before)
    program = tmp_path / "program.bin"
    program.write_bytes(image(9_000, 2))
    with BoardProcess("--isp", "--flash", str(file)) as board:
        kflash(board.pty, "-B", "dan", "-b", "1500000", str(program))
        board.stop()
    want = headed(program.read_bytes())
    data = flashed(file)
    assert data[: len(want)] == want
    assert data[len(want) :] == before[len(want) :]


@pytest.mark.parametrize(("wiring", "board_type"), [("dan", "dan"), ("goE", "maixduino")])
def test_through_the_network_kflash_resets_the_board_itself(tmp_path, wiring, board_type):
    """The board runs the firmware that it has; DTR and RTS bring it into its boot ROM, whatever it does."""
    file = tmp_path / "flash"
    first = headed(image(2_000, 3))
    file.write_bytes(first)
    program = tmp_path / "program.bin"
    program.write_bytes(image(9_000, 4))
    options = ("--engine", "k210", "--flash", str(file), "--rfc2217", "0", "--lines", wiring)
    with BoardProcess(*options) as board:
        kflash(board.rfc2217, "-B", board_type, "-b", "1500000", str(program))
        board.stop()
    want = headed(program.read_bytes())
    assert flashed(file)[: len(want)] == want


@pytest.mark.parametrize("board_type", ["goD", "trainer"])
def test_the_other_board_types_reset_sequences(tmp_path, board_type):
    """Up to a program in memory, which kflash only reaches through the ROM of the board that it has reset.

    All other types share a wiring and a sequence with those above (test_reset_lines.py).
    """
    file, program = tmp_path / "flash", tmp_path / "program.bin"
    file.write_bytes(headed(image(2_000, 3)))
    program.write_bytes(image(1_000, 4))
    options = ("--engine", "k210", "--flash", str(file), "--rfc2217", "0", "--lines", board_type)
    with BoardProcess(*options) as board:
        said = kflash(board.rfc2217, "-B", board_type, "-s", str(program))
        assert "Greeting Message Detected" in said and "Boot user code from SRAM" in said


@pytest.mark.slow
def test_a_cable_pulled_in_mid_transfer(tmp_path):
    """The half written image does not boot, the board waits in its ROM instead, and is flashed again."""
    file, program, smaller = tmp_path / "flash", tmp_path / "program.bin", tmp_path / "smaller.bin"
    file.write_bytes(headed(image(2_000, 6)))
    program.write_bytes(image(135_000, 7))  # three frames
    smaller.write_bytes(image(9_000, 8))
    with BoardProcess("--engine", "k210", "--flash", str(file), "--rfc2217", "0", "--lines", "dan") as board:
        words = ("-B", "dan", "-b", "1500000")
        flashing = command(board.rfc2217, *words, str(program))
        with subprocess.Popen(flashing, stdout=subprocess.PIPE, env=ENVIRONMENT) as cut:
            heard = b""
            while b"Programming BIN:" not in heard:  # the first 64 KiB are written, the second are on the line
                piece = os.read(cut.stdout.fileno(), 4096)
                assert piece, heard[-500:]
                heard += piece
            cut.kill()
        with serial.serial_for_url(board.rfc2217, 115200, timeout=2) as port:
            port.dtr = False  # the reset key: RTS alone pulls the reset pin
            port.rts = True
            port.rts = False
            for _ in range(10):  # what the killed kflash had sent already may still be on the line: kflash repeats, too
                port.reset_input_buffer()
                port.write(b"\xc0\xc2" + bytes(12) + b"\xc0")
                if port.read(4) == b"\xc0\xc2\xe0\xc0":
                    break
            else:
                raise AssertionError("the boot ROM does not answer the greeting")
        assert "rebooting" in kflash(board.rfc2217, *words, str(smaller))
        board.stop()
    want = headed(smaller.read_bytes())
    assert flashed(file)[: len(want)] == want


@pytest.mark.slow
def test_an_erase_leaves_only_what_was_not_named(tmp_path):
    before = random.Random(8).randbytes(FLASH_SIZE)
    file = tmp_path / "flash"
    file.write_bytes(before)
    with BoardProcess("--isp", "--flash", str(file)) as board:
        kflash(board.pty, "-B", "dan", "-A", "0x101000", "-L", "0x3000", "erase")
        board.stop()
    data = flashed(file)
    assert data[0x101000:0x104000] == b"\xff" * 0x3000
    assert data[:0x101000] == before[:0x101000] and data[0x104000:] == before[0x104000:]
