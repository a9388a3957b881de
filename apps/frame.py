# frame: a picture frame. Every "interval_s" seconds another picture of its playlist, with or without a network.
#
# The first one shows before the network is looked for. While a picture shows, the next ones are fetched. Trouble never
# takes the picture away: it is a badge with its age, and a card only where there is nothing to show. The board's key:
# short the next picture, twice the one before, 1 s hold it or go on, 2 s a page about the board, 3 s the portal. With
# the setting "web" the board has pages of its own beside that.

import gc

import pix
from pix.easel import Easel
from pix.errors import PixError
from pix.files import card_answers
from pix.start import once
from pix.tell import Tell, begin


def main():
    settings, screen = begin()
    easel = Easel(settings, screen)
    easel.turn()  # what the card has, at once; what needs the network is loaded while it shows
    pix.shrink_ring(pix.SMALL_RING)
    from pix.courier import Courier

    gc.collect()  # what is loaded stays for good: it shall not lie between garbage
    from pix.webrun import Beside

    tell = easel.tell = Tell(None if easel.shown else screen)
    courier = Courier(settings, screen, easel, tell)
    beside = Beside(settings, screen, tell, courier.log).offer(("next",))
    while True:
        busy = False
        try:
            if easel.due() or beside.hurry:
                beside.hurry = False
                courier.ask_for_due()
                easel.turn()
            if beside.portal:
                beside.stop()
                courier.set_up()
            busy = courier.ready() and courier.errand()
            if beside.waits and courier.modem is not None:
                beside.start(courier.modem)
            easel.look()
            easel.keep_time()
        except PixError as error:
            if error.code in ("no-card", "card-error") and not card_answers():
                raise  # pix.start tells it and looks after the card
            courier.trouble(error)
        if easel.shown:
            beside.shown(easel.path())
        if not busy:
            easel.rest(beside.rest)


if __name__ == "__main__":
    once(main)
