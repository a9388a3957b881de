# mine: fetch a picture over Wi-Fi and show it.
#
# The network, the server and the picture are settings of the board: `maixpix setup`. An error ends the program and is
# told on the panel and the console; a board that started it by itself tries again.

from pix import config, fetch, screen, url, wifi
from pix.start import once


def main():
    settings = config.load()
    panel = screen.Screen(settings)
    modem = wifi.bring_up(settings, print)
    address = url.picture_url(settings, panel)
    got = fetch.fetch(modem, address, "/sd/mine.jpg", check=panel.check)
    panel.show()
    print("shown: %d bytes" % got.bytes)


if __name__ == "__main__":
    once(main)
