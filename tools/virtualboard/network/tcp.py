"""One TCP connection as the module's small stack sees it (NONOS SDK: lwIP `tcp.c`, `tcp_out.c`, `espconn_tcp.c`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from virtualboard.clock import SECOND, US, Action, Alarm, Mark
from virtualboard.network.patience import Handle, Patience, Quiet
from virtualboard.network.script import SilentEnd

MSS = 1460
"""Payload bytes of a full segment on Ethernet and Wi-Fi."""

WINDOW = 2 * MSS
"""Receive window of the module's TCP, which is also the size of its send buffer (espconn_tcp_set_wnd(2))."""

SEGMENT_GAP_NS = 600 * US
"""Virtual time between two segments that travel back to back (1460 bytes at about 20 Mbit/s on the air)."""

LINGER_NS = 10 * SECOND
"""Virtual time for which a closed link may still deliver what it had accepted."""


class End(Protocol):
    """The far side of a link: a kernel socket or a script."""

    real: bool

    def open(self, done: Callable[[bool], None]) -> None:
        """Begin to connect; `done(ok)` may be called at once or later."""

    def holds_more_than(self, count: int) -> bool:
        """True when more than `count` bytes are there to be read."""

    def read(self, limit: int) -> bytes | None:
        """Up to `limit` bytes; None: nothing yet; b"": the peer has finished. ConnectionError: reset."""

    def write(self, data: bytes) -> int:
        """Hand over bytes; returns how many were accepted. ConnectionError: the peer is gone."""

    def wait(self, ready: Action, write: bool = False, since: Mark | None = None) -> Handle:
        """Call `ready` when there is something to read (or room to write). The peer was asked at `since`, or now."""

    def close(self, abort: bool) -> None:
        """Finish in order, or reset."""


class Peer:
    """One connection of the module.

    Set `on_connect(ok)`, `on_data(bytes)`, `on_close(reset)` and `on_acked(count)` before time moves on. Data come in
    segments of at most `mss` bytes and only into window space; call `grant` for every byte that leaves the buffer.
    `visitor`: the other side is a station of the module's own network. Links of the server do without Nagle's rule.
    """

    def __init__(
        self,
        quiet: Quiet,
        end: End,
        ip: str,
        port: int,
        rtt_ns: int,
        ack_delay_ns: int,
        on_over: Action,
        mss: int = MSS,
        visitor: bool = False,
    ) -> None:
        self.ip = ip
        self.port = port
        self.mss = mss
        self.visitor = visitor
        self.on_connect: Callable[[bool], None] = ignore
        self.on_data: Callable[[bytes], None] = ignore
        self.on_close: Callable[[bool], None] = ignore
        self.on_acked: Callable[[int], None] = ignore
        self.open = False
        self._quiet = quiet
        self._clock = quiet.clock
        self._end = end
        self._rtt_ns = rtt_ns
        self._ack_delay_ns = ack_delay_ns
        self._on_over = on_over
        self._over = False
        self._nagle = True
        self._cut_ns = 0
        # towards the module
        self._credit = 0
        self._granted = 0
        self._next_slot = 0
        self._patience = Patience(
            quiet, lambda ready: self._end.wait(ready, since=self._asked_since), self._pump, end.real
        )
        self._asked_since: Mark | None = None  # when words reached the peer that it has not answered
        self._eager = False
        self._monologue = False
        # towards the peer
        self._unsent = bytearray()
        self._in_flight = 0
        self._road: deque[tuple[bytes, bool]] = deque()
        self._unwritten = bytearray()
        self._received = 0
        self._received_at = 0
        self._asked_at = 0
        self._pushed = False
        self._delayed_ack: Alarm | None = None
        self._write_hold: Handle | None = None
        self._timeout: Alarm | None = None

    # -- opening and closing ------------------------------------------------------------------------------

    def start(self, timeout_ns: int) -> None:
        """Send the SYN. The answer comes one round trip later at the earliest, `timeout_ns` later at the latest."""
        self._timeout = self._clock.after(timeout_ns, lambda: self._opened(False))
        earliest = self._clock.now + self._rtt_ns

        def answered(ok: bool) -> None:
            self._clock.at(earliest, lambda: self._opened(ok))

        self._end.open(answered)

    def adopt(self) -> None:
        """Take a connection that a client opened: it is up already. Nagle's rule is off (`espconn_tcp_accept`)."""
        self._nagle = False
        self._opened(True)

    def _opened(self, ok: bool) -> None:
        if self._over or self.open:
            return
        if self._timeout is not None:
            self._timeout.cancel()
        if not ok:
            self._dispose(abort=True)
            self.on_connect(False)
            return
        self.open = True
        self._credit = WINDOW
        self._patience.look_at(self._clock.now + self._rtt_ns)
        self.on_connect(True)

    def close(self, abort: bool = False) -> None:
        """Close from the module's side; nothing more is reported. What was accepted is still delivered."""
        if self._over:
            return
        self.on_connect = self.on_data = self.on_close = self.on_acked = ignore
        if abort or not self.open or not self._owes:
            self._dispose(abort)
            return
        self.open = False
        self._patience.stop()
        self._timeout = self._clock.after(LINGER_NS, lambda: self._dispose(abort=True))

    def cut(self, gives_up_ns: int) -> None:
        """The radio carries this connection no longer. Nobody is told; what was sent and not acknowledged, or is sent
        from now on, is repeated for `gives_up_ns`, and then the connection ends as by a reset."""
        if not self.open:
            self._dispose(abort=True)
            return
        self._patience.stop()
        for handle in (self._delayed_ack, self._write_hold):
            if handle is not None:
                handle.cancel()
        self._end.close(abort=True)
        self._end = SilentEnd()
        self._cut_ns = gives_up_ns
        self._timeout = None
        self._give_up_later()

    def _give_up_later(self) -> None:
        if self._cut_ns and self._timeout is None and self.unacked:
            self._timeout = self._clock.after(self._cut_ns, lambda: self._ended(reset=True))

    @property
    def _owes(self) -> bool:
        """True while accepted bytes have not reached the peer."""
        return bool(self._unsent or self._road or self._unwritten)

    def _ended(self, reset: bool) -> None:
        """The peer finished or reset the connection: the module's stack closes fully on either."""
        if self._over:
            return
        was_open, tell = self.open, self.on_close
        self._dispose(abort=reset)
        if was_open:
            tell(reset)

    def _dispose(self, abort: bool) -> None:
        if self._over:
            return
        self._over = True
        self.open = False
        self._patience.stop()
        for handle in (self._timeout, self._delayed_ack, self._write_hold):
            if handle is not None:
                handle.cancel()
        self._end.close(abort)
        self._on_over()

    # -- towards the module -------------------------------------------------------------------------------

    def grant(self, count: int) -> None:
        """`count` bytes left the module's TCP buffer. The peer hears of it in steps of a quarter window (lwIP)."""
        self._granted += count
        if self._granted >= WINDOW // 4:
            step, self._granted = self._granted, 0
            self._clock.after(self._rtt_ns, lambda: self._widen(step))

    def _widen(self, count: int) -> None:
        stuck = self._credit < self.mss
        self._credit += count
        if self.open and stuck:
            self._patience.look_at(max(self._clock.now, self._next_slot))

    def _pump(self) -> None:
        """A segment may arrive now: take it from the peer if there is one."""
        limit = min(self.mss, self._credit)
        if not self.open or limit <= 0:
            return
        if self._received and self._clock.now < self._asked_at + self._rtt_ns // 2:
            # What the peer says now may answer what it has just heard, and that takes its way back.
            self._patience.look_at(self._asked_at + self._rtt_ns // 2)
            return
        try:
            if limit < self.mss and self._end.holds_more_than(limit):
                return  # a sender does not fill a window smaller than a segment; `_widen` looks again
            data = self._end.read(limit)
        except ConnectionError:
            self._ended(reset=True)
            return
        if data is None:
            self._patience.wait(self._eager)
        elif not data:
            self._acknowledge_with_data()
            self._ended(reset=False)
        else:
            self._credit -= len(data)
            self._next_slot = self._clock.now + SEGMENT_GAP_NS
            # After a full segment more is under way; after a short one the peer has probably said all.
            self._eager = len(data) == limit
            self._monologue = False
            self._asked_since = None
            self._quiet.traffic()
            self._acknowledge_with_data()
            self.on_data(data)
            if self.open:
                self._patience.look_at(self._next_slot)

    # -- towards the peer ---------------------------------------------------------------------------------

    @property
    def unacked(self) -> int:
        """Bytes accepted from the module that the peer has not acknowledged."""
        return len(self._unsent) + self._in_flight

    def send(self, data: bytes) -> None:
        """Queue payload; `on_acked` follows as the peer acknowledges it."""
        self._unsent += data
        self._quiet.traffic()
        self._give_up_later()
        self._output()

    def _output(self) -> None:
        """Send what Nagle's rule lets go: full segments, and a short one only when nothing is in flight (lwIP)."""
        while self._unsent and not self._over:
            size = min(self.mss, len(self._unsent))
            if size < self.mss and self._in_flight and self._nagle:
                return
            segment = bytes(self._unsent[:size])
            del self._unsent[:size]
            self._in_flight += size
            self._road.append((segment, not self._unsent))
            self._clock.after(self._rtt_ns // 2, self._arrive)

    def _arrive(self) -> None:
        """The oldest segment on the road reaches the peer's kernel."""
        if self._over:
            return
        segment, push = self._road.popleft()
        self._pushed = self._pushed or push
        self._unwritten += segment
        self._flush()

    def _flush(self) -> None:
        if self._write_hold is not None:
            self._write_hold.cancel()
            self._write_hold = None
        try:
            written = self._end.write(bytes(self._unwritten))
        except ConnectionError:
            self._ended(reset=True)
            return
        if self._over:
            return
        del self._unwritten[:written]
        if not self._received:
            self._asked_at = self._clock.now
        self._received += written
        self._received_at = self._clock.now
        if self._unwritten:
            # The peer's buffers are full: its window is closed until it reads.
            self._write_hold = self._end.wait(self._flush, write=True)
            return
        half = self._rtt_ns // 2
        if self._pushed or self._received > self.mss:
            # A pushed segment is acknowledged when the application reads it, a second one at once.
            self._clock.after(half, self._acknowledge)
        elif self._delayed_ack is None or not self._delayed_ack.active:
            self._delayed_ack = self._clock.after(half + self._ack_delay_ns, self._acknowledge)
        if self.open and self._end.real:
            # The first words after the peer has spoken are a question; those after a silence are an upload.
            self._eager = not self._monologue
            self._monologue = True
            self._asked_since = self._clock.mark(half)
            self._patience.look_at(max(self._clock.now + half, self._next_slot))

    def _acknowledge_with_data(self) -> None:
        """Whatever the peer sends acknowledges all that had reached it half a round trip ago."""
        if self._clock.now >= self._received_at + self._rtt_ns // 2:
            self._acknowledge()

    def _acknowledge(self) -> None:
        """The peer's acknowledgement of everything it has received reaches the module."""
        count, self._received = self._received, 0
        if self._delayed_ack is not None:
            self._delayed_ack.cancel()
            self._delayed_ack = None
        if not count or self._over:
            return
        self._pushed = False
        self._in_flight -= count
        self._output()
        if not self.open and not self._owes:
            self._dispose(abort=False)
            return
        self.on_acked(count)


def ignore(*_: object) -> None:
    """A callback that nobody has set."""
