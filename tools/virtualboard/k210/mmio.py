"""Connects devices to a core's address space: what Unicorn calls on a load or store, and what the core notes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import unicorn

from virtualboard.k210.bus import Device
from virtualboard.k210.selfcheck import binding

if TYPE_CHECKING:
    from virtualboard.k210.cpu import Core

Read = Callable[..., int]
Write = Callable[..., None]


def connect(core: Core, uc: Any, device: Device) -> None:
    """Map `device` at its address in the engine `uc` of `core`. The callbacks live as long as `uc`."""
    if device.SHADOW:
        device.publish()
        uc.mem_map_ptr(device.base, device.SIZE, unicorn.UC_PROT_READ, device.shadow)
        last = device.base + device.SIZE - 1
        uc.hook_add(unicorn.UC_HOOK_MEM_WRITE_PROT, _stored(core, device), None, device.base, last)
        return
    read, write = _timed(core, device) if device.TIMED else _plain(core, device)
    if device is core.soc.clint:
        read, write = _unnoticed(core, read, write)
    map_io(uc, device.base, device.SIZE, read, write)


def map_io(uc: Any, base: int, size: int, read: Read, write: Write) -> None:
    """Like `uc.mmio_map`, with one Python call less for each access than the binding makes.

    `read` and `write` get Unicorn's handle in place of `uc`. What they raise ends the run and comes out of `emu_start`.
    """

    def on_read(handle: int, offset: int, size: int, data: int) -> int:
        try:
            return read(handle, offset, size, data)
        except BaseException as error:  # noqa: BLE001 - no exception passes through C
            _failed(uc, error)
            return 0

    def on_write(handle: int, offset: int, size: int, value: int, data: int) -> None:
        try:
            write(handle, offset, size, value, data)
        except BaseException as error:  # noqa: BLE001 - no exception passes through C
            _failed(uc, error)

    callbacks = binding.MMIO_READ_CFUNC(on_read), binding.MMIO_WRITE_CFUNC(on_write)
    status = binding.uclib.uc_mmio_map(uc._uch, base, size, callbacks[0], 0, callbacks[1], 0)
    if status != unicorn.UC_ERR_OK:
        raise unicorn.UcError(status)
    uc._mmio_callbacks[base, base + size] = callbacks  # what C calls must not be collected


def _failed(uc: Any, error: BaseException) -> None:
    if uc._hook_exception is None:
        uc._hook_exception = error
    uc.emu_stop()


def _plain(core: Core, device: Device) -> tuple[Read, Write]:
    def read(_uc: Any, offset: int, size: int, _data: Any) -> int:
        core.touched = core.acted = True
        if size == 4:
            return device.read(offset)
        return _part(device.read(offset & ~3), offset, size)

    def write(_uc: Any, offset: int, size: int, value: int, _data: Any) -> None:
        core.touched = core.acted = True
        device.write(offset & ~3, value if size == 4 else _merged(device, offset, size, value))

    return read, write


def _timed(core: Core, device: Device) -> tuple[Read, Write]:
    soc = core.soc

    def read(_uc: Any, offset: int, size: int, _data: Any) -> int:
        core.touched = core.acted = True
        soc.sync()
        if size == 4:
            return device.read(offset)
        return _part(device.read(offset & ~3), offset, size)

    def write(_uc: Any, offset: int, size: int, value: int, _data: Any) -> None:
        core.touched = core.acted = True
        core.polls = 0
        soc.sync()
        device.write(offset & ~3, value if size == 4 else _merged(device, offset, size, value))
        soc.alarms_changed()

    return read, write


def _unnoticed(core: Core, read: Read, write: Write) -> tuple[Read, Write]:
    """Accesses to CLINT's msip: a scheduler that yields to itself has not acted."""

    def read_msip(uc: Any, offset: int, size: int, data: Any) -> int:
        acted = core.acted or offset >= 8
        value = read(uc, offset, size, data)
        core.acted = acted
        return value

    def write_msip(uc: Any, offset: int, size: int, value: int, data: Any) -> None:
        own = offset == 4 * core.index
        acted, polls = core.acted or not own, core.polls if own else 0
        write(uc, offset, size, value, data)
        core.acted, core.polls = acted, polls

    return read_msip, write_msip


def _stored(core: Core, device: Device) -> Callable[..., bool]:
    """The handler of stores to a read-only page. When it returns true, Unicorn carries the store out."""
    write = _timed(core, device)[1]

    def store(uc: Any, _access: int, address: int, size: int, value: int, _data: Any) -> bool:
        offset = address - device.base
        value &= (1 << 8 * size) - 1
        for at in range(0, size, 4):
            write(uc, offset + at, min(size, 4), value >> 8 * at & 0xFFFF_FFFF, None)
        return True

    return store


def _part(word: int, offset: int, size: int) -> int:
    return word >> 8 * (offset & 3) & (1 << 8 * size) - 1


def _merged(device: Device, offset: int, size: int, value: int) -> int:
    """The word that a narrow store makes of a register (read back, since byte lanes are not known to devices)."""
    shift, mask = 8 * (offset & 3), (1 << 8 * size) - 1
    return (device.regs.get(offset & ~3, 0) & ~(mask << shift)) | (value & mask) << shift
