"""`maixpix fill` of 200 pictures and a model onto an empty folder, killed (kill -9) at many points.

    python -m benchmarks.fill_kills [--kills 40] [--pictures 200] [--seed 0]

Each run is a process of its own and killed once the card has got a few files further, at a moment drawn from the seed;
the first one before any is there. What has a final name after a kill
must be what it is in the end. Then the command completes, proves the card, and a third run transfers nothing.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

PLAN = """
panel = "32x24"
firmware = "minimum"
[[pictures]]
from = "holiday"
[[models]]
from = "face.kmodel"
"""

TIMEOUT_S = 120


@dataclass
class Found:
    """What came of it. `faults` must be empty; `seen` counts the files on the card after each kill."""

    kills: int
    seen: list[int]
    faults: list[str]
    files: int = 0
    third: str = ""


def main() -> int:
    """Run and print; 1 when anything happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), options.kills, options.pictures, options.seed)
    print(f"{found.kills} kills, files on the card after each: {' '.join(map(str, found.seen))}")
    print(f"then complete with {found.files} files; a third run: {found.third}")
    for fault in found.faults:
        print(fault)
    return int(bool(found.faults))


def run(root: Path, kills: int, pictures: int, seed: int) -> Found:
    """One card in `root`, filled through `kills` kills."""
    dice = random.Random(seed)
    card = root / "card"
    card.mkdir()
    command = [sys.executable, "-m", "maixpix", "fill", str(_plan(root, pictures, dice)), "--card", str(card)]
    found, kept = Found(0, [], []), {}
    for number in range(kills):
        wanted = pictures * number // kills + dice.randrange(2)
        pause_s = dice.random() * 0.02
        if not _killed(command, lambda wanted=wanted: len(_names(card)) >= wanted, pause_s):
            found.faults.append(f"kill {number}: the run had ended before")
            continue
        found.kills += 1
        names = _names(card)
        found.seen.append(len(names))
        for name in names:
            content = (card / name).read_bytes()
            if kept.setdefault(name, content) != content:
                found.faults.append(f"kill {number}: {name} has changed")
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        found.faults.append(f"it does not complete: {done.stderr.strip()}")
        return found
    found.files = len(_names(card))
    if found.files != pictures + 1:
        found.faults.append(f"{found.files} files instead of {pictures + 1}")
    changed = [name for name, content in kept.items() if (card / name).read_bytes() != content]
    found.faults += [f"{name} was not whole after a kill" for name in changed]
    before = {name: (card / name).stat().st_mtime_ns for name in _names(card)}
    third = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    found.third = (third.stdout.strip().splitlines() or [third.stderr.strip()])[-1]
    if (
        third.returncode
        or re.search(r"[1-9]", found.third)
        or before != {name: (card / name).stat().st_mtime_ns for name in before}
    ):
        found.faults.append("the third run transferred something")
    return found


def _killed(command: list[str], is_due: Callable[[], bool], pause_s: float) -> bool:
    """Start it, and kill it `pause_s` behind the moment that is due; False when it had ended by itself."""
    # Niced, so that on a busy machine whoever watches does not miss half of it.
    nice = ["nice", "-n", "5"] if shutil.which("nice") else []
    process = subprocess.Popen([*nice, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + TIMEOUT_S
    while not is_due() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    time.sleep(pause_s)
    is_running = process.poll() is None
    process.kill()
    process.wait()
    return is_running


def _names(card: Path) -> list[str]:
    """Files that have their final names."""
    return [
        path.relative_to(card).as_posix() for path in card.rglob("*") if path.is_file() and path.name != "_fill.new"
    ]


def _plan(root: Path, pictures: int, dice: random.Random) -> Path:
    (root / "holiday").mkdir()
    for number in range(pictures):
        out = io.BytesIO()
        Image.frombytes("RGB", (48, 36), dice.randbytes(3 * 48 * 36)).save(out, "PNG")
        (root / "holiday" / f"Picture {number:04}.png").write_bytes(out.getvalue())
    heads = b"".join(struct.pack("<II", 1, 64) for _ in range(2))
    model = struct.pack("<7I", 3, 0, 0, 2, 0, 0, 1) + struct.pack("<II", 0, 4) + heads + bytes(128)
    (root / "face.kmodel").write_bytes(model)
    (root / "plan.toml").write_text(PLAN, "utf-8")
    return root / "plan.toml"


if __name__ == "__main__":
    sys.exit(main())
