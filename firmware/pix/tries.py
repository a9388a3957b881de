# A network that is joined when it is needed.
#
# After trouble the next attempt waits, longer every time, while the caller does other things.

import utime
from micropython import const

from pix import online
from pix.errors import PixError

_FIRST_PAUSE_MS = const(2000)


class Tries:
    # settings: as read by pix.config. screen: for the portal. stage(name, detail): told what the Wi-Fi does. idle():
    # called while a network is looked for; see pix.station.Station. `longest_ms`: what the pause grows to. `joining`:
    # more for pix.online.bring_up. `modem` is the Modem, None before the first attempt that found one.
    longest_ms = 300000
    joining = {}

    def __init__(self, settings, screen, stage, idle):
        self.settings = settings
        self._screen = screen
        self._stage = stage
        self._idle = idle
        self.modem = None
        self._asked = False  # the portal is wanted
        self._pause_ms = 0
        self._pause_from = utime.ticks_ms()

    def rested(self):
        # True when the pause after the last trouble is over.
        return utime.ticks_diff(utime.ticks_ms(), self._pause_from) >= self._pause_ms

    def want_portal(self):
        # The next attempt opens the portal, because somebody asked for it.
        self.modem = None
        self._asked = True

    def hurry(self):
        # The next attempt may come at once.
        self._pause_ms = 0

    def attempt(self, action, *args):
        # action(modem, *args), with the network joined first where it is not. After a PixError, which is passed on,
        # the pause before the next attempt begins.
        try:
            if self.modem is None:
                asked, self._asked = self._asked, False
                self.modem = online.bring_up(
                    self.settings, self._screen, self._stage, idle=self._idle, asked=asked, **self.joining
                )
            elif self.modem.lost in ("no-modem", "modem-rebooted"):
                self.modem.awake()  # only `connect` does that, and what comes first may be a question to the module
            result = action(self.modem, *args)
        except PixError:
            self._pause_ms = min(max(_FIRST_PAUSE_MS, 2 * self._pause_ms), self.longest_ms)
            self._pause_from = utime.ticks_ms()
            raise
        self._pause_ms = 0
        return result
