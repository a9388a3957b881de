# frame: a picture frame. Every "interval_s" seconds the next picture of the server, shown in the size of the panel.
#
# The server keeps the order and knows each board by its "name". A picture that cannot be had leaves the last one on the
# panel; only a board that has not shown anything yet shows the error card. Trouble is logged and tried again.

import gc

import utime

from pix import config, fetch, store, wifi
from pix.errors import PixError
from pix.log import Log
from pix.screen import Screen
from pix.start import once

TARGET = "/sd/frame.jpg"
_FIRST_PAUSE_MS = 2000
_LONGEST_PAUSE_MS = 60000


def frame_url(settings, screen):
    # The URL of "the next picture"; a whole URL in "picture" is fetched again and again instead.
    if settings.picture.startswith("http://") or settings.picture.startswith("https://"):
        return settings.picture
    if not settings.server:
        raise PixError("settings", "server is not set")
    return "%s/frame?board=%s&size=%dx%d&fit=%s&format=%s" % (
        settings.server.rstrip("/"),
        settings.name or "board",
        screen.width,
        screen.height,
        settings.fit,
        settings.format,
    )


def main():
    settings = config.load()
    screen = Screen(settings.board, settings.rotation)
    for warning in settings.warnings:
        print(warning)
    url = frame_url(settings, screen)
    log = Log()
    store.recover("/sd")
    shown = _show_last(screen)

    def stage(name, detail=""):
        print("%s %s" % (name, detail))
        if not shown:
            screen.stage("%s %s" % (name, detail))

    modem = None
    etag = ""
    pause_ms = _FIRST_PAUSE_MS
    while True:
        started = utime.ticks_ms()
        try:
            if modem is None:
                modem = wifi.bring_up(settings, stage)
            result = fetch.fetch(modem, url, TARGET, etag=etag)
            if not result.not_modified:
                screen.show(TARGET)
                shown = True
                etag = result.etag
                print("shown %d bytes, fetched in %d ms" % (result.bytes, result.elapsed_ms))
            wait_ms = settings.interval_s * 1000
            pause_ms = _FIRST_PAUSE_MS
        except PixError as error:
            print("error %s: %s; %s" % (error.code, error.cause, error.remedy))
            log.error(error)
            if not shown:
                screen.error(error)
            etag = ""
            wait_ms = pause_ms
            pause_ms = min(2 * pause_ms, _LONGEST_PAUSE_MS)
        gc.collect()
        while utime.ticks_diff(utime.ticks_ms(), started) < wait_ms:
            utime.sleep_ms(50)  # in slices: Ctrl-C acts between two of them only


def _show_last(screen):
    # The picture of before the reset, while the modem starts; True when there is one.
    try:
        screen.show(TARGET)
    except PixError:
        return False
    return True


if __name__ == "__main__":
    once(main)
