# panel: the board as a web page: what it shows, the pictures of its card, uploads from a telephone, its settings.
#
# The address stands on the panel, as text and as a code for telephones. The setting "web" is the port (80 when it is
# 0), "web_key" a key for the pages: "user:password", or a word that any user gives as the password.

import gc

from pix import online, qrcard, store
from pix.camera import Camera
from pix.files import make_folder
from pix.log import Log
from pix.start import once
from pix.tell import Tell, begin
from pix.webform import short_name
from pix.webpages import PICTURES, pictures
from pix.webrun import Beside

_WHILE_MS = 1000


class Panel:
    def __init__(self):
        self.settings, self.screen = begin()
        tell = Tell(self.screen)
        store.recover("/sd")
        self.beside = Beside(self.settings, self.screen, tell, Log()).offer({"next": self.next, "snap": self.snap}, 80)
        self.camera = None
        self.stage = tell.stage
        self.begin()

    def begin(self, asked=False):
        # The network, or the portal when it is `asked` for, and then the pages.
        url = self.beside.start(online.bring_up(self.settings, self.screen, self.stage, asked=asked))
        qrcard.show(self.screen, url, [url, self.beside.web.local])

    def run(self):
        while True:
            self.beside.rest(_WHILE_MS)
            if self.beside.portal:
                self.beside.stop()
                self.begin(asked=True)
            gc.collect()

    def next(self):
        # The picture behind the one on the panel, in the order of their names.
        make_folder(PICTURES)
        names = pictures(PICTURES)
        if not names:
            return "There are no pictures yet."
        name = self.beside.pages.shown[len(PICTURES) + 1 :]
        return self.beside.show(PICTURES + "/" + names[(names.index(name) + 1) % len(names) if name in names else 0])

    def snap(self):
        settings = self.settings
        if self.camera is None:
            self.camera = Camera(settings.frame, settings.quality, settings.colour)
        make_folder(PICTURES)
        path = short_name(PICTURES, "snap", "jpg")
        self.camera.take(path)
        return self.beside.show(path)


def main():
    Panel().run()


if __name__ == "__main__":
    once(main)
