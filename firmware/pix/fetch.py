# From a URL to a verified file on the card, whatever happens on the way.
#
# The body goes block by block into a part file beside the target (pix.store). Trouble that may pass is tried again
# after a growing pause, and the transfer goes on where it stopped: by Range and If-Range, with the ETag or date kept
# beside the part, also after a reset of the board. The target is replaced only when the length, and the digest if the
# server tells one (RFC 9530), are right; until then the previous file stays as it was.
#
# Longer than 350 lines: one transfer with all that can happen to it.

import ubinascii
import utime
from micropython import const

from pix import content, http
from pix.errors import PixError
from pix.files import all_bytes, free_bytes, size_of
from pix.resume import content_range, last_change, range_fields, repr_digest, strong_validator, wrong_range
from pix.retry import Retried
from pix.store import BLOCK, Part
from pix.url import parse, resolve

_MAX_REDIRECTS = const(5)
_FLUSH_BYTES = const(65536)  # what a power cut may cost at most

# A body whose length nobody told may be a live stream: how much of it is taken, and for how long, unless told.
_BODY_S = const(300)
_MOST_BYTES = const(4194304)  # and at most half of the card's room, unless that is little
_LITTLE_ROOM = const(524288)
_NO_ROOM = const(16384)

# Errors after which the part is of no use.
_USELESS = (
    "card-full", "too-much", "too-long", "digest-mismatch", "http-404", "http-410", "endless", "web-page",
    "login-page", "not-picture",
)  # fmt: skip


class Fetched:
    # The outcome of a fetch. `status` is 200, 206 or 304; `bytes` the size of the file; `etag` and `content_type` as
    # the server told them ("" if not); `unless` what the next fetch may give as `etag`, "" if nothing; `digest` the
    # proven SHA-256 as hex text ("" without one from the server); `elapsed_ms`; `rate` in bytes of content a second;
    # `resumed` the bytes that were on the card already, from a fetch before this one; `not_modified` True when the
    # target is still the server's file; `attempts` from 1. `date` and `zone` are the server's clock as it told it, and
    # `at` the tick at which that came.
    def __init__(self, job, response, size):
        self.status = response.status
        self.bytes = size
        self.etag = response.header("etag")
        self.unless = self.etag or last_change(response)
        self.content_type = response.header("content-type")
        self.date = response.header("date")
        self.zone = response.header("maixpix-zone")
        self.at = job.heard_at
        self.attempts = job.attempts
        self.elapsed_ms = job.elapsed_ms()
        self.not_modified = response.status == 304
        self.digest = "" if self.not_modified else job.digest
        self.resumed = 0 if self.not_modified else job.resumed
        fetched = 0 if self.not_modified else size - job.resumed
        self.rate = fetched * 1000 // max(1, self.elapsed_ms)


def fetch(connector, url, path, progress=None, **options):
    # Fetch `url` to the file `path` (absolute) and return a Fetched. Raises PixError. A part that can be resumed stays
    # on the card.
    #
    # connector: has connect(host, port, timeout_ms) -> link. A link that sets `trusted` (bytes of it that are proven
    #   right) has what lies beyond fetched again; `timeout_ms` is set on it, the longest silence.
    # progress(done, total): after every block, in bytes; total is None when unknown.
    # headers, token: more (name, value) fields, a bearer token; none of them leaves the host and port of `url`.
    # etag: of the file at `path`, or the date of its last change (`unless` of the fetch that brought it); when the
    #   server still has it, nothing is fetched (`not_modified`).
    # retries: attempts after the first in which nothing new arrived; pauses of 0.25 s doubling to 8 s.
    # total_ms: the longest time for everything. buffer: at least 4096 bytes to work in, made here when absent.
    # body_kb, body_s: how much of a body without a told length is taken, and for how long; 0: 4 MB or half of the
    #   card's room, and 300 s.
    # most: the longest body in bytes that is taken, however it tells its length; 0: no limit of its own.
    # check(path): looks at the whole, proven file before it takes the place of the old one; the PixError it raises
    #   ends the fetch, and the old file stays.
    #   With it, and for URLs that end like a picture's, a web page is refused by name.
    # again(error, ms): before every pause, with the PixError of the failed attempt.
    if not hasattr(connector, "connect") or not isinstance(path, str) or path[:1] != "/":
        raise TypeError("fetch.fetch(modem, url, path): the modem of wifi.bring_up, a URL, a path such as /sd/x.jpg")
    return _Fetch().of(connector, url, path, progress, **options).run()


def get(connector, url, **options):
    # Ask for `url` and return a pix.answer.Answer, which names the options: for what is read at once and not kept.
    # Raises PixError; a status of 404 or 500 is an answer.
    from pix.answer import Answer

    if not hasattr(connector, "connect") or not isinstance(url, str):
        raise TypeError("fetch.get(modem, url): the modem of wifi.bring_up and a URL are expected")
    return Answer().ask(connector, url, **options)


class _Fetch(Retried):
    def __init__(self):
        pass

    def of(
        self, connector, url, path, progress, headers=(), token="", etag="", retries=4, connect_ms=10000, idle_ms=10000,
        total_ms=1800000, buffer=None, body_kb=0, body_s=0, check=None, again=None, most=0,
    ):  # fmt: skip
        # What is to be fetched; returns this.
        super().__init__(retries, total_ms)
        self.again = again
        self.connector = connector
        self.url = parse(url)
        self.key = "%08x-%d" % (ubinascii.crc32(url.encode()) & 0xFFFFFFFF, len(url))
        self.path = path
        self.progress = progress
        self.headers = headers
        self.token = token
        self.etag = etag
        self.connect_ms = connect_ms
        self.idle_ms = idle_ms
        self.view = memoryview(buffer if buffer is not None else bytearray(BLOCK))[:BLOCK]
        self.body_kb = body_kb
        self.longest = most
        self.body_ms = (body_s or _BODY_S) * 1000
        self.check = check
        ending = self.url.target.split("?")[0].lower()
        self.wants_picture = check is not None or ending[ending.rfind(".") + 1 :] in ("jpg", "jpeg", "bmp")
        self.part = Part(path)
        self.validator = ""
        self.total = -1
        self.digest = ""  # that the server told
        self.restart = False  # the part was given up: ask again without Range
        self.heard_at = 0  # the tick at which the last head was complete
        return self

    def run(self):
        part = self.part
        info = part.load(self.key)
        if info is not None:
            self.validator = info.validator
            self.total = info.total
            self.digest = info.digest
        self.resumed = part.size
        try:
            return self.persist(("digest-mismatch", "dns-failed", "wifi-lost"))
        except PixError as error:
            self.leave(error.code)
            if error.code == "bytes-lost" and hasattr(self.connector, "settle"):
                self.connector.settle()  # raises what noise often is: a module that restarts
            raise
        finally:
            part.close()

    def reached(self):
        return self.part.size

    def leave(self, code):
        # After the last attempt, which ended with `code`: keep what can be resumed, remove what only takes room.
        if code in ("no-card", "card-error"):
            return
        if code in _USELESS or not self.validator or not self.part.size:
            try:
                self.part.discard()
            except PixError:
                pass  # the first error tells more; pix.store.recover removes the part at the next start

    def attempt(self):
        # All hops of one attempt.
        url = self.url
        self.restart = False
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                url = self.hop(url)
                if isinstance(url, Fetched):
                    return url
        except PixError:
            if self.restart:
                return self.attempt()
            raise
        raise PixError("redirect-loop", url.text())

    def hop(self, url):
        # One request. Returns the Fetched, or the Url of a redirect.
        part = self.part
        head = http.request("GET", url, self.fields(url), self.token if self.url.same_origin(url) else "")
        link = self.connector.connect(url.host, url.port, min(self.connect_ms, self.in_time("done")))
        response = http.Response(link)
        try:
            link.timeout_ms = self.idle_ms
            link.write(head)
            status = response.read_head()
            self.heard_at = utime.ticks_ms()
            if status >= 300:
                response.sure(self.view)
            if status in (301, 302, 303, 307, 308):
                location = response.location()
                if not location:
                    raise PixError("no-location", "status %d" % status)
                return resolve(url, location)
            if status == 304 and self.etag:
                part.discard()
                return Fetched(self, response, size_of(self.path))
            self.accept(response, status)
            self.body(response, url.host)
        except PixError as error:
            try:
                response.doubt(error, self.view)
            finally:
                self.keep_proven(response)
            raise
        finally:
            try:
                link.close()
            except PixError:
                pass  # whatever is wrong with the modem, the next connect tells
        if self.digest and not part.proves(self.digest, self.view):
            part.discard()
            raise PixError("digest-mismatch")
        if self.check is not None:
            try:
                self.check(part.path)
            except PixError:
                part.discard()
                raise
        size = part.size
        part.commit(self.digest)
        return Fetched(self, response, size)

    def fields(self, url):
        # The caller's fields may hold any secret of the first host.
        fields = list(self.headers) if self.url.same_origin(url) else []
        if self.etag and size_of(self.path) is not None:
            name = "If-Modified-Since" if self.etag[-4:] == " GMT" else "If-None-Match"
            fields.append((name, self.etag))
        return fields + range_fields(self.part.size, self.validator)

    def accept(self, response, status):
        # Get the part ready for the body, or raise.
        part = self.part
        if status == 416 and part.size:
            # The file became shorter without its ETag changing.
            self.give_up("the range is refused")
        if status == 511:  # RFC 6585: sent by what stands between, not by the server
            raise PixError("login-page")
        if status not in (200, 203, 206):
            if status < 300 or status == 304:
                raise PixError("no-file", "status %d" % status)
            self.wait_for(response)
            raise PixError("http-%d" % status, "", status in (408, 425, 429, 500, 502, 503, 504))
        content.check_coding(response)
        digest = repr_digest(response.header("repr-digest"))
        if status == 206 and not part.size and wrong_range(response, 0, -1, "", ""):
            raise PixError("bad-range", "status 206 was not asked for")
        if status == 206 and part.size:
            wrong = wrong_range(response, part.size, self.total, self.validator, self.digest)
            if wrong:
                response.sure(self.view)
                self.give_up(wrong)
            self.total = content_range(response.header("content-range"))[2]
            self.check_room(self.total - part.size)
            part.resume()
            self.digest = self.digest or digest
        else:
            part.discard()
            self.resumed = 0
            stream = content.boundary_of(response) is not None
            if stream:
                digest = ""
            self.validator = "" if stream else strong_validator(response)
            length = response.length if status != 206 else content_range(response.header("content-range"))[2]
            self.total = -1 if stream or length is None else length
            self.check_room(self.total)
            part.begin(self.key, self.validator, self.total, digest)
            self.digest = digest
        self.tell()

    def give_up(self, why):
        self.part.discard()
        self.restart = True
        raise PixError("bad-range", why)

    def check_room(self, needed):
        folder = self.path[: self.path.rfind("/")] or "/"
        free = free_bytes(folder)
        if needed > all_bytes(folder):
            # Some streams tell a length that no file has: no room on the card would be enough.
            raise PixError("too-much", "%d MB" % (needed >> 20))
        if 0 < self.longest < self.part.size + needed:
            raise PixError("too-much", "%d bytes, %d are expected" % (self.part.size + needed, self.longest))
        if needed > free:
            raise PixError("card-full", "%d kB needed, %d kB free" % (needed + 1023 >> 10, free >> 10))
        if needed < 0:
            if free < _NO_ROOM:
                raise PixError("card-full", "%d kB free" % (free >> 10))
            self.most = min(self.body_kb << 10 or _MOST_BYTES, max(free >> 1, min(free, _LITTLE_ROOM)))
            self.most = min(self.most, self.longest or self.most)

    def bounded(self, size):
        # Raise PixError "endless" when a body of which nobody told the length got as far as `size` bytes in vain.
        ms = utime.ticks_diff(utime.ticks_ms(), self.body_from)
        if self.total < 0 and (size > self.most or ms > self.body_ms):
            raise PixError("endless", "%d kB in %d s" % (size >> 10, ms // 1000))

    def body(self, response, host):
        part = self.part
        view = self.view
        self.body_from = utime.ticks_ms()
        source = response
        boundary = content.boundary_of(response)
        if boundary is not None:
            source = content.Still(response, boundary, lambda: self.bounded(0))
        fill = 0
        while True:
            got = source.readinto(view[fill:])
            fill += got
            self.bounded(part.size + fill)
            if fill == BLOCK or (fill and not got):
                if not part.size and self.wants_picture:
                    self.look(response, view[:fill], host)
                part.write(view[:fill])
                fill = 0
                if part.size % _FLUSH_BYTES == 0:
                    part.flush()
                self.tell()
            if not got:
                break
            self.in_time("done")
        if self.total >= 0 and part.size != self.total:
            raise PixError("truncated", "%d of %d bytes came" % (part.size, self.total))
        if source is not response:
            response.sure(view)
        elif not self.digest:
            self.prove(response)
        part.close()

    def look(self, response, head, host):
        # Raise PixError "web-page" when the content that begins with `head` is one; from a `host` that nobody asked for
        # it is what a network shows to those who have to log in. "not-picture" for sound and film, which may not end.
        kind = response.header("content-type")
        if kind[:6].lower() in ("audio/", "video/") and bytes(head[:2]) not in (b"\xff\xd8", b"BM"):
            raise PixError("not-picture", kind)
        title = content.page_title(head, kind)
        if title is not None and host != self.url.host:
            raise PixError("login-page", host)
        if title is not None:
            raise PixError("web-page", ("%d %s" % (response.status, title)).strip())

    def prove(self, response):
        # Without a digest the end of the link is the proof that there was no more, and the link has to vouch for the
        # last bytes. A server may keep the link open in spite of "Connection: close".
        response.link.timeout_ms = http.PROOF_MS
        try:
            excess = response.drain()
        except PixError as error:
            if error.code == "bytes-lost":
                raise
            excess = 0
        response.sure(self.view)
        if excess:
            raise PixError("too-long", "%d bytes expected" % self.part.size)

    def keep_proven(self, response):
        # After trouble: forget what the link cannot vouch for. Each byte of the link carries at most one of the body,
        # so the count of unproven bytes there is enough.
        part = self.part
        part.close()
        if response.body:
            received = response.received
            size = part.size - max(0, received - getattr(response.link, "trusted", received))
            part.cut(max(0, size) // BLOCK * BLOCK if self.validator else 0)

    def tell(self):
        if self.progress is not None:
            self.progress(self.part.size, None if self.total < 0 else self.total)
