from __future__ import annotations

from pathlib import Path

import pytest

from rig.firmware_like import maixpy_like
from rig.isp_board import Faults, IspBoard


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    path = tmp_path / "maixpy.bin"
    path.write_bytes(maixpy_like())
    return path


@pytest.fixture
def isp():
    """Call it with faults for a board in ISP mode on a pseudo-terminal."""
    boards: list[IspBoard] = []

    def make(**faults: object) -> IspBoard:
        board = IspBoard(Faults(**faults))
        boards.append(board)
        return board.__enter__()

    yield make
    for board in boards:
        board.__exit__()
