# Bodies of requests: multipart/form-data taken apart as it comes, its files straight onto the card.
#
# Whatever is told about a file (name, type, length) was told by a stranger: names are made anew in 8.3, and what the
# file is, its own bytes say.

import ubinascii
from micropython import const

from pix.errors import PixError
from pix.files import free_bytes, size_of
from pix.store import BLOCK, Part
from pix.webreq import WebError, attribute, decoded

_MAX_HEAD = const(1024)  # bytes of a part's fields
_MAX_TEXT = const(4096)  # bytes of all fields that are no files
_MAX_PARTS = const(40)
_MAX_BOUNDARY = const(70)  # RFC 2046 5.1.1

_START = const(0)
_FIELDS = const(1)
_DATA = const(2)
_OVER = const(3)


class Saved:
    # A file of a form. `path` on the card, `size` in bytes, `filename` as the browser told it. It is written to a part
    # file; `commit` makes it the file, `discard` removes it.
    def __init__(self, path, filename="", length=0, magic=()):
        # `length` is what the whole request tells, in bytes. `magic`: two bytes each that the file may begin with; ()
        # for any. Raises WebError 413 without room for it and PixError for trouble with the card.
        self.path = path
        self.filename = filename
        self.size = 0
        folder = path[: path.rfind("/")] or "/"
        if length > free_bytes(folder):
            raise WebError(413, "There is not enough room on the card.")
        self._part = Part(path)
        self._part.begin("")
        self._buffer = memoryview(bytearray(BLOCK))
        self._fill = 0
        self._magic = magic

    def write(self, data):
        # Append `data`, to the card in whole blocks. Raises WebError 415 and PixError.
        at = 0
        while at < len(data):
            count = min(len(data) - at, BLOCK - self._fill)
            self._buffer[self._fill : self._fill + count] = data[at : at + count]
            self._fill += count
            at += count
            if self._fill == BLOCK:
                self._flush()
        self.size += len(data)

    def _flush(self):
        if self._magic and not self._part.size and bytes(self._buffer[: min(2, self._fill)]) not in self._magic:
            raise WebError(415, "This is no file of a kind that is wanted here.")
        self._part.write(self._buffer[: self._fill])
        self._fill = 0

    def commit(self):
        # Make it the file `path`, proven to be as long as what was written. Raises WebError 415 and PixError.
        if self._fill or not self.size:
            self._flush()
        self._part.commit()
        self._buffer = None

    def discard(self):
        # Remove what was written. Harmless afterwards.
        if self._buffer is not None:
            self._buffer = None
            self._part.discard()


class Multipart:
    # `boundary` is text. `open_file(name, filename, kind)` returns what has write(data) for the file of that field.
    # `pairs` collects (name, value) of all other fields. Raises WebError 400 and 413, and what the files raise.
    def __init__(self, boundary, open_file):
        if not boundary or len(boundary) > _MAX_BOUNDARY:
            raise WebError(400, "The boundary of the form is missing.")
        self.pairs = []
        self._open_file = open_file
        self._mark = b"\r\n--" + boundary.encode()
        self._data = b"\r\n"  # so that a boundary right at the beginning is like any other
        self._state = _START
        self._name = ""
        self._value = None  # of the present text field
        self._file = None
        self._text = 0
        self._parts = 0
        self._skip = 0  # bytes of the end of the fields' last line, which are no content

    @property
    def done(self):
        # True once the last boundary has come.
        return self._state == _OVER

    def feed(self, data):
        # Take in the next bytes of the body.
        if self._state == _OVER:
            return
        self._data += data
        while self._state != _OVER and self._step():
            pass

    def _step(self):
        # Take one thing out of what came; False when more has to come first.
        if self._state == _FIELDS:
            return self._fields()
        at = self._data.find(self._mark)
        sure = at if at >= 0 else max(0, len(self._data) - len(self._mark) - 1)
        if self._state == _DATA and sure:
            self._content(self._data[:sure])
        if at < 0:
            self._data = self._data[sure:]
            return False
        # Behind a boundary: "--" at the end of the form, else spaces and the end of the line (RFC 2046 5.1.1).
        rest = self._data[at + len(self._mark) :]
        line = rest.find(b"\n")
        if rest[:2] == b"--":
            self._state = _OVER
        elif line < 0:
            if len(rest) > _MAX_BOUNDARY:
                raise WebError(400, "The form has no end of a line behind a boundary.")
            self._data = self._data[at:]
            return False
        elif rest[:line].strip(b" \t\r"):
            raise WebError(400, "The form has something behind a boundary.")
        else:
            self._state = _FIELDS
            self._parts += 1
            if self._parts > _MAX_PARTS:
                raise WebError(413, "The form has more than %d fields." % _MAX_PARTS)
        self._end_part()
        self._data = rest[line + 1 :] if self._state == _FIELDS else b""
        return True

    def _fields(self):
        # The fields in front of a part's content, up to an empty line.
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > _MAX_HEAD:
                raise WebError(400, "The fields of a part are too long.")
            return False
        told = ""
        kind = ""
        for line in self._data[:end].split(b"\r\n"):
            name, _, value = line.partition(b":")
            name = name.strip().lower()
            if name == b"content-disposition":
                told = decoded(value.strip())
            elif name == b"content-type":
                kind = decoded(value.strip()).lower()
        # The empty line's end may also be the one in front of the boundary, when there is no content at all.
        self._data = self._data[end + 2 :]
        self._skip = 2
        self._name = attribute(told, "name")
        filename = attribute(told, "filename")
        if self._name is None:
            raise WebError(400, "A field of the form has no name.")
        if filename is None:
            self._value = b""
        elif filename:
            self._file = self._open_file(self._name, filename, kind)
        # A file with an empty name is none: nothing was chosen.
        self._state = _DATA
        return True

    def _content(self, data):
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        data = data[skipped:]
        if self._file is not None:
            self._file.write(data)
        elif self._value is not None:
            self._text += len(data)
            if self._text > _MAX_TEXT:
                raise WebError(413, "The form's texts are longer than %d bytes." % _MAX_TEXT)
            self._value += data

    def _end_part(self):
        if self._value is not None:
            self.pairs.append((self._name, decoded(self._value)))
        self._value = self._file = None


class Stream:
    # The body of a request whose handler reads it itself: `readinto` waits for the client, so nothing else is served
    # meanwhile.
    def __init__(self, link, left):
        self.left = left
        self._link = link
        self._data = b""

    def begin(self, data):
        # What came with the head.
        self._data = data[: self.left]

    def readinto(self, buf):
        # Read up to len(buf) bytes: the count, 0 at the end. Raises PixError "truncated" when the client left, and what
        # the link raises.
        if not self.left:
            return 0
        if self._data:
            got = min(len(buf), len(self._data))
            buf[:got] = self._data[:got]
            self._data = self._data[got:]
        else:
            view = memoryview(buf)
            got = self._link.readinto(view[: min(len(view), self.left)])
            if not got:
                raise PixError("truncated", "the client closed too early")
        self.left -= got
        return got


def short_name(folder, filename, extension):
    # The path of a new file in `folder` with an 8.3 name that reminds of `filename`. `extension` without its dot.
    stem = filename.replace("\\", "/").split("/")[-1]
    dot = stem.rfind(".")
    stem = (stem[:dot] if dot > 0 else stem).lower()
    plain = ""
    for c in stem:
        if "a" <= c <= "z" or "0" <= c <= "9" or c == "_" or c == "-":
            plain += c
    if not plain:
        plain = "%08x" % (ubinascii.crc32(stem.encode()) & 0xFFFFFFFF)
    for number in range(1, 1000):
        tail = "" if number == 1 else str(number)
        path = "%s/%s%s.%s" % (folder, plain[: 8 - len(tail)], tail, extension)
        if size_of(path) is None:
            return path
    raise PixError("card-full", "no name is left for %s" % plain[:8])
