# The rate of the modem's line: where the module answers, and the change to the one that is wanted.

import utime
from micropython import const

from pix.errors import PixError

# Tried when the module does not answer at the likely ones: it may have stored any of them in its flash.
_RATES = (921600, 460800, 230400, 1000000, 2000000, 9600, 57600, 74880)

_HELLO_MS = const(150)
_RAISED_MS = const(300)
_CHANGE_MS = const(30)  # OK goes out at the old rate, then the module's UART is set anew


def find(modem, *likely):
    # Find the rate at which the module answers, the likely ones first, and stay there. Raises PixError("no-modem").
    for rate in likely + _RATES:
        if modem.baud != rate:
            modem.open(rate)
        for _ in range(3):
            # Noise of other rates makes the first answer an ERROR.
            if modem.exchange(b"AT\r\n", _HELLO_MS) == b"OK":
                return
    raise PixError("no-modem", "its IO0 strap is high" if modem.strapped else "")


def change(modem, rate, firmware):
    # Change to `rate`, for as long as the module has power; False when it is not understood there. It is tried with
    # the longest answer that is known beforehand: `firmware`, what GMR has told at the old rate.
    if not modem.ask("+UART_CUR=%d,8,1,0,0" % rate):
        return False
    utime.sleep_ms(_CHANGE_MS)
    modem.open(rate)
    modem.resetting = True
    try:
        for _ in range(3):
            if modem.exchange(b"AT\r\n", _RAISED_MS) != b"OK":
                return False
        return modem.firmware() == firmware
    except PixError:
        return False
    finally:
        modem.resetting = False
