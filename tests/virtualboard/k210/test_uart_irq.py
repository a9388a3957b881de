"""UART2 by interrupt, as the SDK sets it up: a bare-metal echo, true baud rates, full FIFOs on both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from virtualboard.board import Board
from virtualboard.clock import MS, SECOND
from virtualboard.k210.engine import K210Engine
from virtualboard.wire import Lane

# IO6 carries UART2_RX (66), IO7 UART2_TX (67); the divisor is 390 MHz / {divisor}; receive interrupts to core 0.
SETUP = """
        csrr t0, mhartid
    park: bne t0, zero, park
        li s0, 0x502B0000
        addi t0, zero, 66
        sw t0, 24(s0)
        addi t0, zero, 67
        sw t0, 28(s0)
        li s0, 0x50220000       # UART2
        addi t0, zero, 0x83
        sw t0, 12(s0)           # LCR: DLAB, 8N1
        addi t0, zero, {dlh}
        sw t0, 4(s0)            # DLH
        addi t0, zero, {dll}
        sw t0, 0(s0)            # DLL
        addi t0, zero, {dlf}
        sw t0, 0xC0(s0)         # DLF
        addi t0, zero, 3
        sw t0, 12(s0)
        addi t0, zero, 0x81
        sw t0, 4(s0)            # IER: PTIME, ERBFI
        li s1, 0x0C000000       # PLIC
        addi t0, zero, 1
        sw t0, 48(s1)           # priority of source 12
        li s2, 0x0C002000
        li t0, 0x1000
        sw t0, 0(s2)            # enable it for core 0
        li s3, 0x0C200000
        la t0, handler
        csrw mtvec, t0
        li t0, 0x800
        csrw mie, t0
        addi t0, zero, 8
        csrs mstatus, t0
"""
ECHO = """
    wait: wfi
        j wait
    handler:
        lw t1, 4(s3)            # claim
        lw t2, 8(s0)            # IIR
        andi t2, t2, 4
        beq t2, zero, done
    more: lw t2, 20(s0)         # LSR
        andi t2, t2, 1
        beq t2, zero, done
        lw t3, 0(s0)            # RBR
        addi t3, t3, 1
    full: lw t2, 20(s0)
        andi t2, t2, 0x20       # FIFO full in this mode
        bne t2, zero, full
        sw t3, 0(s0)            # THR
        j more
    done: sw t1, 4(s3)          # complete
        mret
"""
Run = Callable[..., K210Engine]


def program(baud: int, rest: str) -> str:
    """UART2 at the divisor that comes nearest to `baud` from 390 MHz, then `rest`."""
    divisor = round(390_000_000 / baud)
    return SETUP.format(dlh=divisor >> 12, dll=divisor >> 4 & 0xFF, dlf=divisor & 15) + rest


@pytest.fixture
def line(board: Board) -> tuple[Lane, Lane]:
    """Lanes of our own at IO6 and IO7, in the modem's place: (to the chip, from the chip)."""
    pads = board.pads
    pads.serial_in[6], pads.serial_out[7] = Lane(board.clock, "in"), Lane(board.clock, "out")
    return pads.serial_in[6], pads.serial_out[7]


@pytest.mark.parametrize("baud", [9600, 115200, 921600])
def test_echo_by_interrupt_at_true_rates(board: Board, line: tuple[Lane, Lane], run_program: Run, baud: int) -> None:
    to_chip, from_chip = line
    to_chip.tx_baud = from_chip.rx_baud = baud
    engine = run_program(program(baud, ECHO), timeout_ns=MS)
    uart = engine.soc.uarts[1]
    start = board.clock.now
    message = bytes(range(200))
    to_chip.write(message)
    ends: list[int] = []
    from_chip.on_write = lambda: ends.append(from_chip.busy_until)
    engine.run(timeout_ns=SECOND // 2)
    assert from_chip.take() == bytes((b + 1) & 0xFF for b in message)
    assert uart.receiver.lost == 0
    byte_ns = 10 * SECOND // baud
    took = ends[-1] - start
    # The echo of the last byte ends at least one byte time after its arrival; batching adds a few more.
    assert 201 * byte_ns * 0.98 <= took <= 225 * byte_ns
    assert abs(from_chip.tx_baud - baud) <= baud * 0.003


def test_wrong_rate_is_garbage(line: tuple[Lane, Lane], run_program: Run) -> None:
    to_chip, from_chip = line
    to_chip.tx_baud = from_chip.rx_baud = 115200
    engine = run_program(program(57600, ECHO), timeout_ns=MS)
    to_chip.write(b"plain text")
    engine.run(timeout_ns=20 * MS)
    assert bytes((b - 1) & 0xFF for b in from_chip.take()) != b"plain text"


def test_bytes_beyond_the_fifo_are_lost_and_told(line: tuple[Lane, Lane], run_program: Run) -> None:
    to_chip, _ = line
    poll = """
        addi t0, zero, 8
        csrc mstatus, t0
        li t1, 0x80100000
    hold: lw t2, 0(t1)
        beq t2, zero, hold
        lw t2, 20(s0)
        sw t2, 8(t1)
        lw t2, 132(s0)
        sw t2, 16(t1)
    end: j end
    handler: j handler
    """
    engine = run_program(program(115200, poll), timeout_ns=MS)
    to_chip.write(b"x" * 40)
    engine.run(timeout_ns=10 * MS)
    engine.soc.ram[0x100000] = 1
    engine.run(timeout_ns=MS)
    assert engine.soc.ram[0x100008] & 0b11 == 0b11  # data ready, overrun
    assert engine.soc.ram[0x100010] == 16  # RFL
    assert engine.soc.uarts[1].receiver.lost == 24


def test_transmitter_holds_back_a_program_that_is_faster_than_the_line(
    line: tuple[Lane, Lane], run_program: Run
) -> None:
    _, from_chip = line
    flood = """
        li t4, 1000
    next: lw t2, 20(s0)
        andi t2, t2, 0x20
        bne t2, zero, next
        sw t4, 0(s0)
        addi t4, t4, -1
        bne t4, zero, next
        csrr t5, mcycle
        li t1, 0x80100000
        sd t5, 0(t1)
    end: j end
    handler: j handler
    """
    engine = run_program(program(115200, flood), timeout_ns=200 * MS)
    assert from_chip.take() == bytes(n & 0xFF for n in range(1000, 0, -1))
    cycles = int.from_bytes(engine.soc.ram[0x100000:0x100008], "little")
    # The program is done when all but the FIFO's 16 and the shift register's one are out.
    line = 10 * 390_000_000 / 115200
    assert 980 * line <= cycles <= 986 * line


def test_a_sender_that_is_reset_within_a_byte_leaves_the_receiver_alive(
    board: Board, line: tuple[Lane, Lane], run_program: Run
) -> None:
    """A modem that loses its power, for instance: what it had queued never comes, and time goes on."""
    to_chip, from_chip = line
    to_chip.tx_baud = from_chip.rx_baud = 115200
    engine = run_program(program(115200, ECHO), timeout_ns=MS)
    to_chip.write(b"one two three")
    engine.run(timeout_ns=3 * 10 * SECOND // 115200 + 1000)
    to_chip.cut()
    assert to_chip.sent == 3
    start = board.clock.now
    engine.run(timeout_ns=10 * MS)
    assert board.clock.now - start == 10 * MS
    to_chip.write(b"again")
    engine.run(timeout_ns=10 * MS)
    assert from_chip.take() == bytes(b + 1 for b in b"oneagain")
