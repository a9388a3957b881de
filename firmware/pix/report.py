# What a board tells of itself with every request: one field, "Maixpix-State: v=1;rssi=-52;...".
#
#     v       1, of this form            sw      version of the software, 16 hex digits, "" when it was not deployed so
#     at      of the AT firmware         rssi    of the network, dBm, "" unknown
#     heap    free bytes                 up      seconds since the start
#     pics    pictures on the card       writes  files/bytes put onto the card since the start
#     shown   pictures since the start   err     the last trouble as code@seconds ago, "" none
#     clock   seconds since 1970 as the board has it, "?" in front while it is only a guess, "" unknown
#     note    what became of an update, see pix.update
# No value holds ";" or a secret. The board's name goes in the field X-Maixpix-Board, as with uploads.

import gc

import utime

import pix
from pix.atline import signal_of

ORDER = ("v", "sw", "at", "rssi", "heap", "up", "pics", "writes", "shown", "err", "clock", "note")


class Report:
    # `shown` and `note` are the caller's to set. `clock` is a pix.clock.Clock.
    def __init__(self, settings, clock):
        self._name = settings.name or "board"
        self._clock = clock
        self._start = utime.ticks_ms()
        self._error = ""
        self._error_at = 0
        self._modem = self._keep = None  # once there was a request
        self.rssi = ""
        self.shown = 0
        self.note = ""

    def trouble(self, error):
        # The PixError `error` happened just now.
        self._error = error.code
        self._error_at = utime.ticks_ms()

    def trouble_s(self):
        # (code, seconds ago) of the last trouble, ("", 0) when there was none.
        if not self._error:
            return "", 0
        return self._error, utime.ticks_diff(utime.ticks_ms(), self._error_at) // 1000

    def up_s(self):
        # Seconds since the app started.
        return utime.ticks_diff(utime.ticks_ms(), self._start) // 1000

    def look_at(self, modem):
        # Ask the module how well it hears the network. Raises PixError.
        lines = []
        if modem.ask("+CWJAP?", on_line=lines.append):
            for line in lines:
                strength = signal_of(line)
                if strength:
                    self.rssi = str(strength)

    def page(self):
        # The same for people, in lines.
        modem, keep = self._modem, self._keep
        code, ago = self.trouble_s()
        local = self._clock.local()
        lines = [
            self._name,
            "address %s" % (modem.address if modem else "none yet"),
            "signal %s dBm" % (self.rssi or "unknown"),
            "AT %d.%d at %d baud" % (modem.version + (modem.baud,)) if modem else "no Wi-Fi module yet",
            "heap %d kB free" % (gc.mem_free() >> 10),
            "software %s" % (pix.version or "copied by hand"),
        ]
        if keep:
            lines.append("%d pictures, %d files written (%d kB)" % (keep.count(), keep.writes, keep.written >> 10))
        lines.append("up %d h %d min, %d shown" % (self.up_s() // 3600, self.up_s() // 60 % 60, self.shown))
        if local:
            lines.append("%04d-%02d-%02d %02d:%02d%s" % (local[:5] + ("" if self._clock.sure else " (a guess)",)))
        lines.append("last error %s, %d min ago" % (code, ago // 60) if code else "no error since the start")
        return lines

    def fields(self, modem, keep):
        # The header fields, (name, value) pairs. `keep` is the pix.keep.Keep.
        self._modem, self._keep = modem, keep
        code, ago = self.trouble_s()
        now = self._clock.now()
        values = {
            "v": 1,
            "sw": pix.version,
            "at": "%d.%d" % modem.version,
            "rssi": self.rssi,
            "heap": gc.mem_free(),
            "up": self.up_s(),
            "pics": keep.count(),
            "writes": "%d/%d" % (keep.writes, keep.written),
            "shown": self.shown,
            "err": "%s@%d" % (code, ago) if code else "",
            "clock": "" if now is None else "%s%d" % ("" if self._clock.sure else "?", now),
            "note": self.note,
        }
        text = ";".join(["%s=%s" % (name, values[name]) for name in ORDER])
        return [("X-Maixpix-Board", self._name), ("Maixpix-State", text)]
