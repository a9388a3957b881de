"""Many runs in several processes, and what they showed together."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from maixpix.torture.kinds import draw
from maixpix.torture.laws import breaches
from maixpix.torture.minimise import minimise
from maixpix.torture.play import How, play
from maixpix.torture.played import Played
from maixpix.torture.scenario import Scenario


@dataclass
class Verdict:
    """What came of one run. `faults` counts what happened by its name, the servers' lies and power cuts included."""

    scenario: Scenario
    wrong: list[str] = field(default_factory=list)
    digest: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    recovered_s: float | None = None
    disturbed: bool = False
    """Something was still wrong when its last power cycle began, or went wrong in it."""
    virtual_s: float = 0.0
    host_s: float = 0.0


def judge(scenario: Scenario, how: How) -> Verdict:
    """Play `scenario` and hold the laws against it. That it can be played at all is one of them."""
    try:
        run = play(scenario, how)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - of the virtual board or its servers, and what stops device code
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        return Verdict(scenario, [f"plays: {what}"])
    gc.collect()  # a board is a circle of objects, some 20 MB
    faults = _happened(run)
    return Verdict(
        scenario,
        breaches(run),
        run.digest,
        faults,
        run.recovered_s,
        bool(faults),
        run.virtual_ns / 1e9,
        run.host_s,
    )


def _happened(run: Played) -> Counter[str]:
    counts = Counter(what.partition(" ")[0] for cycled in run.cycles for _, what in cycled.faults)
    counts["power cuts"] += len(run.cycles) - 1
    counts.update(f"server: {lie}" for lie in run.world.told)
    return +counts


def law_names(wrong: list[str]) -> set[str]:
    """The laws that are broken."""
    return {told.partition(":")[0] for told in wrong}


def smallest(verdict: Verdict, how: How, on_trial: Callable[[int, int], None]) -> Scenario:
    """The scenario of a failing run with everything left out that the first of its breaches does not need."""
    broken = verdict.wrong[0].partition(":")[0]
    return minimise(verdict.scenario, lambda each: broken in law_names(judge(each, how).wrong), on_trial)


@dataclass
class Total:
    """All runs so far, or those of one app. `host_s` is processor time."""

    runs: int = 0
    failed: list[Verdict] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    recoveries: int = 0
    worst_s: float = 0.0
    worst: Scenario | None = None
    virtual_s: float = 0.0
    host_s: float = 0.0
    apps: dict[str, Total] = field(default_factory=dict)
    """The same by app."""

    def add(self, verdict: Verdict) -> None:
        """Count one more run."""
        self._count(verdict)
        self.apps.setdefault(verdict.scenario.app, Total())._count(verdict)

    def _count(self, verdict: Verdict) -> None:
        self.runs += 1
        self.faults += verdict.faults
        self.virtual_s += verdict.virtual_s
        self.host_s += verdict.host_s
        if verdict.wrong:
            self.failed.append(verdict)
        if verdict.recovered_s is not None and verdict.disturbed:
            self.recoveries += 1
            if verdict.recovered_s > self.worst_s or self.worst is None:
                self.worst_s, self.worst = verdict.recovered_s, verdict.scenario

    def lines(self) -> Iterator[str]:
        """What the runs showed, for people."""
        yield f"{'app':8} {'runs':>6} {'failed':>6} {'faults':>7} {'recovered':>9} {'worst':>8} {'board':>9} {'cpu':>7}"
        for app, each in sorted(self.apps.items()):
            yield each.row(app)
        yield self.row("all")
        if self.worst is not None:
            yield f"the worst recovery: {self.worst.app}, seed {self.worst.seed}"
        yield "faults: " + ", ".join(f"{what} {count}" for what, count in self.faults.most_common())

    def row(self, name: str) -> str:
        """The figures in a line; times in seconds."""
        return (
            f"{name:8} {self.runs:6} {len(self.failed):6} {sum(self.faults.values()):7} {self.recoveries:9} "
            f"{self.worst_s:6.1f} s {self.virtual_s:7.0f} s {self.host_s:5.0f} s"
        )


_how = How()


def _begin(how: How) -> None:
    """A worker: Ctrl-C is the parent's business, what is there already is not looked at by every gc.collect(), and no
    worker is left behind by a parent that was killed."""
    global _how
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _how = how


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _one(seed: int, app: str) -> Verdict:
    if not gc.get_freeze_count():
        judge(Scenario("show", cycles=draw(0, "show").cycles[-1:]), _how)
        gc.collect()
        gc.freeze()
    return judge(draw(seed, app), _how)


def torture(
    seeds: Iterator[int], app: str, how: How, jobs: int, end: Callable[[], bool], on_verdict: Callable[[Verdict], None]
) -> None:
    """Play the scenarios of `seeds` in `jobs` processes until they are all done or `end()` is true."""
    with _pool(how, jobs) as pool:
        running = set()
        while True:
            while len(running) < 2 * jobs and not end() and (seed := next(seeds, None)) is not None:
                running.add(pool.submit(_one, seed, app))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                on_verdict(future.result())


@contextmanager
def _pool(how: How, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, also by Ctrl-C."""
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (how,))
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        workers = list(pool._processes.values())
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        raise


def clock() -> Callable[[], float]:
    """Seconds since now, of the host."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
