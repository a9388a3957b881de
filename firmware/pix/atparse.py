# The modem's output as events: a tokenizer without I/O, in fixed memory.
#
# What the module prints is a sequence of items: lines, the prompt, and headers with counted payload behind them. Each
# kind of item has its own leading CR LF (or none), and an item is never printed inside another (NONOS AT 1.7.6 binary,
# at_port.o and at_ipCmd.o). There is no checksum: that nothing was lost shows only in every item being well-formed,
# above all the one right behind a payload. In strict mode the tokenizer checks just that.
#
#     \r\n+IPD,<link>,<length>:<payload>    data of an active link, nothing behind the payload
#     \r\n+IPD,<link>,<total>\r\n           so much waits in the module (passive receiving)
#     \r\n+CIPRECVDATA,<length>:<payload>   the answer to a request for it
#     \r\nOK\r\n   3,CLOSED\r\n   > ...      lines, and the prompt
#
# CIPMUX=1 is assumed; AT 1.x only (2.x has another CIPRECVDATA).

from micropython import const

from pix.atline import link_and_count, number, unended, well_formed

NOTHING = const(0)
LINE = const(1)  # `line` (bytes) is complete, without its line end
PROMPT = const(2)
FRAME = const(3)  # `remaining` bytes of payload of link `link` follow
DATA = const(4)  # `remaining` bytes of payload that were asked for follow
WAITING = const(5)  # `length` bytes of link `link` wait in the module
DAMAGED = const(6)  # not an item: bytes were lost, doubled or changed before here

_LINE_BYTES = const(256)  # longest line kept; scan results have about 130 bytes, version lines 80
_SHORTEST_HEADER = const(9)  # bytes of +IPD,0,1:
_LONGEST_FRAME = const(8192)  # AT 1.x has at most 2920 (its TCP window), UDP at most 1472


class Tokenizer:
    # Feed it with `feed`; read payload yourself while `remaining` is not 0, and tell it by `took`.
    #
    # `strict`: items that are not well-formed give DAMAGED. Without it, unknown text is a line like any other (echo,
    # boot text, noise). `behind` is true until the first item behind a payload is complete; such an item is always
    # checked.
    def __init__(self):
        self._buf = bytearray(_LINE_BYTES)
        self.strict = False
        self.reset()

    def reset(self):
        # Forget everything half read: the next byte begins an item.
        self.event = NOTHING
        self.line = b""
        self.link = 0
        self.length = 0
        self.remaining = 0
        self.behind = False
        self._n = 0  # bytes of the present item in _buf, behind its leading CR LFs
        self._lead = 0  # leading CR LFs
        self._odd = False  # an overlong line or a line feed without return
        self._prompted = False
        self._unended = False  # the line before ended with the CR LF that is usual in front of the next one

    def partial(self):
        # True in the middle of an item. The module prints an item without a pause.
        return self.remaining > 0 or self._n > 0 or self._lead > 0

    def hint(self):
        # How many bytes may be fed without running into a payload: headers are completed byte by byte, so that
        # payload can be read straight to where it belongs.
        n = self._n
        if n == 0:
            return _SHORTEST_HEADER
        if self._buf[0] != 43:  # "+"
            return _SHORTEST_HEADER + 1  # a line feed may come first
        return max(1, _SHORTEST_HEADER - n)

    def took(self, count):
        # `count` bytes of payload have been read.
        self.remaining -= count
        self.behind = self.remaining == 0

    def feed(self, data, start, end):
        # Takes data[start:end] up to the first event, left in `event`; returns the index of the first byte not taken.
        buf = self._buf
        n = self._n
        i = start
        self.event = NOTHING
        while i < end:
            c = data[i]
            i += 1
            if self._prompted:
                self._prompted = False
                if c == 32:  # AT 1.x prints "> ", 2.x prints ">"
                    continue
            if c == 10:
                self._n = n
                self._end_of_line()
                n = self._n
                if self.event:
                    return i
            elif n == 0 and c == 62 and not (self._lead and self._checked()):  # ">"
                self._n = 0
                self._item(PROMPT)
                self._prompted = True
                return i
            elif n < _LINE_BYTES:
                buf[n] = c
                n += 1
                if c == 58 and buf[0] == 43:  # ":" in an item that began with "+"
                    self._n = n
                    if self._header():
                        return i
            else:
                self._odd = True
                if self._checked():
                    self._n = n
                    self._damaged()
                    return i
        self._n = n
        return i

    def _checked(self):
        return self.strict or self.behind

    def _item(self, event):
        # An item is complete: the next byte begins another one.
        self.event = event
        self.behind = False
        self._n = 0
        self._lead = 0
        self._odd = False
        self._unended = False

    def _damaged(self):
        self._item(DAMAGED)

    def _end_of_line(self):
        buf = self._buf
        n = self._n
        returns = 0
        while n > 0 and buf[n - 1] == 13:
            n -= 1
            returns += 1
        if n == 0:
            # An empty line: the front of the next item, or the tail of an old echo.
            self._n = 0
            self._lead += 1
            if self._checked() and (returns != 1 or self._lead > 1):
                self._damaged()
            return
        line = bytes(memoryview(buf)[:n])
        if self._checked():
            # Some SDKs print the time with a line feed of its own.
            if (returns != 1 and line[:13] != b"+CIPSNTPTIME:") or self._odd or not self._fits(line):
                self._damaged()
                return
        led = self._lead > 0
        self._item(LINE)
        self._unended = unended(line)
        self.line = line
        if led and line[:5] == b"+IPD,":
            link, length = link_and_count(line, 5, n)
            if link >= 0:
                self.event = WAITING
                self.link = link
                self.length = length

    def _fits(self, line):
        return well_formed(line, self._lead) or (self._unended and not self._lead and line == b"OK")

    def _header(self):
        # A colon was stored: is that the end of a frame's header? True when an event is there.
        buf = self._buf
        n = self._n
        if n >= 9 and buf[1] == 73:  # +I
            head = bytes(memoryview(buf)[:n])
            if head[:5] != b"+IPD,":
                return False
            link, length = link_and_count(head, 5, n - 1)
            return self._payload(FRAME, link, length)
        if n >= 15 and buf[1] == 67 and buf[4] == 82:  # +C..R
            head = bytes(memoryview(buf)[:n])
            if head[:13] != b"+CIPRECVDATA,":
                return False
            return self._payload(DATA, 0, number(head, 13, n - 1))
        return False

    def _payload(self, event, link, length):
        if link < 0 or not 0 < length <= _LONGEST_FRAME or (self._checked() and self._lead != 1):
            if self._checked():
                self._damaged()
                return True
            return False
        self._item(event)
        self.link = link
        self.length = length
        self.remaining = length
        return True
