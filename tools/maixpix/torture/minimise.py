"""Makes a failing scenario small: troubles that do not matter are left out (delta debugging, Zeller's ddmin)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from maixpix.torture.scenario import Cycle, Scenario

MOST_TRIALS = 120
"""Runs that a search may take."""


@dataclass(frozen=True)
class Part:
    """One trouble of a scenario: the fault or lie with number `at` of a power cycle, or ("cycle") all of that cycle."""

    kind: str
    cycle: int
    at: int = 0


def parts(scenario: Scenario) -> list[Part]:
    """Everything that may be left out of `scenario`, whole power cycles first."""
    found = [Part("cycle", number) for number in range(len(scenario.cycles) - 1)]
    for number, cycle in enumerate(scenario.cycles):
        found += [Part("fault", number, at) for at in range(len(cycle.faults))]
        found += [Part("lie", number, at) for at in range(len(cycle.lies))]
    return found


def with_only(scenario: Scenario, kept: list[Part]) -> Scenario:
    """`scenario` with no other troubles than `kept`. A cycle that is left out takes its faults and lies with it."""
    made = copy.deepcopy(scenario)
    wanted = set(kept)
    cycles = []
    for number, cycle in enumerate(scenario.cycles):
        if cycle.end_ms is not None and Part("cycle", number) not in wanted:
            continue
        faults = [each for at, each in enumerate(cycle.faults) if Part("fault", number, at) in wanted]
        lies = [each for at, each in enumerate(cycle.lies) if Part("lie", number, at) in wanted]
        cycles.append(Cycle(faults, lies, cycle.end_ms))
    made.cycles = cycles
    return made


def minimise(
    scenario: Scenario, fails: Callable[[Scenario], bool], on_trial: Callable[[int, int], None] | None = None
) -> Scenario:
    """The smallest scenario found in which `fails` still holds, as it does in `scenario`; `on_trial(trial, parts that
    are left)` is told each step."""
    kept = parts(scenario)
    trials = 0
    pieces = 2
    while kept and trials < MOST_TRIALS:
        size = max(1, len(kept) // pieces)
        smaller = None
        for at in range(0, len(kept), size):
            rest = kept[:at] + kept[at + size :]
            trials += 1
            if on_trial is not None:
                on_trial(trials, len(kept))
            if fails(with_only(scenario, rest)):
                smaller = rest
                break
            if trials >= MOST_TRIALS:
                break
        if smaller is not None:
            kept = smaller
            pieces = max(2, pieces - 1)
        elif size == 1:
            break
        else:
            pieces = min(len(kept), 2 * pieces)
    return with_only(scenario, kept)
