"""`maixpix board` as people run it: a process of its own, with the doors that it announces."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rig.patience import patient

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = os.environ.get("MAIXPY_FIRMWARE", "")

needs_firmware = pytest.mark.skipif(not FIRMWARE, reason="MAIXPY_FIRMWARE names no MaixPy image")
ENGINES = [
    "hosted",
    pytest.param("k210", marks=[needs_firmware, pytest.mark.firmware, pytest.mark.slow]),
]


def engine_options(engine: str) -> list[str]:
    return ["--firmware", FIRMWARE] if engine == "k210" else []


class BoardProcess:
    """A running board. `pty`, `rfc2217` and `page` are its doors, "" where it has none; `said` is its stderr so far."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "maixpix", "board", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ, PYTHONPATH=str(ROOT / "tools")),
        )
        self.said: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._ready.wait(patient(30)), self.said
        text = "".join(self.said)
        self.pty, self.rfc2217, self.page = (
            (re.search(pattern, text) or [""])[0] for pattern in (r"/dev/\S+", r"rfc2217://\S+", r"http://\S+")
        )

    def _read(self) -> None:
        for line in self.process.stderr:
            self.said.append(line)
            if "Ctrl-C switches it off" in line:
                self._ready.set()
        self._ready.set()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Switch it off; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(patient(20))
        finally:
            self.process.kill()
            self._reader.join(patient(5))
            self.process.stdout.close()
            self.process.stderr.close()

    def __enter__(self) -> BoardProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def wait_for_prompt(board: BoardProcess, limit_s: float = 90) -> None:
    """Until the REPL answers on the pseudo-terminal; a blank flash is formatted first."""
    import serial

    heard = b""
    deadline = time.monotonic() + patient(limit_s)
    with serial.Serial(board.pty, 115200, timeout=0.3) as line:
        while b">>> " not in heard:
            assert time.monotonic() < deadline, heard
            line.write(b"\r")
            heard += line.read(4096)
