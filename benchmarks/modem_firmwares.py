"""Modules as people have them: every AT firmware, left as somebody left it, in sessions with the device's own driver.

    python -m benchmarks.modem_firmwares [--runs 2000] [--seed 0] [--jobs N] [--only NUMBER]

A session is a bring-up from power-on to an address, and behind it nothing, a fetch or an upload (those of
benchmarks/modem_sessions.py). Up to three injections each, drawn from the seed: boots that print other things,
settings left in the flash, builds that lack commands, rates, notices at any moment (inside an echo too), SEND FAIL with
a SEND OK behind it, a lost network, a reset in the middle.

What must hold: no exception but PixError; 300 s of virtual time at most; right bytes. What is only odd must not fail at
all; what breaks something may end in an error of ours, and then the same session again, without it, is a success. AT
2.x is refused by name, whatever else is odd about it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.modem_sessions import KINDS, Ended, Sessions
from tests.rig.modem_bench import Bench
from virtualboard.clock import MS, SECOND
from virtualboard.esp8285 import PROFILES
from virtualboard.esp8285.boot import VARIANTS

WORK = ("bring-up", "fetch", "upload")
LONGEST_S = 300
"""Virtual seconds of a session: two bring-ups, each with a join of 20 s that may be tried twice, and the work."""

_NOTICES = (
    "WIFI CONNECTED\r\n",
    "WIFI GOT IP\r\n",
    "DHCP TIMEOUT\r\n",
    '+STA_CONNECTED:"02:00:00:00:00:09"\r\n',
    '+DIST_STA_IP:"02:00:00:00:00:09","192.168.4.2"\r\n',
    "\r\nbusy p...\r\n",
)


@dataclass(frozen=True)
class Injection:
    """`do` is called with the board, before its modem starts or (`late`) before the work. `breaks`: it may cost the
    session."""

    do: Callable[[Bench, random.Random], None]
    late: bool = False
    breaks: bool = False


def _boot(name: str) -> Injection:
    return Injection(lambda bench, rng: bench.modem.vary_boot(name))


def _lack(*commands: bytes) -> Injection:
    def lack(bench: Bench, rng: random.Random) -> None:
        for command in commands:
            bench.modem.lack(command)

    return Injection(lack)


def _stored_network(bench: Bench, rng: random.Random) -> None:
    bench.modem.flash.ssid, bench.modem.flash.password = b"home", b"correct horse"


def _stored_link(bench: Bench, rng: random.Random) -> None:
    bench.modem.flash.through = "127.0.0.1", rng.choice((80, 81, 9))


def _crystal(bench: Bench, rng: random.Random) -> None:
    bench.modem.boot_baud = 115200


def _rate(bench: Bench, rng: random.Random) -> None:
    bench.modem.flash.baud = rng.choice((9600, 57600, 230400, 460800, 921600, 1_000_000, 2_000_000))


def _long_notices(bench: Bench, rng: random.Random) -> None:
    if bench.modem.profile.version >= (1, 6):
        bench.modem.flash.sysmsg = rng.randint(1, 3)


def _notices(bench: Bench, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 6)):
        text = rng.choice(_NOTICES).encode()
        bench.clock.after(rng.randrange(8 * SECOND), lambda text=text: bench.modem.inject(text))


def _split(bench: Bench, rng: random.Random) -> None:
    bench.modem.split_echo(rng.choice(_NOTICES).encode(), rng.randint(1, 30))


def _late_ok(bench: Bench, rng: random.Random) -> None:
    bench.modem.late_send_ok()


def _lost(bench: Bench, rng: random.Random) -> None:
    bench.clock.after(rng.randrange(300 * MS), bench.modem.drop_wifi)
    bench.clock.after(rng.randrange(1, 9) * SECOND, bench.modem.restore_wifi)


def _reset(bench: Bench, rng: random.Random) -> None:
    bench.clock.after(rng.randrange(200 * MS), lambda: bench.modem.restart(rng.choice(("watchdog", "power"))))


INJECTIONS: dict[str, Injection] = {
    **{f"boot {name}": _boot(name) for name in VARIANTS},
    "no CIPDOMAIN": _lack(b"AT+CIPDOMAIN"),
    "no UART": _lack(b"AT+UART", b"AT+UART_CUR", b"AT+UART_DEF"),
    "stored network": Injection(_stored_network),
    "data mode": Injection(_stored_link),
    "40 MHz crystal": Injection(_crystal),
    "stored rate": Injection(_rate),
    "long notices": Injection(_long_notices),
    "notices": Injection(_notices),
    "notices later": Injection(_notices, late=True),
    "split echo": Injection(_split),
    "late SEND OK": Injection(_late_ok, late=True, breaks=True),
    "lost network": Injection(_lost, late=True, breaks=True),
    "reset": Injection(_reset, late=True, breaks=True),
}
"""Everything that can be odd, by name."""


@dataclass(frozen=True)
class Job:
    """One session: what, on which firmware, with which injections."""

    number: int
    profile: str
    work: str
    injections: tuple[str, ...]
    seed: int


def plan(runs: int, seed: int) -> list[Job]:
    """`runs` sessions: every profile with every kind of work in turn, none to three injections each."""
    rng = random.Random(seed)
    pairs = itertools.cycle(itertools.product(PROFILES, WORK))
    return [
        Job(number, profile, work, tuple(rng.sample(sorted(INJECTIONS), rng.randint(0, 3))), rng.randrange(1 << 30))
        for number, (profile, work) in zip(range(runs), pairs, strict=False)
    ]


def run(job: Job) -> Ended:
    """The session of a job, judged."""
    ended, breaks = _once(job, job.injections)
    refused = PROFILES[job.profile].rtos
    if ended.wrong or ended.code == ("modem-firmware" if refused else "ok"):
        return ended
    if refused or not breaks:
        ended.wrong = f"ended in {ended.code}"
        return ended
    odd = tuple(name for name in job.injections if not INJECTIONS[name].breaks)
    again, _ = _once(job, odd)
    if again.wrong or again.code != "ok":
        ended.wrong = f"{ended.code}, and without what breaks it: {again.wrong or again.code}"
    return ended


def _once(job: Job, names: tuple[str, ...]) -> tuple[Ended, bool]:
    """One session with these injections, and whether any of them may cost it."""
    rng = random.Random(job.seed)
    chosen = [INJECTIONS[name] for name in names]
    made: list[Bench] = []

    def prepare(bench: Bench) -> None:
        made.append(bench)
        for injection in chosen:
            if not injection.late:
                injection.do(bench, rng)

    ended = Ended("ok")
    try:
        sessions = Sessions(job.profile, prepare=prepare, seed=job.seed)
        for injection in chosen:
            if injection.late:
                injection.do(sessions.bench, rng)
        if job.work in KINDS and job.work != "bring-up":
            ended = sessions.judged(job.work)
    except Exception as error:  # noqa: BLE001 - any exception but the driver's own is what is looked for
        if made and isinstance(error, made[0].PixError):
            ended = Ended(error.code)
        else:
            ended = Ended("", f"{type(error).__name__}: {error}")
    ended.seconds = made[0].clock.now / SECOND
    made[0].close()
    if not ended.wrong and ended.seconds > LONGEST_S:
        ended.wrong = f"took {ended.seconds:.0f} s"
    return ended, any(injection.breaks for injection in chosen)


def main() -> int:
    """Run them all; 1 when any was judged wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", type=int, help="run this one of the plan alone")
    options = parser.parse_args()
    began = time.monotonic()
    jobs = plan(options.runs, options.seed)
    if options.only is not None:
        jobs = jobs[options.only : options.only + 1]
    codes: dict[str, Counter[str]] = {name: Counter() for name in PROFILES}
    longest: dict[str, float] = dict.fromkeys(PROFILES, 0.0)
    failed = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for job, ended in zip(jobs, pool.map(run, jobs, chunksize=8), strict=True):
            codes[job.profile][ended.code] += 1
            longest[job.profile] = max(longest[job.profile], ended.seconds)
            if ended.wrong:
                failed += 1
                odd = ", ".join(job.injections) or "nothing"
                print(f"FAILED, --only {job.number}: AT {job.profile} {job.work} with {odd}: {ended.wrong}", flush=True)
    print(f"{'AT':<7}{'runs':>6}{'ok':>6}{'longest':>10}  ended in")
    for name, counted in codes.items():
        others = ", ".join(f"{code} {count}" for code, count in counted.most_common() if code != "ok")
        print(f"{name:<7}{counted.total():>6}{counted['ok']:>6}{longest[name]:>8.1f} s  {others}")
    print(f"{len(jobs)} sessions, seed {options.seed}: {failed} failed; {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
