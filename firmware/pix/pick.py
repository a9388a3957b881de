# Which files of the card a setting such as "DCIM/*.jpg photo.jpg logs" names, from the oldest to the newest.
#
# MaixPy has no clock and dates what it writes 2060: such files come behind dated ones, in the order of the numbers in
# their names.

import uos
from micropython import const

from pix.files import from_os, on_card

_FOLDER = const(0x4000)
_BATCH = const(64)
_NO_CLOCK = 1893456000  # MaixPy's date of files that it made itself, plus the seconds since its start


def matches(name, pattern):
    # True when `name` fits `pattern`, whose "*" stands for any text and "?" for any character; case does not count,
    # as on FAT.
    name = name.lower()
    pattern = pattern.lower()
    n = p = 0
    star = -1
    mark = 0
    while n < len(name):
        if p < len(pattern) and pattern[p] == "*":
            star = p
            mark = n
            p += 1
        elif p < len(pattern) and (pattern[p] == "?" or pattern[p] == name[n]):
            p += 1
            n += 1
        elif star >= 0:
            p = star + 1
            mark += 1
            n = mark
        else:
            return False
    return pattern[p:].strip("*") == ""


def age(path):
    # What sorts files from the oldest to the newest: (date, name with its numbers at equal length).
    name = path[path.rfind("/") + 1 :].lower()
    key = digits = ""
    for c in name + " ":
        if c.isdigit():
            digits += c
            continue
        if digits:
            digits = digits.lstrip("0")
            key += "%03d" % len(digits) + digits
            digits = ""
        key += c
    return min(uos.stat(path)[8], _NO_CLOCK), key, name


def paths(wanted):
    # Every file that the setting `wanted` names, in order. A folder is read anew for every 64 names, so that its size
    # does not matter.
    for item in wanted.split():
        path = (item if item[0] == "/" else "/sd/" + item).rstrip("/")
        slash = path.rfind("/")
        folder, pattern = path[:slash], path[slash + 1 :]
        if "*" not in pattern and "?" not in pattern:
            if on_card(path, uos.stat, path)[0] != _FOLDER:
                yield path
                continue
            folder, pattern = path, "*"
        last = ()
        while last is not None:
            found = batch(folder, pattern, last)
            for _, path in found:
                yield path
            last = found[-1][0] if len(found) == _BATCH else None


def batch(folder, pattern, after):
    # The 64 oldest files behind the age `after`: a sorted list of (age, path).
    found = []
    try:
        for entry in uos.ilistdir(folder):
            name = entry[0]
            # Notes and parts of ours carry a mark in their extension.
            own = name[name.rfind(".") + 1 :][:1] in ("^", "~", "$", "#")
            if entry[1] == _FOLDER or own or not matches(name, pattern):
                continue
            path = folder + "/" + name
            at = age(path)
            if at > after and (len(found) < _BATCH or at < found[-1][0]):
                found.append((at, path))
                found.sort()
                del found[_BATCH:]
    except OSError as error:
        raise from_os(error, folder)
    return found
