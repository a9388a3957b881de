"""RTC by the accesses of the SDK's rtc.c: rtc_timer_set_mode, rtc_timer_set_tm, rtc_timer_get_tm."""

from __future__ import annotations

import datetime

import pytest

from rig.registers import Registers
from virtualboard.board import Board
from virtualboard.clock import SECOND
from virtualboard.k210.soc import Soc

SETTING, RUNNING = 2, 1  # register_ctrl: write_enable, read_enable


@pytest.fixture
def rtc(soc: Soc) -> Registers:
    return Registers(soc.rtc)


def set_tm(rtc: Registers, when: datetime.datetime) -> None:
    """In the order of rtc_timer_set_tm: date, time, century."""
    rtc["register_ctrl"] = SETTING
    rtc["date"] = when.isoweekday() % 7 | when.day << 8 | when.month << 16 | when.year % 100 << 20
    rtc["time"] = when.second << 10 | when.minute << 16 | when.hour << 24
    rtc["extended"] = when.year // 100
    rtc["register_ctrl"] = RUNNING


def get_tm(rtc: Registers) -> tuple[datetime.datetime, int]:
    """Date and time, and the day of the week (Sunday is 0)."""
    assert rtc["register_ctrl"] == RUNNING
    date, time, century = rtc["date"], rtc["time"], rtc["extended"]
    year = century * 100 + (date >> 20)
    day = (year, date >> 16 & 15, date >> 8 & 31)
    return datetime.datetime(*day, time >> 24, time >> 16 & 63, time >> 10 & 63), date & 7


def test_ticks_with_the_boards_clock(rtc: Registers, board: Board) -> None:
    start = datetime.datetime(2021, 3, 30, 12, 34, 56)
    set_tm(rtc, start)
    assert get_tm(rtc) == (start, 2)
    for seconds in (1, 3, 3600):
        board.clock.advance(seconds * SECOND)
        start += datetime.timedelta(seconds=seconds)
        assert get_tm(rtc)[0] == start


@pytest.mark.parametrize(
    ("before", "after", "weekday"),
    [
        ((2024, 2, 28, 23, 59, 59), (2024, 2, 29, 0, 0, 0), 4),
        ((2023, 2, 28, 23, 59, 59), (2023, 3, 1, 0, 0, 0), 3),
        ((1999, 12, 31, 23, 59, 59), (2000, 1, 1, 0, 0, 0), 6),
    ],
)
def test_days_months_and_centuries_turn_over(
    rtc: Registers, board: Board, before: tuple[int, ...], after: tuple[int, ...], weekday: int
) -> None:
    set_tm(rtc, datetime.datetime(*before))
    board.clock.advance(SECOND)
    assert get_tm(rtc) == (datetime.datetime(*after), weekday)


def test_one_field_set_keeps_the_others(rtc: Registers, board: Board) -> None:
    set_tm(rtc, datetime.datetime(2021, 3, 30, 12, 0, 0))
    board.clock.advance(65 * SECOND)
    rtc["extended"] = 19
    assert get_tm(rtc)[0] == datetime.datetime(1921, 3, 30, 12, 1, 5)


def test_forgets_at_reset(soc: Soc, rtc: Registers, board: Board) -> None:
    set_tm(rtc, datetime.datetime(2021, 3, 30, 12, 0, 0))
    soc.reset()
    board.clock.advance(SECOND)
    assert (rtc["date"], rtc["time"]) == (0, 0)
