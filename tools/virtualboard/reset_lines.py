"""DTR and RTS of the USB adapter, and what a board's two transistors make of them: reset and the BOOT strap.

The transistors are crossed, base to the one line and emitter to the other: a line pulls its pin low only while the
other is not asserted. So a terminal program, which asserts both when it opens a port, does nothing. Which line does
what: kflash 1.1.6, comments of reset_to_isp_dan and reset_to_isp_goE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from virtualboard.clock import MS, Alarm, Watch

if TYPE_CHECKING:
    from virtualboard.board import Board

DAN, GOE = "dan", "goE"
PATTERNS = (DAN, GOE)
"""`dan` (Dock, Bit): RTS resets, DTR is BOOT. `goE` (Go, Maixduino, Amigo, Cube): the other way round."""

_RELEASE_NS = 90 * MS
"""How long the chip stays in reset after the line is let go, in which kflash pulls BOOT low. A capacitor does that on
boards, shorter; pyserial's RFC 2217 client needs 50 ms to move the second line, and kflash waits 100 ms in between
where it wants the chip to start."""


class ResetLines:
    """`dtr` and `rts` are true while asserted. `hold(True)` stops the chip, `hold(False)` lets it start.

    `fileno` is the descriptor of the program that moves the lines: until the chip starts, virtual time keeps to real
    time, so that the program can move the other line of a board that otherwise runs ahead.
    """

    def __init__(self, board: Board, pattern: str, hold: Callable[[bool], None]) -> None:
        if pattern not in PATTERNS:
            raise ValueError(f"no reset lines are called {pattern!r}; known: {', '.join(PATTERNS)}")
        self._board = board
        self._swapped = pattern == GOE
        self._hold = hold
        self._held = False
        self._boot_low = False
        self._alarm: Alarm | None = None
        self._patience: Watch | None = None
        self.dtr = self.rts = True
        """As after opening a port, where systems assert both."""

    def set(self, dtr: bool | None = None, rts: bool | None = None, fileno: int | None = None) -> None:
        """Move one line or both."""
        self.dtr = self.dtr if dtr is None else dtr
        self.rts = self.rts if rts is None else rts
        one, other = (self.dtr, self.rts) if self._swapped else (self.rts, self.dtr)
        self._boot(other and not one)
        self._reset(one and not other, fileno)

    def release(self) -> None:
        """The program has gone: both lines fall together."""
        self.dtr = self.rts = False
        self._boot(False)
        self._reset(False, None)
        self._impatient()

    def opened(self) -> None:
        """A program opens the port: both lines rise together."""
        self.dtr = self.rts = True
        self._boot(False)
        self._reset(False, None)

    def _boot(self, low: bool) -> None:
        # Only on a change: a person may be holding the key.
        if low != self._boot_low:
            self._boot_low = low
            self._board.press(down=low)
            if low and self._alarm is not None:
                self._start()

    def _reset(self, low: bool, fileno: int | None) -> None:
        if low:
            self._forget()
            if not self._held:
                self._held = True
                self._hold(True)
        elif self._held and self._alarm is None:
            if fileno is not None:
                self._patience = self._board.clock.watch(fileno, lambda: None)
                self._patience.real_start -= self._board.clock.grace_ns  # both times go on together at once
            self._alarm = self._board.clock.after(_RELEASE_NS, self._start)

    def _start(self) -> None:
        self._forget()
        self._held = False
        self._hold(False)

    def _forget(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._impatient()

    def _impatient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
