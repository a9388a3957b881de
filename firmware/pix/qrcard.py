# A card on the panel with a QR code and a few lines below it: an address, a network to join.

import gc

import lcd
from micropython import const

from pix.errors import PixError
from pix.qr import draw, matrix
from pix.screen import wrap

_LINE = const(16)
_CHAR = const(8)
_MARGIN = const(8)


def show(screen, text, lines):
    # Fill the pix.screen.Screen with the code for `text`, and `lines` in the room below it. Without memory for the code
    # the lines stand alone.
    columns = screen.width // _CHAR - 2
    told = []
    for line in lines:
        told += wrap(line, columns, 3)
    room = screen.height - len(told) * _LINE - _MARGIN
    screen.blank()
    gc.collect()
    try:
        draw(matrix(text), (screen.width - min(screen.width, room)) // 2, 0, min(screen.width, room))
    except (MemoryError, PixError):
        gc.collect()
    y = room + _MARGIN // 2
    for line in told:
        lcd.draw_string((screen.width - len(line) * _CHAR) // 2, y, line, lcd.WHITE, lcd.BLACK)
        y += _LINE
