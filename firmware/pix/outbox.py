# Pictures that wait on the card until they are safe elsewhere.
#
# They are numbered through for the life of the card: s0000001.jpg, s0000002.jpg... The last number stands in a file of
# one sector, which is overwritten in place, so that a card replaces it whole or not at all. Nothing unsent is ever
# removed: when the card gets full, the oldest of those that were sent without proof (/sd/sent) go, and when there are
# none, new pictures are refused.

import uos

from pix.errors import PixError, on_card
from pix.store import beside, files, free_bytes, head_of, put, recover, remove, size_of

FOLDER = "/sd/outbox"
SENT = "/sd/sent"


class Outbox:
    # The outbox in `folder`, made if it is not there. No picture is taken with less than `reserve_kb` kB free on the
    # card. Raises PixError "no-card" or "card-error".
    def __init__(self, folder=FOLDER, reserve_kb=1024):
        self.folder = folder
        self._reserve = reserve_kb << 10
        self._counter = folder + "/number"
        _make(folder)
        recover(folder)
        # The last number that was given out: what the counter says, or the pictures, should it be damaged.
        text = head_of(self._counter, 7) or b""
        last = int(text) if len(text) == 7 and text.isdigit() else 0
        for name in _names(folder):
            # A number far ahead is of before the numbers began again.
            if last < _number(name) < last + 5000000:
                last = _number(name)
        self._number = last

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
        self._number = self._number % 9999999 + 1
        counter = self._counter
        on_card(counter, put, counter, b"%07d\n" % self._number, "r+b" if size_of(counter) == 8 else "wb")
        return "%s/s%07d.jpg" % (self.folder, self._number)

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
        return self.folder + "/" + name

    def done(self, name, proven):
        # The picture is at the receiver: remove it, or, when the receiver gave no proof, keep it in /sd/sent.
        # The note of pix.upload goes last, so that a cut in between asks the receiver again instead of sending twice.
        path = self.path(name)
        if proven:
            remove(path)
        else:
            _make(SENT)
            remove(SENT + "/" + name)
            on_card(path, uos.rename, path, SENT + "/" + name)
        remove(beside(path, "^"))


def _names(folder):
    for name in files(folder):
        name = name.lower()
        if _number(name):
            yield name


def _number(name):
    # 42 of "s0000042.jpg", 0 for a name of another kind.
    return int(name[1:8]) if name[:1] == "s" and name[8:] == ".jpg" and name[1:8].isdigit() else 0


def _make(folder):
    if size_of(folder) is None:
        on_card(folder, uos.mkdir, folder)
