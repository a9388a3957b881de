"""SPI3 with the flash chip and the DMAC, by the register sequences of the SDK (spi.c, dmac.c)."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from rig.registers import Registers
from virtualboard.board import Board
from virtualboard.clock import MS
from virtualboard.k210.engine import K210Engine
from virtualboard.k210.soc import Soc

Run = Callable[..., K210Engine]

SPI3, DMAC = 0x5400_0000, 0x5000_0000
CORE0_ONLY = "csrr t0, mhartid\npark: bne t0, zero, park\n"


def store(address: int, value: int) -> str:
    """Lines that store one 32-bit word."""
    return f"li t0, {address:#x}\nli t1, {value & 0xFFFFFFFF:#x}\nsw t1, 0(t0)\n"


def wait_idle(label: str) -> str:
    """The SDK's wait for `(sr & 5) == 4`, then deselect and disable."""
    return (
        f"li t0, {SPI3 + 0x28:#x}\n{label}: lw t1, 0(t0)\nandi t1, t1, 5\naddi t2, zero, 4\nbne t1, t2, {label}\n"
        + store(SPI3 + 0x10, 0)
        + store(SPI3 + 0x08, 0)
    )


def send(label: str, *data: int) -> str:
    """spi_send_data_normal: full-duplex mode, 8-bit frames."""
    text = store(SPI3, 7) + store(SPI3 + 0x14, 20) + store(SPI3 + 8, 1) + store(SPI3 + 0x10, 1)
    return text + "".join(store(SPI3 + 0x60, byte) for byte in data) + wait_idle(label)


def dma_channel(channel: int, source: int, target: int, count: int, fixed: str) -> str:
    """dmac_set_channel_param: 32-bit words, the peripheral's side fixed."""
    at = DMAC + 0x100 + 0x100 * channel
    control = (0x10 if fixed == "source" else 0x40) | 2 << 8 | 2 << 11
    lines = ((at, source), (at + 4, 0), (at + 8, target), (at + 12, 0), (at + 0x10, count - 1), (at + 0x18, control))
    return "".join(store(*line) for line in lines)


def dma_start_and_wait(channel: int, label: str) -> str:
    """dmac_channel_enable, then polling the enable bit as spi.c does."""
    return store(DMAC + 0x18, 0x101 << channel) + (
        f"{label}: lw t1, 0(t0)\nandi t1, t1, {1 << channel}\nbne t1, zero, {label}\n"
    )


def test_status_and_identity_by_hand(run_program: Run) -> None:
    # EEPROM mode: send the instruction, then receive ctrlr1 + 1 frames (spi_receive_data_standard).
    engine = run_program(
        CORE0_ONLY
        + store(SPI3, 3 << 10 | 7)
        + store(SPI3 + 4, 2)
        + store(SPI3 + 8, 1)
        + store(SPI3 + 0x60, 0x9F)
        + store(SPI3 + 0x10, 1)
        + f"""
        li s0, 0x80100000
        li s1, {SPI3:#x}
        addi s2, zero, 3
    next: lw t1, 36(s1)         # rxflr
        beq t1, zero, next
        lw t1, 0x60(s1)
        sw t1, 0(s0)
        addi s0, s0, 4
        addi s2, s2, -1
        bne s2, zero, next
    """
        + wait_idle("over")
        + "end: j end"
    )
    first, second, third = struct.unpack_from("<III", engine.soc.ram, 0x100000)
    assert (first, second, third) == tuple(engine.board.flash.transfer(0x9F, None, b"", 3))
    assert first == 0xEF


def test_read_by_dma_and_program_by_hand(run_program: Run, board: Board) -> None:
    board.flash.data[0x1000:0x1100] = random.Random(1).randbytes(256)
    before = bytes(board.flash.data[0x1000:0x1100])
    engine = run_program(
        CORE0_ONLY
        + store(SPI3, 3 << 10 | 7)
        + store(SPI3 + 4, 255)
        + store(SPI3 + 0x4C, 3)
        + store(SPI3 + 8, 1)
        + dma_channel(1, SPI3 + 0x60, 0x8020_0000, 256, "source")
        + store(DMAC + 0x18, 0x101 << 1)
        + "".join(store(SPI3 + 0x60, byte) for byte in (0x03, 0x00, 0x10, 0x00))
        + store(SPI3 + 0x10, 1)
        + f"li t0, {DMAC + 0x18:#x}\nbusy: lw t1, 0(t0)\nandi t1, t1, 2\nbne t1, zero, busy\n"
        + wait_idle("over")
        + send("w1", 0x06)
        + send("w2", 0x02, 0x00, 0x20, 0x00, *b"by hand")
        + "end: j end",
        timeout_ns=20 * MS,
    )
    assert bytes(board.flash.data[0x2000:0x2007]) == b"by hand"
    words = struct.unpack_from("<256I", engine.soc.ram, 0x200000)
    assert bytes(words) == before


@pytest.mark.parametrize(("divider", "factor"), [(20, 1), (40, 2)])
def test_dma_transmission_takes_the_time_of_its_bits(run_program: Run, divider: int, factor: int) -> None:
    engine = run_program(
        CORE0_ONLY
        + store(SPI3, 7)
        + store(SPI3 + 0x14, divider)
        + store(SPI3 + 8, 1)
        + store(SPI3 + 0x10, 1)
        + dma_channel(0, 0x8020_0000, SPI3 + 0x60, 1000, "target")
        + "csrr s2, mcycle\n"
        + dma_start_and_wait(0, "busy")
        + """
        csrr t1, mcycle
        sub t1, t1, s2
        li s0, 0x80100000
        sd t1, 0(s0)
    end: j end
    """,
        timeout_ns=50 * MS,
    )
    cycles = struct.unpack_from("<Q", engine.soc.ram, 0x100000)[0]
    # SPI3 hangs on the crystal after reset: 13 MHz through its divider, eight bits a frame.
    expected = 8000 * divider * engine.soc.hz // 13_000_000
    assert expected <= cycles <= expected + engine.soc.hz // 2000
    assert factor * 20 == divider


def test_dma_completion_interrupts(run_program: Run) -> None:
    engine = run_program(
        CORE0_ONLY
        + "la t0, handler\ncsrw mtvec, t0\n"
        + store(0x0C00_0000 + 4 * 27, 1)
        + store(0x0C00_2000, 1 << 27)
        + store(DMAC + 0x180, 2)
        + "li t0, 0x800\ncsrw mie, t0\naddi t0, zero, 8\ncsrs mstatus, t0\n"
        + dma_channel(0, 0x8020_0000, 0x8030_0000, 64, "none")
        + store(DMAC + 0x118, 2 << 8 | 2 << 11)
        + store(0x8020_0000, 0xCAFE_F00D)
        + store(DMAC + 0x18, 0x101)
        + """
    wait: wfi
        j wait
    handler:
        li s3, 0x0C200004
        lw s4, 0(s3)
        li s5, 0x80100000
        sw s4, 0(s5)
        """
        + store(DMAC + 0x198, 0xFFFF_FFFF)
        + "sw s4, 0(s3)\nmret\n"
    )
    assert struct.unpack_from("<I", engine.soc.ram, 0x100000)[0] == 27
    assert struct.unpack_from("<I", engine.soc.ram, 0x300000)[0] == 0xCAFE_F00D
    assert engine.soc.dmac.enabled == 0


# -- quad transfers, as MaixPy-v1's w25qxx.c makes them ------------------------------------------------------


def quad(soc: Soc, phases: int, mode: int, count: int = 1) -> Registers:
    """spi_init in quad format with 8-bit frames, spi_init_non_standard, spi_set_tmod."""
    spi = Registers(soc.spis[3])
    for name in ("imr", "dmacr", "ser", "ssienr"):
        spi[name] = 0
    spi["ctrlr0"] = 2 << 22 | mode << 10 | 7
    spi["spi_ctrlr0"] = phases
    spi["ctrlr1"] = count - 1
    spi["baudr"] = 20
    spi["ssienr"] = 1
    return spi


def finish(soc: Soc, spi: Registers) -> None:
    while spi["sr"] & 5 != 4:
        soc.clock.advance(1000)
    spi["ser"] = spi["ssienr"] = 0


def quad_read(soc: Soc, address: int, count: int) -> bytes:
    """w25qxx_read_data: EB by spi_receive_data_multiple, the address with eight mode bits behind it."""
    spi = quad(soc, 4 << 11 | 2 << 8 | 8 << 2 | 1, 3, count)  # instruction on one line, address on four
    spi["dr[0]"], spi["ser"] = 0xEB, 1
    spi["dr[0]"] = address << 8
    data = bytearray()
    while len(data) < count:
        for _ in range(spi["rxflr"]):
            data.append(spi["dr[0]"])
        soc.clock.advance(100)
    finish(soc, spi)
    return bytes(data)


def quad_program(soc: Soc, address: int, data: bytes) -> None:
    """w25qxx_page_program: write enable, then 32 by spi_send_data_multiple with address and data on four lines."""
    soc.board.flash.transfer(0x06)
    spi = quad(soc, 2 << 8 | 6 << 2, 1)
    spi["ser"] = 1
    for word in (0x32, address, *data):
        spi["dr[0]"] = word
    finish(soc, spi)


def test_quad_read(soc: Soc) -> None:
    soc.board.flash.data[0x12345:0x12445] = random.Random(2).randbytes(256)
    start = soc.clock.now
    assert quad_read(soc, 0x12345, 256) == bytes(soc.board.flash.data[0x12345:0x12445])
    # 8 bits alone, 32 + 16 and 2048 on four lines, at 13 MHz / 20 (crystal after reset).
    assert soc.clock.now - start >= (8 + 4 + 8 + 512) * 20 * 1000 // 13


def test_quad_program_and_read_back(soc: Soc) -> None:
    page = random.Random(3).randbytes(256)
    quad_program(soc, 0x4000, page)
    soc.clock.advance(MS)
    assert quad_read(soc, 0x3FF0, 288) == b"\xff" * 16 + page + b"\xff" * 16


def test_quad_without_the_enable_bit_reads_nothing(soc: Soc) -> None:
    """w25qxx_enable_quad_mode sets QE in status register 2 first."""
    flash = soc.board.flash
    flash.data[0:4] = b"data"
    flash.transfer(0x06)
    flash.transfer(0x31, None, b"\x00")
    soc.clock.advance(20 * MS)
    assert quad_read(soc, 0, 4) == b"\xff" * 4
    flash.transfer(0x06)
    flash.transfer(0x31, None, b"\x02")
    soc.clock.advance(20 * MS)
    assert quad_read(soc, 0, 4) == b"data"
