"""Does the receive ring stay whole? The modem brought up and given up again and again in one run of the interpreter.

    python -m benchmarks.bring_ups [--runs 200] [--firmware maixpy.bin] [--at 1.1]

Nine of ten modems are given up when they are ready, because no network is set; each tenth joins. Between two bring-ups
the heap is stirred as apps do: what they keep changes size and place, and the block for a picture is used and set aside
again. Told are the ring that each modem got, what the heap has free then, the picture's block included, and its longest
free block. Exit code 1 when a ring was smaller than it should be, or a picture would no longer fit. Without
`--firmware` the hosted engine runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from maixpix.paths import board_files
from maixpix.virtual.live import LiveBoard, LiveOptions

RING = 49152
PICTURE = 320 * 240 * 2

PROGRAM = """
import gc, uio, utime
import pix
from pix import config, wifi
from pix.station import Station
from pix.errors import PixError

def longest():
    low, high = 0, 400000
    while high - low > 256:
        size = (low + high) // 2
        try:
            uio.BytesIO(size).close()
            low = size
        except MemoryError:
            high = size
    return low

settings = config.load()
networks = settings.wifi
keep = []
for number in range({runs}):
    modem = None
    keep.append(bytearray(300 + number * 97 % 2900))
    if len(keep) > 12:
        del keep[number * 5 % 12]
    pix.hand_over(pix.PICTURE)
    uio.BytesIO(pix.PICTURE).close()
    pix.set_aside(pix.PICTURE)
    settings.wifi = [] if number % 10 else networks
    station = Station(wifi.modem_of(settings), settings)
    try:
        station.start()
        state = "ok"
    except PixError as error:
        state = "given-up" if error.code == "settings" else error.code
    ring = station.modem.ring
    station = None
    gc.collect()
    pix.hand_over(pix.PICTURE)
    print("up", number + 1, ring, state, gc.mem_free(), longest())
    pix.set_aside(pix.PICTURE)
"""


def board_says(runs: int, at: str, firmware: Path | None, pix: Path) -> tuple[list[list[str]], str]:
    """The words of each bring-up that the board tells, and its traceback, "" when there is none."""
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder)
        shutil.copytree(pix, card / "pix", ignore=shutil.ignore_patterns("__pycache__"))
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]]}))
        live = LiveBoard(LiveOptions("k210" if firmware else "hosted", firmware, card=card, at=at, paced=False))
        said: list[bytes] = []
        try:
            error = live.execute(PROGRAM.format(runs=runs).encode(), said.append)
        finally:
            live.close()
    lines = b"".join(said).decode("ascii", "replace").splitlines()
    return [line.split()[1:] for line in lines if line.startswith("up ")], error


def main() -> int:
    """Print the table; 1 when a ring or the picture's block was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--firmware", type=Path)
    parser.add_argument("--at", default="1.1")
    parser.add_argument("--pix", type=Path, default=board_files() / "firmware" / "pix", help="another folder of pix")
    options = parser.parse_args()
    began = time.process_time()
    rows, error = board_says(options.runs, options.at, options.firmware, options.pix)
    print(f"{'bring-up':>8} {'ring':>6} {'modem':>10} {'free':>7} {'longest free':>13}")
    for number, ring, state, free, longest in rows:
        if int(number) % 20 == 1 or number == str(options.runs) or int(ring) < RING:
            print(f"{number:>8} {ring:>6} {state:>10} {free:>7} {longest:>13}")
    small = sum(int(row[1]) < RING for row in rows)
    lost = sum(int(row[4]) < PICTURE for row in rows)
    print(
        f"{len(rows)} bring-ups, AT {options.at}, {'k210' if options.firmware else 'hosted'}: {small} with a smaller "
        f"ring, {lost} without room for a picture; {time.process_time() - began:.0f} s of processor time"
    )
    if error:
        print(error, file=sys.stderr)
    return 1 if error or small or lost or len(rows) < options.runs else 0


if __name__ == "__main__":
    sys.exit(main())
