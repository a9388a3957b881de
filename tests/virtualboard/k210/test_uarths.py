"""UARTHS by the accesses of the SDK's uarths.c: uarths_init, uarths_putchar, uarths_getchar, uarths_set_irq."""

from __future__ import annotations

import pytest

from rig.registers import Registers, claim, complete, enable_interrupt, pending
from virtualboard.board import Board
from virtualboard.clock import SECOND
from virtualboard.k210.soc import Soc

IRQ = 33
HZ = 390_000_000
DIV = HZ // 115200 - 1
BYTE_NS = 10 * SECOND // (HZ // (DIV + 1)) + 1
FULL = EMPTY = 1 << 31


@pytest.fixture
def soc(board: Board) -> Soc:
    """Every byte interrupts, as on the chip."""
    return Soc(board, rx_batch=1)


@pytest.fixture
def uarths(soc: Soc) -> Registers:
    """After uarths_init."""
    block = Registers(soc.uarths)
    block["div"] = DIV
    block["txctrl"] |= 1
    block["rxctrl"] |= 1
    block.insert("txctrl", 0, 16, 3)
    block.insert("rxctrl", 0, 16, 3)
    block["ip"] = 3
    block["ie"] = 2
    return block


def test_bytes_leave_at_the_rate_of_the_divisor(uarths: Registers, board: Board) -> None:
    ends: list[int] = []
    board.console_tx.on_write = lambda: ends.append(board.console_tx.busy_until)
    for byte in b"Maix":
        assert not uarths["txdata"] & FULL
        uarths["txdata"] = byte
    assert all((n + 1) * (BYTE_NS - 1) <= end <= (n + 1) * BYTE_NS for n, end in enumerate(ends))
    assert len(ends) == 4
    board.clock.advance(4 * BYTE_NS)
    assert board.console_tx.take() == b"Maix"


def test_the_fifo_holds_eight_and_the_shift_register_one(uarths: Registers, board: Board) -> None:
    sent = 0
    while not uarths["txdata"] & FULL:
        uarths["txdata"] = sent
        sent += 1
    assert sent == 9
    uarths["txdata"] = 0xEE  # a driver that does not look loses it
    board.clock.advance(BYTE_NS)
    assert not uarths["txdata"] & FULL
    board.clock.advance(20 * BYTE_NS)
    assert board.console_tx.take() == bytes(range(9))


def test_received_bytes_interrupt_until_they_are_read(soc: Soc, uarths: Registers, board: Board) -> None:
    enable_interrupt(soc, IRQ)
    assert uarths["rxdata"] & EMPTY
    board.console_rx.write(b"ab")
    board.clock.advance(2 * 10 * SECOND // board.console_rx.tx_baud + BYTE_NS // 50)
    assert claim(soc) == IRQ
    assert uarths["ip"] & 2
    assert [uarths["rxdata"], uarths["rxdata"]] == [ord("a"), ord("b")]
    assert uarths["rxdata"] & EMPTY
    complete(soc, IRQ)
    assert not pending(soc)


def test_a_watermark_gathers(soc: Soc, uarths: Registers, board: Board) -> None:
    """uarths_set_interrupt_cnt: rxwm when more than rxcnt bytes are there."""
    enable_interrupt(soc, IRQ)
    uarths.insert("rxctrl", 3, 16, 3)
    uarths["div"] = DIV
    board.console_rx.write(b"abcd")
    byte_ns = 10 * SECOND // board.console_rx.tx_baud
    board.clock.advance(3 * byte_ns + byte_ns // 2)
    assert not pending(soc)
    board.clock.advance(byte_ns)
    assert pending(soc)


def test_the_ninth_unread_byte_is_lost(soc: Soc, uarths: Registers, board: Board) -> None:
    board.console_rx.write(bytes(range(1, 12)))
    board.clock.advance(12 * BYTE_NS)
    read = [uarths["rxdata"] for _ in range(9)]
    assert read == [*range(1, 9), EMPTY]
    assert soc.uarths.receiver.lost == 3


def test_an_empty_transmitter_interrupts_below_its_watermark(soc: Soc, uarths: Registers, board: Board) -> None:
    enable_interrupt(soc, IRQ)
    uarths.insert("txctrl", 1, 16, 3)
    uarths["ie"] = 1  # uarths_set_irq(UARTHS_SEND)
    assert uarths["ip"] & 1
    assert pending(soc)
    uarths["txdata"] = uarths["txdata"] = 1
    assert not uarths["ip"] & 1
    assert not pending(soc)
    board.clock.advance(BYTE_NS)
    assert not pending(soc)
    board.clock.advance(BYTE_NS)
    assert uarths["ip"] & 1
    assert pending(soc)
    uarths.insert("txctrl", 2, 16, 3)  # already below two
    uarths["txdata"] = uarths["txdata"] = uarths["txdata"] = 1
    assert not pending(soc)
    board.clock.advance(2 * BYTE_NS)
    assert pending(soc)


def test_another_pad_by_the_fpioa(soc: Soc, uarths: Registers, board: Board) -> None:
    soc.fpioa.write(4 * 5, 0)
    uarths["txdata"] = 1
    board.clock.advance(2 * BYTE_NS)
    assert board.console_tx.take() == b""  # into the air
    soc.fpioa.write(4 * 5, 19)
    uarths["txdata"] = 2
    board.clock.advance(2 * BYTE_NS)
    assert board.console_tx.take() == b"\x02"
