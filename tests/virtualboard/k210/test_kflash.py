"""The real kflash through a pseudo-terminal: its own stub runs on the emulated cores and programs the flash."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from virtualboard.board import Board
from virtualboard.clock import SECOND
from virtualboard.k210 import bootrom
from virtualboard.k210.engine import K210Engine

from .asm import assemble

console = pytest.importorskip("virtualboard.console", reason="pseudo-terminals are POSIX")

TOOLS = Path(__file__).parents[3] / "tools"
MARK = assemble("li t1, 0x80100000\nli t2, 0x600DF00D\nsw t2, 0(t1)\nend: j end")


def flash(engine: K210Engine, image: Path, limit_s: int = 100) -> tuple[int, str]:
    """Run kflash while the board runs; returns its exit code and output."""
    port = console.PtyConsole(engine.board)
    command = [sys.executable, "-m", "maixpix.kflash_run", "-n", "-p", port.name, "-B", "dan", "-b", "1500000"]
    environment = {**os.environ, "PYTHONPATH": str(TOOLS)}
    with subprocess.Popen(
        [*command, str(image)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            engine.serve(lambda: process.poll() is not None)
        finally:
            process.kill()
        output = process.stdout.read().decode() if process.stdout else ""
    engine.run(timeout_ns=SECOND // 2)
    port.close()
    return process.returncode, output


@pytest.mark.slow
def test_flashes_verifies_and_boots(engine: K210Engine, board: Board, tmp_path: Path) -> None:
    image = MARK + random.Random(5).randbytes(9000)
    path = tmp_path / "firmware.bin"
    path.write_bytes(image)
    # A broken image is there already, and behind it something that must survive.
    board.flash.data[:5] = b"\x00\x10\x00\x00\x00"
    board.flash.data[0x20000:0x20010] = b"neighbour's data"
    engine.boot()
    assert engine.rom.serving
    code, output = flash(engine, path)
    assert code == 0, output
    assert "rebooting" in output
    assert bootrom.payload(board.flash.data) == image
    assert bytes(board.flash.data[0x20000:0x20010]) == b"neighbour's data"
    # The stub has reset the chip, and the ROM has booted what was flashed.
    assert engine.resets[-1] == 8
    assert int.from_bytes(engine.soc.ram[0x100000:0x100004], "little") == 0x600DF00D
