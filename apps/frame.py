# frame: a picture frame. Every "interval_s" seconds the next picture of the server, shown in the size of the panel.
#
# The server keeps the order and knows each board by its "name". A picture that cannot be had leaves the last one on the
# panel; only a board that has not shown anything yet shows the error card. Trouble is logged and tried again. With the
# setting "web" the board has pages of its own beside that.

import gc

import utime

from pix import fetch, online, store
from pix.errors import PixError
from pix.files import card_answers
from pix.log import Log
from pix.start import once
from pix.tell import Tell, begin
from pix.url import picture_url, quote
from pix.webrun import Beside

TARGET = "/sd/frame.jpg"
_FIRST_PAUSE_MS = 2000
_LONGEST_PAUSE_MS = 60000


def main():
    settings, screen = begin()
    # "The next picture"; a whole URL in the setting "picture" is fetched again and again instead.
    url = picture_url(settings, screen, "frame?board=%s&" % quote(settings.name or "board"))
    log = Log()
    store.recover("/sd")
    shown = _show_last(screen)
    tell = Tell(None if shown else screen)
    asked = False  # by a long press of the key: to be set up anew
    beside = Beside(settings, screen, tell, log, ("next",))
    if shown:
        beside.shown(TARGET)
    modem = None
    etag = ""
    pause_ms = _FIRST_PAUSE_MS
    while True:
        started = utime.ticks_ms()
        try:
            if modem is None:
                modem = online.bring_up(settings, screen, tell.stage, asked=asked)
                asked = False
                beside.start(modem)
                if online.uncovered():
                    etag = ""  # the picture has to come again
            result = fetch.fetch(
                modem, url, TARGET, beside.progress, etag=etag, check=screen.check, again=tell.again,
                body_kb=settings.body_kb, body_s=settings.body_s,
            )  # fmt: skip
            if not result.not_modified:
                screen.show()
                beside.shown(TARGET)
                shown = True
                etag = result.etag
                print("shown %d bytes, fetched in %d ms" % (result.bytes, result.elapsed_ms))
            wait_ms = settings.interval_s * 1000
            pause_ms = _FIRST_PAUSE_MS
        except PixError as error:
            if error.code in ("no-card", "card-error") and not card_answers():
                raise  # pix.start tells it and looks after the card
            print("error", error.line)
            log.error(error)
            if online.uncovered():
                shown = _show_last(screen)
            if not shown:
                screen.error(error)
            etag = ""
            wait_ms = pause_ms
            pause_ms = min(2 * pause_ms, _LONGEST_PAUSE_MS)
        tell.screen = None  # the picture or the card stays until the next picture
        gc.collect()
        beside.rest(wait_ms - utime.ticks_diff(utime.ticks_ms(), started))
        beside.hurry = False
        if beside.portal:
            asked = True
            beside.stop()
            modem = None


def _show_last(screen):
    # The picture of before the reset, while the modem starts; True when there is one.
    try:
        screen.show(TARGET)
    except PixError:
        return False
    return True


if __name__ == "__main__":
    once(main)
