# mine: take a picture and send it to the receiver of the setting "upload".
#
# `maixpix serve` is such a receiver, and so is `nc -l 3456 > picture.jpg`. An error ends the program and is told on the
# panel and the console; a board that started it by itself tries again.

from pix import camera, config, screen, upload, wifi
from pix.start import once


def main():
    settings = config.load()
    panel = screen.Screen(settings)
    camera.Camera().take("/sd/mine.jpg")
    modem = wifi.bring_up(settings, print)
    sent = upload.Uploader(modem, settings.upload, settings.token).send("/sd/mine.jpg", panel.progress)
    panel.show("/sd/mine.jpg")
    print("%s: %d bytes" % ("proven" if sent.proven else "sent", sent.bytes))


if __name__ == "__main__":
    once(main)
