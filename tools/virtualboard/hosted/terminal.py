"""The console on the chip's high-speed UART: what `print` writes, what the REPL reads, and Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from virtualboard.hosted.chip import Chip
from virtualboard.hosted.uart import Port

if TYPE_CHECKING:
    from virtualboard.clock import Alarm


class Terminal:
    """Console input and output of the firmware.

    Input bytes are looked at the instant they arrive, because Ctrl-C is handled by the receive interrupt; all others
    wait in the ring of the REPL's UART object (2048 bytes; more are lost).
    """

    def __init__(self, chip: Chip, port: Port) -> None:
        self._chip = chip
        self._port = port
        self._alarm: Alarm | None = None
        lane = chip.board.console_rx
        lane.on_write = self._expect
        self._expect()

    # -- input --------------------------------------------------------------------------------------------

    def _expect(self) -> None:
        when = self._port.arrival()
        if when is None or (self._alarm is not None and self._alarm.active):
            return
        # Bytes that follow closely are taken together: to the console a millisecond is nothing.
        self._alarm = self._chip.clock.at(when + 1_000_000, self._arrived)

    def _arrived(self) -> None:
        if self._chip.interrupt_char in self._port.fill():
            # As in the interrupt: the character goes into the ring as well; the REPL drops it there.
            self._chip.interrupted = True
        self._expect()

    def read_char(self, deadline: int | None = None) -> int | None:
        """Wait for a byte; None at `deadline`. Raises the stop condition of the chip."""
        chip = self._chip
        chip.sync()
        while True:
            uart = self._port.serving
            if uart is not None and uart.ring is not None and len(uart.ring):
                return uart.ring.get(1)[0]
            now = chip.clock.now
            if deadline is not None and now >= deadline:
                return None
            self.idle_until(deadline)

    def read_before(self, stops: bytes) -> bytes:
        """What has come already in front of the first of `stops`, as if it were read by `read_char`."""
        uart = self._port.serving
        return b"" if uart is None or uart.ring is None else uart.ring.get_before(stops)

    def idle_until(self, deadline: int | None) -> None:
        """Nothing to do: let time pass to the next event; with none at all, wait for the host in real time."""
        chip = self._chip
        clock = chip.clock
        if clock.next_alarm is None and deadline is None and not clock.held:
            if not clock.pace:
                clock.poll(50_000_000)
            if clock.next_alarm is None:
                clock.advance(20_000_000 if clock.pace else 1_000_000)
        else:
            limit = clock.now + 1_000_000_000 if deadline is None else deadline
            chip.step_towards(limit)
        if chip.stop is not None:
            raise chip.stop

    # -- output -------------------------------------------------------------------------------------------

    def write(self, text: str | bytes) -> None:
        """Print; a newline becomes CR LF (`mp_hal_stdout_tx_strn_cooked`)."""
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
        self.write_raw(raw.replace(b"\n", b"\r\n"))

    def write_raw_text(self, text: str) -> None:
        """What C code prints, newlines already as they should be."""
        self.write_raw(text.encode())

    def write_raw(self, raw: bytes) -> None:
        """Write bytes as they are. Waits while the FIFO is full: 87 us a character at 115200 baud."""
        if raw:
            self._port.send(raw)


class Stdio:
    """`sys.stdin`, `sys.stdout`, `sys.stderr` of device code."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def write(self, text: Any, /) -> int:
        self._terminal.write(text)
        return len(text)

    def read(self, count: int = -1, /) -> str:
        return self._read(count).decode()

    def readline(self, limit: int = -1, /) -> str:
        return self._read(limit, stop=True).decode()

    def _read(self, count: int, stop: bool = False) -> bytes:
        out = bytearray()
        while count < 0 or len(out) < count:
            char = self._terminal.read_char()
            if char is None or char == 4:
                break
            char = 10 if char == 13 else char
            out.append(char)
            if stop and char == 10:
                break
        return bytes(out)
