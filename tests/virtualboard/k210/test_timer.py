"""TIMER by the accesses of the SDK's timer.c: timer_set_interval, timer_set_enable, timer_isr."""

from __future__ import annotations

import pytest

from rig.registers import Registers, claim, complete, enable_interrupt, pending
from virtualboard.board import Board
from virtualboard.clock import MS
from virtualboard.k210.soc import Soc

HZ = 13_000_000
A, B = 14, 15  # IRQN_TIMER0A_INTERRUPT, IRQN_TIMER0B_INTERRUPT


@pytest.fixture
def timer(soc: Soc) -> Registers:
    return Registers(soc.timers[0])


def start(timer: Registers, channel: int, interval_ns: int) -> None:
    """timer_set_interval, then timer_set_enable: user mode and enabled."""
    timer[f"channel[{channel}].load_count"] = interval_ns * HZ // 1_000_000_000
    timer[f"channel[{channel}].control"] = 3


def test_periodic_interrupts(soc: Soc, timer: Registers, board: Board) -> None:
    enable_interrupt(soc, A)
    start(timer, 0, 10 * MS)
    began, moments = board.clock.now, []
    while len(moments) < 3:
        assert board.clock.run_until(lambda: pending(soc), began + 40 * MS)
        moments.append(board.clock.now - began)
        assert claim(soc) == A
        assert (timer["intr_stat"], timer["channel[0].intr_stat"]) == (1, 1)
        timer["eoi"]
        assert timer["intr_stat"] == 0
        complete(soc, A)
    assert moments == [10 * MS, 20 * MS, 30 * MS]


def test_counts_down_and_reloads(timer: Registers, board: Board) -> None:
    start(timer, 1, 10 * MS)
    assert timer["channel[1].current_value"] == 130_000
    board.clock.advance(4 * MS)
    assert timer["channel[1].current_value"] == 78_000
    board.clock.advance(10 * MS)
    assert timer["channel[1].current_value"] == 78_000


def test_channels_two_and_three_have_the_other_interrupt(soc: Soc, timer: Registers, board: Board) -> None:
    for source in (A, B):
        enable_interrupt(soc, source)
    start(timer, 3, MS)
    board.clock.advance(MS)
    assert [claim(soc), claim(soc)] == [B, 0]
    assert timer["intr_stat"] == 8
    timer["channel[3].eoi"]
    complete(soc, B)
    assert not pending(soc)


def test_masked_channels_raise_nothing_but_remember(soc: Soc, timer: Registers, board: Board) -> None:
    enable_interrupt(soc, A)
    start(timer, 0, MS)
    timer["channel[0].control"] |= 4  # timer_disable_interrupt
    board.clock.advance(MS)
    assert (timer["intr_stat"], timer["raw_intr_stat"], pending(soc)) == (0, 1, False)
    timer["channel[0].control"] &= ~4  # timer_enable_interrupt
    assert (timer["intr_stat"], pending(soc)) == (1, True)


def test_disabled_channels_stop(soc: Soc, timer: Registers, board: Board) -> None:
    start(timer, 0, MS)
    timer["channel[0].control"] = 4  # timer_set_enable(0)
    board.clock.advance(5 * MS)
    assert timer["raw_intr_stat"] == 0


def test_free_running_mode_counts_from_all_ones(timer: Registers, board: Board) -> None:
    timer["channel[2].load_count"] = 100
    timer["channel[2].control"] = 1
    board.clock.advance(MS)
    assert abs(timer["channel[2].current_value"] - (0xFFFF_FFFF - 13_000)) <= 1


def test_a_new_load_takes_effect_at_the_next_period(timer: Registers, board: Board) -> None:
    start(timer, 0, 10 * MS)
    board.clock.advance(MS)
    timer["channel[0].load_count"] = 13_000
    board.clock.advance(9 * MS)
    assert timer["raw_intr_stat"] == 1
    timer["eoi"]
    board.clock.advance(MS)
    assert timer["raw_intr_stat"] == 1


def test_blocks_do_not_share(soc: Soc, board: Board) -> None:
    start(Registers(soc.timers[2]), 0, MS)
    board.clock.advance(MS)
    assert [Registers(timer)["raw_intr_stat"] for timer in soc.timers] == [0, 0, 1]
