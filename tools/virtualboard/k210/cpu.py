"""One RISC-V core: a Unicorn engine, the traps that Unicorn does not take itself, and exact instruction counts.

Interrupts are injected between two instructions, the way the RISC-V privileged specification 1.9.1 describes a trap
into machine mode. How many instructions ran is read from Unicorn's own counter, which lets every register access
know its exact cycle and lets a slice end after exactly the instruction that made it necessary (`stop_after_this`).

Longer than 350 lines: running, traps and the stand-ins for patched instructions work on the registers of one core.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any

import unicorn
from unicorn import riscv_const as reg

from virtualboard.clock import SECOND
from virtualboard.k210 import mmio, selfcheck, tlb
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
from virtualboard.k210.polls import Polls
from virtualboard.k210.registers import Registers
from virtualboard.k210.traps import CAUSES, FAULTS, INTERRUPT
from virtualboard.k210.waiting import Loops

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

_TRAP_READS = [reg.UC_RISCV_REG_MIE, reg.UC_RISCV_REG_MSTATUS, reg.UC_RISCV_REG_MTVEC]
_TRAP_WRITES = [reg.UC_RISCV_REG_MSTATUS, reg.UC_RISCV_REG_MEPC, reg.UC_RISCV_REG_MCAUSE]

_MIE, _MPIE, _MPP, _FS = 1 << 3, 1 << 7, 3 << 11, 3 << 13
_MASKED_INSTRUCTIONS = 500
# How long a core that masks a pending interrupt runs unwatched: not every way to unmask is visible to the patcher.


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
        self.touched = False
        """True when the core has accessed a device since its instructions began to run."""
        self.acted = False
        """Like `touched`, but interrupts that cores send each other through CLINT do not count."""
        self.at = 0
        """Cycle count between two runs of instructions."""
        self.start_cycles = 0
        self.skipped = 0
        self.limit_cycles = 0
        self._trap: tuple[int, int] | None = None
        self._returned = False
        self.csr_sites: list[CsrWrite] = []
        self._cycle_latch = 0
        self._cell = ctypes.c_uint64()
        self._cell_pointer = ctypes.byref(self._cell)
        # Fetched by name these have no prototypes, whose checks take longer than the calls.
        self._reg_read, self._reg_write = mmio.binding.uclib["uc_reg_read"], mmio.binding.uclib["uc_reg_write"]
        self._trap_reads, self._trap_writes = mmio.Batch(_TRAP_READS), mmio.Batch(_TRAP_WRITES)
        self._start = mmio.binding.uclib.uc_emu_start
        self.polls, self.loops = Polls(self), Loops(self)
        self._uc: Any = None
        self._page0 = ctypes.create_string_buffer(0x2000)

    # -- making it ----------------------------------------------------------------------------------------

    def power_on(self, pc: int, sites: list[CsrWrite]) -> None:
        """A fresh core about to run at `pc`. `sites` is what the patcher's numbered stores stand for."""
        offsets = selfcheck.check()
        uc = self._uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
        self.handle, handle = uc._uch, uc._uch.value
        shadows = {device.base for device in self.soc.devices if device.SHADOW}
        self._fill = tlb.install(mmio.binding.uclib, uc, shadows)
        self.registers = Registers(mmio.binding.uclib, uc, offsets.registers)
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
        self._trap = None
        self._forget_waits()

    # -- running ------------------------------------------------------------------------------------------

    def run(self, start_cycles: int, cycles: int) -> int:
        """Run for about `cycles` from `start_cycles` on, interrupts included; returns the cycles that passed."""
        soc, loops = self.soc, self.loops
        self.at = start_cycles
        self.limit_cycles = start_cycles + cycles
        soc.alarms_seen = None
        chained = False
        while True:
            self.start_cycles = self.at
            self.skipped = 0
            count = max(1, (self.limit_cycles - self.at) * soc.cpi_den // soc.cpi_num)
            if self.mip and (chained or self.masked()):
                count = min(count, _MASKED_INSTRUCTIONS)
            executed = self._execute(count)
            self.at += executed * soc.cpi_num // soc.cpi_den + self.skipped
            loops.ran(executed, self.touched)
            chained = False
            if not self._returned:
                self._stopped()
            elif self.mip and self._chain():
                chained = True
            else:
                self._leave()
                loops.returned()
                self.at += loops.spent()
            if self.mip and not chained:
                self.deliver()
            if self.at >= self.limit_cycles or self.waiting or loops.parked or soc.reset_wanted is not None:
                return self.at - start_cycles

    def _execute(self, count: int) -> int:
        """Run up to `count` instructions from `pc` on; returns how many it were."""
        uc = self._uc
        self.touched = False
        self._counter.value = 0
        # Called past the binding's emu_start, which only adds a Python call.
        uc._hook_exception = None
        status = self._start(self.handle, self.pc, _NOWHERE, 0, count)
        if uc._hook_exception is not None:
            raise uc._hook_exception
        if status != unicorn.UC_ERR_OK:
            self._fault(unicorn.UcError(status))
        return min(self._counter.value, self._limit.value)

    def _stopped(self) -> None:
        """The instructions have ended: by themselves, or in a trap."""
        self.pc = self.registers.pc()
        if self._trap is not None:
            cause, epc = self._trap
            self._trap = None
            _, status, vector = self._trap_reads.read(self.handle)
            self._enter(cause, epc, status, vector)

    @property
    def cycles_now(self) -> int:
        """Cycle count of the instruction that runs, valid inside of device callbacks."""
        soc = self.soc
        return self.start_cycles + self.skipped + self._counter.value * soc.cpi_num // soc.cpi_den

    def sync(self) -> None:
        """Bring the board's clock to the instruction that runs."""
        soc = self.soc
        # Most accesses to devices come here: `cycles_now` and `Timebase.ns` without their calls.
        cycles = self.start_cycles + self.skipped + self._counter.value * soc.cpi_num // soc.cpi_den
        base = soc.timebase
        soc.clock.reach(base.ns0 + (cycles - base.cycle0) * SECOND // base.hz)

    def failed(self, error: BaseException) -> int:
        """A device callback has raised `error`: let it come out of `run` instead of passing through C."""
        if self._uc._hook_exception is None:
            self._uc._hook_exception = error
        self._uc.emu_stop()
        return 0

    def end_at(self, cycles: int) -> None:
        """Shorten the slice that runs so that it ends no later than cycle `cycles`."""
        if cycles < self.limit_cycles:
            self.limit_cycles = cycles
            self._apply_limit(self.cycles_now)

    def stop_after_this(self) -> None:
        """End the slice after the instruction that runs."""
        self._limit.value = self._counter.value

    def skip(self, cycles: int) -> int:
        """Let up to `cycles` pass without instructions, never beyond the end of the slice; returns `cycles_now`."""
        now = self.cycles_now
        passed = max(0, min(cycles, self.limit_cycles - now))
        self.skipped += passed
        self._apply_limit(now + passed)
        return now + passed

    def _apply_limit(self, now: int) -> None:
        soc = self.soc
        left = (self.limit_cycles - now) * soc.cpi_den // soc.cpi_num
        last = self._counter.value + max(0, left)
        if last < self._limit.value:
            self._limit.value = last

    # -- trying out ---------------------------------------------------------------------------------------

    def attempt(self, count: int) -> tuple[int, bool]:
        """Run `count` instructions outside of time.

        Returns how many ran, and whether they kept to memory: False when a device was touched or a trap taken.
        """
        soc, active, limit = self.soc, self.soc.active, self.limit_cycles
        self.start_cycles = max(self.at, soc.cycles)
        self.limit_cycles = self.start_cycles + (1 << 40)
        self.skipped = 0
        soc.active, soc.alarms_seen = self, None
        executed = self._execute(count)
        clean = not (self.touched or self._returned or self._trap is not None)
        if self._returned:
            self._leave()
        else:
            self._stopped()
        self.limit_cycles = limit
        soc.active, soc.alarms_seen = active, None
        if not clean:
            soc.alarms_changed()
        return executed, clean

    def walk(self, most: int, home: int) -> tuple[int, bool]:
        """Like so many times `attempt(1)`, but for the calls in between: up to `most`, or until pc is at `home`."""
        soc, active, limit = self.soc, self.soc.active, self.limit_cycles
        self.start_cycles = max(self.at, soc.cycles)
        self.limit_cycles = self.start_cycles + (1 << 40)
        self.skipped = 0
        soc.active, soc.alarms_seen = self, None
        counter, start, handle, pc_now = self._counter, self._start, self.handle, self.registers.pc
        self._uc._hook_exception = None
        self.touched = False
        pc, walked, clean = self.pc, 0, True
        while walked < most and (pc != home or not walked):
            counter.value = 0
            status = start(handle, pc, _NOWHERE, 0, 1)
            walked += 1
            pc = pc_now()
            if status != unicorn.UC_ERR_OK or self.touched or self._returned or self._trap is not None:
                clean = False
                break
        self.pc = pc
        if self._uc._hook_exception is not None:
            raise self._uc._hook_exception
        if status != unicorn.UC_ERR_OK:
            self._fault(unicorn.UcError(status))
        if self._returned:
            self._leave()
        elif not clean:
            self._stopped()
        self.limit_cycles = limit
        soc.active, soc.alarms_seen = active, None
        if not clean:
            soc.alarms_changed()
        return walked, clean

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
            if self.read_register(reg.UC_RISCV_REG_MSTATUS) & _MIE:
                self.stop_after_this()
            else:
                self._limit.value = min(self._limit.value, self._counter.value + _MASKED_INSTRUCTIONS)

    def deliver(self) -> bool:
        """Take the interrupt that is pending and enabled, if there is one."""
        if not self.mip:
            return False
        enabled, status, vector = self._trap_reads.read(self.handle)
        ready = self.mip & enabled
        if ready:
            self.waiting = False
        if not ready or not status & _MIE:
            return False
        cause = next(cause for bit, cause in CAUSES if ready & bit)
        self._enter(INTERRUPT | cause, self.pc, status, vector)
        return True

    def interrupted(self) -> bool:
        """True when an interrupt would be taken, or would end a `wfi`, right now."""
        if not self.masked():
            return False
        return self.waiting or bool(self.read_register(reg.UC_RISCV_REG_MSTATUS) & _MIE)

    def masked(self) -> bool:
        """True while an interrupt is pending that the core has enabled, whether or not it takes any now."""
        return bool(self.mip and self.mip & self.read_register(reg.UC_RISCV_REG_MIE))

    def _enter(self, cause: int, epc: int, status: int, vector: int) -> None:
        status = (status & ~(_MIE | _MPIE | _MPP)) | ((status & _MIE) << 4) | _MPP
        self._trap_writes.write(self.handle, status, epc, cause)
        self.pc = vector & ~3
        self.waiting = False
        software = cause == INTERRUPT | 3
        self.polls.handler_enters(max(self.at, self.soc.cycles), software)
        self.loops.interrupt(software)

    def _chain(self) -> bool:
        """At an `mret`, take the next interrupt at once when one is pending: the way out and in again is skipped."""
        enabled, status, vector = self._trap_reads.read(self.handle)
        ready = self.mip & enabled
        if not ready or not status & _MPIE:
            return False
        cause = next(cause for bit, cause in CAUSES if ready & bit)
        if cause == 3:
            return False  # yields are watched one by one
        self._returned = False
        self._write(reg.UC_RISCV_REG_MCAUSE, INTERRUPT | cause)
        self.pc = vector & ~3
        return True

    def read_register(self, register: int) -> int:
        # The binding's reg_read spends most of its time on finding the type of a register.
        self._reg_read(self.handle, register, self._cell_pointer)
        return self._cell.value

    def _write(self, register: int, value: int) -> None:
        self._cell.value = value
        self._reg_write(self.handle, register, self._cell_pointer)

    def _leave(self) -> None:
        """Carry out the `mret` at which the core stopped."""
        self._returned = False
        status = self.read_register(reg.UC_RISCV_REG_MSTATUS)
        self._write(reg.UC_RISCV_REG_MSTATUS, (status & ~(_MIE | _MPIE)) | (status & _MPIE) >> 4 | _MPIE)
        self.pc = self.read_register(reg.UC_RISCV_REG_MEPC)
        self.polls.handler_leaves(max(self.at, self.soc.cycles))

    def _forget_waits(self) -> None:
        self.polls.forget()
        self.loops.forget()

    def _on_trap(self, uc: Any, number: int, _data: Any) -> None:
        # Unicorn reports any ecall as 8 and has moved pc behind it; the K210 runs in machine mode (cause 11).
        self._trap = (11 if number == 8 else number, self.read_register(reg.UC_RISCV_REG_PC) - 4)
        uc.emu_stop()

    def _fault(self, error: unicorn.UcError) -> None:
        cause = FAULTS.get(error.errno)
        if cause is None:
            raise error
        pc = self.read_register(reg.UC_RISCV_REG_PC)
        log.warning("core %d: %s at pc %#x", self.index, error, pc)
        if self.read_register(reg.UC_RISCV_REG_MTVEC) == 0:
            raise RuntimeError(f"core {self.index} crashed at {pc:#x} before it had a trap handler: {error}")
        self._trap = (cause, pc)

    # -- the top page -------------------------------------------------------------------------------------

    def _top_read(self, _handle: int, offset: int, _size: int, _data: int) -> int:
        try:
            if offset != TOP_CYCLE:
                return self._cycle_latch >> 32
            self.touched = self.acted = True
            self._cycle_latch = cycles = self.polls.polled()
            return cycles & 0xFFFF_FFFF
        except BaseException as error:  # noqa: BLE001 - no exception passes through C
            return self.failed(error)

    def _top_write(self, _handle: int, offset: int, _size: int, _value: int, _data: int) -> None:
        try:
            if offset == TOP_MRET:
                self._returned = True
                self._limit.value = self._counter.value
            elif offset == TOP_WFI:
                self.waiting = not self.mip & self.read_register(reg.UC_RISCV_REG_MIE)
                self.touched = True
                self.stop_after_this()
            else:
                self._write_mstatus(self.csr_sites[(offset - TOP_CSR) >> 2])
        except BaseException as error:  # noqa: BLE001
            self.failed(error)

    def _write_mstatus(self, site: CsrWrite) -> None:
        operand = site.source if site.funct3 & 4 else self.read_register(_X[site.source])
        old = self.read_register(reg.UC_RISCV_REG_MSTATUS)
        kind = site.funct3 & 3
        new = operand if kind == 1 else old | operand if kind == 2 else old & ~operand
        self._write(reg.UC_RISCV_REG_MSTATUS, new)
        if new & _MIE and self.mip & self.read_register(reg.UC_RISCV_REG_MIE):
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
        self._forget_waits()

    def digest_state(self) -> bytes:
        """Registers as bytes, for comparing runs."""
        values = [*self._uc.reg_read_batch(_X[1:]), self.pc]
        return struct.pack(f"<{len(values)}Q", *(v & (1 << 64) - 1 for v in values))
