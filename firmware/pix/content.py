# What the content of an answer is, where that is not simply a file: a stream of pictures of a network camera, a web
# page in place of a picture, something compressed.

from micropython import const

from pix.errors import PixError
from pix.httpwire import text_of

_PIECE = const(512)  # bytes that are searched at once for what ends a picture
_MAX_LINE = const(1024)
_MAX_PARTS = const(16)  # of a stream, that are no pictures
_MAX_TITLE = const(60)
_TAGS = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<meta", b"<title", b"<!--")


def check_coding(response):
    # Raise PixError "compressed" unless the content of `response` comes as it is.
    for item in response.header("content-encoding").split(","):
        if item.strip().lower() not in ("", "identity", "none"):
            raise PixError("compressed", item.strip())


def boundary_of(response):
    # What stands between the pictures of a multipart/x-mixed-replace stream, as bytes; None when it is no such stream.
    # Raises PixError "bad-head" when the stream does not tell it.
    told = response.header("content-type")
    if told.split(";")[0].strip().lower() != "multipart/x-mixed-replace":
        return None
    for item in told.split(";")[1:]:
        name, _, value = item.partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "boundary" and value:
            return value.encode()
    raise PixError("bad-head", "a stream without boundary")


def page_title(head, content_type):
    # The title ("" when it has none) of the web page that begins with the bytes `head`, None when that is no page.
    # Servers call pictures text/html too, so the bytes decide, and the type only where they might be text.
    text = bytes(head)
    start = text.lstrip(b"\xef\xbb\xbf \t\r\n")[:16].lower()
    for tag in _TAGS:
        if start[: len(tag)] == tag:
            break
    else:
        kind = content_type.split(";")[0].strip().lower()
        if kind not in ("text/html", "application/xhtml+xml") or text[:2] in (b"\xff\xd8", b"BM") or b"\0" in text:
            return None
    low = text.lower()
    begin = low.find(b">", low.find(b"<title") if b"<title" in low else len(low)) + 1
    end = low.find(b"</title", begin)
    return " ".join(text_of(b" ".join(text[begin:end].split())).split())[:_MAX_TITLE] if 0 < begin < end else ""


class Still:
    # The first whole picture of a camera's stream, read like a pix.http.Response. `boundary` as boundary_of gives it;
    # `alive()` is called for every piece, and may raise what ends the search.
    #
    # Cameras disagree about the two dashes before the boundary and about Content-Length, which many leave out. A part
    # that is called anything but an image, or does not begin as a JPEG, is passed over: some streams begin in the
    # middle of one.
    def __init__(self, response, boundary, alive):
        self._response = response
        self._dashed = boundary if boundary[:2] == b"--" else b"--" + boundary
        self._alive = alive
        self._data = b""  # what was read and not given out
        self._left = None  # bytes of the picture still to come; -1: up to the boundary; None: it was not found yet

    def readinto(self, buf):
        # Read a part of the picture into `buf`: the number of bytes, 0 at its end. Raises PixError "truncated",
        # "endless" when there is none among the first parts, and what the Response raises.
        if self._left is None:
            self._find()
        if not self._left:
            return 0
        if self._left > 0:
            if not self._data:
                self._more()
            count = min(self._left, len(buf), len(self._data))
            self._left -= count
        else:
            count = min(self._ready(), len(buf))
        buf[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def _ready(self):
        # How many bytes of `_data` belong to the picture for certain; 0 at its end.
        mark = b"\n" + self._dashed
        while True:
            end = self._data.find(mark)
            if end >= 0:
                if self._data[end - 1 : end] == b"\r":
                    end -= 1
                if not end:
                    self._left = 0
                return end
            sure = len(self._data) - len(mark)
            if sure > 0:
                return sure
            self._more()

    def _find(self):
        # Read up to the first picture.
        for _ in range(_MAX_PARTS):
            while not self._is_boundary(self._line()):
                pass
            kind = b""
            length = -1
            line = self._line()
            while line:
                name, _, value = line.partition(b":")
                name, value = name.strip().lower(), value.strip()
                if name == b"content-type":
                    kind = value.lower()
                elif name == b"content-length" and value.isdigit() and len(value) < 10:
                    length = int(value)
                line = self._line()
            while len(self._data) < 2:
                self._more()
            if self._data[:2] == b"\xff\xd8" and kind[:6] in (b"", b"image/"):
                self._left = length or -1
                return
        raise PixError("endless", "a stream without pictures")

    def _is_boundary(self, line):
        return line == self._dashed or line == self._dashed[2:]

    def _line(self):
        # The next line, without its end and what goes beyond the limit.
        line = b""
        while True:
            end = self._data.find(b"\n")
            stop = end + 1 if end >= 0 else len(self._data)
            line = (line + self._data[:stop])[:_MAX_LINE]
            self._data = self._data[stop:]
            if end >= 0:
                return line.rstrip(b"\r\n")
            self._more()

    def _more(self):
        self._alive()
        piece = bytearray(_PIECE)
        got = self._response.readinto(piece)
        if not got:
            raise PixError("truncated", "the stream ended in a picture")
        self._data += bytes(piece[:got])
