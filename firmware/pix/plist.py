# A playlist: which pictures, in which order, for how long. Read from a file on the card, an entry at a time.
#
# Three kinds are understood:
#   - the companion's, whose first line is "maixpix-playlist 1" and whose last one "end <number of entries>". Between
#     them stands a line for each picture: "<seconds> <SHA-256> <bytes> <from> <until> <URL> <caption>", the times in
#     seconds since 1970 (UTC), "-" for whatever is not told;
#   - a plain list of URLs, one a line, each with a caption behind it if wished; empty lines and those with "#" in front
#     say nothing;
#   - a folder of the card.
# URLs may be relative to that of the list. In memory is of each entry only where it stands and the name of its file, so
# a list is surveyed as a whole, and an entry that is not understood is found when it is asked for.

from array import array

import ubinascii
from micropython import const

from pix.errors import PixError
from pix.files import files, head_of, on_card
from pix.url import parse, quote, resolve

MAGIC = b"maixpix-playlist 1"

MOST_BYTES = const(65535)  # of a list: places in it have 16 bits
_MOST = const(500)  # entries of a list; of a folder as many names are kept, 20 kB of them
_MAX_LINE = const(512)
_LONGEST_S = const(2678400)  # 31 days: what a list may have one picture stay at most
_MARK = b"\xef\xbb\xbf"  # what some editors put in front of a text
_ENDINGS = (".jpg", ".jpeg", ".bmp")


class Item:
    # One picture. `stem` (a number) names its file on the card, it is made of `text`, the URL as the list has it;
    # `url` is "" for a file of the card itself, which `path` names then;
    # `digest` (SHA-256 as hex text, "" unknown), `size` (bytes, -1 unknown), `seconds` (0: as the board likes), `since`
    # and `until` (0: no limit), `caption` (ASCII).
    def __init__(self, text, url="", digest="", size=-1, seconds=0, since=0, until=0, caption=""):
        self.url = url
        self.path = ""
        self.stem = stem_of(text)
        self.digest = digest
        self.size = size
        self.seconds = seconds
        self.since = since
        self.until = until
        self.caption = caption

    def holds(self, now):
        # True when it may be shown at `now` (seconds since 1970, None unknown: then the beginning does not count, so
        # that a board without a clock shows something).
        return now is None or (self.since <= now and (not self.until or now < self.until))


def stem_of(text):
    # The number whose eight hex digits name the file of the URL or path `text` (str or bytes).
    return ubinascii.crc32(text.encode() if isinstance(text, str) else text) & 0xFFFFFFFF


class Fixed:
    # A list of one URL, which is asked again and again.
    def __init__(self, url):
        self._item = Item(url, url)
        self.stems = (self._item.stem,)

    def __len__(self):
        return 1

    def item(self, index):
        # The Item, always the same.
        return self._item


class Folder:
    # The pictures of a folder of the card in the order of their names. Raises PixError.
    def __init__(self, folder):
        self._folder = folder
        self._names = _pictures_in(folder)
        if not self._names:
            raise PixError("no-pictures", folder)
        self.stems = ()

    def __len__(self):
        return len(self._names)

    def item(self, index):
        # The Item of that number.
        name = self._names[index]
        item = Item(name, caption=name[: name.rfind(".")])
        item.path = "%s/%s" % (self._folder, name)
        return item


class Playlist:
    # The list in the file `path`, which came from `url` ("" for one that somebody put onto the card). It is read here
    # once from end to end. Raises PixError "bad-playlist", "no-pictures" and those of the card.
    def __init__(self, path, url=""):
        self._path = path
        self._base = parse(url) if url else None
        self._ours = head_of(path, len(MAGIC)) == MAGIC
        self._places = array("H")
        self.stems = array("I")
        on_card(path, self._survey)
        if not len(self._places):
            raise PixError("no-pictures", url or path)

    def __len__(self):
        return len(self._places)

    def item(self, index):
        # The Item of that number. Raises PixError "bad-playlist", "https" or "bad-url" for an entry that is none, and
        # those of the card.
        return self._parsed(on_card(self._path, self._line_at, self._places[index]))

    def _survey(self):
        at = 0
        ended = not self._ours
        with open(self._path, "rb") as f:
            while True:
                line = f.readline()
                if not line:
                    break
                if at > MOST_BYTES or len(line) > _MAX_LINE:
                    raise PixError("bad-playlist", "it is too long")
                text = _text(line)
                if self._ours and text[:4] == b"end ":
                    ended = text == b"end %d" % len(self._places)
                elif text and text[:1] != b"#" and not (self._ours and not at):
                    if len(self._places) < _MOST or self._ours:
                        self._places.append(at)
                        self.stems.append(self._stem(text.split()))
                at += len(line)
        if not ended or len(self._places) > _MOST:
            raise PixError("bad-playlist", "it is not whole")

    def _stem(self, words):
        if self._ours and len(words) < 6:
            raise PixError("bad-playlist", "a line is not understood")
        return stem_of(words[5 if self._ours else 0])

    def _line_at(self, at):
        with open(self._path, "rb") as f:
            f.seek(at)
            return f.readline()

    def _parsed(self, line):
        words = _text(line).split()
        try:
            if not self._ours:
                return Item(words[0], self._url(words[0].decode()), caption=_caption(words[1:]))
            digest = "" if words[1] == b"-" else words[1].decode()
            if digest and (len(digest) != 64 or digest.strip("0123456789abcdef")):
                raise ValueError
            return Item(
                words[5], self._url(words[5].decode()), digest, _number(words[2], -1),
                min(_number(words[0], 0), _LONGEST_S), _number(words[3], 0), _number(words[4], 0), _caption(words[6:]),
            )  # fmt: skip
        except (ValueError, IndexError, UnicodeError):
            raise PixError("bad-playlist", "a line is not understood")

    def _url(self, text):
        if self._base is None:
            parse(text)
            return text
        where = resolve(self._base, text)
        url = where.text()
        if where.user is None:
            return url
        # The login of the list is that of its pictures on the same host.
        return "http://%s@%s" % (quote(where.user.decode(), "%/?#@"), url[7:])


def _pictures_in(folder):
    # Their names in order, the first of those that the card tells.
    names = []
    for name in files(folder):
        low = name.lower()
        if low[low.rfind(".") :] in _ENDINGS and len(names) < _MOST:
            names.append(name)
    names.sort()
    return names


def _text(line):
    # What the line says, without white space around it.
    return (line[3:] if line[:3] == _MARK else line).strip()


def _number(word, unknown):
    # The number that a field tells, `unknown` for "-". Raises ValueError for whatever else stands there.
    if word == b"-":
        return unknown
    if not word.isdigit():
        raise ValueError
    return int(word)


def _caption(words):
    # The words of a caption, which may hold any bytes, as the panel's letters can show them.
    return "".join([chr(b) if 0x20 <= b < 0x7F else "?" for b in b" ".join(words)])
