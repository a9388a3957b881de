# What an app calls for its network: the one of the settings, or the portal where there is none, or where the board's
# key is held down.

import gc
import sys

import machine
import uos
import utime
from micropython import const

import pix
from pix import wifi
from pix.errors import PixError
from pix.files import remove, size_of

_HOLD_MS = const(3000)
_SAY_MS = const(100)  # for the console to say the last words before a reset
_MARK = "/portal.off"  # on the card, or on the flash of a board without one

_tried = None  # the portal has been open by itself since the power came: once is enough. None: not known yet
_covered = False  # it has taken the panel


def bring_up(settings, screen, progress=None, recover=True, idle=None, asked=False, by_itself=True, warm=False):
    # As wifi.bring_up. With "portal" at "auto" the portal opens where no network is set or none of them is there, once
    # after the power came: a frame whose router is off must not stay open for ever, and has pictures to show. Not so
    # with `by_itself` False, for apps that have something better to do. `asked`: somebody held the key, so it opens in
    # any case. `idle` is called while it is open, too. `warm` as for wifi.bring_up. Raises PixError as that does.
    global _tried
    if _tried is None:
        _tried = _was_open()
    if asked:
        modem = portal(settings, screen, progress, recover, idle)
        if modem is not None:
            return modem
    by_itself = by_itself and settings.portal == "auto" and not _tried
    try:
        if settings.wifi or not by_itself:
            return wifi.bring_up(settings, progress, recover, idle, warm)
        missing = PixError("settings", "no Wi-Fi network is set")
    except PixError as error:
        if error.code not in ("no-network", "key-lost") or not by_itself:
            raise
        missing = error
    modem = portal(settings, screen, progress, recover, idle)
    _tried = True  # not where the module did not answer: then nobody could come
    if modem is None:
        raise missing
    return modem


def covered():
    # True while the portal is on the panel, and after it until `uncovered` is asked.
    return _covered


def uncovered():
    # True once after the portal has been on the panel: what an app had there is gone.
    global _covered
    covered, _covered = _covered, False
    return covered


def portal(settings, screen, progress=None, recover=True, idle=None):
    # Open the portal now; a modem of before is dead afterwards. Returns the joined modem when one of the networks of
    # before is back, None when nothing came of it. When the board was set up it starts anew: apps have read the old
    # settings, and what the portal has left of the heap is in pieces.
    global _covered, _tried
    _covered = True
    before = list(sys.modules)
    # No picture is loaded meanwhile, and the pages need room.
    pix.hand_over(pix.PICTURE)
    gc.collect()
    try:
        from pix.portal import Portal

        door = Portal(settings, screen, progress, idle)
        modem = door.run()
        if modem is not None:
            modem.repairs_itself = recover
        whole = not door.done
    finally:
        door = None  # its class would keep the modules
        _forget(before)
    gc.collect()
    if not (pix.set_aside(pix.PICTURE) and whole):
        print("portal: the board starts anew")
        _tried = whole  # what was set up may turn out wrong: then it opens again
        start_anew()
    return modem


def start_anew():
    # Reset the board. Where the portal has been open by itself, a mark tells the next run, which takes it away: else a
    # board without a network, whose heap is in pieces now and then, would be a portal for ever.
    if _tried:
        try:
            open(_mark(), "wb").close()
        except (OSError, MemoryError) as error:
            print("no mark: %s" % error)
    utime.sleep_ms(_SAY_MS)
    machine.reset()


def _was_open():
    try:
        if size_of(_mark()) is None:
            return False
        remove(_mark())
    except PixError:
        return False  # what cannot be looked at is told by whoever needs it
    return True


def _mark():
    return ("/sd" if "sd" in uos.listdir("/") else "/flash") + _MARK


def _forget(before):
    # Give back the memory of modules that only the portal needs.
    for name in list(sys.modules):
        if name not in before:
            del sys.modules[name]
            if name[:4] == "pix." and hasattr(pix, name[4:]):
                delattr(pix, name[4:])  # with None there, `from pix import` would give that
    gc.collect()


class Held:
    # Tells when the key of board `name` has been held down for three seconds. `look` is to be called often.
    def __init__(self, settings):
        self._pin = None
        self._since = None
        if settings.portal != "off":
            from pix import board

            self._pin = board.key(settings.board)

    def look(self):
        # True once for each time that it is held.
        if self._pin is None or self._pin.value():
            self._since = None
            return False
        now = utime.ticks_ms()
        if self._since is None:
            self._since = now
        elif self._since and utime.ticks_diff(now, self._since) >= _HOLD_MS:
            self._since = 0
            return True
        return False
