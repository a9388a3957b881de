# The rate of the modem's line: where the module answers, and the change to the one that is wanted.

import utime
from micropython import const

from pix.errors import PixError

# Tried when the module does not answer at the likely ones: it may have stored any of them in its flash.
_RATES = (921600, 460800, 230400, 1000000, 2000000, 9600, 57600, 74880)

_HELLO_MS = const(150)
_RAISED_MS = const(300)
_ALONE_MS = const(40)  # silence that makes +++ more than data: 20 ms (AT instruction set)
_LEAVE_MS = const(1000)  # and then no command for one second
_CHANGE_MS = const(30)  # OK goes out at the old rate, then the module's UART is set anew


def find(modem, *likely):
    # Find the rate at which the module answers, the likely ones first, and stay there. Raises PixError("no-modem").
    modem.heard = False
    rates = likely + tuple(rate for rate in _RATES if rate not in likely)
    for rate in rates:
        if answers(modem, rate):
            return
    for rate in rates:
        # In data mode, which can be stored in its flash, all that is written goes to a peer, but for +++ alone.
        if modem.baud != rate:
            modem.open(rate)
        modem.pause(_ALONE_MS)
        modem.uart.write(b"+++")
        modem.pause(_LEAVE_MS)
        if answers(modem, rate):
            return
    if modem.strapped:
        raise PixError("no-modem", "its IO0 strap is high")
    if modem.heard:
        raise PixError("no-modem", "it starts but has no AT firmware here, flash AT 1.7")
    raise PixError("no-modem", "silent at all rates")


def answers(modem, rate):
    # True when the module answers at that rate, which is the line's afterwards.
    if modem.baud != rate:
        modem.open(rate)
    for _ in range(3):
        # Noise of other rates makes the first answer an ERROR.
        if modem.exchange(b"AT\r\n", _HELLO_MS) == b"OK":
            return True
    return False


def change(modem, rate, firmware):
    # Change to `rate`, for as long as the module has power. Returns "", or what went wrong; the module must be found
    # again then. The rate is tried with the longest answer that is known: `firmware`, what GMR has told at the old one.
    if not modem.ask("+UART_CUR=%d,8,1,0,0" % rate):
        return "it cannot change its rate"
    utime.sleep_ms(_CHANGE_MS)
    modem.open(rate)
    modem.resetting = True
    try:
        for _ in range(3):
            if modem.exchange(b"AT\r\n", _RAISED_MS) != b"OK":
                break
        else:
            if modem.firmware() == firmware:
                return ""
    except PixError as error:
        if error.code not in ("no-modem", "modem-rebooted"):
            raise
    finally:
        modem.resetting = False
    return "no answer at %d baud" % rate
