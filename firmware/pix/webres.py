# Answers: status, fields and body of an HTTP response, given out in pieces of whatever size the link takes.
#
# A handler returns a text, bytes, a generator of either, a tuple (body, status), (body, status, headers) or
# (body, headers), or a Response.

from micropython import const

from pix.webreq import WebError

REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently",
    302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 409: "Conflict", 411: "Length Required", 413: "Content Too Large",
    414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 503: "Service Unavailable",
    505: "HTTP Version Not Supported", 511: "Network Authentication Required",
}  # fmt: skip

_CHUNK_HEAD = const(5)  # "5ad" CR LF
_CHUNK = const(7)  # with the CR LF behind it
_LONGEST_CHUNK = const(0xFFF)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


class Response:
    # `body` is None, a text, bytes, what has readinto(buffer) and `size` (such as pix.webfile.CardFile), or an iterator
    # of texts or bytes. `headers`: pairs or a dictionary. Texts are HTML unless Content-Type says otherwise.
    #
    # `start` once, then `fill` until it returns 0, then `close`, which is also right at any other time.
    def __init__(self, body=None, status=200, headers=()):
        self._take(body, status, headers)

    def _take(self, body, status, headers):
        self.status = status
        self.fields = []
        if isinstance(headers, dict):
            headers = [(name, headers[name]) for name in headers]
        for name, value in headers:
            self.add(name, value)
        if body is None or status == 204 or status == 304:
            body = b""
        elif isinstance(body, str):
            self._default("Content-Type", "text/html; charset=utf-8")
            body = body.encode()
        elif isinstance(body, (bytes, bytearray, memoryview)):
            self._default("Content-Type", "application/octet-stream")
        self.body = body
        self._head = b""
        self._at = 0
        self._piece = b""  # of an iterator, not yet given out
        self._chunked = False
        self._over = False

    def add(self, name, value):
        # Another field. Raises ValueError for one that would break out of its line.
        value = str(value)
        for c in name + value:
            if c < " " or c == "\x7f":
                raise ValueError("a field of the answer holds a control character")
        self.fields.append((name, value))

    def has(self, name):
        # True when there is a field `name`.
        name = name.lower()
        for key, _ in self.fields:
            if key.lower() == name:
                return True
        return False

    def _default(self, name, value):
        if not self.has(name):
            self.add(name, value)

    def start(self, method="GET", version=(1, 1), date=""):
        # Make the head for a request of that method and version. What an iterator raises before its first piece is
        # raised here, where another answer is still possible.
        body = self.body
        status = self.status
        size = None
        if isinstance(body, (bytes, bytearray, memoryview)):
            size = len(body)
            self.body = memoryview(body)
        elif hasattr(body, "readinto"):
            size = body.size
        else:
            self._default("Content-Type", "text/html; charset=utf-8")
            self.body = iter(body)
            self._next()
            self._chunked = version >= (1, 1)
        text = "HTTP/1.1 %d %s\r\n" % (status, REASONS.get(status, "Status"))
        if date:
            text += "Date: %s\r\n" % date
        if self._chunked:
            text += "Transfer-Encoding: chunked\r\n"
        elif size is not None and status != 204 and status != 304:
            text += "Content-Length: %d\r\n" % size
        self._default("Cache-Control", "no-store")
        self._default("X-Content-Type-Options", "nosniff")
        for name, value in self.fields:
            text += "%s: %s\r\n" % (name, value)
        self._head = (text + "Connection: close\r\n\r\n").encode()
        if method == "HEAD" or status == 204 or status == 304:
            self.close()
            self.body = memoryview(b"")
            self._chunked = False
            self._over = True

    def raw(self, answer):
        # Be the bytes `answer`, head and all, instead of being started.
        self._head = answer
        self._over = True

    def coming(self, most):
        # How many bytes `fill` will put into a buffer of `most`, -1 when only it can tell.
        count = len(self._head)
        if not self._over and most > count:
            body = self.body
            if isinstance(body, memoryview):
                count += len(body) - self._at
            elif hasattr(body, "readinto"):
                count += body.size - self._at
            else:
                return -1
        return min(count, most)

    def fill(self, view):
        # Put the next bytes into `view` (a memoryview of 32 bytes or more): how many, 0 at the end. Raises what the
        # body raises; then the answer cannot be ended in order.
        count = 0
        if self._head:
            count = min(len(view), len(self._head))
            view[:count] = self._head[:count]
            self._head = self._head[count:]
        if not self._over and len(view) - count > (_CHUNK if self._chunked else 0):
            count += self._body(view[count:])
        return count

    def _body(self, view):
        body = self.body
        if self._chunked:
            got = self._gather(view[_CHUNK_HEAD : min(len(view), _LONGEST_CHUNK) - 2])
            view[:_CHUNK_HEAD] = b"%03x\r\n" % got
            view[_CHUNK_HEAD + got : _CHUNK + got] = b"\r\n"
            self._over = not got
            return got + _CHUNK
        if isinstance(body, memoryview):
            got = min(len(view), len(body) - self._at)
            view[:got] = body[self._at : self._at + got]
            self._at += got
            self._over = self._at == len(body)
        elif hasattr(body, "readinto"):
            got = body.readinto(view) or 0
            self._at += got
            self._over = self._at >= body.size
        else:
            got = self._gather(view)
            self._over = got == 0
        return got

    def _gather(self, view):
        # Pieces of an iterator, as many as fit.
        count = 0
        while count < len(view) and self._piece is not None:
            piece = self._piece
            got = min(len(piece), len(view) - count)
            view[count : count + got] = piece[:got]
            self._piece = piece[got:]
            count += got
            if not self._piece:
                self._next()
        return count

    def _next(self):
        # The next piece of an iterator that is not empty; None at its end.
        piece = b""
        while not piece:
            try:
                piece = next(self.body)
            except StopIteration:
                self._piece = None
                return
            if isinstance(piece, str):
                piece = piece.encode()
        self._piece = piece

    def close(self):
        # Give back what the body holds.
        body = self.body
        if hasattr(body, "close"):
            body.close()


def made(result):
    # The Response that a handler means by what it returned. Raises TypeError for what is none of these.
    if isinstance(result, Response):
        return result
    status = 200
    headers = ()
    if isinstance(result, tuple):
        if len(result) == 3:
            result, status, headers = result
        elif len(result) == 2 and isinstance(result[1], int):
            result, status = result
        elif len(result) == 2:
            result, headers = result
        else:
            raise TypeError("a handler returned a tuple of %d" % len(result))
        if isinstance(result, Response):
            result.status = status
            for name in headers:
                result.add(name, headers[name])
            return result
    if isinstance(result, (int, float, list, dict)):
        # dictionaries are what microdot's users return for JSON
        if isinstance(result, (dict, list)):
            import ujson

            return Response(ujson.dumps(result), status, _with_type(headers, "application/json"))
        raise TypeError("a handler returned a number")
    return Response(result, status, headers)


def redirect(where, status=302):
    # Send the browser on to `where`, a path or an http address; after a form was posted 303 is right.
    return Response("See %s\n" % where, status, (("Location", where), ("Content-Type", "text/plain")))


def refresh(where, seconds, html):
    # The page `html`, which the browser leaves for `where` after `seconds`, with or without script.
    return Response(html, 200, (("Refresh", "%d; url=%s" % (seconds, where)),))


def error_page(error):
    # The Response for a WebError, as a short page.
    from pix.webpage import page

    reason = REASONS.get(error.code, "Error")
    html = page("%d %s" % (error.code, reason), "<h1>{{reason}}</h1><p>{{why}}</p>", reason=reason, why=error.why)
    return Response(html, error.code, error.headers)


def date_text(seconds):
    # `seconds` since 1970 (UTC) as the field Date has it: "Sun, 06 Nov 1994 08:49:37 GMT".
    days, rest = divmod(seconds, 86400)
    weekday = _DAYS[(days + 3) % 7]
    # Years begin in March here, so that the odd day is the last one (Howard Hinnant's days algorithm).
    days += 719468
    era, day = divmod(days, 146097)
    year_of_era = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year_of_era + year_of_era // 4 - year_of_era // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year = year_of_era + era * 400 + (1 if month > 9 else 0)
    month = (month + 2) % 12
    name = _MONTHS[3 * month : 3 * month + 3]
    clock = (rest // 3600, rest // 60 % 60, rest % 60)
    return "%s, %02d %s %04d %02d:%02d:%02d GMT" % ((weekday, day + 1, name, year) + clock)


def _with_type(headers, kind):
    pairs = [(name, headers[name]) for name in headers] if isinstance(headers, dict) else list(headers)
    return pairs + [("Content-Type", kind)]


def not_found():
    # What is raised for an address that nobody serves.
    return WebError(404, "There is nothing at this address.")
