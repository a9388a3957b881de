# One key, four wishes: a short press, two short ones, a long one and a longer one. What is longer still opens the
# portal (pix.online).

import utime
from micropython import const

from pix import board

_TWICE_MS = const(350)  # a second press within so long belongs to the first
_HOLD_MS = const(900)
_INFO_MS = const(1900)
_PORTAL_MS = const(3000)
_SPIKE_MS = const(15)  # what is shorter is no press


class Gestures:
    # The key of board `name`. `look()` is to be called often, also while something else goes on; `wish()` gives "next",
    # "previous", "hold" or "info" once for each gesture, "" when there was none.
    def __init__(self, name):
        self._pin = board.key(name)
        self._down = not self._pin.value()
        self._told = self._down  # what is held down at the start is no wish
        self._since = utime.ticks_ms()
        self._short = None  # the tick at which a short press ended that may become two
        self._wishes = []

    def look(self):
        # Note what the key does: True while a gesture may be under way.
        down = not self._pin.value()
        if not (down or self._down) and self._short is None:
            return False
        now = utime.ticks_ms()
        ran_ms = utime.ticks_diff(now, self._since)
        if down != self._down:
            if self._down and ran_ms >= _SPIKE_MS and not self._told:
                self._released(now, ran_ms)
            self._down = down
            self._told = False
            self._since = now
        elif not down and self._short is not None and utime.ticks_diff(now, self._short) > _TWICE_MS:
            self._short = None
            self._wish("next")
        return True

    def wish(self):
        # The next wish, "" when there is none.
        self.look()
        return self._wishes.pop(0) if self._wishes else ""

    def _released(self, now, ran_ms):
        if ran_ms >= _PORTAL_MS:
            self._short = None
        elif ran_ms >= _HOLD_MS:
            self._wish("info" if ran_ms >= _INFO_MS else "hold")
        elif self._short is not None:
            self._short = None
            self._wish("previous")
        else:
            self._short = now

    def _wish(self, what):
        if len(self._wishes) < 4:
            self._wishes.append(what)
