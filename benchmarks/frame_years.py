"""A picture frame on a shelf: 90 virtual days, a new picture every hour, something wrong every three.

    python -m benchmarks.frame_years [--days 90] [--seed 1] [--quiet-days 7]

The hosted engine plays `apps/frame.py` on one card, from one start to the next: network, server, module, line, card and
power fail as `benchmarks.frame_world` has it, and in the middle of it all the network is away for `--quiet-days`, with
the power cut daily. The idle board looks at its key
every 5 s instead of every 75 ms, which saves the host most of its work; nothing else is changed.

Every picture that the panel shows must be one that the server has published, whole. Told are wrong
pictures, the heap in use behind a collection (first and last day), host objects, what the card holds and what was
written to it, the worst recovery (from the end of a trouble to the next answer that was as it should be; of it up to
`LIST_S` are the pace of asking), and how far off a clock was that the board was sure of. Exit code 1 when a picture was
wrong, the heap grew, the card went beyond its bounds, or a clock was off by more than a minute.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from benchmarks.frame_world import HOUR, SERVER, World, break_something, number_on
from virtualboard.board import Board, BoardConfig
from virtualboard.clock import SECOND
from virtualboard.engine import HOSTED, EngineOptions
from virtualboard.hosted import loader
from virtualboard.program import Program
from virtualboard.running import RunningBoard

ROOT = Path(__file__).resolve().parents[1]
DAY = 24 * HOUR
FAULT_S, SHOW_S, LIST_S = 3 * HOUR, 1800, 1800
CACHE_FILES, CACHE_KB = 20, 400

_HEAP_SLACK = 16 * 1024
"""Bytes by which the heap behind a collection may differ from day to day: what lies on the stack is not collected."""

_compile_once = lru_cache(maxsize=256)(loader.compiled)


@dataclass
class Shelf:
    """What was seen."""

    world: World
    card: Path
    shown: int = 0
    starts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    heap: dict[int, int] = field(default_factory=dict)
    """Most bytes in use behind a collection, by day."""
    objects: dict[int, int] = field(default_factory=dict)
    card_most: int = 0
    files_most: int = 0
    card_written: int = 0
    told_written: int = 0
    quiet_shown: set[int] = field(default_factory=set)
    console: str = ""

    def look(self, board: Board) -> None:
        """The board says that it shows a picture."""
        self.shown += 1
        number = number_on(board.panel.image().convert("RGB"))
        world = self.world
        if number is None or not world.published(number):
            self.wrong.append(f"day {world.now / DAY:.2f}: the panel shows {number}")
            board.panel.save(Path(tempfile.gettempdir()) / "wrong.png")
        elif world.mode == "quiet":
            self.quiet_shown.add(number)
        pictures = list((self.card / "frame").glob("*.jpg"))
        self.files_most = max(self.files_most, len(pictures))
        self.card_most = max(self.card_most, sum(file.stat().st_size for file in pictures))


def prepare(folder: Path) -> Path:
    """A card with the device code and the settings."""
    for part in ("firmware/pix", "apps"):
        shutil.copytree(ROOT / part, folder / Path(part).name, ignore=shutil.ignore_patterns("__pycache__"))
    for module, name, short in (("easel", "_SLICE_MS", 75), ("easel", "_REST_MS", 975), ("webrun", "_SLICE_MS", 50)):
        file = folder / "pix" / f"{module}.py"
        text = file.read_text()
        assert f"{name} = const({short})" in text
        file.write_text(text.replace(f"{name} = const({short})", f"{name} = const(5000)"))
    settings = {
        "wifi": [["home", "correct horse"]], "server": f"http://{SERVER}", "name": "shelf", "interval_s": SHOW_S,
        "list_s": LIST_S, "cache_files": CACHE_FILES, "cache_kb": CACHE_KB, "overlay": "clock caption",
        "schedule": "* 23,0-4 * off",
    }  # fmt: skip
    (folder / "pix.json").write_text(json.dumps(settings))
    return folder


def live(days: float, seed: int, quiet_days: float, card: Path, every_day: bool = False) -> Shelf:
    """Play `days` of it on the folder `card`."""
    loader.compiled = _compile_once
    gc.collect()
    gc.freeze()  # the board's gc.collect() is a real one
    rng = random.Random(seed)
    world = World(seed)
    shelf = Shelf(world, prepare(card))
    quiet = (days * DAY / 2, days * DAY / 2 + quiet_days * DAY)
    plan = sorted([n * FAULT_S + rng.uniform(0, FAULT_S) for n in range(int(days * DAY / FAULT_S))])
    began = time.process_time()
    while world.now < days * DAY:
        ended = _start(shelf, rng, plan, quiet, days * DAY)
        shelf.starts[ended] += 1
        if every_day:
            print(
                f"day {world.now / DAY:6.2f}: {sum(shelf.starts.values())} starts, {shelf.shown} shown, "
                f"{len(shelf.wrong)} wrong, {shelf.card_written >> 20} MB written, "
                f"{time.process_time() - began:.0f} s of processor time",
                flush=True,
            )
    return shelf


def _start(shelf: Shelf, rng: random.Random, plan: list[float], quiet: tuple[float, float], end_s: float) -> str:
    """One start of the board, to its end."""
    world = shelf.world
    config = BoardConfig(card=str(shelf.card), seed=rng.randrange(1 << 30))
    board = Board(config)
    world.board = None
    now = world.started
    world.join(board)
    clock = board.clock
    was_quiet = quiet[0] <= now < quiet[1]
    if was_quiet:
        _hush(world)
    for at, change in zip(quiet, (_hush, _unhush), strict=True):
        if at > now and quiet[0] < quiet[1]:
            clock.at(round((at - now) * SECOND), lambda change=change: change(world))

    def fault() -> None:
        while plan and plan[0] <= world.now + 0.001:  # an alarm's time is rounded
            del plan[0]
            if world.mode != "quiet":
                shelf.faults[break_something(world, rng).split(" for ")[0]] += 1
            elif rng.random() < 0.125:
                shelf.faults["power cut without a network"] += 1
                board.cut_power()
        if plan:
            clock.at(round((plan[0] - world.started) * SECOND), fault)

    clock.at(0 if not plan else max(0, round((plan[0] - now) * SECOND)), fault)
    printed = bytearray()

    def hear(_when: int, data: bytes) -> None:
        printed.extend(data)
        if len(printed) > 40_000:
            del printed[:20_000]
        if data.endswith(b"\n") and b"shown " in printed[printed.rfind(b"\n", 0, len(printed) - 1) + 1 :]:
            shelf.look(board)

    try:
        running = RunningBoard(board, EngineOptions(HOSTED, repl=False))
        # The interpreter makes its heap when it starts.
        clock.at(SECOND, lambda: _watch_heap(shelf, running.engine.machine.chip.heap))
        program = Program.of(shelf.card / "apps" / "frame.py")
        running.run_program(program, hear, max(1, round((end_s - now) * SECOND)))
        ended = running.engine.ended
        error = running.engine.error
    finally:
        board.power_off()
    shelf.card_written += board.card.bytes_written
    if world.states and "writes" in world.states[-1][1]:
        shelf.told_written += int(world.states[-1][1]["writes"].partition("/")[2])
        world.states.clear()
    shelf.console = printed.decode("utf-8", "replace")
    if error:
        shelf.wrong.append(f"day {world.now / DAY:.2f}: the app ended with {error}")
    world.started = world.now + (rng.choice([2, 20, 300, 3600]) if ended == "power cut" else 1)
    world.board = None
    if world.mode != "quiet":
        world.mode = ""
        world.over(ended)
    return ended


def _hush(world: World) -> None:
    assert world.board is not None
    world.set_mode("quiet")
    world.board.modem.drop_wifi()


def _unhush(world: World) -> None:
    assert world.board is not None
    world.set_mode("")
    world.board.modem.restore_wifi()
    world.over("a week without a network")


def _watch_heap(shelf: Shelf, heap: object) -> None:
    """Note what is in use behind every collection that the device asks for."""
    collect = heap.collect  # type: ignore[attr-defined]

    def collected() -> None:
        collect()
        day = int(shelf.world.now // DAY)
        shelf.heap[day] = max(shelf.heap.get(day, 0), heap.used)  # type: ignore[attr-defined]
        if day not in shelf.objects:
            shelf.objects[day] = len(gc.get_objects())

    heap.collect = collected  # type: ignore[attr-defined]


def verdict(shelf: Shelf) -> list[str]:
    """What is not as it should be."""
    wrong = list(shelf.wrong)
    days = sorted(shelf.heap)
    if days and shelf.heap[days[-1]] > shelf.heap[days[0]] + _HEAP_SLACK:
        wrong.append("the heap grew")
    if shelf.files_most > CACHE_FILES or shelf.card_most > CACHE_KB << 10:
        wrong.append("the card holds more than it may")
    if max(shelf.world.clock_off, shelf.world.offline_clock_off) > 60:
        wrong.append("a clock was off by more than a minute")
    return wrong


def report(shelf: Shelf, days: float) -> None:
    """The table."""
    world = shelf.world
    heap = [shelf.heap[day] >> 10 for day in sorted(shelf.heap)] or [0]
    objects = [shelf.objects[day] for day in sorted(shelf.objects)] or [0]
    worst = sorted(world.recoveries, reverse=True)[:3]
    print(f"{days:g} virtual days, hosted; a picture every {SHOW_S} s from 5 to 23 o'clock, the list every {LIST_S} s")
    print(f"starts: {dict(shelf.starts)}")
    print(f"faults: {sum(shelf.faults.values())}: {dict(sorted(shelf.faults.items()))}")
    print(f"requests: {dict(world.asked)}")
    print(f"shown: {shelf.shown} pictures, without a network {len(shelf.quiet_shown)} different ones")
    print(f"heap behind a collection: first day {heap[0]} kB, last day {heap[-1]} kB, most {max(heap)} kB")
    print(f"host objects: first day {objects[0]}, last day {objects[-1]}")
    print(
        f"card: at most {shelf.files_most} pictures, {shelf.card_most >> 10} kB; "
        f"written {shelf.card_written >> 10} kB, of which the board counted {shelf.told_written >> 10} kB of files"
    )
    print("worst recoveries: " + "; ".join(f"{seconds:.0f} s after {what}" for seconds, what in worst))
    print(f"clock: off by {world.clock_off} s at most, {world.offline_clock_off} s after a day offline")


def main() -> int:
    """Print the table; 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=float, default=90)
    parser.add_argument("--quiet-days", type=float, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--console", action="store_true", help="print the end of the last start's console")
    options = parser.parse_args()
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="shelf-") as folder:
        shelf = live(options.days, options.seed, options.quiet_days, Path(folder), every_day=True)
    if options.console:
        print(shelf.console)
    report(shelf, options.days)
    print(f"{time.process_time() - began:.0f} s of processor time")
    wrong = verdict(shelf)
    for line in wrong[:20]:
        print("WRONG:", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
