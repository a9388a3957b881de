"""Fixtures for tests that talk to a virtual board through a pseudo-terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
import tty
from dataclasses import dataclass, field
from pathlib import Path

from rig.patience import patient

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass
class RunningBoard:
    """A board process. `card` and `flash` are its folders, or None for no card."""

    card: Path | None
    flash: Path
    config: dict = field(default_factory=dict)
    script: str = "hosted_board.py"

    def __enter__(self) -> RunningBoard:
        self.flash.mkdir(exist_ok=True)
        config = {"card": str(self.card) if self.card else None, "flash_dir": str(self.flash), **self.config}
        environment = dict(os.environ, PYTHONPATH=str(ROOT / "tools"))
        self.process = subprocess.Popen(
            [sys.executable, os.environ.get("MAIXPIX_TEST_BOARD") or str(HERE / self.script), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self.port = self.process.stdout.readline().decode().strip()
        assert self.port.startswith("/dev/"), "the virtual board did not start"
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def press(self, down: bool) -> None:
        self.process.stdin.write(b"key down\n" if down else b"key up\n")
        self.process.stdin.flush()

    def listen(self, until: bytes, limit_s: float = 20) -> bytes:
        """What the console prints until the pattern `until` appears; fails after `limit_s`."""
        fd = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
        heard = b""
        try:
            deadline = time.monotonic() + patient(limit_s)
            while not re.search(until, heard):
                left = deadline - time.monotonic()
                assert left > 0, f"{until!r} not in {heard[-600:]!r}"
                if select.select([fd], [], [], left)[0]:
                    heard += os.read(fd, 4096)
        finally:
            os.close(fd)
        return heard


class CutCable:
    """A port that passes bytes to another until so many went to the board, then vanishes."""

    def __init__(self, port: str, after: int) -> None:
        self._inner = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self._master, self._slave = pty.openpty()
        tty.setraw(self._master)
        self.port = os.ttyname(self._slave)
        self.left = after
        self.passed = self.returned = 0
        self.cut = False
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def _relay(self) -> None:
        while not self.cut:
            ready, _, _ = select.select([self._master, self._inner], [], [], 0.2)
            if self._inner in ready:
                answer = os.read(self._inner, 4096)
                self.returned += len(answer)
                os.write(self._master, answer)
            if self._master in ready:
                data = os.read(self._master, 4096)[: self.left - self.passed]
                os.write(self._inner, data)
                self.passed += len(data)
                self.cut = self.cut or self.passed >= self.left
        for fd in (self._slave, self._master, self._inner):
            os.close(fd)

    def close(self) -> None:
        self.cut = True
        self._thread.join(patient(5))


def device_tree(folder: Path, version: str, files: int = 4) -> Path:
    """A small tree to deploy whose app prints its version, checked across all its modules."""
    pix = folder / "firmware" / "pix"
    pix.mkdir(parents=True, exist_ok=True)
    (folder / "apps").mkdir(exist_ok=True)
    (folder / "firmware" / "main.py").write_text((ROOT / "firmware" / "main.py").read_text())
    (pix / "__init__.py").write_text("")
    for n in range(files):
        (pix / f"part{n}.py").write_text(f"VERSION = {version!r}\n" + f"# {'x' * 400}\n" * 3)
    (pix / "start.py").write_text(
        "from pix import " + ", ".join(f"part{n}" for n in range(files)) + "\n\n\ndef run(home, slot):\n"
        "    parts = [" + ", ".join(f"part{n}.VERSION" for n in range(files)) + f", {version!r}]\n"
        "    print('parts', '-'.join(parts), 'from', home, slot)\n"
    )
    (folder / "apps" / "show.py").write_text(f"def main():\n    print('app {version}')\n")
    return folder


def started_version(heard: bytes) -> str:
    """The version that the console says has started; fails when its parts are of several versions."""
    found = re.findall(rb"parts ([\w\-]+) from", heard)
    assert found, heard[-600:]
    parts = set(found[-1].decode().split("-"))
    assert len(parts) == 1, f"a mixture: {parts}"
    return parts.pop()
