"""The SPI flash chip that holds the firmware: a Winbond W25Q128 as the K210's boot ROM and MaixPy use it.

Instructions, status bits and times: Winbond W25Q128JV data sheet, revision F (typical times). Which instructions
are used and how: MaixPy-v1 `w25qxx.c`, and the flashing stub inside kflash 1.1.6.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

from virtualboard.clock import MS, SECOND, US, Clock
from virtualboard.kept import Kept

PAGE = 256
"""Bytes that one program instruction can write."""

SECTOR = 4096
"""Bytes of the smallest erase."""

_WRITE_ENABLE, _WRITE_DISABLE, _VOLATILE_ENABLE = 0x06, 0x04, 0x50
_WRITE_STATUS = {0x01: 0, 0x31: 1, 0x11: 2}
_READ_STATUS = {0x05: 0, 0x35: 1, 0x15: 2}
_PROGRAM, _QUAD_PROGRAM = 0x02, 0x32
_ERASE = {0x20: SECTOR, 0x52: 32 << 10, 0xD8: 64 << 10}
_CHIP_ERASE = frozenset({0x60, 0xC7})
_READ = frozenset({0x03, 0x0B, 0x3B, 0x6B, 0xBB, 0xEB})
_QUAD = frozenset({_QUAD_PROGRAM, 0x6B, 0xEB})
_ENABLE_RESET, _RESET = 0x66, 0x99
_POWER_DOWN, _RELEASE = 0xB9, 0xAB
_ID, _JEDEC_ID, _UNIQUE_ID = 0x90, 0x9F, 0x4B

_ADDRESSED = _READ | frozenset(_ERASE) | frozenset({_PROGRAM, _QUAD_PROGRAM, _ID})
# Bytes between address and data on one line, dummy clocks and mode bits counted as bytes of their lane width.
_DUMMY_BYTES = {0x0B: 1, 0x3B: 1, 0x6B: 1, 0xBB: 1, 0xEB: 3, _UNIQUE_ID: 4}
_READING = _READ | frozenset(_READ_STATUS) | frozenset({_ID, _JEDEC_ID, _RELEASE, _UNIQUE_ID})

_BUSY, _WEL, _QE = 0x01, 0x02, 0x02
_STATUS_WRITABLE = (0xFC, 0xFB, 0x64)

_PROGRAM_NS = 400 * US
_ERASE_NS = {SECTOR: 45 * MS, 32 << 10: 120 * MS, 64 << 10: 150 * MS}
_CHIP_ERASE_NS = 40 * SECOND
_STATUS_NS = 10 * MS


class NorFlash(Kept):
    """A flash chip of `size` bytes, blank (all 0xFF) at first; `data` is its content.

    Two ways in. `transfer` runs one whole instruction, whatever the number of data lines: for DMA and quad
    transfers. `select` and `exchange` are the chip's pins on a one-bit SPI bus, byte by byte. `busy_until` tells
    (virtual ns) how long an erase or a program goes on; until then only the status registers can be read.

    `quad_enabled` is the QE bit as the chip was shipped ("IQ" parts: set). `state` and `restore` are of the registers.
    """

    KEPT = ("_status", "_write_enabled", "_reset_armed", "_asleep", "busy_until")

    def __init__(self, clock: Clock, size: int = 16 << 20, quad_enabled: bool = True) -> None:
        if size <= 0 or size & (size - 1) or size % (64 << 10):
            raise ValueError("flash sizes are powers of two from 64 KiB up")
        self._clock = clock
        self.size = size
        self.busy_until = 0
        self.changed = False
        """True when `data` was programmed or erased since the last load or save."""
        self.erases = 0
        self.programs = 0
        self.unknown: list[int] = []
        """Instructions that the chip does not know, in the order of their coming."""
        self._status = [0, _QE if quad_enabled else 0, 0x60]
        self._write_enabled = False
        self._reset_armed = False
        self._asleep = False
        self._selected = False
        self._heard = bytearray()  # what came in since the chip was selected, answers apart
        self._given = 0  # bytes answered since then

    @functools.cached_property
    def data(self) -> bytearray:
        """What it holds, `size` bytes; made when first asked for, since a hosted board hardly ever does."""
        return bytearray(b"\xff") * self.size

    # -- whole instructions -------------------------------------------------------------------------------

    def transfer(self, instruction: int, address: int | None = None, data: bytes = b"", read: int = 0) -> bytes:
        """Run one instruction: send `data` after it, or return `read` bytes.

        `address` is the 24-bit byte address; mode bits and dummy clocks are no concern here.
        """
        if read:
            return self._answer(instruction, address or 0, read)
        self._run(instruction, address or 0, bytes(data))
        return b""

    # -- pins ---------------------------------------------------------------------------------------------

    def select(self, on: bool) -> None:
        """The chip select line (`on` = low). What was sent takes effect when it is let go."""
        if self._selected and not on and self._heard:
            instruction = self._heard[0]
            arguments = bytes(self._heard[1:])
            address = 0
            if instruction in _ADDRESSED:
                if len(arguments) < 3:
                    instruction = -1  # cut short: nothing happens
                address = int.from_bytes(arguments[:3], "big")
                arguments = arguments[3:]
            if instruction >= 0 and (instruction not in _READING or instruction == _RELEASE):
                self._run(instruction, address, arguments)
        if on != self._selected:
            self._heard.clear()
            self._given = 0
        self._selected = on

    def exchange(self, data: bytes) -> bytes:
        """Clock `data` in on one line and return what the chip gave meanwhile (0xFF where it gave nothing)."""
        if not self._selected or not data:
            return b"\xff" * len(data)
        instruction = self._heard[0] if self._heard else data[0]
        if instruction not in _READING:
            self._heard += data
            return b"\xff" * len(data)
        header = 1 + (3 if instruction in _ADDRESSED or instruction == _RELEASE else 0)
        header += _DUMMY_BYTES.get(instruction, 0)
        silent = min(len(data), header - len(self._heard))
        self._heard += data[:silent]
        count = len(data) - silent
        if count == 0:
            return b"\xff" * silent
        address = int.from_bytes(self._heard[1:4], "big") if instruction in _ADDRESSED else 0
        if instruction in _READ:
            given = self._answer(instruction, address + self._given, count)
        else:
            given = self._answer(instruction, address, self._given + count)[self._given :]
        self._given += count
        return b"\xff" * silent + given

    # -- files --------------------------------------------------------------------------------------------

    def load(self, path: Path) -> None:
        """Take the content from a file; a shorter one leaves the rest blank. ValueError when it is too long."""
        content = path.read_bytes()
        if len(content) > self.size:
            raise ValueError(f"{path} has {len(content)} bytes, the flash only {self.size}")
        self.data[:] = content + b"\xff" * (self.size - len(content))
        self.changed = False

    def save(self, path: Path) -> None:
        """Write the content to a file, whole or not at all."""
        part = path.with_name(path.name + ".part")
        with part.open("wb") as f:
            f.write(self.data)
            f.flush()
            os.fsync(f.fileno())
        part.replace(path)
        self.changed = False

    def power_cycle(self) -> None:
        """Registers as after power-on; an erase or a program under way counts as done."""
        self._write_enabled = self._reset_armed = self._asleep = self._selected = False
        self._heard.clear()
        self.busy_until = 0

    # -- inside -------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """True while an erase, a program or a status write goes on."""
        return self._clock.now < self.busy_until

    @property
    def idle(self) -> bool:
        """True when nobody talks to the chip and it has nothing to do."""
        return not self._selected and not self.busy

    def _answer(self, instruction: int, address: int, count: int) -> bytes:
        """What the chip gives for an instruction that reads."""
        register = _READ_STATUS.get(instruction)
        if register is not None and not self._asleep:
            value = self._status[register]
            if register == 0:
                value |= (_BUSY if self.busy else 0) | (_WEL if self._write_enabled else 0)
            return bytes([value]) * count
        if self.busy or (self._asleep and instruction != _RELEASE):
            return b"\xff" * count
        if instruction in _READ:
            if instruction in _QUAD and not self._status[1] & _QE:
                return b"\xff" * count
            return self._read(address, count)
        if instruction == _ID:
            # An odd address gives the device first.
            pair = b"\x17\xef" if address & 1 else b"\xef\x17"
            return (pair * (count // 2 + 1))[:count]
        if instruction == _JEDEC_ID:
            capacity = self.size.bit_length() - 1  # 0x18 for 16 MiB
            return (bytes([0xEF, 0x40, capacity]) * (count // 3 + 1))[:count]
        if instruction == _RELEASE:
            self._asleep = False
            return b"\x17" * count
        if instruction == _UNIQUE_ID:
            return (bytes.fromhex("d264186b3b0f2a51") * (count // 8 + 1))[:count]
        self.unknown.append(instruction)
        return b"\xff" * count

    def _read(self, address: int, count: int) -> bytes:
        """Reading goes on from the start after the last byte."""
        address %= self.size
        data = bytes(self.data[address : address + count])
        while len(data) < count:
            data += bytes(self.data[: count - len(data)])
        return data

    def _run(self, instruction: int, address: int, data: bytes) -> None:
        """Carry out an instruction that writes, erases or switches."""
        armed, self._reset_armed = self._reset_armed, False
        if instruction == _ENABLE_RESET:
            self._reset_armed = True
        elif instruction == _RESET:
            if armed:
                self.power_cycle()
        elif self.busy or (self._asleep and instruction != _RELEASE):
            return
        elif instruction == _WRITE_ENABLE:
            self._write_enabled = True
        elif instruction == _WRITE_DISABLE:
            self._write_enabled = False
        elif instruction in _WRITE_STATUS:
            self._write_status(_WRITE_STATUS[instruction], data)
        elif instruction in (_PROGRAM, _QUAD_PROGRAM):
            if instruction == _PROGRAM or self._status[1] & _QE:
                self._program(address, data)
        elif instruction in _ERASE:
            self._erase(address, _ERASE[instruction])
        elif instruction in _CHIP_ERASE:
            self._erase(0, self.size)
        elif instruction == _POWER_DOWN:
            self._asleep = True
        elif instruction == _RELEASE:
            self._asleep = False
        elif instruction not in (_VOLATILE_ENABLE, 0xFF, 0x00) and instruction not in _READING:
            # 0xFF ends continuous reading; MaixPy and the flashing stub send it to be safe.
            self.unknown.append(instruction)

    def _write_status(self, first: int, data: bytes) -> None:
        if not self._write_enabled or not data:
            return
        for register, value in zip(range(first, min(first + len(data), 3 if first else 2)), data, strict=False):
            keep = _STATUS_WRITABLE[register]
            self._status[register] = (self._status[register] & ~keep) | (value & keep)
        self._begin(_STATUS_NS)

    def _program(self, address: int, data: bytes) -> None:
        """Clear bits within one page; beyond its end it goes on at its start, and only the last 256 bytes count."""
        if not self._write_enabled or not data:
            return
        page = address % self.size & ~(PAGE - 1)
        offset = address % PAGE
        if len(data) > PAGE:
            offset = (offset + len(data) - PAGE) % PAGE
            data = data[-PAGE:]
        wanted = bytearray(b"\xff") * PAGE
        head = data[: PAGE - offset]
        wanted[offset : offset + len(head)] = head
        rest = data[len(head) :]
        wanted[: len(rest)] = rest
        old = int.from_bytes(self.data[page : page + PAGE], "little")
        new = old & int.from_bytes(wanted, "little")
        self.data[page : page + PAGE] = new.to_bytes(PAGE, "little")
        self.programs += 1
        self.changed = True
        self._begin(_PROGRAM_NS)

    def _erase(self, address: int, size: int) -> None:
        if not self._write_enabled:
            return
        start = address % self.size & ~(size - 1)
        self.data[start : start + size] = b"\xff" * size
        self.erases += 1
        self.changed = True
        self._begin(_ERASE_NS.get(size, _CHIP_ERASE_NS))

    def _begin(self, duration_ns: int) -> None:
        self._write_enabled = False
        self.busy_until = self._clock.now + duration_ns
