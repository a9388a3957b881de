"""`machine`: resets, watchdog, timers, the card slot; `UART` is in `uart`.

Source: MaixPy-v1 `modmachine.c`, `machine_wdt.c`, `machine_timer.c`; Kendryte SDK `wdt.c`.
"""

from __future__ import annotations

import hashlib
import types
from typing import Any

from virtualboard.clock import MS, SECOND, US, Alarm
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.stdlib import make_module
from virtualboard.hosted.vfs import Volumes

PWRON_RESET = HARD_RESET = 0
WDT_RESET, WDT1_RESET, SOFT_RESET = 1, 2, 3

_WDT_HZ = 13_000_000
_MOUNT_NS = 120 * MS  # three card initialisations at most, then the first mount attempt


def wdt_timeout(timeout_ms: int) -> int:
    """Virtual ns from feeding to reset: 2**k x 10.08 ms, k the largest that fits `timeout_ms`, at most 15."""
    steps = max(1, timeout_ms * (_WDT_HZ // 1000) // 65536)
    k = min(15, steps.bit_length() - 1)
    # The counter runs twice: once to the interrupt, once more to the reset.
    return 2 * (1 << (16 + k)) * SECOND // _WDT_HZ


def machine_module(chip: Chip, volumes: Volumes, uart: type) -> types.ModuleType:
    """The `machine` module."""
    dogs: dict[int, Alarm] = {}
    chip.on_power_up.append(dogs.clear)

    class WDT:
        """Watchdog 0 or 1; starts running when made."""

        def __init__(self, id: int = 0, timeout: int = 5000, callback: Any = None, context: Any = None) -> None:
            if id not in (0, 1):
                raise ValueError("[MAIXPY]WDT: does not exist")
            self._id = id
            self._period = wdt_timeout(timeout)
            self._callback = callback
            self._context = context
            self._middle: Alarm | None = None
            self.feed()

        def feed(self) -> None:
            chip.charge(chip.costs.call)
            chip.sync()
            self._cancel()
            cause = WDT_RESET if self._id == 0 else WDT1_RESET
            dogs[self._id] = chip.clock.after(self._period, lambda: chip.reset(cause))
            if self._callback is not None:
                self._middle = chip.clock.after(self._period // 2, self._bark)

        def stop(self) -> None:
            self._cancel()

        def _cancel(self) -> None:
            alarm = dogs.pop(self._id, None)
            if alarm is not None:
                alarm.cancel()
            if self._middle is not None:
                self._middle.cancel()

        def _bark(self) -> None:
            chip.schedule(lambda: self._callback(self))  # MaixPy-v1 machine_wdt.c: the object, not the context

    class Timer:
        """A timer whose callback the interpreter runs; not during blocking C calls."""

        TIMER0, TIMER1, TIMER2 = 0, 1, 2
        CHANNEL0, CHANNEL1, CHANNEL2, CHANNEL3 = 0, 1, 2, 3
        MODE_ONE_SHOT, MODE_PERIODIC, MODE_PWM = 0, 1, 2
        UNIT_S, UNIT_MS, UNIT_US, UNIT_NS = 0, 1, 2, 3

        def __init__(
            self,
            id: int,
            channel: int,
            mode: int = 0,
            period: int = 1000,
            unit: int = 1,
            callback: Any = None,
            arg: Any = None,
            start: bool = True,
            priority: int = 1,
            div: int = 0,
        ) -> None:
            if not callable(callback):
                raise ValueError("callback must be a function")
            self._mode = mode
            self._period = period * (SECOND, MS, US, 1)[unit]
            self._callback = callback
            self._arg = arg
            self._alarm: Alarm | None = None
            chip.on_power_up.append(self.stop)
            if start:
                self.start()

        def start(self) -> None:
            chip.sync()
            self.stop()
            self._alarm = chip.clock.after(self._period, self._fire)

        def stop(self) -> None:
            if self._alarm is not None:
                self._alarm.cancel()

        def restart(self) -> None:
            self.start()

        def deinit(self) -> None:
            self.stop()

        def callback(self, function: Any = None) -> Any:
            if function is not None:
                self._callback = function
            return self._callback

        def period(self, value: int | None = None) -> int:
            if value is not None:
                self._period = value * MS
            return self._period // MS

        def callback_arg(self, arg: Any = None) -> Any:
            if arg is not None:
                self._arg = arg
            return self._arg

        def _fire(self) -> None:
            chip.schedule(lambda: self._callback(self))
            if self._mode == Timer.MODE_PERIODIC:
                self._alarm = chip.clock.after(self._period, self._fire)

    class SDCard:
        """The card slot; cannot be instantiated."""

        def __new__(cls, *args: Any) -> Any:
            raise TypeError("cannot create 'SDCard' instances")

        @staticmethod
        def remount() -> Any:
            """Starts the background mount. What it returns is garbage on the board; here it cannot be used."""
            chip.charge(chip.costs.call)
            chip.sync()
            chip.clock.after(_MOUNT_NS, mount)
            return _Garbage()

    def mount() -> None:
        if chip.board.card.present:
            volumes.mount_card()

    def reset() -> None:
        chip.sync()
        chip.reset(HARD_RESET)
        chip.check()

    def unsupported(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("not in the hosted engine; use the k210 engine")

    return make_module(
        "machine",
        UART=uart,
        WDT=WDT,
        Timer=Timer,
        SDCard=SDCard,
        PWM=unsupported,
        I2C=unsupported,
        SPI=unsupported,
        reset=reset,
        reset_cause=lambda: chip.reset_cause,
        unique_id=lambda: hashlib.sha256(f"board {chip.board.config.seed}".encode()).digest(),
        PWRON_RESET=PWRON_RESET,
        HARD_RESET=HARD_RESET,
        WDT_RESET=WDT_RESET,
        WDT1_RESET=WDT1_RESET,
        SOFT_RESET=SOFT_RESET,
    )


class _Garbage:
    """A pointer to nowhere: printing it would crash the board."""

    def __repr__(self) -> str:
        raise RuntimeError("the result of machine.SDCard.remount() is garbage on the board; do not use it")

    __str__ = __bool__ = __hash__ = __repr__  # type: ignore[assignment]
