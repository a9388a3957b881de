"""`maixpix` as people run it: a process of its own at a terminal, at which they type what is asked."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rig import forks
from rig.board_process import ROOT
from rig.patience import patient


def environment(**more: str) -> dict[str, str]:
    return dict(os.environ, PYTHONPATH=str(ROOT / "tools"), COLUMNS="160", TERM="dumb", **more)


def maixpix(
    *words: str,
    answers: tuple[tuple[str, str], ...] = (),
    code: int = 0,
    limit_s: float = 100,
    watch: Callable[[], None] | None = None,
    **env: str,
) -> str:
    """Run a command, type each answer when its question shows, and return all that the terminal showed.

    `watch` is called about ten times a second meanwhile.
    """
    master, slave = pty.openpty()
    process = forks.Popen(
        [sys.executable, "-m", "maixpix", *words],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, own_terminal=True, env=environment(**env),
    )  # fmt: skip
    os.close(slave)
    shown, seen, left = "", 0, list(answers)
    deadline = time.monotonic() + patient(limit_s)
    try:
        while True:
            assert time.monotonic() < deadline, shown
            if watch is not None:
                watch()
            if select.select([master], [], [], 0.1)[0]:
                try:
                    data = os.read(master, 4096)
                except OSError:  # Linux: the last process has closed the terminal
                    break
                if not data:
                    break
                shown += data.decode("utf-8", "replace")
            # A password may be typed once the space behind its question shows: the echo is off by then.
            if left and left[0][0] in shown[seen:] and shown.endswith((": ", "\n")):
                seen = len(shown)
                os.write(master, left.pop(0)[1].encode() + b"\n")
        assert process.wait(patient(20)) == code, shown
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert not left, shown
    return shown


@contextmanager
def serving(*words: str) -> Iterator[tuple[int, list[str]]]:
    """`maixpix serve` with these words, uploads in a folder of its own; (its port, what it said so far)."""
    uploads = tempfile.TemporaryDirectory()
    process = subprocess.Popen(
        [sys.executable, "-m", "maixpix", "serve", *words, "--port", "0", "--uploads", uploads.name],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED="1"),
    )
    try:
        said = [process.stdout.readline()]
        found = re.search(r"http://[^/\s]+:(\d+)", said[0])
        assert found, said
        yield int(found[1]), said
    finally:
        process.terminate()
        process.wait(patient(20))
        process.stdout.close()
        uploads.cleanup()
