"""Kernel TCP sockets as far ends of links."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Callable

from virtualboard.clock import Action, Clock, Mark, Watch
from virtualboard.network.patience import Handle

GATHER_S = 0.003
"""Real seconds without a byte after which a real peer's burst counts as over. A peer that writes a response in
several pieces is so seen in full segments, the same ones in every run."""


class SocketEnd:
    """A TCP connection to `address`, or one that was `accepted`. Never blocks longer than `GATHER_S`."""

    real = True

    def __init__(self, clock: Clock, address: tuple[str, int] | None, accepted: socket.socket | None = None) -> None:
        self._clock = clock
        self._address = address
        self._socket = accepted or socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch: Watch | None = None

    def open(self, done: Callable[[bool], None]) -> None:
        """Connect; `done(False)` when the kernel says that nobody listens. Other failures are silence."""
        if self._address is None:
            done(True)
            return
        code = self._socket.connect_ex(self._address)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._watch = self._clock.watch(self._socket.fileno(), lambda: self._connected(done), write=True)
        elif code in (0, errno.ECONNREFUSED):
            done(code == 0)

    def _connected(self, done: Callable[[bool], None]) -> None:
        self._forget_watch()
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code in (0, errno.ECONNREFUSED, errno.ECONNRESET):
            done(code == 0)

    def holds_more_than(self, count: int) -> bool:
        """True when more than `count` bytes are there to be read."""
        try:
            return len(self._socket.recv(count + 1, socket.MSG_PEEK)) > count
        except BlockingIOError:
            return False

    def read(self, limit: int) -> bytes | None:
        """Read what has come, waiting `GATHER_S` of real time for the rest of a segment that is under way."""
        parts = bytearray()
        while len(parts) < limit:
            try:
                piece = self._socket.recv(limit - len(parts))
            except BlockingIOError:
                if parts and select.select([self._socket], [], [], GATHER_S)[0]:
                    continue
                break
            except ConnectionError:
                if not parts:
                    raise
                break  # what came before the reset is given first; the next read meets the end
            if not piece:
                return bytes(parts)
            parts += piece
        return bytes(parts) if parts else None

    def write(self, data: bytes) -> int:
        """Hand bytes to the kernel; 0 when its buffer is full."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def wait(self, ready: Action, write: bool = False, since: Mark | None = None) -> Handle:
        """Hold virtual time back until the kernel has bytes (or room)."""
        return self._clock.watch(self._socket.fileno(), ready, write=write, since=since)

    def close(self, abort: bool) -> None:
        """Close the socket; with `abort` the peer sees a reset."""
        self._forget_watch()
        if abort:
            linger = struct.pack("HH" if os.name == "nt" else "ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

    def _forget_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
