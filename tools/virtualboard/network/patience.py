"""When to wait in real time for a real peer, and when not to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from virtualboard.clock import MS, Action, Alarm, Clock

QUIET_NS = 20 * MS
"""Virtual time without traffic on the serial lines after which an idle link waits for its peer in real time."""

LOOKS_PER_READ = 10
"""While the lines are busy, a link that expects nothing looks at its socket only at every n-th `QUIET_NS`: often
enough to notice a refusal, seldom enough not to depend on the peer's real speed."""


class Handle(Protocol):
    """Something that can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when over."""


class Quiet:
    """Knows whether the board is busy, and which idle waits to break off when it becomes so."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.line_quiet: Callable[[], bool] = lambda: True
        """Set by the modem: nothing has moved on the serial lines for `QUIET_NS`."""
        self._idle_waits: set[Patience] = set()

    def add(self, patience: Patience) -> None:
        """An idle wait has begun."""
        self._idle_waits.add(patience)

    def remove(self, patience: Patience) -> None:
        """It is over."""
        self._idle_waits.discard(patience)

    def traffic(self) -> None:
        """Payload moves on some link: whoever waits without expecting anything stops holding time back."""
        for patience in list(self._idle_waits):
            patience.relax()


class Patience:
    """One descriptor's waiting. `look` is called when it is time to look at it; it may call `wait` again."""

    def __init__(self, quiet: Quiet, hold: Callable[[Action], Handle], look: Action, real: bool = True) -> None:
        self._quiet = quiet
        self._clock = quiet.clock
        self._hold_with = hold
        self._look = look
        self._real = real
        self._hold: Handle | None = None
        self._alarm: Alarm | None = None
        self._certain = False
        self._looks = 0

    def wait(self, eager: bool) -> None:
        """There was nothing: wait for it now (`eager`, or nothing else goes on), else look again later."""
        self.stop()
        if eager or not self._real:
            self._hold = self._hold_with(self._ready)
        elif self._quiet.line_quiet():
            self._hold = self._hold_with(self._ready)
            self._quiet.add(self)
        else:
            self._wait_for_quiet()

    def relax(self) -> None:
        """The board is busy: stop holding time back, look again when it is quiet."""
        if self._hold is not None:
            self.stop()
            self._wait_for_quiet()

    def _wait_for_quiet(self) -> None:
        self._looks = 0
        self._certain = False
        self._alarm = self._clock.after(QUIET_NS, self._later)

    def look_at(self, when: int) -> None:
        """Look at virtual time `when`, unless an earlier look is due."""
        if self._alarm is not None and self._certain and self._alarm.active and self._alarm.when <= when:
            return
        self.stop()
        self._certain = True
        self._alarm = self._clock.at(when, self._ready)

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None
            self._quiet.remove(self)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ready(self) -> None:
        self.stop()
        self._look()

    def _later(self) -> None:
        self._looks += 1
        if self._quiet.line_quiet() or self._looks % LOOKS_PER_READ == 0:
            self._ready()
        else:
            self._alarm = self._clock.after(QUIET_NS, self._later)
