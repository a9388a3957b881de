# What went wrong lately: a small ring of lines on the card, kept over resets, read by `maixpix logs`.
#
# A line is "<start number> <uptime> <kind> <text>"; MaixPy has no calendar time. Two files of at most 8 kB each: when
# the first is full it becomes the second. A log must never be the reason why a program stops, so a card that is
# missing or full only makes `write` return False.

import uos
import utime
from micropython import const

PATHS = ("/sd/pix.log", "/sd/pix.old")

_MAX_FILE = const(8192)  # bytes of one file
_MAX_LINE = const(400)


class Log:
    # `paths` are the newer and the older file. `start` counts the starts of the board that wrote a line.
    def __init__(self, paths=PATHS):
        self.newer, self.older = paths
        self.start = 0
        for line in self.tail(1):
            try:
                self.start = int(line.split(" ")[0])
            except ValueError:
                pass  # a line cut short by a power loss; counting begins again
        self.start += 1

    def write(self, kind, text):
        # One line; returns True when it is on the card. `text` must not hold secrets.
        ms = utime.ticks_ms()
        text = " ".join(text.split())
        line = "%d %d.%03d %s %s" % (self.start, ms // 1000, ms % 1000, kind, text)
        try:
            if _size(self.newer) > _MAX_FILE - _MAX_LINE:
                _remove(self.older)
                uos.rename(self.newer, self.older)
            # SPIFFS does not create a file in mode "a" (MaixPy-v1 vfs_spiffs_file.c).
            with open(self.newer, "ab" if _size(self.newer) >= 0 else "wb") as f:
                f.write(line.encode()[: _MAX_LINE - 1] + b"\n")
        except OSError:
            return False
        return True

    def error(self, error):
        # The exception `error`: a PixError as its code, cause and remedy, anything else with its last two places.
        if hasattr(error, "code"):
            return self.write("error", "%s: %s; %s" % (error.code, error.cause, error.remedy))
        return self.write("crash", trace(error))

    def tail(self, count):
        # The last `count` lines, oldest first.
        lines = []
        for path in (self.older, self.newer):
            try:
                with open(path, "rb") as f:
                    data = f.read(_MAX_FILE)
            except OSError:
                continue
            for line in data.split(b"\n"):
                if line:
                    try:
                        lines.append(line.decode())
                    except UnicodeError:
                        lines.append("0 0.000 damaged line")
        return lines[-count:]


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


def _size(path):
    try:
        return uos.stat(path)[6]
    except OSError:
        return -1


def _remove(path):
    if _size(path) >= 0:
        uos.remove(path)
