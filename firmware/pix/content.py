# What the content of an answer is, where that is not simply a file: a stream of pictures of a network camera, a web
# page in place of a picture, something compressed.

from micropython import const

from pix.errors import PixError
from pix.httpwire import text_of

_PIECE = const(512)  # bytes that are searched at once for what ends a picture
_MAX_LINE = const(1024)
_MAX_PARTS = const(16)  # of a stream, that are no pictures
_MAX_BLANK = const(5)  # lines before the first boundary
_MAX_TITLE = const(60)
_AS_IT_IS = (  # "aws-chunked": how it was once uploaded to S3, which tells it ever after
    "", "identity", "none", "binary", "7bit", "8bit", "utf-8", "utf8", "iso-8859-1", "us-ascii", "aws-chunked",
)  # fmt: skip
_TAGS = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<meta", b"<title", b"<!--")


def check_coding(response):
    # Raise PixError "compressed" unless the content of `response` comes as it is. Some servers put a charset, the
    # coding of a mail or the type of the picture there.
    for item in response.header("content-encoding").split(","):
        item = item.strip().lower()
        if item not in _AS_IT_IS and item[:6] != "image/":
            raise PixError("compressed", item)


def boundary_of(response):
    # What stands between the pictures of a multipart/x-mixed-replace stream, as bytes, b"" when it does not tell; None
    # when it is no such stream.
    told = response.header("content-type")
    if told.split(";")[0].strip().lower() != "multipart/x-mixed-replace":
        return None
    for item in told.split(";")[1:]:
        name, _, value = item.partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "boundary" and value:
            return value.encode()
    return b""


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
    # Cameras disagree about the two dashes before the boundary and about Content-Length, which many leave out; some use
    # another boundary than they tell, or tell none: then the first line has it. A part that is called anything but an
    # image, or does not begin as a JPEG, is passed over: some streams begin in the middle of one.
    def __init__(self, response, boundary, alive):
        self._response = response
        self._marks = [b"--" + boundary] if boundary else []
        if boundary[:2] == b"--":
            self._marks.append(boundary)
        self._alive = alive
        self._data = b""  # what was read and not given out
        self._left = None  # bytes of the picture still to come; -1: up to the boundary; None: it was not found yet
        self._end = b""  # the last two bytes given out

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
        self._end = (self._end + self._data[max(0, count - 2) : count])[-2:]
        self._data = self._data[count:]
        if count and not self._left and self._end != b"\xff\xd9":
            self._bounded()
        return count

    def _bounded(self):
        # A picture that has its length but not a JPEG's end: wrong unless the boundary follows. One that ends well is
        # not kept waiting for that, which may come with the next picture only.
        while len(self._data) < 4 + max([len(mark) for mark in self._marks]):
            self._more()
        rest = self._data[:4].lstrip(b"\r\n") + self._data[4:]
        for mark in self._marks:
            if rest[: len(mark)] == mark or rest[: len(mark) - 2] == mark[2:]:
                return
        raise PixError("truncated", "a picture is not as long as the stream tells")

    def _ready(self):
        # How many bytes of `_data` belong to the picture for certain; 0 at its end.
        longest = max([len(mark) for mark in self._marks]) + 1
        while True:
            found = [self._data.find(b"\n" + mark) for mark in self._marks]
            found = [end for end in found if end >= 0]
            if found:
                end = min(found)
                if self._data[end - 1 : end] == b"\r":
                    end -= 1
                if not end:
                    self._left = 0
                return end
            sure = len(self._data) - longest
            if sure > 0:
                return sure
            self._more()

    def _find(self):
        # Read up to the first picture.
        line = b""
        for _ in range(_MAX_BLANK):
            line = line or self._line()
        if line[:2] == b"--" and line not in self._marks:
            self._marks.append(line)
        for _ in range(_MAX_PARTS):
            while not self._is_boundary(line):
                line = self._line()
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
        return bool(line) and (line in self._marks or b"--" + line in self._marks)

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
