# The head of an HTTP request, parsed without any I/O (RFC 9112): bytes in, a Request out, in bounded memory.
#
# Browsers send a kilobyte of fields that nobody reads, attackers a megabyte. Fields that decide something are always
# kept, others while there is room, and all are counted.

from micropython import const

_MAX_LINE = const(1024)  # bytes of the request line, and of a field that decides something
_MAX_FIELD = const(512)  # bytes of any other field that is kept
_MAX_KEPT = const(2048)  # bytes of all those
_MAX_HEAD = const(16384)  # bytes of the whole head
_MAX_BLANK = const(4)  # empty lines before it
_DECIDING = (
    b"host", b"content-length", b"content-type", b"transfer-encoding", b"expect", b"authorization", b"origin",
    b"referer", b"range", b"if-range", b"if-none-match",
)  # fmt: skip
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class WebError(Exception):
    # The request ends with the status `code` (400 to 599); `why` is a sentence for its page. `headers` are more fields
    # of the answer, pairs of text.
    def __init__(self, code, why="", headers=()):
        super().__init__("%d %s" % (code, why))
        self.code = code
        self.why = why
        self.headers = headers


class Fields:
    # Names and values of a query or a form, in their order; a name may come several times.
    def __init__(self, pairs=()):
        self.pairs = list(pairs)

    def get(self, name, default=None):
        # The first value of `name`.
        for key, value in self.pairs:
            if key == name:
                return value
        return default

    def all(self, name):
        # Every value of `name`.
        return [value for key, value in self.pairs if key == name]

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name):
        return self.get(name) is not None

    def __iter__(self):
        return iter([key for key, _ in self.pairs])

    def __len__(self):
        return len(self.pairs)


class Request:
    # What a handler gets. `method`, `path` (decoded), `query` and `form` (Fields), `headers` (lower-case name -> text),
    # `params` (of the route), `body` (bytes, when it was short and no form), `files` (name -> pix.webform.Saved),
    # `length` of the body in bytes (None: there is none), `version` (1, 1), `web` the server itself.
    def __init__(self):
        self.method = ""
        self.target = ""  # as it was asked for
        self.path = ""
        self.query = Fields()
        self.form = Fields()
        self.headers = {}
        self.params = {}
        self.files = {}
        self.body = b""
        self.stream = None
        self.length = None
        self.version = (1, 0)
        self.web = None

    def header(self, name, default=""):
        # The value of a field, `name` in any case.
        return self.headers.get(name.lower(), default)

    @property
    def kind(self):
        # The type of the body without its parameters, in lower case: "multipart/form-data".
        return self.header("content-type").split(";")[0].strip().lower()


class Head:
    # Feed it the first bytes of a link with `feed`; `request` is there once `done`.
    def __init__(self):
        self.request = None
        self.done = False
        self.begun = False  # anything has come
        self._line = b""
        self._skips = False
        self._spent = 0
        self._kept = 0
        self._blank = 0

    def feed(self, data, at=0):
        # Take in `data` (bytes) from index `at`; returns the index of the first byte of the body. Raises WebError 400,
        # 414, 431 or 505.
        while not self.done and at < len(data):
            self.begun = True
            end = data.find(b"\n", at)
            stop = end + 1 if end >= 0 else len(data)
            self._spent += stop - at
            if self._spent > _MAX_HEAD:
                raise WebError(431, "The head is longer than %d bytes." % _MAX_HEAD)
            if not self._skips:
                self._line += data[at:stop]
                self._bounded()
            at = stop
            if end >= 0:
                line = self._line
                self._line = b""
                skipped = self._skips
                self._skips = False
                if not skipped:
                    self._take(line[:-2] if line[-2:] == b"\r\n" else line[:-1])
        return at

    def _bounded(self):
        line = self._line
        if self.request is None:
            if len(line) > _MAX_LINE + 2:
                raise WebError(414, "The address is longer than %d bytes." % _MAX_LINE)
            # What is no text is no request: a TLS greeting, a port scanner.
            if line[:1] > b"z" or (line[:1] < b"A" and line[:1] not in b"\r\n"):
                raise WebError(400, "This is no HTTP request.")
            return
        name = line[: line.find(b":")].lower()
        if len(line) > _MAX_LINE + 2 and (name in _DECIDING or b":" not in line):
            raise WebError(431, "A field is longer than %d bytes." % _MAX_LINE)
        if len(line) > _MAX_FIELD and name not in _DECIDING and b":" in line:
            _check(line[:-2])
            self._line = b""
            self._skips = line[-1:] != b"\n"

    def _take(self, line):
        if self.request is None:
            if line:
                self.request = _request_line(line)
                return
            self._blank += 1
            if self._blank > _MAX_BLANK:
                raise WebError(400, "Nothing but empty lines.")
        elif line:
            self._field(line)
        elif self._spent:
            self._finish()

    def _field(self, line):
        if not line.strip(b"\r\n"):
            return
        _check(line)
        colon = line.find(b":")
        name = line[:colon].lower()
        # A folded line begins with a space, and a space before the colon hides a name from others (RFC 9112 5.1, 5.2).
        if colon < 1 or not _is_token(name):
            raise WebError(400, "A field has no name.")
        headers = self.request.headers
        value = _text(line[colon + 1 :].strip(b" \t"))
        key = name.decode()
        if name in _DECIDING:
            if key in headers and headers[key] != value:
                raise WebError(400, "%s is told twice." % key)
        else:
            self._kept += len(line)
            if self._kept > _MAX_KEPT:
                return
            if key in headers:
                value = headers[key] + (b"; " if key == "cookie" else b", ").decode() + value
        headers[key] = value

    def _finish(self):
        request = self.request
        headers = request.headers
        if request.version >= (1, 1) and "host" not in headers:
            raise WebError(400, "The field Host is missing.")
        coding = headers.get("transfer-encoding", "identity")
        length = headers.get("content-length")
        if coding.lower() != "identity":
            # Two ways to tell where it ends are how requests are smuggled (RFC 9112 6.3).
            raise WebError(411 if length is None else 400, "The length of the body must be told beforehand.")
        if length is not None:
            if not length or length.strip("0123456789") or len(length) > 12:
                raise WebError(400, "Content-Length is no number.")
            request.length = int(length)
        elif request.method in ("POST", "PUT", "PATCH"):
            raise WebError(411, "The length of the body is not told.")
        self.done = True


def _request_line(line):
    parts = line.split(b" ")
    if len(parts) != 3 or not _is_token(parts[0]):
        raise WebError(400, "This is no HTTP request.")
    version = parts[2]
    if len(version) != 8 or version[:5] + version[6:7] != b"HTTP/." or not (version[5:6] + version[7:]).isdigit():
        raise WebError(400, "This is no HTTP request.")
    if version[5:6] != b"1":
        raise WebError(505, "HTTP/1.1 is spoken here.")
    request = Request()
    request.version = (1, int(version[7:]))
    request.method = parts[0].decode()
    target = parts[1]
    if target[:7].lower() == b"http://":
        # As a proxy is asked (RFC 9112 3.2.2).
        slash = target.find(b"/", 7)
        target = target[slash:] if slash > 0 else b"/"
    if target[:1] != b"/" and target != b"*":
        raise WebError(400, "The address does not begin with a slash.")
    for c in target:
        if not 0x20 < c < 0x7F:
            raise WebError(400, "The address holds what must be encoded.")
    target = target.split(b"#")[0]
    request.target = target.decode()
    path, _, query = target.partition(b"?")
    request.path = text_of_path(path)
    request.query = Fields(pairs_of(query))
    return request


def text_of_path(path):
    # The decoded text of a path (bytes). Raises WebError 400 for what is no path: broken escapes, control characters,
    # text that is no UTF-8, "." and ".." between slashes.
    data = unescape(path, strict=True)
    try:
        text = data.decode()
    except UnicodeError:
        raise WebError(400, "The address is no UTF-8.")
    for c in text:
        if c < " " or c == "\x7f" or c == "\\":
            raise WebError(400, "The address holds a control character or a backslash.")
    for part in text.split("/"):
        if part == "." or part == "..":
            raise WebError(400, "The address holds dots.")
    return text


def pairs_of(data):
    # [(name, value)] of a query or an urlencoded body (bytes); text that is no UTF-8 has "?" in its place.
    found = []
    for item in data.split(b"&"):
        if item:
            name, _, value = item.partition(b"=")
            found.append((decoded(unescape(name, plus=True)), decoded(unescape(value, plus=True))))
    return found


def unescape(data, plus=False, strict=False):
    # `data` (bytes) with its percent escapes undone, and with `plus` each + as a space. An escape that is none stays as
    # it is, or raises WebError 400 when `strict`.
    if plus:
        data = data.replace(b"+", b" ")
    if b"%" not in data:
        return data
    out = bytearray(len(data))
    count = 0
    at = 0
    while at < len(data):
        c = data[at]
        at += 1
        if c == 37:
            pair = data[at : at + 2]
            if len(pair) == 2 and not pair.strip(b"0123456789abcdefABCDEF"):
                c = int(pair, 16)
                at += 2
            elif strict:
                raise WebError(400, "The address holds a broken escape.")
        out[count] = c
        count += 1
    return bytes(memoryview(out)[:count])


def decoded(data):
    # `data` (bytes) as text; when it is no UTF-8, what is not ASCII is "?".
    try:
        return data.decode()
    except UnicodeError:
        return _text(data)


def attribute(text, name):
    # The attribute `name` of a field's value: 'form-data; name="a b"; filename=x'. None when it has none.
    for part in _parts(text)[1:]:
        key, equals, value = part.partition("=")
        if equals and key.strip().lower() == name:
            value = value.strip()
            if len(value) > 1 and value[0] == '"' and value[-1] == '"':
                value = value[1:-1].replace("%22", '"').replace('\\"', '"')
            return value
    return None


def _parts(text):
    # The parts between semicolons that stand outside of quotes.
    parts = [""]
    quoted = False
    before = ""
    for c in text:
        if c == '"' and before != "\\":
            quoted = not quoted
        if c == ";" and not quoted:
            parts.append("")
        else:
            parts[-1] += c
        before = c
    return parts


def _text(data):
    out = ""
    for b in data:
        out += chr(b) if 0x20 <= b < 0x7F else "?"
    return out


def _is_token(data):
    return bool(data) and not data.strip(_TOKEN)


def _check(line):
    for c in line:
        if (c < 0x20 and c != 9) or c == 0x7F:
            raise WebError(400, "A field holds a control character.")
