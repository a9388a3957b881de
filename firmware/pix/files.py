# What is asked of the card without a commit: sizes, names, room, a few bytes or a checksum of a file. A commit is the
# business of pix.store.
#
# Every function raises PixError "no-card", "card-full" or "card-error" for trouble with the card, unless it says
# otherwise. `name` is what the error calls the file instead of `path`.

import ubinascii
import uos
from micropython import const
from uhashlib import sha256

from pix.errors import PixError

OUTBOX = "/sd/outbox"  # pictures that wait for the receiver
SENT = "/sd/sent"  # and those that were sent without proof

_FOLDER = const(0x4000)
_RESERVE = const(65536)  # bytes that stay free for the directory, the log and the settings


def from_os(error, doing=""):
    # The PixError for an OSError of a file operation. Numbers are newlib's, as MaixPy raises them; `args[0]` may be
    # text. `doing` (a file name or a verb) is told with it.
    number = error.args[0] if error.args else 0
    if number == 19:  # ENODEV: nothing is mounted at /sd
        return PixError("no-card", doing)
    if number == 28:  # ENOSPC
        return PixError("card-full", doing)
    what = "error %s" % number
    return PixError("card-error", "%s, %s" % (doing, what) if doing else what)


def on_card(name, action, *args):
    # action(*args), a file operation; its OSError as the PixError that tells the file `name`.
    try:
        return action(*args)
    except OSError as error:
        raise from_os(error, name)


def if_there(name, action, *args):
    # The same, but None when there is no such file.
    try:
        return action(*args)
    except OSError as error:
        if error.args and error.args[0] == 2:  # ENOENT
            return None
        raise from_os(error, name)


def size_of(path, name=""):
    # Bytes in the file, None when there is none. Raises PixError for a card that is gone or broken. Here and below
    # `name` is what the error calls the file instead of `path`.
    info = if_there(name or path, uos.stat, path)
    return info and info[6]


def remove(path, name=""):
    # Remove the file if it is there; one that is not is as good (asked first, because SPIFFS prints a complaint).
    if size_of(path, name) is not None:
        on_card(name or path, uos.remove, path)


def make_folder(folder):
    # Make the folder unless it is there. Raises PixError.
    if size_of(folder) is None:
        on_card(folder, uos.mkdir, folder)


def free_bytes(folder):
    # Bytes that may be written in the file system of `folder`; a reserve stays. Raises PixError.
    info = on_card(folder, uos.statvfs, folder)
    return max(0, info[1] * info[3] - _RESERVE)


def all_bytes(folder):
    # Bytes that the file system of `folder` has in all, free or not. Raises PixError.
    info = on_card(folder, uos.statvfs, folder)
    return info[1] * info[2]


def card_answers():
    # True when a file of the card can be read. FatFs keeps the last sector that it has read of a folder, and a listing
    # just ends where it cannot read on (MicroPython 1.11 vfs_fat.c), so only content tells.
    try:
        for entry in uos.ilistdir("/sd"):
            if entry[1] != _FOLDER and _read("/sd/" + entry[0], 512):
                return True
    except OSError:
        return False
    return False


def files(folder):
    # The names of the files in `folder`, one by one. Raises PixError.
    try:
        for entry in uos.ilistdir(folder):
            if entry[1] != _FOLDER:
                yield entry[0]
    except OSError as error:
        raise from_os(error, folder)


def beside(path, mark):
    # The file beside `path` whose extension begins with `mark`: "/sd/show.$jp" for "/sd/show.jpg" and "$".
    dot = path.rfind(".")
    if dot <= path.rfind("/"):
        return path + "." + mark
    return path[: dot + 1] + mark + path[dot + 1 : dot + 3]


def read_back(path, at, end, buffer, visit, name=""):
    # The bytes of a file from `at` to `end`, in pieces of up to len(buffer) bytes, each given to visit(memoryview).
    view = memoryview(buffer)
    try:
        with open(path, "rb") as f:
            f.seek(at)
            while at < end:
                n = f.readinto(view[: min(end - at, len(view))])
                if not n:
                    raise PixError("card-error", "%s is shorter than it was" % (name or path))
                visit(view[:n])
                at += n
    except OSError as error:
        raise from_os(error, name or path)


def sum_of(path, at, end, buffer, name=""):
    # SHA-256 of the file's bytes from `at` to `end` as hex text.
    hasher = sha256()
    read_back(path, at, end, buffer, hasher.update, name)
    return hex_of(hasher)


def hex_of(hasher):
    # The digest as hex text; the hasher is used up.
    return ubinascii.hexlify(hasher.digest()).decode()


def head_of(path, most, name=""):
    # The first `most` bytes of the file, None when there is none. Raises PixError.
    return if_there(name or path, _read, path, most)


def put(path, data, mode="wb"):
    # Make `data` the file `path`. Raises OSError.
    with open(path, mode) as f:
        f.write(data)


def _read(path, most):
    with open(path, "rb") as f:
        return f.read(most)
