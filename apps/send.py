# send: send files of the card to the receiver of the setting "upload".
#
# The setting "send" names files, folders or patterns ("DCIM/*.jpg photo.jpg logs"), separated by spaces and below /sd
# unless they begin with "/". Within each, the oldest files go first: by their date, then by the numbers in their names.
# MaixPy has no clock and dates what it writes 2060: such files come behind dated ones, in the order of their numbers. A
# file that has arrived is noted beside it and not sent again until it changes; pictures of the outbox leave it.

import uos

from pix import config, wifi
from pix.errors import PixError, from_os
from pix.outbox import FOLDER, Outbox
from pix.screen import Screen
from pix.start import once
from pix.upload import Uploader

_DIR = 0x4000
_BATCH = 64
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
            try:
                kind = uos.stat(path)[0]
            except OSError as error:
                raise from_os(error, path)
            if kind != _DIR:
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
            if entry[1] == _DIR or own or not matches(name, pattern):
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


def send_all(settings, screen, modem):
    # Returns how many files could not be sent. Raises PixError when it makes no sense to go on.
    sender = Uploader(modem, settings.upload, settings.token, settings.name or settings.board)
    outbox = Outbox(reserve_kb=settings.reserve_kb)
    failed = 0
    for path in paths(settings.send):
        screen.stage(path)
        try:
            sent = sender.send(path, screen.progress)
        except PixError as error:
            # A file that is refused is no reason to keep the others.
            if error.code not in ("upload-refused", "card-error"):
                raise
            print("error %s: %s; %s" % (error.code, error.cause, error.remedy))
            failed += 1
            continue
        rate = sent.bytes * 1000 // max(1, sent.elapsed_ms)
        how = "had been sent" if not sent.attempts else "safe" if sent.proven else "sent"
        print("%s %s %d bytes, %d bytes/s" % (how, path, sent.bytes, rate))
        if path[: len(FOLDER) + 1] == FOLDER + "/":
            outbox.done(path[len(FOLDER) + 1 :], sent.proven)
    return failed


def main():
    settings = config.load()
    screen = Screen(settings.board, settings.rotation)
    for warning in settings.warnings:
        print(warning)
    if not settings.upload:
        raise PixError("settings", "upload is not set")
    failed = send_all(settings, screen, wifi.bring_up(settings, lambda name, detail: print(name, detail)))
    screen.stage("all sent" if not failed else "%d not sent" % failed)
    print("done, %d not sent" % failed)
    return 1 if failed else 0


if __name__ == "__main__":
    once(main)
