# Files of the card as answers: types, ETag, 304, Range, and assets that were gzipped beforehand.

import ubinascii
import uos
from micropython import const

from pix.errors import PixError
from pix.files import beside, if_there, on_card, size_of
from pix.webreq import WebError
from pix.webres import Response, not_found

_SAMPLE = const(512)
_SAMPLES = const(8)
_FILE = const(0x8000)
_BLOCK = const(1536)

KINDS = {
    "jpg": "image/jpeg", "bmp": "image/bmp", "png": "image/png", "gif": "image/gif", "ico": "image/x-icon",
    "svg": "image/svg+xml", "htm": "text/html; charset=utf-8", "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "json": "application/json",
    "txt": "text/plain; charset=utf-8", "log": "text/plain; charset=utf-8", "py": "text/plain; charset=utf-8",
    "gz": "application/gzip",
}  # fmt: skip


class CardFile:
    # `size` bytes of the file `path` from `start` on, to be read by `readinto`. Raises PixError.
    #
    # The card is read in blocks at multiples of their size: pieces of a segment's length would each cost it three
    # commands.
    def __init__(self, path, start, size):
        self.size = size
        self._path = path
        self._left = size  # bytes still to be read from the card
        self._block = memoryview(bytearray(min(_BLOCK, size)))
        self._next = min(len(self._block), _BLOCK - start % _BLOCK)  # how many come next
        self._at = self._end = 0  # what of the block is not given out
        self._file = on_card(path, open, path, "rb")
        if start:
            on_card(path, self._file.seek, start)

    def readinto(self, view):
        # Returns how many bytes it put into `view`, 0 at the end. Raises PixError also when the file got shorter.
        if self._at == self._end and not self._fill():
            return 0
        got = min(len(view), self._end - self._at)
        view[:got] = self._block[self._at : self._at + got]
        self._at += got
        if got < len(view) and self._left:
            # Full segments: the module sends short ones no faster.
            return got + self.readinto(view[got:])
        return got

    def _fill(self):
        if not self._left:
            return False
        got = on_card(self._path, self._file.readinto, self._block[: min(self._next, self._left)])
        if not got:
            raise PixError("card-error", "%s is shorter than it was" % self._path)
        self._next = len(self._block)
        self._left -= got
        self._at = 0
        self._end = got
        return True

    def close(self):
        # Close the file; more than once does no harm.
        file = self._file
        self._file = None
        if file is not None:
            on_card(self._path, file.close)


def send_file(request, path, kind="", cache="no-cache", filename=""):
    # The Response that gives out the file `path`, or as much of it as `request` asks for. A file beside it whose
    # extension begins with "z" ("app.zjs" for "app.js") is its gzipped form, sent to those who take that. `cache` is
    # the field Cache-Control, `filename` what a browser shall save it as. Raises WebError 404, 416 and PixError.
    shown = path
    packed = beside(path, "z")
    if "gzip" in request.header("accept-encoding") and size_of(packed) is not None:
        shown = packed
    info = if_there(path, uos.stat, shown)
    if info is None or not info[0] & _FILE:
        raise not_found()
    size = info[6]
    etag = _etag(shown, size)
    dot = path.rfind(".")
    kind = kind or KINDS.get(path[dot + 1 :].lower(), "application/octet-stream")
    headers = [("ETag", etag), ("Cache-Control", cache), ("Accept-Ranges", "bytes")]
    if shown is not path:
        headers.append(("Content-Encoding", "gzip"))
        headers.append(("Vary", "Accept-Encoding"))
    if _matches(request.header("if-none-match"), etag):
        return Response(None, 304, headers)
    headers.append(("Content-Type", kind))
    if filename:
        safe = "".join([c if " " <= c <= "~" and c not in '"\\' else "_" for c in filename])
        headers.append(("Content-Disposition", 'attachment; filename="%s"' % safe))
    part = _range(request, size, etag)
    if part is None:
        return Response(CardFile(shown, 0, size), 200, headers)
    start, end = part
    headers.append(("Content-Range", "bytes %d-%d/%d" % (start, end - 1, size)))
    return Response(CardFile(shown, start, end - start), 206, headers)


def _etag(path, size):
    # The card's dates are no use (MaixPy's clock starts in 2000 every time), so the ETag tells the size and a checksum.
    # That of a larger file is of samples, which is why it is a weak one.
    sum_ = 0
    whole = size <= _SAMPLE * _SAMPLES
    view = memoryview(bytearray(_SAMPLE))
    file = on_card(path, open, path, "rb")
    try:
        for i in range(_SAMPLES):
            if not whole:
                on_card(path, file.seek, (size - _SAMPLE) * i // (_SAMPLES - 1))
            got = on_card(path, file.readinto, view)
            sum_ = ubinascii.crc32(view[:got], sum_)
            if whole and got < _SAMPLE:
                break
    finally:
        file.close()
    return '%s"%x-%08x"' % ("" if whole else "W/", size, sum_ & 0xFFFFFFFF)


def _matches(told, etag):
    # If-None-Match: weak comparison (RFC 9110 13.1.2).
    if told.strip() == "*":
        return True
    for item in told.split(","):
        item = item.strip()
        if item and (item[2:] if item[:2] == "W/" else item) == (etag[2:] if etag[:2] == "W/" else etag):
            return True
    return False


def _range(request, size, etag):
    # (start, end) of the one range that is asked for, None for the whole file. What is malformed, and several ranges,
    # mean the whole file (RFC 9110 14.2). Raises WebError 416.
    told = request.header("range").replace(" ", "")
    condition = request.header("if-range")
    if told[:6].lower() != "bytes=" or "," in told or request.method != "GET":
        return None
    if condition and (condition != etag or etag[:2] == "W/"):
        return None
    first, dash, last = told[6:].partition("-")
    if not dash or (first + last).strip("0123456789") or not first + last or len(told) > 40:
        return None
    if not first:
        start = max(0, size - int(last))
        end = size
    else:
        start = int(first)
        end = min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise WebError(416, "The file is not that long.", (("Content-Range", "bytes */%d" % size),))
    return start, end
