# How a board's module gets from its power to a network with an address, and back there after trouble: what pix.wifi
# loads when it is needed.
#
# Keys go to the module only: no message, error or log line ever has one.

import utime
from micropython import const

from pix import baud, board
from pix.atline import scanned_name, station_address
from pix.atport import BASE_BAUD, after, left
from pix.atvers import OTHER, can, version
from pix.config import WPS, network_fault
from pix.errors import PixError
from pix.espat import quoted
from pix.led import Led

_OFF_MS = const(50)  # EN low for so long is a reset (MaixPy-v1_scripts network_espat.py)
_READY_MS = const(1500)  # `ready` comes about 0.4 s after EN; a module with another stored rate stays silent
_RESTART_MS = const(3000)
_JOIN_MS = const(20000)  # AT 1.x tells a failure after 14 or 15 s
_SCAN_MS = const(12000)
_ADDRESS_MS = const(6000)
_RETURN_MS = const(10000)  # how long the module may take to come back to a lost network by itself

# The most telling of several networks' errors comes first.
_TELLING = ("key-lost", "wrong-password", "no-address", "join-timeout", "no-network")


class Station:
    # The Wi-Fi of a board whose module `modem`, a pix.espat.Modem, drives. Raises PixError("settings"); limits: NONOS
    # AT 1.7.6 binary.
    #
    # `progress(stage, detail)`, both str, is told every step. `idle()` is called while a network is looked for, joined
    # or waited for (which may take half a minute), at start and in `recover`, whenever nothing has come for a character
    # timeout (10 ms). Only short notices can come then, so it may take a second or two; no answer's time is charged
    # with that. It must not use the modem. What it raises ends the search.
    def __init__(self, modem, settings, progress=None, idle=None):
        self.modem = modem
        self.baud = settings.baud  # that is wanted
        self.firmware = b""  # what the module tells of it
        self.remember = False  # the next join is to be stored in the module
        self.resumed = False  # it was not reset: it may be in its network already
        self.retries = settings.retries
        self.led = Led(settings.led, settings.led_on)
        self.pins = board.pins(settings.board)
        self.progress = progress
        self.idle = idle
        self.networks = _networks(settings.wifi)  # pairs of bytes
        # The module itself has the key of one of them, and no other may be stored over it.
        self.stored = WPS.encode() in [key for _, key in self.networks]

    def start(self, warm=False):
        # Everything from the reset on, or, `warm`, without one where the module proves sound. Links of before are dead
        # after this.
        self.prepare(warm)
        if warm:
            from pix.warm import returned

            if returned(self):
                return
        self.join()

    def prepare(self, warm=False):
        # The same up to a module that is ready to join a network.
        modem = self.modem
        self.led.light(False)
        modem.rebooted()
        try:
            self.remember = warm and not self.stored
            self.resumed = False
            if warm:
                from pix.warm import resume

                self.resumed = resume(self)
            if not self.resumed:
                self._find_at_rate()
                self.number_links()
        except PixError:
            self.led.blink()
            raise
        modem.numbered = True
        self.tell("modem", "ready at %d baud" % modem.baud)
        modem.lost = "wifi-lost"  # until joined

    def _find_at_rate(self):
        # Find the module and go to the wanted rate, or stay at its own.
        modem = self.modem
        self._find()
        wrong = baud.change(modem, self.baud, self.firmware) if self.baud != modem.baud else ""
        if wrong:
            self.tell("modem", "%s, staying at %d" % (wrong, BASE_BAUD))
            self._find()

    def recover(self):
        # Repair what `modem.lost` tells: wait for the network or join again, or start a restarted module anew.
        # Raises PixError when that fails.
        modem = self.modem
        self.led.light(False)
        if modem.lost == "wifi-lost":
            self.tell("wifi", "lost, waiting for it")
            try:
                self._searching(self._await_return)
                if modem.online:
                    self._address()
                elif modem.lost == "wifi-lost":
                    self.join()
                if not modem.lost:
                    return
            except PixError as error:
                if error.code not in ("no-modem", "modem-rebooted"):
                    modem.lost = "wifi-lost"
                    if error.code == "no-network":
                        # It was there a moment ago, so its going away is the news.
                        raise PixError("wifi-lost", error.detail)
                    raise
        self.tell("modem", "starting it again")
        try:
            self.start()
        except PixError as error:
            modem.lost = "wifi-lost" if error.code in _TELLING else "no-modem"
            raise

    def _await_return(self):
        # Wait until the module is back in its network by itself.
        modem = self.modem
        end = after(_RETURN_MS)
        while not modem.online and modem.lost == "wifi-lost" and left(end) > 0:
            modem.poll()
            if self.idle is not None:
                self.idle()

    def _searching(self, action):
        # Run `action`, a search for a network, with `idle` called in its pauses.
        self.modem.idle = self.idle
        try:
            action()
        finally:
            self.modem.idle = None

    def tell(self, stage, detail):
        # Tell the caller's `progress` a step, if there is one.
        if self.progress is not None:
            self.progress(stage, detail)

    # -- the module ---------------------------------------------------------------------------------------

    def _find(self):
        # Reset the module, find the rate at which it answers, and set what does not depend on the rate. Raises
        # PixError("no-modem").
        modem = self.modem
        self.tell("modem", "starting")
        modem.resetting = True
        modem.numbered = modem.ready = modem.strapped = False
        modem.open(BASE_BAUD)
        modem.tok.strict = False
        wait_ms = _READY_MS
        if not self._reset():
            baud.find(modem, self.baud, BASE_BAUD)
            modem.ready = False
            modem.exchange(b"AT+RST\r\n", 1000)
            modem.open(BASE_BAUD)
            wait_ms = _RESTART_MS
        end = after(wait_ms)
        while not modem.ready and left(end) > 0:
            modem.poll()
        baud.find(modem, BASE_BAUD, self.baud)
        modem.forget_links()
        modem.resetting = False
        self.set_up()

    def set_up(self, warm=False):
        # Set what does not depend on the rate, and learn what firmware it is. Raises PixError.
        modem = self.modem
        # The echo of ATE0 itself still comes; its OK ends it.
        if not modem.ask("E0"):
            raise PixError("no-modem", "it does not obey")
        self.firmware = modem.firmware()
        if not self.firmware:
            raise PixError("no-modem", "it does not tell its version")
        modem.version = version(self.firmware)
        if modem.version >= OTHER:
            raise PixError("modem-firmware", "AT %d.%d" % modem.version)
        mode = []
        # A mode that is set again may cost the network.
        if not ((warm or self.stored) and modem.ask("+CWMODE_CUR?", on_line=mode.append) and b"+CWMODE_CUR:1" in mode):
            if not modem.ask("+CWMODE_CUR=1"):
                modem.ask("+CWMODE=1")
        modem.ask("+SLEEP=0")
        if can(modem.version, "messages") and not modem.ask("+SYSMSG_CUR=0"):
            # Long notices instead of CONNECT may have been left on, in the module's flash. 1.6 has no other form.
            modem.ask("+SYSMSG=0")
        modem.passive = True if can(modem.version, "receive") and modem.ask("+CIPRECVMODE=1") else None
        self.tell("modem", "AT %d.%d at %d baud" % (modem.version + (modem.baud,)))

    def _reset(self):
        # Reset by the enable pin; False when the board has none. On M1W modules IO0 of the K210 is wired to a strap of
        # the module: high, it waits for an SDIO host and AT never starts (MaixPy-v1_scripts network_espat.py).
        pins = self.pins
        if pins.wifi_io0 is not None:
            board.output(pins.wifi_io0, "wifi_io0", 0)
        if pins.wifi_en is None:
            return False
        board.output(pins.wifi_en, "wifi_en", 0)
        utime.sleep_ms(_OFF_MS)
        board.output(pins.wifi_en, "wifi_en", 1)
        return True

    def number_links(self):
        # Five links instead of one. Refused while data mode is on or a link open, which data mode stored in the
        # module's flash brings with it after every reset: it is switched off there too.
        modem = self.modem
        if modem.ask("+CIPMUX=1"):
            return
        for command in ("+CIPMODE=0", "+SAVETRANSLINK=0", "+CIPCLOSE"):
            modem.ask(command)
        if modem.ask("+CIPMUX=1"):
            return
        # A connection that data mode is still opening cannot be closed, but nothing brings it back after a reset.
        self._find_at_rate()
        if not modem.ask("+CIPMUX=1"):
            raise PixError("no-modem", "it refuses CIPMUX=1")

    # -- the network --------------------------------------------------------------------------------------

    def join(self):
        # Join the first network of the settings that works, in `retries` more rounds if there is none. Raises PixError
        # with the most telling error of the last one.
        left = self.retries
        while True:
            try:
                self._searching(self._join_any)
                break
            except PixError as error:
                if error.code not in _TELLING or left <= 0:
                    self.led.blink()
                    raise
                self.tell("wifi", "trying again after: %s" % error.cause)
                left -= 1
        self.led.light(True)

    def _join_any(self):
        networks = self.networks
        if not networks:
            raise PixError("settings", "no Wi-Fi network is set")
        seen = self.scan() if len(networks) > 1 else []
        worst = None
        # Hidden networks are in no scan: those not seen are tried last.
        for visible in (True, False):
            for name, key in networks:
                if (name in seen) != visible:
                    continue
                self.tell("wifi", "joining %s" % name.decode())
                try:
                    self._join(name, key)
                    self.tell("wifi", "%s, address %s" % (name.decode(), self.modem.address))
                    return
                except PixError as error:
                    if error.code not in _TELLING:
                        raise
                    if worst is None or _TELLING.index(error.code) < _TELLING.index(worst.code):
                        worst = error
        raise worst

    def _join(self, name, key):
        if key == WPS.encode():
            from pix.warm import rejoin

            rejoin(self, name)
            return
        modem = self.modem
        modem.online = modem.dhcp_failed = modem.associated = False
        lines = []
        # The module's flash is written once in a start at most.
        verb = b"+CWJAP_DEF=" if self.remember else b"+CWJAP_CUR="
        self.remember = False
        command = verb + quoted(name) + b"," + quoted(key)
        if modem.command(command, _JOIN_MS, lines.append, tries=1) == b"OK":
            self._address(name)
            return
        code = "join-timeout"
        for line in lines:
            if line[:6] == b"+CWJAP":
                # +CWJAP:2 or +CWJAP_CUR:2: the module's station status (NONOS SDK user_interface.h).
                code = {b":2": "wrong-password", b":3": "no-network"}.get(line[-2:], "join-timeout")
        if modem.dhcp_failed or modem.associated:
            code = "no-address"
        elif code == "join-timeout" and name not in self.scan():
            code = "no-network"
        raise PixError(code, name.decode())

    def _address(self, name=b""):
        # Have the module tell its address, until it has one. Raises PixError("no-address").
        end = after(_ADDRESS_MS)
        while not self.has_address():
            if left(end) <= 0:
                raise PixError("no-address", name.decode())
            utime.sleep_ms(200)

    def has_address(self):
        # True when the module tells an address: it is online then.
        modem = self.modem
        lines = []
        if modem.ask("+CIPSTA_CUR?", on_line=lines.append):
            for line in lines:
                address = station_address(line)
                if address and address != "0.0.0.0":
                    modem.address = address
                    modem.online = True
                    modem.lost = ""
                    return True
        return False

    def scan(self):
        # Names (bytes) of the networks in the air.
        self.tell("wifi", "looking for networks")
        lines = []
        self.modem.command("+CWLAP", _SCAN_MS, lines.append)
        return [scanned_name(line) for line in lines]


def _networks(wifi):
    # The networks of the setting "wifi", names and keys as bytes. Raises PixError("settings").
    found = []
    for name, key in wifi:
        fault = network_fault(name, key)
        if fault:
            raise PixError("settings", fault)
        found.append((name.encode(), key.encode()))
    return found
