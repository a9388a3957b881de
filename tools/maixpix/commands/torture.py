"""`maixpix torture`: the board's apps while everything goes wrong, and the laws that hold all the same."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maixpix import ui
from maixpix.errors import UserError

if TYPE_CHECKING:
    from maixpix.torture.play import How
    from maixpix.torture.run import Verdict
    from maixpix.torture.scenario import Scenario

APPS = ("show", "frame", "get", "snap", "send", "update", "web", "portal", "deploy", "fill")
"""What `scenario.APPS` has, named here too so that the command line needs no import."""


@click.command()
@click.option("--runs", default=100, show_default=True, type=click.IntRange(1, 1_000_000), help="How many.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 1 << 40), help="Seed of the first run.")
@click.option("--engine", type=click.Choice(["hosted", "k210"]), help="Who plays the chip; k210 given --firmware.")
@click.option("--firmware", type=click.Path(path_type=Path), help="MaixPy image to run on the emulated chip.")
@click.option("--app", type=click.Choice(APPS), help="Only this app; otherwise they take turns by lot.")
@click.option("--minutes", type=click.FloatRange(0.01, 10_000), help="Begin no new run after this time.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes at a time; as many as there are processors.")
@click.option("--replay", metavar="TEXT", help="Play one run that was printed, or the run of one seed, and tell all.")
@click.option("--keep-going", is_flag=True, help="Go on after a run that breaks a law.")
def torture(
    runs: int,
    seed: int,
    engine: str | None,
    firmware: Path | None,
    app: str | None,
    minutes: float | None,
    jobs: int | None,
    replay: str | None,
    keep_going: bool,
) -> int:
    """Play the board's apps while everything goes wrong, and hold laws against each run.

    Each run is drawn from a seed: bytes of the serial line are lost, doubled and flipped, the Wi-Fi module restarts,
    hangs and forgets, the network goes away, servers lie, stall and break off, the card stalls, fails, fills up and is
    pulled out, the power is cut at any moment. Afterwards the panel must show a true picture or an honest error card,
    every file must be what its name says, no upload may be lost, and the board must have recovered in time; see
    docs/torture.md. A run that breaks a law is made as small as it gets and printed as one line that plays it again.
    Exits with 1 when any did.

    \b
    Examples:
      maixpix torture --runs 1000
      maixpix torture --app frame --minutes 5
      maixpix torture --firmware maixpy_v0.6.2_minimum.bin --runs 10
      maixpix torture --replay 4711
    """
    from maixpix.torture.play import How
    from maixpix.torture.run import Total, clock
    from maixpix.torture.run import torture as play_all

    chosen = engine or ("k210" if firmware else "hosted")
    if (chosen == "k210") != (firmware is not None):
        raise UserError(f"the engine {chosen} runs {'a' if chosen == 'k210' else 'no'} firmware file", "see --help")
    how = How(chosen, firmware)
    if replay is not None:
        return _replay(replay, app or "", how)
    total, elapsed = Total(), clock()

    def over() -> bool:
        return (minutes is not None and elapsed() > 60 * minutes) or bool(total.failed and not keep_going)

    def take(verdict: Verdict) -> None:
        total.add(verdict)
        if verdict.wrong:
            ui.say(f"{verdict.scenario.app}, seed {verdict.scenario.seed}: {'; '.join(verdict.wrong)}")
        progress.update(total.runs, len(total.failed))

    progress = _Progress(runs)
    play_all(iter(range(seed, seed + runs)), app or "", how, jobs or os.cpu_count() or 1, over, take)
    for line in total.lines():
        ui.out(line)
    ui.out(f"{elapsed():.0f} s")
    for verdict in itertools.islice(total.failed, 3):
        _tell_smallest(verdict, how)
    return 1 if total.failed else 0


class _Progress:
    """A line about the runs so far: every tenth of them, and every 50."""

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._every = max(1, min(50, runs // 10))

    def update(self, done: int, failed: int) -> None:
        """One more run is over."""
        if done % self._every == 0 or done == self._runs:
            ui.say(f"{done} of {self._runs} runs, {failed} broke a law")


def _tell_smallest(verdict: Verdict, how: How) -> None:
    """The failing run made small, as a line that plays it again."""
    from maixpix.torture.run import smallest

    ui.say(f"making the run of seed {verdict.scenario.seed} small ...")
    small = smallest(verdict, how, lambda trial, left: None)
    ui.out(f"{verdict.wrong[0]}")
    firmware = f" --firmware {how.firmware}" if how.firmware else ""
    ui.out(f"maixpix torture{firmware} --replay '{small.to_json()}'")


def _replay(text: str, app: str, how: How) -> int:
    """One run, with everything that it showed."""
    from maixpix.torture.laws import breaches
    from maixpix.torture.play import play

    run = play(_scenario(text, app), how)
    for number, cycled in enumerate(run.cycles):
        ui.out(f"power cycle {number}, ended by: {cycled.ended}")
        told = [(ns, f"fault: {what}") for ns, what in cycled.faults] + list(cycled.lines)
        for ns, line in sorted(told, key=lambda each: each[0]):
            ui.out(f"{ns / 1e9:9.3f} s  {line}")
    wrong = breaches(run)
    recovered = "never" if run.recovered_s is None else f"{run.recovered_s:.1f} s after the last fault"
    ui.out(f"recovered: {recovered}; digest {run.digest[:16]}")
    for told_wrong in wrong:
        ui.out(told_wrong)
    ui.out(f"{len(wrong)} breaches" if wrong else "all laws hold")
    return 1 if wrong else 0


def _scenario(text: str, app: str) -> Scenario:
    from maixpix.torture.kinds import draw
    from maixpix.torture.scenario import Scenario

    if text.isascii() and text.isdigit() and len(text) < 16:
        return draw(int(text), app)
    try:
        return Scenario.from_json(text)
    except ValueError as error:
        raise UserError(str(error), "give the whole text in one pair of quotes, or a seed") from None
