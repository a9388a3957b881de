# One UART with an ESP8285 behind it: who gets which byte, commands and their final lines, and getting back in step.
#
# One reader owns the UART. Everything that comes goes through the tokenizer, so no notice and no payload is lost while
# a command waits for its answer; nothing is ever flushed while the line is sound. Payload is read from the UART
# straight into the buffer of whoever reads the link. All waiting happens in C, inside `readinto`, a character timeout
# at a time.
#
# Longer than 350 lines: whatever comes on the UART changes the one state that is kept here, in the order in which it
# comes, and on the board each file costs heap.

import gc

import uio
import utime
from micropython import const

import pix
from pix import atparse
from pix.errors import PixError

SMALL_RING = const(8192)  # receive ring while nothing but answers and two requests of 2048 bytes can come
LARGE_RING = pix.RING  # while the module sends whenever it likes
BASE_BAUD = const(115200)  # what the module speaks after any reset, unless another rate was stored
LINKS = const(5)
CLOSE_MS = const(6000)
ANSWER_MS = const(1500)  # for commands that the module answers at once

_RX = const(64)
_GAP_MS = const(200)  # a pause inside an item: the module prints items without any, so bytes were lost
_BUSY_MS = const(20000)  # the longest that an earlier command (a join, a connect) can keep the module busy

# The UART whose interrupt is in use. It must outlive whoever made it: the receive interrupt writes into the object
# until another one takes over (MaixPy-v1 machine_uart.c), also after an app has failed and its modem is garbage.
_serving = None

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
    global _serving
    if _serving is not None:
        _serving.deinit()  # frees the object and its ring: once only
        _serving = None


class AtPort:
    # `open_uart(baud, ring)` gives a machine.UART; a new one for every rate. Its character timeout should be about
    # 10 ms.
    def __init__(self, open_uart):
        self._open_uart = open_uart
        self.uart = None
        self.baud = 0
        self.ring = 0
        self.tok = atparse.Tokenizer()
        self._rx = bytearray(_RX)
        self.links = [None] * LINKS
        self._stale = [False] * LINKS  # links that the module may have open and nobody owns
        self.source = None  # the link whose payload is being read
        self._last = None  # the link whose payload waits for a well-formed item behind it
        self.asking = None  # the link that has requested data (passive mode)
        self.asked = 0  # its requests without an answer
        self.received = 0  # payload bytes that the module has last confirmed to have taken
        self.passive = False
        self.generation = 0  # counts restarts of the module
        self.damages = 0  # counts what was no item
        self.numbered = False  # CIPMUX=1 has been set
        self.resetting = False  # a restart is intended: `ready` is no news
        self.ready = False  # `ready` was seen since this was cleared
        self.strapped = False  # the boot ROM's complaint was seen since this was cleared
        self.online = False  # joined and with an address, as far as the notices tell
        self.associated = False  # WIFI CONNECTED was seen since this was cleared
        self.dhcp_failed = False  # DHCP TIMEOUT likewise
        self.lost = ""  # code of what makes connecting pointless until the trouble is repaired
        self.idle = None  # called while an answer is awaited and the line is quiet; see pix.wifi.Station
        self._noise = False
        self._gap_end = None
        self._final = None
        self._busy = False
        self._prompt = False
        self._on_line = None

    def open(self, baud, ring=SMALL_RING):
        # Talk at `baud` from now on. The old UART must live until the new one has taken over the interrupt, so two
        # large rings are never made one after the other.
        if self.ring > SMALL_RING and ring > SMALL_RING:
            self.open(baud, SMALL_RING)
        global _serving
        if ring > SMALL_RING:
            pix.hand_over(pix.RING)
            gc.collect()
        while True:
            try:
                self.uart = _serving = self._open_uart(baud, ring)
                break
            except MemoryError:
                # The heap is in pieces: a smaller ring loses bytes sooner, which is noticed.
                if ring <= SMALL_RING:
                    raise PixError("no-memory", "receive ring of the modem")
                ring //= 2
        self.baud = baud
        self.ring = ring
        self.tok.reset()
        self._gap_end = None

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
        self._take(rx, count)
        return True

    def _take(self, data, count):
        # Hand on the first `count` bytes of `data`, which came from the UART.
        self._gap_end = None
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
                self._damaged()
            else:
                self.tok.reset()

    def arrived(self, link, count):
        # `count` bytes of payload have been read for `link` (None: thrown away).
        self._gap_end = None
        self.tok.took(count)
        if link is not None and not link.error:
            link.arrived += count
            if not self.tok.remaining:
                self._last = link

    def check_ring(self):
        # How many bytes wait. A full ring has dropped some, silently, behind the last one that waits: nothing can be
        # proven any more.
        count = self.uart.any()
        if count >= self.ring:
            self._last = None
            for link in self.links:
                if link is not None:
                    link.fail("bytes-lost")
            self._noise = True
        return count

    def _stray(self, stream):
        # Payload of a link that nobody reads just now; returns how many bytes of it `stream` gave.
        link = self.source
        if link is None or link.error:
            count = stream.readinto(memoryview(self._rx)[: self.tok.remaining])
        else:
            count = link.store(stream, self.tok.remaining)
        if count:
            self.arrived(link, count)
        return count

    def _handle(self, tok):
        event = tok.event
        if event == atparse.DAMAGED:
            self._damaged()
            return
        last = self._last
        if last is not None:
            self._last = None
            if not last.error:
                last.proven = last.arrived
        if event == atparse.LINE:
            self._line(tok.line)
        elif event == atparse.FRAME:
            self.source = self.links[tok.link]
        elif event == atparse.DATA:
            self.source = self.asking if self.asked else None
            if self.source is not None:
                self.source.data_comes(tok.length)
        elif event == atparse.WAITING:
            if self.links[tok.link] is not None:
                self.links[tok.link].waiting = tok.length
        elif event == atparse.PROMPT:
            self._prompt = True

    def _line(self, line):
        if line in _FINALS:
            if self.asked:
                self._answered(line)
            else:
                self._final = line
        elif line == b"busy p..." or line == b"busy s...":
            self._busy = True
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
            if not self.resetting and not self.lost:
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
            self.received = int(line.split(b" ")[1])
        elif line[1:2] == b"," and 48 <= line[0] < 48 + LINKS and self._link_line(line[0] - 48, line[2:]):
            pass
        elif self._on_line is not None:
            self._on_line(line)

    def _link_line(self, number, text):
        link = self.links[number]
        if text == b"CLOSED":
            self._stale[number] = False
            if link is not None:
                link.peer_closed()
        elif text == b"CONNECT":
            self._stale[number] = link is None
        elif text[-8:] == b",SEND OK" or text[-10:] == b",SEND FAIL":
            if link is not None:
                link.segment_done(int(text.split(b",")[0]), text[-2:] == b"OK")
        else:
            return False
        return True

    def _answered(self, final):
        # One request for data is through.
        self.asked -= 1
        self.asking.answered(final)

    # -- trouble ------------------------------------------------------------------------------------------

    def _damaged(self):
        # Something else than an item came.
        self._suspect()
        self.tok.reset()
        self._noise = True
        self.damages += 1

    def _suspect(self):
        # Bytes may be missing here. In active mode that may be whole frames of any link, in passive mode only of the
        # link that has asked for data: the rest is safe in the module.
        for link in self.links:
            if link is not None and (not self.passive or link is self._last or (self.asked and link is self.asking)):
                link.fail("bytes-lost")
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
        self.asked = 0
        self._last = None
        self._noise = False
        for number in range(LINKS):
            self._stale[number] = False
            if self.links[number] is not None:
                self.links[number].fail(self.lost or "modem-rebooted")

    def release(self, number, open_there):
        # Nobody owns link `number` any more; `open_there`: the module may still have it open.
        self.links[number] = None
        self._stale[number] = open_there
        self.watch_links()

    def watch_links(self):
        # With a link open every item must be well-formed; without one, noise does no harm.
        self.tok.strict = self.links != [None] * LINKS

    def close_stale(self):
        # Close the links that nobody owns, and those that have failed.
        for number in range(LINKS):
            link = self.links[number]
            if self._stale[number] or (link is not None and link.error and not link.closed):
                self.exchange(b"AT+CIPCLOSE=%d\r\n" % number, CLOSE_MS)
                self._stale[number] = False
                if link is not None:
                    link.closed = True

    def settle(self):
        # Get back in step after noise, a lost answer or a payload that the module still waits for: let everything be
        # said, leave the payload state, then have AT answered. Raises PixError("modem-rebooted") or ("no-modem").
        self._suspect()
        self._noise = False
        self.tok.strict = False
        busy_end = after(_BUSY_MS)
        # What is on its way belongs to nobody. The module holds at most 6 kB of it (transmit ring and TCP window).
        end = after(100 + 60000000 // self.baud)
        while left(end) > 0 and self.uart.readinto(self._rx):
            pass
        self.tok.reset()
        utime.sleep_ms(30)
        self.uart.write(b"+++")
        self._pause(40)
        self.uart.write(b"\r\n")
        self._pause(40)
        misses = 0
        while self.exchange(b"AT\r\n", 500) != b"OK":
            misses += 0 if self._busy else 1
            if misses > 3 or left(busy_end) < 0:
                self._diagnose()
            self._pause(50)
        self._noise = False
        if self.numbered:
            # Is CIPMUX off? So it is after a restart whose `ready` was lost in the noise.
            said = []
            self.exchange(b"AT+CIPMUX?\r\n", ANSWER_MS, said.append)
            if b"+CIPMUX:0" in said:
                self.rebooted()
                raise PixError(self.lost)
        self.close_stale()
        self.watch_links()

    def _diagnose(self):
        # The module does not answer. After a restart it does, at the base rate.
        self.lost = "no-modem"
        if self.baud != BASE_BAUD:
            self.open(BASE_BAUD)
            self.resetting = True
            for _ in range(3):
                self.uart.write(b"\r\n")
                self._pause(30)
                if self.exchange(b"AT\r\n", 300) == b"OK":
                    self.generation += 1
                    self.lost = "modem-rebooted"
                    break
            self.resetting = False
        self.forget_links()
        raise PixError(self.lost)

    def _pause(self, ms):
        # Take in what comes for `ms`.
        end = after(ms)
        while left(end) > 0:
            self.poll()

    # -- commands -----------------------------------------------------------------------------------------

    def exchange(self, text, timeout_ms, on_line=None):
        # Write a whole command and wait for its final line; None when there is none in time or the module is busy.
        self._final = None
        self._busy = False
        self._prompt = False
        self._on_line = on_line
        self.uart.write(text)
        try:
            return self.wait_final(timeout_ms)
        finally:
            self._on_line = None

    def wait_final(self, timeout_ms):
        # The next final line, or None after `timeout_ms` or at `busy`. Raises PixError when the module restarted.
        end = after(timeout_ms)
        generation = self.generation
        damages = self.damages
        while self._final is None and not self._busy:
            if not self.poll() and self.idle is not None:
                end = utime.ticks_add(end, self._idled())
            if self.generation != generation:
                raise PixError("modem-rebooted")
            if self.damages != damages:
                # What was damaged may have been the final line.
                damages = self.damages
                if left(end) > ANSWER_MS:
                    end = after(ANSWER_MS)
            if left(end) <= 0:
                return None
        final = self._final
        self._final = None
        return final

    def _idled(self):
        # Give `idle` its turn; returns the milliseconds it took, which no answer's time is charged with: what came
        # meanwhile waits in the ring.
        began = utime.ticks_ms()
        self.idle()
        return utime.ticks_diff(utime.ticks_ms(), began)

    def command(self, text, timeout_ms=ANSWER_MS, on_line=None, tries=2):
        # Run AT`text` (str or bytes) and return its final line, such as b"OK", b"ERROR" or b"FAIL"; None when there
        # is none after `tries` times `timeout_ms`. Lines before it go to `on_line`. Waits while the module is busy
        # with something else. Raises PixError("no-modem") or ("modem-rebooted").
        whole = b"AT" + (text.encode() if isinstance(text, str) else text) + b"\r\n"
        self.drain()
        busy_end = after(_BUSY_MS)
        while True:
            final = self.exchange(whole, timeout_ms, on_line)
            if final is not None:
                return final
            if self._busy:
                if left(busy_end) <= 0:
                    self._noise = True
                    raise PixError("no-modem", "it is busy for ever")
                # The final line of whatever it is busy with must not pass for ours.
                self._busy = False
                self.wait_final(100)
                continue
            self._noise = True
            tries -= 1
            if tries <= 0:
                return None
            self.settle()

    def ask(self, text, timeout_ms=ANSWER_MS, on_line=None):
        # Like `command`, for commands that may be repeated: one that was damaged on its way gives ERROR, so an ERROR
        # is asked a second time. Returns True for OK.
        for _ in range(2):
            final = self.command(text, timeout_ms, on_line)
            if final == b"OK":
                return True
            if final is None:
                break
        return False

    def drain(self):
        # Wait until no request for data is open; what was requested goes to its link's buffer.
        end = after(2 * ANSWER_MS)
        while self.asked or self.tok.remaining:
            self.poll()
            if left(end) <= 0:
                self._damaged()
        if self._noise:
            self.settle()

    def request(self, link, count):
        # Ask for up to `count` bytes of `link` (passive mode); the answer comes through `poll`.
        if self._noise:
            self.settle()
        self.asking = link
        self.asked += 1
        self.uart.write(b"AT+CIPRECVDATA=%d,%d\r\n" % (link.number, count))
