"""The real mpremote against the pseudo-terminal of a virtual board, as its users call it."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import pytest

from rig.board_process import ENGINES, BoardProcess, engine_options, wait_for_prompt
from rig.patience import patient


@pytest.fixture(scope="module", params=ENGINES)
def board(request, tmp_path_factory):
    card = tmp_path_factory.mktemp("card")
    # As fast as it goes: the line's time is not what is judged here.
    with BoardProcess("--card", str(card), "--speed", "max", *engine_options(request.param)) as running:
        running.card = card
        wait_for_prompt(running)
        yield running


def mpremote(board, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.pty, *words],
        capture_output=True,
        text=True,
        timeout=patient(100),
        env=dict(os.environ, PYTHONPATH=""),
    )
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr if code else done.stdout


def test_exec_and_eval(board):
    assert mpremote(board, "exec", "import sys; print(sys.platform, 6*7)") == "MaixPy 42\n"
    assert mpremote(board, "eval", "[i * i for i in range(5)]") == "[0, 1, 4, 9, 16]\n"


def test_an_exception_is_an_exit_code_and_a_traceback(board):
    said = mpremote(board, "exec", "def f():\n    return 1/0\nf()", code=1)
    assert "ZeroDivisionError: divide by zero" in said and "in f" in said


def test_run_of_a_file_longer_than_the_consoles_ring(board, tmp_path):
    program = tmp_path / "long.py"
    program.write_text("total = 0\n" + "".join(f"total += {n}  # {'x' * 40}\n" for n in range(200)) + "print(total)\n")
    assert program.stat().st_size > 8000
    assert mpremote(board, "run", str(program)) == f"{sum(range(200))}\n"


def test_files_both_ways_with_equal_digests(board, tmp_path):
    sent = tmp_path / "sent.bin"
    sent.write_bytes(random.Random(3).randbytes(5000) + bytes(range(256)))
    digest = hashlib.sha256(sent.read_bytes()).hexdigest()
    mpremote(board, "fs", "cp", str(sent), ":/sd/data.bin")
    back = tmp_path / "back.bin"
    mpremote(board, "resume", "fs", "cp", ":/sd/data.bin", str(back))
    assert hashlib.sha256(back.read_bytes()).hexdigest() == digest
    listing = mpremote(board, "resume", "fs", "ls", ":/sd")
    assert "data.bin" in listing and str(sent.stat().st_size) in listing
    code = (
        "import uhashlib,ubinascii;print(ubinascii.hexlify(uhashlib.sha256(open('/sd/data.bin','rb').read()).digest()))"
    )
    assert mpremote(board, "resume", "exec", code) == f"b'{digest}'\n"
    mpremote(board, "resume", "fs", "rm", ":/sd/data.bin")
    assert "data.bin" not in mpremote(board, "resume", "fs", "ls", ":/sd")


def test_resume_keeps_and_soft_reset_forgets(board):
    mpremote(board, "exec", "kept = 'yes'")
    assert mpremote(board, "resume", "exec", "print(kept)") == "yes\n"
    mpremote(board, "resume", "soft-reset")
    assert "NameError" in mpremote(board, "resume", "exec", "print(kept)", code=1)


def test_a_missing_file_is_named(board):
    assert "none.txt" in mpremote(board, "resume", "fs", "cat", ":/sd/none.txt", code=1)
