# show: join Wi-Fi, fetch one picture onto the card, show it.
#
# The picture is the setting "picture": a whole URL, or a name on the server of the setting "server".

import utime

from pix import fetch, wifi
from pix.files import free_bytes
from pix.start import once
from pix.tell import Tell, begin
from pix.url import picture_url, public

TARGET = "/sd/show.jpg"


def main():
    settings, screen = begin()
    tell = Tell(screen)
    free_bytes("/sd")  # a missing card is told now and not after half a minute of Wi-Fi
    url = picture_url(settings, screen)
    modem = wifi.bring_up(settings, tell.stage)
    tell.stage("fetching", public(url))
    # The file replaces the last picture only when `check` could decode it; what it decoded is what is shown.
    result = fetch.fetch(
        modem, url, TARGET, tell.progress, check=screen.check, again=tell.again,
        body_kb=settings.body_kb, body_s=settings.body_s,
    )  # fmt: skip
    print("fetched %d bytes in %d ms" % (result.bytes, result.elapsed_ms))
    started = utime.ticks_ms()
    width, height = screen.show()
    print("shown %dx%d in %d ms" % (width, height, utime.ticks_diff(utime.ticks_ms(), started)))


if __name__ == "__main__":
    once(main)
