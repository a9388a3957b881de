# What to do at the start about commits that a power cut interrupted (see pix.store for their steps).

from pix.errors import on_card
from pix.store import BLOCK, MAGIC, files, head_of, read_back, read_side, remove, replace, size_of, sum_of


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
