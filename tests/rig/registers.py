"""Register blocks as drivers see them: fields of the SDK's structures by name, and interrupts through the PLIC."""

from __future__ import annotations

from virtualboard.k210.bus import Device
from virtualboard.k210.soc import Soc

CLAIM = 0x20_0004


class Registers:
    """`block["load_count"]` reads a register of a device by its SDK name, an assignment stores to it."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._offsets = {name: offset for offset, name in device.NAMES.items()}

    def __getitem__(self, name: str) -> int:
        return self._device.read(self._offsets[name])

    def __setitem__(self, name: str, value: int) -> None:
        self._device.write(self._offsets[name], value & 0xFFFF_FFFF)

    def insert(self, name: str, value: int, at: int, width: int) -> None:
        """A C bit field: read, change `width` bits from bit `at`, write."""
        mask = (1 << width) - 1 << at
        self[name] = self[name] & ~mask | value << at & mask


def enable_interrupt(soc: Soc, source: int, priority: int = 1) -> None:
    """plic_set_priority and plic_irq_enable (SDK plic.c) on core 0."""
    soc.plic.write(4 * source, priority)
    at = 0x2000 + 4 * (source // 32)
    soc.plic.write(at, soc.plic.read(at) | 1 << source % 32)


def claim(soc: Soc) -> int:
    """What handle_irq_m_ext reads at the beginning (SDK plic.c): the source to serve, or 0."""
    return soc.plic.read(CLAIM)


def complete(soc: Soc, source: int) -> None:
    """What handle_irq_m_ext stores at its end."""
    soc.plic.write(CLAIM, source)


def pending(soc: Soc) -> bool:
    """True while core 0 is interrupted from outside."""
    return bool(soc.cores[0].mip & 1 << 11)
