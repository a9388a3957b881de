# snap: take pictures, keep them on the card, bring every one to the receiver of the setting "upload".
#
# A picture is taken at a press of the board's key, every "snap_s" seconds, and when the URL of the setting "command"
# answers with the word "snap". It leaves the outbox only when the receiver has proven that it is safe there (or has all
# of its bytes: then it goes to /sd/sent); without a network pictures collect, as long as there is room on the card.
# What is due is taken also while the board looks for a network and between two pieces of an upload. With "snaps" set
# the app ends when that many are taken and safe.

import gc

import lcd
import utime

from pix import config, wifi
from pix.camera import Camera
from pix.errors import PixError
from pix.outbox import Outbox
from pix.screen import Screen
from pix.start import once
from pix.upload import Uploader

_FIRST_PAUSE_MS = 2000
_LONGEST_PAUSE_MS = 120000
_ASK_MS = 3000  # how often "command" is asked
_TICK_MS = 20


class Key:
    # The board's key: `pressed` tells every press once, also one that came and went between two looks of `look`.
    def __init__(self, board):
        from fpioa_manager import fm
        from Maix import GPIO

        from pix.board import pins

        fm.register(pins(board).key, fm.fpioa.GPIOHS24)
        self._pin = GPIO(GPIO.GPIOHS24, GPIO.IN, GPIO.PULL_UP)
        self._down = not self._pin.value()
        self._presses = 0

    def look(self):
        down = not self._pin.value()
        if down and not self._down:
            self._presses += 1
        self._down = down

    def pressed(self):
        self.look()
        if not self._presses:
            return False
        self._presses -= 1
        return True


class Snap:
    def __init__(self, settings, screen):
        self.settings = settings
        self.screen = screen
        self.key = Key(settings.board)
        self.outbox = Outbox(reserve_kb=settings.reserve_kb)
        self.camera = Camera(settings.frame, settings.quality, settings.colour)
        self.sender = None
        self.station = self.modem = None
        self.joining = False  # the module looks for a network
        self.taken = 0
        self.waiting = self.outbox.waiting()
        self.refused = ""  # the last name that the receiver would not take, this time
        self.due = utime.ticks_ms()  # of the interval
        self.ask_at = self.due
        self.pause_ms = 0
        self.pause_from = self.due
        self.percent = -1

    def run(self):
        settings = self.settings
        while True:
            error = self.take() if self.wanted() or self.asked() else None
            if error and settings.snaps:
                raise error
            if self.waiting and settings.upload and self.rested():
                self.attempt(self.deliver)
            if settings.snaps and self.taken >= settings.snaps and not (self.waiting and settings.upload):
                self.say("%d taken, none waiting" % self.taken)
                print("done, %d taken" % self.taken)
                return
            if self.modem is not None:
                wifi.watch(self.modem)  # whatever it tells: the next use of the modem repairs it
            utime.sleep_ms(_TICK_MS)

    def wanted(self):
        # True when a picture is to be taken now.
        settings = self.settings
        if settings.snaps and self.taken >= settings.snaps:
            return False
        if self.key.pressed():
            return True
        now = utime.ticks_ms()
        if settings.snap_s and utime.ticks_diff(now, self.due) >= 0:
            # Counted from when it was due: pictures do not drift. Missed ones are not made up for.
            behind = utime.ticks_diff(now, self.due) // (settings.snap_s * 1000)
            self.due = utime.ticks_add(self.due, (behind + 1) * settings.snap_s * 1000)
            return True
        return False

    def asked(self):
        # True when "command" says that a picture is wanted.
        now = utime.ticks_ms()
        if not self.settings.command or not self.rested() or utime.ticks_diff(now, self.ask_at) < 0:
            return False
        self.ask_at = utime.ticks_add(now, _ASK_MS)
        return self.attempt(self.told)

    def take(self):
        # Returns the PixError that kept it from taking a picture, else None.
        for _ in range(self.settings.burst):
            try:
                path = self.outbox.new()
                size = self.camera.take(path, self.preview)
            except PixError as error:
                self.trouble(error)
                return error
            self.taken += 1
            self.waiting += 1
            name = path[path.rfind("/") + 1 :]
            print("taken %s %d bytes" % (name, size))
            self.say("%s taken, %d waiting" % (name, self.waiting))
        return None

    def preview(self, img):
        if img.width() <= self.screen.width and img.height() <= self.screen.height:
            lcd.display(img)

    def join(self, action):
        # Run `action` of the Wi-Fi. It may take half a minute: what is due meanwhile is taken while it polls the modem
        # for a network, when nothing comes that could overrun.
        modem = self.station.modem
        poll = modem.poll

        def polled():
            if self.joining and self.wanted():
                self.take()
            return poll()

        modem.poll = polled
        try:
            action()
        finally:
            modem.poll = poll
            self.joining = False

    def attempt(self, action):
        # Run `action`, which needs the network; after trouble the next one waits, longer every time.
        try:
            if self.modem is None:
                self.station = wifi.Station(self.settings, self.stage)
                self.join(self.station.start)
                self.modem = self.station.modem
                self.modem.repair = lambda: self.join(self.station.recover)
                self.modem.repairs_itself = True
            result = action()
            self.pause_ms = 0
            return result
        except PixError as error:
            self.trouble(error)
            self.pause_ms = min(max(_FIRST_PAUSE_MS, 2 * self.pause_ms), _LONGEST_PAUSE_MS)
            self.pause_from = utime.ticks_ms()
            return None

    def rested(self):
        return utime.ticks_diff(utime.ticks_ms(), self.pause_from) >= self.pause_ms

    def deliver(self):
        # Send the oldest picture.
        if self.sender is None:
            settings = self.settings
            self.sender = Uploader(
                self.modem, settings.upload, settings.token, settings.name or settings.board, retries=2
            )
        names = self.outbox.oldest(1, self.refused)
        if not names:
            # All that is left was refused once: begin again, after a pause.
            self.refused = ""
            self.waiting = self.outbox.waiting()
            if self.waiting:
                raise PixError("upload-refused", "%d pictures" % self.waiting)
            return
        name = names[0]
        self.percent = -1
        try:
            sent = self.sender.send(self.outbox.path(name), lambda done, total: self.progress(name, done, total))
        except PixError as error:
            if error.code == "upload-refused":
                self.refused = name
            raise
        self.outbox.done(name, sent.proven)
        self.waiting -= 1
        word = "safe" if sent.proven else "sent"
        print("%s %s %d bytes in %d ms" % (word, name, sent.bytes, sent.elapsed_ms))
        self.say("%s %s, %d waiting" % (name, word, self.waiting))
        gc.collect()

    def told(self):
        # Ask the URL of "command" whether a picture is wanted.
        from pix import http, url

        where = url.parse(self.settings.command)
        link = self.modem.connect(where.host, where.port)
        try:
            link.timeout_ms = 5000
            link.write(http.request("GET", where, (), self.settings.token))
            response = http.Response(link)
            if response.read_head() not in (200, 204):
                raise PixError("http-%d" % response.status)
            answer = bytearray(16)
            got = response.readinto(answer)
        finally:
            link.close()
        return bytes(answer[:got]).strip() == b"snap"

    def progress(self, name, done, total):
        # Between two segments is a good moment: nothing but short notices can come.
        if self.wanted():
            self.take()
        percent = done * 100 // total
        if percent >= self.percent + 10 or percent < self.percent:
            self.percent = percent
            self.say("%s sending %d %%" % (name, percent))

    def stage(self, name, detail):
        self.key.look()
        self.joining = name == "wifi"
        print("%s %s" % (name, detail))
        self.say("%s %s" % (name, detail))

    def trouble(self, error):
        print("error %s: %s; %s" % (error.code, error.cause, error.remedy))
        self.say("%s (%d waiting)" % (error.title, self.waiting))

    def say(self, text):
        # The state, in one line at the bottom of the picture.
        columns = self.screen.width // 8 - 2
        text = text[:columns]
        text += " " * (columns - len(text))
        lcd.draw_string(8, self.screen.height - 16, text, lcd.WHITE, lcd.BLACK)


def main():
    settings = config.load()
    screen = Screen(settings.board, settings.rotation)
    for warning in settings.warnings:
        print(warning)
    Snap(settings, screen).run()


if __name__ == "__main__":
    once(main)
