# Files from elsewhere that stay on the card: the pictures of a playlist and the list itself, none of them unproven.
#
# A picture is "1a2b3c4d.jpg" in the folder, after the CRC-32 of its URL. What proves it is the SHA-256 of the playlist,
# or, where that tells none, a note beside it ("1a2b3c4d.tag": SHA-256 of the URL, ETag or date of the last change,
# SHA-256). Files come by pix.fetch, so a name appears by a commit only; the note is written behind it, and a power cut
# between the two leaves a picture whose note is of another one: it counts as not there. The content is hashed again
# whenever it is used, so that a card that rots shows nothing wrong. What is unchanged is never written again.

import ubinascii
import uhashlib
from micropython import const

from pix.errors import PixError
from pix.fetch import fetch
from pix.files import files, free_bytes, head_of, make_folder, on_card, put, remove, size_of, sum_of
from pix.store import BLOCK, recover

_MAGIC = b"pix-kept 1\n"
_MAX_NOTE = const(1024)
_MAX_ETAG = const(200)
_MOST_LIST = const(66560)  # bytes: somewhat more than pix.plist reads
_RETRIES = const(1)
_CONNECT_MS = const(8000)
_IDLE_MS = const(8000)
_TOTAL_MS = const(180000)
_LEAST_MS = const(20000)  # and 500 ms for each kB whose number is told: a server that only drips must not stop the rest
_LIST_MS = const(60000)


class Keep:
    # The files of `folder`, made if it is not there: at most `most` pictures of together `most_kb` kB. `writes` and
    # `written` count the files and bytes that were put onto the card since the start. Every method raises PixError.
    #
    # `heard`, unless None, is called with the pix.fetch.Fetched of every answer.
    def __init__(self, folder, most, most_kb, heard=None):
        self._folder = folder
        self._most = most
        self._most_bytes = most_kb << 10
        self.heard = heard
        self._buffer = bytearray(BLOCK)
        self._sizes = None  # stem -> bytes of every picture, once somebody asks for them
        self._held = 0
        self.writes = 0
        self.written = 0
        self.unchanged = 0  # answers that nothing has changed
        make_folder(folder)
        recover(folder)

    def path(self, stem, ending="jpg"):
        # The file of the number `stem`.
        return "%s/%08x.%s" % (self._folder, stem, ending)

    def count(self):
        # Pictures on the card.
        return len(self._taken())

    def there(self, item):
        # True when the file of the pix.plist.Item seems to be on the card: a quick look, no proof.
        size = self._taken().get(item.stem, -1)
        return size >= 0 and item.size in (-1, size)

    def has(self, stem):
        # True when there is a file of the number `stem`, right or wrong.
        return stem in self._taken()

    def lacks(self, stem):
        # True when there is certainly no file of the number `stem`; nothing is asked of the card for that.
        return self._sizes is not None and stem not in self._sizes

    def proven(self, item):
        # The path of the item's file when it is what it should be, "" when there is none; a wrong one is removed.
        path = self.path(item.stem)
        size = size_of(path)
        if size is None:
            return ""
        digest = item.digest or self._note(item)[1]
        if digest and item.size in (-1, size) and sum_of(path, 0, size, self._buffer) == digest:
            return path
        self.forget(item.stem)
        return ""

    def bring(self, modem, item, check, tell=None, **options):
        # Make sure that the item's file is what its URL holds: True when it is another one than before. check(path)
        # looks at the picture before it takes the place of the old one. `options` are those of pix.fetch.
        path = self.path(item.stem)
        etag, old = self._note(item) if not item.digest and self.proven(item) else ("", "")
        sums = []

        def right(part):
            sums.append(sum_of(part, 0, size_of(part), self._buffer))
            if item.digest and sums[-1] != item.digest:
                raise PixError("digest-mismatch", "", False)  # the list is older than the picture
            check(part)

        got = fetch(
            modem, item.url, path, tell.progress if tell else None, etag=etag, check=right, retries=_RETRIES,
            connect_ms=_CONNECT_MS, idle_ms=_IDLE_MS, buffer=self._buffer,
            total_ms=_TOTAL_MS if item.size < 0 else min(_TOTAL_MS, _LEAST_MS + item.size // 2),
            most=item.size if item.size >= 0 else self._most_bytes, **options
        )  # fmt: skip
        if self._same(got):
            return False
        self._note_size(item.stem, got.bytes)
        self._wrote(got.bytes)
        if not item.digest:
            note = self._packed(item.url, got.unless, sums[-1])
            on_card(path, put, self.path(item.stem, "tag"), note)
            self._wrote(len(note))
        return sums[-1] != old

    def bring_list(self, modem, url, again=None, **options):
        # The same for the list of pictures at `url`.
        path = self._folder + "/list.txt"
        note = self._folder + "/list.tag"
        etag, old = self._read_note(note, url)
        if old and not self._is(path, old):
            etag = ""
        got = fetch(
            modem, url, path, etag=etag, again=again, retries=_RETRIES, connect_ms=_CONNECT_MS, idle_ms=_IDLE_MS,
            total_ms=_LIST_MS, buffer=self._buffer, most=_MOST_LIST, **options
        )  # fmt: skip
        if self._same(got):
            return False
        packed = self._packed(url, got.unless, sum_of(path, 0, got.bytes, self._buffer))
        on_card(note, put, note, packed)
        self._wrote(got.bytes)
        self._wrote(len(packed))
        return True

    def list_path(self, url):
        # The path of the list that came from `url` when the card has it whole, else "".
        path = self._folder + "/list.txt"
        digest = self._read_note(self._folder + "/list.tag", url)[1]
        return path if digest and self._is(path, digest) else ""

    def forget_list(self):
        # Remove the list: it will be fetched anew.
        remove(self._folder + "/list.tag")

    def make_room(self, needed, last, more=1):
        # Remove pictures until one of `needed` bytes (-1 unknown) fits, those first that last(stems) names: it gets
        # all and returns that which is wanted latest, None when all others are wanted sooner. False when none may go,
        # and, before any goes, when all together would not be enough. `more` is 0 for a picture that is there already.
        needed = max(needed, 0)
        self._taken()
        if needed and (needed > self._most_bytes or needed > free_bytes(self._folder) + self._held):
            return False
        while True:
            full = len(self._sizes) + more > self._most or self._held + needed > self._most_bytes
            if not full and free_bytes(self._folder) >= needed:
                return True
            victim = last(self._sizes)
            if victim is None:
                return False
            self.forget(victim)

    def forget(self, stem):
        # Remove the picture `stem` and its note.
        remove(self.path(stem))
        remove(self.path(stem, "tag"))
        self._held -= self._taken().pop(stem, 0)

    def _taken(self):
        # Looked up when it is first needed: the first picture must not wait for it.
        if self._sizes is None:
            self._sizes = {}
            for name in files(self._folder):
                name = name.lower()
                if name[8:] == ".jpg" and not name[:8].strip("0123456789abcdef"):
                    self._note_size(int(name[:8], 16), size_of(self._folder + "/" + name))
        return self._sizes

    def _note_size(self, stem, size):
        self._held += size - self._taken().get(stem, 0)
        self._sizes[stem] = size

    def _same(self, got):
        # True when nothing came because nothing has changed.
        if self.heard is not None:
            self.heard(got)
        self.unchanged += got.not_modified
        return got.not_modified

    def _wrote(self, count):
        self.writes += 1
        self.written += count

    def _is(self, path, digest):
        size = size_of(path)
        return size is not None and sum_of(path, 0, size, self._buffer) == digest

    def _note(self, item):
        return self._read_note(self.path(item.stem, "tag"), item.url)

    def _packed(self, url, etag, digest):
        body = _MAGIC + ("%s\n%s\n%s\n" % (_known_by(url), etag if len(etag) < _MAX_ETAG else "", digest)).encode()
        return body + b"%08x\n" % (ubinascii.crc32(body) & 0xFFFFFFFF)

    def _read_note(self, path, url):
        # (ETag, SHA-256) of the note at `path` if it is of `url`, else two empty texts.
        data = head_of(path, _MAX_NOTE) or b""
        body = data[:-9]
        if data[: len(_MAGIC)] == _MAGIC and data[-9:] == b"%08x\n" % (ubinascii.crc32(body) & 0xFFFFFFFF):
            words = body.decode().split("\n")
            if words[1] == _known_by(url):
                return words[2], words[3]
        return "", ""


def _known_by(url):
    # What a note has for the URL: there may be a login in it, which belongs into the settings only.
    return ubinascii.hexlify(uhashlib.sha256(url.encode()).digest()).decode()
