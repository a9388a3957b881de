"""A board as people have it: byte code on its card, `maixpix board` plays it, its own pages are on loopback."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

from maixpix.board import bundle, install
from maixpix.board.places import FolderPlace
from rig.patience import patient

ROOT = Path(__file__).resolve().parents[2]


class ServedBoard:
    """`maixpix board` with the app of `settings` on a card in `folder`; `url` of its pages once it serves.

    `options` go to the command, `files` (name -> bytes) onto the card. A context manager.
    """

    def __init__(self, folder: Path, settings: dict, options: tuple[str, ...] = (), files: dict | None = None) -> None:
        self.card = folder / "card"
        self.card.mkdir(parents=True)
        install.install(FolderPlace(self.card), bundle.build())
        (self.card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]], **settings}))
        for name, data in (files or {}).items():
            (self.card / name).parent.mkdir(exist_ok=True)
            (self.card / name).write_bytes(data)
        self._options = ("--card", str(self.card), "--speed", "max", *options)
        self.told = ""

    def __enter__(self) -> ServedBoard:
        environment = dict(os.environ, PYTHONPATH=str(ROOT / "tools"), PYTHONUNBUFFERED="1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "maixpix", "board", "--sta-web", "0", *self._options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
        )
        found = self._await(r"own service, its port \d+: http://127.0.0.1:(\d+)/", 120)
        self.port = int(found.group(1))
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Switch it off in order: an emulated card's files are in the folder then."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.communicate(timeout=patient(30))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _await(self, pattern: str, limit_s: float) -> re.Match:
        deadline = time.monotonic() + patient(limit_s)
        fd = self._process.stderr.fileno()
        while not (found := re.search(pattern, self.told)):
            assert time.monotonic() < deadline and self._process.poll() is None, self.told[-2000:]
            if select.select([fd], [], [], 1)[0]:
                self.told += os.read(fd, 65536).decode(errors="replace")
        return found


def curl(*arguments: str, limit_s: float = 60) -> subprocess.CompletedProcess:
    """A real client: curl, quiet, bounded. `stdout` is bytes."""
    return subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--max-time", str(patient(limit_s)), *arguments],
        capture_output=True,
        check=False,
    )
