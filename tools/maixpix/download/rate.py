"""A limit on bytes a second, shared by all connections of a run."""

from __future__ import annotations

import asyncio
import time


class RateLimit:
    """`per_second` bytes on average, 0 for no limit; a burst of a quarter of a second is let through."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._free_at = 0.0

    async def take(self, count: int) -> None:
        """Wait until `count` bytes more are allowed."""
        if not self._per_second:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now - 0.25) + count / self._per_second
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


class Pace:
    """Notices a connection that drips: fewer than `min_rate` bytes a second over `idle_s` seconds."""

    def __init__(self, idle_s: float, min_rate: int) -> None:
        self._idle_s = idle_s
        self._least = idle_s * min_rate
        self._since = time.monotonic()
        self._moved = 0

    def is_kept(self, count: int) -> bool:
        """`count` bytes more came; False when it has been too slow."""
        self._moved += count
        if time.monotonic() - self._since < self._idle_s:
            return True
        enough = self._moved >= self._least
        self._since, self._moved = time.monotonic(), 0
        return enough
