"""Connects devices to a core's address space: what Unicorn calls on a load or store, and what the core notes of it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import unicorn

from virtualboard.k210 import tlb
from virtualboard.k210.bus import Device
from virtualboard.k210.selfcheck import binding

if TYPE_CHECKING:
    from virtualboard.k210.cpu import Core

_STORED = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p
)
"""`uc_cb_eventmem_t` of unicorn.h. Called past the binding's `hook_add`, which adds two Python calls to each."""

Read = Callable[..., int]
Write = Callable[..., None]


class Batch:
    """Registers that are read or written in one call. The binding's own batches build their arrays anew each time."""

    def __init__(self, ids: list[int]) -> None:
        self._count = len(ids)
        self._ids = (ctypes.c_int * self._count)(*ids)
        self.values = (ctypes.c_uint64 * self._count)()
        start = ctypes.addressof(self.values)
        self._pointers = (ctypes.c_void_p * self._count)(*range(start, start + 8 * self._count, 8))
        self._read, self._write = binding.uclib["uc_reg_read_batch"], binding.uclib["uc_reg_write_batch"]

    def read(self, handle: Any) -> Sequence[int]:
        """The registers' values in the engine `handle`, good until the next call."""
        self._read(handle, self._ids, self._pointers, self._count)
        return self.values

    def write(self, handle: Any, *values: int) -> None:
        """Set all of the registers."""
        self.values[:] = values
        self._write(handle, self._ids, self._pointers, self._count)


def connect(core: Core, uc: Any, device: Device) -> None:
    """Map `device` at its address in the engine `uc` of `core`. The callbacks live as long as `uc`."""
    if device.SHADOW:
        device.publish()
        uc.mem_map_ptr(device.base, device.SHADOW, unicorn.UC_PROT_READ, device.shadow)
        callback = _STORED(_stored(core, device))
        last = device.base + device.SHADOW - 1
        tlb.add_hook(binding.uclib, uc, unicorn.UC_HOOK_MEM_WRITE_PROT, callback, device.base, last)
        uc._mmio_callbacks[device.base, last + 1] = callback  # what C calls must not be collected
    if device.SHADOW < device.SIZE:
        read, write = _timed(core, device) if device.TIMED else _plain(core, device)
        if device is core.soc.clint:
            read, write = _unnoticed(core, read, write)
        map_io(uc, device.base + device.SHADOW, device.SIZE - device.SHADOW, read, write)


def map_io(uc: Any, base: int, size: int, read: Read, write: Write) -> None:
    """Like `uc.mmio_map`, without the Python calls that the binding makes in between.

    `read(handle, offset, size, data)` and `write(handle, offset, size, value, data)` are called from C. They must not
    raise.
    """
    callbacks = binding.MMIO_READ_CFUNC(read), binding.MMIO_WRITE_CFUNC(write)
    status = binding.uclib.uc_mmio_map(uc._uch, base, size, callbacks[0], 0, callbacks[1], 0)
    if status != unicorn.UC_ERR_OK:
        raise unicorn.UcError(status)
    uc._mmio_callbacks[base, base + size] = callbacks  # what C calls must not be collected


# Firmware makes millions of accesses, so each of these is one Python function, and what it needs is bound beforehand.


def _plain(core: Core, device: Device) -> tuple[Read, Write]:
    load, store, reads, writes, first = device.read, device.write, device.reads, device.writes, device.SHADOW

    def read(_handle: int, offset: int, size: int, _data: int) -> int:
        try:
            core.touched = core.acted = True
            offset += first
            action = reads.get(offset)
            if action is not None and size == 4:
                return action()
            return load(offset) if size == 4 else _part(load(offset & ~3), offset, size)
        except BaseException as error:  # noqa: BLE001 - no exception passes through C
            return core.failed(error)

    def write(_handle: int, offset: int, size: int, value: int, _data: int) -> None:
        try:
            core.touched = core.acted = True
            offset += first
            action = writes.get(offset)
            if action is not None and size == 4:
                action(value)
                return
            store(offset & ~3, value if size == 4 else _merged(device, offset, size, value))
        except BaseException as error:  # noqa: BLE001
            core.failed(error)

    return read, write


def _timed(core: Core, device: Device) -> tuple[Read, Write]:
    soc, regs, names = core.soc, device.regs, device.NAMES
    load, store, reads, writes, untimed = device.read, device.write, device.reads, device.writes, device.UNTIMED
    clock, sync, alarms_changed, polls = soc.clock, core.sync, soc.alarms_changed, core.polls
    # Registers without an action only remember, in blocks that leave them to `Device`.
    remembers = type(device).read is Device.read and type(device).write is Device.write

    def read(_handle: int, offset: int, size: int, _data: int) -> int:
        try:
            core.touched = core.acted = True
            if size == 4 and remembers:
                action = reads.get(offset)
                if action is None:
                    return regs.get(offset, 0) if offset in names else load(offset)
                if offset not in untimed:
                    sync()
                return action()
            sync()
            return load(offset) if size == 4 else _part(load(offset & ~3), offset, size)
        except BaseException as error:  # noqa: BLE001 - no exception passes through C
            return core.failed(error)

    def write(_handle: int, offset: int, size: int, value: int, _data: int) -> None:
        try:
            core.touched = core.acted = True
            polls.count = 0
            if size == 4 and remembers:
                action = writes.get(offset)
                if action is None:
                    if offset in names:
                        regs[offset] = value
                    else:
                        store(offset, value)
                    return
                if offset in untimed:
                    action(value)
                    return
                sync()
                action(value)
            else:
                sync()
                store(offset & ~3, value if size == 4 else _merged(device, offset, size, value))
            if clock.alarms_set != soc.alarms_seen:
                alarms_changed()
        except BaseException as error:  # noqa: BLE001
            core.failed(error)

    return read, write


def _unnoticed(core: Core, read: Read, write: Write) -> tuple[Read, Write]:
    """Accesses to CLINT's msip: a scheduler that yields to itself has not acted."""

    def read_msip(handle: int, offset: int, size: int, data: int) -> int:
        acted = core.acted or offset >= 8
        value = read(handle, offset, size, data)
        core.acted = acted
        return value

    def write_msip(handle: int, offset: int, size: int, value: int, data: int) -> None:
        own = offset == 4 * core.index
        acted, looks = core.acted or not own, core.polls.count if own else 0
        write(handle, offset, size, value, data)
        core.acted, core.polls.count = acted, looks

    return read_msip, write_msip


def _stored(core: Core, device: Device) -> Callable[..., bool]:
    """The handler of stores to a read-only page. When it returns true, Unicorn carries the store out."""
    write, base = _timed(core, device)[1], device.base

    def store(handle: int, _access: int, address: int, size: int, value: int, _data: int) -> bool:
        if size == 4:
            write(handle, address - base, 4, value & 0xFFFF_FFFF, 0)
            return True
        value &= (1 << 8 * size) - 1
        for at in range(0, size, 4):
            write(handle, address - base + at, min(size, 4), value >> 8 * at & 0xFFFF_FFFF, 0)
        return True

    return store


def _part(word: int, offset: int, size: int) -> int:
    return word >> 8 * (offset & 3) & (1 << 8 * size) - 1


def _merged(device: Device, offset: int, size: int, value: int) -> int:
    """The word that a narrow store makes of a register (read back, since byte lanes are not known to devices)."""
    shift, mask = 8 * (offset & 3), (1 << 8 * size) - 1
    return (device.regs.get(offset & ~3, 0) & ~(mask << shift)) | (value & mask) << shift
