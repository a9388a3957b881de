# The board's pages beside an app, by the setting "web": nothing of them is loaded while that is 0.
#
#     beside = Beside(settings, screen, tell, log).offer(("next",))
#     beside.start(modem)          # once there is a network
#     beside.rest(60000)           # instead of sleeping; ends early when somebody wants the next picture

import gc

import utime
from micropython import const

import pix
from pix.errors import PixError
from pix.files import size_of
from pix.online import Held

_SLICE_MS = const(50)  # without pages: Ctrl-C acts between two sleeps only
_PAUSE_MS = const(5)
_GUEST_MS = const(300)  # for guests between two blocks of a fetch, while there are any


class Beside:
    # Nothing is served before `offer`.
    def __init__(self, settings, screen, tell, log):
        self.settings = settings
        self.screen = screen
        self.tell = tell
        self.log = log
        self.hurry = False  # somebody wants the next picture; the app clears it
        self.portal = False  # the key was held: the app calls `stop` and opens the portal
        self._held = Held(settings)
        self.web = None
        self.pages = None
        self._served = 0  # requests after which memory was given back

    def offer(self, actions=(), port=0):
        # Load the pages where the settings want them, or on `port` in any case; returns this. `actions`: "next" (see
        # `hurry`), or a dictionary of pix.webpages.Pages' functions, besides "show" and "fetch".
        settings = self.settings
        port = settings.web or port
        if not port:
            return self
        pix.shrink_ring(pix.SMALL_RING)
        from pix.store import recover

        gc.collect()  # what is loaded stays for good: it shall not lie between garbage
        from pix.web import Web

        gc.collect()
        from pix.webpages import PICTURES, Pages

        try:
            if size_of(PICTURES) is not None:
                recover(PICTURES)  # what the power has left of an upload
        except PixError as error:
            self.log.error(error)  # what keeps the app from working it will say itself
        able = {"show": self.show, "fetch": self._fetch}
        for name in actions:
            able[name] = self._hurry if name == "next" and not isinstance(actions, dict) else actions[name]
        self.tell.meanwhile = self.between
        self.web = Web(port, settings.web_key, log=self.log)
        self.pages = Pages(self.web, settings, self.screen, able)
        return self

    def start(self, modem):
        # Serve through `modem`; returns the URL, "" without pages. Raises PixError.
        if self.web is None:
            return ""
        url = self.web.start(modem, self.settings.name)
        print("pages at", url, self.web.local)
        return url

    def stop(self):
        # Serve no more, until the next `start`.
        self.portal = False
        if self.web is not None:
            self.web.stop()

    @property
    def waits(self):
        # True while there are pages that nobody can reach yet.
        return self.web is not None and self.web.modem is None

    def shown(self, path):
        # The app shows the picture `path` of the card now.
        if self.pages is not None:
            self.pages.shown = path

    def rest(self, ms):
        # Serve for `ms`, or less when `hurry` or `portal` is set meanwhile; without pages, sleep.
        # Raises PixError "no-card" once pages have failed for want of it.
        end = utime.ticks_add(utime.ticks_ms(), ms)
        while not self.hurry and not self.portal:
            self.portal = self._held.look()
            left = utime.ticks_diff(end, utime.ticks_ms())
            if left <= 0:
                return
            if self.web is None or self.web.modem is None:
                utime.sleep_ms(min(left, _SLICE_MS))
                continue
            self.web.poll()
            self._lighten()
            self.pages.work()
            self.web.look_at_card()
            self.web.repair()
            utime.sleep_ms(min(left, _PAUSE_MS))

    def _lighten(self):
        # Give back the memory of what only few requests need.
        if self.web.served != self._served and not self.web.busy:
            self._served = self.web.served
            self.pages.lighten()

    def between(self):
        # In the middle of a fetch or an upload, between two blocks, also by `tell`: guests are served where the module
        # keeps what comes meanwhile.
        web = self.web
        if web is None or web.modem is None or not web.modem.passive:
            return
        web.poll()
        end = utime.ticks_add(utime.ticks_ms(), _GUEST_MS)
        while web.busy and utime.ticks_diff(end, utime.ticks_ms()) > 0:
            web.modem.poll()  # what the fetch has asked for already comes first
            web.poll()

    def show(self, path):
        # Show the picture `path` of the card. Raises PixError.
        self.screen.show(path)
        self.pages.shown = path
        return "Shown: %s" % path

    def _hurry(self):
        self.hurry = True
        return "The next picture is on its way."

    def _fetch(self, url):
        from pix import fetch
        from pix.files import make_folder
        from pix.webform import short_name
        from pix.webpages import PICTURES

        if not self.web.modem.online:
            raise PixError("wifi-lost")
        make_folder(PICTURES)
        path = short_name(PICTURES, url.split("?")[0], "bmp" if url.lower().find(".bmp") > 0 else "jpg")
        settings = self.settings
        result = fetch.fetch(
            self.web.modem, url, path, self.tell.progress, check=self.screen.check, again=self.tell.again, retries=2,
            body_kb=settings.body_kb, body_s=settings.body_s,
        )  # fmt: skip
        self.screen.show()
        self.pages.shown = path
        return "Fetched: %d bytes" % result.bytes
