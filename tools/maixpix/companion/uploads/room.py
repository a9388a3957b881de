"""How much uploads may take: size of one, bytes of all, and the free space that they leave to others."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from maixpix.companion.problems import Refused
from maixpix.companion.settings import UploadLimits

FRESH_S = 1.0
FRESH_BYTES = 8 * 1024 * 1024
"""The disk is asked for its free space anew after so long, or so many bytes; asking costs as much as a small write."""


class Room:
    """Counts the bytes of finished and unfinished uploads below `root`. May be called from several threads.

    `now` gives seconds that never go back.
    """

    def __init__(self, root: Path, limits: UploadLimits, now: Callable[[], float] = time.monotonic) -> None:
        self.used = 0
        self._root = root
        self._limits = limits
        self._now = now
        self._lock = Lock()
        self._free = 0
        self._asked: float | None = None
        self._since = 0

    def check_size(self, size: int) -> None:
        """Raise `Refused` (413) for an upload of more bytes than one may have."""
        limit = self._limits.max_file_bytes
        if size > limit:
            raise Refused(413, "too-big", f"the upload is bigger than {limit} bytes", "send a smaller file")

    def check(self, count: int) -> None:
        """Raise `Refused` (507) when `count` more bytes have no room."""
        with self._lock:
            self._check(count)

    def take(self, count: int) -> None:
        """Count `count` more bytes as used. Raises `Refused` (507) and counts nothing when they have no room."""
        with self._lock:
            self._check(count)
            self.used += count
            self._since += count

    def give_back(self, count: int) -> None:
        """`count` bytes are no longer used."""
        with self._lock:
            self.used -= count
            # What was freed shows at the next look, so that an upload right after a deletion finds its room.
            self._asked = None

    def _check(self, count: int) -> None:
        if self.used + count > self._limits.quota_bytes:
            raise Refused(
                507, "quota", f"uploads may use {self._limits.quota_bytes} bytes in all", "delete old ones first"
            )
        if self._free_space(count) - count < self._limits.reserve_bytes:
            raise Refused(507, "disk-full", "the companion's disk is nearly full", "make room on it")

    def _free_space(self, count: int) -> int:
        """Bytes free on the disk; never more than `FRESH_BYTES` and what others wrote in `FRESH_S` too many."""
        now = self._now()
        if self._asked is None or now - self._asked >= FRESH_S or self._since + count > FRESH_BYTES:
            self._free = shutil.disk_usage(self._root).free
            self._asked = now
            self._since = 0
        return self._free - self._since
