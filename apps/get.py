# get: files of the web onto the card, models of megabytes too. The setting "get" lists them:
#
#     http://pc:8000/face.kmodel http://pc:8000/cat.jpg /sd/pics/cat.jpg @/sd/list.txt
#
# URLs separated by spaces, each with the path it is to have behind it, or under its own name at the top of the card;
# "@" and a file of the card, which holds more of the same in lines. Each file comes block by block, has its name only
# when it is proven whole, and goes on where it stopped after any trouble, a reset included. What was fetched before is
# asked for with its ETag (kept in /sd/get.lst), so a second run transfers nothing that has not changed.

import ujson
import uos

from pix import fetch, wifi
from pix.errors import PixError
from pix.files import free_bytes
from pix.log import Log
from pix.start import once
from pix.tell import Tell, begin
from pix.url import parse, public

HOME = "/sd"
KNOWN = "/sd/get.lst"
_MAX_LIST = 16384  # bytes of a list on the card


def wanted(text, depth=0):
    # The (url, path) pairs that `text` lists. Raises PixError "settings" or "bad-url".
    pairs = []
    for word in text.split():
        if word[:1] == "@":
            if depth:
                raise PixError("settings", "get: a list names another list, %s" % word)
            pairs += wanted(_list(word[1:]), 1)
        elif word[:1] == "/":
            if not pairs or pairs[-1][1]:
                raise PixError("settings", "get: there is no URL before %s" % word)
            pairs[-1] = pairs[-1][0], word
        else:
            parse(word)
            pairs.append((word, ""))
    if depth:
        return pairs
    if not pairs:
        raise PixError("settings", "get is not set")
    return [(url, path or "%s/%s" % (HOME, name_of(url))) for url, path in pairs]


def name_of(url):
    # The file name at the end of `url`, what is no letter, digit, point, - or _ in it as "_". Raises PixError.
    name = parse(url).target.split("?")[0].split("/")[-1]
    name = "".join([c if "a" <= c.lower() <= "z" or "0" <= c <= "9" or c in ".-_" else "_" for c in name])
    if not name.strip("._"):
        raise PixError("settings", "get: %s has no file name, write a path behind it" % public(url))
    return name


def _list(path):
    try:
        with open(path, "rb") as f:
            data = f.read(_MAX_LIST + 1)
        if len(data) > _MAX_LIST:
            raise PixError("settings", "%s is longer than %d bytes" % (path, _MAX_LIST))
        return data.decode()
    except OSError:
        raise PixError("settings", "get: there is no list %s" % path)
    except UnicodeError:
        raise PixError("settings", "get: %s is no text" % path)


class Known:
    # What was fetched before: path -> [where from (never its login), ETag]. A file that is gone or torn knows nothing.
    def __init__(self):
        try:
            with open(KNOWN, "rb") as f:
                found = ujson.loads(f.read().decode())
            self._entries = found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            self._entries = {}

    def etag(self, url, path):
        # The ETag with which `path` was fetched from `url`, "" if it was not.
        entry = self._entries.get(path)
        return entry[1] if entry and entry[0] == public(url) else ""

    def keep(self, url, path, etag):
        # Remember it for the next run; a card that cannot be written has said so by another error already.
        if etag == self.etag(url, path):
            return
        self._entries[path] = [public(url), etag]
        try:
            with open(KNOWN, "wb") as f:
                f.write(ujson.dumps(self._entries).encode())
        except OSError:
            print("cannot write %s" % KNOWN)


def make_folders(path):
    # The folders above the file `path`. What is wrong with them the fetch tells.
    at = path.find("/", 1)
    while at > 0:
        try:
            uos.mkdir(path[:at])
        except OSError:
            pass  # there already, the card itself among them
        at = path.find("/", at + 1)


def get(modem, url, path, known, tell, settings):
    # Bring one file up to date and print what came of it. Raises PixError.
    make_folders(path)
    got = fetch.fetch(
        modem, url, path, tell.progress, etag=known.etag(url, path), again=tell.again,
        body_kb=settings.body_kb, body_s=settings.body_s,
    )  # fmt: skip
    if got.not_modified:
        print("same %s %d bytes" % (path, got.bytes))
        return
    known.keep(url, path, got.etag)
    how = "sha256 " + got.digest if got.digest else "no digest told, length proven"
    print("have %s %d bytes, %d of them from before, %s" % (path, got.bytes, got.resumed, how))


def main():
    settings, screen = begin()
    tell = Tell(screen)
    free_bytes(HOME)  # a missing card is told now and not after half a minute of Wi-Fi
    pairs = wanted(settings.get)
    modem = wifi.bring_up(settings, tell.stage)
    known = Known()
    log = Log()
    failed = 0
    for number, (url, path) in enumerate(pairs):
        tell.stage("%d of %d" % (number + 1, len(pairs)), public(url))
        try:
            get(modem, url, path, known, tell, settings)
        except PixError as error:
            # One that is missing is no reason to keep the others; a lost network or a full card is.
            if error.code[:5] != "http-" and error.code not in ("web-page", "no-file", "digest-mismatch", "endless"):
                raise
            print("error", error.line)
            log.error(error)
            tell.stage("failed", error.title)
            failed += 1
    tell.stage("done", "%d files" % len(pairs) if not failed else "%d of %d failed" % (failed, len(pairs)))
    return 1 if failed else 0


if __name__ == "__main__":
    once(main)
