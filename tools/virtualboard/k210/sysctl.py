"""SYSCTL: PLLs, clock dividers, resets. Register layout and clock tree: Kendryte SDK sysctl.h and sysctl.c."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.k210.bus import Device

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

CRYSTAL_HZ = 26_000_000

_PLL0, _PLL_LOCK, _CLK_SEL0, _SOFT_RESET, _RESET_STATUS = 0x08, 0x18, 0x20, 0x30, 0x60
_TH1, _TH2, _TH6 = 0x3C, 0x40, 0x50

RESET_PIN, RESET_WDT0, RESET_WDT1, RESET_SOFT = 1, 2, 4, 8
"""Bits of reset_status."""


class Sysctl(Device):
    """Clock frequencies are computed from the registers whenever a part asks."""

    NAME = "sysctl"
    BASE = 0x5044_0000
    TIMED = True
    SHADOW = 0x1000
    KEPT = ("reset_cause",)
    NAMES = {  # noqa: RUF012
        0x00: "git_id", 0x04: "clk_freq", 0x08: "pll0", 0x0C: "pll1", 0x10: "pll2", 0x18: "pll_lock",
        0x1C: "rom_error", 0x20: "clk_sel0", 0x24: "clk_sel1", 0x28: "clk_en_cent", 0x2C: "clk_en_peri",
        0x30: "soft_reset", 0x34: "peri_reset", 0x38: "clk_th0", 0x3C: "clk_th1", 0x40: "clk_th2",
        0x44: "clk_th3", 0x48: "clk_th4", 0x4C: "clk_th5", 0x50: "clk_th6", 0x54: "misc", 0x58: "peri",
        0x5C: "spi_sleep", 0x60: "reset_status", 0x64: "dma_sel0", 0x68: "dma_sel1", 0x6C: "power_sel",
    }  # fmt: skip

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self.writes = {at: lambda v, at=at: self._set_clock(at, v) for at in (_PLL0, _CLK_SEL0, _TH2, _TH6)}
        self.writes[_SOFT_RESET] = self._set_soft_reset
        self.reset_cause = RESET_PIN
        self.reset()

    def reset(self) -> None:
        # PLL0 at 780 MHz and the CPU at half of it is how the boot ROM hands over (SDK: 390 MHz default).
        self.regs.clear()
        self.regs.update(
            {
                0x04: CRYSTAL_HZ,
                _PLL0: 29 << 4 | 0 << 10 | 29 << 14 | 1 << 21 | 1 << 25,
                0x0C: 59 << 4 | 3 << 10 | 59 << 14 | 1 << 21 | 1 << 25,
                0x10: 59 << 4 | 3 << 10 | 59 << 14 | 1 << 21 | 1 << 25,
                _PLL_LOCK: 0x0303_0303,
                _CLK_SEL0: 1,
                0x28: 0xFFFF_FFFF,
                0x2C: 0xFFFF_FFFF,
                _SOFT_RESET: 0,
                _RESET_STATUS: self.reset_cause,
            }
        )
        self.publish()

    def pll_hz(self, number: int) -> int:
        """Output of PLL 0, 1 or 2 from the crystal (PLL2's other inputs are not modelled)."""
        value = self.regs.get(_PLL0 + 4 * number, 0)
        if value >> 23 & 1:
            return CRYSTAL_HZ
        divider, factor, output = (value & 15) + 1, (value >> 4 & 63) + 1, (value >> 10 & 15) + 1
        return CRYSTAL_HZ * factor // (divider * output)

    @property
    def cpu_hz(self) -> int:
        """ACLK, at which the cores run."""
        select = self.regs[_CLK_SEL0]
        return self.pll_hz(0) // (2 << (select >> 1 & 3)) if select & 1 else CRYSTAL_HZ

    def apb_hz(self, number: int) -> int:
        """APB bus clock 0, 1 or 2. The UARTs hang on APB0."""
        return self.cpu_hz // ((self.regs[_CLK_SEL0] >> (3 + 3 * number) & 7) + 1)

    def spi_hz(self, index: int) -> int:
        """Reference clock of SPI `index`, before its own divider baudr."""
        source = self.pll_hz(0) if index != 3 or self.regs[_CLK_SEL0] >> 12 & 1 else CRYSTAL_HZ
        return source // (((self.regs.get(_TH1, 0) >> 8 * index & 0xFF) + 1) * 2)

    def timer_hz(self, index: int) -> int:
        """Clock of TIMER `index`."""
        source = self.pll_hz(0) if self.regs[_CLK_SEL0] >> (13 + index) & 1 else CRYSTAL_HZ
        return source // (((self.regs.get(_TH2, 0) >> 8 * index & 0xFF) + 1) * 2)

    def wdt_hz(self, index: int) -> int:
        """Clock of watchdog `index`."""
        return CRYSTAL_HZ // (((self.regs.get(_TH6, 0) >> 8 * index & 0xFF) + 1) * 2)

    def _set_clock(self, at: int, value: int) -> None:
        # SPI clocks (clk_th1) are looked up for each transfer; nothing runs on them in between.
        if value != self.regs.get(at, 0):
            self.regs[at] = value
            self.soc.clocks_changed()

    def _set_soft_reset(self, value: int) -> None:
        if value & 1:
            self.soc.request_reset(RESET_SOFT)
