# Photos that the camera took while it was held another way: the panel is turned while they are drawn.
#
# That costs neither time nor memory: the direction in which the controller counts rows and columns concerns only what
# is written from then on (ST7789 data sheet, "Memory Data Access Control"), and MaixPy passes it on (py_lcd.c).

import lcd
from micropython import const

from pix.board import direction, hidden_rows

_MY = const(0x80)  # rows are counted from the end
_MX = const(0x40)  # columns too
_MV = const(0x20)  # x counts rows

# EXIF orientation -> the same bits for a picture on an upright panel: flips of y and of x behind the exchange of both.
_TURNS = (0, 0, _MX, _MX | _MY, _MY, _MV, _MV | _MX, _MV | _MX | _MY, _MV | _MY)


def swaps(orientation):
    # Whether width and height change places.
    return orientation > 4


def draw(show, orientation, board="dock", rotation=0):
    # Call show(dx, dy) with the panel of `board` turned so that a picture of that EXIF orientation comes out upright;
    # (dx, dy) is where the visible part then begins.
    base = direction(board, rotation)
    turn = _TURNS[orientation]
    if base & _MV:
        turn = turn & _MV | (_MY if turn & _MX else 0) | (_MX if turn & _MY else 0)
    turned = base ^ turn
    hidden = hidden_rows(board) if turn & _MY else 0
    lcd.direction(turned)
    try:
        show(*((hidden, 0) if turned & _MV else (0, hidden)))
    finally:
        lcd.direction(base)
