# Pictures on their way: a network that is joined when it is needed, and the oldest picture of the outbox to the
# receiver of the setting "upload".
#
# After trouble the next attempt waits, longer every time, while the caller does other things.

import gc

import utime
from micropython import const

from pix import online, wifi
from pix.errors import PixError
from pix.upload import Uploader

_FIRST_PAUSE_MS = const(2000)
_LONGEST_PAUSE_MS = const(120000)
_RETRIES = const(2)


class Uplink:
    # settings: as read by pix.config. screen: for the portal. stage(name, detail): told what the Wi-Fi does. idle():
    # called while a network is looked for; see pix.wifi.Station.
    def __init__(self, settings, screen, stage, idle):
        self._settings = settings
        self._screen = screen
        self._stage = stage
        self._idle = idle
        self._modem = None
        self._asked = False  # the portal is wanted
        self._sender = None
        self._refused = ""  # the last name that the receiver would not take, this time
        self._pause_ms = 0
        self._pause_from = utime.ticks_ms()

    def rested(self):
        # True when the pause after the last trouble is over.
        return utime.ticks_diff(utime.ticks_ms(), self._pause_from) >= self._pause_ms

    def set_up(self):
        # Open the portal, because somebody wants it. Raises PixError.
        self._modem = self._sender = None
        self._asked = True
        self.attempt(lambda modem: None)

    def attempt(self, action, *args):
        # action(modem, *args), with the network joined first where it is not. After a PixError, which is passed on,
        # the pause before the next attempt begins.
        try:
            if self._modem is None:
                asked, self._asked = self._asked, False
                self._modem = online.bring_up(
                    self._settings, self._screen, self._stage, idle=self._idle, asked=asked, by_itself=False
                )
            result = action(self._modem, *args)
        except PixError:
            self._pause_ms = min(max(_FIRST_PAUSE_MS, 2 * self._pause_ms), _LONGEST_PAUSE_MS)
            self._pause_from = utime.ticks_ms()
            raise
        self._pause_ms = 0
        return result

    def look(self):
        # Take in what the modem tells meanwhile; trouble is repaired when it is used the next time.
        if self._modem is not None:
            wifi.watch(self._modem)

    def deliver(self, modem, outbox, progress):
        # An action for `attempt`: send the oldest picture of the Outbox. progress(name, done, total) in bytes. Returns
        # (name, pix.upload.Sent), or None when there is none. A refused picture does not block those behind it.
        settings = self._settings
        if self._sender is None:
            name = settings.name or settings.board
            self._sender = Uploader(modem, settings.upload, settings.token, name, retries=_RETRIES)
        names = outbox.oldest(1, self._refused)
        if not names:
            # All that is left was refused once: begin again, after a pause.
            self._refused = ""
            waiting = outbox.waiting()
            if waiting:
                raise PixError("upload-refused", "%d pictures" % waiting)
            return None
        name = names[0]
        try:
            sent = self._sender.send(outbox.path(name), lambda done, total: progress(name, done, total))
        except PixError as error:
            if error.code == "upload-refused":
                self._refused = name
            raise
        outbox.done(name, sent.proven)
        gc.collect()
        return name, sent
