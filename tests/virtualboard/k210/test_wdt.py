"""WDT by the accesses of the SDK's wdt.c: wdt_init (interrupt first), wdt_feed, wdt_clear_interrupt, wdt_stop."""

from __future__ import annotations

import pytest

from rig.registers import Registers, claim, complete, enable_interrupt, pending
from virtualboard.board import Board
from virtualboard.clock import SECOND
from virtualboard.k210.soc import Soc
from virtualboard.k210.sysctl import RESET_WDT0

IRQ = 21
TOP = 3
PERIOD = (1 << 16 + TOP) * SECOND // 13_000_000


@pytest.fixture
def wdt(soc: Soc) -> Registers:
    """After wdt_init with a time-out of TOP."""
    enable_interrupt(soc, IRQ)
    block = Registers(soc.wdts[0])
    block["cr"] &= ~2
    block["cr"] |= 2
    block["torr"] = TOP << 4 | TOP
    block["crr"] = 0x76
    block["cr"] |= 1
    return block


def test_interrupts_then_resets(soc: Soc, wdt: Registers, board: Board) -> None:
    board.clock.advance(PERIOD - 1)
    assert not pending(soc)
    board.clock.advance(1)
    assert (claim(soc), wdt["stat"], soc.reset_wanted) == (IRQ, 1, None)
    complete(soc, IRQ)
    board.clock.advance(PERIOD)
    assert soc.reset_wanted == RESET_WDT0


def test_an_answered_interrupt_starts_anew(soc: Soc, wdt: Registers, board: Board) -> None:
    board.clock.advance(PERIOD)
    assert claim(soc) == IRQ
    wdt["eoi"] = wdt["eoi"]
    complete(soc, IRQ)
    assert wdt["stat"] == 0
    board.clock.advance(PERIOD)
    assert (claim(soc), soc.reset_wanted) == (IRQ, None)


def test_fed_in_time_it_is_silent(soc: Soc, wdt: Registers, board: Board) -> None:
    for _ in range(4):
        board.clock.advance(PERIOD * 3 // 4)
        assert wdt["ccvr"] < 1 << 16 + TOP
        wdt["crr"] = 0x76
        assert abs(wdt["ccvr"] - (1 << 16 + TOP)) <= 1
    assert (pending(soc), soc.reset_wanted) == (False, None)


def test_only_the_magic_number_feeds(soc: Soc, wdt: Registers, board: Board) -> None:
    board.clock.advance(PERIOD // 2)
    wdt["crr"] = 0x75
    board.clock.advance(PERIOD - PERIOD // 2)
    assert pending(soc)


def test_stopped(soc: Soc, wdt: Registers, board: Board) -> None:
    wdt["crr"] = 0x76
    wdt["cr"] &= ~1
    board.clock.advance(10 * PERIOD)
    assert (pending(soc), soc.reset_wanted) == (False, None)


def test_without_the_interrupt_it_resets_at_once(soc: Soc, board: Board) -> None:
    block = Registers(soc.wdts[0])
    block["torr"] = TOP
    block["cr"] = 1
    board.clock.advance(PERIOD)
    assert soc.reset_wanted == RESET_WDT0
