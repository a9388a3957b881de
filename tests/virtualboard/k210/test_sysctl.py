"""SYSCTL by the accesses of the SDK's sysctl.c: PLLs, dividers, and what follows them while it runs."""

from __future__ import annotations

import pytest

from rig.registers import Registers
from virtualboard.board import Board
from virtualboard.clock import MS, SECOND
from virtualboard.k210.soc import Soc
from virtualboard.k210.sysctl import RESET_PIN, RESET_SOFT, RESET_WDT1
from virtualboard.wire import Lane

XTAL = 26_000_000


@pytest.fixture
def sysctl(soc: Soc) -> Registers:
    return Registers(soc.sysctl)


def set_pll(sysctl: Registers, number: int, divider: int, factor: int, output: int) -> None:
    """sysctl_pll_set_freq: output off, power off, values, power on, reset pulse, lock, output on."""
    name = f"pll{number}"
    sysctl.insert(name, 0, 25, 1)
    sysctl.insert(name, 0, 21, 1)
    sysctl[name] = sysctl[name] & ~0xF_FFFF | divider - 1 | factor - 1 << 4 | output - 1 << 10 | factor - 1 << 14
    sysctl.insert(name, 1, 21, 1)
    for level in (0, 1, 0):
        sysctl.insert(name, level, 20, 1)
    assert sysctl["pll_lock"] >> 8 * number & 3 == 3
    sysctl.insert(name, 1, 25, 1)


def test_after_reset_the_core_runs_at_half_of_pll0(soc: Soc, sysctl: Registers) -> None:
    assert sysctl["clk_freq"] == XTAL
    assert soc.sysctl.pll_hz(0) == 780_000_000
    assert soc.sysctl.cpu_hz == soc.hz == 390_000_000


@pytest.mark.parametrize(
    ("number", "values", "hz"),
    [(0, (1, 31, 1), 806_000_000), (1, (3, 46, 1), 398_666_666), (2, (1, 26, 15), 45_066_666)],
)
def test_plls_as_maixpy_sets_them(
    soc: Soc, sysctl: Registers, number: int, values: tuple[int, int, int], hz: int
) -> None:
    if number == 0:
        sysctl.insert("clk_sel0", 0, 0, 1)  # the core runs from the crystal meanwhile
        assert soc.hz == XTAL
    set_pll(sysctl, number, *values)
    assert soc.sysctl.pll_hz(number) == hz
    if number == 0:
        assert soc.hz == XTAL
        sysctl.insert("clk_sel0", 1, 0, 1)
        assert soc.hz == hz // 2


def test_bypassed_pll_gives_the_crystal(soc: Soc, sysctl: Registers) -> None:
    sysctl.insert("pll0", 1, 23, 1)
    assert soc.hz == XTAL // 2
    sysctl.insert("pll0", 0, 23, 1)
    assert soc.hz == 390_000_000


@pytest.mark.parametrize(("select", "hz"), [(0, 390_000_000), (1, 195_000_000), (2, 97_500_000), (3, 48_750_000)])
def test_aclk_divider(soc: Soc, sysctl: Registers, select: int, hz: int) -> None:
    sysctl.insert("clk_sel0", select, 1, 2)
    assert soc.hz == hz


def test_dividers_of_the_peripheral_clocks(soc: Soc, sysctl: Registers) -> None:
    for number, select in enumerate((0, 1, 7)):
        sysctl.insert("clk_sel0", select, 3 + 3 * number, 3)
    assert [soc.sysctl.apb_hz(n) for n in range(3)] == [390_000_000, 195_000_000, 48_750_000]
    sysctl["clk_th1"] = 0x03_00_01_00  # spi3, spi2, spi1, spi0
    assert [soc.sysctl.spi_hz(n) for n in (0, 1, 3)] == [390_000_000, 195_000_000, XTAL // 8]
    sysctl.insert("clk_sel0", 1, 12, 1)  # spi_clk_init: SPI3 from PLL0
    assert soc.sysctl.spi_hz(3) == 97_500_000
    sysctl["clk_th2"] = 0x04_00_01
    assert [soc.sysctl.timer_hz(n) for n in range(3)] == [XTAL // 4, XTAL // 2, XTAL // 10]
    sysctl.insert("clk_sel0", 1, 14, 1)
    assert soc.sysctl.timer_hz(1) == 390_000_000
    sysctl["clk_th6"] = 0x01_00
    assert [soc.sysctl.wdt_hz(n) for n in range(2)] == [XTAL // 2, XTAL // 4]


def test_cycles_go_on_when_the_rate_changes(soc: Soc, sysctl: Registers, board: Board) -> None:
    board.clock.advance(10 * MS)
    assert soc.cycles_now() == 3_900_000
    sysctl.insert("clk_sel0", 0, 0, 1)
    assert soc.cycles_now() == 3_900_000
    board.clock.advance(10 * MS)
    assert soc.cycles_now() == 3_900_000 + 260_000


def test_a_uart_follows_the_divider_of_apb0(soc: Soc, sysctl: Registers, board: Board) -> None:
    lane = board.pads.serial_out[7] = Lane(board.clock, "out")
    soc.fpioa.write(4 * 7, 67)  # UART2_TX
    uart = Registers(soc.uarts[1])
    divisor = 390_000_000 // 115200
    uart["LCR"] = 0x83
    uart["IER/DLH"], uart["RBR/THR/DLL"], uart["DLF"] = divisor >> 12, divisor >> 4 & 0xFF, divisor & 15
    uart["LCR"] = 3
    assert lane.tx_baud == 390_000_000 // divisor
    sysctl.insert("clk_sel0", 1, 3, 3)
    assert lane.tx_baud == 195_000_000 // divisor
    sysctl.insert("clk_sel0", 0, 3, 3)
    assert lane.tx_baud == 390_000_000 // divisor
    set_pll(sysctl, 0, 1, 31, 1)
    assert lane.tx_baud == 403_000_000 // divisor


def test_a_running_timer_keeps_its_count_when_its_clock_changes(soc: Soc, sysctl: Registers, board: Board) -> None:
    timer = Registers(soc.timers[0])
    timer["channel[0].load_count"] = 13_000  # 1 ms at 13 MHz
    timer["channel[0].control"] = 3
    board.clock.advance(MS // 2)
    assert timer["channel[0].current_value"] == 6500
    sysctl["clk_th2"] = 1  # timer_set_clock_div: half the rate
    assert timer["channel[0].current_value"] == 6500
    board.clock.advance(MS - 1)
    assert timer["raw_intr_stat"] == 0
    board.clock.advance(1)
    assert timer["raw_intr_stat"] == 1
    timer["channel[0].eoi"]
    sysctl.insert("clk_sel0", 1, 13, 1)  # from PLL0: 780 MHz / 4
    board.clock.advance(13_000 * SECOND // 195_000_000)
    assert timer["raw_intr_stat"] == 1


def test_a_running_watchdog_keeps_its_count_when_its_clock_changes(soc: Soc, sysctl: Registers, board: Board) -> None:
    wdt = Registers(soc.wdts[1])
    wdt["torr"] = 0
    wdt["cr"] = 1
    period = (1 << 16) * SECOND // 13_000_000
    board.clock.advance(period // 2)
    left = wdt["ccvr"]
    assert abs(left - (1 << 15)) <= 1
    sysctl["clk_th6"] = 0x01_00
    assert abs(wdt["ccvr"] - left) <= 1
    board.clock.advance(period - 2000)
    assert soc.reset_wanted is None
    board.clock.advance(4000)
    assert soc.reset_wanted == RESET_WDT1


def test_soft_reset_and_its_cause(soc: Soc, sysctl: Registers) -> None:
    assert sysctl["reset_status"] == RESET_PIN
    sysctl["clk_th2"] = 5
    sysctl["soft_reset"] = 1
    assert soc.reset_wanted == RESET_SOFT
    soc.reset(RESET_SOFT)  # as the engine does when the instruction is done
    assert sysctl["reset_status"] == RESET_SOFT
    assert sysctl["clk_th2"] == 0
    assert soc.hz == 390_000_000
