"""OTP: one-time programmable memory, which holds the chip's serial number.

Registers: Kendryte FreeRTOS SDK otp.h; the reading sequence: otp.c (address in bits in, one byte out). What lies where:
laanwj/k210-sdk-stuff, doc/otp_layout.md. Programming is not modelled.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from virtualboard.k210.bus import Device

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

SIZE = 0x4000
"""Bytes."""

_NAMES = (
    "otp_ceb", "otp_test_mode", "otp_mode", "gb_otp_en", "dat_in_finish", "otp_bisr_fail", "test_step",
    "otp_pwrrdy", "otp_last_dat", "otp_data", "otp_pwr_mode", "otp_in_dat", "otp_apb_adr", "td_result",
    "data_acp_flag", "otp_adr_in_flag", "wr_result", "otp_thershold", "bisr_finish", "key_cmp_result",
    "otp_cmp_key", "cmp_result_rdy", "otp_cle", "data_blk_ctrl", "otp_wrg_adr_flag", "pro_wrong", "otp_status",
    "otp_pro_adr", "blank_finish", "bisr2otp_en", "otp_cpu_ctrl", "otp_web_cpu", "otp_rstb_cpu",
    "otp_seltm_cpu", "otp_readen_cpu", "otp_pgmen_cpu", "otp_dle_cpu", "otp_din_cpu", "otp_cpumpen_cpu",
    "otp_cle_cpu", "otp_ceb_cpu", "otp_adr_cpu", "otp_dat_cpu", "otp_data_rdy", "block_flag_high",
    "block_flag_low", "reg_flag_high", "reg_flag_low",
)  # fmt: skip
_DATA, _ADDRESS, _ADDRESS_READY, _WRONG, _DATA_READY = 0x24, 0x30, 0x3C, 0x60, 0xAC
_MAGIC, _RUN, _SERIAL = 0x0000, 0x3D91, 0x3D9C


class Otp(Device):
    """Memory with a serial number made from the board's seed: the same board always has the same."""

    NAME = "otp"
    BASE = 0x5042_0000
    NAMES = {4 * n: name for n, name in enumerate(_NAMES)}  # noqa: RUF012

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self.memory = bytearray(SIZE)
        serial = hashlib.sha256(f"virtual k210 {soc.board.config.seed}".encode()).digest()
        self.memory[_MAGIC : _MAGIC + 4] = b"ROXM"
        self.memory[_RUN : _RUN + 11] = b"VIRTUALCHIP"
        self.memory[_SERIAL : _SERIAL + 12] = serial[:12]
        self.reads = {
            _ADDRESS_READY: lambda: 1,
            _DATA_READY: lambda: 1,
            _WRONG: lambda: int(self._place() >= SIZE),
            _DATA: lambda: self.memory[self._place()] if self._place() < SIZE else 0,
        }

    def _place(self) -> int:
        return self.regs.get(_ADDRESS, 0) >> 3
