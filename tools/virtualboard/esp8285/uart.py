"""The module's serial port: batches in, whole prints out through a ring of limited size.

Figures: AT 1.7.6 binary (`uart.o`, register constants) and NONOS SDK user manual.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from virtualboard.clock import SECOND, Action, Alarm, Clock
from virtualboard.wire import BITS, Lane

CRYSTAL_PLL = 80_000_000
"""The divider of the module's UART counts this clock; a rate is 80 MHz over an integer."""

BATCH_BYTES = 100
"""Receive interrupt: so many bytes in the FIFO ..."""

IDLE_BYTES = 2
"""... or so many byte times of silence. Either ends a batch."""

FIFO_BYTES = 128
"""Hardware receive FIFO; what comes while nobody empties it is lost."""

RING_BYTES = 3020
"""Transmit ring: TCP window + 100."""

TRANSPARENT_RING_BYTES = 8192


def real_baud(asked: int) -> int:
    """The rate that the divider gives for `asked` (921600 gives 930232)."""
    return CRYSTAL_PLL // max(1, min(CRYSTAL_PLL // asked, 0xFFFFF))


class ModemUart:
    """Both directions of the module's serial port. `on_batch(bytes)` receives what one interrupt delivers."""

    def __init__(self, clock: Clock, rx: Lane, tx: Lane, on_batch: Callable[[bytes], None]) -> None:
        self._clock = clock
        self._rx = rx
        self._tx = tx
        self._on_batch = on_batch
        self.ring_bytes = RING_BYTES
        self.batch_bytes = BATCH_BYTES
        self._quiet_at = 0
        self._rx_alarm: Alarm | None = None
        self._tx_alarm: Alarm | None = None
        self._queue: deque[bytes] = deque()
        self._after_drain: list[Action] = []
        self._held_until = 0
        self._stalled = False
        self.on_room: Action = _nothing
        """Called when the ring may have room again for something that did not fit."""
        self.active_at = 0
        """Virtual time of the last byte seen or queued on either lane (may lie ahead)."""
        rx.on_write = self._incoming

    # -- rates --------------------------------------------------------------------------------------------

    @property
    def baud(self) -> int:
        """Real rate in use."""
        return self._rx.rx_baud

    def set_baud(self, asked: int, exact: bool = False) -> None:
        """Set both lanes to `asked`, through the divider unless `exact` (the ROM's odd rate)."""
        rate = asked if exact else real_baud(asked)
        self._rx.rx_baud = rate
        self._tx.tx_baud = rate
        self._rearm()

    # -- receiving ----------------------------------------------------------------------------------------

    def expect(self, count: int) -> None:
        """Wake up at the `count`-th byte from now instead of at every full FIFO (payload goes to memory)."""
        self.batch_bytes = count
        self._rearm()

    def expect_commands(self) -> None:
        """Back to interrupts at a full FIFO."""
        if self.batch_bytes != BATCH_BYTES:
            self.batch_bytes = BATCH_BYTES
            self._rearm()

    def _incoming(self) -> None:
        # Writes may come a byte at a time: remember the end of the line's work, look again when the alarm rings.
        end = self._rx.busy_until
        self._quiet_at = end + IDLE_BYTES * BITS * SECOND // self._rx.rx_baud
        self.active_at = max(self.active_at, end)
        if self._rx_alarm is None:
            self._arm()

    def _rearm(self) -> None:
        if self._rx_alarm is not None:
            self._rx_alarm.cancel()
            self._rx_alarm = None
            self._arm()

    def _arm(self) -> None:
        full = self._rx.arrival(self.batch_bytes)
        when = self._quiet_at if full is None else min(full, self._quiet_at)
        self._rx_alarm = self._clock.at(when, self._interrupt)

    def _interrupt(self) -> None:
        self._rx_alarm = None
        if self._clock.now < self._quiet_at and self._rx.waiting() < self.batch_bytes:
            self._arm()
            return
        if self._clock.now < self._held_until:
            # The task that empties the FIFO is stuck: 128 bytes wait, the rest is lost.
            self._stalled = True
            self._rx_alarm = self._clock.at(self._held_until, self._interrupt)
            return
        data = self._rx.take()
        if self._stalled:
            self._stalled = False
            if self.batch_bytes == BATCH_BYTES:
                data = data[:FIFO_BYTES]  # payload has a buffer in memory, commands have not
        if self._rx.arrival(1) is not None:
            self._arm()
        if data:
            self._on_batch(data)

    # -- sending ------------------------------------------------------------------------------------------

    def span(self, count: int) -> tuple[int, int]:
        """When `count` bytes printed now would begin and end on the line (virtual ns)."""
        byte_ns = BITS * SECOND // self._tx.tx_baud
        begins = self._tx.busy_until + sum(len(item) for item in self._queue) * byte_ns
        return begins, begins + count * byte_ns

    def print(self, item: bytes) -> None:
        """Queue `item` as one piece: nothing else is ever printed inside it."""
        if self._queue or self._clock.now < self._held_until or not self.room_for(len(item)):
            self._queue.append(item)
            self._await_room(len(self._queue[0]))
        else:
            self._put(item)

    def room_for(self, count: int) -> bool:
        """True when `count` bytes fit into the ring now, behind nothing that still waits for it."""
        return (
            not self._queue
            and self._clock.now >= self._held_until
            and self._tx.unsent() + count <= max(self.ring_bytes, count)
        )

    def await_room(self, count: int) -> None:
        """Call `on_room` when `count` bytes fit."""
        self._await_room(count)

    def when_drained(self, action: Action) -> None:
        """Call `action` when the last queued bit is out."""
        self._after_drain.append(action)
        self._await_room(self.ring_bytes)

    @property
    def queued_bytes(self) -> int:
        """Bytes of prints that wait for room in the ring."""
        return sum(map(len, self._queue))

    @property
    def drained(self) -> bool:
        """True when nothing is queued or being sent."""
        return not self._queue and self._tx.busy_until <= self._clock.now

    def _put(self, item: bytes) -> None:
        self._tx.write(item)
        self.active_at = self._tx.busy_until

    def _await_room(self, count: int) -> None:
        rest = max(0, self.ring_bytes - count)
        when = self._tx.busy_until - rest * BITS * SECOND // self._tx.tx_baud
        when = max(when, self._held_until, self._clock.now)
        if self._tx_alarm is not None:
            if self._tx_alarm.active and self._tx_alarm.when <= when:
                return
            self._tx_alarm.cancel()
        self._tx_alarm = self._clock.at(when, self._drain)

    def _drain(self) -> None:
        self._tx_alarm = None
        while self._queue and self._clock.now >= self._held_until:
            item = self._queue[0]
            if self._tx.unsent() + len(item) > max(self.ring_bytes, len(item)):
                break
            self._put(self._queue.popleft())
        if self._queue:
            self._await_room(len(self._queue[0]))
            return
        if self._after_drain:
            if self.drained:
                actions, self._after_drain = self._after_drain, []
                for action in actions:
                    action()
            else:
                self._await_room(self.ring_bytes)
        self.on_room()

    # -- trouble ------------------------------------------------------------------------------------------

    def hold(self, until: int) -> None:
        """Neither read nor print until virtual time `until`; what is already in the ring still leaves."""
        self._held_until = max(self._held_until, until)

    def reset(self) -> None:
        """Lose everything in both directions, as a reset of the chip does."""
        for alarm in (self._rx_alarm, self._tx_alarm):
            if alarm is not None:
                alarm.cancel()
        self._rx_alarm = self._tx_alarm = None
        self._queue.clear()
        self._after_drain.clear()
        self._held_until = 0
        self._stalled = False
        self.ring_bytes = RING_BYTES
        self.batch_bytes = BATCH_BYTES
        self._tx.cut()
        self.discard()

    def discard(self) -> None:
        """Forget what has been received so far."""
        self._rx.take()
        if self._rx.arrival(1) is not None and self._rx_alarm is None:
            self._arm()


def _nothing() -> None:
    return None
