# The ESP8285 modem: names, links, and what state the module is in. AT firmware 1.1 to 1.7 (NONOS), CIPMUX=1.
#
#     modem = wifi.bring_up(settings)
#     link = modem.connect("host", 80)
#     link.write(b"...")
#     count = link.readinto(buffer)     # 0: the peer closed in order
#     link.close()

import utime
from micropython import const

from pix.atcmd import CLOSE_MS, AtCommands
from pix.atline import LINKS, address, open_link, signal_of
from pix.atlink import Link
from pix.atport import after, left
from pix.errors import PixError

_CONNECT_MS = const(20000)
_DNS_MS = const(16000)  # two servers, 7 s each
_DNS_KEEP_MS = const(300000)
_DNS_NAMES = const(4)
_SYN_MS = const(2500)  # a refusal comes within a round trip; an unanswered SYN takes at least 3 s to fail
_CLOSED_MS = const(100)
_CLIENT_S = const(60)  # after which the module itself closes a client that is silent: longer than anybody here waits


def quoted(text):
    # `text` (str or bytes) as a string argument: backslash and quote escaped. Raises PixError("settings") for control
    # characters, which AT strings cannot hold (NONOS AT 1.7.6 binary, at_data_str_copy).
    out = bytearray(b'"')
    for c in text.encode() if isinstance(text, str) else text:
        if c < 32:
            raise PixError("settings", "a name or key holds a control character")
        if c == 34 or c == 92:
            out.append(92)
        out.append(c)
    out.append(34)
    return bytes(out)


class Modem(AtCommands):
    # `connect` is what pix.fetch and pix.upload call. `repair`, set by pix.wifi, mends what `lost` tells; when
    # `repairs_itself` is true, `connect` calls it.
    def __init__(self, open_uart):
        super().__init__(open_uart)
        self.version = (0, 0)
        self.address = ""  # of the module in its network
        self.repair = None
        self.repairs_itself = False
        self.make_room = None  # called when a link is needed and clients have them all; closes one of theirs
        self._names = []  # [host, address, when]

    def connect(self, host, port, timeout_ms=_CONNECT_MS, pipelined=False):
        # Open a TCP link to `host` (name or IPv4 address). `pipelined`: send with CIPSENDBUF, for uploads. Raises
        # PixError: dns-failed, refused, connect-timeout, bytes-lost, wifi-lost, no-modem, modem-rebooted.
        self.awake()
        there = self.resolve(host, timeout_ms)
        self._fit()
        link = Link(self, self._free(), pipelined)
        self.links[link.number] = link
        self.watch_links()
        open_there = True
        try:
            refusal = self._start(link, there, port, timeout_ms)
            open_there = not refusal
            if refusal and not link.error:
                self._names = [entry for entry in self._names if entry[1] != there]
                raise PixError(refusal, "%s:%d" % (host, port))
            if link.error:
                raise PixError(link.error)
        except PixError as error:
            self.release(link.number, open_there and not link.closed)
            if error.code == "bytes-lost":
                self.settle()  # raises what noise at this point mostly is: a module that restarts
            raise
        return link

    def awake(self):
        # Make sure that the module answers and has a network, repairing it once where `repairs_itself` allows that.
        # Raises PixError.
        for repaired in (not self.repairs_itself, True):
            if not self.lost:
                try:
                    if self.ask(""):
                        return
                    self.lost = "no-modem"
                except PixError:
                    if not self.lost:
                        raise
            if repaired:
                raise PixError(self.lost)
            self.repair()

    def _start(self, link, there, port, timeout_ms):
        # Connect to `there`, an address or a name. Returns "" when that is done or `link` tells an error, else the code
        # of what the module says. Raises PixError when it says nothing.
        began = utime.ticks_ms()
        start = b'+CIPSTART=%d,"TCP",%s,%d' % (link.number, quoted(there), port)
        for _ in range(2):
            reasons = []
            final = self.command(start, timeout_ms, reasons.append, tries=1)
            if final == b"OK" or link.error:
                return ""
            if final is None:
                raise PixError("connect-timeout", "%s:%d" % (there, port))
            if b"no ip" in reasons:
                self.online = False
                self.lost = "wifi-lost"
                return self.lost
            if b"DNS Fail" in reasons:
                return "dns-failed"
            if b"ALREADY CONNECTED" in reasons:
                self.command("+CIPCLOSE=%d" % link.number, CLOSE_MS)
                link.begin_anew()
                continue
            # A peer's refusal is ERROR and then `n,CLOSED`, which must not fall to the next link of that number. ERROR
            # alone means that the command was damaged on its way.
            end = after(_CLOSED_MS)
            while not link.closed and left(end) > 0:
                self.poll()
            if link.closed:
                break
        return "refused" if utime.ticks_diff(utime.ticks_ms(), began) < _SYN_MS else "connect-timeout"

    def _free(self):
        # A free link number, the highest first: clients of the module's own server get the lowest.
        for attempt in range(2):
            for number in range(LINKS - 1, -1, -1):
                if self.links[number] is None and not self.stale[number]:
                    return number
            if not attempt:
                self.drain()
                self.close_stale()
                if self.make_room is not None:
                    self.make_room()
        raise PixError("internal", "all %d links are open" % LINKS)

    def resolve(self, host, timeout_ms=_DNS_MS):
        # The IPv4 address of `host`, asked by CIPDOMAIN: CIPSTART with a name can hang for ever in AT 1.7.3
        # (ESP8266_NONOS_SDK issue 314). A few names are kept for five minutes. Where there is no such command, `host`
        # itself. Raises PixError: dns-failed, and bytes-lost when the answer was damaged.
        if address(host):
            return host
        now = utime.ticks_ms()
        self._names = [e for e in self._names if utime.ticks_diff(now, e[2]) < _DNS_KEEP_MS]
        for entry in self._names:
            if entry[0] == host:
                return entry[1]
        lines = []
        damages = self.damages
        for _ in range(2):
            final = self.command(b"+CIPDOMAIN=" + quoted(host), min(timeout_ms, _DNS_MS), lines.append, tries=1)
            if final != b"ERROR" or lines:
                break
        else:
            # A bare ERROR twice: this firmware does not know the command, and CIPSTART must ask.
            return host
        if final is None and self.damages != damages:
            raise PixError("bytes-lost")
        if final != b"OK":
            raise PixError("dns-failed", host)
        for line in lines:
            there = address(line[11:]) if line[:11] == b"+CIPDOMAIN:" else ""
            if there:
                self._names = self._names[1 - _DNS_NAMES :] + [[host, there, now]]
                return there
        raise PixError("bytes-lost")

    def open_links(self):
        # Numbers of the links that the module says are open. Raises PixError.
        lines = []
        if not self.ask("+CIPSTATUS", on_line=lines.append):
            raise PixError("no-modem", "it does not tell its links")
        return [open_link(line) for line in lines if open_link(line) >= 0]

    def listen(self, port, on_client, clients=LINKS):
        # Open the module's own server at `port`; `on_client(link)` gets the Link of each client, from inside of `poll`:
        # it may only take note of it. Up to `clients` at a time, where the module can limit them (1.6). After a restart
        # of the module (`generation`) nobody listens any more. Raises PixError.
        def accept(number):
            link = self.links[number] = Link(self, number, pipelined=True)
            link.incoming = True
            self.stale[number] = False
            self.watch_links()
            on_client(link)

        self.awake()
        self._receive(True)
        start = "+CIPSERVER=1,%d" % port
        if self.version >= (1, 6):
            self.ask("+CIPSERVERMAXCONN=%d" % clients)
        self.on_client = accept
        for _ in range(2):
            said = []
            if not self.ask(start, on_line=said.append):
                break
            if b"no change" not in said:
                self.ask("+CIPSTO=%d" % _CLIENT_S)
                return
            # A server of before, perhaps at another port.
            self.ask("+CIPSERVER=0", CLOSE_MS)
        self.on_client = None
        raise PixError("no-modem", "it opens no server")

    def unlisten(self):
        # Close the server and its clients. Raises PixError.
        self.on_client = self.make_room = None
        self.ask("+CIPSERVER=0", CLOSE_MS)

    def announce(self, name, port):
        # Have the module answer for <name>.local (MDNS; in the NONOS SDK since 2.0.0). True when it can do that.
        return self.ask(b"+MDNS=1," + quoted(name) + b',"http",%d' % port)

    def signal(self):
        # Strength of the network in dBm, negative; 0 when the module does not tell.
        lines = []
        try:
            self.ask("+CWJAP?", on_line=lines.append)
        except PixError:
            return 0
        for line in lines:
            strength = signal_of(line)
            if strength:
                return strength
        return 0

    def firmware(self):
        # What GMR tells of the firmware, line by line, as bytes; b"" when it does not.
        lines = []
        if not self.ask("+GMR", on_line=lines.append):
            return b""
        text = b""
        for line in lines:
            if line[:1] != b"\x00":
                text += line + b"\n"
        return text
