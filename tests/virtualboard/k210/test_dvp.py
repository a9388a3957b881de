"""DVP and its SCCB master by the accesses of the SDK's dvp.c, and MaixPy-v1's sensor.c for frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from rig.registers import Registers, claim, complete, enable_interrupt, pending
from virtualboard.board import Board, BoardConfig
from virtualboard.camera import rgb565
from virtualboard.clock import MS, SECOND
from virtualboard.k210.soc import Soc

IRQ = 24
START, START_WE, FINISH, FINISH_WE, EN, EN_WE, SCCB = 1, 2, 0x100, 0x200, 0x1_0000, 0x2_0000, 0x300_0000
RESET, POWER_DOWN, CLOCK = 0x1_0000, 0x100_0000, 0x100
SENSOR, COM7, CLKRC = 0x30 << 1, 0x12, 0x11
FRAME_NS = SECOND // 15
RGB, RED, GREEN, BLUE = 0x8010_0000, 0x8020_0000, 0x8021_0000, 0x8022_0000


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    picture = Image.linear_gradient("L").resize((64, 48))
    Image.merge("RGB", (picture, picture.rotate(180), picture.rotate(90).resize((64, 48)))).save(tmp_path / "a.png")
    built = Board(BoardConfig(camera=str(tmp_path / "a.png")))
    yield built
    built.power_off()


@pytest.fixture
def dvp(soc: Soc, board: Board) -> Registers:
    """After dvp_init: clock to the sensor, power down and up, reset."""
    block = Registers(soc.dvp)
    block["cmos_cfg"] = block["cmos_cfg"] & ~0xFF | 3 | CLOCK
    block["sccb_cfg"] = block["sccb_cfg"] & ~0xFF_FF00 | 255 << 8 | 255 << 16
    block["cmos_cfg"] |= POWER_DOWN
    board.clock.advance(MS)
    block["cmos_cfg"] &= ~POWER_DOWN
    block["cmos_cfg"] &= ~RESET
    board.clock.advance(MS)
    block["cmos_cfg"] |= RESET
    return block


def transfer(dvp: Registers, count: int, control: int) -> None:
    """dvp_sccb_start_transfer with `count` bytes."""
    dvp["sccb_cfg"] = dvp["sccb_cfg"] & ~3 | count - 1
    dvp["sccb_ctl"] = control
    assert not dvp["sts"] & SCCB
    dvp["sts"] = SCCB
    assert not dvp["sts"] & 0x100_0000


def send(dvp: Registers, device: int, register: int, value: int) -> None:
    transfer(dvp, 3, 1 | device | register << 8 | value << 16)


def receive(dvp: Registers, device: int, register: int) -> int:
    transfer(dvp, 2, 1 | device | register << 8)
    transfer(dvp, 2, device)
    return dvp["sccb_cfg"] >> 24


def set_size(dvp: Registers, width: int, height: int, burst: bool) -> None:
    """dvp_enable_burst or dvp_disable_burst, then dvp_set_image_size."""
    dvp["dvp_cfg"] = dvp["dvp_cfg"] & ~0x100 | 0x100 * burst
    dvp["axi"] = dvp["axi"] & ~0xFF | 3 * burst
    dvp["dvp_cfg"] = dvp["dvp_cfg"] & ~0x3FFF_F000 | height << 20 | width // 8 // (4 if burst else 1) << 12


def test_the_sensor_identifies_itself(dvp: Registers) -> None:
    send(dvp, SENSOR, 0xFF, 1)
    assert (receive(dvp, SENSOR, 0x0A), receive(dvp, SENSOR, 0x0B)) == (0x26, 0x42)


def test_registers_keep_what_is_written_until_the_sensors_reset(dvp: Registers) -> None:
    send(dvp, SENSOR, 0xFF, 1)
    send(dvp, SENSOR, CLKRC, 0x85)
    assert receive(dvp, SENSOR, CLKRC) == 0x85
    send(dvp, SENSOR, COM7, 0x80)
    send(dvp, SENSOR, 0xFF, 1)
    assert receive(dvp, SENSOR, CLKRC) == 0


def test_nobody_at_other_addresses_nor_while_powered_down(dvp: Registers) -> None:
    assert receive(dvp, 0x21 << 1, 0x0A) == 0xFF
    dvp["cmos_cfg"] |= POWER_DOWN
    assert receive(dvp, SENSOR, 0x0A) == 0xFF


def test_frames_come_at_the_sensors_rate(soc: Soc, dvp: Registers, board: Board) -> None:
    enable_interrupt(soc, IRQ)
    set_size(dvp, 64, 48, burst=False)
    dvp["dvp_cfg"] |= 1  # start-of-frame interrupt
    starts = []
    while len(starts) < 3:
        assert board.clock.run_until(lambda: pending(soc), board.clock.now + SECOND)
        starts.append(board.clock.now)
        assert claim(soc) == IRQ
        dvp["sts"] |= START | START_WE  # dvp_clear_interrupt
        complete(soc, IRQ)
        assert not pending(soc)
    assert [b - a for a, b in itertools.pairwise(starts)] == [FRAME_NS] * 2
    dvp["cmos_cfg"] &= ~CLOCK
    board.clock.advance(SECOND)
    assert not pending(soc)


@pytest.mark.parametrize(("burst", "width", "height"), [(True, 64, 48), (False, 40, 30)])
def test_a_frame_is_stored_for_display_and_network(
    soc: Soc, dvp: Registers, board: Board, burst: bool, width: int, height: int
) -> None:
    enable_interrupt(soc, IRQ)
    set_size(dvp, width, height, burst)
    dvp["r_addr"], dvp["g_addr"], dvp["b_addr"], dvp["rgb_addr"] = RED, GREEN, BLUE, RGB
    dvp["dvp_cfg"] |= 8 | 4 | 2 | 1  # dvp_set_output_enable twice, dvp_config_interrupt
    started = finished = 0
    while not finished:
        assert board.clock.run_until(lambda: pending(soc), board.clock.now + SECOND)
        assert claim(soc) == IRQ
        if dvp["sts"] & FINISH:  # as sensor.c's handler: the end stops, a start goes on
            finished = board.clock.now
            dvp["sts"] = FINISH | FINISH_WE
        else:
            started = board.clock.now
            dvp["sts"] = START | START_WE
            dvp["sts"] = EN | EN_WE  # dvp_start_convert
        complete(soc, IRQ)
    assert 0 < finished - started < FRAME_NS
    board.camera.frames = 0
    picture = board.camera.capture(width, height)
    pixels = rgb565(picture)
    stored = bytes(soc.ram[RGB & 0xFF_FFFF :][: len(pixels)])
    # 32-bit words, the left pixel in the high half.
    assert b"".join(stored[at : at + 4][::-1] for at in range(0, len(stored), 4)) == pixels
    for address, band in zip((RED, GREEN, BLUE), picture.split(), strict=True):
        assert bytes(soc.ram[address & 0xFF_FFFF :][: width * height]) == band.tobytes()


def test_without_conversion_nothing_is_stored(soc: Soc, dvp: Registers, board: Board) -> None:
    set_size(dvp, 64, 48, burst=True)
    dvp["rgb_addr"] = RGB
    dvp["dvp_cfg"] |= 8
    board.clock.advance(3 * FRAME_NS)
    assert board.camera.frames == 0
    assert not any(soc.ram[RGB & 0xFF_FFFF :][:1000])
    assert not dvp["sts"] & FINISH
