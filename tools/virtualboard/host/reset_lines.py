"""DTR and RTS of the USB adapter, and what a board's circuit makes of them: reset and the BOOT strap.

The transistors of most boards are crossed, base to the one line and emitter to the other: a line pulls its pin low only
while the other is not asserted. So a terminal program, which asserts both when it opens a port, does nothing. Which
line does what: kflash 1.1.6, reset_to_isp_* and reset_to_boot_* with their comments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtualboard.clock import MS, Alarm, Watch

if TYPE_CHECKING:
    from virtualboard.board import Board


@dataclass(frozen=True)
class Wiring:
    """How one type of board is wired; `reset` and `boot` are "dtr" or "rts".

    With `crossed` the reset pin is low while `reset` is asserted and `boot` is not, the BOOT pin the other way round.
    Without it a change of `reset` resets the chip as long as the other line is asserted, and `boot` released pulls BOOT
    low at that moment.
    """

    reset: str
    boot: str
    crossed: bool = True


_RTS_RESETS, _DTR_RESETS = Wiring("rts", "dtr"), Wiring("dtr", "rts")

WIRINGS = {
    "kd233": _DTR_RESETS,
    "dan": _RTS_RESETS,
    "bit": _RTS_RESETS,
    "bit_mic": _DTR_RESETS,
    "goE": _DTR_RESETS,
    # What that CMSIS-DAP firmware does is not published; with this both of kflash's sequences do what they say.
    "goD": Wiring("rts", "rts", crossed=False),
    "maixduino": _DTR_RESETS,
    "trainer": _RTS_RESETS,
}
"""Board types by kflash's names. Dock and Bit are `dan`, Go, Amigo and Cube `goE`; `goD` is a Go whose USB bridge still
has its first firmware."""

_RELEASE_NS = 90 * MS
"""How long the chip stays in reset after the line is let go, in which kflash pulls BOOT low. A capacitor does that on
boards, shorter; pyserial's RFC 2217 client needs 50 ms to move the second line, and kflash waits 100 ms in between
where it wants the chip to start."""


class ResetLines:
    """`dtr` and `rts` are true while asserted. `hold(True)` stops the chip, `hold(False)` lets it start.

    `fileno` is the descriptor of the program that moves the lines: until the chip starts, virtual time keeps to real
    time, so that the program can move the other line of a board that otherwise runs ahead.
    """

    def __init__(self, board: Board, wiring: str, hold: Callable[[bool], None]) -> None:
        if wiring not in WIRINGS:
            raise ValueError(f"no reset lines are called {wiring!r}; known: {', '.join(WIRINGS)}")
        self._board = board
        self._wiring = WIRINGS[wiring]
        self._hold = hold
        self._held = False
        self._boot_low = False
        self._alarm: Alarm | None = None
        self._patience: Watch | None = None
        self.dtr = self.rts = True
        """As after opening a port, where systems assert both."""

    def set(self, dtr: bool | None = None, rts: bool | None = None, fileno: int | None = None) -> None:
        """Move one line or both."""
        before = {"dtr": self.dtr, "rts": self.rts}
        self.dtr = self.dtr if dtr is None else dtr
        self.rts = self.rts if rts is None else rts
        now, wiring = {"dtr": self.dtr, "rts": self.rts}, self._wiring
        if wiring.crossed:
            reset, boot = now[wiring.reset], now[wiring.boot]
            self._boot(boot and not reset)
            self._reset(reset and not boot, fileno)
        else:
            enabled = now["dtr" if wiring.reset == "rts" else "rts"]
            if enabled and now[wiring.reset] != before[wiring.reset]:
                self._reset(True, fileno)
                self._reset(False, fileno)
            self._boot(enabled and not now[wiring.boot])

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
                self._patience = self._board.clock.watch(fileno, lambda: None, grace_ns=0)
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
