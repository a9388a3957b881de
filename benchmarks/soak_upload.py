"""Pictures on their way out while everything breaks: none may be lost, doubled or damaged.

    python -m benchmarks.soak_upload [--runs 500] [--first 0] [--jobs 2]

A run is one card, one receiver and up to five starts of the board with `apps/snap.py`, all from one seed: pictures of
an earlier day wait in the outbox, new ones are taken; bytes on the line are dropped, doubled and flipped, links, module
and access point are lost, the card stalls, the power is cut, the board reset, the companion killed and started again.
The last start is undisturbed. Then every picture that ever was must be at the receiver, exactly once and intact.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.hosted.launch import RunResult, run_app

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "assets" / "pictures"
KEY, TOKEN = "sesame-open-42", "upload-token-77"
MAX_STARTS = 5
_SERVE = """
import sys
from pathlib import Path
from maixpix.companion import ServeSettings, serve
folder, uploads, port, tcp, token = sys.argv[1:]
serve(ServeSettings(Path(folder), port=int(port), tcp_port=int(tcp), uploads=Path(uploads), token=token, names=("pc",)))
"""


@dataclass
class Outcome:
    """What a run showed. `wrong` is empty when all is well."""

    seed: int
    pictures: int = 0
    starts: int = 0
    kills: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    console: str = ""


class Receiver:
    """The companion in a process of its own, which can be killed at any moment and comes back on the same ports."""

    def __init__(self, root: Path) -> None:
        self.uploads = root / "uploads"
        self.port, self.tcp_port = _free_port(), _free_port()
        self._folder = root / "pictures"
        self._folder.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def start(self) -> None:
        arguments = [self._folder, self.uploads, self.port, self.tcp_port, TOKEN]
        environment = dict(os.environ, PYTHONPATH=str(ROOT / "tools"))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *map(str, arguments)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.tcp_port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("the companion did not start")

    def kill(self) -> None:
        """As the power of the PC would: no goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stored(self) -> dict[str, bytes]:
        """Name -> content of everything that is kept."""
        files = sorted(self.uploads.glob("????-??-??/*"))
        return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def one_run(seed: int, root: Path) -> Outcome:
    """The run of `seed` below the empty folder `root`."""
    rng = random.Random(seed)
    outcome = Outcome(seed)
    card = root / "card"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "firmware" / "pix", card / "pix", ignore=ignore)
    shutil.copytree(ROOT / "apps", card / "apps", ignore=ignore)
    known = _plant(rng, card / "outbox", rng.randrange(4))
    names = set(known)
    receiver = Receiver(root)
    receiver.start()
    try:
        door = f"tcp+name://pc:{receiver.tcp_port}" if rng.random() < 0.2 else f"http://pc:{receiver.port}/files/"
        starts = rng.randrange(1, MAX_STARTS)
        for start in range(starts + 1):
            last = start == starts
            outcome.starts += 1
            result = _start(rng, root, card, receiver, door, start, last)
            outcome.console += f"\n--- start {start}\n{result.console}"
            outcome.faults.update(re.sub(r" byte .*", "", what) for _, what in result.report.get("faults", []))
            names |= set(re.findall(r"^taken (\S+) \d+ bytes$", result.console, re.M))
            _look(card / "outbox", known, outcome)
            names |= set(known)
            if last and "\ndone, " not in result.console:
                outcome.wrong.append("the undisturbed start did not end well")
        outcome.kills = receiver.kills
        outcome.pictures = len(names)
        _judge(names, known, receiver.stored(), outcome)
    finally:
        receiver.kill()
    return outcome


def _start(
    rng: random.Random, root: Path, card: Path, receiver: Receiver, door: str, start: int, last: bool
) -> RunResult:
    settings: dict[str, Any] = {
        "wifi": [["home", KEY]],
        "upload": door,
        "token": TOKEN,
        "snaps": rng.randrange(1, 4),
        "snap_s": 1,
        "burst": rng.randrange(1, 3),
        "colour": rng.choice(["on", "off"]),
        "quality": rng.randrange(20, 90),
    }
    (card / "pix.json").write_text(json.dumps(settings))
    config = BoardConfig(
        at=rng.choice(["1.1", "1.6", "1.7.4"]),
        card=str(card),
        camera=str(_scenes(root, rng, start)),
        wifi=[WifiNetwork("home", KEY)],
        names={"pc": "127.0.0.1"},
        seed=rng.randrange(1 << 30),
    )
    end_ms = 900_000
    killer = None
    if not last:
        config.faults = [_fault(rng) for _ in range(rng.randrange(1, 5))]
        if rng.random() < 0.3:
            end_ms = rng.randrange(3_000, 14_000)  # the board is reset
        if rng.random() < 0.35:
            killer = threading.Thread(target=_kill, args=(receiver, rng.uniform(0.3, 2.0), rng.uniform(0.05, 0.6)))
            killer.start()
    try:
        return run_app(config, card / "apps" / "snap.py", timeout_s=300, end_ms=end_ms)
    finally:
        if killer is not None:
            killer.join()


def _kill(receiver: Receiver, after_s: float, for_s: float) -> None:
    time.sleep(after_s)
    receiver.kill()
    receiver.kills += 1
    time.sleep(for_s)
    receiver.start()


def _fault(rng: random.Random) -> dict[str, Any]:
    """Something that goes wrong in the first seconds of an upload, or at any byte of it."""
    lane = rng.choice(["to_modem", "to_modem", "to_chip"])
    byte = rng.randrange(300, 40_000) if lane == "to_modem" else rng.randrange(700, 4_000)
    kind = rng.randrange(5)
    if kind == 0:
        chance = 10 ** rng.uniform(-5.5, -3.5)
        return {"when": {"lane": lane, "chance": chance}, "do": rng.choice(["drop", "double", "flip"])}
    if kind == 1:
        do = rng.choice(["drop", "double", "flip"])
        return {"when": {"lane": lane, "byte": byte}, "do": do, "count": rng.choice([1, 1, 2, 5, 40])}
    command = {"command": rng.choice(["AT+CIPSEND", "AT+CIPSTART", "AT+CIPCLOSE"]), "nth": rng.randrange(1, 8)}
    when = rng.choice([{"lane": lane, "byte": byte}, command, {"ms": rng.randrange(1_000, 12_000)}])
    do = rng.choice(_EVENTS)
    return {"when": when, **do}


_EVENTS: list[dict[str, Any]] = [
    {"do": "reset-modem"},
    {"do": "brown-out"},
    {"do": "lose-wifi", "for_ms": 2500},
    {"do": "lose-wifi", "for_ms": 15000},
    {"do": "close-link", "link": 4},
    {"do": "close-link", "link": 4, "reset": True},
    {"do": "stall-modem", "ms": 4000},
    {"do": "busy-modem", "ms": 1500},
    {"do": "fail-send"},
    {"do": "stall-card", "ms": 400},
    {"do": "cut-power"},
    {"do": "cut-power"},
]


def _plant(rng: random.Random, outbox: Path, count: int) -> dict[str, bytes]:
    """Pictures of an earlier day: name -> content."""
    outbox.mkdir()
    with Image.open(PICTURES / "chelsea.jpg") as source:
        for i in range(count):
            out = io.BytesIO()
            source.convert("RGB").resize((320, 240)).save(out, "JPEG", quality=40 + 3 * i + rng.randrange(3))
            (outbox / f"s{i + 1:07}.jpg").write_bytes(out.getvalue())
    (outbox / "number").write_bytes(b"%07d\n" % count)
    return {file.name: file.read_bytes() for file in outbox.glob("*.jpg")}


def _scenes(root: Path, rng: random.Random, start: int) -> Path:
    """Views that the camera has never had before: equal pictures would be kept once, and that is right."""
    folder = root / f"scenes{start}"
    folder.mkdir()
    with Image.open(PICTURES / "coffee.jpg") as source:
        wide = source.convert("RGB").resize((500, 340))
    x, y = rng.randrange(20), 9 * start
    for i in range(24):
        wide.crop((x + 6 * i, y, x + 6 * i + 320, y + 240)).save(folder / f"v{i:02}.bmp")
    return folder


def _look(outbox: Path, known: dict[str, bytes], outcome: Outcome) -> None:
    """Every picture that is in the outbox between two starts must be whole, and stay what it was."""
    for file in outbox.glob("*.jpg"):
        data = file.read_bytes()
        if known.setdefault(file.name, data) != data:
            outcome.wrong.append(f"{file.name} changed in the outbox")
        if not _is_whole(data):
            outcome.wrong.append(f"{file.name} is torn in the outbox")


def _is_whole(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except (OSError, SyntaxError):
        return False
    return data[-2:] == b"\xff\xd9"


def _judge(names: set[str], known: dict[str, bytes], stored: dict[str, bytes], outcome: Outcome) -> None:
    here = Counter(path.partition("/")[2] for path in stored)
    for name, count in here.items():
        if name not in names:
            outcome.wrong.append(f"the receiver has {name}, which nobody took")
        elif count > 1:
            outcome.wrong.append(f"{name} is kept {count} times")
    for name in sorted(names - set(here)):
        outcome.wrong.append(f"{name} is lost")
    for path, data in stored.items():
        name = path.partition("/")[2]
        if not _is_whole(data):
            outcome.wrong.append(f"{name} is torn at the receiver")
        elif known.get(name, data) != data:
            outcome.wrong.append(f"{name} differs at the receiver")
    digests = Counter(hashlib.sha256(data).hexdigest() for data in stored.values())
    if any(count > 1 for count in digests.values()):
        outcome.wrong.append("a picture is kept twice")


def main() -> int:
    """Run them all; 1 when anything was lost, doubled or damaged."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    options = parser.parse_args()
    faults: Counter[str] = Counter()
    pictures = starts = kills = bad = 0
    began = time.monotonic()

    def run(seed: int) -> Outcome:
        with tempfile.TemporaryDirectory(prefix=f"soak{seed}-") as root:
            try:
                return one_run(seed, Path(root))
            except Exception as error:  # noqa: BLE001 - reported with its seed
                return Outcome(seed, wrong=[f"{type(error).__name__}: {error}"])

    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(run, range(options.first, options.first + options.runs)):
            faults += outcome.faults
            pictures += outcome.pictures
            starts += outcome.starts
            kills += outcome.kills
            if outcome.wrong:
                bad += 1
                print(f"seed {outcome.seed}: {'; '.join(outcome.wrong)}\n{outcome.console}", flush=True)
    print(
        f"{options.runs} runs, {starts} starts, {kills} kills of the companion, {time.monotonic() - began:.0f} s (host)"
    )
    print(", ".join(f"{what} {count}" for what, count in sorted(faults.items())))
    print(f"{pictures} pictures; {bad} runs with a picture lost, doubled or damaged")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
