# What lies over the picture: clock, date and caption where they are wished for, and trouble as a badge with its age.
#
# All of it is drawn by lcd.draw_string, in cells of 8x12 pixels; a text that gets shorter is gone with the next
# picture only, so fields have one width.

import lcd
from micropython import const

from pix.clock import date_text

_EDGE = const(8)
_CELL = const(8)
_PATIENCE_S = const(90)  # trouble that is gone by then is nobody's business
_DAY_S = const(86400)


class Face:
    # `settings.overlay` has the words "clock", "date", "caption". `clock` is a pix.clock.Clock, `report` a
    # pix.report.Report.
    def __init__(self, settings, screen, clock, report):
        self._words = settings.overlay.split()
        self._screen = screen
        self._clock = clock
        self._report = report
        self._caption = ""
        self._drawn = None  # what was drawn last, to draw what is new only
        self.offline_s = 0  # for how long nothing could be fetched; the caller's to set

    def fresh(self, caption):
        # A picture with that caption has just been shown: everything is drawn again.
        self._caption = caption
        self._drawn = None
        self.draw()

    def draw(self):
        # Draw what has changed since.
        local = self._clock.local()
        top = []
        if local is not None:
            if "date" in self._words:
                top.append(date_text(local))
            if "clock" in self._words:
                top.append("%s%02d:%02d" % ("" if self._clock.sure else "~", local[3], local[4]))
        caption = self._caption if "caption" in self._words else ""
        now = "  ".join(top), caption, self._badge()
        if now == self._drawn:
            return
        self._drawn = now
        columns = (self._screen.width - 2 * _EDGE) // _CELL
        if now[0]:
            lcd.draw_string(_EDGE, _EDGE, now[0], lcd.WHITE, lcd.BLACK)
        if caption:
            text = "".join([c if " " <= c <= "~" else "?" for c in caption])[:columns]
            lcd.draw_string(_EDGE, self._screen.height - 20, text, lcd.WHITE, lcd.BLACK)
        if now[2]:
            left = self._screen.width - _EDGE - _CELL * len(now[2])
            lcd.draw_string(left, _EDGE, now[2], lcd.WHITE, lcd.RED)

    def _badge(self):
        # "!  12m" while nothing can be fetched, "" otherwise.
        ago = self.offline_s
        if ago < _PATIENCE_S:
            return ""
        if ago < 5940:
            return "!%3dm" % (ago // 60)
        return "!%3dh" % (ago // 3600) if ago < 356400 else "!%3dd" % (ago // _DAY_S)

    def note(self, text):
        # A word about what a key did, until the next picture.
        lcd.draw_string(_EDGE, _EDGE + 16, text, lcd.BLACK, lcd.YELLOW)

    def info(self, lines):
        # A page of `lines` instead of the picture.
        lcd.clear(lcd.BLACK)
        y = _EDGE
        columns = (self._screen.width - 2 * _EDGE) // _CELL
        for line in lines:
            lcd.draw_string(_EDGE, y, line[:columns], lcd.WHITE, lcd.BLACK)
            y += 16
