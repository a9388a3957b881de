# panel: the board as a web page: what it shows, the pictures of its card, uploads from a telephone, its settings.
#
# The address stands on the panel, as text and as a code for telephones. The setting "web" is the port (80 when it is 0
# here), "web_key" a key for the pages: "user:password", or a word that any user gives as the password.

import gc

import utime

from pix import fetch, qrcard, store, wifi
from pix.camera import Camera
from pix.log import Log
from pix.start import once
from pix.tell import Tell, begin
from pix.web import Web
from pix.webform import short_name
from pix.webpages import PICTURES, Pages, make_folder, pictures

_IDLE_MS = 5


class Board:
    def __init__(self):
        self.settings, self.screen = begin()
        self.tell = Tell(self.screen)
        log = Log()
        store.recover("/sd")
        self.web = Web(self.settings.web or 80, self.settings.web_key, log=log)
        self.modem = wifi.bring_up(self.settings, self.tell.stage)
        actions = {"show": self.show, "next": self.next, "fetch": self.fetch, "snap": self.snap}
        self.pages = Pages(self.web, self.settings, self.screen, actions)
        self.camera = None

    def run(self):
        url = self.web.start(self.modem, self.settings.name)
        print("pages at", url, self.web.local)
        qrcard.show(self.screen, url, [url, self.web.local])
        while True:
            self.web.poll()
            self.pages.work()
            self.web.repair()
            if not self.web.busy:
                gc.collect()
            utime.sleep_ms(_IDLE_MS)

    def show(self, path):
        self.screen.show(path)
        self.pages.shown = path
        return "Shown: %s" % path

    def next(self):
        # The picture behind the one on the panel, in the order of their names.
        make_folder(PICTURES)
        names = pictures(PICTURES)
        if not names:
            return "There are no pictures yet."
        name = self.pages.shown[len(PICTURES) + 1 :]
        return self.show(PICTURES + "/" + names[(names.index(name) + 1) % len(names) if name in names else 0])

    def fetch(self, url):
        make_folder(PICTURES)
        path = short_name(PICTURES, url.split("?")[0], "bmp" if url.lower().find(".bmp") > 0 else "jpg")
        result = fetch.fetch(
            self.modem, url, path, self.tell.progress, check=self.screen.check, again=self.tell.again,
            body_kb=self.settings.body_kb, body_s=self.settings.body_s,
        )  # fmt: skip
        self.screen.show()
        self.pages.shown = path
        return "Fetched: %d bytes" % result.bytes

    def snap(self):
        if self.camera is None:
            self.camera = Camera(self.settings.frame, self.settings.quality, self.settings.colour)
        make_folder(PICTURES)
        path = short_name(PICTURES, "snap", "jpg")
        self.camera.take(path)
        return self.show(path)


def main():
    Board().run()


if __name__ == "__main__":
    once(main)
