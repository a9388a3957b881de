# The side of a frame that needs no network: the picture of the moment, the schedule, the key, and what lies over it.
#
# Only what the first picture needs is loaded before it shows; `settle` brings the rest.

import gc

import utime
from micropython import const

from pix import board
from pix.album import FOLDER, Album
from pix.clock import Clock
from pix.errors import PixError

_AGAIN_MS = const(5000)  # between two looks for a picture while there is none
_SLICE_MS = const(75)  # a press is longer, and Ctrl-C acts between two slices only
_REST_MS = const(975)
_VISIT_MS = const(20000)  # for which the page about the board stays, or what a key shows at night
_SERVER_KNOWS = const(1000)  # the setting "zone" that leaves it to the server


class Easel:
    # `shown` is True once a picture is on the panel. Raises PixError "settings" and those of the card.
    def __init__(self, settings, screen):
        self._settings = settings
        self._screen = screen
        self.clock = Clock(FOLDER + "/now", None if settings.zone == _SERVER_KNOWS else settings.zone)
        self.album = Album(settings, screen, self.clock)
        self.shown = False
        self._due_at = utime.ticks_ms()
        self._held = False
        self._idled_at = self._due_at
        self._visit_until = None  # the tick until which a key's wish is on the panel instead of what is due
        self._peeks = False  # that wish was a picture
        self.wrote = False  # the card has taken something since the start
        self._minute = -1
        self._plan = None
        self._light = "on"
        self._chosen = ""  # the schedule's own picture, while it is on the panel
        self.face = None
        self.tell = None  # the pix.tell.Tell that has the panel until a picture is there

    def settle(self, report):
        # After the first picture: the key, the schedule and the overlays. `report` is a pix.report.Report.
        from pix.face import Face
        from pix.gesture import Gestures
        from pix.sched import Schedule

        self._report = report
        self._gestures = Gestures(self._settings.board)
        self._schedule = Schedule(self._settings.schedule)
        self.face = Face(self._settings, self._screen, self.clock, report)
        if self.shown:
            self.face.fresh(self.album.item.caption)

    def due(self):
        # True when the next picture is to be shown.
        if self._held or self._chosen or self._light == "off" or self._visit_until is not None:
            return False
        return utime.ticks_diff(utime.ticks_ms(), self._due_at) >= 0

    def turn(self, step=1):
        # Show the next picture (step -1: the one before), True when there is one. Raises PixError of the card.
        began = utime.ticks_ms()
        self._due_at = utime.ticks_add(began, _AGAIN_MS)  # unless all goes well
        item = self.album.show(step, self._settings.change if self.shown else "cut")
        if item is None:
            return False
        seconds = item.seconds or (self._plan and self._plan.seconds) or self._settings.interval_s
        self._due_at = utime.ticks_add(began, seconds * 1000)
        self.shown = True
        if self.tell is not None:
            self.tell.screen = None  # the picture stays, also when it came while the network was looked for
        print("shown %s %s" % (item.caption or "%08x" % item.stem, utime.ticks_diff(utime.ticks_ms(), began)), "ms")
        if self.face is not None:
            self._report.shown += 1
            self.face.fresh(item.caption)
        gc.collect()
        return True

    def arrived(self):
        # Something came for the album: show it at once when there is nothing on the panel, or what has been removed.
        if not self.shown or self.album.outdated:
            self._due_at = utime.ticks_ms()

    def look(self):
        # What cannot wait, also while the network keeps us waiting: the key, the schedule, clock and badge. Raises
        # PixError of the card.
        wish = self._gestures.wish()
        if wish:
            self._obey(wish)
        if self._visit_until is not None:
            if utime.ticks_diff(utime.ticks_ms(), self._visit_until) >= 0:
                self._end_visit()
            return
        local = self.clock.local()
        minute = -1 if local is None else local[4]
        if minute != self._minute or self._plan is None:
            self._minute = minute
            self._follow(self._schedule.plan(local))
        if self.shown and self._light != "off":
            self.face.draw()

    def path(self):
        # The file of the picture on the panel, "" when its file is gone.
        item = self.album.item
        if item is None:
            return ""
        return item.path or self.album.keep.path(item.stem)

    def rest(self, pause):
        # Nothing is due for the moment: a second of pause(ms), less when somebody presses the key.
        for _ in range(_REST_MS // _SLICE_MS):
            pause(_SLICE_MS)
            if self._gestures.look():
                return

    def idle(self):
        # The same with the next picture, for pauses in which the network must not be used. Raises nothing of the card:
        # that is told when the main loop meets it.
        now = utime.ticks_ms()
        if utime.ticks_diff(now, self._idled_at) < _SLICE_MS:
            return
        self._idled_at = now
        try:
            self.look()
            if self.due():
                self.turn()
        except PixError as error:
            print("error", error.line)

    def card(self, error):
        # Tell the PixError `error` where the picture should be, unless there is one.
        if not self.shown:
            self._screen.error(error)

    def keep_time(self, at_once=False):
        # Remember the time and the picture, should the power go. Raises PixError of the card.
        item = self.album.item
        if self.clock.keep(item.stem if item is not None else self.clock.mark, at_once):
            self.wrote = True

    # -- the schedule -------------------------------------------------------------------------------------

    def _follow(self, plan):
        self._plan = plan
        if plan.light != self._light:
            switched = board.light(self._settings.board, plan.light)
            if plan.light == "off" and not switched:
                self._screen.blank()
            dark = self._light == "off"
            self._light = plan.light
            if dark and not switched:
                self.back()
        if plan.picture != self._chosen:
            self._chosen = plan.picture
            try:
                if plan.picture:
                    self._screen.show(plan.picture)
                    return
            except PixError as error:
                self._chosen = ""
                self._report.trouble(error)
            self.back()

    def back(self):
        # What is due on the panel again, after something else was: at night nothing. Raises PixError of the card.
        if self._light == "off":
            if not board.light(self._settings.board, "off"):
                self._screen.blank()
        elif self._chosen:
            self._screen.show(self._chosen)
        elif self.album.again():
            self.face.fresh(self.album.item.caption)
        else:
            self._due_at = utime.ticks_ms()

    # -- the key ------------------------------------------------------------------------------------------

    def _obey(self, wish):
        print("key:", wish)
        if self._visit_until is not None and not self._peeks:
            self._end_visit()
        elif wish == "info":
            self._visit(False)
            self.face.info(self._report.page())
        else:
            if self._light == "off" or self._chosen:
                self._visit(True)
            if wish == "hold":
                self._held = not self._held
                self.face.note("held" if self._held else "goes on")
                self._due_at = utime.ticks_add(utime.ticks_ms(), self._settings.interval_s * 1000)
            else:
                self.turn(1 if wish == "next" else -1)

    def _visit(self, peeks):
        # Somebody wants to see something, also at night: for a while.
        self._visit_until = utime.ticks_add(utime.ticks_ms(), _VISIT_MS)
        self._peeks = peeks
        self.album.covered()
        if self._light == "off":
            board.light(self._settings.board, "on")

    def _end_visit(self):
        self._visit_until = None
        self.back()
