"""OTP by the accesses of the FreeRTOS SDK's otp.c: otp_read_data."""

from __future__ import annotations

import pytest

from rig.registers import Registers
from virtualboard.board import Board, BoardConfig
from virtualboard.k210.soc import Soc


def read_data(otp: Registers, address: int, size: int) -> bytes | None:
    """None where the driver gives up with OTP_ERROR_ADDRESS."""
    for name in ("otp_cle", "otp_mode", "otp_wrg_adr_flag", "otp_ceb"):
        otp[name] = 0
    data = bytearray()
    for at in range(address, address + size):
        assert otp["otp_adr_in_flag"]
        if at == address + size - 1:
            otp["otp_last_dat"] = 1
        otp["otp_apb_adr"] = 8 * at
        assert otp["otp_data_rdy"]
        if otp["otp_wrg_adr_flag"] == 1:
            return None
        data.append(otp["otp_data"])
    return bytes(data)


def serial(seed: int) -> bytes | None:
    board = Board(BoardConfig(seed=seed))
    try:
        return read_data(Registers(Soc(board).otp), 0x3D9C, 12)
    finally:
        board.power_off()


def test_layout(soc: Soc) -> None:
    otp = Registers(soc.otp)
    assert read_data(otp, 0, 4) == b"ROXM"
    assert read_data(otp, 0x3D91, 11) == b"VIRTUALCHIP"
    assert read_data(otp, 0x4000, 1) is None


@pytest.mark.parametrize("seed", [0, 5])
def test_a_board_has_its_own_serial_number_and_keeps_it(seed: int) -> None:
    assert serial(seed) == serial(seed) != serial(seed + 1)
