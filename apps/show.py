# show: join Wi-Fi, fetch one picture onto the card, show it.
#
# The picture is the setting "picture": a whole URL, or a name on the server of the setting "server".

import utime

from pix import config, fetch, wifi
from pix.errors import PixError
from pix.screen import Screen
from pix.start import once

TARGET = "/sd/show.jpg"


def picture_url(settings, screen):
    # The URL to fetch. From a maixpix server the picture is asked for in exactly the size of the panel.
    if settings.picture.startswith("http://") or settings.picture.startswith("https://"):
        return settings.picture
    if not settings.server or not settings.picture:
        raise PixError("settings", "server and picture are not set")
    return "%s/pictures/%s?size=%dx%d&fit=%s&format=%s" % (
        settings.server.rstrip("/"),
        settings.picture,
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
    url = picture_url(settings, screen)

    def stage(name, detail=""):
        print("%s %s" % (name, detail))
        screen.stage("%s %s" % (name, detail))

    modem = wifi.bring_up(settings, stage)
    stage("fetching", url)
    result = fetch.fetch(modem, url, TARGET, progress=screen.progress)
    print("fetched %d bytes in %d ms" % (result.bytes, result.elapsed_ms))
    started = utime.ticks_ms()
    width, height = screen.show(TARGET)
    print("shown %dx%d in %d ms" % (width, height, utime.ticks_diff(utime.ticks_ms(), started)))


if __name__ == "__main__":
    once(main)
