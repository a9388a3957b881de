"""The real mpremote on the pseudo-terminal of a board that runs real MaixPy (MAIXPY_FIRMWARE)."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import SECOND
from virtualboard.k210.engine import K210Engine

console = pytest.importorskip("virtualboard.console", reason="pseudo-terminals are POSIX")

pytestmark = [pytest.mark.firmware, pytest.mark.slow]
Remote = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("card")


@pytest.fixture(scope="module")
def remote(firmware: Path, card: Path) -> Iterator[Remote]:
    """Runs mpremote with arguments on a board that stays up; returns exit code and output."""
    board = Board(BoardConfig(card=str(card)))
    engine = K210Engine(board, firmware)
    engine.boot()
    engine.console.wait_for_prompt(60 * SECOND)
    port = console.PtyConsole(board)

    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "mpremote", "connect", port.name, *arguments]
        with subprocess.Popen(
            command, env=os.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                engine.serve(lambda: process.poll() is not None)
            finally:
                process.kill()
            return process.returncode, process.stdout.read().decode() if process.stdout else ""

    yield run
    port.close()
    board.power_off()


def test_exec_and_run(remote: Remote, tmp_path: Path) -> None:
    code, output = remote("exec", "print(6*7)")
    assert (code, output.strip()) == (0, "42")
    script = tmp_path / "script.py"
    script.write_text("import os\nprint(os.uname().machine)\n")
    code, output = remote("run", str(script))
    assert code == 0
    assert "kendryte-k210" in output


def test_exception_is_an_exit_code(remote: Remote) -> None:
    code, output = remote("exec", "1//0")
    assert code == 1
    assert "ZeroDivisionError" in output


def test_files_both_ways(remote: Remote, tmp_path: Path) -> None:
    data = random.Random(7).randbytes(3000)
    there, back = tmp_path / "there.bin", tmp_path / "back.bin"
    there.write_bytes(data)
    assert remote("cp", str(there), ":/sd/there.bin")[0] == 0
    code, output = remote("ls", ":/sd")
    assert code == 0
    assert "3000 there.bin" in output
    assert remote("cp", ":/sd/there.bin", str(back))[0] == 0
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(data).digest()
    assert remote("rm", ":/sd/there.bin")[0] == 0
    assert "there.bin" not in remote("ls", ":/sd")[1]


def test_soft_reset_forgets_and_resume_keeps(remote: Remote) -> None:
    assert remote("exec", "kept = 5")[0] == 0
    assert remote("resume", "exec", "print(kept)")[1].strip() == "5"
    assert remote("soft-reset")[0] == 0
    assert "NameError" in remote("resume", "exec", "print(kept)")[1]
