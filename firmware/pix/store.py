# Files that are either whole or not there: a part file beside the target, a sidecar that tells what the part is, and a
# commit that survives a power cut at any of its steps.
#
# FAT has no atomic replacement (MicroPython's rename removes an existing target first, extmod/vfs_fat.c), and
# MicroPython has no truncate. Hence:
#   - the sidecar of "show.jpg" is "show.~jp" and its part "show.$jp": 8.3 names in the same folder;
#   - the sidecar is on the card before the part is made and is removed last, so that no part is ever an orphan;
#   - a commit writes "done" into the sidecar, then removes the target and renames the part. `recover` at the next
#     start finds "done" and takes the remaining steps, so either the old or the new file is there, never a torn one;
#   - what a part holds beyond its last flush is gone after a power cut (FatFs writes the size at sync), and its last
#     block may hold bytes that were not proven yet. So all but the last whole block count after a restart.
#
# The chip has one SHA-256 engine, which all hashers share, and a hasher gives its digest once (Kendryte SDK sha256.c,
# MaixPy-v1 moduhashlib_maixpy.c). So the digest of what is written can prove a part right, but only the card's content,
# hashed in one go, can prove it wrong.

import ubinascii
import uos
from micropython import const
from uhashlib import sha256

from pix.errors import PixError
from pix.files import beside, files, head_of, hex_of, on_card, put, read_back, remove, size_of, sum_of

BLOCK = const(4096)  # bytes; parts are written in blocks at multiples of it

MAGIC = b"pix-part 1\n"


class Sidecar:
    # What is known of a part. `state` is "part" or "done"; `key` identifies the source (no secret); `validator` is
    # the server's ETag or date, "" when the source cannot be resumed; `total` and `limit` in bytes, -1 when unknown:
    # nothing at or beyond `limit` counts; `digest` is the promised SHA-256 of the whole as hex text or "".
    def __init__(self, target, key="", validator="", total=-1, state="part", limit=-1, digest=""):
        self.target = target
        self.key = key
        self.validator = validator
        self.total = total
        self.state = state
        self.limit = limit
        self.digest = digest

    def pack(self):
        # The bytes of the side file, checksum included.
        fields = (self.target, self.key, self.validator, self.total, self.state, self.limit, self.digest)
        body = MAGIC + ("%s\n%s\n%s\n%d\n%s\n%d\n%s\n" % fields).encode()
        return body + _checksum(body)

    @staticmethod
    def unpack(data):
        # The Sidecar in `data`, or None when it is damaged.
        body = data[:-9]
        if data[: len(MAGIC)] != MAGIC or data[-9:] != _checksum(body):
            return None
        _, target, key, validator, total, state, limit, digest, _ = body.decode().split("\n")
        return Sidecar(target, key, validator, int(total), state, int(limit), digest)


class Part:
    # The part of `target`, an absolute path of a file. One program at a time may have a part of a target.
    # Every method raises PixError "no-card", "card-full" or "card-error"; they name the target, not the part.
    def __init__(self, target):
        self.target = target
        self.path = beside(target, "$")
        self._side = beside(target, "~")
        self._file = None
        self._forget()
        info = read_side(self._side, self.target)
        if info is not None and info.state == "done":
            # A commit was cut short: the part may be the only copy there is.
            finish(info, self.path)
            remove(self._side, self.target)

    def load(self, key):
        # Look for a part of the source `key` from earlier. Returns its Sidecar when some of it can be kept, with
        # `self.size` as the bytes that count, else None.
        info = read_side(self._side, self.target)
        self._forget()
        if info is None or info.target != self.target or info.key != key or info.state != "part":
            return None
        stale = size_of(self.path, self.target)
        if stale is None or not info.validator:
            return None
        kept = stale - BLOCK
        if info.limit >= 0:
            kept = min(kept, info.limit)
        kept = kept // BLOCK * BLOCK
        if kept <= 0 or kept > info.total >= 0:
            return None
        self._info = info
        self._stale = stale
        self.size = kept
        return info

    def begin(self, key, validator="", total=-1, digest=""):
        # Start anew with an empty part; `digest` as hex text if it is known what it will have.
        self.discard()
        self._info = Sidecar(self.target, key, validator, total, digest=digest)
        self._save()
        self._file = self._do(open, self.path, "wb")
        self._hasher = sha256() if digest else None

    def resume(self):
        # Open the part again to go on at `self.size`.
        if self._stale > self.size:
            # Between here and the old end lie bytes that must not count if the power goes now.
            self._info.limit = self.size
            self._save()
        self._file = self._do(open, self.path, "r+b")
        self._do(self._file.seek, self.size)

    def write(self, block):
        # Append `block` (bytes or memoryview).
        if self._do(self._file.write, block) not in (None, len(block)):
            raise PixError("card-full", self.target)
        if self._hasher is not None:
            self._hasher.update(block)
        self.size += len(block)
        self._stale = max(self._stale, self.size)

    def flush(self):
        # Put what was written onto the card, so that it survives a power cut.
        self._do(self._file.flush)
        if self._info.limit >= 0 and self.size >= self._stale:
            self._info.limit = -1
            self._save()

    def cut(self, size):
        # Forget everything beyond `size` bytes. The part must be closed.
        if size < self.size:
            self.size = size
            self._hasher = None

    def close(self):
        # Close the file and keep it for a resume. Harmless when it is not open.
        file = self._file
        self._file = None
        if file is not None:
            self._do(file.close)

    def proves(self, digest, buffer):
        # True when the closed part has the SHA-256 `digest`; `buffer` is to work in.
        hasher = self._hasher
        self._hasher = None
        if hasher is not None and hex_of(hasher) == digest:
            return True
        return sum_of(self.path, 0, self.size, buffer, self.target) == digest

    def commit(self, digest=""):
        # Make the part the target. PixError "card-error" when the card does not hold what was written; then the part
        # is gone and the target is as it was.
        self.close()
        if size_of(self.path, self.target) != self.size:
            self.discard()
            raise PixError("card-error", "%s is not whole" % self.target)
        info = self._info
        info.state = "done"
        info.total = self.size
        info.limit = -1
        info.digest = digest
        self._save()
        replace(self.path, self.target)
        self._do(uos.remove, self._side)
        self._forget()

    def discard(self):
        # Remove the part, then its sidecar. Harmless when there is none.
        try:
            self.close()
        except PixError:
            pass  # it is removed below, or the card is gone and that is told there
        remove(self.path, self.target)
        remove(self._side, self.target)
        self._forget()

    def _do(self, action, *args):
        return on_card(self.target, action, *args)

    def _forget(self):
        self._info = None
        self._hasher = None  # of all that was written since `begin`
        self.size = 0  # bytes that were written and count
        self._stale = 0  # size of the file on the card; beyond self.size it is refuse

    def _save(self):
        # What has the length of what is there is written over it: one sector, and the FAT stays as it is.
        data = self._info.pack()
        self._do(put, self._side, data, "r+b" if size_of(self._side, self.target) == len(data) else "wb")


def replace(part, target):
    # Not atomic on FAT; the sidecar says "done" all the while.
    remove(target)
    on_card(target, uos.rename, part, target)


def read_side(path, name=""):
    # The Sidecar at `path`, None when there is none or it is damaged. Raises PixError.
    data = head_of(path, 1024, name)
    try:
        return Sidecar.unpack(data or b"")
    except (ValueError, UnicodeError):
        return None


def _checksum(body):
    # Over everything: MicroPython may leave a file cut anywhere.
    return b"%08x\n" % (ubinascii.crc32(body) & 0xFFFFFFFF)


def recover(folder):
    # Finish or undo every interrupted commit in `folder`; parts that can be resumed stay. Returns the targets that
    # were completed. A target whose part turns out damaged stays as it was. Raises PixError.
    completed = []
    for name in [name for name in files(folder) if _is_side(name)]:
        side = "%s/%s" % (folder.rstrip("/"), name)
        part = _sibling(side, "$")
        info = read_side(side)
        if info is None:
            # Torn while it was written: cut anywhere, even to nothing, it is a prefix of one. A file of that name which
            # is not ours begins otherwise and stays.
            head = head_of(side, len(MAGIC))
            gone = MAGIC[: len(head)] == head
        elif info.state == "done":
            if finish(info, part):
                completed.append(info.target)
            remove(side)
            continue
        else:
            gone = size_of(part) is None or not info.validator
        if gone:
            remove(part)
            remove(side)
    return completed


def finish(info, part):
    # Take the remaining steps of the commit that the sidecar `info` ("done") tells of. True when the target is now
    # the new file. The sidecar is the caller's to remove, afterwards.
    copy = _sibling(part, "#")
    if size_of(copy) == info.total:
        # The copy made below was whole when the power went.
        remove(part)
        part = copy
    else:
        remove(copy)
        size = size_of(part)
        if size is None:
            # Either the rename was the last step that was taken, or somebody removed the part.
            return size_of(info.target) == info.total
        if size != info.total or (info.digest and _digest(part, size) != info.digest):
            remove(part)
            return False
        if size_of(info.target) == size and _digest(part, size) == _digest(info.target, size):
            # FatFs renames by writing the new entry, then deleting the old one. Cut in between, both name the same
            # clusters, and to remove either would free them under the other: save the content elsewhere first.
            on_card(copy, _copy, part, size, copy)
            remove(part)
            part = copy
    replace(part, info.target)
    return True


def _copy(source, size, target):
    with open(target, "wb") as f:
        read_back(source, 0, size, bytearray(BLOCK), f.write)


def _digest(path, size):
    return sum_of(path, 0, size, bytearray(BLOCK))


def _sibling(path, mark):
    # The name beside "show.~jp" or "show.$jp" that begins its extension with `mark`.
    dot = path.rfind(".")
    return path[: dot + 1] + mark + path[dot + 2 :]


def _is_side(name):
    dot = name.rfind(".")
    return dot > 0 and name[dot + 1 : dot + 2] == "~" and len(name) - dot <= 4
