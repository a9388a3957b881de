# A playlist: which pictures, in which order, for how long. Read from a file on the card, an entry at a time.
#
# Three kinds are understood:
#   - the companion's, whose first line is "maixpix-playlist 1" and whose last one "end <number of entries>". Between
#     them stands a line for each picture: "<seconds> <SHA-256> <bytes> <from> <until> <URL> <caption>", the times in
#     seconds since 1970 (UTC), "-" for whatever is not told;
#   - a plain list of URLs, one a line, each with a caption behind it if wished; empty lines and those with "#" in front
#     say nothing;
#   - a folder of the card.
# URLs may be relative to that of the list. In memory is of each entry only where it stands and the name of its file.

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
_ENDINGS = (".jpg", ".jpeg", ".bmp")


class Item:
    # One picture. `stem` (a number) names its file on the card, it is made of `text`, the URL as the list has it;
    # `url` is "" for a file of the card itself, which `path` names then;
    # `digest` (SHA-256 as hex text, "" unknown), `size` (bytes, -1 unknown), `seconds` (0: as the board likes), `since`
    # and `until` (0: no limit), `caption`.
    def __init__(self, text, url="", path="", digest="", size=-1, seconds=0, since=0, until=0, caption=""):
        self.url = url
        self.path = path
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
        # The one Item, whatever the number.
        return self._item


class Folder:
    # The pictures of a folder of the card in the order of their names. Raises PixError.
    def __init__(self, folder):
        self._folder = folder
        self._names = []
        for name in files(folder):
            low = name.lower()
            if low[low.rfind(".") :] in _ENDINGS and len(self._names) < _MOST:
                self._names.append(name)
        self._names.sort()
        if not self._names:
            raise PixError("no-pictures", folder)
        self.stems = ()

    def __len__(self):
        return len(self._names)

    def item(self, index):
        # The Item of that number.
        name = self._names[index]
        return Item(name, path="%s/%s" % (self._folder, name), caption=name[: name.rfind(".")])


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
        # The Item of that number. Raises PixError.
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
                text = line.strip()
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
        try:
            words = line.decode().split()
            if not self._ours:
                return Item(words[0], self._url(words[0]), caption=" ".join(words[1:]))
            seconds, digest, size, since, until = [word if word != "-" else "" for word in words[:5]]
            if digest and (len(digest) != 64 or digest.strip("0123456789abcdef")):
                raise ValueError
            return Item(
                words[5], self._url(words[5]), "", digest, int(size or -1), int(seconds or 0), int(since or 0),
                int(until or 0), " ".join(words[6:]),
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
