# From a file on the card to a receiver, proven, whatever happens on the way.
#
#     sender = Uploader(modem, "http://pc:8000/files/")
#     sent = sender.send("/sd/outbox/s0000001.jpg")
#
# Two doors: http:// speaks tus 1.0 (pix.tus) and goes on where it stopped, also after a reset of the board; tcp://
# sends the bytes to any listener. That listener has no way to answer, so every byte acknowledged and an orderly end is
# all there is to know. tcp+name:// sends one line before the file and gets one back:
#     #maixpix name=s0000001.jpg size=7012 sha256=HEX   ->   ok HEX 7012

import utime
from micropython import const

from pix import url
from pix.errors import PixError
from pix.files import beside, from_os, on_card, put, remove, size_of, sum_of
from pix.httpwire import text_of
from pix.retry import Retried
from pix.store import BLOCK, Sidecar, read_side

_MAX_ANSWER = const(300)
_REFUSES_MS = const(1000)  # a receiver that wants no bytes closes so soon after the first ones


class Sent:
    # The outcome. `proven`: the receiver told the right digest, or proved every piece by one; else it only took all
    # bytes. `digest`: SHA-256 as hex text, "" for tcp://. `resumed`: bytes that it had from an earlier time.
    # `attempts` from 1; 0: it had been sent before.
    def __init__(self, job):
        self.bytes = job.size
        self.digest = job.digest
        self.proven = job.proven
        self.resumed = job.resumed
        self.attempts = job.attempts
        self.elapsed_ms = job.elapsed_ms()


class Uploader:
    # connector: has connect(host, port, timeout_ms, pipelined=True) -> link.
    # target: http://host/files/ (tus), tcp://host:port (raw) or tcp+name://host:port (raw, with a line both ways); see
    #   pix.url.upload_target for what may be left out.
    # token: shared secret; plain tcp:// cannot carry it. board: the name under which the pictures are filed.
    # retries: attempts after the first in which nothing new arrived; pauses of 0.25 s doubling to 8 s.
    # idle_ms, total_ms: the longest silence, and the longest time for one file.
    # Raises PixError "bad-url", "https" or "settings".
    def __init__(
        self, connector, target, token="", board="", retries=4, connect_ms=10000, idle_ms=15000, total_ms=1800000
    ):  # fmt: skip
        self.connector = connector
        self.key = target
        self.token = token
        self.board = board
        self.retries = retries
        self.connect_ms = connect_ms
        self.idle_ms = idle_ms
        self.total_ms = total_ms
        self._aim()

    def _aim(self):
        if not hasattr(self.connector, "connect") or not isinstance(self.key, str):
            raise TypeError("upload.Uploader(modem, target): the modem of wifi.bring_up and an address are expected")
        self.view = memoryview(bytearray(BLOCK))
        scheme, self.url = url.upload_target(self.key)
        self.raw = scheme != "http"
        self.named = scheme == "tcp+name"
        if self.token and scheme == "tcp":
            raise PixError("settings", "tcp:// cannot carry the token, tcp+name:// and http:// can")
        self.sums = None  # the tus server takes SHA-256 sums of pieces; None: not asked yet
        self.takes = False  # the tus server has taken a file that came with its creation
        self.tells = None  # the tus server tells the digest of a file that is complete; None: not seen yet

    def send(self, path, progress=None, name="", digest=""):
        # Send the file and return a Sent. progress(done, total) in bytes; name: for the receiver, else the file's own;
        # digest: its SHA-256 in hex where that is known, else the file is read for it first. Raises PixError. What the
        # receiver has by then is not sent again the next time (tus).
        job = Job(self, path)
        job.begin(name, progress, digest)
        if job.state != "part":
            job.proven = job.state == "proven"
            return Sent(job)
        return job.persist()

    def connect(self, job, where):
        # A doubled byte on the serial line goes unseen behind CIPSENDBUF, while CIPSEND answers `busy`: so sending is
        # pipelined only where a digest proves the file.
        timeout_ms = min(self.connect_ms, max(1, job.left_ms()))
        link = self.connector.connect(where.host, where.port, timeout_ms, bool(job.digest))
        link.timeout_ms = self.idle_ms
        return link


class Job(Retried):
    # One file on its way. `location`: its URL at the tus server, "" when it has none; `offset`: bytes that the server
    # has, -1 unknown; `safe`: the most it ever had. `location` and `state` live in a note beside the file.
    def __init__(self, up, path):
        super().__init__(up.retries, up.total_ms)
        self.up = up
        self.path = path

    def begin(self, name, progress, digest=""):
        # Look at the file and at its note. Raises PixError.
        up = self.up
        path = self.path
        self.name = name or path[path.rfind("/") + 1 :]
        self.size = size_of(path)
        if not self.size:
            raise PixError("card-error", "%s is %s" % (path, "empty" if self.size == 0 else "not there"))
        self._progress = progress
        self.resumed = 0
        self.safe = 0
        self.proven = False
        self.location = ""
        self.state = "part"  # then "proven", or "sent" when the receiver gave no proof
        self.offset = -1
        self.digest = ""
        if up.raw and not up.named:
            return
        self.digest = digest or sum_of(path, 0, self.size, up.view)
        self._note = beside(path, "^")
        info = read_side(self._note)
        if info is not None and info.key == up.key and info.total == self.size and info.digest == self.digest:
            self.location = info.validator
            self.state = info.state

    def reached(self):
        # Bytes that the receiver has for sure.
        return self.safe

    def attempt(self):
        # One connection's worth of sending; returns the Sent when all is there.
        if self.up.raw:
            _send_raw(self.up, self)
        else:
            from pix import tus

            tus.send(self.up, self)
        # Should the board stop before the caller has dealt with the file, nothing is sent twice.
        if self.digest:
            self.keep(self.location, "proven" if self.proven else "sent")
        return Sent(self)

    def keep(self, location, state="part"):
        # Remember where the upload is, or that it is through; "" forgets it.
        self.location = location
        note = self._note
        if location or state != "part":
            info = Sidecar(self.path, self.up.key, location, self.size, state, -1, self.digest)
            on_card(note, put, note, info.pack())
        else:
            remove(note)

    def tell(self, done):
        # Tell the caller's `progress` that `done` bytes are there.
        if self._progress is not None:
            self._progress(done, self.size)

    def stream(self, link, head, at, end):
        # Send `head` (bytes) and the file from `at` to `end`, in segments that hold as much as they can; the card is
        # read while the modem thinks, where the link allows that. Raises PixError.
        view = self.up.view
        left = len(head) + end - at

        def fill(mv):
            nonlocal head, at
            self.tell(at)
            self.in_time("sent")
            if head:
                count = min(len(head), len(mv))
                mv[:count] = head[:count]
                head = head[count:]
                mv = mv[count:]
            if f.readinto(mv) != len(mv):
                raise PixError("card-error", "%s is shorter than it was" % self.path)
            at += len(mv)

        if at == end:
            link.write(head)
            return
        try:
            with open(self.path, "rb") as f:
                f.seek(at)
                if hasattr(link, "flush"):
                    link.write(view, fill, left)
                    left = 0
                while left:
                    piece = view[: min(left, len(view))]
                    fill(piece)
                    link.write(piece)
                    left -= len(piece)
        except OSError as error:
            raise from_os(error, self.path)
        self.tell(end)


def _send_raw(up, job):
    # The module cannot half-close a link: CIPCLOSE ends both directions. So the end comes when all is acknowledged.
    head = b""
    if up.named:
        words = "#maixpix name=%s size=%d sha256=%s" % (_escaped(job.name), job.size, job.digest)
        for word, value in (("board", up.board), ("token", up.token)):
            if value:
                words += " %s=%s" % (word, _escaped(value))
        head = (words + "\n").encode()
    link = up.connect(job, up.url)
    began = utime.ticks_ms()
    try:
        try:
            job.stream(link, head, 0, job.size)
        except PixError as error:
            if not up.named or error.code != "link-lost":
                raise  # else the receiver has refused, and closed
        if up.named:
            _answer(job, link, up.view)
            return
        if hasattr(link, "flush"):
            link.flush()
        # A tiny file is acknowledged before its refusal can be seen.
        link.timeout_ms = _REFUSES_MS - utime.ticks_diff(utime.ticks_ms(), began)
        closed = getattr(link, "closed", False)
        try:
            closed = closed or (link.timeout_ms > 0 and not link.readinto(up.view))
        except PixError as error:
            if error.code != "timeout":
                raise
        if closed:
            raise PixError("link-lost", "the receiver closed first")
    finally:
        link.close()
    if getattr(link, "error", ""):
        raise PixError(link.error)


def _answer(job, link, view):
    # The receiver's line: "ok" with digest and size, or "error" with its reason. Any other may be one that the serial
    # line damaged.
    line = b""
    while line[-1:] != b"\n":
        got = link.readinto(view[:_MAX_ANSWER])
        line += bytes(view[:got])
        if not got or len(line) > _MAX_ANSWER:
            raise PixError("bad-answer", "no line came back")
    words = text_of(line.strip()).split()
    if words[:1] == ["error"]:
        raise PixError("upload-refused", " ".join(words[1:]))
    if words[:1] != ["ok"] or len(words) != 3:
        raise PixError("bad-answer", " ".join(words))
    if words[1:] != [job.digest, str(job.size)]:
        raise PixError("digest-mismatch")
    job.proven = True


def _escaped(text):
    # As a word of the line: percent escapes for all but the plainest characters.
    out = ""
    for b in text.encode():
        c = chr(b)
        out += c if (c.isalpha() and b < 128) or c.isdigit() or c in "._-" else "%%%02X" % b
    return out
