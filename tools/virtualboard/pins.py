"""The 48 IO pads of the K210 and what a Maix board solders to them.

The chip drives or releases pads (through its FPIOA, in whichever engine plays the chip); the outside world pulls,
presses keys and connects serial lines. A part learns about its pin by a callback and never asks who drives it.
"""

from __future__ import annotations

from collections.abc import Callable

from virtualboard.wire import Lane

PADS = 48

UARTHS_RX, UARTHS_TX = 18, 19
GPIOHS0, GPIOHS_COUNT = 24, 32
GPIO0, GPIO_COUNT = 56, 8
UART1_RX, UART1_TX = 64, 65
"""Numbers of the functions that a pad can carry (Kendryte SDK `fpioa.h`, `fpioa_function_t`): pin n of GPIOHS is
`GPIOHS0 + n`, UART2's are 2 higher than UART1's, UART3's 4."""

RESV0 = 120
"""Number of no function: what a pad has that carries nothing."""

OnLevel = Callable[[bool], None]


class Pads:
    """Levels of all pads. `True` is high (3.3 V)."""

    def __init__(self) -> None:
        self._chip: list[bool | None] = [None] * PADS
        self._outside: list[bool | None] = [None] * PADS
        self._pull: list[bool] = [False] * PADS
        self._listeners: list[list[OnLevel]] = [[] for _ in range(PADS)]
        self.serial_in: dict[int, Lane] = {}
        """Lanes that bring bytes to the chip, by the pad on which they arrive."""
        self.serial_out: dict[int, Lane] = {}
        """Lanes that take bytes from the chip, by the pad on which they leave."""

    def drive(self, pad: int, level: bool | None) -> None:
        """The chip drives `pad` to `level`, or lets go of it (None)."""
        self._set(self._chip, pad, level)

    def press(self, pad: int, level: bool | None) -> None:
        """The outside world (a key, another chip) drives `pad`, or lets go of it (None)."""
        self._set(self._outside, pad, level)

    def pull(self, pad: int, level: bool) -> None:
        """A resistor on the board pulls `pad` to `level` when nobody drives it."""
        before = self.level(pad)
        self._pull[pad] = level
        self._tell(pad, before)

    def level(self, pad: int) -> bool:
        """What the pad reads: the chip's drive, else the outside's, else the resistor."""
        for driver in (self._chip[pad], self._outside[pad]):
            if driver is not None:
                return driver
        return self._pull[pad]

    def driven(self, pad: int) -> bool:
        """True when the chip or the outside drives `pad`, so that a weak pull resistor changes nothing."""
        return self._chip[pad] is not None or self._outside[pad] is not None

    def on_level(self, pad: int, listener: OnLevel) -> None:
        """Call `listener(level)` whenever the level of `pad` changes."""
        self._listeners[pad].append(listener)

    def release_all(self) -> None:
        """The chip was reset: it drives nothing any more."""
        for pad in range(PADS):
            self.drive(pad, None)

    def _set(self, drivers: list[bool | None], pad: int, level: bool | None) -> None:
        before = self.level(pad)
        drivers[pad] = level
        self._tell(pad, before)

    def _tell(self, pad: int, before: bool) -> None:
        level = self.level(pad)
        if level != before:
            for listener in self._listeners[pad]:
                listener(level)
