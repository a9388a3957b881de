"""A serial line: bytes that take their time, in garbage when the two ends disagree, into rings that drop.

`Lane` is one direction. The sender queues bytes, the receiver takes what has fully arrived. Nothing happens per
byte: arrival times are computed, so a quiet megabyte costs no more than a busy kilobyte.

A byte is ten bit times (8N1): start, eight data bits from the lowest up, stop. Each end has its own idea of the
bit time. A receiver synchronises on the falling edge of the start bit and samples in the middle of each following
bit, so up to about 5 % of disagreement is harmless and more is not; beyond `TOLERANCE` a lane computes what the
receiver samples from the sender's real waveform, framing errors and all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from functools import lru_cache

from virtualboard.clock import SECOND, Clock

BITS = 10
"""Bit times of one byte in 8N1."""

TOLERANCE = 0.04
"""Largest relative rate difference at which every byte is still sampled right (half a bit in 9.5 is 5 %)."""

_LONGEST_BURST = 4096
"""Bytes after which a new burst begins even without a gap, so that an endless stream is forgotten as it is taken."""

Mangle = Callable[[int, int], bytes]


class _Burst:
    """Bytes that were queued together and leave back to back at one rate."""

    __slots__ = ("agreed", "data", "done", "due", "ends", "rx_baud", "start", "tx_baud")

    def __init__(self, data: bytearray, start: int, tx_baud: int, rx_baud: int, done: int = 0) -> None:
        self.data = data
        self.start = start
        self.tx_baud = tx_baud
        self.rx_baud = rx_baud
        self.agreed = abs(tx_baud - rx_baud) <= TOLERANCE * rx_baud
        self.ends = [len(data)]  # where each write that is part of it ends
        self.hand_over(done)

    def hand_over(self, done: int) -> None:
        """The receiver has had the first `done` bytes; the next one will have arrived at `due`, if there is one."""
        self.done = done
        self.due = self.arrival(done + 1)

    def arrival(self, n: int) -> int:
        """Virtual time when the first `n` bytes have fully arrived."""
        return self.start + -(-n * BITS * SECOND // self.tx_baud)

    def continues(self, start: int, tx_baud: int, rx_baud: int) -> bool:
        """True when bytes that start at `start` belong to this burst (senders may write a byte at a time)."""
        return (
            len(self.data) < _LONGEST_BURST
            and self.tx_baud == tx_baud
            and self.rx_baud == rx_baud
            and self.arrival(len(self.data)) == start
        )

    def arrived(self, now: int) -> int:
        if now < self.due:
            return self.done
        return min(len(self.data), (now - self.start) * self.tx_baud // (BITS * SECOND))


class Lane:
    """One direction of a serial line between two ends with their own rates, in baud.

    `name` says which one it is in fault plans and reports. `on_write` is called whenever bytes were queued, so
    that the receiver can set its alarm with `arrival`. `mangle`, when set, is called with (index, byte) for every
    byte that arrives, counted from 0 over the life of the lane, and returns what arrives instead (b"" = lost).
    """

    def __init__(self, clock: Clock, name: str, tx_baud: int = 115200, rx_baud: int = 115200) -> None:
        self._clock = clock
        self.name = name
        self.tx_baud = tx_baud
        """The sender's rate. A change concerns bytes written after it."""
        self._rx_baud = rx_baud
        self._bursts: deque[_Burst] = deque()
        self._free_at = 0
        self.on_write: Callable[[], None] | None = None
        self.mangle: Mangle | None = None
        self._milestones: list[tuple[int, Callable[[], None]]] = []
        self.sent = 0
        """Bytes queued by the sender so far, without those that `cut` took back."""
        self.delivered = 0
        """Bytes that have reached the receiver so far (before any mangling)."""
        self.busy_ns = 0
        """Virtual nanoseconds for which the line has been, or is booked to be, shifting bits."""

    @property
    def rx_baud(self) -> int:
        """The receiver's rate. A change concerns bytes whose start bit has not come yet."""
        return self._rx_baud

    @rx_baud.setter
    def rx_baud(self, baud: int) -> None:
        if baud == self._rx_baud:
            return
        self._rx_baud = baud
        self._change_rest(rx_baud=baud)

    def _change_rest(self, rx_baud: int | None = None, later_ns: int = 0) -> None:
        """Give everything whose start bit has not come yet another rate of the receiver, or have it come later."""
        now = self._clock.now
        later: deque[_Burst] = deque()
        for burst in self._bursts:
            # The byte whose start bit has passed is still sampled at the old rate.
            begun = burst.arrived(now) + (burst.start < now)
            if begun >= len(burst.data):
                later.append(burst)
                continue
            if begun > burst.done:
                later.append(_Burst(burst.data[:begun], burst.start, burst.tx_baud, burst.rx_baud, burst.done))
            start = burst.arrival(begun) + later_ns
            later.append(_Burst(burst.data[begun:], start, burst.tx_baud, rx_baud or burst.rx_baud))
        self._bursts = later

    def pause(self, duration_ns: int) -> None:
        """Nothing leaves for `duration_ns`: what has not begun, and what is written meanwhile, comes so much later."""
        self._change_rest(later_ns=duration_ns)
        self._free_at = self.busy_until + duration_ns
        if self.on_write is not None:
            self.on_write()  # the receiver looks anew when its bytes come

    def write(self, data: bytes) -> int:
        """Queue `data` behind what is still leaving; returns the virtual time when its last bit is out."""
        if data:
            start = max(self._clock.now, self._free_at)
            burst = self._bursts[-1] if self._bursts else None
            if burst is not None and burst.continues(start, self.tx_baud, self._rx_baud):
                burst.data += data
                burst.ends.append(len(burst.data))
            else:
                burst = _Burst(bytearray(data), start, self.tx_baud, self._rx_baud)
                self._bursts.append(burst)
            self._free_at = burst.arrival(len(burst.data))
            self.busy_ns += self._free_at - start
            self.sent += len(data)
            self._pass_milestones(burst)
            if self.on_write is not None:
                self.on_write()
        return max(self._free_at, self._clock.now)

    def at_byte(self, index: int, action: Callable[[], None]) -> None:
        """Run `action` at the instant when byte `index` (from 0 over the life of the lane) has fully arrived."""
        self._milestones.append((index, action))

    def _pass_milestones(self, burst: _Burst) -> None:
        first = self.sent - len(burst.data)
        for milestone in [m for m in self._milestones if m[0] < self.sent]:
            self._milestones.remove(milestone)
            self._clock.at(burst.arrival(max(0, milestone[0] - first) + 1), milestone[1])

    def cut(self) -> None:
        """Lose everything that has not left the sender completely (its UART was reset)."""
        now = self._clock.now
        kept: deque[_Burst] = deque()
        for burst in self._bursts:
            n = burst.arrived(now)
            if n > burst.done:
                kept.append(_Burst(burst.data[:n], burst.start, burst.tx_baud, burst.rx_baud, burst.done))
        self.sent -= sum(len(b.data) - b.done for b in self._bursts) - sum(len(b.data) - b.done for b in kept)
        self._bursts = kept
        self.busy_ns -= max(0, self._free_at - now)
        self._free_at = now

    @property
    def busy_until(self) -> int:
        """Virtual time when the last queued bit is out."""
        return max(self._free_at, self._clock.now)

    def unsent(self) -> int:
        """Bytes queued whose last bit is not out yet."""
        now = self._clock.now
        return sum(len(burst.data) - burst.arrived(now) for burst in self._bursts)

    def arrival(self, n: int = 1) -> int | None:
        """Virtual time when the `n`-th byte not yet taken has fully arrived; None if that many are not queued."""
        if n == 1:
            return self._bursts[0].due if self._bursts else None
        for burst in self._bursts:
            left = len(burst.data) - burst.done
            if n <= left:
                return burst.arrival(burst.done + n)
            n -= left
        return None

    def run(self, limit: int) -> int:
        """How many of the bytes not yet taken, at most `limit`, belong together; 0 when none are queued.

        What a sender wrote at once belongs together, except its first byte and what comes behind a line: a run ends
        before a CR and behind a LF. A receiver that takes runs sees that a message has begun when it begins, and a word
        or the message's end before whatever follows, as one does that takes every byte by itself.
        """
        if not self._bursts:
            return 0
        burst = self._bursts[0]
        first = burst.done
        if not first or burst.ends[bisect_right(burst.ends, first) - 1] == first:
            return 1
        end = min(first + limit, burst.ends[bisect_right(burst.ends, first)])
        cr = burst.data.find(b"\r", first + 1, end)
        lf = burst.data.find(b"\n", first, end if cr < 0 else cr)
        return (lf + 1 if lf >= 0 else cr if cr >= 0 else end) - first

    def waiting(self) -> int:
        """Bytes that have fully arrived and were not taken yet (as sent; mangling shows only in `take`)."""
        now = self._clock.now
        return sum(burst.arrived(now) - burst.done for burst in self._bursts)

    def take(self, limit: int | None = None) -> bytes:
        """Everything that has fully arrived by now (at most `limit` bytes as sent), as the receiver sees it."""
        now = self._clock.now
        bursts = self._bursts
        if not bursts or bursts[0].due > now:
            return b""  # as for most looks at a line
        out = []
        while bursts and bursts[0].due <= now and (limit is None or limit > 0):
            burst = bursts[0]
            end = burst.arrived(now)
            if limit is not None:
                end = min(end, burst.done + limit)
            piece = bytes(burst.data[burst.done : end])
            if limit is not None:
                limit -= len(piece)
            seen = piece if burst.agreed else sample(piece, burst.tx_baud, burst.rx_baud)
            out.append(seen if self.mangle is None else self._mangled(seen))
            self.delivered += len(piece)
            if end == len(burst.data):
                bursts.popleft()
            else:
                burst.hand_over(end)
        return out[0] if len(out) == 1 else b"".join(out)

    def _mangled(self, data: bytes) -> bytes:
        mangle, index = self.mangle, self.delivered
        return b"".join(mangle(index + i, byte) for i, byte in enumerate(data))


@lru_cache(maxsize=4096)  # a modem at another rate repeats itself for as long as nobody answers
def sample(data: bytes, tx_baud: int, rx_baud: int) -> bytes:
    """What a receiver at `rx_baud` makes of `data` sent back to back at `tx_baud`.

    Start edge found at bit resolution of the sender, samples at 1.5, 2.5 ... 8.5 receiver bits after it. A low stop
    bit is a framing error: the byte is delivered as sampled (both the K210's and the ESP8266's UART do so) and the
    receiver waits for the line to go high before it looks for the next start bit.
    """
    levels: list[int] = []
    for byte in data:
        levels.append(0)
        levels.extend((byte >> bit) & 1 for bit in range(8))
        levels.append(1)
    total = len(levels)

    def level(at_half_bits: int) -> int:
        """Line level at a time in half receiver bits since the beginning; idle (1) after the end."""
        index = at_half_bits * tx_baud // (2 * rx_baud)
        return levels[index] if index < total else 1

    out = bytearray()
    edge = 0  # sender bit index where the search for a start bit goes on
    while True:
        while edge < total and levels[edge]:
            edge += 1
        if edge >= total:
            return bytes(out)
        start = -(-edge * 2 * rx_baud // tx_baud)  # in half receiver bits
        value = 0
        for bit in range(8):
            value |= level(start + 3 + 2 * bit) << bit
        out.append(value)
        stop = start + 19
        edge = max(edge + 1, stop * tx_baud // (2 * rx_baud))
        while edge < total and not levels[edge]:
            edge += 1  # framing error, or already the next start bit of a faster sender


class Ring:
    """A receive ring of `capacity` bytes that drops new bytes silently when full, as MaixPy's does."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = bytearray()
        """The bytes that wait, oldest first; to be looked at only."""
        self.dropped = 0
        """Bytes lost because the ring was full."""
        self.deepest = 0
        """Most bytes that were ever waiting."""

    def __len__(self) -> int:
        return len(self.held)

    def put(self, data: bytes) -> int:
        """Append what fits; the rest is lost and counted. Returns how many bytes were lost."""
        held = self.held
        lost = len(held) + len(data) - self.capacity
        if lost > 0:
            self.dropped += lost
            data = data[:-lost]
        held += data
        if len(held) > self.deepest:
            self.deepest = len(held)
        return max(0, lost)

    def get(self, limit: int) -> bytes:
        """Remove and return up to `limit` bytes, oldest first."""
        piece = bytes(self.held[:limit])
        del self.held[:limit]
        return piece

    def get_before(self, stops: bytes) -> bytes:
        """Remove and return what waits in front of the first of `stops`, everything when none of them waits."""
        end = len(self.held)
        for stop in stops:
            at = self.held.find(stop, 0, end)
            end = at if at >= 0 else end
        return self.get(end)

    def clear(self) -> None:
        """Forget everything that waits."""
        self.held.clear()
