"""SPI0, SPI1 and SPI3: DesignWare SSI controllers in master mode. Registers and sequences: Kendryte SDK spi.h, spi.c.

A transfer happens when the driver looks at it (status, receive FIFO, DMA) or deselects, as one exchange with the
target. It takes its true time: status reads before its end say busy, and `free_at` tells DMA when it is over.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Protocol

from virtualboard.clock import SECOND
from virtualboard.k210.bus import Device

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

DEPTH = 32
BASES = {0: 0x5200_0000, 1: 0x5300_0000, 3: 0x5400_0000}

_CTRLR0, _CTRLR1, _SSIENR, _SER, _BAUDR = 0x00, 0x04, 0x08, 0x10, 0x14
_TXFLR, _RXFLR, _SR, _RISR, _DR, _SPI_CTRLR0, _ENDIAN = 0x20, 0x24, 0x28, 0x34, 0x60, 0xF4, 0x118
_TRANS, _TRANSMIT, _RECEIVE, _EEPROM = 0, 1, 2, 3
_INSTRUCTION_BITS = (0, 4, 8, 16)


class Target(Protocol):
    """What is soldered to one chip select line."""

    def select(self, on: bool) -> None:
        """Chip select, active when `on`."""

    def exchange(self, data: bytes) -> bytes:
        """Shift `data` out on one line; returns what came in meanwhile."""

    def instruct(self, instruction: int | None, address: int, address_bits: int, data: bytes, read: int) -> bytes:
        """One enhanced (dual, quad or octal) transfer: instruction, address, then data out or `read` bytes in."""


class Nothing:
    """An open chip select line: inputs float high."""

    def select(self, on: bool) -> None:
        pass

    def exchange(self, data: bytes) -> bytes:
        return b"\xff" * len(data)

    def instruct(self, instruction: int | None, address: int, address_bits: int, data: bytes, read: int) -> bytes:
        return b"\xff" * read


class Spi(Device):
    """SPI `index`; `targets` are by chip select number."""

    TIMED = True
    KEPT = ("_begun",)
    UNTIMED = frozenset(range(_DR, _DR + 36 * 4, 4))
    NAMES = {
        0x00: "ctrlr0", 0x04: "ctrlr1", 0x08: "ssienr", 0x0C: "mwcr", 0x10: "ser", 0x14: "baudr", 0x18: "txftlr",
        0x1C: "rxftlr", 0x20: "txflr", 0x24: "rxflr", 0x28: "sr", 0x2C: "imr", 0x30: "isr", 0x34: "risr",
        0x38: "txoicr", 0x3C: "rxoicr", 0x40: "rxuicr", 0x44: "msticr", 0x48: "icr", 0x4C: "dmacr", 0x50: "dmatdlr",
        0x54: "dmardlr", 0x58: "idr", 0x5C: "ssic_version_id", 0xF0: "rx_sample_delay", 0xF4: "spi_ctrlr0",
        0xF8: "resv", 0xFC: "xip_mode_bits", 0x100: "xip_incr_inst", 0x104: "xip_wrap_inst", 0x108: "xip_ctrl",
        0x10C: "xip_ser", 0x110: "xrxoicr", 0x114: "xip_cnt_time_out", 0x118: "endian",
    } | {_DR + 4 * n: f"dr[{n}]" for n in range(36)}  # fmt: skip

    def __init__(self, soc: Soc, index: int) -> None:
        super().__init__(soc, f"spi{index}", BASES[index])
        self.index = index
        self.targets: dict[int, Target] = {}
        self.free_at = 0
        """Virtual time when the last bit booked so far has been shifted."""
        self._nothing = Nothing()
        self._selected: Target | None = None
        self._tx: list[int] = []
        self._rx: deque[int] = deque()
        self._stream: list[int] = []
        self._begun = False
        self._layout = (16, 8, 21) if index != 3 else (0, 10, 22)
        self.reads = {_TXFLR: self._read_txflr, _RXFLR: self._read_rxflr, _SR: self._read_sr, _RISR: lambda: 0}
        self.writes = {_SSIENR: self._set_ssienr, _SER: self._set_ser, _CTRLR0: self._set_ctrlr0}
        for n in range(36):
            self.reads[_DR + 4 * n] = self._read_dr
            self.writes[_DR + 4 * n] = self.push

    def reset(self) -> None:
        super().reset()
        self._select()
        self._tx.clear()
        self._rx.clear()
        self._stream.clear()
        self._begun = False
        self.free_at = 0

    def restore(self, state: dict[str, object]) -> None:
        super().restore(state)
        self._select()

    @property
    def busy(self) -> bool:
        return bool(self._tx or self._rx or self._stream) or self.soc.clock.now < self.free_at

    # -- configuration ------------------------------------------------------------------------------------

    def _select(self) -> None:
        """Find the target that takes part: none while the controller is off or nothing is selected."""
        ser = self.regs.get(_SER, 0)
        if not ser or not self.regs.get(_SSIENR, 0) & 1:
            self._selected = None
        else:
            self._selected = self.targets.get((ser & -ser).bit_length() - 1, self._nothing)

    def _mode(self) -> tuple[int, int, int]:
        """(frame bits, transfer mode, lines: 1, 2, 4 or 8)."""
        control = self.regs.get(_CTRLR0, 0)
        dfs, tmod, frf = self._layout
        return (control >> dfs & 31) + 1, control >> tmod & 3, 1 << (control >> frf & 3)

    def _frame_bytes(self, bits: int) -> int:
        return 1 if bits <= 8 else 2 if bits <= 16 else 4

    def _to_wire(self, words: list[int], bits: int) -> bytes:
        """Frames as bytes in the order of the wire: the highest bit first, whole words swapped by `endian`."""
        size = self._frame_bytes(bits)
        if size == 1:
            if max(words, default=0) < 256:
                return bytes(words)
            return struct.pack(f"<{len(words)}Q", *words)[::8]
        order = "<" if self.regs.get(_ENDIAN, 0) & 1 else ">"
        mask = (1 << 8 * size) - 1
        return struct.pack(f"{order}{len(words)}{'H' if size == 2 else 'I'}", *(w & mask for w in words))

    def _from_wire(self, data: bytes, bits: int) -> tuple[int, ...]:
        size = self._frame_bytes(bits)
        if size == 1:
            return tuple(data)
        order = "<" if self.regs.get(_ENDIAN, 0) & 1 else ">"
        return struct.unpack(f"{order}{len(data) // size}{'H' if size == 2 else 'I'}", data)

    def _book(self, bits: int, lines: int) -> None:
        hz = self.soc.sysctl.spi_hz(self.index) // max(2, self.regs.get(_BAUDR, 0))
        self.free_at = max(self.free_at, self.soc.clock.now) + bits * SECOND // lines // max(1, hz)

    # -- transfers ----------------------------------------------------------------------------------------

    def push(self, word: int) -> None:
        """One frame into the transmit FIFO."""
        self._tx.append(word)
        if len(self._tx) >= DEPTH:
            self.soc.sync()
            self._pump()
            self.soc.alarms_changed()

    def push_many(self, words: list[int]) -> None:
        """Frames from DMA, as many as it has."""
        self._tx += words
        self._pump()

    @property
    def ready(self) -> bool:
        """True when DMA may move data: enabled and a target selected."""
        return self._selected is not None

    def take(self, count: int) -> list[int] | None:
        """`count` received frames for DMA; None while there are not that many."""
        self._receive()
        if len(self._rx) < count:
            return None
        words = list(self._rx)
        self._rx.clear()
        self._rx.extend(words[count:])
        return words[:count]

    def _pump(self) -> None:
        """Carry out what the transmit FIFO holds, as far as the mode allows without waiting for a reader."""
        target = self._selected
        if target is None or not self._tx:
            return
        bits, mode, lines = self._mode()
        if lines > 1:
            self._stream += self._tx
            self._tx.clear()
            return
        if mode in (_TRANS, _TRANSMIT):
            answer = target.exchange(self._to_wire(self._tx, bits))
            self._book(bits * len(self._tx), 1)
            self._tx.clear()
            if mode == _TRANS:
                self._rx.extend(self._from_wire(answer, bits))

    def _receive(self) -> None:
        """The driver asks for received data: run the receiving part of the transfer once."""
        self._pump()
        target = self._selected
        if target is None or self._begun:
            return
        bits, mode, lines = self._mode()
        if mode not in (_RECEIVE, _EEPROM):
            return
        count = (self.regs.get(_CTRLR1, 0) & 0xFFFF) + 1
        size = count * self._frame_bytes(bits)
        if lines > 1:
            if not self._stream:
                return
            instruction, address, address_bits, rest = self._split(bits)
            data = target.instruct(instruction, address, address_bits, rest, size)
            self._stream.clear()
        else:
            if not self._tx:
                return
            if mode == _EEPROM:
                target.exchange(self._to_wire(self._tx, bits))
                self._book(bits * len(self._tx), 1)
            self._tx.clear()
            data = target.exchange(b"\xff" * size)
        self._begun = True
        self._book(bits * count, lines)
        self._rx.extend(self._from_wire(data, bits))

    def _split(self, bits: int) -> tuple[int | None, int, int, bytes]:
        """Instruction, address, address bits and data of an enhanced transfer; books its first two phases."""
        control = self.regs.get(_SPI_CTRLR0, 0)
        instruction_bits, address_bits = _INSTRUCTION_BITS[control >> 8 & 3], (control >> 2 & 15) * 4
        lines = self._mode()[2]
        words = deque(self._stream)
        instruction = words.popleft() if instruction_bits and words else None
        address = words.popleft() if address_bits and words else 0
        form = control & 3
        self._book(instruction_bits, lines if form == 2 else 1)
        self._book(address_bits, lines if form else 1)
        self._book(control >> 11 & 31, 1)
        return instruction, address, address_bits, self._to_wire(list(words), bits)

    def _finish(self) -> None:
        """Deselected or disabled: what was sent so far is the whole transfer."""
        if self._tx:
            self._pump()
        target = self._selected
        if target is not None and self._stream and not self._begun:
            bits, _, lines = self._mode()
            instruction, address, address_bits, data = self._split(bits)
            self._book(8 * len(data), lines)
            target.instruct(instruction, address, address_bits, data, 0)
        self._stream.clear()
        self._begun = False

    def settle(self) -> None:
        """Book an enhanced transmission that only waits for its end, so that `free_at` is true."""
        if self._stream and not self._begun and self._mode()[1] in (_TRANS, _TRANSMIT) and self._selected is not None:
            self._finish()

    # -- registers ----------------------------------------------------------------------------------------

    def _set_ctrlr0(self, value: int) -> None:
        if value != self.regs.get(_CTRLR0):
            self._pump()
            self.regs[_CTRLR0] = value

    def _set_ssienr(self, value: int) -> None:
        if not value & 1:
            self._finish()
            self._tx.clear()
            self._rx.clear()
        self.regs[_SSIENR] = value
        self._selection()

    def _set_ser(self, value: int) -> None:
        if value != self.regs.get(_SER, 0):
            self._finish()
        self.regs[_SER] = value
        self._selection()

    def _selection(self) -> None:
        was = self._selected
        self._select()
        now = self._selected
        if was is not now:
            if was is not None:
                was.select(False)
            if now is not None:
                now.select(True)
        if now is not None:
            if self._tx:
                self._pump()
            if self.soc.dmac.enabled:
                self.soc.dmac.poke()

    def _read_dr(self) -> int:
        if not self._rx:
            self.soc.sync()
            self._receive()
        return self._rx.popleft() if self._rx else 0

    def _read_rxflr(self) -> int:
        self._receive()
        if self.soc.clock.now < self.free_at and len(self._rx) <= DEPTH:
            self.soc.wait_until(self.free_at)
        if not self._rx:
            self.soc.polled()
        return min(len(self._rx), DEPTH)

    def _read_txflr(self) -> int:
        self._pump()
        return 0

    def _read_sr(self) -> int:
        self._pump()
        self.settle()
        if self.soc.clock.now < self.free_at:
            self.soc.wait_until(self.free_at)
        busy = self.soc.clock.now < self.free_at
        return 0x06 | 0x08 * bool(self._rx) | busy
