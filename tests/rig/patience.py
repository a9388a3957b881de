"""How long to wait for something real: as long as the machine needs today.

A test fails when what it waits for does not happen, never because the machine had other work. So a limit on real time
is what a quiet machine of our kind would be allowed, times how much slower this one is just now.
"""

from __future__ import annotations

import os
import time

_MEASURE_EVERY_S = 20.0
_ROUNDS = 200_000
_NOMINAL_S = 0.01
"""What `_ROUNDS` of the loop below take on the processor that the tests' limits were chosen on."""

_LEEWAY = 3.0  # for work that comes after the measurement

_measured: list[float] = []  # when, and the factor


def patient(seconds: float) -> float:
    """The limit to use where a quiet machine would be given `seconds`; never less than that."""
    now = time.monotonic()
    if not _measured or now - _measured[0] > _MEASURE_EVERY_S:
        _measured[:] = [now, _slowness()]
    return seconds * _measured[1] * _LEEWAY


def _slowness() -> float:
    """How many times longer than nominal a piece of work takes here and now: a slow processor, or a shared one.

    The load tells what a short piece of work may miss: one that fits into a turn on the processor never waits.
    """
    began = time.perf_counter()
    for _ in range(_ROUNDS):
        pass
    took = time.perf_counter() - began
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 1.0
    return max(1.0, took / _NOMINAL_S, waiting)
