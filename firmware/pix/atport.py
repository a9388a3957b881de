# One UART with an ESP8285 behind it: who gets which byte, and what state the module is in, as far as it tells.
#
# One reader owns the UART. Everything that comes goes through the tokenizer, so no notice and no payload is lost while
# a command (pix.atcmd) waits for its answer; nothing is ever flushed while the line is sound. Payload is read from
# the UART straight into the buffer of whoever reads the link. All waiting happens in C, inside `readinto`, a character
# timeout at a time.
#
# Longer than 350 lines: whatever the module says changes the same state, and on the board each file costs heap.

import gc

import uio
import utime
from micropython import const

import pix
from pix import atline, atparse
from pix.atline import LINKS
from pix.errors import PixError

BASE_BAUD = const(115200)  # what the module speaks after any reset, unless another rate was stored

_RX = const(64)
_GAP_MS = const(200)  # a pause inside an item: the module prints items without any, so bytes were lost
_SMALLEST_RING = const(8192)  # two answers with a segment each (passive receiving), and notices, must fit

# The UART and the size of its ring, made once and kept over all modems of a run: the receive interrupt writes into
# them, also after an app has failed and its modem is garbage, and a ring that was given back might never be had again
# in one piece.
_uart = None
_ring = 0

_FINALS = (b"OK", b"ERROR", b"FAIL", b"SEND OK", b"SEND FAIL", b"SEND Canceled")


def after(ms):
    # The tick of the clock `ms` from now.
    return utime.ticks_add(utime.ticks_ms(), ms)


def left(end):
    # Milliseconds until the tick `end`.
    return utime.ticks_diff(end, utime.ticks_ms())


def hang_up():
    # Stop receiving, before the board may be soft reset: that gives the heap away, and the receive interrupt would go
    # on writing into the ring that was there (MaixPy-v1 machine_uart.c). Every AtPort is dead afterwards.
    global _uart
    if _uart is not None:
        _uart.deinit()  # frees the object and its ring: once only
        _uart = None
        pix.set_aside(pix.RING)


class AtPort:
    # `open_uart(uart, baud, ring)` gives a machine.UART at `baud` with a receive ring of `ring` bytes: a new one when
    # `uart` is None, else `uart` itself, set anew by its `init`. Its character timeout should be about 10 ms.
    def __init__(self, open_uart):
        self._open_uart = open_uart
        self.uart = None
        self.baud = 0
        self.ring = 0
        self.tok = atparse.Tokenizer()
        self._rx = bytearray(_RX)
        self.links = [None] * LINKS
        self.stale = [False] * LINKS  # links that the module may have open and nobody owns
        self.source = None  # the link whose payload is being read
        self._last = None  # the link whose payload waits for a well-formed item behind it
        self.asking = None  # the link that has requested data (passive mode)
        self.asked = 0  # its requests without an answer
        self.received = 0  # payload bytes that the module has last confirmed to have taken
        self.passive = None  # True: what comes for TCP links waits in the module until it is asked for; None: it cannot
        self._pause_ms = 0  # the longest lately between two looks at the ring: see pix.atcmd
        self._read_at = None  # the tick of the last read of a payload
        self.generation = 0  # counts restarts of the module
        self.damages = 0  # counts what was no item
        self.numbered = False  # CIPMUX=1 has been set
        self.resetting = False  # a restart is intended: `ready` is no news
        self.ready = False  # `ready` was seen since this was cleared
        self.strapped = False  # the boot ROM's complaint was seen since this was cleared
        self.online = False  # joined and with an address, as far as the notices tell
        self.associated = False  # WIFI CONNECTED was seen since this was cleared
        self.dhcp_failed = False  # DHCP TIMEOUT likewise
        self.heard = False  # anything came since this was cleared
        self.lost = ""  # code of what makes connecting pointless until the trouble is repaired
        self.own = False  # the module's own network is what counts: that it loses another one is no trouble
        self.on_client = None  # while the module's own server is open: called with the number of each new link
        self.unsettled = None  # the link whose SEND OK nobody waits for
        self.owing = None  # the link whose payload's confirmation was not read
        self.idle = None  # called while an answer is awaited and the line is quiet; see pix.station.Station
        self.noise = False  # out of step: commands settle first
        self.prompting = False  # a command goes on to whose answer a prompt belongs
        self.final = None  # the final line that came last
        self.busy = False  # the module said `busy` to what was written last
        self.prompt = False  # it has asked for a payload
        self.sending = False  # a payload was written and the next command was not: its SEND OK is awaited
        self.on_line = None  # gets the lines that come before the final one
        self._gap_end = None

    def open(self, baud):
        # Talk at `baud` from now on. What has come before is lost. Raises PixError("no-memory").
        #
        # `init` frees the ring and takes one of the same size at once, when nobody else can have taken its place
        # (MaixPy-v1 machine_uart.c); of another size it would not be sure to get one.
        global _uart, _ring
        if _uart is None:
            _uart, _ring = self._first(baud)
        else:
            self._open_uart(_uart, baud, _ring)
        self.uart = _uart
        self.ring = _ring
        self.baud = baud
        self.tok.reset()
        self._gap_end = None

    def _first(self, baud):
        # The UART with the largest ring that the heap has room for, and the ring's size.
        pix.hand_over(pix.RING)
        gc.collect()
        ring = pix.RING
        while True:
            try:
                return self._open_uart(None, baud, ring), ring
            except MemoryError:
                # The heap is in pieces: a smaller ring loses bytes sooner, which is noticed.
                ring //= 2
                if ring < _SMALLEST_RING:
                    raise PixError("no-memory", "receive ring of the modem")

    # -- taking in what comes -----------------------------------------------------------------------------

    def poll(self):
        # Take in what has come, waiting up to one character timeout for it. False: nothing came.
        tok = self.tok
        uart = self.uart
        if tok.remaining:
            if self._stray(uart):
                return True
            self.silence()
            return False
        rx = self._rx
        count = uart.readinto(rx, max(1, min(self.check_ring(), tok.hint())))
        if not count:
            self.silence()
            return False
        self.take(rx, count)
        return True

    def take(self, data, count):
        # Hand on the first `count` bytes of `data`, which came from the UART.
        self._gap_end = None
        self.heard = True
        tok = self.tok
        i = 0
        while i < count:
            if tok.remaining:
                # `expect` has read into a payload.
                i += self._stray(uio.BytesIO(data[i:count]))
                continue
            i = tok.feed(data, i, count)
            if tok.event:
                self._handle(tok)

    def silence(self):
        # Nothing came for a character timeout. In the middle of an item that may not last.
        if self._gap_end is None:
            self._gap_end = after(_GAP_MS)
        elif self.tok.partial() and left(self._gap_end) < 0:
            self._gap_end = None
            if self.tok.strict:
                self.damaged()
            else:
                self.tok.reset()

    def arrived(self, link, count):
        # `count` bytes of payload have been read for `link` (None: thrown away).
        self._gap_end = None
        self._read_at = utime.ticks_ms()
        self.tok.took(count)
        if link is not None and not link.error:
            link.arrived += count
            if not self.tok.remaining:
                self._last = link

    def check_ring(self):
        # How many bytes wait. A full ring has dropped some, silently, behind the last one that waits: nothing can be
        # proven any more.
        count = self.uart.any()
        if self._read_at is not None:
            self._pause_ms = max(self._pause_ms, utime.ticks_diff(utime.ticks_ms(), self._read_at))
            self._read_at = None
        if count >= self.ring:
            self._last = None
            for link in self.links:
                if link is not None:
                    link.fail("bytes-lost")
            self._beware()
            self.noise = True
        return count

    def _beware(self):
        # Bytes may be lost. In active receiving that counts as a pause four times as long as the ring lasts.
        if not self.passive and self.tok.strict:
            self._pause_ms = self.ring * 40000 // self.baud

    def waits(self, link):
        # True when the module keeps bytes of another link than `link`, whose turn it is then.
        for other in self.links:
            if other is not None and other is not link and other.waiting:
                return True
        return False

    def _stray(self, stream):
        # Payload of a link that nobody reads just now; returns how many bytes of it `stream` gave.
        link = self.source
        if link is None or link.error or link.deaf:
            count = self.throw_away(stream, self.tok.remaining)
        else:
            count = link.store(stream, self.tok.remaining)
        if count:
            self.arrived(link, count)
        return count

    def throw_away(self, stream, most):
        # Read up to `most` bytes that nobody wants; returns how many.
        return stream.readinto(memoryview(self._rx)[:most])

    def _handle(self, tok):
        event = tok.event
        last = self._last
        if event == atparse.DAMAGED or (event == atparse.PROMPT and last is not None and not self.prompting):
            # A prompt that nobody waits for is a ">" which a doubled byte has pushed out of the payload.
            self.damaged()
            return
        if last is not None:
            self._last = None
            if not last.error:
                last.proven = last.arrived
        if event == atparse.LINE:
            self._line(tok.line)
        elif event == atparse.FRAME:
            self.source = self.links[tok.link]
            if self.passive and self.source is not None and self.source.waiting is not None:
                self.passive = False  # whatever was set
            if self.source is None and not self.stale[tok.link]:
                # No such link is open: it is another one's payload, and its number was damaged. Or it is a client whose
                # CONNECT was: `settle` closes that.
                self.stale[tok.link] = self.on_client is not None
                self.suspect()
                self.noise = True
                self.damages += 1
        elif event == atparse.DATA:
            self.source = self.asking if self.asked else None
            if self.source is not None:
                self.source.data_comes(tok.length)
        elif event == atparse.WAITING:
            self.passive = None if self.passive is None else True
            if self.links[tok.link] is not None:
                self.links[tok.link].waiting = tok.length
        elif event == atparse.PROMPT:
            self.prompt = True

    def _line(self, line):
        if line in _FINALS:
            self._ended(line)
        elif line == b"busy p..." or line == b"busy s...":
            self.busy = True
            if self.asked:
                self._answered(line)
        elif line == b"WIFI GOT IP":
            self.online = True
            if self.lost == "wifi-lost":
                self.lost = ""
        elif line == b"WIFI CONNECTED":
            self.associated = True
        elif line == b"WIFI DISCONNECT":
            self.online = False
            if not self.resetting and not self.lost and not self.own:
                self.lost = "wifi-lost"
        elif line == b"DHCP TIMEOUT":
            self.dhcp_failed = True
        elif line == b"ready":
            self.ready = True
            if not self.resetting:
                self.rebooted()
        elif line == b"waiting for host":
            self.strapped = True
        elif line[:5] == b"Recv ":
            self.received = max(0, atline.number(line, 5, line.find(b" ", 5)))
        elif line[1:2] == b"," and 48 <= line[0] < 48 + LINKS and self._link_line(line[0] - 48, line[2:]):
            pass
        elif self.on_line is not None:
            self.on_line(line)

    def _link_line(self, number, text):
        link = self.links[number]
        if text == b"CLOSED" or text == b"CONNECT FAIL":  # the latter also of clients that vanished
            self.stale[number] = False
            if link is not None:
                link.peer_closed()
        elif text == b"CONNECT":
            if self.on_client is not None and (link is None or link.incoming):
                if link is not None:
                    link.fail("link-lost")  # its CLOSED was lost
                self.on_client(number)
            else:
                self.stale[number] = link is None
        elif text[-8:] == b",SEND OK" or text[-10:] == b",SEND FAIL":
            if link is not None:
                link.segment_done(atline.number(text, 0, text.find(b",")), text[-2:] == b"OK")
        else:
            return False
        return True

    def _ended(self, final):
        # A final line. SEND OK and SEND FAIL belong to a payload and to nothing else: AT 1.5 to 1.7 often say SEND OK
        # some time after SEND FAIL, for the same one (ESP8266_NONOS_SDK issue 60).
        if final[:5] == b"SEND ":
            if not self.sending:
                return
            self.sending = False
            if self.unsettled is not None:
                if final != b"SEND OK":
                    self.unsettled.fail("send-failed")
                self.unsettled = None
                return
        if self.asked:
            self._answered(final)
        else:
            self.final = final

    def _answered(self, final):
        # One request for data is through.
        self.asked -= 1
        self.asking.answered(final)

    # -- trouble ------------------------------------------------------------------------------------------

    def damaged(self):
        # Something else than an item came.
        self.suspect()
        self.tok.reset()
        self.noise = True
        self.damages += 1

    def suspect(self):
        # Bytes may be missing here. In active mode that may be whole frames of any link, in passive mode only of the
        # link that has asked for data: the rest is safe in the module.
        for link in self.links:
            if link is not None and (not self.passive or link is self._last or (self.asked and link is self.asking)):
                link.fail("bytes-lost")
        self._beware()
        self._last = None
        self.asked = 0

    def rebooted(self):
        # The module has restarted: whatever was set or open is gone.
        self.generation += 1
        self.lost = "modem-rebooted"
        self.forget_links()

    def forget_links(self):
        # The module has no link any more, and no network.
        self.online = False
        self.on_client = self.unsettled = self.owing = None
        self.asked = 0
        self._last = None
        self.noise = False
        for number in range(LINKS):
            self.stale[number] = False
            if self.links[number] is not None:
                self.links[number].fail(self.lost or "modem-rebooted")

    def release(self, number, open_there):
        # Nobody owns link `number` any more; `open_there`: the module may still have it open.
        self.links[number] = None
        self.stale[number] = open_there
        self.watch_links()

    def watch_links(self):
        # With a link open every item must be well-formed; without one, noise does no harm.
        self.tok.strict = self.links != [None] * LINKS
        self._read_at = None
