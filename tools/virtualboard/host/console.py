"""The board's console seen from the host: who prints what reaches whom, and a pseudo-terminal to talk through.

Everything here sits at the host's end of the console lanes and works with either engine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from virtualboard.clock import MS, Alarm, Watch

try:
    import pty
    import termios
    import tty
except ImportError:  # Windows has none; the RFC 2217 port works there
    HAS_PTY = False
else:
    HAS_PTY = True

if TYPE_CHECKING:
    from virtualboard.board import Board

OnText = Callable[[int, bytes], None]

CONSOLE_BAUD = 115200
"""Rate of MaixPy's console (MaixPy-v1 machine_uart.c) and of the boot ROM."""

_THINK_NS = 150 * MS  # longest pause of the host that is passed on to the board
_GATHER_NS = 2 * MS  # bytes that follow each other this closely are handed on together
_BACKLOG = 65536  # bytes kept for a program that does not read


class ConsoleLine:
    """The host's end of the console, shared by all who listen and type there.

    `on_text(virtual_ns, data)`, and every function given to `listen`, is called with what the board prints as it
    arrives at the host's rate. A board has one such end: a second one would take the first one's bytes, and is a
    ValueError.
    """

    def __init__(self, board: Board, on_text: OnText | None = None) -> None:
        if board.console_tx.on_write is not None:
            raise ValueError("this board's console has its host's end already: `listen` to that one")
        self.clock = board.clock
        self._rx = board.console_rx
        self._tx = board.console_tx
        self._listeners: list[OnText] = [on_text] if on_text is not None else []
        self._alarm: Alarm | None = None
        self._mark = (self.clock.now, time.monotonic_ns())  # virtual and real time of the last exchange
        self._handed_until = 0
        self._waiting = 0  # things handed in whose time has not come
        self.before_take: Callable[[], None] | None = None
        """Called before bytes are sampled, for a port that has to look up which rate its program has set."""
        self._tx.on_write = self._expect
        self._expect()

    def listen(self, on_text: OnText) -> None:
        """Also hand what the board prints to `on_text`."""
        self._listeners.append(on_text)

    def type(self, data: bytes) -> None:
        """Send `data` to the board right now, in virtual time."""
        self._rx.write(data)

    def hand_in(self, data: bytes) -> None:
        """Send what a program on the host wrote, giving the board as much of its own time as the program took.

        An emulated chip can be slower than the host for a moment, and a program that sleeps 100 ms to let the board
        start would then be answered by a board that had 5 ms.
        """
        real = time.monotonic_ns()
        thought = min(real - self._mark[1], _THINK_NS)
        when = max(self.clock.now, self._mark[0] + thought, self._handed_until)
        self._handed_until = when
        self._mark = (when, real)
        self._in_order(when, lambda: self.type(data))

    @property
    def baud(self) -> int:
        """The host's rate in both directions; a board at another rate prints garbage, as it would."""
        return self._rx.tx_baud

    @baud.setter
    def baud(self, baud: int) -> None:
        self._rx.tx_baud = baud
        self._tx.rx_baud = baud

    def hand_in_baud(self, baud: int) -> None:
        """A program on the host sets the rate: behind what it has written before."""
        self._in_order(self._handed_until, lambda: self._set_baud(baud))

    def _in_order(self, when: int, action: Callable[[], None]) -> None:
        """Run `action` at `when`, or now when that has come and nothing handed in before still waits."""
        if when <= self.clock.now and not self._waiting:
            action()
            return

        def run() -> None:
            self._waiting -= 1
            action()

        self._waiting += 1
        self.clock.at(when, run)

    def _set_baud(self, baud: int) -> None:
        self.baud = baud

    def _expect(self) -> None:
        if self._alarm is not None and self._alarm.active:
            return
        when = self._tx.arrival()
        if when is not None:
            self._alarm = self.clock.at(when + _GATHER_NS, self._arrived)

    def _arrived(self) -> None:
        if self.before_take is not None:
            self.before_take()
        data = self._tx.take()
        if data:
            self._mark = (self.clock.now, time.monotonic_ns())
            for listener in list(self._listeners):
                listener(self.clock.now, data)
        self._expect()


class ConsoleLog(ConsoleLine):
    """Collects what the board prints, from its power-on."""

    def __init__(self, board: Board, on_text: OnText | None = None) -> None:
        self.data = bytearray()
        super().__init__(board)
        self.listen(lambda _when, data: self.data.extend(data))
        if on_text is not None:
            self.listen(on_text)

    @property
    def text(self) -> str:
        """Everything printed so far, as a terminal would show it."""
        return self.data.decode("utf-8", "replace").replace("\r\n", "\n")


class PtyConsole:
    """A serial port for the host: `name` is the path to give to `mpremote --port` or any terminal program.

    The rate that the program sets becomes the line's. Where `HAS_PTY` is false there are no pseudo-terminals and this
    raises OSError.
    """

    def __init__(self, console: Board | ConsoleLine, on_text: OnText | None = None) -> None:
        if not HAS_PTY:
            raise OSError(errno.ENOSYS, "this system has no pseudo-terminals")
        self._line = console if isinstance(console, ConsoleLine) else ConsoleLine(console)
        self._backlog = bytearray()
        self._rate = CONSOLE_BAUD
        self._master, self._slave = pty.openpty()
        # The slave stays open here too: otherwise reading fails with EIO whenever no program has it open.
        tty.setraw(self._slave)
        attributes = termios.tcgetattr(self._slave)
        attributes[4:6] = [termios.B115200] * 2
        termios.tcsetattr(self._slave, termios.TCSANOW, attributes)
        os.set_blocking(self._master, False)
        self.name = os.ttyname(self._slave)
        self._watch: Watch | None = self._line.clock.listen(self._master, self._from_host)
        if on_text is not None:
            self._line.listen(on_text)
        self._line.listen(self._to_host)
        self._line.before_take = self._follow_rate

    def close(self) -> None:
        """Hang up."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
            self._line.before_take = None
            os.close(self._master)
            os.close(self._slave)

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
            self._line.hand_in(data)

    def _follow_rate(self) -> None:
        rate = _RATES.get(termios.tcgetattr(self._slave)[5], 0)
        if rate != self._rate:
            self._rate = rate
            if rate:
                self._line.hand_in_baud(rate)

    def _to_host(self, _when: int, data: bytes) -> None:
        if self._watch is None:
            return
        self._backlog += data
        while self._backlog and select.select([], [self._master], [], 0)[1]:
            with contextlib.suppress(BlockingIOError):
                sent = os.write(self._master, self._backlog[:4096])
                del self._backlog[:sent]
        # A program that does not read loses what overflows.
        del self._backlog[:-_BACKLOG]


_RATES = {
    getattr(termios, f"B{rate}"): rate
    for rate in (9600, 19200, 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000,
                 2000000, 2500000, 3000000, 3500000, 4000000)
    if hasattr(termios, f"B{rate}")
} if HAS_PTY else {}  # fmt: skip
