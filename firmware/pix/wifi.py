# From a board without power at its modem to a network with an address, and back there after trouble.
#
#     modem = wifi.bring_up(settings, progress)
#
# `settings` has `wifi` (a list of [name, key]), `baud` and `board`. Keys go to the module only: no message, error or
# log line ever has one.

import utime
from micropython import const

from pix import board
from pix.atport import BASE_BAUD, LARGE_RING, after, left
from pix.errors import PixError
from pix.espat import Modem, quoted

# Rates that are tried when the module does not answer at the usual ones.
_RATES = (921600, 460800, 230400, 1000000, 2000000, 9600, 57600, 74880)

_OFF_MS = const(50)  # EN low for so long is a reset (MaixPy-v1_scripts network_espat.py)
_READY_MS = const(1500)  # `ready` comes about 0.4 s after EN; a module with another stored rate stays silent
_RESTART_MS = const(3000)
_HELLO_MS = const(150)
_JOIN_MS = const(20000)  # AT 1.x tells a failure after 14 or 15 s
_SCAN_MS = const(12000)
_ADDRESS_MS = const(6000)
_RETURN_MS = const(10000)  # how long the module may take to come back to a lost network by itself
_TIMEOUT_CHAR_MS = const(10)

# The most telling of several networks' errors comes first.
_TELLING = ("wrong-password", "no-address", "join-timeout", "no-network")


def bring_up(settings, progress=None, recover=True, idle=None):
    # Reset the modem, raise its rate and join the first network that works. Returns the Modem. `progress(stage,
    # detail)` is told every step. `recover`: connect() repairs a restarted modem or a lost network by itself. `idle()`
    # is called while a network is looked for, see Station.
    # Raises PixError: settings, no-modem, no-network, wrong-password, no-address, join-timeout.
    station = Station(settings, progress, idle)
    station.start()
    station.modem.repair = station.recover
    station.modem.repairs_itself = recover
    return station.modem


def watch(modem):
    # Take in notices that have come. True while the network is there; see `modem.lost` for the reason when not.
    while modem.poll():
        pass
    return modem.online and not modem.lost


class Station:
    # One board's Wi-Fi. `modem` stays the same object over restarts of the module. Raises PixError("settings"); limits:
    # NONOS AT 1.7.6 binary.
    #
    # `progress(stage, detail)`, both str, is told every step. `idle()` is called while a network is looked for, joined
    # or waited for (which may take half a minute), at start and in `recover`, whenever nothing has come for a character
    # timeout (10 ms). Only short notices can come then, so it may take a second or two; no answer's time is charged
    # with that. It must not use the modem. What it raises ends the search.
    def __init__(self, settings, progress=None, idle=None):
        self.modem = Modem(self._open_uart)
        self.baud = settings.baud
        self.pins = board.pins(settings.board)
        self.progress = progress
        self.idle = idle
        self.networks = []  # pairs of bytes
        for name, key in settings.wifi:
            if not 0 < len(name.encode()) <= 32:
                raise PixError("settings", "a Wi-Fi name must have 1 to 32 bytes")
            if len(key.encode()) > 64:
                raise PixError("settings", "the key of %s is longer than 64 bytes" % name)
            self.networks.append((name.encode(), key.encode()))

    def start(self):
        # Everything from the reset on. Links of before are dead after this.
        modem = self.modem
        modem.rebooted()
        self._find()
        if self.baud != modem.baud and not self._raise():
            self.tell("modem", "no answer at %d baud, staying at %d" % (self.baud, BASE_BAUD))
            self._find()
        # The rate is settled: make room for what may come at it, and number the links.
        if not modem.passive:
            modem.open(modem.baud, LARGE_RING)
        if not modem.ask("+CIPMUX=1"):
            raise PixError("no-modem", "it refuses CIPMUX=1")
        modem.numbered = True
        self.tell("modem", "ready at %d baud" % modem.baud)
        modem.lost = ""
        self.join()

    def recover(self):
        # Repair what `modem.lost` tells: wait for the network or join again, or start a restarted module anew.
        # Raises PixError when that fails.
        modem = self.modem
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
        if self.progress is not None:
            self.progress(stage, detail)

    # -- the module ---------------------------------------------------------------------------------------

    def _open_uart(self, baud, ring):
        from fpioa_manager import fm
        from machine import UART

        fm.register(self.pins.wifi_rx, fm.fpioa.UART2_TX)
        fm.register(self.pins.wifi_tx, fm.fpioa.UART2_RX)
        return UART(UART.UART2, baud, 8, None, 1, timeout=1000, timeout_char=_TIMEOUT_CHAR_MS, read_buf_len=ring)

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
            self._probe(self.baud, BASE_BAUD)
            modem.ready = False
            modem.exchange(b"AT+RST\r\n", 1000)
            modem.open(BASE_BAUD)
            wait_ms = _RESTART_MS
        end = after(wait_ms)
        while not modem.ready and left(end) > 0:
            modem.poll()
        self._probe(BASE_BAUD, self.baud)
        modem.forget_links()
        modem.resetting = False
        # The echo of ATE0 itself still comes; its OK ends it.
        if not modem.ask("E0"):
            raise PixError("no-modem", "it does not obey")
        self.version = self._version(modem.ask)
        if not self.version:
            raise PixError("no-modem", "it does not tell its version")
        # (1, 7) from b"AT version:1.7.4.0(...)..."; (0, 0) for firmware that tells none.
        at = self.version.find(b"AT version:")
        numbers = self.version[at + 11 :].split(b".")
        modem.version = (0, 0)
        if at >= 0 and len(numbers) > 1 and numbers[0].isdigit() and numbers[1].isdigit():
            modem.version = int(numbers[0]), int(numbers[1])
        if not modem.ask("+CWMODE_CUR=1"):
            modem.ask("+CWMODE=1")
        modem.ask("+SLEEP=0")
        # Passive receiving came with 1.7; older ones answer ERROR.
        modem.passive = modem.version >= (1, 7) and modem.ask("+CIPRECVMODE=1")
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

    def _probe(self, *likely):
        # Find the rate at which the module answers; the likely ones first.
        modem = self.modem
        for baud in likely + _RATES:
            if modem.baud != baud:
                modem.open(baud)
            for _ in range(3):
                # Noise of other rates makes the first answer an ERROR.
                if modem.exchange(b"AT\r\n", _HELLO_MS) == b"OK":
                    return
        raise PixError("no-modem", "its IO0 strap is high" if modem.strapped else "")

    def _version(self, run):
        # What the module tells of its version, by its method `run`; b"" when it does not.
        lines = []
        if run("+GMR", on_line=lines.append) not in (True, b"OK"):
            return b""
        text = b""
        for line in lines:
            if line[:1] != b"\x00":
                text += line + b"\n"
        return text

    def _raise(self):
        # Change to the wanted rate and try it; False when the module is not understood there.
        modem = self.modem
        if not modem.ask("+UART_CUR=%d,8,1,0,0" % self.baud):
            return False
        utime.sleep_ms(30)
        modem.open(self.baud)
        modem.resetting = True
        try:
            for _ in range(3):
                if modem.exchange(b"AT\r\n", 300) != b"OK":
                    return False
            return self._version(modem.command) == self.version
        except PixError:
            return False
        finally:
            modem.resetting = False

    # -- the network --------------------------------------------------------------------------------------

    def join(self):
        # Join the first network of the settings that works. Raises PixError with the most telling error of all.
        self._searching(self._join_any)

    def _join_any(self):
        networks = self.networks
        if not networks:
            raise PixError("settings", "no Wi-Fi network is set")
        seen = self._scan() if len(networks) > 1 else []
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
        modem = self.modem
        modem.online = modem.dhcp_failed = modem.associated = False
        lines = []
        command = b"+CWJAP_CUR=" + quoted(name) + b"," + quoted(key)
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
        elif code == "join-timeout" and name not in self._scan():
            code = "no-network"
        raise PixError(code, name.decode())

    def _address(self, name=b""):
        # Have the module tell its address, until it has one. Raises PixError("no-address").
        modem = self.modem
        end = after(_ADDRESS_MS)
        while True:
            lines = []
            address = b"0.0.0.0"
            if modem.ask("+CIPSTA_CUR?", on_line=lines.append):
                for line in lines:
                    at = line.find(b':ip:"')
                    if at > 0:
                        address = line[at + 5 : -1]
            if address != b"0.0.0.0":
                modem.address = address.decode()
                modem.online = True
                modem.lost = ""
                return
            if left(end) <= 0:
                raise PixError("no-address", name.decode())
            utime.sleep_ms(200)

    def _scan(self):
        # Names (bytes) of the networks in the air.
        self.tell("wifi", "looking for networks")
        lines = []
        self.modem.command("+CWLAP", _SCAN_MS, lines.append)
        return [scanned_name(line) for line in lines]


def scanned_name(line):
    # The network's name in a line +CWLAP:(ecn,"name",rssi,"mac",...), b"" when it is none. The name is printed raw, so
    # it is what stands between the first quote and the last one that fits.
    if line[:8] != b"+CWLAP:(":
        return b""
    first = line.find(b',"')
    mac = line.rfind(b',"')
    end = line.rfind(b'",', 0, mac)
    if not 0 < first < end:
        return b""
    return line[first + 2 : end]
