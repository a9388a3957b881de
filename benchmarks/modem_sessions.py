"""Line noise between chip and module: each damaged session ends in success or in one of our own errors.

    python -m benchmarks.modem_sessions [--runs 100000] [--seed 0] [--jobs N] [--block N]

The device's own driver against the modem part over real lanes, without the rest of the board. A session is a fetch
that reads to the end, one that proves its bytes and closes, a pipelined upload with an answer, each by name, or the
whole way from the module's reset to its address. In each, bytes on either lane are dropped, doubled, or have one bit
flipped: first every byte of every kind of session in each of these ten ways, then seeded bursts and pairs of damage
(with fewer runs than that, a seeded sample of both).

What must hold: no exception but PixError; within 180 s of virtual time; no byte that is trusted or proven is missing,
doubled or elsewhere (the modem has no checksum: a flipped bit of a payload is for the digests above to find); and after
an error the next, undisturbed session is a success.

Sessions run in blocks of 100 on one board each; a failure tells its block, which `--block` runs alone.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.rig.modem_bench import FOR_EVER_MS, SERVER, Bench, Once
from virtualboard.clock import SECOND
from virtualboard.wire import Lane

PROFILES = ("1.1", "1.7.4", "1.7.4 passive", "1.7.4 changing")
"""With the way of receiving, where the module has two: active, passive, or the other one in each session."""
LANES = ("to_chip", "to_modem")
CHANGES = ("drop", "double", *(f"flip {bit}" for bit in range(8)))
BLOCK = 100
LONGEST_S = 180
"""Virtual seconds. The longest that the driver waits for one thing is 20 s (a join), and it starts over once."""

BODY = random.Random(7).randbytes(100)
FRAME = 34
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
PICTURE = random.Random(8).randbytes(90)
ANSWER = b"stored\n"
NAMES = {f"pc{number:02}.lan": SERVER for number in range(60)}
"""Many more than the driver remembers, so that each one is asked for, also after failures."""

_PATIENCE_MS = 3500  # for connecting and for each byte: what waits longer costs the benchmark most of its time
_BRING_UP_SHARE = 12
"""One in so many damages of a bring-up is tried: it is the longest session, and most of it is waiting."""


@dataclass(frozen=True)
class Damage:
    """What happens to byte `at` (from 0 over the session) of `lane`."""

    lane: str
    at: int
    change: str

    def spoil(self, byte: int) -> bytes:
        """What arrives instead of `byte`."""
        if self.change == "drop":
            return b""
        if self.change == "double":
            return bytes((byte, byte))
        return bytes((byte ^ 1 << int(self.change[5:]),))


@dataclass
class Ended:
    """How a session ended: "ok" or the error's code, what was wrong with that, and how long it took (virtual)."""

    code: str
    wrong: str = ""
    seconds: float = 0.0


@dataclass
class Tally:
    """What a block of sessions showed."""

    profile: str
    kind: str
    number: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Wrong(Exception):
    """A session took something for right that is not."""


class Sessions:
    """Sessions on one board whose modem is up. `baud` is the rate of the line; `prepare` is given the board before its
    modem is started. Raises what the driver raises when that fails; `bench` is the board then too."""

    def __init__(
        self, profile: str, baud: int = 1_000_000, prepare: Callable[[Bench], None] | None = None, seed: int = 0
    ) -> None:
        at, _, way = profile.partition(" ")
        self._passive = itertools.cycle({"": (False,), "passive": (True,), "changing": (False, True)}[way])
        self.bench = Bench(at, names=NAMES, allow=(), seed=seed)
        if prepare is not None:
            prepare(self.bench)
        self.modem = self.bench.bring_up(recover=True, baud=baud)
        self.bench.modem.frame_limit = FRAME
        self.bench.network.dns_fail_ns = SECOND
        self.heard: list[bytes] = []
        self.bench.serve(80, self._giver)
        self.bench.serve(81, self._taker)
        self.bench.serve(82, lambda: Once(BODY, close=False))
        self._hosts = itertools.cycle(NAMES)
        self._link: Any = None
        self._unseen = 0
        self.out = bytearray()

    def close(self) -> None:
        """End the board."""
        self.bench.close()

    def run(self, kind: str, damages: tuple[Damage, ...] = ()) -> Ended:
        """One session of `kind` with `damages`."""
        self._unseen = unseen(damages)
        lanes = [getattr(self.bench, name) for name in LANES]
        for name, lane in zip(LANES, lanes, strict=True):
            lane.mangle = mangler(lane, [damage for damage in damages if damage.lane == name])
        began = self.bench.clock.now
        ended = self.judged(kind)
        for lane in lanes:
            lane.mangle = None
        ended.seconds = (self.bench.clock.now - began) / SECOND
        if not ended.wrong and ended.seconds > LONGEST_S:
            ended.wrong = f"took {ended.seconds:.0f} s"
        if not ended.wrong and ended.code != "ok":
            self._unseen = 0
            again = self.judged("fetch")
            if again.code != "ok" or again.wrong:
                ended.wrong = f"{ended.code}, and the next session without damage: {again.wrong or again.code}"
        return ended

    def judged(self, kind: str) -> Ended:
        """One session of `kind` with whatever happens on the lanes."""
        code, wrong = "ok", ""
        self._link = None
        self.out.clear()
        try:
            KINDS[kind](self)
        except self.bench.PixError as error:
            code = error.code
        except Wrong as error:
            wrong = str(error)
        except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
            wrong = f"{type(error).__name__}: {error} {_where(error)}"
        link = self._link
        if link is not None:
            if not wrong and not self._in_place(self.out[: link.trusted]):
                wrong = f"{code}, but the bytes that are trusted are wrong"
            link.close()
        return Ended(code, wrong)

    def fetch(self) -> None:
        """Read to the orderly end. It may come early: HTTP compares the length."""
        self._connect(80).write(REQUEST)
        while self._read(len(BODY)):
            pass
        if not self._in_place(self.out):
            raise Wrong("an orderly end behind wrong bytes")

    def prove(self) -> None:
        """Read as many bytes as there are to come while the link stays open, and have them proven."""
        self._connect(82).write(REQUEST)
        while len(self.out) < len(BODY) and self._read(len(BODY) - len(self.out)):
            pass
        if len(self.out) == len(BODY):
            self._link.prove()
            if not self._in_place(self.out):
                raise Wrong("wrong bytes were proven")

    def upload(self) -> None:
        """Send in two writes; the server tells when it has all. Damage on the way to the module is the server's to
        find (digests), but not a byte more, less or elsewhere."""
        link = self._connect(81, pipelined=True)
        link.write(PICTURE[:40])
        link.write(PICTURE[40:])
        link.flush()
        said = bytearray()
        view = memoryview(bytearray(20))
        while count := link.readinto(view):
            said += view[:count]
        if said == ANSWER and len(b"".join(self.heard)) != len(PICTURE):
            raise Wrong("the server has another number of bytes")

    def bring_up(self) -> None:
        """From the module's reset to its address in the network."""
        self.modem.repair.start(False)

    def _in_place(self, data: bytes | bytearray) -> bool:
        """True when `data` begins the body, but for as many bytes as may be wrong without a trace."""
        return len(data) <= len(BODY) and sum(a != b for a, b in zip(data, BODY, strict=False)) <= self._unseen

    def _connect(self, port: int, pipelined: bool = False) -> Any:
        self.heard = []
        self.modem._pause_ms = FOR_EVER_MS if next(self._passive) else 0
        self._link = self.modem.connect(next(self._hosts), port, timeout_ms=_PATIENCE_MS, pipelined=pipelined)
        self._link.timeout_ms = _PATIENCE_MS
        return self._link

    def _read(self, most: int) -> int:
        view = memoryview(bytearray(most))
        count: int = self._link.readinto(view)
        self.out += view[:count]
        return count

    def _giver(self) -> Once:
        return Once(BODY, heard=self.heard)

    def _taker(self) -> Taker:
        return Taker(self.heard)


class Taker(Once):
    """Answers when as many bytes as the picture has are there, then closes."""

    def __init__(self, heard: list[bytes]) -> None:
        super().__init__(ANSWER, heard=heard)

    def received(self, data: bytes) -> None:
        if sum(map(len, self.heard)) + len(data) >= len(PICTURE):
            super().received(data)
        else:
            self.heard.append(bytes(data))


KINDS: dict[str, Callable[[Sessions], None]] = {
    "fetch": Sessions.fetch,
    "prove": Sessions.prove,
    "upload": Sessions.upload,
    "bring-up": Sessions.bring_up,
}


def unseen(damages: tuple[Damage, ...]) -> int:
    """How many bytes of the body may be wrong without a trace: those with a flipped bit, and, when one is lost and
    another doubled, all between them."""
    changes = [damage.change for damage in damages if damage.lane == "to_chip"]
    if "drop" in changes and "double" in changes:
        return len(BODY)
    return sum(change.startswith("flip") for change in changes)


def mangler(lane: Lane, damages: list[Damage]) -> Callable[[int, int], bytes] | None:
    """What `lane.mangle` must be for `damages` to happen in the session that begins now."""
    if not damages:
        return None
    base = lane.delivered
    where = {base + damage.at: damage for damage in damages}

    def mangle(index: int, byte: int) -> bytes:
        damage = where.get(index)
        return bytes((byte,)) if damage is None else damage.spoil(byte)

    return mangle


def lengths(profile: str, kind: str) -> dict[str, int]:
    """Bytes of a sound session on each lane."""
    sessions = Sessions(profile)
    lanes = {name: getattr(sessions.bench, name) for name in LANES}
    before = {name: lane.delivered for name, lane in lanes.items()}
    ended = sessions.run(kind)
    sessions.close()
    if ended.code != "ok" or ended.wrong:
        raise RuntimeError(f"{kind} on {profile} without any damage: {ended}")
    return {name: lane.delivered - before[name] for name, lane in lanes.items()}


def every_damage(lengths: dict[str, int]) -> list[Damage]:
    """Each byte in each way."""
    return [Damage(lane, at, change) for lane in LANES for at in range(lengths[lane]) for change in CHANGES]


def some_damages(rng: random.Random, lengths: dict[str, int]) -> tuple[Damage, ...]:
    """A burst, or two or three anywhere."""
    lane = rng.choice(LANES)
    if rng.random() < 0.5:
        first, count, change = rng.randrange(lengths[lane]), rng.randint(2, 40), rng.choice((*CHANGES, "drop", "any"))
        return tuple(
            Damage(lane, at, rng.choice(CHANGES) if change == "any" else change) for at in range(first, first + count)
        )
    lanes = [rng.choice(LANES) for _ in range(rng.randint(2, 3))]
    return tuple(Damage(lane, rng.randrange(lengths[lane]), rng.choice(CHANGES)) for lane in lanes)


def plan(runs: int, seed: int) -> list[tuple[str, str, list[tuple[Damage, ...]]]]:
    """(profile, kind, damages of each session) of every block, `runs` sessions in all."""
    rng = random.Random(seed)
    sizes = {(profile, kind): lengths(profile, kind) for profile in PROFILES for kind in KINDS}
    single: list[tuple[tuple[str, str], tuple[Damage, ...]]] = []
    for where, size in sizes.items():
        damages = every_damage(size)
        if where[1] == "bring-up":
            damages = rng.sample(damages, len(damages) // _BRING_UP_SHARE)
        single += [(where, (damage,)) for damage in damages]
    if runs < 2 * len(single):
        single = rng.sample(single, runs // 2)
    common = [where for where in sizes if where[1] != "bring-up"]
    seeded = [
        (where, some_damages(rng, sizes[where]))
        for where in itertools.islice(itertools.cycle(common), runs - len(single))
    ]
    blocks = []
    for where in sizes:
        sessions = [damages for there, damages in single + seeded if there == where]
        blocks += [(*where, sessions[at : at + BLOCK]) for at in range(0, len(sessions), BLOCK)]
    return blocks


def run_block(job: tuple[int, str, str, list[tuple[Damage, ...]]]) -> Tally:
    """All sessions of a block, on one board; a new one after each failure."""
    number, profile, kind, block = job
    tally = Tally(profile, kind, number)
    sessions = Sessions(profile)
    for damages in block:
        ended = sessions.run(kind, damages)
        tally.codes["ok" if ended.code == "ok" else ended.code] += 1
        tally.longest_s = max(tally.longest_s, ended.seconds)
        if ended.wrong:
            tally.wrong.append(f"{profile} {kind} {_told(damages)}: {ended.wrong}")
            sessions.close()
            sessions = Sessions(profile)
    sessions.close()
    return tally


def _told(damages: tuple[Damage, ...]) -> str:
    text = ", ".join(f"{damage.lane} {damage.at} {damage.change}" for damage in damages[:3])
    return text + (f" and {len(damages) - 3} more" if len(damages) > 3 else "")


def _where(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"(line {last.lineno} of {Path(last.filename).name})"


def table(tallies: list[Tally]) -> Iterator[str]:
    """Lines: for each kind of session how many there were, how they ended, and the longest."""
    yield f"{'session':<10}{'AT':<15}{'runs':>7}{'ok':>7}{'longest':>9}  ended in"
    for (kind, profile), group in itertools.groupby(
        sorted(tallies, key=lambda tally: (tally.kind, tally.profile)), lambda tally: (tally.kind, tally.profile)
    ):
        codes: Counter[str] = Counter()
        longest = 0.0
        for tally in group:
            codes += tally.codes
            longest = max(longest, tally.longest_s)
        others = ", ".join(f"{code} {count}" for code, count in codes.most_common() if code != "ok")
        yield f"{kind:<10}{profile:<15}{codes.total():>7}{codes['ok']:>7}{longest:>7.1f} s  {others}"


def main() -> int:
    """Run them all; 1 when any ended in something else than success or an error of ours."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--block", type=int, help="run this one of the plan alone")
    options = parser.parse_args()
    began = time.monotonic()
    jobs = [(number, *block) for number, block in enumerate(plan(options.runs, options.seed))]
    if options.block is not None:
        jobs = jobs[options.block : options.block + 1]
    tallies: list[Tally] = []
    failed = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for tally in pool.map(run_block, jobs):
            tallies.append(tally)
            failed += len(tally.wrong)
            for line in tally.wrong:
                print(f"FAILED, block {tally.number}: {line}", flush=True)
    print("\n".join(table(tallies)))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = sum(tally.codes.total() for tally in tallies)
    print(
        f"{done} damaged sessions, seed {options.seed}: {failed} failed; {time.monotonic() - began:.0f} s, "
        f"{used.ru_utime + used.ru_stime:.0f} s of processor time in {options.jobs} processes"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
