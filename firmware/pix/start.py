# What main.py runs: the app that the settings name, again and again, whatever happens to it.
#
# Holding the board's key right after the start leaves the board at the REPL, and so does Ctrl-C at any time: no app
# can lock anyone out. (Holding BOOT during the reset itself starts the chip's flasher instead.)

import gc
import sys

import uos
import utime
from micropython import const

import pix
from pix import config
from pix.errors import PixError
from pix.files import card_answers
from pix.log import PATHS, Log

_FIRST_PAUSE_MS = const(2000)
_LONGEST_PAUSE_MS = const(60000)
_GOOD_RUN_MS = const(120000)  # an app that ran this long begins with the short pause again
_KEY_MS = const(400)  # how long the key is looked at
_MOUNT_MS = const(3000)
_TRIAL_S = const(20)  # the watchdog of a version on trial, whatever the settings say
_TRIAL_MS = const(170000)  # for which it may stay unconfirmed: three times that and the watchdog's are ten minutes
_SLICE_MS = const(100)  # Ctrl-C acts between two slices only

OURS = ("show", "frame", "snap", "send", "get", "panel")  # apps that come with pix


def run(home, slot):
    # Start what main.py found in folder `slot` of `home` ("" in "/" for files copied by hand). Returns when the app is
    # done or the user wants the REPL.
    pix.home, pix.slot = home, slot
    pix.version = _word(slot, "version").decode()
    pix.trial = b"0" <= _word(slot, "ready")[9:] < b"o"
    log = _log()
    for path in config.PATHS:
        _finish_settings(path)
    try:
        settings = config.load()
    except PixError as error:
        _tell(config.Settings(), log, error)
        return
    if key_held(settings.board):
        print("key held: no app is started")
        return
    watchdog = _Watchdog(settings.watchdog_s or (_TRIAL_S if pix.trial else 0))
    if "sd" in uos.listdir("/"):
        from pix.store import recover

        try:
            recover("/sd")
        except PixError as error:
            log.error(error)  # what keeps the app from working it will say itself
    name = find(settings.app, slot)
    try:
        supervise(settings, log, name)
        if pix.trial:
            _reset()  # it has come to its end without proving itself
    except KeyboardInterrupt:
        print("stopped: %s" % settings.app)
    finally:
        watchdog.stop()
        _hang_up()


def find(app, slot):
    # Make the app of the setting "app" importable and return the name of its module. Ours are in apps/ of the version
    # in folder `slot`, the user's in own/NAME/ of it, at the top of the card or in its apps/, or wherever a whole path
    # ("/sd/tools/mine.py") says.
    base = slot + "/" if slot else ""
    cut = app.rfind("/")
    # On SPIFFS only relative entries of sys.path work (MaixPy-v1 vfs_spiffs.c), so these are relative to cwd.
    sys.path.insert(1, base + "apps")
    sys.path.insert(1, app[:cut] or "/" if cut >= 0 else base + "own/" + app)
    sys.path.append("apps")
    name = app[cut + 1 :]
    return name[:-3] if name[-3:] == ".py" else name


def once(main):
    # Run the main() of an app that was not started by main.py (`maixpix run`, the REPL): an error is told in the same
    # way, but nothing is tried again. Returns what main() returns, 1 after a PixError.
    try:
        return main()
    except PixError as error:
        try:
            settings = config.load()
        except PixError:
            settings = config.Settings()
        _tell(settings, _log(), error)
        return 1
    finally:
        _hang_up()


def supervise(settings, log, name=None):
    # Run the app of `settings`, which is the module `name`, until it ends well. After a failure wait 2, 4, 8... 60 s
    # and run it again.
    name = name or settings.app
    mine = "" if name in OURS else name
    pause_ms = _FIRST_PAUSE_MS
    while True:
        started = utime.ticks_ms()
        try:
            status = _run_app(name)
            if not status:
                return
            log.write("failed", "%s returned %s" % (settings.app, status))
        except (KeyboardInterrupt, SystemExit):
            raise KeyboardInterrupt
        except MemoryError as error:
            # The heap is in pieces; only a fresh start puts it together.
            log.error(error, mine)
            _pause(pause_ms)
            _reset()
        except PixError as error:
            _tell(settings, log, error, mine)
            if error.code in ("no-card", "card-error"):
                _fetch_card()
            elif error.code == "no-memory" and not pix.set_aside(pix.PICTURE):
                _pause(pause_ms)
                _reset()
        except Exception as error:  # noqa: BLE001 - apps may raise anything
            sys.print_exception(error)
            if "sd" in uos.listdir("/") and not card_answers():
                # The card was pulled out, and with it went what the app would import next.
                _tell(settings, log, PixError("no-card"))
                _fetch_card()
            else:
                log.error(error, mine)
                from pix.log import trace

                # What has a traceback in a file of the user's is no fault of ours, and his to mend.
                _card(settings, PixError("own-app" if mine else "internal", trace(error)))
        if utime.ticks_diff(utime.ticks_ms(), started) > _GOOD_RUN_MS:
            pause_ms = _FIRST_PAUSE_MS
        print("%s starts again in %d s" % (settings.app, pause_ms // 1000))
        _pause(pause_ms)
        pause_ms = min(2 * pause_ms, _LONGEST_PAUSE_MS)


def _word(slot, name):
    # What the small file `name` of the running version says, b"" when there is none or it is no ASCII.
    try:
        with open((slot + "/" if slot else "") + name, "rb") as f:
            word = f.read(32)
    except OSError:
        return b""
    return word if max(word + b" ") < 128 else b""


def key_held(board):
    # True when the key of `board` is down for the whole of 400 ms: a press, not a spike.
    try:
        from pix.board import key as input_of

        key = input_of(board)
    except (ImportError, AttributeError, KeyError):
        return False
    for _ in range(_KEY_MS // 20):
        if key.value():
            return False
        utime.sleep_ms(20)
    return True


def _run_app(name):
    # Import the app and call its main(), if it has one: a plain program has run by then. The module is dropped first,
    # so that every run begins afresh.
    if name in sys.modules:
        del sys.modules[name]
    gc.collect()
    main = getattr(__import__(name), "main", None)
    return main() if main is not None else None


def _hang_up():
    # What follows may be a soft reset, which the modem's UART must not live to see.
    for name in ("pix.atport", "pix_atport"):  # the second in the flat tree of the flash
        if name in sys.modules:
            sys.modules[name].hang_up()


def _log():
    return Log(PATHS if "sd" in uos.listdir("/") else ("/flash/pix.log", "/flash/pix.old"))


def _tell(settings, log, error, app=""):
    # The PixError `error` everywhere: console, log, panel. `app`: the user's app that it came from.
    print("error", error.line)
    log.error(error, app)
    _card(settings, error)


def _card(settings, error):
    # Show `error` on the panel; a panel that fails must not hide the error itself.
    try:
        from pix.screen import Screen

        Screen(settings.board, settings.rotation).error(error)
    except Exception as other:  # noqa: BLE001 - a broken panel too
        print("no error card: %s" % other)


def _pause(ms):
    import utime  # the watched one

    end = utime.ticks_add(utime.ticks_ms(), ms)
    while utime.ticks_diff(end, utime.ticks_ms()) > 0:
        utime.sleep_ms(_SLICE_MS)


def _fetch_card():
    # MaixPy mounts a card at the start only, and one that was out of its slot answers nothing until it is mounted anew
    # (MaixPy-v1 maixpy_main.c: mount_sdcard, in the background, up to 3 s). Once it is back the board starts afresh.
    if card_answers():
        return
    import machine

    machine.SDCard.remount()  # what it returns is garbage, not to be looked at
    for _ in range(_MOUNT_MS // _SLICE_MS):
        _pause(_SLICE_MS)
        if card_answers():
            _reset()


def _reset():
    online = sys.modules.get("pix.online")
    if online is not None:
        online.start_anew()  # the next run shall know what was tried in this one
    import machine

    machine.reset()


def _finish_settings(path):
    # Complete a settings file whose replacement was cut between removing the old and renaming the new one. Where the
    # old one is still there the new one was told to nobody, and goes.
    new = path[:-5] + ".new"
    try:
        uos.stat(new)
        try:
            uos.stat(path)
            uos.remove(new)
        except OSError:
            with open(new, "rb") as f:
                whole = f.read().strip()[-1:] == b"}"
            if whole:
                uos.rename(new, path)
    except OSError:
        pass  # there is no such replacement


class _Watchdog:
    # Resets the board when an app, a driver or MaixPy itself hangs for `seconds`, up to three times that; 0: never.
    #
    # Every bounded wait looks at the clock, so a program that does is alive: what is imported from now on gets this
    # object as its utime, whose ticks_ms and sleep_ms note the time. The chip's timer calls back at half of its period
    # and is fed only if the note is fresh: an endless loop in Python is found as well as one in C.
    def __init__(self, seconds):
        self._wdt = None
        self._began = utime.ticks_ms()
        if seconds:
            self._arm(seconds)

    def _arm(self, seconds):
        from machine import WDT

        if pix.trial:
            WDT(0, 5000).stop()  # the loader's

        for name in dir(utime):
            setattr(self, name, getattr(utime, name))
        self._real = self.ticks_ms, self.sleep_ms
        self.ticks_ms = self._ticks_ms
        self.sleep_ms = self._sleep_ms
        self._ms = seconds * 1000
        self._alive = utime.ticks_ms()
        sys.modules["utime"] = sys.modules["time"] = self
        self._wdt = WDT(id=1, timeout=self._ms, callback=self._look)

    def _ticks_ms(self):
        now = self._real[0]()
        self._alive = now
        return now

    def _sleep_ms(self, ms):
        # In slices: one long sleep must not look like a hang, nor keep Ctrl-C waiting.
        while ms > _SLICE_MS:
            self._real[1](_SLICE_MS)
            ms -= _SLICE_MS
            self._alive = self._real[0]()
        self._real[1](max(0, ms))
        self._alive = self._real[0]()

    def _look(self, _):
        # A version on trial that has not confirmed itself in time is reset, and after its third start left for the old.
        now = self._real[0]()
        late = pix.trial and utime.ticks_diff(now, self._began) > _TRIAL_MS
        if self._wdt is not None and not late and utime.ticks_diff(now, self._alive) < self._ms:
            self._wdt.feed()

    def stop(self):
        if self._wdt is not None:
            self._wdt.stop()
            self._wdt = None
            del sys.modules["utime"], sys.modules["time"]
