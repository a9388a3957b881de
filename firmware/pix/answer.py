# An answer of a web server as an object: what pix.fetch.get returns.
#
# For what a program wants to read and not to keep: a number, a line, some JSON. A picture or a model goes to the card
# with pix.fetch.fetch, which resumes and proves; here a body that broke off is asked for again from its beginning.

from micropython import const

from pix import content, http
from pix.errors import PixError
from pix.retry import Retried
from pix.url import parse, resolve

_MAX_REDIRECTS = const(5)
_PIECE = const(512)


class Headers:
    # The fields of an answer by their names, in capitals or not: headers["Content-Type"]. Only those that pix reads
    # itself (pix.httpwire.READ) and those named in `also` of pix.fetch.get are there: all others were never in memory.
    def __init__(self, response):
        self._response = response

    def get(self, name, default=None):
        # The value as text, `default` when there is no such field.
        return self._response.header(name, default)

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name):
        return self.get(name) is not None

    def items(self):
        # (name, value) pairs as texts, names in small letters.
        return [(name.decode(), self.get(name.decode())) for name, _ in self._response.fields]


class Answer(Retried):
    # `status_code`, an int; `headers`, see Headers; `url`, the last one as text, without login. The body comes by
    # `content`, `text`, `json()` or `iter_content(n)`; `close()` at the end, or `with`.
    def __init__(self):
        pass

    def ask(
        self, connector, url, headers=(), token="", also=(), most=65536, connect_ms=10000, idle_ms=10000, retries=4,
        total_ms=300000,
    ):  # fmt: skip
        # Ask for `url`; returns this.
        # headers, token: more (name, value) fields, a bearer token; none of them leaves the host and port of `url`.
        # also: names of fields to keep besides pix.httpwire.READ. most: the longest `content`, in bytes.
        # connect_ms, idle_ms, total_ms: the longest wait for a connection, for more bytes, for everything.
        # retries: attempts after the first, with growing pauses.
        super().__init__(retries, total_ms)
        self._connector = connector
        self._first = parse(url)
        self._fields = headers
        self._token = token
        self._also = [name.lower().encode() for name in also]
        self._most = most
        self._connect_ms = connect_ms
        self._idle_ms = idle_ms
        self._view = memoryview(bytearray(_PIECE))
        self._content = None
        self._response = None
        self.status_code = 0
        return self.persist(("dns-failed", "wifi-lost"))

    def reached(self):
        # Nothing is safe before the whole answer is there: see pix.retry.
        return 0

    def attempt(self):
        # Ask, and follow redirects, until there is the head of an answer.
        url = self._first
        for _ in range(_MAX_REDIRECTS + 1):
            url = self._hop(url)
            if url is None:
                return self
        raise PixError("redirect-loop", url.text())

    @property
    def ok(self):
        # Whether the status is below 400.
        return self.status_code < 400

    @property
    def content(self):
        # The whole body as bytes. Raises PixError "big-answer" when it has more bytes than `most`.
        left = self.retries
        while self._content is None:
            try:
                self._content = self._whole()
            except PixError as error:
                if not error.transient or left <= 0:
                    raise
                left -= 1
                self.persist()
        return self._content

    @property
    def text(self):
        # The body as text. Raises UnicodeError when it is not UTF-8.
        return self.content.decode()

    def json(self):
        # What the body says in JSON. Raises ValueError when it is none.
        import ujson

        return ujson.loads(self.content)

    def iter_content(self, size=4096):
        # The body in pieces (bytes) of `size`, the last may be shorter; as long as it may be, in little memory. Raises
        # PixError when it breaks off: what has come is a part, then. Sound is what has come when the loop ends.
        response = self._body()
        try:
            for piece in response.iter_content(size):
                yield bytes(piece)
            response.sure(self._view)
        except PixError as error:
            response.doubt(error, self._view)
            raise
        finally:
            self.close()

    def close(self):
        # Give the link back; a body that was not read is dropped. A second call does nothing.
        response, self._response = self._response, None
        if response is not None:
            try:
                response.link.close()
            except PixError:
                pass  # whatever is wrong with the modem, the next connect tells

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def _body(self):
        if self._response is None:
            raise PixError("internal", "the body was read or closed before")
        return self._response

    def _whole(self):
        length = self._body().length
        if length is not None and length > self._most:
            self.close()
            raise PixError("big-answer", "%d bytes" % length)
        body = b""
        for piece in self.iter_content(_PIECE):
            body += piece
            if len(body) > self._most:
                raise PixError("big-answer", "more than %d bytes" % self._most)
        return body

    def _hop(self, url):
        # One request. Returns the Url of a redirect, or None when this is the answer.
        own = self._first.same_origin(url)
        head = http.request("GET", url, self._fields if own else (), self._token if own else "")
        link = self._connector.connect(url.host, url.port, min(self._connect_ms, self.in_time("answered")))
        response = http.Response(link, also=self._also)
        keep = False
        try:
            link.timeout_ms = self._idle_ms
            link.write(head)
            status = response.read_head()
            location = response.location() if status in (301, 302, 303, 307, 308) else ""
            if location:
                response.sure(self._view)
                return resolve(url, location)
            content.check_coding(response)
            keep = True
        except PixError as error:
            response.doubt(error, self._view)
            raise
        finally:
            self._response = response
            if not keep:
                self.close()
        self.status_code = status
        self.headers = Headers(response)
        self.url = url.text()
        return None
