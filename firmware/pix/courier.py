# The side of a frame that needs the network: the list, the pictures, the time, an update; one errand after the other.

import gc

import utime
from micropython import const

import pix
from pix import clock, online
from pix.album import OF_THE_CARD
from pix.log import Log
from pix.report import Report
from pix.tries import Tries

_TIME_MS = const(21600000)  # how old the time may get before SNTP is asked for it
_CARD_MS = const(30000)  # for which the card may fail before the board starts anew
_LOG_MS = const(3600000)  # between two log lines of the same trouble
_HEAR_MS = const(600000)  # between two looks how well the network is heard


class _Warm(Tries):
    # A module that is back in its network by itself is used as it is.
    joining = {"warm": True}


class Courier:
    # `easel` is the pix.easel.Easel that shows what is brought, `tell` a pix.tell.Tell.
    def __init__(self, settings, screen, easel, tell):
        self._begin(settings, screen, easel, tell)

    def _begin(self, settings, screen, easel, tell):
        self._settings = settings
        self._easel = easel
        self._tell = tell
        self.log = Log()
        self.report = Report(settings, easel.clock)
        self._online = _Warm(settings, screen, tell.stage, self._idle)
        self._good_at = utime.ticks_ms()  # the tick of the last errand that ended well
        self._update_at = None  # the tick at which an update was last asked for
        self._time_at = None  # and of the last time that was told
        self._heard_at = None
        self._card_bad_at = None  # the tick since which every trouble is the card's
        self._logged = "", 0  # code and tick of the last error that was logged
        easel.album.keep.heard = self._heard
        easel.settle(self.report)

    @property
    def modem(self):
        # The pix.espat.Modem, None before there was one.
        return self._online.modem

    def set_up(self):
        # Somebody wants the portal: it opens with the next errand.
        self._online.want_portal()
        self._online.hurry()

    def ready(self):
        # True when there may be something to do: the pause after the last trouble is over.
        return self._easel.album.needs_network and self._online.rested()

    def errand(self):
        # Do one thing that is due, True when there was one. Raises PixError: after that, `ready` is False for a while.
        did = self._attempt(self._errand)
        if did or not self._easel.album.held_up:
            self._good()
        return did

    def ask_for_due(self):
        # See to it that the picture to be shown next is the newest, where its list does not prove it. Raises PixError.
        album = self._easel.album
        item = album.asked_when_due()
        if item is not None and self.ready():
            self._attempt(lambda modem: album.bring(modem, item, self._tell, lambda: self._fields(modem)))
            self._good()

    def _attempt(self, action):
        try:
            return self._online.attempt(action)
        finally:
            if online.uncovered():
                self._easel.back()  # the portal was on the panel

    def _idle(self):
        # The code of the portal must not vanish behind the next picture.
        if not online.covered():
            self._easel.idle()

    def trouble(self, error):
        # Tell the PixError `error` where it belongs; the picture stays, and an error card is for an empty panel.
        print("error", error.line)
        now = utime.ticks_ms()
        if error.code != self._logged[0] or utime.ticks_diff(now, self._logged[1]) >= _LOG_MS:
            # A week without a network must not wear out the card.
            self.log.error(error)
            self._logged = error.code, now
        self.report.trouble(error)
        self._easel.face.offline_s = utime.ticks_diff(now, self._good_at) // 1000
        if error.code not in OF_THE_CARD or error.code == "card-full":
            self._card_bad_at = None
        elif self._card_bad_at is None:
            self._card_bad_at = now
        elif utime.ticks_diff(now, self._card_bad_at) >= _CARD_MS and self._has_written():
            # MaixPy mounts a card at the start only: one that was pulled out and is back needs a fresh one. A worn one
            # that takes nothing any more since the start needs none: its pictures go on.
            online.start_anew()
        if error.code == "no-memory" and not pix.set_aside(pix.PICTURE):
            online.start_anew()  # the heap is in pieces
        self._easel.card(error)
        self._tell.screen = None  # the picture or the card stays until the next picture
        gc.collect()

    def _has_written(self):
        return self._easel.wrote or self._easel.album.keep.writes > 0

    def _good(self):
        self._card_bad_at = None
        self._good_at = utime.ticks_ms()
        self._easel.face.offline_s = 0

    def _errand(self, modem):
        now = utime.ticks_ms()
        if self._heard_at is None or utime.ticks_diff(now, self._heard_at) >= _HEAR_MS:
            self._heard_at = now
            self.report.look_at(modem)
        did = self._easel.album.work(modem, self._tell, lambda: self._fields(modem))
        self._look_at_wrong(did)
        if did:
            print(did, "is up to date")
            self._easel.arrived()
            gc.collect()
            return True
        if self._update_due(now):
            self._update(modem)
            return True
        if self._time_at is None or utime.ticks_diff(now, self._time_at) >= _TIME_MS:
            told = clock.ask(modem)
            if told is not None:
                self._tell_time(told, now, "")
        return False

    def _look_at_wrong(self, did):
        # An entry of the list that is none is told; it is the trouble itself where there is nothing else to show.
        album = self._easel.album
        wrong, album.wrong = album.wrong, None
        if wrong is not None:
            self.report.trouble(wrong)
            if not did and not self._easel.shown:
                raise wrong

    def _update_due(self, now):
        settings = self._settings
        if not settings.update_key:
            return False
        return self._update_at is None or utime.ticks_diff(now, self._update_at) >= settings.update_s * 1000

    def _update(self, modem):
        # Ask for new software; a board that got some starts anew.
        from pix import update

        self._update_at = utime.ticks_ms()
        if not update.wanted(self._settings):
            return
        if update.poll(modem, self._settings, self._fields(modem)):
            self.log.write("update", "a new version is in place")
            self._easel.keep_time(True)
            update.restart()
        self.report.note = update.note()

    def _fields(self, modem):
        return self.report.fields(modem, self._easel.album.keep)

    def _heard(self, got):
        # An answer came: a pix.fetch.Fetched.
        self._tell_time(clock.http_seconds(got.date), got.at, got.zone)

    def _tell_time(self, seconds, at, zone):
        if self._easel.clock.hear(seconds, at, zone):
            self._time_at = at
