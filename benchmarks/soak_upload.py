"""Pictures on their way out while everything breaks: none may be lost, doubled or damaged.

    python -m benchmarks.soak_upload [--runs 500] [--first 0] [--jobs 8]

A run is one card, one receiver and up to five starts of the board with `apps/snap.py`, all from one seed: pictures of
an earlier day wait in the outbox, some of them large, new ones are taken; bytes on the line are dropped, doubled and
flipped, links, module and access point are lost, the card stalls and fills up, the power is cut, the board reset, the
companion killed and started again. The last start is undisturbed. Every picture is recorded as it is committed to the
outbox.

With the doors `http://` and `tcp+name://`, in the end every picture that ever was must be at the receiver, exactly once
and byte for byte, and the outbox empty. Plain `tcp://` has no proof. What holds there: every picture is at the receiver
or still on the card (outbox or /sd/sent), intact, and nothing else is at the receiver; only where a byte was changed on
its way to the module may the receiver also have a damaged one, and only then, or when the companion was killed with a
file in its hands, may a picture be on the card alone. Where bytes were changed, a picture's name may have suffered at
every door: the proof is of its content.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import multiprocessing
import random
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.upload_receiver import Nursery, Receiver
from benchmarks.upload_station import KEY, TOKEN, Played, digest, is_whole, make_card, plant, play, scenes
from virtualboard.board import Board, BoardConfig, WifiNetwork
from virtualboard.clock import MS

MAX_STARTS = 5
_HANGS_S = 600
"""Host seconds after which a run is taken for hung: the process tells where it is and ends."""


@dataclass
class Outcome:
    """What a run showed. `wrong` is empty when all is well. `digests` has every picture there ever was by its name."""

    seed: int
    door: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    console: str = ""

    def commit(self, name: str, data: bytes) -> None:
        """A picture got its name on the card."""
        if name in self.digests:
            self.wrong.append(f"the name {name} was given twice")
        if not is_whole(data):
            self.wrong.append(f"{name} is no whole picture")
        self.digests[name] = digest(data)


def one_run(seed: int, root: Path, nursery: Nursery) -> Outcome:
    """The run of `seed` below the empty folder `root`."""
    rng = random.Random(seed)
    outcome = Outcome(seed, rng.choices(["http", "tcp+name", "tcp"], [65, 18, 17])[0])
    card = make_card(root / "card")
    planted = rng.randrange(4)
    large = min(planted, rng.choice([0, 0, 0, 1, 2]))
    for name, data in plant(card / "outbox", planted, rng.randrange(40, 43), large).items():
        outcome.commit(name, data)
    outcome.counts["large pictures"] += large
    receiver = Receiver(nursery, root, None if outcome.door == "tcp" else TOKEN)
    receiver.start()
    try:
        starts = rng.randrange(1, MAX_STARTS)
        for start in range(starts + 1):
            _start(rng, root, card, receiver, outcome, start, start == starts)
        if outcome.door == "tcp":
            _let_it_store(outcome, receiver)
        stored = receiver.stored()
    finally:
        receiver.kill()
    outcome.counts["pictures"] = len(outcome.digests)
    outbox, sent = _pictures(card / "outbox"), _pictures(card / "sent")
    if outcome.door == "tcp":
        judge_unproven(outcome, stored, {**sent, **outbox})
    else:
        judge(outcome, stored)
        outcome.wrong += [f"{name} still waits" for name in outbox]
        outcome.wrong += [f"{name} was taken for not proven" for name in sent]
    return outcome


def _let_it_store(outcome: Outcome, receiver: Receiver) -> None:
    """Nobody is told when plain tcp:// is on the disk: give a busy machine time for the last one."""
    end = time.monotonic() + (1 if excused(outcome) else 30)
    while set(outcome.digests.values()) - set(map(digest, receiver.stored().values())) and time.monotonic() < end:
        time.sleep(0.02)


def _start(
    rng: random.Random, root: Path, card: Path, receiver: Receiver, outcome: Outcome, start: int, last: bool
) -> None:
    door = outcome.door
    port = f"http://pc:{receiver.port}/files/" if door == "http" else f"{door}://pc:{receiver.tcp_port}"
    vga = rng.random() < 0.12
    settings: dict[str, Any] = {
        "wifi": [["home", KEY]],
        "upload": port,
        "token": "" if door == "tcp" else TOKEN,
        "snaps": rng.randrange(1, 4),
        "snap_s": 1,
        "burst": rng.randrange(1, 3),
        "colour": "on" if vga else rng.choice(["on", "off"]),
        "frame": "VGA" if vga else "QVGA",
        "quality": rng.randrange(80, 96) if vga else rng.randrange(20, 90),
    }
    (card / "pix.json").write_text(json.dumps(settings))
    config = BoardConfig(
        at=rng.choice(["1.1", "1.6", "1.7.4"]),
        card=str(card),
        camera=str(scenes(root / f"scenes{start}", start, rng.randrange(20))),
        wifi=[WifiNetwork("home", KEY)],
        names={"pc": "127.0.0.1"},
        seed=rng.randrange(1 << 30),
    )
    end_ms = 900_000
    troubles: list[Any] = []
    if not last:
        # Without a proof a card that fills up and a file that arrives damaged together may cost a picture.
        fills = rng.random() < 0.15
        calm = fills and door == "tcp"
        config.faults = [_fault(rng, calm) for _ in range(rng.randrange(1, 5))]
        if fills:
            config.faults.append(_fill(rng))
        if rng.random() < 0.3:
            end_ms = rng.randrange(3_000, 14_000)  # the board is reset
        if rng.random() < 0.35 and not calm:
            troubles.append((rng.choice(["byte", "ms"]), rng.randrange(600, 60_000), rng.randrange(100, 8_000)))
    notes = [note for note in (card / "outbox").glob("*.^jp") if b"\npart\n" in note.read_bytes()]
    outcome.counts["uploads begun before the start"] += len(notes)

    def prepare(board: Board) -> None:
        for kind, when, down_ms in troubles:
            _arm_kill(board, receiver, kind, when, down_ms)

    played = play(config, "snap", end_ms, outcome.commit, prepare)
    receiver.start()
    _account(outcome, played, start)
    outcome.counts["VGA starts"] += vga
    outcome.counts["kills of the companion"] += receiver.kills
    receiver.kills = 0
    if last and "\ndone, " not in played.console:
        outcome.wrong.append("the undisturbed start did not end well")
    _look(card / "outbox", outcome)


def _account(outcome: Outcome, played: Played, start: int) -> None:
    outcome.console += f"\n--- start {start}, {', '.join(played.faults)}\n{played.console}"
    for what in played.faults:
        lane = re.search(r" byte \d+ of (\w+)", what)
        outcome.faults[what.partition(" ")[0]] += 1
        if lane is not None and lane[1] == "to_modem":
            outcome.counts["bytes changed on the way out"] += 1
    outcome.counts["starts"] += 1
    outcome.counts["starts cut short"] += played.ended != "finished"
    for method, count in played.requests.items():
        outcome.counts[method] += count
    said = re.findall(r"^taken (\S+) \d+ bytes$", played.console, re.M)
    outcome.wrong += [f"{name} was told, but is not on the card" for name in said if name not in outcome.digests]


def _arm_kill(board: Board, receiver: Receiver, kind: str, when: int, down_ms: int) -> None:
    """Kill the companion once byte `when` has gone to the module, or at a fifth of `when` in ms, for `down_ms`."""

    def kill() -> None:
        receiver.kill()
        receiver.kills += 1
        board.clock.after(down_ms * MS, receiver.start)

    if kind == "byte":
        board.to_modem.at_byte(when, kill)
    else:
        board.clock.at(when // 5 * MS, kill)


def _fault(rng: random.Random, calm: bool) -> dict[str, Any]:
    """Something that goes wrong in the first seconds of an upload, or at any byte of it; `calm`: no byte changes."""
    lane = rng.choice(["to_modem", "to_modem", "to_chip"])
    byte = (
        rng.randrange(300, rng.choice([20_000, 40_000, 300_000])) if lane == "to_modem" else rng.randrange(700, 4_000)
    )
    kind = rng.randrange(2 if calm else 0, 5)
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


def _fill(rng: random.Random) -> dict[str, Any]:
    return {"when": {"ms": rng.randrange(500, 8_000)}, "do": "fill-card", "leave": rng.choice(_LEAVE)}


_LEAVE = (0, 40_000, 150_000, 1_000_000, 1_300_000)
"""Bytes that a full card has left; snap wants 1 MB free for a new picture."""

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


def _pictures(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.jpg"))}


def _look(outbox: Path, outcome: Outcome) -> None:
    """Every picture that is in the outbox between two starts must be what it was when it got its name."""
    for name, data in _pictures(outbox).items():
        if outcome.digests.get(name) != digest(data):
            outcome.wrong.append(f"{name} changed in the outbox")


def judge(outcome: Outcome, stored: dict[str, bytes]) -> None:
    """Compare what a proving receiver has (day/name -> content) with every picture that ever was."""
    here = {path: path.partition("/")[2] for path in stored}
    names = {wanted: name for name, wanted in outcome.digests.items()}
    for path, name in here.items():
        right = names.get(digest(stored[path]), "")
        if right and right != name and outcome.counts["bytes changed on the way out"]:
            # Its name was damaged on the way; the proof is of the content.
            outcome.counts["kept under another name"] += 1
            here[path] = right
    for name, count in Counter(here.values()).items():
        if name not in outcome.digests:
            outcome.wrong.append(f"the receiver has {name}, which nobody took")
        elif count > 1:
            outcome.wrong.append(f"{name} is kept {count} times")
    outcome.wrong += [f"{name} is lost" for name in sorted(set(outcome.digests) - set(here.values()))]
    for path, data in stored.items():
        name = here[path]
        if not is_whole(data):
            outcome.wrong.append(f"{name} is torn at the receiver")
        elif outcome.digests.get(name, "") not in ("", digest(data)):
            outcome.wrong.append(f"{name} differs at the receiver")
    if max(Counter(map(digest, stored.values())).values(), default=0) > 1:
        outcome.wrong.append("a picture is kept twice")


def judge_unproven(outcome: Outcome, stored: dict[str, bytes], card: dict[str, bytes]) -> None:
    """The same for plain tcp://, where names do not travel; `card`: what the card still has, waiting or sent."""
    changed = outcome.counts["bytes changed on the way out"]
    there = Counter(map(digest, stored.values()))
    for data in set(there) - set(outcome.digests.values()):
        outcome.counts["damaged on the way, plain tcp"] += 1
        if not changed:
            outcome.wrong.append(f"the receiver has a file that nobody took ({data[:8]})")
    if max(there.values(), default=0) > 1:
        outcome.wrong.append("a picture is kept twice")
    for name, wanted in outcome.digests.items():
        if name in card and digest(card[name]) != wanted:
            outcome.wrong.append(f"{name} changed on the card")
        if wanted in there:
            continue
        if name not in card:
            outcome.wrong.append(f"{name} is lost")
        outcome.counts["on the card only, plain tcp"] += 1
        if not excused(outcome):
            outcome.wrong.append(f"{name} was taken for sent without a reason")


def excused(outcome: Outcome) -> bool:
    """Whether a picture may be on the card alone after plain tcp://."""
    return bool(outcome.counts["bytes changed on the way out"] or outcome.counts["kills of the companion"])


def _worker(job: tuple[int, int]) -> Outcome:
    """A run in a process of the pool."""
    seed, hangs_s = job
    faulthandler.dump_traceback_later(hangs_s, exit=True)
    global _nursery
    if _nursery is None:
        _nursery = Nursery()
        gc.freeze()  # the board's gc.collect() is a real one
    with tempfile.TemporaryDirectory(prefix=f"soak{seed}-") as root:
        try:
            return one_run(seed, Path(root), _nursery)
        except Exception as error:  # noqa: BLE001 - reported with its seed
            return Outcome(seed, wrong=[f"{type(error).__name__}: {error}"])
        finally:
            faulthandler.cancel_dump_traceback_later()


_nursery: Nursery | None = None


def main() -> int:
    """Run them all; 1 when anything was lost, doubled or damaged."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    parser.add_argument("--jobs", type=int, default=8, help="processes; runs mostly wait")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    doors: Counter[str] = Counter()
    bad = done = 0
    began = time.monotonic()
    seeds = range(options.first, options.first + options.runs)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for outcome in pool.map(_worker, [(seed, _HANGS_S) for seed in seeds]):
            done += 1
            total += outcome.counts
            faults += outcome.faults
            doors[outcome.door] += 1
            if outcome.wrong:
                bad += 1
                print(f"seed {outcome.seed}: {'; '.join(outcome.wrong)}\n{outcome.console}", flush=True)
            if done % 50 == 0 or done == options.runs:
                pace = f"{done} runs, {total['pictures']} pictures, {bad} runs wrong"
                print(f"{pace}, {time.monotonic() - began:.0f} s (host)", flush=True)
    rows = [("doors", doors), ("faults", faults), ("counts", total)]
    for title, row in rows:
        print(f"{title}: " + ", ".join(f"{what} {count}" for what, count in sorted(row.items())))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.0f} s of processor time, {options.jobs} processes at a time")
    print(f"{bad} of {options.runs} runs with a picture lost, doubled or damaged")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
