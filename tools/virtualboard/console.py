"""The board's console seen from the host: a log of what it prints, or a pseudo-terminal to talk through.

Both sit at the host's end of the console lanes and work with either engine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import select
import termios
import time
import tty
from collections.abc import Callable
from typing import TYPE_CHECKING

from virtualboard.clock import MS, Alarm, Watch

if TYPE_CHECKING:
    from virtualboard.board import Board

OnText = Callable[[int, bytes], None]

_THINK_NS = 150 * MS  # longest pause of the host that is passed on to the board
_GATHER_NS = 2 * MS  # bytes that follow each other this closely are handed on together


class ConsoleLog:
    """Collects what the board prints. `on_text(virtual_ns, data)` is called as it arrives at 115200 baud."""

    def __init__(self, board: Board, on_text: OnText | None = None) -> None:
        self._clock = board.clock
        self._lane = board.console_tx
        self._on_text = on_text
        self._alarm: Alarm | None = None
        self.data = bytearray()
        self._lane.on_write = self._expect
        self._expect()

    def _expect(self) -> None:
        if self._alarm is not None and self._alarm.active:
            return
        when = self._lane.arrival()
        if when is not None:
            self._alarm = self._clock.at(when + _GATHER_NS, self._arrived)

    def _arrived(self) -> None:
        data = self._lane.take()
        if data:
            self.data += data
            if self._on_text is not None:
                self._on_text(self._clock.now, data)
        self._expect()

    @property
    def text(self) -> str:
        """Everything printed so far, as a terminal would show it."""
        return self.data.decode("utf-8", "replace").replace("\r\n", "\n")


class PtyConsole:
    """A serial port for the host: `name` is the path to give to `mpremote --port` or any terminal program.

    The rate that the program sets is the host's rate of the lanes, so a wrong rate gives garbage as it would.
    """

    def __init__(self, board: Board, on_text: OnText | None = None) -> None:
        self._board = board
        self._clock = board.clock
        self._rx = board.console_rx
        self._tx = board.console_tx
        self._on_text = on_text
        self._alarm: Alarm | None = None
        self._backlog = bytearray()
        self._mark = (self._clock.now, time.monotonic_ns())  # virtual and real time of the last exchange
        self._handed_until = 0
        self._master, self._slave = pty.openpty()
        # The slave stays open here too: otherwise reading fails with EIO whenever no program has it open.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.name = os.ttyname(self._slave)
        self._watch: Watch | None = self._clock.listen(self._master, self._from_host)
        self._tx.on_write = self._expect
        self._expect()

    def close(self) -> None:
        """Hang up."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
            os.close(self._master)
            os.close(self._slave)

    # -- host to board ------------------------------------------------------------------------------------

    def _from_host(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return
        self._follow_rate()
        if data:
            self._hand_in(data)

    def _hand_in(self, data: bytes) -> None:
        """Give the board as much of its own time as the host took since they last exchanged something.

        An emulated chip can be slower than the host for a moment, and a program that sleeps 100 ms to let the board
        start would then be answered by a board that had 5 ms.
        """
        real = time.monotonic_ns()
        thought = min(real - self._mark[1], _THINK_NS)
        when = max(self._clock.now, self._mark[0] + thought, self._handed_until)
        self._handed_until = when
        self._mark = (when, real)
        if when > self._clock.now:
            self._clock.at(when, lambda: self._write(data))
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._watch is not None:
            self._rx.write(data)

    def _follow_rate(self) -> None:
        rate = _RATES.get(termios.tcgetattr(self._slave)[5])
        if rate:
            self._rx.tx_baud = rate
            self._tx.rx_baud = rate

    # -- board to host ------------------------------------------------------------------------------------

    def _expect(self) -> None:
        if self._alarm is not None and self._alarm.active:
            return
        when = self._tx.arrival()
        if when is not None:
            self._alarm = self._clock.at(when + _GATHER_NS, self._arrived)

    def _arrived(self) -> None:
        self._follow_rate()
        data = self._tx.take()
        if data and self._on_text is not None:
            self._on_text(self._clock.now, data)
        self._backlog += data
        self._mark = (self._clock.now, time.monotonic_ns())
        self._push()
        self._expect()

    def _push(self) -> None:
        """Hand on what the pseudo-terminal takes; a program that does not read loses what overflows."""
        while self._backlog and self._watch is not None:
            if not select.select([], [self._master], [], 0)[1]:
                break
            with contextlib.suppress(BlockingIOError):
                sent = os.write(self._master, self._backlog[:4096])
                del self._backlog[:sent]
        if len(self._backlog) > 65536:
            del self._backlog[:-65536]


_RATES = {
    getattr(termios, f"B{rate}"): rate
    for rate in (9600, 19200, 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000,
                 2000000, 2500000, 3000000, 3500000, 4000000)
    if hasattr(termios, f"B{rate}")
}  # fmt: skip
