# HTTP/1.1 over any link: the bytes of a request, and a response whose body is read into the caller's buffer.
#
# A link has `write(buf)`, `readinto(buf)` (bytes read, 0 at the orderly end; PixError on trouble) and `close()`.
# Without TLS and without keep-alive: one request a link.

import ubinascii

from pix.errors import PixError
from pix.httpwire import Parser, text_of

_SCRATCH = 512  # bytes; head and chunk sizes pass through it, and the little of the body that came with them


def request(method, url, headers=(), token=""):
    # The head of a request for `url` (a pix.url.Url) as bytes. `headers` are (name, value) pairs; a body's length
    # belongs there. Credentials: a field Authorization in `headers`, else the bearer `token`, else the user of the
    # URL. Raises PixError "settings" for a field that would break out of its line.
    lines = [
        "%s %s HTTP/1.1" % (method, url.target),
        "Host: " + url.authority(),
        "User-Agent: maixpix",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    authorized = False
    for name, value in headers:
        if not name or ":" in name or " " in name:
            raise PixError("settings", "%s is no name of a header" % repr(name))
        authorized = authorized or name.lower() == "authorization"
        lines.append("%s: %s" % (name, value))
    if token and not authorized:
        lines.append("Authorization: Bearer " + token)
    elif url.user is not None and not authorized:
        lines.append("Authorization: Basic " + ubinascii.b2a_base64(url.user).decode().strip())
    for line in lines:
        for c in line:
            if (c < " " and c != "\t") or c == "\x7f":
                # The line itself may hold a secret and is not told.
                raise PixError("settings", "a header holds a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Response:
    # The response on `link` to a request of `method`, its head not yet read. `received` counts the bytes taken from
    # the link, `body` the bytes of content handed out.
    def __init__(self, link, method="GET"):
        self._link = link
        self._parser = Parser(method)
        self._scratch = bytearray(_SCRATCH)
        self._view = memoryview(self._scratch)
        self._data = b""
        self._at = 0
        self.received = 0
        self.body = 0

    def read_head(self):
        # Read up to the body and return the status, 200 to 999. Interim (1xx) responses are skipped. Raises PixError
        # "bad-response", "truncated", "link-lost", and whatever the link raises.
        parser = self._parser
        while not parser.status:
            self._feed()
        return parser.status

    @property
    def status(self):
        return self._parser.status

    @property
    def length(self):
        # Bytes of content that the head tells, None when it does not (chunked, or until the link closes).
        return self._parser.length

    @property
    def done(self):
        # True when the whole content was handed out.
        return self._parser.done

    @property
    def excess(self):
        # Bytes that came behind the end of the response, as far as they were read: the server's length is wrong.
        return len(self._data) - self._at if self._parser.done else 0

    def header(self, name, default=None):
        # The value of a field as text, several joined by ", ". Trailers are not among them.
        value = self._parser.field(name.lower().encode())
        return default if value is None else text_of(value)

    def readinto(self, buf):
        # Read content into `buf` (bytearray or memoryview): the number of bytes, 0 at the proven end. Raises PixError
        # "truncated" when the link ended before the content did.
        parser = self._parser
        while not parser.done:
            run = parser.run
            if not run:
                self._feed()
                continue
            want = len(buf)
            if run < want:
                want = run
            left = len(self._data) - self._at
            if left:
                if left < want:
                    want = left
                buf[:want] = self._data[self._at : self._at + want]
                self._at += want
                got = want
            else:
                got = self._link.readinto(buf if want == len(buf) else memoryview(buf)[:want]) or 0
                if not got:
                    parser.end()
                    continue
                self.received += got
            parser.took(got)
            self.body += got
            return got
        return 0

    def iter_content(self, size):
        # Iterate over the content in pieces of `size` bytes, the last may be shorter. Each is a memoryview of one
        # buffer, good until the next is asked for.
        buf = bytearray(size)
        view = memoryview(buf)
        fill = 0
        while True:
            got = self.readinto(view[fill:])
            fill += got
            if fill == size or (not got and fill):
                yield view[:fill]
                fill = 0
            if not got:
                return

    def drain(self):
        # After the content: read what may still come until the link ends. Returns the number of excess bytes, some of
        # them at least. Raises what the link raises ("timeout" for a server that keeps the link open).
        if not self.excess:
            got = self._link.readinto(self._view) or 0
            self.received += got
            self._data = bytes(self._view[:got])
            self._at = 0
        return self.excess

    def _feed(self):
        parser = self._parser
        if self._at >= len(self._data):
            got = self._link.readinto(self._view) or 0
            if not got:
                parser.end()
                return
            self.received += got
            self._data = bytes(self._view[:got])
            self._at = 0
        self._at = parser.feed(self._data, self._at)
