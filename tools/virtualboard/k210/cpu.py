"""One RISC-V core: a Unicorn engine, the traps that Unicorn does not take itself, and exact instruction counts.

Interrupts are injected between two instructions, the way the RISC-V privileged specification 1.9.1 describes a trap
into machine mode. How many instructions ran is read from Unicorn's own counter, which lets every register access
know its exact cycle and lets a slice end after exactly the instruction that made it necessary (`stop_after_this`).
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any

import unicorn
from unicorn import riscv_const as reg

from virtualboard.k210 import mmio, selfcheck
from virtualboard.k210.bus import log
from virtualboard.k210.patcher import (
    PAGE0_MHARTID,
    PAGE0_MIP,
    TOP_CSR,
    TOP_CYCLE,
    TOP_MRET,
    TOP_PAGE,
    TOP_WFI,
    CsrWrite,
)
from virtualboard.k210.traps import CAUSES, FAULTS, INTERRUPT

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

_NOWHERE = 0xFFFF_FFFF_FFFF_FFF0
_X = [reg.UC_RISCV_REG_X0 + i for i in range(32)]
_F = [reg.UC_RISCV_REG_F0 + i for i in range(32)]
_CSRS = [
    reg.UC_RISCV_REG_MSTATUS,
    reg.UC_RISCV_REG_MIE,
    reg.UC_RISCV_REG_MTVEC,
    reg.UC_RISCV_REG_MEPC,
    reg.UC_RISCV_REG_MCAUSE,
    reg.UC_RISCV_REG_MSCRATCH,
    reg.UC_RISCV_REG_FCSR,
]
_LOOP_STATE = [*_X[1:], reg.UC_RISCV_REG_MSTATUS, reg.UC_RISCV_REG_PC]
_LOOP_IDS = (ctypes.c_int * len(_LOOP_STATE))(*_LOOP_STATE)

_MIE, _MPIE, _MPP, _FS = 1 << 3, 1 << 7, 3 << 11, 3 << 13
_POLL_INSTRUCTIONS = 3000
_MASKED_INSTRUCTIONS = 500
# How long a core that masks a pending interrupt runs unwatched: not every way to unmask is visible to the patcher.
_STEPS_A_SECOND = 4000
_LONGEST_LOOP = 4000
_SHORT_LOOP = 24
_WORTH_NS = 5_000_000
_SEARCH_EVERY = 40_000_000
_PERIODS_KEPT = 24
_YIELDS_KEPT = 32


class Core:
    """Core `index` (0 or 1) of `soc`. `pc` is valid between slices."""

    def __init__(self, soc: Soc, index: int) -> None:
        self.soc = soc
        self.index = index
        self.running = False
        self.pc = 0
        self.mip = 0
        self.waiting = False
        """True while the core sleeps in `wfi`."""
        self.parked: tuple[int, bytes] | None = None
        """Length in instructions and registers of a loop that was proven to have no effect."""
        self.touched = False
        """True when the core has accessed a device since the engine last cleared it."""
        self.explored = 0
        """Instructions run by `try_park` that were not accounted for yet."""
        self.acted = False
        """Like `touched`, but interrupts that cores send each other through CLINT do not count."""
        self._yields: set[bytes] = set()
        self.start_cycles = 0
        self.skipped = 0
        self.limit_cycles = 0
        self._trap: tuple[int, int] | None = None
        self._returned = False
        self.csr_sites: list[CsrWrite] = []
        self._cycle_latch = 0
        self._cell = ctypes.c_uint64()
        self._cell_pointer = ctypes.byref(self._cell)
        self._reg_read, self._reg_write = mmio.binding.uclib.uc_reg_read, mmio.binding.uclib.uc_reg_write
        self._loop_values = (ctypes.c_uint64 * len(_LOOP_STATE))()
        start = ctypes.addressof(self._loop_values)
        self._loop_pointers = (ctypes.c_void_p * len(_LOOP_STATE))(*range(start, start + 8 * len(_LOOP_STATE), 8))
        self._periods = list(range(2, 16))
        self._next_search = 0
        self.polls = 0
        self._poll_start = 0
        self._last_poll = 0
        self._uc: Any = None
        self._page0 = ctypes.create_string_buffer(0x2000)

    # -- making it ----------------------------------------------------------------------------------------

    def power_on(self, pc: int, sites: list[CsrWrite]) -> None:
        """A fresh core about to run at `pc`. `sites` is what the patcher's numbered stores stand for."""
        offsets = selfcheck.check()
        uc = self._uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
        self._handle, handle = uc._uch, uc._uch.value
        self._counter = ctypes.c_uint64.from_address(handle + offsets.counter)
        self._limit = ctypes.c_uint64.from_address(handle + offsets.limit)
        self.csr_sites = sites
        for address, size, buffer in self.soc.memories():
            uc.mem_map_ptr(address, size, unicorn.UC_PROT_ALL, ctypes.addressof(buffer))
        aligned = -(-ctypes.addressof(self._page0) // 0x1000) * 0x1000
        self._page0_address = aligned
        uc.mem_map_ptr(0, 0x1000, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE, aligned)
        ctypes.c_uint64.from_address(aligned + PAGE0_MHARTID).value = self.index
        self._mip_image = ctypes.c_uint64.from_address(aligned + PAGE0_MIP)
        for device in self.soc.devices:
            mmio.connect(self, uc, device)
        mmio.map_io(uc, TOP_PAGE, 0x1000, self._top_read, self._top_write)
        uc.hook_add(unicorn.UC_HOOK_INTR, self._on_trap)
        uc.reg_write(reg.UC_RISCV_REG_MSTATUS, _MPP)
        self.mip = 0
        self._mip_image.value = 0
        self.pc = pc
        self.running = True
        self.waiting = False
        self.parked = None
        self.touched = True
        self._trap = None
        self.forget_polls()

    # -- running ------------------------------------------------------------------------------------------

    def run(self, start_cycles: int, cycles: int) -> int:
        """Run for about `cycles` from `start_cycles` on, interrupts included; returns the cycles that passed."""
        soc, uc = self.soc, self._uc
        self.limit_cycles = start_cycles + cycles
        at = start_cycles
        while True:
            self.start_cycles = at
            self.skipped = 0
            self._counter.value = 0
            count = max(1, (self.limit_cycles - at) * soc.cpi_den // soc.cpi_num)
            if self.mip and self.masked():
                count = min(count, _MASKED_INSTRUCTIONS)
            try:
                uc.emu_start(self.pc, _NOWHERE, 0, count)
            except unicorn.UcError as error:
                self._fault(error)
            executed = min(self._counter.value, self._limit.value)
            at += executed * soc.cpi_num // soc.cpi_den + self.skipped
            if self._returned:
                self._returned = False
                if not (self.mip and self._chain()):
                    self._leave()
            else:
                self.pc = self._read(reg.UC_RISCV_REG_PC)
                if self._trap is not None:
                    cause, epc = self._trap
                    self._trap = None
                    self._enter(cause, epc)
            if self.mip:
                self.deliver()
            if at >= self.limit_cycles or self.waiting or self.parked or soc.reset_wanted is not None:
                return at - start_cycles

    @property
    def cycles_now(self) -> int:
        """Cycle count of the instruction that runs, valid inside of device callbacks."""
        soc = self.soc
        return self.start_cycles + self.skipped + self._counter.value * soc.cpi_num // soc.cpi_den

    def end_at(self, cycles: int) -> None:
        """Shorten the slice that runs so that it ends no later than cycle `cycles`."""
        if cycles < self.limit_cycles:
            self.limit_cycles = cycles
            self._apply_limit()

    def stop_after_this(self) -> None:
        """End the slice after the instruction that runs."""
        self._limit.value = self._counter.value

    def skip(self, cycles: int) -> None:
        """Let up to `cycles` pass without instructions, never beyond the end of the slice."""
        left = self.limit_cycles - self.cycles_now
        self.skipped += max(0, min(cycles, left))
        self._apply_limit()

    def _apply_limit(self) -> None:
        soc = self.soc
        left = (self.limit_cycles - self.cycles_now) * soc.cpi_den // soc.cpi_num
        counter = self._counter.value
        self._limit.value = min(self._limit.value, counter + max(0, left))

    # -- waiting loops ------------------------------------------------------------------------------------

    def forget_polls(self) -> None:
        """Something happened: whatever was waited for may be here."""
        self.polls = 0

    def polled(self) -> None:
        """Firmware looks at the time or at a status once more: when it does nothing else, let time pass faster.

        A step is at most an eighth of the time already waited and at most 0.25 ms (1/1024 of a wait beyond 0.25 s),
        which is how much a delay may last too long. Loops that work between two looks are let be.
        """
        now = self.cycles_now
        if now - self._last_poll > _POLL_INSTRUCTIONS + self.soc.hz // _STEPS_A_SECOND or not self.polls:
            self.polls = 0
            self._poll_start = now
        self._last_poll = now
        self.polls += 1
        if self.polls > 8:
            waited = now - self._poll_start
            self.skip(min(waited >> 3, max(self.soc.hz // _STEPS_A_SECOND, waited >> 10)))
            self._last_poll = self.cycles_now

    def try_park(self, worth_ns: int) -> bool:
        """Find out whether the core loops without any effect: registers, memory and devices stay as they are.

        Nothing then changes until the other core, DMA or an interrupt acts. `worth_ns` is how long that may last:
        the proof for a long loop is only worth its price when much time can be skipped.
        """
        self._settle()
        self.parked = None
        before = self._state()
        for period in self._periods:
            after = self._go(period)
            if after is None:
                return False
            if after == before:
                return self._prove(period, after, worth_ns)
            before = after
        now = self.soc.cycles
        if now >= self._next_search:
            self._next_search = now + _SEARCH_EVERY
            return self._search(before, worth_ns)
        return False

    def _search(self, start: bytes, worth_ns: int) -> bool:
        """Step through a loop once to learn its length in instructions."""
        for period in range(1, _LONGEST_LOOP):
            after = self._go(1)
            if after is None:
                return False
            if after == start:
                self._periods.insert(0, period)
                del self._periods[_PERIODS_KEPT:]
                return self._prove(period, after, worth_ns)
        return False

    def _prove(self, period: int, state: bytes, worth_ns: int) -> bool:
        """The registers come back every `period` instructions: does the memory, too?

        A short loop is stepped through twice. Whatever changes in memory and matters passes through a register on
        its way, so equal registers at every step mean equal loads and stores. For a long loop memory is compared.
        """
        if period <= _SHORT_LOOP:
            first = [self._go(1) for _ in range(period)]
            proven = None not in first and first == [self._go(1) for _ in range(period)]
        elif worth_ns >= _WORTH_NS:
            memory = bytes(self.soc.ram)
            proven = self._go(period) == state and self.soc.same_memory(memory)
        else:
            return False
        if proven:
            self.parked = (period, state)
        return proven

    def still_parked(self) -> bool:
        """Run the loop once more and see whether memory let it go."""
        if self.parked is None:
            return False
        period, state = self.parked
        if period == 0:
            return True
        if self._go(period) == state:
            return True
        self.parked = None
        return False

    def _state(self) -> bytes:
        # The binding's own batch read builds its arrays anew each time, which costs more than the loop's run.
        self._uc._do_reg_read_batch(_LOOP_IDS, self._loop_pointers, ctypes.c_int(len(_LOOP_STATE)))
        return bytes(self._loop_values)

    def _settle(self) -> None:
        self.start_cycles = self.limit_cycles = self.soc.cycles
        self.skipped = 0

    def _go(self, count: int) -> bytes | None:
        """Run `count` instructions outside of time; None when a device was touched or a trap taken on the way."""
        self._settle()
        self.limit_cycles += 1 << 40
        self.touched = False
        self.soc.active = self
        self._counter.value = 0
        try:
            self._uc.emu_start(self.pc, _NOWHERE, 0, count)
        except unicorn.UcError as error:
            self._fault(error)
        self.soc.active = None
        self.explored += min(self._counter.value, self._limit.value)
        state = self._state()
        self.pc = self._loop_values[-1]
        if self._returned:
            self._returned = False
            self._leave()
            return None
        if self._trap is not None:
            cause, epc = self._trap
            self._trap = None
            self._enter(cause, epc)
            return None
        return None if self.touched else state

    # -- traps --------------------------------------------------------------------------------------------

    def set_mip(self, bit: int, on: bool) -> None:
        """A line into the core's `mip` changed."""
        new = self.mip | bit if on else self.mip & ~bit
        if new == self.mip:
            return
        self.mip = new
        if self._uc is not None:
            self._mip_image.value = new
        if on and self.soc.active is self:
            if self._read(reg.UC_RISCV_REG_MSTATUS) & _MIE:
                self.stop_after_this()
            else:
                self._limit.value = min(self._limit.value, self._counter.value + _MASKED_INSTRUCTIONS)

    def deliver(self) -> bool:
        """Take the interrupt that is pending and enabled, if there is one."""
        if not self.mip:
            return False
        ready = self.mip & self._read(reg.UC_RISCV_REG_MIE)
        if ready and self.waiting:
            self.waiting = False
        if not ready or not self._read(reg.UC_RISCV_REG_MSTATUS) & _MIE:
            return False
        for bit, cause in CAUSES:
            if ready & bit:
                self._enter(INTERRUPT | cause, self.pc)
                return True
        return False

    def interrupted(self) -> bool:
        """True when an interrupt would be taken, or would end a `wfi`, right now."""
        if not self.masked():
            return False
        return self.waiting or bool(self._read(reg.UC_RISCV_REG_MSTATUS) & _MIE)

    def masked(self) -> bool:
        """True while an interrupt is pending that the core has enabled, whether or not it takes any now."""
        return bool(self.mip and self.mip & self._read(reg.UC_RISCV_REG_MIE))

    def _enter(self, cause: int, epc: int) -> None:
        status = self._read(reg.UC_RISCV_REG_MSTATUS)
        status = (status & ~(_MIE | _MPIE | _MPP)) | ((status & _MIE) << 4) | _MPP
        self._write(reg.UC_RISCV_REG_MSTATUS, status)
        self._write(reg.UC_RISCV_REG_MEPC, epc)
        self._write(reg.UC_RISCV_REG_MCAUSE, cause)
        self.pc = self._read(reg.UC_RISCV_REG_MTVEC) & ~3
        self.parked = None
        self.waiting = False
        if cause != INTERRUPT | 3:
            self.forget_polls()
        self._watch_yields(cause)

    def _chain(self) -> bool:
        """At an `mret`, take the next interrupt at once when one is pending: the way out and in again is skipped."""
        ready = self.mip & self._read(reg.UC_RISCV_REG_MIE)
        if not ready or not self._read(reg.UC_RISCV_REG_MSTATUS) & _MPIE:
            return False
        cause = next(cause for bit, cause in CAUSES if ready & bit)
        if cause == 3:
            return False  # yields are watched one by one
        self._write(reg.UC_RISCV_REG_MCAUSE, INTERRUPT | cause)
        self.pc = self._read(reg.UC_RISCV_REG_MTVEC) & ~3
        return True

    def _read(self, register: int) -> int:
        # The binding's reg_read spends most of its time on finding the type of a register.
        self._reg_read(self._handle, register, self._cell_pointer)
        return self._cell.value

    def _write(self, register: int, value: int) -> None:
        self._cell.value = value
        self._reg_write(self._handle, register, self._cell_pointer)

    def _leave(self) -> None:
        """Carry out the `mret` at which the core stopped."""
        status = self._read(reg.UC_RISCV_REG_MSTATUS)
        self._write(reg.UC_RISCV_REG_MSTATUS, (status & ~(_MIE | _MPIE)) | (status & _MPIE) >> 4 | _MPIE)
        self.pc = self._read(reg.UC_RISCV_REG_MEPC)

    def _watch_yields(self, cause: int) -> None:
        """A scheduler that interrupts its own core over and over, with the same registers each time, is idle.

        FreeRTOS yields so when several tasks have nothing to do. Such a core is parked at the handler's entry; the
        engine lets it go as soon as anything else has happened (`release`).
        """
        if cause != INTERRUPT | 3 or self.acted or len(self._yields) > _YIELDS_KEPT:
            self._yields.clear()
            self.acted = False
            if cause != INTERRUPT | 3:
                return
        state = self._state()
        if state in self._yields:
            self.parked = (0, state)
        else:
            self._yields.add(state)

    def release(self) -> None:
        """Something happened: a core that was parked between yields looks for itself."""
        if self.parked is not None and self.parked[0] == 0:
            self.parked = None
            self._yields.clear()

    def _on_trap(self, uc: Any, number: int, _data: Any) -> None:
        # Unicorn reports any ecall as 8 and has moved pc behind it; the K210 runs in machine mode (cause 11).
        self._trap = (11 if number == 8 else number, self._read(reg.UC_RISCV_REG_PC) - 4)
        uc.emu_stop()

    def _fault(self, error: unicorn.UcError) -> None:
        cause = FAULTS.get(error.errno)
        if cause is None:
            raise error
        pc = self._read(reg.UC_RISCV_REG_PC)
        log.warning("core %d: %s at pc %#x", self.index, error, pc)
        if self._read(reg.UC_RISCV_REG_MTVEC) == 0:
            raise RuntimeError(f"core {self.index} crashed at {pc:#x} before it had a trap handler: {error}")
        self._trap = (cause, pc)

    # -- the top page -------------------------------------------------------------------------------------

    def _top_read(self, _uc: Any, offset: int, _size: int, _data: Any) -> int:
        if offset == TOP_CYCLE:
            self.touched = self.acted = True
            self.polled()
            self._cycle_latch = self.cycles_now
            return self._cycle_latch & 0xFFFF_FFFF
        return self._cycle_latch >> 32 & 0xFFFF_FFFF

    def _top_write(self, _uc: Any, offset: int, _size: int, _value: int, _data: Any) -> None:
        if offset == TOP_WFI:
            if not self.mip & self._read(reg.UC_RISCV_REG_MIE):
                self.waiting = True
            self.touched = True
            self.stop_after_this()
            return
        if offset == TOP_MRET:
            self._returned = True
            self.stop_after_this()
            return
        site = self.csr_sites[(offset - TOP_CSR) >> 2]
        operand = site.source if site.funct3 & 4 else self._read(_X[site.source])
        old = self._read(reg.UC_RISCV_REG_MSTATUS)
        kind = site.funct3 & 3
        new = operand if kind == 1 else old | operand if kind == 2 else old & ~operand
        self._write(reg.UC_RISCV_REG_MSTATUS, new)
        if new & _MIE and self.mip & self._read(reg.UC_RISCV_REG_MIE):
            self.stop_after_this()

    # -- state --------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Registers and flags between two slices."""
        ids = [*_X[1:], *_F, *_CSRS]
        return {
            "registers": list(self._uc.reg_read_batch(ids)),
            "pc": self.pc,
            "mip": self.mip,
            "waiting": self.waiting,
            "running": self.running,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Inverse of `save`, on a core that was powered on."""
        ids = [*_X[1:], *_F, *_CSRS]
        # mstatus first: floating point registers cannot be written while FS is off.
        self._uc.reg_write(reg.UC_RISCV_REG_MSTATUS, state["registers"][63] | _FS)
        self._uc.reg_write_batch(list(zip(ids, state["registers"], strict=True)))
        self.pc = state["pc"]
        self.mip = state["mip"]
        self._mip_image.value = self.mip
        self.waiting = state["waiting"]
        self.running = state["running"]
        self.parked = None
        self.touched = True
        self.forget_polls()

    def digest_state(self) -> bytes:
        """Registers as bytes, for comparing runs."""
        values = [*self._uc.reg_read_batch(_X[1:]), self.pc]
        return struct.pack(f"<{len(values)}Q", *(v & (1 << 64) - 1 for v in values))
