# A UDP port of the modem that anybody may write to (AT+CIPSTART with "UDP", mode 2): answers go to whoever wrote last.
#
# Datagrams come unasked, in passive receiving too (NONOS AT 1.7.6 binary). That two senders may cross is what a
# question that is asked again mends; who must not be mixed up should not use this.

from micropython import const

from pix.atcmd import CLOSE_MS
from pix.atline import LINKS
from pix.errors import PixError

_MOST = const(512)  # bytes of a datagram that are kept; longer ones are thrown away
_QUEUE = const(3)
_SENT_MS = const(2000)  # SEND OK comes as soon as the module's stack has it


class Port:
    # Port `number` of `modem` (a pix.espat.Modem). Takes a link as long as it is open. Raises PixError "no-modem" when
    # the module refuses.
    def __init__(self, modem, number):
        self.error = ""
        self.closed = False
        self.incoming = self.deaf = False
        self.waiting = None  # passive receiving is of TCP
        self.arrived = self.proven = self.delivered = 0
        self._modem = modem
        self._queue = []
        self._data = bytearray(_MOST)
        self._fill = 0
        self._left = 0  # bytes of the present datagram still to come
        self._keep = True
        # The highest number, as nobody else has a link when a port is opened: clients get the lowest.
        self.number = LINKS - 1
        modem.links[self.number] = self
        modem.watch_links()
        if not modem.ask('+CIPSTART=%d,"UDP","0.0.0.0",%d,%d,2' % (self.number, number, number)):
            modem.release(self.number, True)
            raise PixError("no-modem", "it opens no port %d" % number)

    def take(self):
        # The oldest datagram that waits, as bytes, or None.
        return self._queue.pop(0) if self._queue else None

    def send(self, data):
        # Send one datagram to whoever wrote last. One that the module does not take is lost, as datagrams are.
        modem = self._modem
        if modem.send(b"+CIPSEND=%d,%d" % (self.number, len(data))) == b"OK":
            modem.payload(data)
            modem.wait_final(_SENT_MS)

    def close(self):
        # Give the link back. Never raises.
        modem = self._modem
        if modem.links[self.number] is not self:
            return
        still = not self.closed
        try:
            if still and not modem.lost:
                still = modem.command("+CIPCLOSE=%d" % self.number, CLOSE_MS, tries=1) is None
        except PixError as error:
            self.fail(error.code)
        modem.release(self.number, still and not modem.lost)

    # -- what the modem calls -----------------------------------------------------------------------------

    def store(self, stream, remaining):
        # Up to `remaining` bytes of a datagram come from `stream`.
        if not self._left:
            self._left = remaining
            self._fill = 0
            self._keep = remaining <= _MOST and len(self._queue) < _QUEUE
        if self._keep:
            count = stream.readinto(memoryview(self._data)[self._fill : self._fill + remaining])
        else:
            count = self._modem.throw_away(stream, remaining)
        if count:
            self._fill += count
            self._left -= count
            if not self._left and self._keep:
                self._queue.append(bytes(memoryview(self._data)[: self._fill]))
        return count

    def peer_closed(self):
        # The module said CLOSED.
        self.closed = True

    def fail(self, code):
        # Bytes were lost: so is the datagram that they belong to, and no more. After anything else the port is dead.
        self._left = 0
        if code != "bytes-lost" and not self.error:
            self.error = code
