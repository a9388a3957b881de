# What went wrong lately: a small ring of lines on the card, kept over resets, read by `maixpix logs`.
#
# A line is "<start number> <uptime> <kind> <text>"; MaixPy has no calendar time. Two files of at most 8 kB each: when
# the first is full it becomes the second. A log must never be the reason why a program stops, so a card that is
# missing or full only makes `write` return False.

import uos
import utime
from micropython import const

from pix.errors import PixError
from pix.files import remove, size_of

PATHS = ("/sd/pix.log", "/sd/pix.old")

_MAX_FILE = const(8192)  # bytes of one file
_MAX_LINE = const(400)

_starts = {}  # newer path -> the number of this start, which the supervisor and every run of an app share


class Log:
    # `paths` are the newer and the older file. `start` counts the starts of the board that wrote a line.
    def __init__(self, paths=PATHS):
        self.newer, self.older = paths
        if self.newer not in _starts:
            _starts[self.newer] = self._next()
        self.start = _starts[self.newer]

    def _next(self):
        # The number after the highest that is in the log.
        last = 0
        for path in (self.older, self.newer):
            try:
                with open(path, "rb") as f:
                    lines = f.read(_MAX_FILE).split(b"\n")
            except OSError:
                continue
            for line in lines:
                number = line.split(b" ")[0]
                if number.isdigit():  # a line may have been cut short by a power loss
                    last = max(last, int(number))
        return last + 1

    def write(self, kind, text):
        # One line; returns True when it is on the card. `text` must not hold secrets.
        ms = utime.ticks_ms()
        text = " ".join(text.split())
        line = "%d %d.%03d %s %s" % (self.start, ms // 1000, ms % 1000, kind, text)
        try:
            size = size_of(self.newer)
            if size and size > _MAX_FILE - _MAX_LINE:
                remove(self.older)
                uos.rename(self.newer, self.older)
                size = None
            # SPIFFS does not create a file in mode "a" (MaixPy-v1 vfs_spiffs_file.c).
            with open(self.newer, "wb" if size is None else "ab") as f:
                f.write(_cut(line.encode(), _MAX_LINE - 1) + b"\n")
        except (OSError, PixError):
            return False
        return True

    def error(self, error, app=""):
        # The exception `error`: a PixError as its code, cause and remedy, anything else with its last two places.
        # `app`: the name of the user's app that it came from.
        text = app + ": " if app else ""
        if hasattr(error, "code"):
            return self.write("error", text + error.line)
        return self.write("crash", text + trace(error))


def _cut(text, most):
    # The first `most` bytes of UTF-8 at most, no letter in half.
    if len(text) > most:
        while text[most] & 0xC0 == 0x80:
            most -= 1
    return text[:most]


def trace(error):
    # "ValueError: text (show.py line 12 in main < start.py in _run_app)", from MicroPython's own traceback text. Byte
    # code of pix is deployed without line numbers and says line 1 everywhere.
    import sys

    import uio

    out = uio.StringIO()
    sys.print_exception(error, out)
    lines = out.getvalue().strip().split("\n")
    places = []
    for line in lines[:-1]:
        parts = line.split('"')
        if len(parts) >= 3:
            places.append(parts[1].split("/")[-1] + parts[2].replace(", line 1,", "").replace(",", ""))
    if not places:
        return lines[-1]
    places.reverse()
    return "%s (%s)" % (lines[-1], " < ".join(places[:2]))
