"""Peers that live in virtual time: the same script gives the same run."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable

from virtualboard.clock import Action, Alarm, Clock, Mark
from virtualboard.network.patience import Handle


class Script:
    """A scripted peer. Override `connected`, `received` and `finished`; call `send`, `finish` and `reset`.

    `clock` may be used to say things later. One object serves one connection.
    """

    clock: Clock

    def connected(self) -> None:
        """The connection is up."""

    def received(self, data: bytes) -> None:
        """The module's bytes, a segment at a time."""

    def finished(self) -> None:
        """The module closed or reset the connection."""

    def send(self, data: bytes) -> None:
        """Say something; it reaches the module half a round trip later, or when its window allows."""
        if data:
            self._end.say(bytes(data))

    def finish(self) -> None:
        """Close in order, after everything said so far."""
        self._end.say(b"")

    def reset(self) -> None:
        """Reset the connection, after everything said so far."""
        self._end.say(None)

    _end: ScriptEnd


class ScriptEnd:
    """The far side of a link played by a `Script` (None: connections are refused)."""

    real = False

    def __init__(self, clock: Clock, script: Script | None, rtt_ns: int) -> None:
        self._clock = clock
        self._script = script
        self._rtt_ns = rtt_ns
        self._said: deque[tuple[int, bytes | None]] = deque()
        self._here = bytearray()
        self._over = False
        self._reset = False
        self._ready: Action | None = None
        self._closed = False
        if script is not None:
            script.clock = clock
            script._end = self

    def open(self, done: Callable[[bool], None]) -> None:
        """Accept (or refuse) the connection."""
        if self._script is not None:
            self._clock.after(self._rtt_ns, self._up)
        done(self._script is not None)

    def _up(self) -> None:
        if self._script is not None and not self._closed:
            self._script.connected()

    def say(self, data: bytes | None) -> None:
        """What the script says (b"": no more, None: reset), on its way."""
        when = self._clock.now + self._rtt_ns // 2
        self._said.append((when, data))
        self._clock.at(when, self._heard)

    def _heard(self) -> None:
        self._collect()
        if self._ready is not None and not self._closed:
            ready, self._ready = self._ready, None
            ready()

    def _collect(self) -> None:
        while self._said and self._said[0][0] <= self._clock.now and not self._over:
            data = self._said.popleft()[1]
            if data:
                self._here += data
            else:
                self._over = True
                self._reset = data is None

    def holds_more_than(self, count: int) -> bool:
        """True when more than `count` bytes have come."""
        self._collect()
        return len(self._here) > count

    def read(self, limit: int) -> bytes | None:
        """What has come by now."""
        self._collect()
        if not self._here:
            if self._reset:
                raise ConnectionResetError(errno.ECONNRESET, "reset by the script")
            return b"" if self._over else None
        piece = bytes(self._here[:limit])
        del self._here[:limit]
        return piece

    def write(self, data: bytes) -> int:
        """The script reads everything at once."""
        if self._script is not None:
            self._script.received(data)
        return len(data)

    def wait(self, ready: Action, write: bool = False, since: Mark | None = None) -> Handle:
        """Costs no real time, and a script needs none."""
        del since
        if write:
            return self._clock.after(0, ready)
        self._ready = ready
        return _Forget(self)

    def close(self, abort: bool) -> None:
        """The module's side is gone."""
        del abort
        if not self._closed:
            self._closed = True
            self._ready = None
            if self._script is not None:
                self._script.finished()

    def forget(self) -> None:
        """Nobody waits any more."""
        self._ready = None


class _Forget:
    def __init__(self, end: ScriptEnd) -> None:
        self._end = end

    def cancel(self) -> None:
        self._end.forget()


class SilentEnd:
    """An address from which nothing ever comes back."""

    real = False

    def open(self, done: Callable[[bool], None]) -> None:
        """Never answers."""

    def holds_more_than(self, count: int) -> bool:
        """Nothing is there."""
        del count
        return False

    def read(self, limit: int) -> bytes | None:
        """Nothing ever comes."""
        del limit
        return None

    def write(self, data: bytes) -> int:
        """Nothing ever arrives."""
        del data
        return 0

    def wait(self, ready: Action, write: bool = False, since: Mark | None = None) -> Handle:
        """Nothing to wait for."""
        del write, since
        return Alarm(0, ready)

    def close(self, abort: bool) -> None:
        """Nothing to close."""
