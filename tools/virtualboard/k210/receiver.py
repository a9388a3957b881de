"""The receive FIFO that UARTHS and UART1-3 share: bytes from a lane, an interrupt when enough of them are there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from virtualboard.clock import SECOND, Alarm
from virtualboard.wire import BITS, Lane

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

_TIMEOUT_CHARACTERS = 4
_LOOK_NS = 20_000


class Receiver:
    """FIFO of `depth` bytes behind a lane. `due` is the interrupt condition.

    It becomes due when `trigger` bytes have come, or after four quiet character times with fewer, and stays so until
    the FIFO is empty. Bytes that come while the FIFO is full are lost (DesignWare APB UART data book). A trigger of 1,
    an interrupt for every byte, costs the host most of its time: then bytes in the middle of a message are gathered,
    `batch` at most. The last byte of a word or of a message interrupts by itself (`Lane.run`), because a driver that
    finds its word and stops reading must not have read what comes behind it.
    """

    def __init__(self, soc: Soc, depth: int, changed: Callable[[], None]) -> None:
        self._soc = soc
        self._depth = depth
        self._changed = changed
        self._lane: Lane | None = None
        self._alarm: Alarm | None = None
        self._hear = self._incoming
        self._fetched_at = 0
        self.fifo: deque[int] = deque()
        self.trigger = 1
        self.batch = 1
        self.due = False
        self.overrun = False
        self.lost = 0
        """Bytes lost to overrun since power-on."""

    def reset(self) -> None:
        """Empty and disconnected."""
        self.attach(None, 115200)
        self.fifo.clear()
        self.due = self.overrun = False

    def attach(self, lane: Lane | None, baud: int) -> None:
        """Listen to `lane` (or to nothing) at `baud`."""
        if lane is not self._lane:
            if self._lane is not None and self._lane.on_write == self._hear:
                self._lane.on_write = None
            self._lane = lane
            if lane is not None:
                lane.take()  # what went by while nobody listened
        if lane is not None:
            lane.on_write = self._hear
            if baud > 0:
                lane.rx_baud = baud
        self._schedule()

    def fetch(self) -> None:
        """Move what has arrived by now into the FIFO."""
        lane = self._lane
        if lane is None or lane.sent == lane.delivered:
            return
        now = self._soc.clock.now
        if self.fifo and now - self._fetched_at < _LOOK_NS:
            return  # a handler that drains the FIFO looks several times a byte
        self._fetched_at = now
        data = lane.take()
        room = self._depth - len(self.fifo)
        if len(data) > room:
            self.overrun = True
            self.lost += len(data) - room
            data = data[:room]
        self.fifo.extend(data)

    def read(self) -> int | None:
        """The oldest byte, or None."""
        self.fetch()
        if not self.fifo:
            return None
        byte = self.fifo.popleft()
        if not self.fifo:
            self.settle()
        return byte

    def settle(self) -> None:
        """The FIFO was emptied: no interrupt until the next bytes."""
        if self.due and not self.fifo:
            self.due = False
            self._changed()
        self._schedule()

    def _incoming(self) -> None:
        if not self.due:
            self._schedule()

    def _schedule(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        lane = self._lane
        if self.due or lane is None:
            return
        queued = lane.sent - lane.delivered
        wanted = self.trigger - len(self.fifo)
        if wanted <= 0:
            when = self._soc.clock.now
        elif queued >= wanted:
            when = lane.arrival(wanted if self.trigger > 1 else lane.run(self.batch)) or 0
        elif queued or self.fifo:
            last = lane.arrival(queued) if queued else self._soc.clock.now
            when = (last or 0) + _TIMEOUT_CHARACTERS * BITS * SECOND // max(1, lane.rx_baud)
        else:
            return
        self._alarm = self._soc.clock.at(when, self._fire)
        self._soc.alarms_changed()

    def _fire(self) -> None:
        self._alarm = None
        self.fetch()
        if self.fifo:
            self.due = True
            self._changed()
        else:
            self._schedule()
