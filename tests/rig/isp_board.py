"""A K210 in ISP mode on a pseudo-terminal: boot ROM and kflash's stub as a protocol, with faults to switch on.

Written from kflash 1.1.6 and its disassembled stub. The chip itself is emulated elsewhere; here the point is what the
host does with a board that misbehaves.
"""

from __future__ import annotations

import os
import pty
import select
import struct
import termios
import threading
import tty
import zlib
from dataclasses import dataclass, field

from rig.patience import patient

FLASH_SIZE = 16 * 1024 * 1024
OK, BAD_LENGTH, BAD_CHECKSUM, INVALID, BUSY = 0xE0, 0xE1, 0xE2, 0xE3, 0xE7


@dataclass
class Faults:
    """What goes wrong. Counts are of D4 frames (`frame`) or C3 frames (`chunk`), from 1; 0 is never."""

    silent: bool = False
    checksum_at_frame: int = 0
    silent_from_frame: int = 0
    vanish_at_frame: int = 0
    bad_chunk: int = 0
    noise: bytes = b""
    fastest: int = 0
    busy_for_ever: bool = False
    mute: bool = False


@dataclass
class IspBoard:
    faults: Faults = field(default_factory=Faults)
    flash: bytearray = field(default_factory=lambda: bytearray(b"\xff" * FLASH_SIZE))
    sram: bytearray = field(default_factory=lambda: bytearray(64 * 1024))
    rates: list[int] = field(default_factory=list)
    erased: list[tuple[int, int]] = field(default_factory=list)
    reboots: int = 0
    frames: int = 0
    chunks: int = 0
    greetings: int = 0

    def __enter__(self) -> IspBoard:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._stub = self._ready = False
        self._stop, self._wake = os.pipe()
        self._speaking: threading.Timer | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        os.write(self._wake, b"x")
        self._thread.join(patient(5))
        if self._speaking is not None:
            self._speaking.join()
        for fd in (self._master, self._slave, self._stop, self._wake):
            try:
                os.close(fd)
            except OSError:
                pass

    def _run(self) -> None:
        pending = b""
        while True:
            ready, _, _ = select.select([self._master, self._stop], [], [])
            if self._stop in ready:
                return
            pending += os.read(self._master, 65536)
            while pending.count(b"\xc0") >= 2:
                start = pending.index(b"\xc0")
                end = pending.index(b"\xc0", start + 1)
                body, pending = pending[start + 1 : end], pending[end + 1 :]
                if not self._request(body.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")):
                    return

    def _answer(self, op: int, status: int) -> None:
        body = bytes((op, status)).replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        os.write(self._master, b"\xc0" + body + b"\xc0")

    def _speed(self) -> int:
        names = {
            getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
        }
        return names[termios.tcgetattr(self._slave)[5]]

    def _request(self, body: bytes) -> bool:
        if self.faults.silent:
            return True
        if self.faults.noise:
            os.write(self._master, self.faults.noise)
            return True
        if len(body) < 13:
            return True
        op = body[0]
        first, second = struct.unpack_from("<II", body, 8) if len(body) >= 16 else (0, 0)
        data = body[16:]
        checked = len(body) < 16 or zlib.crc32(body[8:]) == struct.unpack_from("<I", body, 4)[0]
        if op == 0xC2:
            self.greetings += 1
            self._stub = self._ready = False
            self._answer(op, OK)
        elif op == 0xC3:
            self.chunks += 1
            if not checked or self.chunks == self.faults.bad_chunk:
                self._answer(op, BAD_CHECKSUM)
            else:
                self.sram[first - 0x80000000 : first - 0x80000000 + len(data)] = data
                self._answer(op, OK)
        elif op == 0xC5:
            self._stub = True
        elif self._stub:
            return self._stub_request(op, first, second, data, checked)
        return True

    def _stub_request(self, op: int, first: int, second: int, data: bytes, checked: bool) -> bool:
        if self.faults.fastest and self._speed() > self.faults.fastest:
            return True
        if op == 0xD2:
            self._answer(op, OK)
        elif op == 0xD6:
            self.rates.append(struct.unpack("<I", data)[0])
            # The stub's answer comes at the old rate, which the host does not hear any more. A pseudo-terminal has no
            # rates: here that answer would pass for the next one, and kflash would be one behind from then on.
        elif op == 0xD7:
            self._ready = first in (0, 1)
            self._answer(op, OK if self._ready else INVALID)
        elif op == 0xD4:
            self.frames += 1
            if self.frames == self.faults.vanish_at_frame:
                os.close(self._master)
                os.close(self._slave)
                return False
            if self.faults.silent_from_frame and self.frames >= self.faults.silent_from_frame:
                return True
            if not checked or self.frames == self.faults.checksum_at_frame:
                self._answer(op, BAD_CHECKSUM)
            elif not self._ready:
                self._answer(op, INVALID)
            else:
                self.flash[first : first + len(data)] = data
                self._answer(op, OK)
        elif op == 0xD8:
            self.erased.append((first, second))
            span = slice(first, first + second) if second else slice(0, FLASH_SIZE)
            self.flash[span] = b"\xff" * len(self.flash[span])
            self._answer(op, OK)
        elif op == 0xD9:
            self._answer(op, BUSY if self.faults.busy_for_ever else OK)
        elif op == 0xD5:
            self.reboots += 1
            self._answer(op, OK)
            if not self.faults.mute:
                self._speaking = threading.Timer(0.7, os.write, (self._master, b"\r\n[MAIXPY] Pll0:freq:806000000\r\n"))
                self._speaking.start()
        return True
