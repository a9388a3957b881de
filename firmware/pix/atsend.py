# Sending through the modem: the command, its prompt, the payload. What is usual is compared as a whole, because the
# tokenizer needs more time for a byte than the line at 1 Mbaud.

from micropython import const

from pix.atport import ANSWER_MS, AtPort, after, left

_PROMPT_MS = const(2000)


class AtSend(AtPort):
    def send(self, command, on_line=None):
        # Run the send command AT`command` up to its prompt: b"OK", and `payload` must follow. Else the final line that
        # refused it, or None when there was none.
        return self._prompted(self.command(command, 5000, on_line, tries=1))

    def _prompted(self, final):
        if final != b"OK":
            return final
        end = after(_PROMPT_MS)
        while not self._prompt:
            self.poll()
            if left(end) <= 0:
                self._noise = True
                return None
        return final

    def send_quickly(self, command, expected, first=b"", on_line=None, fill=None, piece=None):
        # Like `send` when nothing else goes on: calls `fill(piece)` while the module thinks, and saves the tokenizer's
        # time when just `expected`, which ends with the prompt, comes; it returns True then. `first`: what was read of
        # that already.
        self._final = None
        self._busy = False
        self._prompt = False
        self.uart.write(b"AT" + command + b"\r\n")
        if fill is not None:
            self.meanwhile(fill, piece)
        self._on_line = on_line
        try:
            if self.expect(expected, first):
                return True
            return self._prompted(self.wait_final(ANSWER_MS))
        finally:
            self._on_line = None

    def expect(self, text, first=b""):
        # True when exactly `text` comes, `first` included; anything else goes the usual way. Does not wait longer than
        # a character timeout for each byte.
        if not (self.tok.partial() or self.tok.behind):
            first += self.uart.read(len(text) - len(first)) or b""
            if first == text:
                return True
        self._take(first, len(first))
        return False

    def payload(self, data):
        # What the module asked for.
        self._final = None
        self._busy = False
        self.received = 0
        self.uart.write(data)

    def meanwhile(self, fill, piece):
        # Call `fill(piece)` in the middle of a send: should it fail, get back in step before the next command.
        try:
            fill(piece)
        except:
            self._noise = True
            raise

    @property
    def refused(self):
        # True when the module said `busy` to what was written last.
        return self._busy
