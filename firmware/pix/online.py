# A network that is joined when it is needed.
#
# After trouble the next attempt waits, longer every time, while the caller does other things.

import utime
from micropython import const

from pix import wifi
from pix.errors import PixError

_FIRST_PAUSE_MS = const(2000)
LONGEST_PAUSE_MS = const(120000)


class Online:
    # settings: as read by pix.config. stage(name, detail): told what the Wi-Fi does. idle(): called while a network is
    # looked for; see pix.wifi.Station. `longest_ms`: the longest pause; `warm`: as for wifi.bring_up. `modem` is the
    # Modem, None before the first attempt that found one.
    def __init__(self, settings, stage, idle, longest_ms=LONGEST_PAUSE_MS, warm=False):
        self._longest_ms = longest_ms
        self._warm = warm
        self._wanted = settings
        self._stage = stage
        self._idle = idle
        self.modem = None
        self._pause_ms = 0
        self._pause_from = utime.ticks_ms()

    def rested(self):
        # True when the pause after the last trouble is over.
        return utime.ticks_diff(utime.ticks_ms(), self._pause_from) >= self._pause_ms

    def attempt(self, action, *args):
        # action(modem, *args), with the network joined first where it is not. After a PixError, which is passed on,
        # the pause before the next attempt begins.
        try:
            if self.modem is None:
                self.modem = wifi.bring_up(self._wanted, self._stage, idle=self._idle, warm=self._warm)
            result = action(self.modem, *args)
        except PixError:
            self._pause_ms = min(max(_FIRST_PAUSE_MS, 2 * self._pause_ms), self._longest_ms)
            self._pause_from = utime.ticks_ms()
            raise
        self._pause_ms = 0
        return result

    def look(self):
        # Take in what the modem tells meanwhile; trouble is repaired when it is used the next time.
        if self.modem is not None:
            wifi.watch(self.modem)
