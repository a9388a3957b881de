# The bytes of an HTTP/1.1 response, parsed without any I/O (RFC 9112).
#
# The parser eats everything but the body: status line, fields, chunk sizes, trailers. While `run` is not 0 the next
# bytes on the link are body bytes, which go straight from the link to wherever they are wanted.

from micropython import const

from pix.errors import PixError

_MAX_LINE = const(2048)  # bytes of one line
_MAX_HEAD = const(8192)  # bytes of all lines of a head, and of all trailers
_MAX_FIELDS = const(64)
_MAX_INTERIM = const(20)  # 1xx responses before the real one
_MAX_DIGITS = const(18)  # of a length: more than any disk holds, and still a small int
_UNTIL_CLOSE = const(0x3FFFFFFF)  # `run` of a body that ends with the connection

_STATUS = const(0)
_FIELDS = const(1)
_BODY = const(2)
_SIZE = const(3)
_CHUNK = const(4)
_CHUNK_END = const(5)
_TRAILERS = const(6)
_CLOSE = const(7)
_DONE = const(8)


class Parser:
    # One response to a request of `method`. `status` is 0 until the head of the final response is complete, then
    # `status`, `reason` (bytes), `fields` (list of lower-case name and value, bytes) and `length` (of the body in
    # bytes, None when the server did not tell) hold. Every method raises PixError "bad-response" for what RFC 9112
    # forbids, and for a head beyond the limits above.
    def __init__(self, method="GET"):
        self._head_only = method == "HEAD"
        self._line = b""
        self._spent = 0
        self._interim = 0
        self._state = _STATUS
        self._code = 0
        self._old = False  # HTTP/1.0
        self._started = False
        self.status = 0
        self.reason = b""
        self.fields = []
        self._into = self.fields
        self.length = None
        self.run = 0  # how many bytes of body come next, at most; 0 when the parser is to be fed

    @property
    def done(self):
        # True when the response is complete.
        return self._state == _DONE

    def feed(self, data, at=0):
        # Take in `data` (bytes) from index `at` until the body, the end of the response or the end of the data.
        # Returns the index of the first byte not taken.
        while self.run == 0 and self._state != _DONE and at < len(data):
            self._started = True
            end = data.find(b"\n", at)
            stop = end + 1 if end >= 0 else len(data)
            self._spent += stop - at
            if len(self._line) + stop - at > _MAX_LINE:
                raise _bad("a line is longer than %d bytes" % _MAX_LINE)
            if self._spent > _MAX_HEAD:
                raise _bad("the head is longer than %d bytes" % _MAX_HEAD)
            self._line += data[at:stop]
            at = stop
            if end >= 0:
                line = self._line
                self._line = b""
                self._take(line)
            elif self._state == _CHUNK_END and len(self._line) >= 2:
                raise _bad("a chunk is longer than it tells")
        return at

    def took(self, count):
        # `count` bytes of body (up to `run`) were taken from the link.
        if self._state == _CLOSE:
            return
        self.run -= count
        if self.run == 0:
            self._state = _DONE if self._state == _BODY else _CHUNK_END

    def end(self):
        # The link ended. Raises PixError "truncated" unless the response was complete or ends just so.
        if self._state == _CLOSE:
            self.run = 0
            self._state = _DONE
        elif not self._started:
            raise PixError("link-lost", "closed without an answer")
        elif self._state != _DONE:
            if self._state == _BODY:
                raise PixError("truncated", "%d of %d bytes are missing" % (self.run, self.length))
            raise PixError("truncated", "the link closed too early")

    def field(self, name):
        # The value of the field `name` (lower-case bytes), several joined by ", ", as bytes; None when absent.
        found = None
        for key, value in self.fields:
            if key == name:
                found = value if found is None else found + b", " + value
        return found

    def _take(self, line):
        # `line` with its line feed.
        state = self._state
        if state == _SIZE or state == _CHUNK_END:
            if line[-2:] != b"\r\n":
                raise _bad("a chunk line ends without CR LF")
            if state == _CHUNK_END:
                if line != b"\r\n":
                    raise _bad("a chunk is longer than it tells")
                self._state = _SIZE
                self._spent = 0
            else:
                self._chunk(line[:-2])
            return
        line = line[:-2] if line[-2:] == b"\r\n" else line[:-1]
        if b"\r" in line:
            raise _bad("a CR stands in the middle of a line")
        if b"\0" in line or b"\x0b" in line or b"\x0c" in line:
            raise _bad("a field holds a control character")
        if state == _STATUS:
            self._status_line(line)
        elif line:
            self._field_line(line)
        elif state == _TRAILERS:
            self._state = _DONE
        else:
            self._head_complete()

    def _status_line(self, line):
        # Some servers leave out the reason and even the space before it.
        version, code, rest = line[:9], line[9:12], line[12:]
        if version != b"HTTP/1.1 " and version != b"HTTP/1.0 ":
            raise _bad("it does not begin with HTTP/1.1")
        if len(code) != 3 or not code.isdigit() or code[:1] == b"0" or rest[:1] not in (b"", b" "):
            raise _bad("the status line is malformed")
        self._old = version == b"HTTP/1.0 "
        self._code = int(code)
        self.reason = rest.strip()
        self.fields = self._into = []
        self._state = _FIELDS

    def _field_line(self, line):
        if line[:1] == b" " or line[:1] == b"\t":
            # A folded line belongs to the one before it (RFC 9112 5.2).
            if not self._into:
                raise _bad("the first field line is indented")
            name, value = self._into.pop()
            self._into.append((name, value + b" " + line.strip(b" \t")))
            return
        colon = line.find(b":")
        name = line[: max(0, colon)].lower()
        if not name or name.strip(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"):
            raise _bad("a field name is malformed")
        if len(self._into) >= _MAX_FIELDS:
            raise _bad("there are more than %d fields" % _MAX_FIELDS)
        self._into.append((name, line[colon + 1 :].strip(b" \t")))

    def _head_complete(self):
        code = self._code
        if code < 200:
            self._interim += 1
            if code == 101 or self._interim > _MAX_INTERIM:
                raise _bad("it answers with status %d" % code)
            self._state = _STATUS
            self._spent = 0
            return
        self._spent = 0
        coding = self.field(b"transfer-encoding")
        told = self.field(b"content-length")
        length = None
        for item in [] if told is None else told.split(b","):
            item = item.strip(b" \t")
            if len(item) > _MAX_DIGITS or not item.isdigit():
                raise _bad("Content-Length %s is no length" % text_of(told))
            if length is not None and int(item) != length:
                raise _bad("Content-Length is told twice, differently")
            length = int(item)
        if coding is not None:
            # Both would let two readers disagree about the end (RFC 9112 6.1); so would chunks in HTTP/1.0.
            if length is not None or self._old:
                raise _bad("its length is told in two ways" if length is not None else "chunked HTTP/1.0")
            if coding.lower() != b"chunked":
                raise _bad("transfer coding %s is unknown" % text_of(coding))
        if self._head_only or code == 204 or code == 304:
            self.length = 0
            self._state = _DONE
        elif coding is not None:
            self._state = _SIZE
        elif length is None:
            self.run = _UNTIL_CLOSE
            self._state = _CLOSE
        else:
            self.length = length
            self.run = length
            self._state = _BODY if length else _DONE
        self.status = code

    def _chunk(self, line):
        # "1a2b" or "1a2b;extension"; extensions mean nothing to us.
        semicolon = line.find(b";")
        size = (line if semicolon < 0 else line[:semicolon]).lower()
        if semicolon < 0:
            size = size.rstrip(b" \t")
        if not size or len(size) > _MAX_DIGITS - 3 or size.strip(b"0123456789abcdef"):
            raise _bad("a chunk size is malformed")
        self._spent = 0
        self.run = int(size, 16)
        if self.run:
            self._state = _CHUNK
        else:
            self._into = []  # trailers are checked and dropped
            self._state = _TRAILERS


def text_of(value):
    # Bytes of a field as text, for a message or a comparison: what is not ASCII becomes "?".
    out = ""
    for b in value:
        out += chr(b) if 0x20 <= b < 0x7F else "?"
    return out


def _bad(detail):
    return PixError("bad-response", detail)
