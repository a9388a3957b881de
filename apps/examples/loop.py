# mine: look every "interval_s" seconds whether the server has a new picture, and show it.
#
# Trouble is told and tried again; the modem comes back by itself after a lost network. Ctrl-C ends it.

import utime

from pix import config, fetch, screen, url, wifi
from pix.errors import PixError
from pix.start import once


def main():
    settings = config.load()
    panel = screen.Screen(settings)
    modem = wifi.bring_up(settings, print)
    address = url.picture_url(settings, panel)
    etag = ""
    while True:
        try:
            got = fetch.fetch(modem, address, "/sd/mine.jpg", etag=etag, check=panel.check)
            etag = got.etag
            if not got.not_modified:
                panel.show()
                print("shown: %d bytes" % got.bytes)
        except PixError as error:
            print("error", error.line)
        for _ in range(settings.interval_s * 20):
            utime.sleep_ms(50)  # in slices: Ctrl-C acts between two of them only


if __name__ == "__main__":
    once(main)
