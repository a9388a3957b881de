# From a URL to a verified file on the card, whatever happens on the way.
#
# The body goes block by block into a part file beside the target (pix.store). Trouble that may pass is tried again
# after a growing pause, and the transfer goes on where it stopped: by Range and If-Range, with the ETag or date kept
# beside the part, also after a reset of the board. The target is replaced only when the length, and the digest if the
# server tells one (RFC 9530), are right; until then the previous file stays as it was.

import gc

import ubinascii
import utime
from micropython import const

from pix import http
from pix.digest import Digest, repr_digest
from pix.errors import PixError
from pix.resume import PROOF_MS, content_range, strong_validator, sure, wrong_range
from pix.store import BLOCK, Part, folder_of, free_bytes, size_of
from pix.url import parse, resolve

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = const(5)
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # statuses that may pass
_FIRST_PAUSE_MS = const(250)
_LONGEST_PAUSE_MS = const(8000)
_LONGEST_WISH_MS = const(30000)  # of a server's Retry-After
_FLUSH_BYTES = const(65536)  # what a power cut may cost at most
_STUBBORN = ("digest-mismatch", "dns-failed", "wifi-lost")  # the same once more, and it will not pass
_DOUBTFUL = ("bad-response", "truncated", "too-long")  # what lost bytes look like


class Fetched:
    # The outcome of a fetch. `status` is 200, 206 or 304; `bytes` the size of the file; `etag` and `content_type` as
    # the server told them ("" if not); `digest` the proven SHA-256 as hex text ("" without one from the server);
    # `elapsed_ms`; `rate` in bytes of content a second; `resumed` the bytes that were on the card already, from a
    # fetch before this one; `not_modified` True when the target is still the server's file; `attempts` from 1.
    def __init__(self, status, response):
        self.status = status
        self.not_modified = status == 304
        self.etag = response.header("etag", "")
        self.content_type = response.header("content-type", "")
        self.digest = ""
        self.resumed = 0


def fetch(
    connector,
    url,
    path,
    progress=None,
    headers=(),
    token="",
    etag="",
    retries=4,
    connect_ms=10000,
    idle_ms=10000,
    total_ms=1800000,
    buffer=None,
    check=None,
    again=None,
):
    # Fetch `url` to the file `path` (absolute) and return a Fetched.
    #
    # connector: has connect(host, port, timeout_ms) -> link. A link that sets `trusted` (bytes of it that are proven
    #   right) has what lies beyond fetched again; `timeout_ms` is set on it, the longest silence.
    # progress(done, total): after every block, in bytes; total is None when unknown.
    # headers, token: more (name, value) fields, a bearer token; neither leaves the host and port of `url`.
    # etag: of the file at `path`; when the server still has it, nothing is fetched (`not_modified`).
    # retries: attempts after the first in which nothing new arrived; pauses of 0.25 s doubling to 8 s.
    # total_ms: the longest time for everything. buffer: at least 4096 bytes to work in, made here when absent.
    # check(path): looks at the whole, proven file before it takes the place of the old one; the PixError it raises
    #   ends the fetch, and the old file stays.
    # again(error, ms): before every pause, with the PixError of the failed attempt.
    #
    # Raises PixError. A part that can be resumed stays on the card.
    job = _Fetch(connector, parse(url), path, progress, headers, token, etag)
    job.key = "%08x-%d" % (ubinascii.crc32(url.encode()) & 0xFFFFFFFF, len(url))
    job.connect_ms = connect_ms
    job.idle_ms = idle_ms
    job.total_ms = total_ms
    job.check = check
    job.again = again
    job.view = memoryview(buffer if buffer is not None else bytearray(BLOCK))[:BLOCK]
    return job.run(retries)


class _Fetch:
    def __init__(self, connector, url, path, progress, headers, token, etag):
        self._connector = connector
        self._url = url
        self._path = path
        self._progress = progress
        self._headers = headers
        self._token = token
        self._etag = etag
        self._started = utime.ticks_ms()
        self._part = None
        self._validator = ""
        self._total = -1
        self._digest = Digest()
        self._resumed = 0
        self._wish_ms = 0  # the server's Retry-After
        self._restart = False  # the part was given up; ask again without Range
        self._attempts = 0

    def run(self, retries):
        self._part = part = Part(self._path)
        info = part.load(self.key)
        if info is not None:
            self._validator = info.validator
            self._total = info.total
            self._digest = Digest(info.digest)
        self._resumed = part.size
        best = part.size
        left = retries
        pause_ms = _FIRST_PAUSE_MS
        seen = []
        try:
            while True:
                try:
                    return self._attempt()
                except PixError as error:
                    if self._restart:
                        self._restart = False
                        continue
                    if part.size > best:
                        best = part.size
                        left = retries
                        pause_ms = _FIRST_PAUSE_MS
                        seen = []
                    if not error.transient or error.code in seen or left <= 0 or self._left_ms() <= 0:
                        self._leave(error)
                        if error.code == "bytes-lost" and hasattr(self._connector, "settle"):
                            self._connector.settle()  # raises what noise often is: a module that restarts
                        raise
                    if error.code in _STUBBORN:
                        seen.append(error.code)
                    left -= 1
                    trouble = error
                gc.collect()
                wait_ms = max(0, min(max(pause_ms, self._wish_ms), self._left_ms()))
                if self.again is not None:
                    self.again(trouble, wait_ms)
                utime.sleep_ms(wait_ms)
                pause_ms = min(2 * pause_ms, _LONGEST_PAUSE_MS)
        finally:
            part.close()

    def _left_ms(self):
        return self.total_ms - utime.ticks_diff(utime.ticks_ms(), self._started)

    def _leave(self, error):
        # After the last attempt: keep what can be resumed, remove what only takes room.
        code = error.code
        if code == "no-card" or code == "card-error":
            return
        useless = code in ("card-full", "too-long", "digest-mismatch", "http-404", "http-410")
        if useless or not self._validator or not self._part.size:
            try:
                self._part.discard()
            except PixError:
                pass  # the first error tells more; pix.store.recover removes the part at the next start

    def _attempt(self):
        # All hops of one attempt.
        self._attempts += 1
        self._wish_ms = 0
        url = self._url
        for _ in range(_MAX_REDIRECTS + 1):
            outcome = self._hop(url)
            if isinstance(outcome, Fetched):
                return outcome
            url = outcome
        raise PixError("redirect-loop", url.text())

    def _hop(self, url):
        # One request. Returns the Url of a redirect or the Fetched.
        head = http.request("GET", url, self._fields(url), self._token if self._url.same_origin(url) else "")
        left_ms = self._left_ms()
        if left_ms <= 0:
            raise self._too_slow()
        link = self._connector.connect(url.host, url.port, min(self.connect_ms, left_ms))
        response = http.Response(link)
        try:
            link.timeout_ms = self.idle_ms
            link.write(head)
            outcome = self._judge(link, response, url)
            if outcome is not None:
                return outcome
            self._body(link, response)
        except PixError as error:
            try:
                if error.code in _DOUBTFUL:
                    sure(link, response.received, self.view)
            finally:
                self._keep_proven(link, response)
            raise
        finally:
            _close(link)
        if self._digest.told and not self._digest.proves(self._part, self.view):
            self._part.discard()
            raise PixError("digest-mismatch")
        if self.check is not None:
            try:
                self.check(self._part.path)
            except PixError:
                self._part.discard()
                raise
        size = self._part.size
        self._part.commit(self._digest.told)
        return self._result(response, response.status, size)

    def _judge(self, link, response, url):
        # The Url of a redirect, the Fetched of a file that did not change, or None when the body is to be read.
        status = response.read_head()
        if status >= 300:
            sure(link, response.received, self.view)
        if status in _REDIRECTS:
            location = response.header("location")
            if not location:
                raise PixError("bad-response", "status %d without Location" % status)
            return resolve(url, location)
        if status == 304 and self._etag:
            self._part.discard()
            return self._result(response, status, size_of(self._path))
        self._accept(link, response, status)
        return None

    def _fields(self, url):
        fields = []
        same = self._url.same_origin(url)
        for name, value in self._headers:
            if same or name.lower() not in ("authorization", "cookie"):
                fields.append((name, value))
        if self._etag and size_of(self._path) is not None:
            fields.append(("If-None-Match", self._etag))
        if self._part.size:
            fields.append(("Range", "bytes=%d-" % self._part.size))
            fields.append(("If-Range", self._validator))
        return fields

    def _accept(self, link, response, status):
        # Get the part ready for the body, or raise.
        part = self._part
        if status == 416 and part.size:
            # The file became shorter without its ETag changing.
            self._give_up_part("the range is refused")
        if status not in (200, 203, 206):
            raise self._refusal(response, status)
        coding = response.header("content-encoding", "identity")
        if coding.lower() != "identity":
            raise PixError("bad-response", "it is compressed: %s" % coding)
        digest = repr_digest(response.header("repr-digest", ""))
        if status == 206:
            if not part.size:
                raise PixError("bad-response", "status 206 was not asked for")
            wrong = wrong_range(response, part.size, self._total, self._validator)
            if digest and self._digest.told not in ("", digest):
                wrong = "the range has another digest"
            if wrong:
                sure(link, response.received, self.view)
                self._give_up_part(wrong)
            self._total = content_range(response.header("content-range"))[2]
            self._check_room(self._total - part.size)
            part.resume()
            self._digest.resume(part.size, digest)
        else:
            part.discard()
            self._resumed = 0
            self._validator = strong_validator(response)
            self._total = -1 if response.length is None else response.length
            self._check_room(self._total)
            part.begin(self.key, self._validator, self._total, digest)
            self._digest.begin(digest)
        self._tell()

    def _give_up_part(self, why):
        self._part.discard()
        self._restart = True
        raise PixError("bad-response", why)

    def _check_room(self, needed):
        free = free_bytes(folder_of(self._path))
        if needed > free:
            raise PixError("card-full", "%d kB needed, %d kB free" % (needed + 1023 >> 10, free >> 10))

    def _refusal(self, response, status):
        if status < 300 or status == 304:
            return PixError("bad-response", "status %d carries no file" % status)
        error = PixError("http-%d" % status)
        error.transient = status in _BUSY
        wish = response.header("retry-after", "")
        if wish.isdigit() and len(wish) < 6:
            self._wish_ms = min(int(wish) * 1000, _LONGEST_WISH_MS)
        return error

    def _body(self, link, response):
        part = self._part
        view = self.view
        fill = 0
        unflushed = 0
        while True:
            got = response.readinto(view[fill:] if fill else view)
            fill += got
            if fill == BLOCK or (fill and not got):
                block = view[:fill] if fill < BLOCK else view
                part.write(block)
                self._digest.update(block)
                unflushed += fill
                fill = 0
                if unflushed >= _FLUSH_BYTES:
                    part.flush()
                    unflushed = 0
                self._tell()
            if not got:
                break
            if self._left_ms() <= 0:
                raise self._too_slow()
        if self._total >= 0 and part.size != self._total:
            raise PixError("truncated", "%d of %d bytes came" % (part.size, self._total))
        if not self._digest.told:
            self._prove(link, response)
        part.close()

    def _prove(self, link, response):
        # Without a digest the end of the link is the proof that there was no more, and the link has to vouch for the
        # last bytes. A server may keep the link open in spite of "Connection: close".
        link.timeout_ms = PROOF_MS
        try:
            excess = response.excess or response.drain()
        except PixError as error:
            if error.code == "bytes-lost":
                raise
            excess = 0
        sure(link, response.received, self.view)
        if excess:
            raise PixError("too-long", "%d bytes expected" % self._part.size)

    def _keep_proven(self, link, response):
        # After trouble: forget what the link cannot vouch for. Each byte of the link carries at most one of the body,
        # so the count of unproven bytes there is enough.
        part = self._part
        part.close()
        if not response.body:
            return
        unproven = response.received - getattr(link, "trusted", response.received)
        if unproven > 0:
            part.cut(max(0, part.size - unproven))
        part.cut(part.size // BLOCK * BLOCK)
        if not self._validator:
            part.cut(0)

    def _tell(self):
        if self._progress is not None:
            self._progress(self._part.size, None if self._total < 0 else self._total)

    def _too_slow(self):
        error = PixError("timeout", "not done after %d s" % (self.total_ms // 1000))
        error.transient = False
        return error

    def _result(self, response, status, size):
        result = Fetched(status, response)
        result.bytes = size
        result.attempts = self._attempts
        result.elapsed_ms = utime.ticks_diff(utime.ticks_ms(), self._started)
        if status != 304:
            result.digest = self._digest.told
            result.resumed = self._resumed
        fetched = 0 if status == 304 else size - self._resumed
        result.rate = fetched * 1000 // max(1, result.elapsed_ms)
        return result


def _close(link):
    try:
        link.close()
    except PixError:
        pass  # whatever is wrong with the modem, the next connect tells
