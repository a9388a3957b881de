# When a picture is to be taken: at a press of the board's key, every "snap_s" seconds, or when a server wants one.

import utime
from micropython import const

from pix import board, http
from pix.errors import PixError
from pix.url import parse, token_for

_ASK_MS = const(3000)  # how often the URL of "command" is asked
_ANSWER_MS = const(5000)
_MAX_WORD = const(16)  # bytes of its answer that are looked at


class Key:
    # The key of board `name`: `pressed` tells every press once, also one that came and went between two looks.
    def __init__(self, name):
        self._pin = board.key(name)
        self._down = not self._pin.value()
        self._presses = 0

    def look(self):
        # Notice a press; to be called often enough that none comes and goes between two looks.
        down = not self._pin.value()
        if down and not self._down:
            self._presses += 1
        self._down = down

    def pressed(self):
        # True once for every press.
        self.look()
        if not self._presses:
            return False
        self._presses -= 1
        return True


class Shutter:
    # `settings` has snaps, snap_s, burst, command. `taken` counts pictures, by the caller.
    def __init__(self, settings):
        self._settings = settings
        self._key = Key(settings.board)
        self._due = utime.ticks_ms()  # of the interval
        self._ask_at = self._due
        self.taken = 0

    def finished(self):
        # True when "snaps" are taken; never with 0.
        return 0 < self._settings.snaps <= self.taken

    def look(self):
        # Note a press of the key: to be called often while something else goes on.
        self._key.look()

    def wanted(self):
        # True when a picture is to be taken now, by key or interval.
        if self.finished():
            return False
        if self._key.pressed():
            return True
        every_ms = self._settings.snap_s * 1000
        late_ms = utime.ticks_diff(utime.ticks_ms(), self._due)
        if not every_ms or late_ms < 0:
            return False
        # Counted from when it was due: pictures do not drift. Missed ones are not made up for.
        self._due = utime.ticks_add(self._due, (late_ms // every_ms + 1) * every_ms)
        return True

    def asks(self):
        # True when it is time to ask the URL of "command" (see `ask`) again.
        now = utime.ticks_ms()
        if not self._settings.command or utime.ticks_diff(now, self._ask_at) < 0:
            return False
        self._ask_at = utime.ticks_add(now, _ASK_MS)
        return True

    def ask(self, modem):
        # True when the URL of "command" answers with the word "snap". The token goes there only when it is the
        # receiver's own host. Raises PixError.
        where = parse(self._settings.command)
        link = modem.connect(where.host, where.port)
        try:
            link.timeout_ms = _ANSWER_MS
            link.write(http.request("GET", where, (), token_for(where, self._settings)))
            response = http.Response(link)
            if response.read_head() not in (200, 204):
                raise PixError("http-%d" % response.status)
            for word in response.iter_content(_MAX_WORD):
                return bytes(word).strip() == b"snap"
        finally:
            link.close()
        return False
