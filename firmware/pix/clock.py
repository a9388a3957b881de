# The time of day: from a server, kept by the chip's counter against its drift, and roughly kept over a restart.
#
# MaixPy has no clock that runs without power, and floats of 24 bits, so everything is whole numbers: seconds since 1970
# (UTC), and a correction of the chip's counter in millionths, learned from how far off it was. A small file remembers
# the time, the zone and what was shown; it is overwritten in place (a card replaces one sector whole or not at all) and
# not more than every `_KEEP_MS`. After a restart the clock goes on from there, behind by as long as the board was off:
# `sure` is False until somebody has told the time.

import ubinascii
import utime
from micropython import const

from pix.atline import plain
from pix.files import head_of, on_card, put, size_of

_MAGIC = b"pix-now 1 "
_SIZE = const(64)  # bytes of the file
_KEEP_MS = const(1200000)
_EARLIEST = const(1700000000)  # November 2023: a server that tells an earlier time has none
_LATEST = const(4102444800)
_LEARN_MS = const(21600000)  # a second of a server's clock is 46 millionths of so long
_MOST_PPM = const(300)  # a crystal is never further off
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Clock:
    # `path` is the file; `zone` the minutes east of Greenwich, None to take what the server tells. `mark` is a number
    # that is kept with the time. A file that is not there or not ours is an unknown time. Raises PixError of the card.
    def __init__(self, path, zone=None):
        self._path = path
        self._fixed = zone is not None
        self.zone = zone or 0
        self.sure = False
        self.mark = 0
        self._base = None  # seconds at the tick `_at`
        self._at = utime.ticks_ms()
        self._ppm = 0
        self._kept_at = self._at
        self._dirty = True
        self._restore()

    def now(self):
        # Seconds since 1970, None when the time is not known at all.
        return None if self._base is None else self._base + self._run(utime.ticks_ms()) // 1000

    def local(self):
        # (year, month, day, hour, minute, second, weekday from 0 = Monday) here, None when the time is not known.
        now = self.now()
        return None if now is None else civil(now + self.zone * 60)

    def hear(self, seconds, at=None, zone=""):
        # A server says that it was `seconds` at the tick `at`, and what zone (minutes, as text) this is. Returns
        # whether that is believed.
        if zone and not self._fixed and len(zone) < 6:
            try:
                self.zone = max(-900, min(900, int(zone)))
            except ValueError:
                pass  # a zone that is no number tells nothing
        if seconds is None or not _EARLIEST < seconds < _LATEST:
            return False
        at = utime.ticks_ms() if at is None else at
        ran_ms = utime.ticks_diff(at, self._at)
        if self.sure:
            off = seconds - (self._base + self._run(at) // 1000)
            if -2 < off < 2 and ran_ms < _LEARN_MS:
                return True  # as good as what a date tells
            if ran_ms >= _LEARN_MS:
                self._learn(off * 1000000 // (ran_ms // 1000))
        self._base = seconds
        self._at = at
        self._dirty = self._dirty or not self.sure
        self.sure = True
        return True

    def keep(self, mark, at_once=False):
        # Remember the time and `mark` on the card, if it is time for that. True when it was written. Raises PixError.
        due = self._dirty or utime.ticks_diff(utime.ticks_ms(), self._kept_at) >= _KEEP_MS
        if self._base is None or not (due or at_once):
            return False
        self.mark = mark
        self._dirty = False
        self._kept_at = utime.ticks_ms()
        body = _MAGIC + b"%d %d %d %d " % (self.now(), self.zone, self._ppm, mark)
        body += b"%08x" % (ubinascii.crc32(body) & 0xFFFFFFFF)
        body += b" " * (_SIZE - 1 - len(body)) + b"\n"
        on_card(self._path, put, self._path, body, "r+b" if size_of(self._path) == _SIZE else "wb")
        return True

    def _learn(self, missed):
        # The counter was `missed` millionths off. What no crystal can be was somebody's clock that was put right.
        if -_MOST_PPM <= missed <= _MOST_PPM:
            self._ppm = max(-_MOST_PPM, min(_MOST_PPM, self._ppm + missed // 2))

    def _run(self, tick):
        # Milliseconds that have passed from `_at` to `tick`.
        ms = utime.ticks_diff(tick, self._at)
        return ms + ms * self._ppm // 1000000

    def _restore(self):
        data = (head_of(self._path, _SIZE) or b"").rstrip()
        body = data[:-8]
        if data[: len(_MAGIC)] != _MAGIC or data[-8:] != b"%08x" % (ubinascii.crc32(body) & 0xFFFFFFFF):
            return
        words = body[len(_MAGIC) :].split()
        self._base, zone, self._ppm, self.mark = [int(word) for word in words]
        self.zone = self.zone if self._fixed else zone


def civil(seconds):
    # (year, month, day, hour, minute, second, weekday from 0 = Monday) of seconds since 1970.
    days, second = seconds // 86400, seconds % 86400
    # Years begin in March here, so that the odd day is their last.
    z = days + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    m = (5 * doy + 2) // 153
    month = m + 3 if m < 10 else m - 9
    year = yoe + era * 400 + (month <= 2)
    return year, month, doy - (153 * m + 2) // 5 + 1, second // 3600, second // 60 % 60, second % 60, (days + 3) % 7


def seconds_of(year, month, day, hour, minute, second):
    # Seconds since 1970 of that instant.
    y = year - (month <= 2)
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days = era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
    return days * 86400 + hour * 3600 + minute * 60 + second


def http_seconds(text):
    # Seconds of an HTTP date, "Sat, 28 Nov 2026 14:00:00 GMT", or of what SNTP gives, "Sat Nov 28 14:00:00 2026"; None
    # when it is neither.
    words = text.replace(",", " ").split()
    try:
        if len(words) == 6 and words[5] == "GMT":
            _, day, month, year, time, _ = words
        elif len(words) == 5:
            _, month, day, time, year = words
        else:
            return None
        hour, minute, second = [int(part) for part in time.split(":")]
        if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60 and 0 < int(day) < 32):
            return None
        return seconds_of(int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second)
    except ValueError:
        return None


def date_text(local):
    # "Sat 28 Nov" of what Clock.local gives.
    return "%s %d %s" % (_DAYS[local[6]], local[2], _MONTHS[local[1] - 1])


def ask(modem):
    # Seconds since 1970 by SNTP, which AT has from 1.4 on; None when it does not know them (yet). The first call only
    # has the module ask. Raises PixError.
    if modem.version < (1, 4):
        return None
    lines = []
    if not modem.ask("+CIPSNTPTIME?", on_line=lines.append):
        modem.ask("+CIPSNTPCFG=1,0")
        return None
    for line in lines:
        if line[:13] == b"+CIPSNTPTIME:":
            told = http_seconds(plain(line[13:]))
            if told is not None and told > _EARLIEST:
                return told
            modem.ask("+CIPSNTPCFG=1,0")
    return None
