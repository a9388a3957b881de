# HTTP/1.1 over any link: the bytes of a request, and a response whose body is read into the caller's buffer.
#
# A link has `write(buf)`, `readinto(buf)` (bytes read, 0 at the orderly end; PixError on trouble) and `close()`.
# Without TLS and without keep-alive: one request a link.

import ubinascii
from micropython import const

from pix.errors import PixError
from pix.httpwire import Parser, text_of

PROOF_MS = const(1000)  # how long to wait for what proves the last bytes of a link
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
    # counts the bytes taken from `link`, `body` the bytes of content handed out.
    def __init__(self, link, method="GET"):
        super().__init__(method)
        self.link = link
        self._view = memoryview(bytearray(_SCRATCH))
        self._data = b""
        self._at = 0
        self.received = 0
        self.body = 0

    def read_head(self):
        # Read up to the body and return the status, 200 to 999. Interim (1xx) responses are skipped. Raises PixError
        # "bad-response", "truncated", "link-lost", and whatever the link raises.
        while not self.status:
            self._advance()
        return self.status

    def header(self, name, default=""):
        # The value of a field as text, several joined by ", ". Trailers are not among them.
        value = self.field(name.lower().encode())
        return default if value is None else text_of(value)

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
        # them at least. Raises what the link raises ("timeout" for a server that keeps the link open).
        if self._at == len(self._data):
            self._fill()
        return len(self._data) - self._at

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
