# The bytes of an HTTP/1.1 response, parsed without any I/O (RFC 9112).
#
# The parser eats everything but the body: status line, fields, chunk sizes, trailers. While `run` is not 0 the next
# bytes on the link are body bytes, which go straight from the link to wherever they are wanted.

from micropython import const

from pix.errors import PixError

_MAX_LINE = const(2048)  # bytes of a line that is kept: status, chunk size, a field that somebody reads
_MAX_HEAD = const(65536)  # bytes of all lines of a head, and of all trailers
_MAX_FIELDS = const(64)  # that are kept
_MAX_BLANK = const(4)  # empty lines before the status line
_MAX_INTERIM = const(20)  # 1xx responses before the real one
_MAX_DIGITS = const(18)  # of a length: more than any disk holds, and still a small int
_UNTIL_CLOSE = const(0x3FFFFFFF)  # `run` of a body that ends with the connection

# The fields that pix reads. All others are skipped as they come, so they may be long and many.
READ = (
    b"accept-ranges", b"content-encoding", b"content-length", b"content-range", b"content-type", b"date", b"etag",
    b"last-modified", b"location", b"maixpix-zone", b"repr-digest", b"retry-after", b"transfer-encoding",
    b"tus-checksum-algorithm", b"upload-offset",
)  # fmt: skip

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
    # `status`, `reason` (bytes), `fields` (list of lower-case name and value, bytes; those of READ and of `also`) and
    # `length` (of the body in bytes, None when the server did not tell) hold. Every method raises PixError for what
    # RFC 9112 forbids, and for a head beyond the limits above: not-http, http-version, bad-head, head-too-long,
    # bad-length, bad-chunks, transfer-coding, truncated, link-lost.
    def __init__(self, method="GET", also=()):
        self._head_only = method == "HEAD"
        self._wanted = READ + tuple(also)
        self._line = b""  # what came of the present line, of a skipped one its last byte
        self._skips = False  # in the middle of a line of a field that nobody reads
        self._kept = None  # was the last field kept (a folded line belongs to it)? None: there was none
        self._crlf = False  # the last line of the head ended with CR LF
        self._chunk_end = b""  # how the first chunk line ended
        self._chunk_word = b""  # the name of a field that nobody reads and that says chunked
        self._spent = 0
        self._blank = 0
        self._interim = 0
        self._state = _STATUS
        self._code = 0
        self._started = False
        self.status = 0
        self.reason = b""
        self.fields = []
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
            if self._spent > _MAX_HEAD:
                raise PixError("head-too-long", "it is longer than %d bytes" % _MAX_HEAD)
            self._line += data[at:stop]
            at = stop
            if end < 0:
                self._unended(self._line)
            else:
                line = self._line
                self._line = b""
                self._take(line)
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

    def _unended(self, line):
        # More of `line` is to come: it is judged so far, and not held when nobody reads it.
        state = self._state
        if state == _STATUS and line != b"\r":
            if line[:5] != b"HTTP/"[: len(line)]:
                raise _no_http(line)
        elif state == _CHUNK_END and len(line) >= 2:
            raise _bad_chunks("a chunk is longer than it tells")
        elif (state == _FIELDS or state == _TRAILERS) and (self._skips or self._unread(line)):
            _check(line[:-1])
            self._skips = True
            self._line = line[-1:]
            return
        if len(line) > _MAX_LINE:
            raise _too_long(state)

    def _take(self, line):
        # `line` with its line feed.
        state = self._state
        if state == _SIZE or state == _CHUNK_END:
            # All chunk lines end as the first one does. Some embedded servers leave out every CR; one that is missing
            # here and there is damage, and taking it would let a wrong size pass.
            end = b"\r\n" if line[-2:] == b"\r\n" else b"\n"
            if end != (self._chunk_end or end):
                raise _bad_chunks("a chunk line ends without CR LF")
            self._chunk_end = end
            if state == _SIZE:
                self._chunk(line[: -len(end)])
            elif line != end:
                raise _bad_chunks("a chunk is longer than it tells")
            else:
                self._state = _SIZE
                self._spent = 0
            return
        crlf = line[-2:] == b"\r\n"
        line = line[:-2] if crlf else line[:-1]
        if state == _STATUS and line and line[:5] != b"HTTP/":
            raise _no_http(line)
        _check(line)
        if not line and self._crlf and not crlf and state != _STATUS:
            # A doubled line feed would end the head, and the rest of it become content.
            raise PixError("bad-head", "its empty line ends without CR")
        self._crlf = crlf
        if self._skips:
            self._skips = False
            self._kept = False
        elif state == _STATUS:
            self._status_line(line)
        elif line:
            self._field_line(line)
        elif state == _TRAILERS:
            self._state = _DONE
        else:
            self._head_complete()

    def _status_line(self, line):
        # Some servers leave out the reason and even the space before it, some send an empty line first.
        if not line:
            if self._blank == _MAX_BLANK:
                raise _no_http(b"empty lines")
            self._blank += 1
            return
        if line[5:7] != b"1." or not line[7:8].isdigit() or line[8:9] != b" ":
            raise PixError("http-version", text_of(line[:16]))
        code, rest = line[9:12], line[12:]
        if len(line) > _MAX_LINE:
            raise _too_long(_STATUS)
        if len(code) != 3 or not code.isdigit() or code[:1] == b"0" or rest[:1] not in (b"", b" "):
            raise PixError("bad-head", "the status line is %s" % text_of(line[:40]))
        self._code = int(code)
        self.reason = rest.strip()
        self.fields = []
        self._chunk_word = b""
        self._kept = None
        self._state = _FIELDS

    def _unread(self, line):
        # True when `line`, which may be unended, is of a field that nobody reads. A line whose name is still coming
        # counts as read.
        if line[:1] == b" " or line[:1] == b"\t":
            # A folded line belongs to the one before it (RFC 9112 5.2).
            if self._kept is None:
                raise PixError("bad-head", "the first field line is indented")
            return not self._kept
        colon = line.find(b":")
        if colon < 0:
            return False
        name = line[:colon].lower()
        if not name or name.strip(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"):
            raise PixError("bad-head", "the name of a field is malformed")
        return self._state == _TRAILERS or name not in self._wanted

    def _field_line(self, line):
        colon = line.find(b":")
        if self._unread(line):
            self._kept = False
            said = line[colon + 1 :].strip(b" \t").lower()
            if said[-7:] == b"chunked" and colon > 0 and line[:2].lower() != b"x-":
                self._chunk_word = line[:colon]
            return
        if line[:1] == b" " or line[:1] == b"\t":
            name, value = self.fields.pop()
            value = (value + b" " + line.strip(b" \t")).strip()
        elif colon < 0:
            raise PixError("bad-head", "a line is no field")
        else:
            name, value = line[:colon].lower(), line[colon + 1 :].strip(b" \t")
        if len(value) > _MAX_LINE or len(self.fields) >= _MAX_FIELDS:
            raise _too_long(_FIELDS)
        self.fields.append((name, value))
        self._kept = True

    def _head_complete(self):
        code = self._code
        self._spent = 0
        if code < 200:
            self._interim += 1
            if code == 101:
                raise PixError("http-version", "it switches to another protocol")
            if self._interim > _MAX_INTERIM:
                raise PixError("bad-head", "status %d again and again" % code)
            self._state = _STATUS
            self._blank = 0
            return
        # Chunks win over a length (RFC 9112 6.3): whoever told both is not asked again on this link.
        chunked = self._chunked()
        if self._chunk_word and not chunked:
            # Transfer-Encoding, changed by one byte, goes unread, and the chunk sizes would become content.
            raise PixError("bad-head", "%s says chunked" % text_of(self._chunk_word))
        length = None if chunked else self._told_length()
        if self._head_only or code == 204 or code == 304:
            self.length = 0
            self._state = _DONE
        elif chunked:
            self._state = _SIZE
        elif length is None:
            self.run = _UNTIL_CLOSE
            self._state = _CLOSE
        else:
            self.length = length
            self.run = length
            self._state = _BODY if length else _DONE
        self.status = code

    def _chunked(self):
        told = self.field(b"transfer-encoding")
        codings = []
        for item in (told or b"").split(b","):
            item = item.strip(b" \t").lower()
            # Told twice, by the server and by a proxy, it was done once.
            if item and item != b"identity" and not (item == b"chunked" and codings == [item]):
                codings.append(item)
        if codings and codings != [b"chunked"]:
            raise PixError("transfer-coding", text_of(told))
        return bool(codings)

    def _told_length(self):
        told = self.field(b"content-length")
        length = None
        for item in [] if told is None else told.split(b","):
            item = item.strip(b" \t")
            if len(item) > _MAX_DIGITS or not item.isdigit():
                raise PixError("bad-length", "Content-Length %s" % text_of(told[:40]))
            if length is not None and int(item) != length:
                raise PixError("bad-length", "it tells %s" % text_of(told[:40]))
            length = int(item)
        return length

    def _chunk(self, line):
        # "1a2b" or "1a2b;extension"; extensions mean nothing to us.
        semicolon = line.find(b";")
        size = (line if semicolon < 0 else line[:semicolon]).rstrip(b" \t").lower()
        digits = size.lstrip(b"0")
        if not size or len(line) > _MAX_LINE or len(digits) > _MAX_DIGITS - 3 or size.strip(b"0123456789abcdef"):
            raise _bad_chunks("a chunk size is malformed")
        self._spent = 0
        self.run = int(size, 16)
        if self.run:
            self._state = _CHUNK
        else:
            self._kept = None
            self._crlf = self._chunk_end == b"\r\n"
            self._state = _TRAILERS  # checked and dropped


def _check(line):
    # What stands in no line of a head.
    if b"\r" in line:
        raise PixError("bad-head", "a CR stands in the middle of a line")
    if b"\0" in line or b"\x0b" in line or b"\x0c" in line:
        raise PixError("bad-head", "a field holds a control character")


def text_of(value):
    # Bytes of a field as text, for a message or a comparison: what is not ASCII becomes "?".
    out = ""
    for b in value:
        out += chr(b) if 0x20 <= b < 0x7F else "?"
    return out


def _no_http(line):
    # 0x15 0x03 is how TLS refuses what is not TLS (RFC 8446 5.1 and 6).
    return PixError("not-http", "it speaks TLS" if line[:2] == b"\x15\x03" else "it says %s" % text_of(line[:24]))


def _too_long(state):
    what = "status line" if state == _STATUS else "chunk size" if state == _SIZE else "field"
    return PixError("bad-chunks" if state == _SIZE else "head-too-long", "a %s of over %d bytes" % (what, _MAX_LINE))


def _bad_chunks(detail):
    return PixError("bad-chunks", detail)
