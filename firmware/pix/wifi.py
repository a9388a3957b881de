# From a board without power at its modem to a network with an address, and back there after trouble.
#
#     modem = wifi.bring_up(config.load(), print)
#     modem = wifi.bring_up(config.Settings(wifi=[["home", "key"]]))
#
# Of the settings `wifi` (a list of [name, key]), `baud`, `board`, `retries`, `led` and `led_on` are used. Keys go to
# the module only: no message, error or log line ever has one.
#
# What does it, pix.station, is in the heap only while it is needed.

from micropython import const

import pix
from pix import atlink, board  # noqa: F401 - atlink first: to compile it from source takes the most room
from pix.config import need
from pix.espat import Modem

if not pix.BYTE_CODE:
    from pix import station  # noqa: F401 - source is compiled while there is a heap in one piece for it

_TIMEOUT_CHAR_MS = const(10)


def bring_up(settings, progress=None, recover=True, idle=None, warm=False):
    # Reset the modem, raise its rate and join the first network that works. Returns the Modem. `progress(stage,
    # detail)` is told every step. `recover`: connect() repairs a restarted modem or a lost network by itself. `idle()`
    # is called while a network is looked for, see pix.station. `warm`: a module that is sound and back in its network
    # by itself is taken as it is, and one that is not will remember this network.
    # Raises PixError: settings, no-modem, modem-firmware, no-network, wrong-password, no-address, join-timeout;
    # TypeError when it is given no settings.
    need(settings, "wifi.bring_up")
    if progress is not None and not callable(progress):
        raise TypeError("wifi.bring_up(settings, progress): progress is a function such as print")
    modem = modem_of(settings)
    modem.repair = Repair(modem, settings, progress, idle)
    modem.repair.start(warm)
    modem.repairs_itself = recover
    return modem


def watch(modem):
    # Take in notices that have come. True while the network is there; see `modem.lost` for the reason when not.
    while modem.poll():
        pass
    return modem.online and not modem.lost


def modem_of(settings):
    # The pix.espat.Modem of the board of `settings`, which nobody has spoken to yet.
    return Modem(_Wire(board.pins(settings.board)).open)


class Repair:
    # What brings `modem` into a network of the settings, and back there when it is called: see pix.station.Station.
    def __init__(self, modem, settings, progress=None, idle=None):
        self._arguments = modem, settings, progress, idle

    def start(self, warm):
        # Everything from the reset on, or, `warm`, without one. Raises PixError as `bring_up`.
        self._have("start", warm)

    def __call__(self):
        # Repair what the modem's `lost` tells. Raises PixError when that fails.
        self._have("recover")

    def _have(self, action, *arguments):
        from pix.station import Station

        try:
            getattr(Station(*self._arguments), action)(*arguments)
        finally:
            pix.forget("station", "warm", "baud", "led", "atvers")


class _Wire:
    # The UART to the module at the board's `pins`; see AtPort.
    def __init__(self, pins):
        self._pins = pins

    def open(self, uart, rate, ring):
        from fpioa_manager import fm
        from machine import UART

        fm.register(self._pins.wifi_rx, fm.fpioa.UART2_TX)
        fm.register(self._pins.wifi_tx, fm.fpioa.UART2_RX)
        if uart is None:
            return UART(UART.UART2, rate, 8, None, 1, timeout_char=_TIMEOUT_CHAR_MS, read_buf_len=ring)
        uart.init(rate, 8, None, 1, timeout_char=_TIMEOUT_CHAR_MS, read_buf_len=ring)
        return uart
