# Trying again: what a fetch and an upload have in common.
#
# Trouble that may pass is tried again after a growing pause, or after the one that the server asks for, as long as
# something new arrives, and within one limit of time for everything.

import gc

import utime
from micropython import const

from pix.errors import PixError

_FIRST_PAUSE_MS = const(250)
_LONGEST_PAUSE_MS = const(8000)
_LONGEST_WISH_MS = const(30000)  # of a server's Retry-After


class Retried:
    # A transfer that has `attempt()`, which returns its outcome or raises PixError, and `reached()`, the bytes that are
    # safe. `attempts` counts from 1. `again(error, ms)` is told every pause, unless None.
    def __init__(self, retries, total_ms):
        self.start = utime.ticks_ms()
        self.retries = retries
        self.total_ms = total_ms
        self.attempts = 0
        self.wish_ms = 0
        self.again = None

    def elapsed_ms(self):
        # Milliseconds since the transfer began.
        return utime.ticks_diff(utime.ticks_ms(), self.start)

    def left_ms(self):
        # Milliseconds that are left of `total_ms`; negative when it is over.
        return self.total_ms - self.elapsed_ms()

    def in_time(self, done):
        # The milliseconds that are left; PixError "timeout" that it is not `done`, when there are none.
        left_ms = self.left_ms()
        if left_ms <= 0:
            raise PixError("timeout", "not %s after %d s" % (done, self.total_ms // 1000), False)
        return left_ms

    def wait_for(self, response):
        # The next pause is at least as long as the pix.http.Response wishes.
        wish = response.header("retry-after")
        if wish.isdigit() and len(wish) < 6:
            self.wish_ms = min(int(wish) * 1000, _LONGEST_WISH_MS)

    def persist(self, stubborn=()):
        # Try until an attempt ends well, and return its outcome. Ends with the last PixError when that is no passing
        # one, when `retries` attempts after the best one brought nothing new, when there is no time left, or when a
        # code of `stubborn` comes a second time since then: it will not pass.
        best = self.reached()
        left = self.retries
        pause_ms = _FIRST_PAUSE_MS
        seen = []
        while True:
            self.attempts += 1
            self.wish_ms = 0
            try:
                return self.attempt()
            except PixError as error:
                if self.reached() > best:
                    best = self.reached()
                    left = self.retries
                    pause_ms = _FIRST_PAUSE_MS
                    seen = []
                if not error.transient or error.code in seen or left <= 0 or self.left_ms() <= 0:
                    raise
                if error.code in stubborn:
                    seen.append(error.code)
                left -= 1
                gc.collect()
                wait_ms = max(0, min(max(pause_ms, self.wish_ms), self.left_ms()))
                if self.again is not None:
                    self.again(error, wait_ms)
            utime.sleep_ms(wait_ms)
            pause_ms = min(2 * pause_ms, _LONGEST_PAUSE_MS)
