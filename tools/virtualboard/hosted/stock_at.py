"""MaixPy's own AT driver for the ESP8285, as a state machine: its waits, its buffer and its way of losing bytes.

Source: MaixPy-v1 `esp8285.c` (v0.5.1 and later). The receive ring and the scratch of the AT dialogue are the same
40960 bytes, so every command destroys what was received and not read.
"""

from __future__ import annotations

import re

from virtualboard.clock import MS, US
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.uart import UART

BUFFER_SIZE = 40960
MAX_SEND = 2048

EOF = -2
"""`receive` gives this once the peer's `CLOSED` was seen and all was handed out."""

_BYTE_NS = 4_000  # one turn of the receive loop: any(), stream read, two readings of the tick counter
_IDLE_POLL_NS = 1_840  # a turn of it that finds nothing (740 cycles at 403 MHz, measured on the emulated chip)
_IDLE_POLLS = 100
_CLEAR_NS = 40 * US  # memset of the scratch area

_SINGLE = re.compile(rb"\+IPD,\s*([+-]?\d+)")
_MULTI = re.compile(rb"\+IPD,\s*([+-]?\d+),\s*([+-]?\d+)")


class AtDriver:
    """The driver's state: one for each `ESP8285` object, except what C keeps in statics (`Statics`)."""

    def __init__(self, chip: Chip, uart: UART, statics: Statics) -> None:
        self._chip = chip
        self._uart = uart
        self._s = statics
        self._memory = bytearray(BUFFER_SIZE)
        self._read = 0
        self._write = 0

    # -- the ring -----------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes in the receive ring."""
        return (self._write - self._read) % BUFFER_SIZE

    def clear(self) -> None:
        """Forget what was received."""
        self._read = self._write = 0

    def _put(self, data: bytes) -> int:
        room = BUFFER_SIZE - 1 - self.waiting
        data = data[:room]
        first = data[: BUFFER_SIZE - self._write]
        self._memory[self._write : self._write + len(first)] = first
        rest = data[len(first) :]
        self._memory[: len(rest)] = rest
        self._write = (self._write + len(data)) % BUFFER_SIZE
        return len(data)

    def _get(self, count: int) -> bytes:
        count = min(count, self.waiting)
        first = bytes(self._memory[self._read : self._read + count])
        rest = bytes(self._memory[: count - len(first)])
        self._read = (self._read + count) % BUFFER_SIZE
        return first + rest

    # -- the dialogue -------------------------------------------------------------------------------------

    def empty(self) -> None:
        """Throw away what waits in the UART."""
        self._uart.take(1 << 20)

    def send_line(self, line: str | bytes) -> None:
        """Send one command."""
        self._uart.write((line.encode() if isinstance(line, str) else line) + b"\r\n")

    def write(self, data: bytes) -> None:
        """Send payload as it is."""
        self._uart.write(data)

    def expect(self, *targets: bytes, timeout_ms: int = 1000) -> bytes | None:
        """Collect until one of `targets` is among it; what was collected, or None at the timeout."""
        chip = self._chip
        chip.charge(_CLEAR_NS)
        self._memory[:] = bytes(BUFFER_SIZE)
        chip.sync()
        deadline = chip.clock.now + timeout_ms * MS
        collected = bytearray()
        # What waits already is swallowed whole; from then on the loop is faster than the wire and sees each byte.
        limit = BUFFER_SIZE - 1
        while self._uart.wait_byte(deadline):
            data = self._uart.take(limit)
            limit = min(1, BUFFER_SIZE - 1 - len(collected))
            chip.charge(len(data) * _BYTE_NS)
            collected += data
            self._memory[: len(collected)] = collected
            if any(target in collected for target in targets):
                return bytes(collected)
            if not data:
                break
        return None

    def command(self, line: str | bytes, *targets: bytes, timeout_ms: int = 1000) -> bytes | None:
        """Empty the UART, send, wait."""
        self.empty()
        self.send_line(line)
        return self.expect(*targets, timeout_ms=timeout_ms)

    # -- receiving ----------------------------------------------------------------------------------------

    def receive(self, wanted: int, timeout_ms: int, first: bool) -> bytes | int:
        """One call of the receive parser: bytes (perhaps none), or EOF."""
        s = self._s
        if first:
            s.sum = s.left = 0
            s.eof = False
        if self.waiting >= wanted:
            return self._hand_out(wanted)
        if s.sum <= 0 and s.eof:
            self.clear()
            return EOF
        self._parse(wanted, timeout_ms)
        return self._hand_out(wanted)

    def _hand_out(self, wanted: int) -> bytes:
        data = self._get(wanted)
        self._s.sum -= len(data)
        self._chip.charge(len(data) * self._chip.costs.copied_byte)
        return data

    def _parse(self, wanted: int, timeout_ms: int) -> None:
        """Bytes through the state machine until enough, silence, overflow or CLOSED."""
        s, chip, uart = self._s, self._chip, self._uart
        state = "idle"
        stray = bytearray()  # bytes since a `+` that opened no frame: the next frame gets them in front
        header = bytearray()
        after = 0  # 6: expecting CR, 7: expecting LF
        full = False  # payload just complete and enough in the ring
        chip.sync()
        last = chip.clock.now
        while not s.eof:
            chip.sync()
            if full:
                deadline = min(last + (timeout_ms + 1) * MS, chip.clock.now + _IDLE_POLLS * _IDLE_POLL_NS)
            else:
                deadline = last + (timeout_ms + 1) * MS
            if not uart.wait_byte(deadline):
                return
            run = s.left if state == "data" and s.left > 0 and not stray else 1
            data = uart.take(run)
            chip.charge(len(data) * _BYTE_NS)
            last = chip.clock.now
            byte = data[:1]
            if state == "idle":
                if byte == b"+":
                    state, header = "header", bytearray(byte)
            elif state == "header":
                header += byte
                if len(header) > 13 or (len(header) <= 5 and byte != b"+IPD,"[len(header) - 1 : len(header)]):
                    stray += header
                    state = "idle"
                elif len(header) > 5 and byte == b":":
                    length = _length(header)
                    if length > 0:
                        s.left, state, after = length, "data", 6
                    else:
                        stray += header
                        state = "idle"
            elif s.left > 0:
                payload = bytes(stray) + data
                stray.clear()
                s.left -= len(payload)
                if s.left < 0:
                    # Stray bytes made the frame seem complete too early; the byte at hand counts as behind it.
                    state = "idle"
                    continue
                put = self._put(payload)
                s.sum += put
                if put < len(payload):
                    chip.console(f"recvPkg | network->buffer overflow Buffer Max {BUFFER_SIZE} Size {self.waiting}\r\n")
                    s.left += len(payload) - put - 1
                    return
                full = s.left == 0 and self.waiting >= wanted
            else:
                full = False
                s.left -= 1
                if s.left == -1 and byte == b"C":
                    s.mark, after = -1, 7
                elif after == 6 and byte == b"\r":
                    after = 7
                elif after == 7 and byte == b"\n":
                    if s.left == -2:
                        after, state = 0, "idle"
                        if self.waiting >= wanted:
                            return
                    elif s.left == -8 and s.mark == -1:
                        s.eof, s.mark = True, 0
                    else:
                        after = 6
                elif s.mark != -1:
                    state = "idle"


class Statics:
    """What the C code keeps in static variables, shared by all sockets and not cleared by a soft reset."""

    def __init__(self) -> None:
        self.eof = False
        self.left = 0
        self.sum = 0
        self.mark = 0
        self.connected = False


def _length(header: bytearray) -> int:
    """The payload length that sscanf finds in a header, 0 for none."""
    if b"," in header[5:]:
        found = _MULTI.match(header)
        return int(found[2]) if found and 0 <= int(found[1]) <= 4 else 0
    found = _SINGLE.match(header)
    return int(found[1]) if found else 0
