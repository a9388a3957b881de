# SHA-256 of a file while it is written, and the digest a server promises (RFC 9530).
#
# The chip has one SHA-256 engine, which all hashers share, and a hasher gives its digest once (Kendryte SDK sha256.c,
# MaixPy-v1 moduhashlib_maixpy.c). So the running digest can prove a file right, but only the card's content, hashed in
# one go, can prove it wrong.

import ubinascii
from uhashlib import sha256  # only one hasher may be in use

from pix.store import read_back


class Digest:
    # Of a file that is written from its start. `told` is the digest that the server promised, as hex text; "" when
    # there is none, and nothing is hashed then.
    def __init__(self, told=""):
        self.told = told
        self._hasher = sha256() if told else None
        self._hashed = 0

    def resume(self, at, told):
        # The file goes on behind its first `at` bytes.
        self.told = told or self.told
        if self._hashed != at:
            self._hasher = None

    def update(self, block):
        if self._hasher is not None:
            self._hasher.update(block)
            self._hashed += len(block)

    def proves(self, part, buffer):
        # True when the closed `part` (pix.store.Part) is what was promised; `buffer` is to work in.
        hasher = self._hasher
        self._hasher = None
        if hasher is not None and self._hashed == part.size and hex_of(hasher) == self.told:
            return True
        return sum_of(part.path, 0, part.size, buffer, part.target) == self.told


def hex_of(hasher):
    # The digest as hex text; the hasher is used up.
    return ubinascii.hexlify(hasher.digest()).decode()


def sum_of(path, at, end, buffer, name=""):
    # SHA-256 of the file's bytes from `at` to `end` as hex text; `name` is what an error calls the file.
    hasher = sha256()
    read_back(path, at, end, buffer, hasher.update, name)
    return hex_of(hasher)


def repr_digest(text):
    # SHA-256 as hex text out of a Repr-Digest field such as "sha-512=:...:, sha-256=:...:"; "" when there is none.
    for item in text.split(","):
        name, _, value = item.strip().partition("=")
        if name.lower() != "sha-256" or value[:1] != ":":
            continue
        try:
            digest = ubinascii.a2b_base64(value[1:].split(":")[0])
        except ValueError:
            return ""
        if len(digest) == 32:
            return ubinascii.hexlify(digest).decode()
    return ""
