"""A picture frame on a shelf: 90 virtual days, a new picture every hour, something wrong every three.

    python -m benchmarks.frame_years [--days 90] [--seed 1] [--quiet-days 7] [--drift 40] [--firmware maixpy.bin]

The hosted engine plays `apps/frame.py` on one card, from one start to the next: network, server, module, line, card and
power fail as `benchmarks.frame_world` has it, and in the middle of it all the network is away for `--quiet-days`, with
the power cut daily. The idle board looks at its key every 5 s instead of every 75 ms, which saves the host most of its
work; nothing else is changed. With `--firmware` the emulated chip runs that MaixPy, and `frame` as `maixpix deploy`
puts it onto a card, byte code; `--limit` ends it after so many seconds of processor time.

Every picture that the panel shows must be one that the server has published, whole. Told are wrong
pictures, the heap in use behind a collection (first and last day; of the chip what the board tells of its free heap,
with whatever garbage there is), host objects, what the card holds and what was
written to it, the worst recovery (from the end of a trouble to the next answer that was as it should be; of it up to
`LIST_S` are the pace of asking), and how far off a clock was that the board was sure of: told to the server, and shown
on the panel, where seconds cannot be seen, so what counts is how far away the minute is that it shows. The board's
crystal is `--drift` millionths slow. Exit code 1 when a picture was wrong, the heap grew, the card went beyond its
bounds, or a clock was off by more than a minute (on the panel: half of one).
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks.frame_world import EPOCH, HOUR, SERVER, ZONE_MIN, World, break_something, number_on  # noqa: E402
from maixpix.board import bundle, install  # noqa: E402
from maixpix.board.places import FolderPlace  # noqa: E402
from rig.panel_text import read  # noqa: E402
from virtualboard.board import Board, BoardConfig  # noqa: E402
from virtualboard.clock import SECOND  # noqa: E402
from virtualboard.engine import HOSTED, K210, EngineOptions, put_part  # noqa: E402
from virtualboard.hosted import loader  # noqa: E402
from virtualboard.program import Program  # noqa: E402
from virtualboard.running import RunningBoard  # noqa: E402

DAY = 24 * HOUR
FAULT_S, SHOW_S, LIST_S = 3 * HOUR, 1800, 1800
CACHE_FILES, CACHE_KB = 20, 400

_HEAP_SLACK = 16 * 1024
"""Bytes by which the heap behind a collection may differ from day to day: what lies on the stack is not collected."""

_GARBAGE = 48 * 1024
"""The same for the free heap that a board tells of: what was not collected yet is 16 kB of it (pix.shrink_ring)."""

_CLOCK = (8, 8, 56, 20)
"""Where the panel has "12:34" or "~12:34"."""

_LOOKS = (("easel", "_SLICE_MS", 75), ("easel", "_REST_MS", 975), ("webrun", "_SLICE_MS", 50))
"""How long the idle board sleeps between two looks."""

_compile_once = lru_cache(maxsize=256)(loader.compiled)


@dataclass
class Shelf:
    """What was seen."""

    world: World
    card: Path
    firmware: Path | None = None
    flash: bytes = b""
    """The chip's, from one start to the next."""

    modem_flash: object = None
    """The module's: it remembers its network."""

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
    clock_off: float = 0.0
    """Seconds from the minute that a panel showed, without "~", to the time that it was."""

    quiet_clock_off: float = 0.0
    """The same after a day without a network."""

    clocks: int = 0
    """Panels whose clock was compared after a day without a network."""

    free: list[list[int]] = field(default_factory=list)
    """Free heap, as the board tells it, by start."""

    failed: list[str] = field(default_factory=list)
    """What the console said around the ends of the chip's app, which is started again then."""

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
        self.compare_clock(board)
        if self.firmware is None:
            self.look_at_card()

    def compare_clock(self, board: Board) -> None:
        """What the panel's clock shows, against the time that it is."""
        lines = read(board.panel.image().convert("RGB").crop(_CLOCK))
        found = re.match(r"(\d\d):(\d\d)", lines[0].text) if lines else None
        if found is None:
            return
        second = (EPOCH + self.world.now + 60 * ZONE_MIN) % DAY
        ahead = (60 * (60 * int(found[1]) + int(found[2])) - second) % DAY
        # The minute that it shows begins in `ahead` seconds, and has ended so many ago.
        off = 0.0 if ahead >= DAY - 60 else min(ahead, DAY - 60 - ahead)
        self.clock_off = max(self.clock_off, off)
        if self.world.now - self.world.last_good > 20 * HOUR:
            self.clocks += 1
            self.quiet_clock_off = max(self.quiet_clock_off, off)

    def look_at_card(self) -> None:
        """What the card holds; the chip's is in the folder when the power is off only."""
        pictures = list((self.card / "frame").glob("*.jpg"))
        self.files_most = max(self.files_most, len(pictures))
        self.card_most = max(self.card_most, sum(file.stat().st_size for file in pictures))


def prepare(folder: Path, deployed: bool = False) -> Path:
    """A card with the device code and the settings; `deployed` as `maixpix deploy` leaves it."""
    settings = {
        "wifi": [["home", "correct horse"]], "server": f"http://{SERVER}", "name": "shelf", "interval_s": SHOW_S,
        "list_s": LIST_S, "cache_files": CACHE_FILES, "cache_kb": CACHE_KB, "overlay": "clock caption",
        "schedule": "* 23,0-4 * off", "app": "frame", "portal_s": 30,
    }  # fmt: skip
    (folder / "pix.json").write_text(json.dumps(settings))
    tree = folder
    if deployed:
        scratch = tempfile.TemporaryDirectory(prefix="tree-")
        tree = Path(scratch.name)
    for part, there in (("firmware", "firmware") if deployed else ("firmware/pix", "pix"), ("apps", "apps")):
        shutil.copytree(ROOT / part, tree / there, ignore=shutil.ignore_patterns("__pycache__"))
    for module, name, short in _LOOKS:
        file = next(tree.rglob(f"pix/{module}.py"))
        text = file.read_text()
        assert f"{name} = const({short})" in text
        file.write_text(text.replace(f"{name} = const({short})", f"{name} = const(5000)"))
    if deployed:
        install.install(FolderPlace(folder), bundle.build(tree, mpy=True))
        scratch.cleanup()
    return folder


def live(
    days: float, seed: int, quiet_days: float, card: Path, every_day: bool = False, drift_ppm: int = 0,
    firmware: Path | None = None, limit_s: float = 0, cuts: float = 0.125,
) -> Shelf:  # fmt: skip
    """Play `days` of it on the folder `card`, at most `limit_s` seconds of processor time unless that is 0. `cuts` is
    the share of faults that are power cuts while the network is away; the others do not happen then."""
    loader.compiled = _compile_once
    gc.collect()
    gc.freeze()  # the board's gc.collect() is a real one
    rng = random.Random(seed)
    world = World(seed, drift_ppm)
    shelf = Shelf(world, prepare(card, firmware is not None), firmware)
    quiet = (days * DAY / 2, days * DAY / 2 + quiet_days * DAY)
    plan = sorted([n * FAULT_S + rng.uniform(0, FAULT_S) for n in range(int(days * DAY / FAULT_S))])
    began = time.process_time()
    while world.now < days * DAY and not (limit_s and time.process_time() - began > limit_s):
        ended = _start(shelf, rng, plan, quiet, days * DAY, began + limit_s if limit_s else 0, cuts)
        shelf.starts[ended] += 1
        if every_day:
            print(
                f"day {world.now / DAY:6.2f}: {sum(shelf.starts.values())} starts, {shelf.shown} shown, "
                f"{len(shelf.wrong)} wrong, {shelf.card_written >> 20} MB written, "
                f"{time.process_time() - began:.0f} s of processor time",
                flush=True,
            )
    return shelf


def _start(
    shelf: Shelf,
    rng: random.Random,
    plan: list[float],
    quiet: tuple[float, float],
    end_s: float,
    last_s: float,
    cuts: float,
) -> str:
    """One start of the board, to its end."""
    world = shelf.world
    config = BoardConfig(card=str(shelf.card), seed=rng.randrange(1 << 30))
    board = Board(config)
    board.network.listen_on = None  # the portal and its ports are nobody's on this machine
    if shelf.modem_flash is not None:
        board.modem.flash = shelf.modem_flash  # type: ignore[assignment]
    shelf.modem_flash = board.modem.flash
    world.board = None
    now = world.started
    world.join(board)
    clock = board.clock
    was_quiet = quiet[0] <= now < quiet[1]
    if was_quiet:
        _hush(world)
    for at, change in zip(quiet, (_hush, _unhush), strict=True):
        if at > now and quiet[0] < quiet[1]:
            clock.at(world.tick(at), lambda change=change: change(world))

    def fault() -> None:
        while plan and plan[0] <= world.now + 0.001:  # an alarm's time is rounded
            del plan[0]
            if world.mode != "quiet":
                shelf.faults[break_something(world, rng).split(" for ")[0]] += 1
            elif rng.random() < cuts:
                shelf.faults["power cut without a network"] += 1
                board.cut_power()
        if plan:
            clock.at(world.tick(plan[0]), fault)

    clock.at(world.tick(plan[0]) if plan else 0, fault)
    printed = bytearray()

    def hear(_when: int, data: bytes) -> None:
        printed.extend(data)
        if len(printed) > 40_000:
            del printed[:20_000]
        if data.endswith(b"\n") and b"shown " in printed[printed.rfind(b"\n", 0, len(printed) - 1) + 1 :]:
            shelf.look(board)

    world.free = []
    shelf.free.append(world.free)
    error = ""
    try:
        if shelf.firmware is None:
            running = RunningBoard(board, EngineOptions(HOSTED, repl=False))
            # The interpreter makes its heap when it starts.
            clock.at(SECOND, lambda: _watch_heap(shelf, running.engine.machine.chip.heap))
            program = Program.of(shelf.card / "apps" / "frame.py")
            running.run_program(program, hear, max(1, world.tick(end_s)))
            error = running.engine.error
        else:
            put_part(board.flash, 0, shelf.firmware.read_bytes(), program=True)
            if shelf.flash:
                board.flash.data[:] = shelf.flash
            running = RunningBoard(board, EngineOptions(K210))
            running.console.listen(hear)
            running.console.listen(_Ends(shelf).hear)
            clock.at(max(1, world.tick(end_s)), lambda: running.end("time limit"))

            def hurry() -> None:
                if last_s and time.process_time() > last_s:
                    running.end("time limit")
                free = f", {world.free[-1] >> 10} kB free" if world.free else ""
                print(f"day {world.now / DAY:6.2f}: {shelf.shown} shown, {len(shelf.wrong)} wrong{free}", flush=True)
                clock.after(600 * SECOND, hurry)

            hurry()
            running.run()
            shelf.flash = bytes(board.flash.data)
            shelf.starts["reset"] += running.report()["resets"]
        ended = running.engine.ended
    finally:
        board.power_off()
    shelf.look_at_card()
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


class _Ends:
    """Hears the console for apps that end."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._said = b""

    def hear(self, _when: int, data: bytes) -> None:
        self._said = (self._said + data)[-1500:]
        if b"frame starts again in " in self._said:
            said = self._said.decode("utf-8", "replace").replace("\r\n", "\n")
            self._shelf.failed.append(f"day {self._shelf.world.now / DAY:.2f}: {said[-700:]}")
            self._said = b""


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
    longest = max(shelf.free, key=len, default=[])
    third = len(longest) // 3
    if shelf.firmware is not None and third and min(longest[-third:]) < min(longest[:third]) - _GARBAGE:
        wrong.append("the free heap shrank")
    wrong += [f"the app ended: {said}" for said in shelf.failed if "no-card" not in said and "card-error" not in said]
    if shelf.files_most > CACHE_FILES or shelf.card_most > CACHE_KB << 10:
        wrong.append("the card holds more than it may")
    if max(shelf.world.clock_off, shelf.world.offline_clock_off) > 60:
        wrong.append("a clock was off by more than a minute")
    if max(shelf.clock_off, shelf.quiet_clock_off) > 30:
        wrong.append("the panel showed another minute")
    return wrong


def report(shelf: Shelf, days: float) -> None:
    """The table."""
    world = shelf.world
    heap = [shelf.heap[day] >> 10 for day in sorted(shelf.heap)] or [0]
    objects = [shelf.objects[day] for day in sorted(shelf.objects)] or [0]
    worst = sorted(world.recoveries, reverse=True)[:3]
    played = f"{world.now / HOUR:.1f} hours, chip" if shelf.firmware is not None else f"{days:g} virtual days, hosted"
    print(f"{played}; a picture every {SHOW_S} s from 5 to 23 o'clock, the list every {LIST_S} s")
    print(f"starts: {dict(shelf.starts)}")
    print(f"faults: {sum(shelf.faults.values())}: {dict(sorted(shelf.faults.items()))}")
    print(f"requests: {dict(world.asked)}")
    print(f"shown: {shelf.shown} pictures, without a network {len(shelf.quiet_shown)} different ones")
    if shelf.firmware is None:
        print(f"heap behind a collection: first day {heap[0]} kB, last day {heap[-1]} kB, most {max(heap)} kB")
        print(f"host objects: first day {objects[0]}, last day {objects[-1]}")
    else:
        free = [bytes_ >> 10 for bytes_ in max(shelf.free, key=len, default=[])] or [0]
        print(
            f"free heap, of the start with most requests ({len(free)}): first {free[0]} kB, last {free[-1]} kB, least "
            f"{min(free)} kB; the app ended {len(shelf.failed)} times"
        )
    print(
        f"card: at most {shelf.files_most} pictures, {shelf.card_most >> 10} kB; "
        f"written {shelf.card_written >> 10} kB, of which the board counted {shelf.told_written >> 10} kB of files"
    )
    print("worst recoveries: " + "; ".join(f"{seconds:.0f} s after {what}" for seconds, what in worst))
    print(f"clock: off by {world.clock_off} s at most, {world.offline_clock_off} s after a day offline")
    print(
        f"minute on the panel: off by {shelf.clock_off:.0f} s at most, "
        f"{shelf.quiet_clock_off:.0f} s after a day offline ({shelf.clocks} looks)"
    )


def main() -> int:
    """Print the table; 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=float, default=90)
    parser.add_argument("--quiet-days", type=float, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--drift", type=int, default=40, help="millionths by which the board's crystal is slow")
    parser.add_argument("--firmware", type=Path, help="play the emulated chip with this MaixPy")
    parser.add_argument("--limit", type=float, default=0, help="seconds of processor time, 0 without limit")
    parser.add_argument("--console", action="store_true", help="print the end of the last start's console")
    options = parser.parse_args()
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="shelf-") as folder:
        shelf = live(
            options.days, options.seed, options.quiet_days, Path(folder), True, options.drift, options.firmware,
            options.limit,
        )  # fmt: skip
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
