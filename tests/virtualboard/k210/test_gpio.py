"""GPIO, GPIOHS and FPIOA by the accesses of the SDK's gpio.c, gpiohs.c and fpioa.c, down to the pads."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from rig.registers import Registers, claim, complete, enable_interrupt, pending
from virtualboard.board import Board
from virtualboard.clock import MS
from virtualboard.k210.engine import K210Engine
from virtualboard.k210.soc import Soc

GPIOHS, GPIO = 24, 56  # FUNC_GPIOHS0, FUNC_GPIO0
UP, DOWN = 1 << 16, 1 << 17
IRQ_GPIO, IRQ_GPIOHS = 23, 34
FALLING, RISING, LOW, HIGH = 1, 2, 4, 8  # gpio_pin_edge_t
EDGES = (("rise", RISING), ("fall", FALLING), ("low", LOW), ("high", HIGH))


def set_function(soc: Soc, pad: int, function: int, pull: int = 0) -> None:
    """fpioa_set_function: any other pad that carries the function gets none (RESV0)."""
    fpioa = Registers(soc.fpioa)
    for other in range(48):
        if other != pad and fpioa[f"io[{other}]"] & 0xFF == function:
            fpioa[f"io[{other}]"] = 120
    fpioa[f"io[{pad}]"] = function | pull


def set_drive_mode(pins: Registers, pin: int, output: bool) -> None:
    """gpiohs_set_drive_mode: one enable off, the other on."""
    for name in ("input_en", "output_en") if output else ("output_en", "input_en"):
        pins.insert(name, int(name == ("output_en" if output else "input_en")), pin, 1)


def set_pin_edge(pins: Registers, pin: int, edge: int) -> None:
    """gpiohs_set_pin_edge: all off and cleared, then what is wanted."""
    for name, _ in EDGES:
        pins.insert(f"{name}_ie", 0, pin, 1)
        pins.insert(f"{name}_ip", 1, pin, 1)
    for name, bit in EDGES:
        pins.insert(f"{name}_ie", int(bool(edge & bit)), pin, 1)


def serve(pins: Registers, pin: int, edge: int) -> None:
    """gpiohs_pin_onchange_isr: disable, clear, enable."""
    for name, bit in EDGES:
        if edge & bit:
            pins.insert(f"{name}_ie", 0, pin, 1)
            pins.insert(f"{name}_ip", 1, pin, 1)
            pins.insert(f"{name}_ie", 1, pin, 1)


# -- GPIOHS -------------------------------------------------------------------------------------------------


@pytest.fixture
def gpiohs(soc: Soc) -> Registers:
    return Registers(soc.gpiohs)


@pytest.mark.parametrize("pin", [0, 17, 31])
def test_gpiohs_drives_the_pad_that_the_fpioa_gives(soc: Soc, gpiohs: Registers, board: Board, pin: int) -> None:
    set_function(soc, 20, GPIOHS + pin)
    gpiohs.insert("output_val", 1, pin, 1)
    assert not board.pads.driven(20)
    set_drive_mode(gpiohs, pin, output=True)
    assert board.pads.level(20)
    gpiohs.insert("output_val", 0, pin, 1)
    assert board.pads.driven(20)
    assert not board.pads.level(20)
    gpiohs.insert("output_xor", 1, pin, 1)
    assert board.pads.level(20)
    set_function(soc, 21, GPIOHS + pin)  # the function moves, and the old pad is let go
    assert not board.pads.driven(20)
    assert board.pads.level(21)


def test_gpiohs_reads_the_pad_its_pull_up_and_only_enabled_pins(soc: Soc, gpiohs: Registers, board: Board) -> None:
    set_function(soc, 20, GPIOHS + 5)
    set_drive_mode(gpiohs, 5, output=False)
    assert gpiohs["input_val"] == 0
    set_function(soc, 20, GPIOHS + 5, UP)
    assert gpiohs["input_val"] == 1 << 5
    board.pads.press(20, False)
    assert gpiohs["input_val"] == 0
    board.pads.press(20, None)
    gpiohs.insert("input_en", 0, 5, 1)
    assert gpiohs["input_val"] == 0


@pytest.mark.parametrize(
    ("edge", "moments"),
    [(FALLING, [False]), (RISING, [True]), (FALLING | RISING, [False, True])],
)
def test_gpiohs_edges_interrupt_once_each(
    soc: Soc, gpiohs: Registers, board: Board, edge: int, moments: list[bool]
) -> None:
    pin, source = 7, IRQ_GPIOHS + 7
    set_function(soc, 16, GPIOHS + pin, UP)
    set_drive_mode(gpiohs, pin, output=False)
    set_pin_edge(gpiohs, pin, edge)
    enable_interrupt(soc, source)
    assert not pending(soc)
    seen = []
    for level in (False, None):  # the key goes down and up again
        board.pads.press(16, level)
        if pending(soc):
            assert claim(soc) == source
            seen.append(bool(gpiohs["input_val"] >> pin & 1))
            serve(gpiohs, pin, edge)
            complete(soc, source)
            assert not pending(soc)
    assert seen == moments


def test_gpiohs_levels_interrupt_as_long_as_they_last(soc: Soc, gpiohs: Registers, board: Board) -> None:
    set_function(soc, 16, GPIOHS + 7, UP)
    set_drive_mode(gpiohs, 7, output=False)
    set_pin_edge(gpiohs, 7, LOW)
    enable_interrupt(soc, IRQ_GPIOHS + 7)
    board.pads.press(16, False)
    for _ in range(2):
        assert claim(soc) == IRQ_GPIOHS + 7
        serve(gpiohs, 7, LOW)
        complete(soc, IRQ_GPIOHS + 7)
    board.pads.press(16, None)
    assert not pending(soc)


# -- GPIO ---------------------------------------------------------------------------------------------------


@pytest.fixture
def gpio(soc: Soc) -> Registers:
    return Registers(soc.gpio)


def test_gpio_drives_and_reads(soc: Soc, gpio: Registers, board: Board) -> None:
    set_function(soc, 17, GPIO + 0)
    set_function(soc, 16, GPIO + 7, UP)
    gpio.insert("direction", 1, 0, 1)
    gpio.insert("data_output", 1, 0, 1)
    assert board.pads.level(17)
    gpio.insert("data_output", 0, 0, 1)
    assert not board.pads.level(17)
    assert gpio["data_input"] == 1 << 7
    board.pads.press(16, False)
    assert gpio["data_input"] == 0


@pytest.mark.parametrize(("polarity", "both", "wanted"), [(0, 0, [False]), (1, 0, [True]), (0, 1, [False, True])])
def test_gpio_edges_share_one_interrupt(
    soc: Soc, gpio: Registers, board: Board, polarity: int, both: int, wanted: list[bool]
) -> None:
    set_function(soc, 16, GPIO + 3, UP)
    gpio.insert("interrupt_level", 1, 3, 1)  # by edge
    gpio.insert("interrupt_polarity", polarity, 3, 1)
    gpio.insert("interrupt_bothedge", both, 3, 1)
    gpio.insert("interrupt_enable", 1, 3, 1)
    enable_interrupt(soc, IRQ_GPIO)
    seen = []
    for level in (False, None):
        board.pads.press(16, level)
        if pending(soc):
            assert claim(soc) == IRQ_GPIO
            assert gpio["interrupt_status"] == 1 << 3
            seen.append(bool(gpio["data_input"] >> 3 & 1))
            gpio["interrupt_clear"] = 1 << 3
            complete(soc, IRQ_GPIO)
    assert seen == wanted
    assert not pending(soc)


def test_gpio_mask_hides_what_is_latched(soc: Soc, gpio: Registers, board: Board) -> None:
    set_function(soc, 16, GPIO + 3, UP)
    gpio["interrupt_level"] = gpio["interrupt_enable"] = gpio["interrupt_mask"] = 1 << 3
    enable_interrupt(soc, IRQ_GPIO)
    board.pads.press(16, False)
    assert (gpio["interrupt_status"], gpio["interrupt_status_raw"], pending(soc)) == (0, 1 << 3, False)
    gpio["interrupt_mask"] = 0
    assert pending(soc)


# -- FPIOA --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [(GPIO, GPIOHS), (GPIOHS, GPIO)])
def test_a_pad_that_another_block_takes_over_stays_driven(
    soc: Soc, gpio: Registers, gpiohs: Registers, board: Board, old: int, new: int
) -> None:
    set_drive_mode(gpiohs, 3, output=True)
    gpiohs.insert("output_val", 1, 3, 1)
    gpio.insert("direction", 1, 3, 1)
    gpio.insert("data_output", 1, 3, 1)
    set_function(soc, 12, old + 3)
    assert board.pads.driven(12) and board.pads.level(12)
    set_function(soc, 12, new + 3)
    assert board.pads.driven(12) and board.pads.level(12)
    set_function(soc, 12, 120)
    assert not board.pads.driven(12)


def test_fpioa_after_reset(soc: Soc) -> None:
    fpioa = Registers(soc.fpioa)
    assert [fpioa[f"io[{pad}]"] & 0xFF for pad in range(6)] == [0, 1, 2, 3, 18, 19]  # JTAG and UARTHS
    assert (soc.fpioa.pad(18), soc.fpioa.pad(19), soc.fpioa.pad(GPIOHS)) == (4, 5, None)


def test_fpioa_init_and_pulls(soc: Soc) -> None:
    fpioa = Registers(soc.fpioa)
    for word in range(8):
        fpioa[f"tie.val[{word}]"] = 0xF0F0 << word
        fpioa[f"tie.en[{word}]"] = 0x0FF0 << word
    assert [fpioa[f"tie.en[{word}]"] for word in range(8)] == [0x0FF0 << word for word in range(8)]
    for pull, high in ((UP, True), (DOWN, False), (0, False)):
        fpioa["io[33]"] = fpioa["io[33]"] & ~(UP | DOWN) | pull  # fpioa_set_io_pull
        assert soc.pad_level(33) is high


def test_fpioa_a_function_on_two_pads_is_read_at_the_lower(soc: Soc) -> None:
    soc.fpioa.write(4 * 30, GPIOHS)
    soc.fpioa.write(4 * 25, GPIOHS)
    assert soc.fpioa.pad(GPIOHS) == 25
    soc.fpioa.write(4 * 25, 0)
    assert soc.fpioa.pad(GPIOHS) == 30


def test_a_key_interrupts_a_program_of_ours(run_program: Callable[..., K210Engine], board: Board) -> None:
    """IO16 as GPIOHS7 with pull-up; both edges; the handler notes level and time and clears the latch."""
    engine = run_program(
        f"""
        csrr t0, mhartid
    park: bne t0, zero, park
        la t0, handler
        csrw mtvec, t0
        li s0, 0x502B0000
        li t0, {UP | GPIOHS + 7:#x}
        sw t0, 64(s0)           # io[16]
        li s1, 0x38001000
        addi s2, zero, 128      # pin 7
        sw s2, 4(s1)            # input_en
        sw s2, 0x18(s1)         # rise_ie
        sw s2, 0x20(s1)         # fall_ie
        li s3, 0x0C000000
        addi t0, zero, 1
        sw t0, {4 * (IRQ_GPIOHS + 7)}(s3)
        li s4, 0x0C002000
        li t0, {1 << IRQ_GPIOHS + 7 - 32:#x}
        sw t0, 4(s4)
        li s5, 0x0C200000
        li s6, 0x80100000
        li t0, 0x800
        csrw mie, t0
        addi t0, zero, 8
        csrs mstatus, t0
    wait: wfi
        j wait
    handler:
        lw t1, 4(s5)            # claim
        lw t2, 0(s1)            # input_val
        sw s2, 0x1C(s1)         # rise_ip
        sw s2, 0x24(s1)         # fall_ip
        sw t1, 0(s6)
        sw t2, 4(s6)
        csrr t3, mcycle
        sd t3, 8(s6)
        addi s6, s6, 16
        sw t1, 4(s5)            # complete
        mret
        """
    )
    moments = []
    for down in (True, False):
        engine.run(timeout_ns=3 * MS)
        moments.append(board.clock.now)
        board.press(16, down)
    engine.run(timeout_ns=3 * MS)
    noted = [struct.unpack_from("<IIQ", engine.soc.ram, 0x100000 + 16 * n) for n in range(3)]
    assert [entry[:2] for entry in noted] == [(IRQ_GPIOHS + 7, 0), (IRQ_GPIOHS + 7, 128), (0, 0)]
    for when, (_, _, cycles) in zip(moments, noted, strict=False):
        assert 0 <= cycles - when * engine.soc.hz // 1_000_000_000 <= 200
    assert engine.idle
