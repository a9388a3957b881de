# snap: take pictures, keep them on the card, bring every one to the receiver of the setting "upload".
#
# A picture is taken at a press of the board's key, every "snap_s" seconds, and when the URL of the setting "command"
# answers with the word "snap". It leaves the outbox only when the receiver has proven that it is safe there (or has all
# of its bytes: then it goes to /sd/sent); without a network pictures collect, as long as there is room on the card.
# What is due is taken also while the board looks for a network and between two pieces of an upload. With "snaps" set
# the app ends when that many are taken and safe. With the setting "web" the board has pages of its own beside that.

import lcd

from pix import wifi  # noqa: F401 - first: its modules are the largest, and compiling wants a heap in one piece
from pix.camera import Camera
from pix.errors import PixError
from pix.files import card_answers
from pix.log import Log
from pix.outbox import Outbox
from pix.shutter import Shutter
from pix.start import once
from pix.tell import StateLine, Tell, begin
from pix.uplink import Uplink
from pix.webrun import Beside

_TICK_MS = 20


class Snap:
    def __init__(self, settings, screen):
        self.settings = settings
        self.screen = screen
        self.state = StateLine(screen)
        self.shutter = Shutter(settings)
        self.outbox = Outbox(reserve_kb=settings.reserve_kb)
        self.waiting = self.outbox.waiting()
        self.camera = Camera(settings.frame, settings.quality, settings.colour)
        self.uplink = Uplink(settings, screen, self.stage, self.take_if_due)
        self.beside = Beside(settings, screen, Tell(None), Log()).offer({"snap": self.take_for_pages})
        self.percent = 0  # of the upload, last shown
        self.log = Log()
        self.logged = ""  # code of the trouble that lasts and is in the log
        self.portal = False  # it is open

    def run(self):
        settings = self.settings
        while not self.shutter.finished() or (self.waiting and settings.upload):
            if self.shutter.wanted() or self.asked():
                if settings.snaps:
                    self.take()
                else:
                    self.try_to_take()
            if self.waiting and settings.upload and self.uplink.rested():
                self.deliver()
            if self.beside.waits and self.uplink.rested():
                self.serve()
            self.uplink.look()
            if self.beside.portal:
                self.set_up()
            self.beside.rest(_TICK_MS)
        self.state.say("%d taken, none waiting" % self.shutter.taken)
        print("done, %d taken" % self.shutter.taken)

    def set_up(self):
        # The portal; pictures that are due are taken all the same, but the panel is its own.
        self.beside.stop()
        self.portal = True
        try:
            self.uplink.set_up()
        except PixError as error:
            self.trouble(error)
        finally:
            self.portal = False

    def take(self):
        # Raises PixError; whoever catches it tells it.
        for _ in range(self.settings.burst):
            path = self.outbox.new()
            size = self.camera.take(path, self.preview)
            self.shutter.taken += 1
            self.waiting += 1
            self.logged = ""
            name = path[path.rfind("/") + 1 :]
            self.outbox.know(name, self.camera.digest)
            print("taken %s %d bytes" % (name, size))
            self.state.say("%s taken, %d waiting" % (name, self.waiting))

    def try_to_take(self):
        try:
            self.take()
        except PixError as error:
            self.trouble(error)

    def take_for_pages(self):
        self.take()
        return "Taken, %d waiting" % self.waiting

    def serve(self):
        try:
            self.uplink.attempt(self.beside.start)
        except PixError as error:
            self.trouble(error)

    def take_if_due(self):
        if self.shutter.wanted():
            self.try_to_take()

    def preview(self, img):
        if not self.portal and img.width() <= self.screen.width and img.height() <= self.screen.height:
            lcd.display(img)

    def asked(self):
        # True when "command" says that a picture is wanted.
        if not self.uplink.rested() or not self.shutter.asks():
            return False
        try:
            return self.uplink.attempt(self.shutter.ask)
        except PixError as error:
            self.trouble(error)
            return False

    def deliver(self):
        self.percent = 0
        try:
            delivered = self.uplink.attempt(self.uplink.deliver, self.outbox, self.progress)
        except PixError as error:
            self.trouble(error)
            return
        self.logged = ""
        if delivered is None:
            self.waiting = 0
        else:
            self.waiting -= 1
            name, sent = delivered
            word = "safe" if sent.proven else "sent"
            print("%s %s %d bytes in %d ms" % (word, name, sent.bytes, sent.elapsed_ms))
            self.state.say("%s %s, %d waiting" % (name, word, self.waiting))

    def progress(self, name, done, total):
        # Between two segments is a good moment: nothing but short notices can come.
        self.take_if_due()
        self.beside.between()
        percent = done * 100 // total
        if not done or percent >= self.percent + 10:
            self.percent = percent
            self.state.say("%s sending %d %%" % (name, percent))

    def stage(self, name, detail):
        self.shutter.look()
        print(name, detail)
        self.state.say("%s %s" % (name, detail))

    def trouble(self, error):
        if error.code in ("no-card", "card-error") and not card_answers():
            raise error  # pix.start tells it and looks after the card
        print("error", error.line)
        if error.code != self.logged:
            # Tried again and again without success, it is one line.
            self.logged = error.code
            self.log.error(error)
        self.state.say("%s (%d waiting)" % (error.title, self.waiting))


def main():
    Snap(*begin()).run()


if __name__ == "__main__":
    once(main)
