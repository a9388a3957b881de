# Pictures that wait on the card until they are safe elsewhere.
#
# They are numbered through for the life of the card: s0000001.jpg, s0000002.jpg... The last number stands in a file of
# one sector, which is overwritten in place, so that a card replaces it whole or not at all. Should it be lost, the
# pictures tell it, and no number is given out that stands in the outbox or in /sd/sent. Nothing unsent is ever
# removed: when the card gets full, the oldest of those that were sent without proof (/sd/sent) go, and when there are
# none, new pictures are refused.

import uos
from micropython import const

from pix.errors import PixError
from pix.files import OUTBOX, SENT, beside, files, free_bytes, head_of, make_folder, on_card, put, remove, size_of
from pix.store import recover

_MOST_KNOWN = const(16)


class Outbox:
    # The outbox in `folder`, made if it is not there. No picture is taken with less than `reserve_kb` kB free on the
    # card. Raises PixError "no-card" or "card-error".
    def __init__(self, folder=OUTBOX, reserve_kb=1024):
        self.folder = folder
        self._reserve = reserve_kb << 10
        self._counter = folder + "/number"
        make_folder(folder)
        recover(folder)
        _sweep(folder)
        # The last number that was given out: what the counter says, or the pictures, should it be damaged. /sd/sent may
        # hold thousands, so it is read only then.
        text = head_of(self._counter, 7) or b""
        good = len(text) == 7 and text.isdigit()
        last = _last(folder, int(text) if good else 0)
        if not good and size_of(SENT) is not None:
            last = _last(SENT, last)
        self._number = last
        self._digests = {}

    def know(self, name, digest):
        # The picture `name`, taken just now, has this SHA-256 (hex): it need not be read for it. "" forgets it.
        if not digest:
            self._digests.pop(name, None)
        elif len(self._digests) < _MOST_KNOWN:
            self._digests[name] = digest

    def digest(self, name):
        # The SHA-256 of the picture `name` where it is known, else "".
        return self._digests.get(name, "")

    def new(self):
        # The path for the next picture. Raises PixError "card-full".
        sent = []
        while True:
            free = free_bytes(self.folder)
            if free >= self._reserve:
                break
            if not sent and size_of(SENT) is not None:
                sent = self.oldest(8, folder=SENT)
            if not sent:
                raise PixError("card-full", "%d kB free, %d kB needed" % (free >> 10, self._reserve >> 10))
            remove(SENT + "/" + sent.pop(0))
        return self.path(self._fresh())

    def _fresh(self):
        # The next name that stands in neither folder, its number noted on the card.
        while True:
            self._number = self._number % 9999999 + 1
            name = "s%07d.jpg" % self._number
            if size_of(self.path(name)) is None and size_of(SENT + "/" + name) is None:
                break
        counter = self._counter
        on_card(counter, put, counter, b"%07d\n" % self._number, "r+b" if size_of(counter) == 8 else "wb")
        return name

    def oldest(self, count=8, after="", folder=None):
        # Up to `count` names, oldest first, of those behind the name `after`.
        found = []
        for name in _names(folder or self.folder):
            if name > after and (len(found) < count or name < found[-1]):
                found.append(name)
                found.sort()
                del found[count:]
        return found

    def waiting(self):
        # How many pictures wait.
        count = 0
        for _ in _names(self.folder):
            count += 1
        return count

    def path(self, name):
        # The whole path of the picture `name`.
        return self.folder + "/" + name

    def done(self, name, proven):
        # The picture is at the receiver: remove it, or, when the receiver gave no proof, keep it in /sd/sent, under a
        # fresh name if another picture has its own there.
        # The note of pix.upload goes last, so that a cut in between asks the receiver again instead of sending twice.
        self.know(name, "")
        path = self.path(name)
        if proven:
            remove(path)
        else:
            make_folder(SENT)
            kept = name if size_of(SENT + "/" + name) is None else self._fresh()
            on_card(path, uos.rename, path, SENT + "/" + kept)
        remove(beside(path, "^"))


def _sweep(folder):
    # Remove the notes whose picture is gone: the power went in `done`, between the two.
    for name in [name for name in files(folder) if name[-4:].lower() == ".^jp"]:
        if size_of("%s/%s.jpg" % (folder, name[:-4])) is None:
            remove("%s/%s" % (folder, name))


def _last(folder, last):
    # The highest number of the pictures in `folder`, at least `last`. One far ahead is of before they began again.
    for name in _names(folder):
        if last < _number(name) < last + 5000000:
            last = _number(name)
    return last


def _names(folder):
    for name in files(folder):
        name = name.lower()
        if _number(name):
            yield name


def _number(name):
    # 42 of "s0000042.jpg", 0 for a name of another kind.
    number = name[1:8]
    whole = name[:1] == "s" and name[8:] == ".jpg" and len(number) == 7 and not number.strip("0123456789")
    return int(number) if whole else 0
