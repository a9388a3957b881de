# Commands to the module: their final lines, the payload that some of them ask for, and getting back in step.
#
# What is usual while sending is compared as a whole, because the tokenizer needs more time for a byte than the line at
# 1 Mbaud.

import utime
from micropython import const

from pix.atline import LINKS
from pix.atport import BASE_BAUD, AtPort, after, left
from pix.errors import PixError

CLOSE_MS = const(6000)
ANSWER_MS = const(1500)  # for commands that the module answers at once

_BUSY_MS = const(20000)  # the longest that an earlier command (a join, a connect) can keep the module busy
_PROMPT_MS = const(2000)


class AtCommands(AtPort):
    # Commands and their answers on an AtPort; pix.espat.Modem adds names and links that programs ask for.
    def exchange(self, text, timeout_ms, on_line=None):
        # Write a whole command and wait for its final line; None when there is none in time or the module is busy.
        self._begin()
        self.on_line = on_line
        self.uart.write(text)
        try:
            return self.wait_final(timeout_ms)
        finally:
            self.on_line = None

    def _begin(self):
        # A new command goes out: nothing that was said before counts.
        self.final = None
        self.busy = self.prompt = self.sending = False

    def wait_final(self, timeout_ms):
        # The next final line, or None after `timeout_ms` or at `busy`. Raises PixError when the module restarted.
        end = after(timeout_ms)
        generation = self.generation
        damages = self.damages
        while self.final is None and not self.busy:
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
        final = self.final
        self.final = None
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
            if self.busy:
                if left(busy_end) <= 0:
                    self.noise = True
                    raise PixError("no-modem", "it is busy for ever")
                # The final line of whatever it is busy with must not pass for ours.
                self.busy = False
                self.wait_final(100)
                continue
            self.noise = True
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
        # Wait until no request for data is open; what was requested goes to its link's buffer. What was offered must be
        # settled, too.
        self._collect()
        end = after(_BUSY_MS)
        while self.unsettled is not None and left(end) > 0:
            self.poll()
        end = after(2 * ANSWER_MS)
        while self.asked or self.tok.remaining:
            self.poll()
            if left(end) <= 0:
                self.damaged()
        if self.noise:
            self.settle()

    def _collect(self):
        # Read the confirmation that the last payload's link has left.
        link = self.owing
        if link is not None:
            self.owing = None
            link.confirm()

    def _fit(self):
        # Before a link is opened: have the module hand on at once what comes (active), which fills the line, where the
        # ring has room for what comes in the longest pause of ours. Where it has not, or clients of the own server are
        # served meanwhile, have it kept until it is asked for (passive), which loses nothing. Raises PixError.
        #
        # A pause counts less from link to link, and a loss as much as four full rings: active receiving is tried again
        # after some 25 links.
        room_ms = self.ring * 10000 // self.baud
        self._receive(self.on_client is not None or self._pause_ms * 5 >= room_ms * 4)
        self._pause_ms -= self._pause_ms + 15 >> 4

    def _receive(self, passive):
        # Only while there is no link: AT 1.7.4 takes the choice at any time, but then what waits stays where it is
        # until more comes, a frame that was announced before tells more than CIPRECVDATA has left of it, and a close
        # drops what was kept (NONOS SDK 3.0.4, libat.a: at_setupCmdCipRecvMode, read_data_from_espconn,
        # at_tcpclient_discon_cb).
        if self.passive in (None, passive) or self.links != [None] * LINKS or True in self.stale:
            return
        if not self.ask("+CIPRECVMODE=%d" % passive):
            raise PixError("no-modem", "it refuses CIPRECVMODE")
        self.passive = passive

    def request(self, link, count):
        # Ask for up to `count` bytes of `link` (passive mode); the answer comes through `poll`.
        self._collect()
        if self.noise:
            self.settle()
        self.asking = link
        self.asked += 1
        self.uart.write(b"AT+CIPRECVDATA=%d,%d\r\n" % (link.number, count))

    # -- sending -----------------------------------------------------------------------------------------

    def send(self, command, on_line=None):
        # Run the send command AT`command` up to its prompt: b"OK", and `payload` must follow. Else the final line that
        # refused it, or None when there was none.
        self.prompting = True
        try:
            return self._prompted(self.command(command, 5000, on_line, tries=1))
        finally:
            self.prompting = False

    def _prompted(self, final):
        if final != b"OK":
            return final
        end = after(_PROMPT_MS)
        while not self.prompt:
            self.poll()
            if left(end) <= 0:
                self.noise = True
                return None
        return final

    def send_quickly(self, command, expected, first=b"", on_line=None, fill=None, piece=None):
        # Like `send` when nothing else goes on: calls `fill(piece)` while the module thinks, and saves the tokenizer's
        # time when just `expected`, which ends with the prompt, comes; it returns True then. `first`: what was read of
        # that already.
        self._begin()
        self.uart.write(b"AT" + command + b"\r\n")
        if fill is not None:
            self.meanwhile(fill, piece)
        self.on_line = on_line
        self.prompting = True
        try:
            if self.expect(expected, first):
                return True
            return self._prompted(self.wait_final(ANSWER_MS))
        finally:
            self.on_line = None
            self.prompting = False

    def expect(self, text, first=b""):
        # True when exactly `text` comes, `first` included; anything else goes the usual way. Does not wait longer than
        # a character timeout for each byte.
        if not (self.tok.partial() or self.tok.behind):
            first += self.uart.read(len(text) - len(first)) or b""
            if first == text:
                return True
        self.take(first, len(first))
        return False

    def begun(self, text):
        # What has come so far of `text`, all that has come being the beginning of it; else b"", and it goes the usual
        # way.
        count = self.uart.any()
        if self.tok.partial() or self.tok.behind or not 0 < count <= len(text):
            return b""
        first = self.uart.read(count)
        if text.startswith(first):
            return first
        self.take(first, len(first))
        return b""

    def payload(self, data):
        # What the module asked for.
        self._begin()
        self.sending = True
        self.received = 0
        self.uart.write(data)

    def cancel(self):
        # The module has asked for a payload that it shall not get after all.
        self._begin()
        self.sending = True
        utime.sleep_ms(30)
        self.uart.write(b"+++")
        self.pause(40)
        if self.final != b"SEND Canceled":
            self.noise = True

    def meanwhile(self, fill, piece):
        # Call `fill(piece)` in the middle of a send: should it fail, get back in step before the next command.
        try:
            fill(piece)
        except:
            self.noise = True
            raise

    # -- getting back in step ------------------------------------------------------------------------------

    def close_stale(self):
        # Close the links that nobody owns, and those that have failed.
        for number in range(LINKS):
            link = self.links[number]
            if self.stale[number] or (link is not None and link.error and not link.closed):
                self.exchange(b"AT+CIPCLOSE=%d\r\n" % number, CLOSE_MS)
                self.stale[number] = False
                if link is not None:
                    link.closed = True

    def settle(self):
        # Get back in step after noise, a lost answer or a payload that the module still waits for: let everything be
        # said, leave the payload state, then have AT answered. Raises PixError("modem-rebooted") or ("no-modem").
        self.suspect()
        for link in (self.unsettled, self.owing):
            if link is not None:
                link.fail("send-failed")
        self.unsettled = self.owing = None
        self.noise = False
        self.tok.strict = False
        busy_end = after(_BUSY_MS)
        # What is on its way belongs to nobody. The module holds at most 6 kB of it (transmit ring and TCP window).
        end = after(100 + 60000000 // self.baud)
        while left(end) > 0 and self.uart.readinto(self._rx):
            pass
        self.tok.reset()
        utime.sleep_ms(30)
        self.uart.write(b"+++")
        self.pause(40)
        self.uart.write(b"\r\n")
        self.pause(40)
        misses = 0
        while self.exchange(b"AT\r\n", 500) != b"OK":
            misses += 0 if self.busy else 1
            if misses > 3 or left(busy_end) < 0:
                self._diagnose()
            self.pause(50)
        self.noise = False
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
                self.pause(30)
                if self.exchange(b"AT\r\n", 300) == b"OK":
                    self.generation += 1
                    self.lost = "modem-rebooted"
                    break
            self.resetting = False
        self.forget_links()
        raise PixError(self.lost)

    def pause(self, ms):
        # Take in what comes for `ms`.
        end = after(ms)
        while left(end) > 0:
            self.poll()
