# Pictures that are left alone for a while because they could not be had: one of them does not hold up the others.

import utime
from micropython import const

_LONG_MS = const(1800000)  # for what was wrong with the picture itself
_SHORT_MS = const(120000)  # for trouble that may pass
_MOST = const(50)


class Rests:
    # By what makes a pix.plist.Item another one: a new digest is a new picture.
    def __init__(self):
        self._until = {}  # (stem, digest) -> (tick, True when it is a short rest)

    def add(self, item, short):
        # The Item rests from now on.
        if len(self._until) >= _MOST:
            self._until.clear()
        ms = _SHORT_MS if short else _LONG_MS
        self._until[(item.stem, item.digest)] = utime.ticks_add(utime.ticks_ms(), ms), short

    def has(self, item):
        # True while it rests.
        found = self._until.get((item.stem, item.digest))
        return found is not None and utime.ticks_diff(utime.ticks_ms(), found[0]) < 0

    def wake(self):
        # The network is back: what rests shortly may be tried at once.
        for key in list(self._until):
            if self._until[key][1]:
                del self._until[key]
