"""Watches that a sender keeps sending: silent and dripping peers are dropped, honest slow lines are not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

from maixpix.companion.settings import UploadLimits


class Pace:
    """Calls `on_stall` once when fewer than `min_rate` bytes a second came over `idle_s`.

    Time in which this side writes to disk does not count: bracket it with ``with pace.busy():``.
    """

    def __init__(self, limits: UploadLimits, on_stall: Callable[[], None]) -> None:
        self.stalled = False
        self._limits = limits
        self._on_stall = on_stall
        self._moved = 0
        self._busy = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(limits.idle_s, self._look)

    def count(self, size: int) -> None:
        """`size` more bytes arrived."""
        self._moved += size

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self._moved < self._limits.min_rate * self._limits.idle_s and not self._busy:
            self.stalled = True
            self._on_stall()
            return
        self._moved = 0
        self._timer = self._loop.call_later(self._limits.idle_s, self._look)


def acknowledge_at_once(transport: asyncio.BaseTransport | None) -> None:
    """Ask for an immediate TCP acknowledgement; Linux forgets the wish, so it is repeated after each read.

    An ESP8285 keeps 2920 bytes in flight and reports a send as done only when it is acknowledged (ESP8266 NONOS SDK
    lwipopts.h), so a delayed acknowledgement stops it for 40 ms a piece.
    """
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is not None and hasattr(socket, "TCP_QUICKACK"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
