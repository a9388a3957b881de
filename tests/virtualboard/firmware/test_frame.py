"""The frame on real firmware: what the card has, then something new, in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.power_on import measure

pytestmark = pytest.mark.firmware


def test_from_power_to_a_fresh_picture(firmware: Path) -> None:
    start = measure(None, "1.1", firmware, mpy=True)
    assert start.seen["red"] - start.app_ms < 1500, start.seen
    assert start.seen["blue"] < 3600, start.seen
    assert b"modem starting" not in start.console and b"waiting for the remembered network" in start.console
