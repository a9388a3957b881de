# A light that tells the state of the Wi-Fi, as sample programs have it: on while joined, three blinks when it failed.

import utime
from micropython import const

from pix.board import output

_BLINK_MS = const(300)


class Led:
    # A light on pad `pad` (0 to 47; negative: there is none) that is lit while the pad has the level `on`: 1, or 0 for
    # one that hangs on the supply, as the coloured ones of most Maix boards do.
    def __init__(self, pad, on=1):
        self._pad = pad
        self._on = on

    def light(self, lit):
        # Switch it on or off.
        if self._pad >= 0:
            output(self._pad, "led", self._on if lit else 1 - self._on)

    def blink(self, times=3):
        # So many times 300 ms on, 300 ms off.
        for _ in range(times if self._pad >= 0 else 0):
            self.light(True)
            utime.sleep_ms(_BLINK_MS)
            self.light(False)
            utime.sleep_ms(_BLINK_MS)
