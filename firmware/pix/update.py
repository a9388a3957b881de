# New software through the air: asked for, authenticated, put into the other folder, tried, and confirmed or left.
#
# The companion at "server" tells the files of a version with their SHA-256, sealed by HMAC-SHA256 (RFC 2104) with the
# secret of this board, which `maixpix deploy --update` has put here and there, over the answer and a random number of
# the question: no other machine can make one, nor an old one be sent again. Files come by pix.fetch; those that both
# folders have, or the running version, are not fetched. "ready" is written last and says "<number> 3": three starts.
# The loader counts them down (firmware/main.py), a watchdog ends a start that hangs or has not confirmed itself after
# 200 s (pix/start.py), and a version is confirmed when it has asked for the next one and was answered: what can be
# replaced is good enough. After three starts the old version runs again, and the one that failed is refused by name.

import machine
import ubinascii
import uos
from micropython import const
from uhashlib import sha256

import pix
from pix.atline import plain
from pix.errors import PixError
from pix.fetch import fetch
from pix.files import head_of, make_folder, on_card, put, read_back, remove, size_of, sum_of
from pix.store import BLOCK
from pix.url import quote

MAGIC = "maixpix-update 1"
OK = b"ok"
STARTS = b"3"

_LIST = "/sd/maixpix/new.lst"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789_"
_MOST_BYTES = const(16384)
_MOST_FILES = const(120)
_OURS = ("pix", "apps")
_IS_FOLDER = const(0x4000)
_DEEPEST = const(4)  # folders of an own app


def wanted(settings):
    # True when this board is to ask for new versions: it was deployed with a secret, and runs from the card.
    return bool(settings.update_key and settings.server and pix.home == "/sd" and pix.slot)


def state(slot):
    # (number, how) of the version in the folder `slot` of the card: how is b"ok", a digit, or b"" when there is none.
    words = (head_of("/sd/%s/ready" % slot, 16) or b"").split()
    return (int(words[0]), words[1]) if len(words) == 2 and words[0].isdigit() else (0, b"")


def version_of(slot):
    # What names the content of the version in `slot`, "" when it has no name that can be read.
    return plain(head_of("/sd/%s/version" % slot, 16) or b"")


def note():
    # What became of updates, for the board's report: "trial", "refused <version>" or "".
    if pix.trial:
        return "trial"
    if pix.home != "/sd" or not pix.slot:
        return ""
    other = _other()
    return "refused " + version_of(other) if state(other)[1] == b"0" else ""


def confirm():
    # This version is good: the loader will not count its starts any more. Raises PixError of the card.
    if pix.trial:
        on_card("ready", _confirm, "/sd/%s/ready" % pix.slot)
        pix.trial = False
        print("version %s is confirmed" % pix.version)


def _confirm(path):
    # In place: one sector, whole or not at all. Cut before the size is written it says "o", which counts as well.
    with open(path, "r+b") as f:
        f.seek(9)
        f.write(OK)


def poll(modem, settings, fields=(), buffer=None):
    # Ask for the version of this board's software, and fetch another one. True when that is in place: the board is to
    # be reset then. A version that answers here is confirmed. Raises PixError.
    job = _Update(modem, settings, fields, buffer or bytearray(BLOCK))
    if not job.ask():
        confirm()
        return False
    if pix.trial:
        confirm()  # the next start may be of the next version; this one has shown that it can be replaced
    job.install()
    return True


def restart():
    # Start anew; what was loaded stays as it is until then.
    machine.reset()


class _Update:
    def __init__(self, modem, settings, fields, buffer):
        self.modem = modem
        self.key = ubinascii.unhexlify(settings.update_key.encode())
        self.name = settings.name
        self.base = settings.server.rstrip("/") + "/update"
        self.fields = fields
        self.buffer = buffer
        self.slot = _other()
        self.form = "mpy" if size_of("/sd/%s/pix/errors.mpy" % pix.slot) is not None else "py"
        self.listed = []  # (digest, size, path)

    def ask(self):
        # Fetch the list. True when it is of another version than runs, and not of one that failed here.
        nonce = ubinascii.hexlify(uos.urandom(8)).decode()
        query = "board=%s&form=%s&nonce=%s" % (quote(self.name), self.form, nonce)
        try:
            fetch(self.modem, "%s?%s" % (self.base, query), _LIST, headers=self.fields, retries=1, buffer=self.buffer,
                  most=_MOST_BYTES)  # fmt: skip
            version = self.read(nonce)
        finally:
            remove(_LIST)
        refused = version_of(self.slot) if state(self.slot)[1] == b"0" else ""
        return version not in (pix.version, refused)

    def read(self, nonce):
        # The version that the list is of, once its seal is proven. Raises PixError "update-refused".
        size = size_of(_LIST)
        text = head_of(_LIST, _MOST_BYTES)
        at = text.rfind(b"hmac ")
        if size > _MOST_BYTES or at < 0 or not same(text[at + 5 :].strip(), hmac(self.key, text[:at])):
            raise PixError("update-refused", "its seal is not of this board's secret")
        lines = text[:at].decode().split("\n")
        head = [MAGIC, "nonce " + nonce, "board " + self.name]
        count = len(lines) - 6  # head, version, end and what follows the last line feed
        if lines[:3] != head or lines[3][:8] != "version " or lines[-2:] != ["end %d" % count, ""]:
            raise PixError("update-refused", "it answers another question")
        if not 0 < count <= _MOST_FILES:
            raise PixError("update-refused", "%d files" % count)
        for line in lines[4:-2]:
            digest, size, path = line.split(" ")
            if not _usual(path):
                raise PixError("update-refused", "a file named " + path)
            self.listed.append((digest, int(size), path))
        return lines[3][8:]

    def install(self):
        # Make the other folder that version, and the loader's next choice.
        root = "/sd/%s/" % self.slot
        self.take_over()
        print("update: %d files" % len(self.listed))
        make_folder(root[:-1])
        remove(root + "ready")
        self.clear(root)
        for digest, size, path in self.listed:
            self.bring(root + path, digest, size, path)
        for digest, _, path in self.listed:
            if self.sum(root + path) != digest:
                raise PixError("card-error", "%s did not arrive whole" % path)
        number = state(pix.slot)[0] + 1
        on_card("ready", put, root + "ready", b"%08d %s" % (number, STARTS))
        print("update: version %d is in place" % number)

    def take_over(self):
        # The user's own apps that the list does not name stay with the board, as they do when it is deployed.
        named = [path.split("/")[1] for _, _, path in self.listed if path[:4] == "own/"]
        own = "/sd/%s/" % pix.slot
        for path in _walk(own, "own"):
            if path.split("/")[1] not in named:
                self.listed.append((self.sum(own + path), size_of(own + path), path))

    def clear(self, root):
        # Remove what is not of the version, parts of an earlier attempt included.
        paths = [path for _, _, path in self.listed]
        for path in list(_walk(root, "")):
            if path.lower() not in paths:
                remove(root + path)

    def bring(self, target, digest, size, path):
        # Make `target` the file `path` of the version.
        if self.sum(target) == digest:
            return
        at = path.find("/")
        while at > 0:
            make_folder(target[: len(target) - len(path) + at])
            at = path.find("/", at + 1)
        own = "/sd/%s/%s" % (pix.slot, path)
        if self.sum(own) == digest:
            on_card(path, self.copy, own, target, size)
            return
        url = "%s/file?digest=%s&form=%s" % (self.base, digest, self.form)
        fetch(self.modem, url, target, headers=self.fields, retries=2, buffer=self.buffer, most=size)
        if self.sum(target) != digest:
            remove(target)
            raise PixError("update-refused", "%s is another file" % path)

    def copy(self, source, target, size):
        with open(target, "wb") as f:
            read_back(source, 0, size, self.buffer, f.write)

    def sum(self, path):
        size = size_of(path)
        return "" if size is None else sum_of(path, 0, size, self.buffer)


def hmac(key, data):
    # HMAC-SHA256 of `data` with the 32 bytes `key`, as hex digits (bytes).
    padded = key + bytes(64 - len(key))
    inner = sha256()
    inner.update(bytes([b ^ 0x36 for b in padded]))
    inner.update(data)
    digest = inner.digest()  # the chip has one hasher: this one is done before the next begins
    outer = sha256()
    outer.update(bytes([b ^ 0x5C for b in padded]))
    outer.update(digest)
    return ubinascii.hexlify(outer.digest())


def same(one, other):
    # Whether two texts are equal, in a time that does not tell where they differ.
    if len(one) != len(other):
        return False
    wrong = 0
    for i in range(len(one)):
        wrong |= one[i] ^ other[i]
    return not wrong


def _other():
    return "maixpix/a" if pix.slot == "maixpix/b" else "maixpix/b"


def _walk(root, folder, depth=0):
    # The paths of all files in `folder` of `root` ("/sd/maixpix/a/"), relative to that.
    path = root + folder if folder else root[:-1]
    if size_of(path) is None:
        return
    for entry in list(on_card(path, uos.ilistdir, path)):
        inner = folder + "/" + entry[0] if folder else entry[0]
        if entry[1] != _IS_FOLDER:
            yield inner
        elif depth < _DEEPEST:
            for deeper in _walk(root, inner, depth + 1):
                yield deeper


def _usual(path):
    # True for a name that a version may have: "version", a module in pix or apps, or a file of an own app, all 8.3.
    parts = path.split("/")
    if path == "version":
        return True
    if len(parts) != 2 if parts[0] in _OURS else parts[0] != "own" or not 3 <= len(parts) <= _DEEPEST:
        return False
    for part in parts:
        stem, dot, ending = part.partition(".")
        if not 0 < len(stem) <= 8 or len(ending) > 3 or (dot and not ending) or (stem + ending).strip(_LETTERS):
            return False
    return parts[0] == "own" or parts[1][-3:] == ".py" or parts[1][-4:] == ".mpy"
