"""The chip that the hosted firmware runs on: its time, its pads and function switch, its heap, and how it is stopped.

All device code and all modules share one `Chip`. Work is paid for with `charge`; `sync` lets the charged time pass on
the board's clock. Whatever looks at the world (a UART, a pin, the time) syncs first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from virtualboard.clock import MS, US
from virtualboard.hosted.costs import Costs
from virtualboard.hosted.errors import HardReset, Stopped
from virtualboard.hosted.heap import Heap
from virtualboard.pins import PADS, RESV0

if TYPE_CHECKING:
    from virtualboard.board import Board

_BOOT_FUNCTIONS = {4: 18, 5: 19, 16: 63, 17: 56, 26: 71, 27: 83, 28: 70, 29: 53, 36: 15, 37: 54, 38: 55, 39: 17}
"""What v0.6.2 has mapped when the prompt appears."""

_QUANTUM = 50 * US  # charged time that passes at once; nothing the device can see happens in between
_HELD_STEP = 200 * US  # how far to go blindly while a real peer is awaited
_IDLE_STEP = 200 * US
_IDLE_AFTER = 16

C_HEAP_FREE = 4_640 * 1024
"""Bytes of the system heap outside the GC heap, in the example of MaixPy's documentation."""

SCHEDULE_DEPTH = 8
"""Callbacks that wait at most (`MICROPY_SCHEDULER_DEPTH`)."""


class Chip:
    """Time, pads, heap and stop conditions. `costs` scales the processor."""

    def __init__(self, board: Board, costs: Costs | None = None, heap_size: int | None = None) -> None:
        self.board = board
        self.clock = board.clock
        self.costs = costs or Costs()
        self.heap = Heap(heap_size) if heap_size else Heap()
        self.functions = [RESV0] * PADS
        self.gpio_out: dict[int, bool] = {}
        """Level that each GPIO function drives (24-63), when it is an output."""
        self.stop: Stopped | None = None
        """Set when the program must end; every further step of it raises this."""
        self.interrupted = False
        self.interrupt_char = 3
        self.scheduled: deque[Callable[[], Any]] = deque()
        self.on_remap: list[Callable[[], None]] = []
        """Called when pads were given other functions (UARTs look up their lanes again)."""
        self.on_power_up: list[Callable[[], Any]] = []
        """Called at every chip reset: watchdogs and timers stop."""
        self.console: Callable[[str], None] = lambda text: None
        """What C code prints with."""
        self.reset_cause = 0
        self.powered_at = 0
        self.rtc_offset = 0
        self.next_heap_size = self.heap.size
        self.c_heap_free = C_HEAP_FREE
        self._pulled: set[int] = set()
        self._pending = 0
        self._idle = 0
        self._locked = False
        for pad, function in _BOOT_FUNCTIONS.items():
            self.functions[pad] = function

    # -- time ---------------------------------------------------------------------------------------------

    def charge(self, ns: int) -> None:
        """The processor works for `ns`."""
        self._pending += ns

    def tick(self, ns: int) -> None:
        """One step of Python code that costs `ns`: time may pass, callbacks run, the program may be stopped."""
        self._pending += ns
        if self._pending >= _QUANTUM:
            self.sync()
        if self.stop is not None or self.interrupted or self.scheduled:
            self.check()

    def spin(self, ns: int) -> None:
        """Rounds of a loop in which nothing happens, `ns` each: all those at whose end no charged time passes yet."""
        if self.stop is None and not self.interrupted and not self.scheduled:
            self._pending += max(0, (_QUANTUM - 1 - self._pending) // ns) * ns
        self.tick(ns)

    def sync(self) -> None:
        """Let the charged time pass."""
        ns = self._pending
        if ns:
            self._pending = 0
            clock = self.clock
            when = clock.now + ns
            if when < clock.quiet_until:
                clock.now = when
            else:
                clock.advance_to(when)
        if self.stop is not None:
            raise self.stop

    def wait_until(self, when: int) -> None:
        """The processor waits (in C, uninterruptibly) until virtual time `when`."""
        self.sync()
        self._idle = 0
        if when > self.clock.now:
            self.clock.advance_to(when)
        if self.stop is not None:
            raise self.stop

    def wait(self, ns: int) -> None:
        """The processor waits for `ns`."""
        self.sync()
        self.wait_until(self.clock.now + ns)

    def step_towards(self, deadline: int, arrival: int | None = None) -> None:
        """Advance to the next thing that can happen, at most to `deadline`: an alarm, or `arrival` of a byte."""
        clock = self.clock
        due = deadline if arrival is None or arrival > deadline else arrival
        if clock.now < due < clock.quiet_until:
            clock.now = due
        else:
            alarm = clock.next_alarm
            if alarm is not None and alarm < due:
                due = alarm
            if clock.held:
                due = min(due, clock.now + _HELD_STEP)
            clock.advance_to(max(due, clock.now))
        if self.stop is not None:
            raise self.stop

    def busy(self) -> None:
        """Something was done: polling starts afresh."""
        self._idle = 0

    def idle(self, arrival: int | None = None) -> None:
        """A poll found nothing. After many in a row, skip to shortly before the next thing that can happen."""
        self._idle += 1
        if self._idle >= _IDLE_AFTER:
            self.step_towards(self.clock.now + _IDLE_STEP, arrival)

    def read_clock(self, ns: int) -> int:
        """The time, which it costs `ns` to look at: a poll that found nothing."""
        self._pending += ns
        self.sync()
        self._idle += 1
        if self._idle >= _IDLE_AFTER:
            self.step_towards(self.clock.now + _IDLE_STEP)
        return self.clock.now

    # -- interrupts ---------------------------------------------------------------------------------------

    def check(self) -> None:
        """What the interpreter does between bytecodes: stop, KeyboardInterrupt, scheduled callbacks."""
        if self.stop is not None:
            raise self.stop
        if self.interrupted:
            self.interrupted = False
            raise KeyboardInterrupt
        while self.scheduled and not self._locked:
            callback = self.scheduled.popleft()
            self._locked = True
            try:
                callback()
            finally:
                self._locked = False

    def schedule(self, callback: Callable[[], Any]) -> bool:
        """Have `callback` run by the interpreter soon; False when too many wait already."""
        if len(self.scheduled) >= SCHEDULE_DEPTH:
            return False
        self.scheduled.append(callback)
        return True

    def halt(self, stop: Stopped) -> None:
        """End the running program at its next step."""
        if self.stop is None:
            self.stop = stop

    def reset(self, cause: int = 0) -> None:
        """A chip reset: `machine.reset()`, the watchdog."""
        self.halt(HardReset(cause))

    # -- pads ---------------------------------------------------------------------------------------------

    def pad_of(self, function: int) -> int | None:
        """The lowest pad that has `function`, or None."""
        try:
            return self.functions.index(function)
        except ValueError:
            return None

    def set_function(self, pad: int, function: int) -> None:
        """Give `pad` a function; whichever pad had it loses it (Kendryte SDK `fpioa_set_function`)."""
        self.sync()
        changed = [pad]
        if function != RESV0:
            for other, present in enumerate(self.functions):
                if present == function and other != pad:
                    self.functions[other] = RESV0
                    changed.append(other)
        self.functions[pad] = function
        for other in reversed(changed):
            self._drive(other)
        for listener in self.on_remap:
            listener()

    def set_output(self, function: int, level: bool | None) -> None:
        """A GPIO function drives `level`, or is an input (None)."""
        self.sync()
        if level is None:
            self.gpio_out.pop(function, None)
        else:
            self.gpio_out[function] = level
        pad = self.pad_of(function)
        if pad is not None:
            self._drive(pad)

    def set_pull(self, function: int, up: bool) -> None:
        """The pad's own pull-up resistor (about 30 kOhm; a board's key or resistor to ground still wins)."""
        pad = self.pad_of(function)
        if pad is None:
            return
        pads = self.board.pads
        if up and not pads.level(pad):
            self._pulled.add(pad)
            pads.pull(pad, True)
        elif not up and pad in self._pulled:
            self._pulled.discard(pad)
            pads.pull(pad, False)

    def read_pin(self, function: int) -> int:
        """Level of the pad that has `function`; 0 when none has."""
        self.sync()
        pad = self.pad_of(function)
        return 0 if pad is None else int(self.board.pads.level(pad))

    def power_up(self, cause: int) -> None:
        """The chip comes out of reset: nothing runs, nothing is driven, the clock of the RTC starts anew."""
        self.stop = None
        self.interrupted = False
        self.scheduled.clear()
        for action in self.on_power_up:
            action()
        self.reset_cause = cause
        self.powered_at = self.clock.now
        self.rtc_offset = 0
        self.c_heap_free = C_HEAP_FREE
        self._pending = 0
        self.functions = [RESV0] * PADS
        self.gpio_out.clear()
        self.board.pads.release_all()
        for pad, function in _BOOT_FUNCTIONS.items():
            self.functions[pad] = function
        for listener in self.on_remap:
            listener()

    def _drive(self, pad: int) -> None:
        self.board.pads.drive(pad, self.gpio_out.get(self.functions[pad]))


def ms(duration: float) -> int:
    """Virtual nanoseconds of `duration` milliseconds."""
    return round(duration * MS)
