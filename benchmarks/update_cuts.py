"""New software through the air, cut, forged, damaged and bad: the board always starts, a bad version is left.

    python -m benchmarks.update_cuts [--runs 200] [--first 0]

Two kinds of runs, by seed. In a *transfer* the device code of `pix.update` runs on CPython over a card with FatFs's
rules, against the companion's own lists; the power is cut at a random change of the card, again and again, or the list
is forged (another secret), sent again (an old question), damaged, or a file is. After every cut the loader, as it is
deployed, is asked what it would start: that must be the old version or the new one, whole. In the end the new one must
be in place, or nothing of a forged one. In a *trial* the hosted board itself starts from a card whose newest version
crashes, hangs, lacks a file, or never confirms itself, with the power cut now and then: within three starts, and ten
minutes of its own time, it must run the old version.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from maixpix.board import bundle, install  # noqa: E402
from maixpix.board.places import FolderPlace  # noqa: E402
from maixpix.companion.ranges import repr_digest, strong_etag  # noqa: E402
from maixpix.companion.updates import Version, sealed  # noqa: E402
from rig.device import Device, PowerCut  # noqa: E402
from rig.loader_run import chosen  # noqa: E402
from virtualboard.board import Board, BoardConfig  # noqa: E402
from virtualboard.clock import SECOND  # noqa: E402
from virtualboard.engine import HOSTED, EngineOptions  # noqa: E402
from virtualboard.hosted import loader as device_loader  # noqa: E402
from virtualboard.running import RunningBoard  # noqa: E402

KEY = bytes(range(32))
NAME = "shelf"
TEN_MINUTES_S = 600


def software(text: str, files: int = 4) -> bundle.Bundle:
    """A small version whose files differ with `text`, but for one."""
    found = {f"pix/m{number}.py": f"# {text} {number}\n".encode() * 40 for number in range(files)}
    found |= {"pix/same.py": b"same\n" * 30, "pix/errors.py": b"errors\n", "apps/show.py": text.encode()}
    return bundle.named(bundle.Bundle(found, bundle.loader(), compiled=False))


class Air:
    """What `pix.update` takes for a modem: `connect` gives links to the companion's answers."""

    version = (1, 7)

    def __init__(self, new: bundle.Bundle, rng: random.Random, fault: str) -> None:
        self.software = Version.of(new)
        self.rng = rng
        self.fault = fault
        self.old_list = b""

    def connect(self, host: str, port: int, timeout_ms: int = 0) -> Any:
        """A link that answers one request."""
        return _Wire(self)

    def answer(self, target: str) -> tuple[int, bytes]:
        """Status and body."""
        query = dict(re.findall(r"(\w+)=([^&\s]+)", target))
        if "/update/file" in target:
            data = self.software.by_digest.get(query["digest"])
            return (404, b"") if data is None else (200, self._damaged(data) if self.fault == "damaged file" else data)
        key = b"\x55" * 32 if self.fault == "forged" else KEY
        body = sealed(self.software, query["board"], query["nonce"], key)
        if self.fault == "sent again":
            body = self.old_list = self.old_list or sealed(self.software, query["board"], "0" * 16, KEY)
        return 200, self._damaged(body) if self.fault == "damaged list" else body

    def _damaged(self, data: bytes) -> bytes:
        at = self.rng.randrange(len(data))
        kind = self.rng.randrange(3)
        if kind == 0:
            return data[:at] + bytes([data[at] ^ 1 << self.rng.randrange(8)]) + data[at + 1 :]
        return data[:at] if kind == 1 else data[:at] + data[at : at + 9] + data[at:]


class _Wire:
    def __init__(self, air: Air) -> None:
        self._air = air
        self._said = b""
        self.timeout_ms = 0

    def write(self, head: bytes) -> None:
        status, body = self._air.answer(bytes(head).split()[1].decode())
        lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}"]
        if not self._air.fault.startswith("damaged"):
            import hashlib

            digest = hashlib.sha256(body).digest()
            lines += [f"ETag: {strong_etag(digest)}", f"Repr-Digest: {repr_digest(digest)}"]
        self._said = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def readinto(self, view: memoryview) -> int:
        count = min(len(view), len(self._said))
        view[:count] = self._said[:count]
        self._said = self._said[count:]
        return count

    def close(self) -> None:
        """Nothing is open."""


def transfer(seed: int, folder: Path) -> tuple[str, list[str]]:
    """One run: what was tried, and what was wrong."""
    rng = random.Random(seed)
    fault = rng.choice(["", "", "", "forged", "sent again", "damaged list", "damaged file"])
    old, new = software("old"), software("new", rng.randrange(2, 7))
    install.install(FolderPlace(folder), software("older"))
    install.install(FolderPlace(folder), old)
    slot = _starts(folder)
    air = Air(new, rng, fault)
    wrong = []
    cuts = 0
    for attempt in range(12):
        device = Device(folder)
        device.package.slot, device.package.version = slot, old.files[bundle.VERSION].decode()
        update = device.load("update")
        settings = SimpleNamespace(update_key=KEY.hex(), server="http://pc", name=NAME)
        if attempt < 9 and rng.random() < 0.8:
            device.cut_at = rng.randrange(1, 160)
        try:
            update.poll(air, settings)
        except PowerCut:
            cuts += 1
            device.card.power_loss()
        except device.PixError as error:
            if not fault:
                wrong.append(f"{error}")
        finally:
            device.card.close()
        found = _whole(folder, _starts(folder))
        if found not in (dict(old.files), dict(new.files)):
            wrong.append(f"attempt {attempt}: the loader would start a mixture")
        if found == dict(new.files):
            break
    placed = _whole(folder, _starts(folder)) == dict(new.files)
    if fault in ("forged", "sent again") and placed:
        wrong.append(f"a list that was {fault} was taken")
    if not fault and not placed:
        wrong.append("the new version never came")
    return f"transfer, {fault or 'honest'}, {'with' if cuts else 'without'} cuts", wrong


def _starts(folder: Path) -> str:
    return chosen((folder / "main.py").read_bytes(), {"/flash": folder / "none", "/sd": folder})[2]


def _whole(folder: Path, slot: str) -> dict[str, bytes]:
    base = folder / slot
    files = (path for path in base.rglob("*") if path.is_file() and path.name != "ready")
    return {path.relative_to(base).as_posix(): path.read_bytes() for path in files}


BAD = {
    "crash at once": ("pix/start.py", "raise ValueError('boom')\n"),
    "syntax": ("pix/start.py", "def run(home, slot:\n"),
    "no start": ("pix/start.py", None),
    "hangs at once": ("pix/start.py", "while True:\n    pass\n"),
    "hangs in the package": ("pix/__init__.py", "while True:\n    pass\n"),
    "start returns": ("pix/start.py", "def run(home, slot):\n    return\n"),
    "no errors": ("pix/errors.py", None),
    "app crashes": ("apps/mine.py", "def main():\n    raise ValueError('boom')\n"),
    "app hangs": ("apps/mine.py", "def main():\n    while True:\n        pass\n"),
    "app ends": ("apps/mine.py", "def main():\n    return 0\n"),
    "app never confirms": (
        "apps/mine.py", "import utime\n\n\ndef main():\n    while True:\n        utime.sleep_ms(500)\n"
    ),
}  # fmt: skip
"""Versions that must be left: which file is wrong, and what is in it (None: it is missing)."""


@lru_cache(maxsize=1)
def good() -> bundle.Bundle:
    """The software as it is, and an app that says so."""
    built = bundle.build(mpy=False)
    files = {**built.files, "apps/mine.py": b"def main():\n    print('the old version runs')\n"}
    return bundle.named(bundle.Bundle(files, built.loader, compiled=False))


def trial(seed: int, folder: Path, kind: str = "") -> tuple[str, list[str]]:
    """One run: what was tried, and what was wrong."""
    rng = random.Random(seed)
    kind = kind or rng.choice(list(BAD))
    name, text = BAD[kind]
    files = dict(good().files)
    files.pop(name)
    if text is not None:
        files[name] = text.encode()
    place = FolderPlace(folder)
    install.install(place, good())
    install.install(place, bundle.named(bundle.Bundle(files, good().loader, compiled=False)))
    running = max((folder / "maixpix").glob("?/ready"), key=lambda path: path.read_bytes())
    running.write_bytes(running.read_bytes()[:9] + b"3")
    (folder / "pix.json").write_text('{"app": "mine"}')
    starts, late, passed = 0, 0, 0.0
    while passed < TEN_MINUTES_S:
        cut_s = rng.uniform(1, 30) if rng.random() < 0.3 else TEN_MINUTES_S - passed
        said, seconds, resets = _power_on(folder, cut_s, seed)
        starts += 1 + resets
        passed += seconds
        if "the old version runs" in said:
            break
        late += running.read_bytes()[9:] == b"0"  # it was the old one that was cut
    else:
        return f"trial, {kind}", [f"after {starts} starts and {passed:.0f} s the old version does not run"]
    wrong = [f"left after {starts - 1} starts"] if starts - late > 4 else []
    return f"trial, {kind}", wrong


def _power_on(folder: Path, end_s: float, seed: int) -> tuple[str, float, int]:
    """(console, seconds until the old version ran or the power went, resets of the chip)."""
    board = Board(BoardConfig(card=str(folder), seed=seed))
    said = bytearray()
    try:
        running = RunningBoard(board, EngineOptions(HOSTED, repl=True))

        def hear(_when: int, data: bytes) -> None:
            said.extend(data)
            if b"the old version runs" in said[-200:]:
                running.end("seen")

        board.clock.at(round(end_s * SECOND), lambda: running.end("power cut"))
        running.console.listen(hear)
        running.run()
        return said.decode("utf-8", "replace"), board.clock.now / SECOND, running.engine.machine.resets
    finally:
        board.power_off()


def main() -> int:
    """Print what was tried; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    device_loader.compiled = lru_cache(maxsize=256)(device_loader.compiled)
    tried: Counter[str] = Counter()
    bad = 0
    began = time.process_time()
    for seed in range(options.first, options.first + options.runs):
        run: Callable[[int, Path], tuple[str, list[str]]] = trial if seed % 4 == 0 else transfer
        with tempfile.TemporaryDirectory(prefix="update-") as folder:
            what, wrong = run(seed, Path(folder))
        tried[what] += 1
        if wrong:
            bad += 1
            print(f"seed {seed}, {what}: {'; '.join(wrong)}", flush=True)
    for what, count in sorted(tried.items()):
        print(f"{count:5} {what}")
    print(f"{bad} of {options.runs} wrong; {time.process_time() - began:.0f} s of processor time")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
