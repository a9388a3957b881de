"""Bare-metal programs of ours on the two cores: constants, traps, interrupts between cores, timer, waiting.

Longer than 350 lines: one program after another, each in the words of its assembler.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from rig.asm import assemble
from virtualboard.board import Board, BoardConfig
from virtualboard.k210.engine import K210Engine
from virtualboard.k210.soc import Soc
from virtualboard.k210.waiting import Loops

RESULT = 0x8010_0000
Run = Callable[..., K210Engine]

CORE0_ONLY = """
        csrr t0, mhartid
    park: bne t0, zero, park
"""


def result(engine: K210Engine, index: int = 0) -> int:
    """The 64-bit word that a program left for us."""
    return struct.unpack_from("<Q", engine.soc.ram, RESULT - 0x8000_0000 + 8 * index)[0]


@pytest.mark.parametrize("value", [0, 1, 0x7FF, 0x800, 0xFFF, 0x8000_0000, 0x8010_0000, 0x1234_5678, 0xFFFF_FFFF])
def test_constants_of_the_assembler(run_program: Run, value: int) -> None:
    engine = run_program(f"{CORE0_ONLY}\nli t1, {RESULT:#x}\nli t2, {value:#x}\nsd t2, 0(t1)\nend: j end")
    assert result(engine) == value


def test_each_core_knows_its_number(run_program: Run) -> None:
    engine = run_program(
        f"""
        csrr t0, mhartid
        add t2, t0, t0
        add t2, t2, t2
        add t2, t2, t2          # 8 x mhartid
        li t1, {RESULT:#x}
        add t1, t1, t2
        addi t0, t0, 7
        sd t0, 0(t1)
    end: j end
        """
    )
    assert (result(engine, 0), result(engine, 1)) == (7, 8)


@pytest.mark.parametrize("place", ["own", 0x8002_0000])
def test_code_that_is_written_over_runs_as_it_was_written(run_program: Run, place: str | int) -> None:
    """In the page that runs, and in one that was plain data at first: stores to it were quick until then."""
    engine = run_program(
        f"""{CORE0_ONLY}
        li s0, {RESULT:#x}
        {"la s1, work" if place == "own" else f"li s1, {place:#x}"}
        li t0, 0x00130313       # addi t1, t1, 1
        li t1, 0x00028067       # jr t0
        sw t0, 0(s1)            # as data, twice: the second store is as quick as a page lets it be
        sw t0, 0(s1)
        sw t1, 4(s1)
        li t1, 0
        li t3, 5
        li t4, 0x00100000       # one more in the immediate of addi
        li t2, 0x00130313
    again:
        sw t2, 0(s1)
        la t0, back
        jr s1
    back:
        add t2, t2, t4
        addi t3, t3, -1
        bne t3, zero, again
        sd t1, 0(s0)
    end: j end
    work:
        nop
        nop
        """
    )
    assert result(engine) == 1 + 2 + 3 + 4 + 5


def test_ecall_traps_with_machine_cause_and_its_own_address(run_program: Run) -> None:
    engine = run_program(
        f"""{CORE0_ONLY}
        la t0, handler
        csrw mtvec, t0
        li t1, {RESULT:#x}
        la t2, call
        sd t2, 16(t1)
    call: ecall
        addi t3, zero, 99
        sd t3, 24(t1)
    end: j end
    handler:
        csrr t4, mcause
        sd t4, 0(t1)
        csrr t4, mepc
        sd t4, 8(t1)
        addi t4, t4, 4
        csrw mepc, t4
        mret
        """
    )
    assert result(engine, 0) == 11
    assert result(engine, 1) == result(engine, 2)
    assert result(engine, 3) == 99


def test_access_to_nowhere_is_a_fault_with_the_exact_address(run_program: Run) -> None:
    engine = run_program(
        f"""{CORE0_ONLY}
        la t0, handler
        csrw mtvec, t0
        li t1, {RESULT:#x}
        li t2, 0x20000000
        la t3, bad
        sd t3, 16(t1)
        nop
    bad: lw t4, 0(t2)
    end: j end
    handler:
        csrr t4, mcause
        sd t4, 0(t1)
        csrr t4, mepc
        sd t4, 8(t1)
    stop: j stop
        """
    )
    assert result(engine, 0) == 5
    assert result(engine, 1) == result(engine, 2)


def test_cores_interrupt_each_other(run_program: Run) -> None:
    engine = run_program(
        f"""
        la t0, handler
        csrw mtvec, t0
        addi t0, zero, 8
        csrw mie, t0            # software interrupts
        li s0, 0x02000000       # msip of core 0, +4 of core 1
        li s1, {RESULT:#x}
        csrs mstatus, t0        # MIE
        csrr t0, mhartid
        bne t0, zero, wait
        addi t1, zero, 1
        sw t1, 4(s0)            # core 0 pokes core 1
    wait: wfi
        j wait
    handler:
        csrr t2, mcause
        csrr t0, mhartid
        bne t0, zero, second
        sd t2, 0(s1)
        sw zero, 0(s0)
        mret
    second:
        sd t2, 8(s1)
        sw zero, 4(s0)
        addi t1, zero, 1
        sw t1, 0(s0)            # and core 1 answers
        mret
        """
    )
    assert result(engine, 0) == result(engine, 1) == 1 << 63 | 3
    assert all(core.waiting for core in engine.soc.cores)
    assert engine.idle


def test_machine_timer_fires_at_its_count(run_program: Run) -> None:
    engine = run_program(
        f"""{CORE0_ONLY}
        la t0, handler
        csrw mtvec, t0
        li s0, 0x02004000
        li s1, {RESULT:#x}
        li t1, 20000
        sw t1, 0(s0)
        sw zero, 4(s0)          # mtimecmp = 20000
        addi t0, zero, 128
        csrw mie, t0
        addi t0, zero, 8
        csrs mstatus, t0
    wait: wfi
        j wait
    handler:
        csrr t2, mcycle
        sd t2, 0(s1)
        addi t3, zero, -1
        sw t3, 4(s0)
        mret
        """
    )
    # mtime is the cycle counter divided by 50; a handful of instructions pass until the counter is read.
    assert 20000 * 50 <= result(engine) <= 20000 * 50 + 100


def test_delay_loop_on_the_cycle_counter_is_warped_and_stays_true(run_program: Run) -> None:
    engine = run_program(
        f"""{CORE0_ONLY}
        li s1, {RESULT:#x}
        csrr s2, mcycle
        li t0, 40000000
        add s3, s2, t0
    loop: csrr t1, mcycle
        addi s4, s4, 1
        bltu t1, s3, loop
        sub t1, t1, s2
        sd t1, 0(s1)
        sd s4, 8(s1)
    end: j end
        """,
        timeout_ns=300_000_000,
    )
    took, turns = result(engine, 0), result(engine, 1)
    assert 40_000_000 <= took <= 40_000_000 + engine.soc.hz // 4000
    assert turns < 2000  # executed in full it would be ten million


def test_loop_that_waits_for_memory_is_parked_and_let_go(run_program: Run) -> None:
    engine = run_program(
        f"""
        li s1, {RESULT:#x}
        csrr t0, mhartid
        bne t0, zero, other
    wait: ld t1, 0(s1)
        beq t1, zero, wait
        sd t1, 8(s1)
    end: j end
    other: ld t1, 16(s1)
        beq t1, zero, other
        sd t1, 0(s1)
        j end
        """
    )
    assert engine.idle
    assert [core.loops.parked is not None for core in engine.soc.cores] == [True, True]
    struct.pack_into("<Q", engine.soc.ram, RESULT - 0x8000_0000 + 16, 77)  # as DMA would
    engine.run(timeout_ns=5_000_000)
    assert result(engine, 1) == 77


def test_a_long_loop_is_known_again_after_work(monkeypatch: pytest.MonkeyPatch, run_program: Run) -> None:
    """As FreeRTOS idles: an interrupt lets the loop go for some work every 100 us, and it is entered anew each time."""
    executed = []
    ran = Loops.ran
    monkeypatch.setattr(
        Loops, "ran", lambda loops, cycles, touched: (executed.append(cycles), ran(loops, cycles, touched))
    )
    nops = "nop\n" * 60
    engine = run_program(
        f"""{CORE0_ONLY}
        la t0, handler
        csrw mtvec, t0
        li s0, 0x02004000       # mtimecmp
        li s1, {RESULT:#x}      # flag, count, time of the next interrupt
        li t3, 800
        sd t3, 16(s1)
        sw t3, 0(s0)
        sw zero, 4(s0)
        addi t0, zero, 128
        csrw mie, t0
        addi t0, zero, 136      # MIE, and MPIE as every return from an interrupt leaves it
        csrs mstatus, t0
        addi t3, zero, 0
    loop: ld t1, 0(s1)
        {nops}
        beq t1, zero, loop
        sd zero, 0(s1)
        ld t2, 8(s1)
        addi t2, t2, 1
        sd t2, 8(s1)
        addi t2, zero, 0
        j loop
    handler: ld t3, 16(s1)
        addi t3, t3, 800
        sd t3, 16(s1)
        sw t3, 0(s0)
        addi t3, zero, 1
        sd t3, 0(s1)
        addi t3, zero, 0
        mret
        """,
        timeout_ns=20_000_000,
    )
    assert 190 <= result(engine, 1) <= 203
    assert sum(executed) < engine.soc.cycles * 0.4


def test_counting_loop_is_not_taken_for_idle(run_program: Run) -> None:
    engine = run_program(
        f"""{CORE0_ONLY}
        li s1, {RESULT:#x}
        li t0, 2000000
    loop: ld t1, 0(s1)
        addi t1, t1, 1
        sd t1, 0(s1)
        bltu t1, t0, loop
        sd t1, 8(s1)
    end: j end
        """,
        timeout_ns=60_000_000,
    )
    assert result(engine, 1) == 2_000_000


@pytest.mark.parametrize(("factor", "cycles"), [(1.0, 400_000), (0.4, 1_000_000)])
def test_cpu_factor_is_instructions_per_cycle(factor: float, cycles: int) -> None:
    from rig.asm import assemble

    board = Board(BoardConfig())
    engine = K210Engine(board, cpu_factor=factor)
    engine.soc.reset()
    # Two instructions a turn, 200,000 turns between the two looks at the counter.
    engine.soc.start(
        assemble(
            f"""{CORE0_ONLY}
            li s1, {RESULT:#x}
            li t0, 200000
            csrr s2, mcycle
        loop: addi t0, t0, -1
            bne t0, zero, loop
            csrr t1, mcycle
            sub t1, t1, s2
            sd t1, 0(s1)
        end: j end
            """
        )
    )
    engine.run(timeout_ns=20_000_000)
    assert abs(result(engine) - cycles) <= 5
    board.power_off()


@pytest.mark.parametrize(
    ("turns", "looks", "cycles"),
    [
        (100, "csrr t1, mcycle", 300),  # counts its looks, as a driver that gives up after so many
        (5_000, "csrr t1, mcycle\n csrr t2, mcycle", 20_000),  # works: each byte of a driver has its own timeout
    ],
)
def test_loops_that_do_not_wait_take_the_time_of_their_instructions(
    run_program: Run, turns: int, looks: str, cycles: int
) -> None:
    engine = run_program(
        f"""{CORE0_ONLY}
            li s1, {RESULT:#x}
            li t0, {turns}
            csrr s2, mcycle
        loop: {looks}
            addi t0, t0, -1
            bne t0, zero, loop
            csrr t1, mcycle
            sub t1, t1, s2
            sd t1, 0(s1)
        end: j end
        """
    )
    assert abs(result(engine) - cycles) <= 0.5 * cycles


@pytest.mark.parametrize(("factor", "batch"), [(0.0, 8), (9.0, 8), (1.0, 0), (1.0, 15)])
def test_senseless_parameters_are_refused(board: Board, factor: float, batch: int) -> None:
    with pytest.raises(ValueError, match="from"):
        Soc(board, factor, batch)


def test_same_program_same_run() -> None:
    from rig.asm import assemble

    program = assemble("loop: csrr t0, mcycle\nadd t1, t1, t0\nli t2, 0x80100000\nsd t1, 0(t2)\nj loop")
    seen = set()
    for _ in range(2):
        board = Board(BoardConfig())
        engine = K210Engine(board)
        engine.soc.reset()
        engine.soc.start(program)
        engine.run(timeout_ns=3_000_000)
        seen.add((engine.cycles, engine.slices, engine.ram_hash()))
        board.power_off()
    assert len(seen) == 1


@pytest.mark.parametrize("padding", [2, 60])
def test_countdown_in_memory_is_not_taken_for_idle(run_program: Run, padding: int) -> None:
    # The count lives in memory and its register is overwritten before the loop comes round, in short and long loops.
    nops = "nop\n" * padding
    engine = run_program(
        f"""{CORE0_ONLY}
        li s1, {RESULT:#x}
        li t0, 300000
        sd t0, 0(s1)
    loop: ld t1, 0(s1)
        addi t1, t1, -1
        sd t1, 0(s1)
        beq t1, zero, over
        addi t1, zero, 0
        {nops}
        j loop
    over: addi t1, zero, 5
        sd t1, 8(s1)
    end: j end
        """,
        timeout_ns=100_000_000,
    )
    assert result(engine, 1) == 5


def test_waiting_for_a_block_that_is_not_modelled_is_warped(run_program: Run) -> None:
    # A program that polls the AES unit would otherwise be executed at a fifteenth of real time, for nothing.
    engine = run_program(
        f"""{CORE0_ONLY}
        li s1, {RESULT:#x}
        li s0, 0x50450000
    wait: lw t1, 0x14(s0)
        ld t2, 0(s1)
        addi t2, t2, 1
        sd t2, 0(s1)
        beq t1, zero, wait
    end: j end
        """,
        timeout_ns=100_000_000,
    )
    assert 0 < result(engine) < 2000


@pytest.mark.parametrize(
    ("body", "most", "expected"),
    [("nop\nnop", 50, (3, True)), ("nop\nnop", 2, (2, True)), ("nop\ncsrr t1, mcycle\nnop", 50, (2, False))],
    ids=["comes home", "has not come yet", "touches a device"],
)
def test_a_walk_is_as_many_single_steps(body: str, most: int, expected: tuple[int, bool]) -> None:
    def at_loop() -> K210Engine:
        engine = K210Engine(Board(BoardConfig()))
        engine.soc.reset()
        engine.soc.start(assemble(f"{CORE0_ONLY}\nloop: {body}\nj loop"))
        engine.soc.cores[0].attempt(2)
        return engine

    walker, stepper = at_loop().soc.cores[0], at_loop().soc.cores[0]
    home = walker.pc
    assert home == stepper.pc == 0x8000_0008
    assert walker.walk(most, home) == expected
    clean, steps = True, 0
    while clean and steps < most and (stepper.pc != home or not steps):
        _, clean = stepper.attempt(1)
        steps += 1
    assert (steps, clean) == expected
    assert (walker.pc, walker.loops.state()) == (stepper.pc, stepper.loops.state())
    for core in (walker, stepper):
        core.soc.board.power_off()
