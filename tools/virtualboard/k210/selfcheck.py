"""Checks at start-up the behaviours of Unicorn that the engine relies on but that no manual promises.

The instruction counter is a field of Unicorn's internal structure. It is searched for by running a loop for known
counts, so a version that moved it is still served and one without it is refused with a clear message.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from typing import Any

import unicorn
from unicorn import riscv_const as reg

from virtualboard.k210 import registers, tlb

try:
    from unicorn.unicorn_py3 import unicorn as binding
except ImportError:  # `check` says so
    binding = None

TESTED = "2.1.4"
_BASE = 0x8000_0000
_DEVICE = 0x5000_0000
_SEARCH_WORDS = 512
_X5, _X6, _X7, _X28 = (reg.UC_RISCV_REG_X0 + i for i in (5, 6, 7, 28))
_COUNT_LOOP = bytes.fromhex("93821200 6ff0dfff")  # addi x5,x5,1; j .-4
_STORES = bytes.fromhex("2320 5300 83 2343 00 93 821200 93 821200 93 821200 6f000000".replace(" ", ""))
# sw x5,0(x6); lw x7,4(x6); addi x5,x5,1 three times; j .
_ECALL = bytes.fromhex("73000000 93821200")
_REWRITE = bytes.fromhex("23205300 e7000300 23207300 e7000300 6f000000")
# sw x5,0(x6); jalr x1,0(x6); sw x7,0(x6); jalr x1,0(x6); j .
_RETURN = bytes.fromhex("67800000")
_ADD_1, _ADD_16 = 0x001E_0E13, 0x010E_0E13  # addi x28,x28,1 and addi x28,x28,16
_STORE = bytes.fromhex("23205300 83230300")  # sw x5,0(x6); lw x7,0(x6)

_BINDING_NAMES = ("MMIO_READ_CFUNC", "MMIO_WRITE_CFUNC", "uclib")
_LIBRARY_NAMES = ("uc_context_save", "uc_hook_add", "uc_mmio_map", "uc_reg_read", "uc_reg_write")
_ENGINE_NAMES = (
    "_uch",
    "context_save",
    "ctl_set_tlb_mode",
    "_mmio_callbacks",
    "_hook_exception",
    "_do_reg_read_batch",
    "reg_read_batch",
    "reg_write_batch",
)
"""What mmio.py and cpu.py use of the Python binding beyond what it documents."""


class UnicornUnsuitable(RuntimeError):
    """The installed Unicorn does not behave as the engine needs."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"unicorn {unicorn.__version__} {what}; the k210 engine was tested with unicorn {TESTED}: "
            f"install it with: pip install unicorn=={TESTED}"
        )


@dataclass(frozen=True)
class Offsets:
    """Where in Unicorn's structure the counter of executed instructions and its limit are, in bytes, and where the
    registers are in its copies."""

    counter: int
    limit: int
    registers: registers.Layout


def _machine(code: bytes) -> Any:
    uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    uc.mem_map(_BASE, 0x1000)
    uc.mem_write(_BASE, code)
    return uc


def _check_names() -> None:
    """The parts of the binding that are used below its public face."""
    if binding is None:
        raise UnicornUnsuitable("has its Python binding elsewhere (no unicorn.unicorn_py3)")
    _check_has(unicorn, "UC_HOOK_MEM_WRITE_PROT", "UC_HOOK_TLB_FILL", "UC_TLB_VIRTUAL")
    _check_has(binding, *_BINDING_NAMES)
    _check_has(binding.uclib, *_LIBRARY_NAMES)
    _check_has(_machine(_ECALL), *_ENGINE_NAMES)


def _check_has(owner: Any, *names: str) -> None:
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        raise UnicornUnsuitable(f"lacks {', '.join(missing)}")


def _find_counter() -> tuple[int, int]:
    found: set[int] | None = None
    uc = _machine(_COUNT_LOOP)
    words = (ctypes.c_uint64 * _SEARCH_WORDS).from_address(uc._uch.value)
    for count in (12345, 779, 54321):
        uc.emu_start(_BASE, 0, 0, count)
        here = {i for i in range(_SEARCH_WORDS - 1) if words[i] == count + 1 and words[i + 1] == count}
        found = here if found is None else found & here
    if not found or len(found) != 1:
        raise UnicornUnsuitable("does not show its instruction counter where it is searched for")
    at = found.pop() * 8
    return at, at + 8


def _find_registers() -> registers.Layout:
    """Copies show what `reg_read` tells, and a run that goes on shows it as it is then."""
    layout = registers.find(binding.uclib, _machine(_COUNT_LOOP))
    if layout is None:
        raise UnicornUnsuitable("does not show its registers in its copies of a context")
    uc = _machine(_COUNT_LOOP)
    copy = registers.Registers(binding.uclib, uc, layout)
    uc.emu_start(_BASE, 0, 0, 5)
    pc, integers = copy.look()
    if pc != uc.reg_read(reg.UC_RISCV_REG_PC) or integers[40:48] != uc.reg_read(_X5).to_bytes(8, "little"):
        raise UnicornUnsuitable("shows registers in its copies of a context that it does not have")
    return layout


def _check_stop(offsets: Offsets) -> None:
    """A limit lowered inside of a device callback ends the run after exactly that instruction."""
    for on_load in (False, True):
        uc = _machine(_STORES)
        counter = ctypes.c_uint64.from_address(uc._uch.value + offsets.counter)
        limit = ctypes.c_uint64.from_address(uc._uch.value + offsets.limit)
        seen: list[int] = []

        def stop(counter: Any = counter, limit: Any = limit, seen: list[int] = seen) -> None:
            seen.append(counter.value)
            limit.value = counter.value

        def read(_uc: Any, _offset: int, _size: int, _data: Any, act: bool = on_load, stop: Any = stop) -> int:
            if act:
                stop()
            return 7

        def write(_u: Any, _o: int, _s: int, _v: int, _d: Any, act: bool = not on_load, stop: Any = stop) -> None:
            if act:
                stop()

        uc.mmio_map(_DEVICE, 0x1000, read, None, write, None)
        uc.reg_write(_X6, _DEVICE)
        uc.emu_start(_BASE, 0, 0, 100)
        expected = 2 if on_load else 1
        if seen != [expected] or uc.reg_read(reg.UC_RISCV_REG_PC) != _BASE + 4 * expected or uc.reg_read(_X5):
            raise UnicornUnsuitable("does not stop after the instruction that lowered its limit")
        if on_load and uc.reg_read(_X7) != 7:
            raise UnicornUnsuitable("loses the result of a load that lowered its limit")


def _check_traps() -> None:
    uc = _machine(_ECALL)
    seen: list[tuple[int, int]] = []

    def on_trap(uc: Any, number: int, _data: Any) -> None:
        seen.append((number, uc.reg_read(reg.UC_RISCV_REG_PC)))
        uc.emu_stop()

    uc.hook_add(unicorn.UC_HOOK_INTR, on_trap)
    uc.emu_start(_BASE, 0, 0, 10)
    if seen != [(8, _BASE + 4)]:
        raise UnicornUnsuitable(f"reports an ecall as {seen} instead of as cause 8 with pc behind it")
    uc.reg_write(reg.UC_RISCV_REG_MSTATUS, 0x1888)
    if uc.reg_read(reg.UC_RISCV_REG_MSTATUS) & 0x1888 != 0x1888:
        raise UnicornUnsuitable("does not keep MIE, MPIE and MPP as written")


def _check_rewriting() -> None:
    """Code that is written over is translated anew, in a page that was data before it was run, too."""
    uc = _machine(_REWRITE)
    uc.mem_map(_BASE + 0x1000, 0x1000)
    uc.mem_write(_BASE + 0x1004, _RETURN)
    alive = tlb.install(binding.uclib, uc)
    for number, value in ((_X5, _ADD_1), (_X6, _BASE + 0x1000), (_X7, _ADD_16)):
        uc.reg_write(number, value)
    uc.emu_start(_BASE, 0, 0, 20)
    if uc.reg_read(_X28) != 17:
        raise UnicornUnsuitable("goes on running code that was written over")
    del alive


def _check_protected_store() -> None:
    """A store to a read-only page comes to the hook, which lets it happen by returning true, each time."""
    uc = _machine(_STORE)
    alive = tlb.install(binding.uclib, uc, {_DEVICE})
    page = ctypes.create_string_buffer(0x2000)
    start = -(-ctypes.addressof(page) // 0x1000) * 0x1000
    uc.mem_map_ptr(_DEVICE, 0x1000, unicorn.UC_PROT_READ, start)
    seen: list[tuple[int, int, int]] = []

    def stored(_uc: Any, _access: int, address: int, size: int, value: int, _data: Any) -> bool:
        seen.append((address, size, value))
        return True

    uc.hook_add(unicorn.UC_HOOK_MEM_WRITE_PROT, stored, None, _DEVICE, _DEVICE + 0xFFF)
    uc.reg_write(_X6, _DEVICE)
    uc.reg_write(_X5, 0x1234)
    try:
        for _ in range(2):
            uc.emu_start(_BASE, 0, 0, 2)
    except unicorn.UcError as error:
        raise UnicornUnsuitable(f"does not go on after a store to a read-only page ({error})") from None
    del alive
    if seen != [(_DEVICE, 4, 0x1234)] * 2 or uc.reg_read(_X7) != 0x1234:
        raise UnicornUnsuitable("does not hand stores to a read-only page to its hook")


@functools.cache
def check() -> Offsets:
    """Verify Unicorn once per process; raises `UnicornUnsuitable` with the remedy when it differs."""
    _check_names()
    try:
        offsets = Offsets(*_find_counter(), _find_registers())
        _check_stop(offsets)
        _check_traps()
        _check_rewriting()
        _check_protected_store()
    except unicorn.UcError as error:
        raise UnicornUnsuitable(f"does not run the start-up check ({error})") from None
    return offsets
