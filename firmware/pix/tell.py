# What is going on, told on the console and the panel: what apps give to wifi.bring_up and pix.fetch.

import lcd
import utime

from pix import config
from pix.screen import Screen

_UNKNOWN_MS = 2000  # between two lines about a file of unknown length


def begin():
    # What every app begins with: the settings and the panel, (Settings, Screen). What was not understood in the
    # settings is printed. Raises PixError "settings".
    settings = config.load()
    screen = Screen(settings.board, settings.rotation)
    for warning in settings.warnings:
        print(warning)
    return settings, screen


class Tell:
    # `screen` is a pix.screen.Screen, or None while the panel keeps what it shows; it may be changed at any time.
    def __init__(self, screen):
        self.screen = screen
        self.meanwhile = None  # called after every block, too
        self._step = 0

    def stage(self, name, detail=""):
        # The next step, such as "wifi", "joining home".
        text = "%s %s" % (name, detail)
        print(text)
        if self.screen is not None:
            self.screen.stage(text)

    def progress(self, done, total):
        # After every block, in bytes; total None when unknown. A console line for each quarter, or every two seconds.
        if self.screen is not None:
            self.screen.progress(done, total)
        step = done * 4 // total if total else utime.ticks_ms() // _UNKNOWN_MS
        if step != self._step:
            self._step = step
            if total and 0 < done < total:
                print("%d %% of %d bytes" % (done * 100 // total, total))
            elif total is None and done:
                print("%d bytes so far" % done)
        if self.meanwhile is not None:
            self.meanwhile()

    def again(self, error, ms):
        # After `ms` milliseconds the same is tried again, because of the PixError `error`.
        pause = "%d ms" % ms if ms < 1000 else "%d s" % (ms // 1000)
        print("again in %s: %s: %s" % (pause, error.code, error.cause))
        if self.screen is not None:
            self.screen.note("%s, again in %s" % (error.title, pause))


class StateLine:
    # The state of an app in one line at the bottom of `screen`, over whatever it shows.
    def __init__(self, screen):
        self._columns = screen.width // 8 - 2
        self._top = screen.height - 16

    def say(self, text):
        # Show `text`, cut to the width of the panel.
        text = text[: self._columns]
        lcd.draw_string(8, self._top, text + " " * (self._columns - len(text)), lcd.WHITE, lcd.BLACK)
