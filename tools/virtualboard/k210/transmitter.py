"""The transmit FIFO that UARTHS and UART1-3 share: bytes leave through a lane at its true rate and no faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from virtualboard.clock import SECOND, Alarm
from virtualboard.wire import BITS, Lane

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc


class Transmitter:
    """FIFO of `depth` bytes (the shift register holds one more). `changed` is called as `tell_when_below` asked."""

    def __init__(self, soc: Soc, depth: int, changed: Callable[[], None]) -> None:
        self._soc = soc
        self._depth = depth
        self._changed = changed
        self._lane: Lane | None = None
        self._free_at = 0
        self._byte_ns = 1
        self._alarm: Alarm | None = None

    def reset(self) -> None:
        """Forget what has not left yet."""
        if self._lane is not None:
            self._lane.cut()
        self._lane = None
        self._free_at = 0

    def attach(self, lane: Lane | None, baud: int) -> None:
        """Send through `lane` (or into the air) at `baud`."""
        self._lane = lane
        # Rounded up: lanes end each byte on a whole nanosecond, and n of them must not count as n + 1.
        self._byte_ns = -(-BITS * SECOND // max(1, baud))
        if lane is not None and baud > 0:
            lane.tx_baud = baud

    def put(self, value: int) -> None:
        """Queue one byte; lost when the FIFO is full, as on the chip."""
        if self.pending() > self._depth:
            return
        now = self._soc.clock.now
        if self._lane is not None:
            self._free_at = self._lane.write(bytes((value & 0xFF,)))
        else:
            self._free_at = max(now, self._free_at) + self._byte_ns

    def pending(self) -> int:
        """Bytes whose last bit is not out yet, the shift register's included."""
        left = self._free_at - self._soc.clock.now
        return -(-left // self._byte_ns) if left > 0 else 0

    def wait_for_room(self) -> bool:
        """True when the FIFO is full. Time passes to when it is not, if nothing else wants to run meanwhile."""
        if self.pending() <= self._depth:
            return False
        self._soc.wait_until(self._free_at - self._depth * self._byte_ns)
        return self.pending() > self._depth

    def tell_when_below(self, count: int) -> None:
        """Call `changed` once fewer than `count` bytes are left."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._soc.clock.at(self._free_at - (count - 1) * self._byte_ns, self._changed)
