# One TCP link of the modem: read, write, close, and how many of the bytes read are proven.
#
# The module puts no checksum behind its data. That nothing was lost on the serial line shows only when the item behind
# a payload is well-formed, so `readinto` hands out data early and `trusted` tells how many bytes of it are proven.
# Whoever keeps the data cuts it back to `trusted` after an error, and calls `prove` before taking it for complete.
# One loss leaves no trace here: exactly whole items, or the same distance into two of them. Lengths and digests of
# the layers above tell those.
#
# Longer than 350 lines: reading and writing share the state of one link, and on the board each file costs heap.

from micropython import const

from pix import atline
from pix.atport import after, left
from pix.errors import PixError

# Two segments fill the module's TCP buffer of 2920 bytes, so one can be written while one is under way; two answers of
# that size fit its transmit ring of 3020, so one can be asked for while one comes. What does not fit is kept in its
# heap, or, without room there, dropped without a word (NONOS SDK 3.0.4, libat.a: uart_tx_buff_enq).
_SEGMENT = const(1460)
_LOOK_MS = const(500)  # silence after which a passive link is asked whether a notice was lost
_CHECK_MS = const(3000)  # silence after which the module is asked whether the link is still there
_ANSWER_MS = const(1500)
_SEND_MS = const(20000)  # SEND OK waits for the peer's acknowledgement, retransmissions included
_BUFFER = const(4096)
_CLIENT_BUFFER = const(9216)  # what may come of a client while another is sent a segment: twice the transmit ring


class Link:
    # Made by Modem.connect. `timeout_ms` bounds every wait for the peer's next byte. `error` is the code of what broke
    # the link, "" while it is sound; `delivered` counts bytes given out by `readinto`.
    def __init__(self, modem, number, pipelined=False):
        self._modem = modem
        self.number = number
        self.timeout_ms = 15000
        self.error = ""
        self.closed = False  # the module has no connection any more
        self.incoming = False  # a client of the module's own server
        self.deaf = False  # what comes and is not read at once is thrown away
        self.delivered = 0
        self.arrived = 0  # bytes taken from the line for this link
        self.proven = 0  # how many of them have a well-formed item behind them
        self._buffer = None  # keeps what comes while nobody reads
        self._start = 0
        self._end = 0
        self._closing = False
        # Passive mode.
        self.waiting = 0  # bytes in the module, as its notices tell
        self._got_data = False
        self._drained = False  # closed, and nothing is left in the module
        self._check_due = self._gave_way = False
        self._refusals = 0
        self._look_at = after(0)
        self._answer_by = 0
        # Pipelined sending.
        self._pipelined = pipelined
        self._eager = pipelined  # the module takes the next command as soon as it has the payload
        self._owed = 0  # bytes that were offered and whose confirmation was not read
        self._segments = []  # numbers of those written and not acknowledged: two at most

    @property
    def trusted(self):
        # How many of the delivered bytes are proven.
        return min(self.delivered, self.proven)

    @property
    def held(self):
        # Bytes that have come and were not read.
        return self._end - self._start

    # -- reading ------------------------------------------------------------------------------------------

    def readinto(self, mv):
        # Read at least one byte into the buffer `mv`; returns the count, 0 when the peer has closed in order and
        # everything was read. Raises PixError: bytes-lost, timeout, wifi-lost, link-lost, modem-rebooted, no-modem.
        modem = self._modem
        tok = modem.tok
        modem.check_ring()
        end = after(self.timeout_ms)
        check_at = after(_CHECK_MS)
        while True:
            if self._end > self._start:
                return self._from_buffer(mv)
            if self.error:
                raise PixError(self.error)
            if tok.remaining and modem.source is self:
                count = self._from_frame(mv)
                if count:
                    return count
            elif self.closed and (self._drained or not modem.passive):
                return 0
            else:
                if modem.passive:
                    self._look()
                modem.poll()
            if left(end) < 0:
                self.prove()
                raise PixError("timeout", "%d s" % (self.timeout_ms // 1000))
            if self._check_due or left(check_at) < 0:
                # Nothing has come for long: is the link still there? The module may also have restarted without a word.
                check_at = after(_CHECK_MS)
                self._check_due = False
                self._check()

    def take(self, mv):
        # Like `readinto`, without waiting: the count, 0 when nothing is here yet, -1 at the end. Raises PixError, too.
        modem = self._modem
        if self._end > self._start:
            return self._from_buffer(mv)
        if self.error:
            raise PixError(self.error)
        if modem.tok.remaining and modem.source is self:
            return self._from_frame(mv)
        if self.closed and (self._drained or not modem.passive):
            return -1
        if modem.passive:
            # Whoever has just been given something lets others have a turn.
            given = modem.asking is self and not modem.asked
            self._gave_way = given and not self._gave_way and modem.waits(self)
            if not self._gave_way:
                self._look()
        return 0

    def prove(self):
        # Make sure of every byte delivered so far: have the module say something behind them, and compare what it
        # tells about the link with what we saw. Raises PixError("bytes-lost") when they cannot be proven.
        if self.proven < self.delivered and not self.error:
            self._check()
        if self.proven < self.delivered:
            raise PixError(self.error or "bytes-lost")

    def _check(self):
        # Have the module say whether the link is open. When it is not and CLOSED never came, that may have been
        # swallowed as payload: then what the answer seems to prove is not proven.
        known = self.proven
        if self.number not in self._modem.open_links() and not self.closed:
            self.proven = known
            self.fail("bytes-lost" if known < self.arrived else "link-lost")

    def _from_frame(self, mv):
        modem = self._modem
        tok = modem.tok
        count = min(tok.remaining, len(mv))
        if modem.asked == 1 and (self.waiting or tok.length >= _SEGMENT) and not modem.waits(self):
            self._request()
        count = modem.uart.readinto(mv, count)
        if not count:
            modem.silence()
            return 0
        modem.arrived(self, count)
        self.delivered += count
        return count

    def _from_buffer(self, mv):
        count = min(len(mv), self._end - self._start)
        mv[:count] = memoryview(self._buffer)[self._start : self._start + count]
        self._start += count
        if self._start == self._end:
            self._start = self._end = 0
        self.delivered += count
        return count

    def store(self, stream, remaining):
        # Read up to `remaining` payload bytes from `stream` into the link's buffer, because nobody else takes them.
        if self._buffer is None:
            try:
                self._buffer = bytearray(_CLIENT_BUFFER if self.incoming else _BUFFER)
            except MemoryError:
                # This happens in the middle of a frame: the line stays in step, and only this link ends.
                self._buffer = bytearray(0)
                self.fail("no-memory")
        buf = self._buffer
        if self._start and self._end == len(buf):
            buf[: self._end - self._start] = buf[self._start : self._end]
            self._end -= self._start
            self._start = 0
        if self._closing or self._end == len(buf):
            if not self._closing:
                self.fail("bytes-lost")
            self._end = self._start
            return self._modem.throw_away(stream, remaining)
        count = stream.readinto(memoryview(buf)[self._end : self._end + remaining])
        if count:
            self._end += count
        return count

    # -- passive receiving --------------------------------------------------------------------------------

    def _look(self):
        # Ask for data when there is some, or when it is time to look whether there is.
        modem = self._modem
        if modem.asked:
            if left(self._answer_by) < 0 and modem.asking is self:
                self.fail("bytes-lost")
                modem.settle()
        elif self.waiting or left(self._look_at) <= 0:
            self._request()

    def _request(self):
        self._answer_by = after(_ANSWER_MS)
        self._look_at = after(_LOOK_MS)
        self._modem.request(self, _SEGMENT)

    def data_comes(self, count):
        # The header of an answer was read.
        self.waiting = max(0, self.waiting - count)
        self._got_data = True

    def answered(self, final):
        # A request is through.
        self._answer_by = after(_ANSWER_MS)
        if final == b"OK":
            if not self._got_data:
                self.waiting = 0
            elif self.closed:
                self._look_at = after(0)
            self._got_data = False
            self._refusals = 0
        elif final == b"ERROR":
            # Closed and empty, or a request that was damaged on its way, or the module has no memory just now.
            self._refusals += 1
            if self.closed and not self.waiting:
                self._drained = True
            elif self._refusals > 2:
                self.fail("bytes-lost")
            else:
                self._check_due = not self.closed
        else:
            self._look_at = after(20)

    # -- writing ------------------------------------------------------------------------------------------

    def write(self, data, fill=None, total=0):
        # Send all of `data` (bytes, bytearray or memoryview). With `fill`, send `total` bytes instead: `fill(mv)` puts
        # the next ones into `mv`, a part of `data`, while the module thinks. Without pipelining the peer has
        # acknowledged all then. Returns how many were sent. Raises PixError: send-failed, link-lost, wifi-lost,
        # modem-rebooted, no-modem, and what `fill` raises.
        view = memoryview(data)
        rest = total = total or len(view)
        at = 0
        # One segment at most: the module's Nagle would hold the rest back until a delayed acknowledgement.
        size = min(rest, _SEGMENT)
        piece = view[:size]
        asked = False
        if fill is not None:
            fill(piece)
        while size:
            if not asked:
                self._ask(size)
            self._modem.payload(piece)
            sent = size
            rest -= size
            size = min(rest, _SEGMENT)
            if fill is None:
                at += sent
                piece = view[at : at + size]
            elif size != sent:
                piece = view[:size]
            follow = self._follow_ahead if self._pipelined else self._follow
            asked = follow(sent, piece, fill if size else None)
        return total

    def ready(self):
        # True when the module would take another segment now.
        modem = self._modem
        segments = self._segments
        if self._owed and len(segments) > 1:
            # Compared as a whole, so that the confirmation behind it stays for the next command.
            done = b"\r\n%d,%d,SEND OK\r\n" % (self.number, segments[0])
            if modem.uart.any() and modem.expect(done):
                segments.pop(0)
        return modem.unsettled is None and len(segments) < 2

    def offer(self, data, fill=None):
        # Send `data`, up to 1460 bytes, while `ready`, without waiting for the peer; fill(data) fills it first. Raises
        # what `write` raises.
        modem = self._modem
        asked = False
        owed = self._owed
        if owed:
            modem.owing = None
            if self._segments:
                self._owed = 0
                asked = self._follow_ahead(owed, data, fill)
                fill = None
            else:
                self.confirm()
            if asked:
                self._own()
        if fill is not None:
            fill(data)
        if not asked:
            self._ask(len(data))
        modem.payload(data)
        if self._pipelined:
            self._owed = len(data)
            modem.owing = self
            return
        self._confirmed(len(data))
        if modem.sending:
            # The module obeys nobody until it has said SEND OK: whoever has a command for it waits for that.
            modem.unsettled = self

    def confirm(self):
        # Read what confirms the last offer, if that is still to come. Raises PixError only for a lost module.
        owed = self._owed
        self._owed = 0
        if owed:
            try:
                self._confirmed(owed)
            except PixError:
                if self._modem.lost:
                    raise

    @property
    def settled(self):
        # True when the peer has acknowledged everything that was offered.
        return not self._segments and self._modem.unsettled is not self and not self._owed

    def flush(self, timeout_ms=_SEND_MS):
        # Wait until the peer has acknowledged everything written. Raises PixError as `write` does.
        self._await_acks(0, timeout_ms)

    def _usable(self):
        if self.error or self.closed:
            raise PixError(self.error or "link-lost")

    def _failed(self):
        self._usable()
        self.fail("send-failed")
        self._modem.settle()
        raise PixError(self.error)

    def _command(self, size):
        return (b"+CIPSENDBUF=%d,%d" if self._pipelined else b"+CIPSEND=%d,%d") % (self.number, size)

    def _ask(self, size):
        # Have the module ask for `size` bytes.
        tries = 2
        while True:
            self._usable()
            if self._pipelined:
                self._await_acks(1, _SEND_MS)
            said = []
            final = self._modem.send(self._command(size), said.append)
            if final == b"OK":
                self._own()
                break
            tries -= 1
            if final != b"ERROR":
                self._failed()
            if self._segments and (b"BUFFER FULL" in said or b"QUEUE FULL" in said):
                self._await_acks(0, _SEND_MS)
            elif self._pipelined and not said and not self._segments:
                self._pipelined = False  # this firmware has no CIPSENDBUF
            elif not tries:
                # Not only the command was damaged.
                self._failed()
        if self._pipelined:
            self._sends(said)

    def _own(self):
        # The module wants a payload. Another client may have the number by now, which must not get what is ours.
        if self._modem.links[self.number] is not self:
            self._modem.cancel()
            raise PixError(self.error or "link-lost")

    def _follow(self, sent, piece, fill):
        # Have the payload of `sent` bytes confirmed and acknowledged, and the module ask for `piece`, which `fill`
        # fills meanwhile. True when it does ask.
        modem = self._modem
        if fill is not None:
            modem.meanwhile(fill, piece)
        if not modem.expect(b"\r\nRecv %d bytes\r\n\r\nSEND OK\r\n" % sent):
            self._confirmed(sent)
            if modem.wait_final(_SEND_MS) != b"SEND OK":
                self._failed()
        size = len(piece)
        return size and modem.send_quickly(self._command(size), b"\r\nOK\r\n> ") in (True, b"OK")

    def _follow_ahead(self, sent, piece, fill):
        # The same without waiting for the acknowledgement: the module confirms a payload as soon as it has all of it,
        # and is ready for the next command then, so that one goes out at the confirmation's first byte.
        modem = self._modem
        uart = modem.uart
        size = len(piece)
        segments = self._segments
        number = segments[-1]
        if len(segments) > 1:
            done = b"\r\n%d,%d,SEND OK\r\n" % (self.number, segments[0])
            if uart.any() == len(done) and modem.expect(done):
                segments.pop(0)
        confirmed = b"\r\nRecv %d bytes\r\n" % sent
        eager = size and self._eager and not self.error
        first = modem.begun(confirmed) if eager and len(segments) < 2 else b""
        while uart.any() and not (first or modem.received):
            modem.poll()
        if eager and len(segments) < 2 and not (first or modem.received or self.error):
            first = uart.read(1)
        if not first:
            self._confirmed(sent)
            if fill is not None:
                fill(piece)
            return False
        said = []
        expected = confirmed + b"%d,%d\r\n\r\nOK\r\n> " % (number + 1, number - 1)
        final = modem.send_quickly(self._command(size), expected, first, said.append, fill, piece)
        if final is True:
            segments.append(number + 1)
            return True
        self._confirmed(sent)
        if final == b"OK":
            self._sends(said)
            return True
        if modem.busy:
            self._eager = False
        elif final != b"ERROR" or not (b"BUFFER FULL" in said or b"QUEUE FULL" in said):
            self._failed()
        return False

    def _sends(self, said):
        # CIPSENDBUF tells `number,acknowledged` before its prompt: the number of the segment that follows.
        for line in said:
            segment = atline.number(line, 0, line.find(b","))
            if segment >= 0:
                self._segments.append(segment)
                return
        self._failed()

    def _confirmed(self, size):
        # The module confirms the payload as soon as it has all of it. If it does not, bytes were lost (it waits for
        # more) or doubled (it says busy).
        modem = self._modem
        end = after(_ANSWER_MS)
        while not modem.received and not modem.busy and left(end) > 0:
            modem.poll()
        if modem.received != size:
            self._failed()

    def segment_done(self, number, ok):
        # The module tells the fate of a pipelined segment.
        if not ok:
            self.fail("send-failed")
        while self._segments and self._segments[0] <= number:
            self._segments.pop(0)

    def _await_acks(self, most, timeout_ms):
        # Wait until at most `most` segments are not acknowledged.
        end = after(timeout_ms)
        while len(self._segments) > most:
            self._modem.poll()
            self._usable()
            if left(end) <= 0:
                self._failed()
        if self.error:
            raise PixError(self.error)

    # -- the end ------------------------------------------------------------------------------------------

    def peer_closed(self):
        # The module said CLOSED. Losing the network looks the same, but is no orderly end.
        self.closed = True
        self._look_at = after(0)
        if self._modem.lost and not self._closing:
            self.fail(self._modem.lost)

    def fail(self, code):
        # The link is broken; the first reason stays. Buffered bytes beyond the proven ones are not given out.
        if not self.error:
            self.error = code
            good = max(0, self.proven - self.delivered)
            self._end = min(self._end, self._start + good)

    def begin_anew(self):
        # Forget what came so far: it was another connection's, which had taken this number.
        self.closed = False
        self._start = self._end = self.waiting = 0
        self.proven = self.arrived

    def close(self, abort=False):
        # Close from this side; `abort`: the peer does not answer any more, so nothing of it is awaited, where the
        # module can do that (1.7). Never raises: a link of a dead modem is as closed as any.
        modem = self._modem
        if modem.links[self.number] is not self:
            return
        open_there = not self.closed
        try:
            if abort:
                if open_there and not modem.lost and modem.version >= (1, 7):
                    modem.command("+CIPCLOSEMODE=%d,1" % self.number, tries=1)
            elif open_there and self._segments and not self.error:
                self.flush()
            self._closing = True
            if open_there and not modem.lost:
                open_there = modem.command("+CIPCLOSE=%d" % self.number, tries=1, timeout_ms=6000) is None
        except PixError as error:
            self.fail(error.code)
        modem.release(self.number, open_there and not self.closed and modem.lost != "modem-rebooted")
