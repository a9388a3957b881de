# HTTP/1.1 over any link: the bytes of a request, and a response whose body is read into the caller's buffer.
#
# A link has `write(buf)`, `readinto(buf)` (bytes read, 0 at the orderly end; PixError on trouble) and `close()`.
# Without TLS and without keep-alive: one request a link.

import ubinascii
from micropython import const

from pix.errors import PixError
from pix.httpwire import Parser, text_of

PROOF_MS = const(1000)  # how long to wait for what proves the last bytes of a link
_LIKE_DAMAGE = (
    "not-http", "http-version", "bad-head", "head-too-long", "bad-length", "bad-chunks", "transfer-coding", "truncated",
    "too-long", "compressed", "no-location", "no-file", "bad-range", "web-page", "login-page", "endless",
)  # fmt: skip
_SCRATCH = const(512)  # bytes; head and chunk sizes pass through it, and the little of the body that came with them


def request(method, url, headers=(), token=""):
    # The head of a request for `url` (a pix.url.Url) as bytes. `headers` are (name, value) pairs; a body's length
    # belongs there. Credentials: a field Authorization in `headers`, else the bearer `token`, else the user of the
    # URL. Raises PixError "settings" for a field that would break out of its line.
    head = (
        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: maixpix\r\nAccept-Encoding: identity\r\nConnection: close\r\n"
    ) % (method, url.target, url.authority())
    login = ""
    if token:
        login = "Bearer " + token
    elif url.user is not None:
        login = "Basic " + base64(url.user)
    for name, value in headers:
        if not name or ":" in name or " " in name:
            raise PixError("settings", "%s is no name of a header" % repr(name))
        if name.lower() == "authorization":
            login = ""
        head += _field(name, value)
    if login:
        head += _field("Authorization", login)
    return (head + "\r\n").encode()


def base64(data):
    # `data` (bytes) as base64 text.
    return ubinascii.b2a_base64(data).decode().strip()


def _field(name, value):
    line = "%s: %s" % (name, value)
    for c in line:
        if (c < " " and c != "\t") or c == "\x7f":
            # The line itself may hold a secret and is not told.
            raise PixError("settings", "a header holds a line break")
    return line + "\r\n"


class Response(Parser):
    # The response on `link` to a request of `method`, its head not yet read: a Parser that feeds itself. `received`
    # counts the bytes taken from `link`, `body` the bytes of content handed out. `also`: names of fields (lower-case
    # bytes) that shall be kept besides those that pix reads; all others are skipped.
    def __init__(self, link, method="GET", also=()):
        super().__init__(method, also)
        self.link = link
        self._view = memoryview(bytearray(_SCRATCH))
        self._data = b""
        self._at = 0
        self.received = 0
        self.body = 0

    def read_head(self):
        # Read up to the body and return the status, 200 to 999. Interim (1xx) responses are skipped. Raises PixError
        # as Parser does, and whatever the link raises.
        while not self.status:
            self._advance()
        return self.status

    def header(self, name, default=""):
        # The value of a field as text, several joined by ", ", what is not ASCII as "?". Trailers are not among them.
        value = self.field(name.lower().encode())
        return default if value is None else text_of(value)

    def exact(self, name):
        # The same for a value that is sent back or compared: "" when it holds anything but printable ASCII, or is told
        # twice, differently.
        values = self._values(name.encode())
        text = text_of(values[0]) if len(values) == 1 else ""
        return text if values and text.encode() == values[0] else ""

    def location(self):
        # The field Location, "" when absent; what is not ASCII in it is percent-encoded byte by byte. Raises PixError
        # "bad-head" when there are two.
        values = self._values(b"location")
        if len(values) > 1:
            raise PixError("bad-head", "it sends us to two places")
        out = ""
        for b in values[0] if values else b"":
            out += chr(b) if b < 0x7F else "%%%02X" % b
        return out

    def _values(self, name):
        # The different values of a field.
        found = []
        for key, value in self.fields:
            if key == name and value not in found:
                found.append(value)
        return found

    def readinto(self, buf):
        # Read content into `buf` (bytearray or memoryview): the number of bytes, 0 at the proven end. Raises PixError
        # "truncated" when the link ended before the content did.
        while not self.done:
            if not self.run:
                self._advance()
                continue
            want = min(len(buf), self.run)
            data = self._data[self._at : self._at + want]
            got = len(data)
            if got:
                buf[:got] = data
                self._at += got
            else:
                got = self.link.readinto(buf if want == len(buf) else memoryview(buf)[:want]) or 0
                if not got:
                    self.end()
                    continue
                self.received += got
            self.took(got)
            self.body += got
            return got
        return 0

    def iter_content(self, size):
        # Iterate over the content in pieces of `size` bytes, the last may be shorter. Each is a memoryview of one
        # buffer, good until the next is asked for. Raises what `readinto` raises.
        view = memoryview(bytearray(size))
        fill = 0
        while True:
            got = self.readinto(view[fill:])
            fill += got
            if fill and (not got or fill == size):
                yield view[:fill]
                fill = 0
            if not got:
                return

    def drain(self):
        # After the content: read what may still come until the link ends. Returns the number of excess bytes, some of
        # them at least; one CR LF, which old servers add, is none. Raises what the link raises ("timeout" for a server
        # that keeps the link open).
        rest = self._data[self._at :]
        while b"\r\n"[: len(rest)] == rest and self._fill():
            rest += self._data
        self._data = rest
        self._at = 0
        return 0 if rest == b"\r\n" else len(rest)

    def doubt(self, error, view):
        # The PixError `error` ended this response. If it may come of bytes that the serial line lost or changed, make
        # sure of what was received; raises PixError "bytes-lost" when that is so.
        if error.code in _LIKE_DAMAGE:
            self.sure(view)

    def sure(self, view):
        # Make sure of all that was received: what was read may be damaged until the link vouches for it (`trusted`,
        # `prove`; a link without them always does). What is read on the way, into `view`, is dropped. Raises PixError
        # "bytes-lost" or what the link raises.
        link = self.link
        count = self.received
        if getattr(link, "trusted", count) >= count:
            return
        link.timeout_ms = PROOF_MS
        try:
            while link.trusted < count and link.readinto(view):
                pass
        except PixError as error:
            if error.code != "timeout":
                raise
        if link.trusted < count:
            if not hasattr(link, "prove"):
                raise PixError("bytes-lost")
            link.prove()

    def _advance(self):
        if self._at < len(self._data) or self._fill():
            self._at = self.feed(self._data, self._at)
        else:
            self.end()

    def _fill(self):
        got = self.link.readinto(self._view) or 0
        self.received += got
        self._data = bytes(self._view[:got])
        self._at = 0
        return got
