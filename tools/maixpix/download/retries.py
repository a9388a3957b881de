"""How often, and after which pause, a download is tried again."""

from __future__ import annotations

import random

from maixpix.download.options import Options
from maixpix.download.trouble import Busy, DownloadError, Lie, Stalled, Trouble

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 20.0

STEP = 4096
"""Bytes that must be new for an attempt to count as a good one: a server that gives a byte a time never ends."""

MAX_STALLS = 2
LONG_STEP = 1024 * 1024
"""Stalls cost the whole idle time each: fewer are borne than quick failures, and it takes more to forget them."""

MAX_LIES = 4
MAX_LIES_IN_ALL = 30


class Retries:
    """Counts attempts. `done` below is how many bytes of the file are there."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._best = self._best_of_stalls = self._last = 0
        self.failures = 0
        """Attempts since the last good one."""
        self._stalls = 0
        self._lies = 0
        self._lies_in_all = 0

    def after(self, trouble: Trouble, done: int) -> float:
        """Seconds to wait before the next attempt. Raises `DownloadError` when there should be none."""
        has_gained, self._last = done > self._last, max(done, self._last)
        if done >= self._best + STEP:
            self._best = done
            self.failures = self._lies = 0
        if done >= self._best_of_stalls + LONG_STEP:
            self._best_of_stalls = done
            self._stalls = 0
        self.failures += 1
        if isinstance(trouble, Stalled):
            self._stalls += 1
        if isinstance(trouble, Lie):
            self._lies += 1
            self._lies_in_all += 1
        if (
            self.failures > self._options.retries
            or self._stalls > MAX_STALLS
            or self._lies > MAX_LIES
            or self._lies_in_all > MAX_LIES_IN_ALL
        ):
            raise self.given_up(trouble)
        if isinstance(trouble, Busy) and trouble.wait_s is not None:
            if trouble.wait_s > self._options.max_wait_s:
                raise DownloadError(
                    f"the server {trouble.text} and asks to come again in {trouble.wait_s:,.0f} s",
                    "try again then",
                    trouble.kind,
                )
            # A little more than asked, so that many downloads do not come back in the same moment.
            return trouble.wait_s + random.uniform(0, 0.2)
        return self.short_pause(1 if has_gained else self.failures)

    def short_pause(self, failures: int) -> float:
        """Seconds after so many failures: growing, and never the same for two downloads."""
        return random.uniform(0.5, 1) * min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)

    def given_up(self, trouble: Trouble) -> DownloadError:
        """The last word."""
        times = f" ({self.failures} times in a row)" if self.failures > 1 else ""
        return DownloadError(f"the server {trouble.text}{times}", trouble.remedy, trouble.kind)
