"""The mask ROM: boots the image in flash, or serves the ISP protocol on the console's pads.

Flash image: one flag byte, length (32 bits, little endian), payload, SHA-256 of all of it. ISP frames are SLIP,
their bodies opcode (2), reserved (2), CRC-32 of the rest (4), address (4), length (4), data. Both as kflash 1.1.6
makes them; what the ROM does beyond what kflash uses is not known and not modelled.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

from virtualboard.k210.bus import log
from virtualboard.k210.patcher import Patcher
from virtualboard.k210.soc import RAM_CACHED, RAM_SIZE

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

_ENCRYPTED = 0x01
_HEADER, _DIGEST = 5, 32
_BAUD = 115200
_END, _ESC, _ESC_END, _ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
_GREET, _WRITE, _BOOT, _SET_BAUD = 0xC2, 0xC3, 0xC5, 0xC6
_OK, _BAD_LENGTH, _BAD_CHECKSUM, _BAD_COMMAND = 0xE0, 0xE1, 0xE2, 0xE3


class BadImage(ValueError):
    """The flash does not hold a bootable image."""


def add_header(image: bytes) -> bytes:
    """`image` as it lies in flash: flags, length, payload, digest."""
    body = struct.pack("<BI", 0, len(image)) + image
    return body + hashlib.sha256(body).digest()


def payload(flash: bytes | bytearray) -> bytes:
    """The verified payload of the image at the beginning of `flash`; raises `BadImage`."""
    flags, size = struct.unpack_from("<BI", flash)
    if flags == 0xFF and size == 0xFFFF_FFFF:
        raise BadImage("the flash is blank")
    if flags & _ENCRYPTED:
        raise BadImage("the image in flash is encrypted, and this chip's key is not known")
    if not 0 < size <= min(RAM_SIZE, len(flash) - _HEADER - _DIGEST):
        raise BadImage(f"the image in flash claims {size} bytes")
    end = _HEADER + size
    if hashlib.sha256(flash[:end]).digest() != bytes(flash[end : end + _DIGEST]):
        raise BadImage("the image in flash does not match its SHA-256")
    return bytes(flash[_HEADER:end])


class BootRom:
    """What runs between reset and the first instruction of firmware. It takes no virtual time."""

    def __init__(self, soc: Soc) -> None:
        self._soc = soc
        self._frame: bytearray | None = None
        self._escaped = False
        self._written: list[tuple[int, int]] = []
        self.serving = False
        """True while the ISP protocol is served."""

    def start(self, isp: bool) -> None:
        """Boot from flash, or serve ISP when `isp` is set or flash holds nothing bootable."""
        self._stop()
        if not isp:
            try:
                self._soc.start(payload(self._soc.board.flash.data))
                return
            except BadImage as error:
                log.info("boot ROM: %s; serving ISP", error)
        self.serving = True
        self._written.clear()
        self._frame = None
        board = self._soc.board
        # The ROM's UART is the one that the stub uses later (UART3); no firmware looks at it meanwhile.
        lane = board.console_rx
        lane.take()
        lane.rx_baud = board.console_tx.tx_baud = _BAUD
        lane.on_write = self._incoming

    def _stop(self) -> None:
        if self.serving:
            self.serving = False
            self._soc.board.console_rx.on_write = None

    def _incoming(self) -> None:
        lane = self._soc.board.console_rx
        when = lane.arrival(max(1, lane.sent - lane.delivered))
        self._soc.clock.at(when or self._soc.clock.now, self._receive)

    def _receive(self) -> None:
        if not self.serving:
            return
        for byte in self._soc.board.console_rx.take():
            if byte == _END:
                frame, self._frame = self._frame, bytearray()
                if frame:
                    self._frame = None
                    self._serve(bytes(frame))
                    if not self.serving:
                        return
            elif self._frame is not None:
                if self._escaped:
                    self._escaped = False
                    self._frame.append({_ESC_END: _END, _ESC_ESC: _ESC}.get(byte, byte))
                elif byte == _ESC:
                    self._escaped = True
                else:
                    self._frame.append(byte)

    def _serve(self, frame: bytes) -> None:
        opcode = frame[0]
        if opcode == _GREET:
            self._answer(opcode, _OK)
            return
        if len(frame) < 16:
            self._answer(opcode, _BAD_LENGTH)
            return
        checksum, address, size = struct.unpack_from("<III", frame, 4)
        if zlib.crc32(frame[8:]) != checksum:
            self._answer(opcode, _BAD_CHECKSUM)
        elif opcode == _WRITE:
            self._write(address, frame[16:], size)
        elif opcode == _BOOT:
            self._boot(address)
        elif opcode == _SET_BAUD and len(frame) >= 20:
            baud = struct.unpack_from("<I", frame, 16)[0]
            self._soc.board.console_rx.rx_baud = self._soc.board.console_tx.tx_baud = baud
        else:
            self._answer(opcode, _BAD_COMMAND)

    def _write(self, address: int, data: bytes, size: int) -> None:
        at = address - RAM_CACHED
        if len(data) != size or not 0 <= at <= RAM_SIZE - size:
            self._answer(_WRITE, _BAD_LENGTH)
            return
        self._soc.ram[at : at + size] = data
        self._written.append((at, at + size))
        self._answer(_WRITE, _OK)

    def _boot(self, address: int) -> None:
        """Run what was uploaded. Code is patched in one piece, since instructions may cross upload frames."""
        self._stop()
        patcher = Patcher()
        if self._written:
            low, high = min(a for a, _ in self._written), max(b for _, b in self._written)
            self._soc.ram[low:high] = patcher.patch(self._soc.ram[low:high])
        self._soc.pads_changed()
        self._soc.run_at(address, patcher)

    def _answer(self, opcode: int, status: int) -> None:
        self._soc.board.console_tx.write(bytes((_END, opcode, status, _END)))
