# Settings that the board itself changes: merged into the file that rules them, whole or not at all.

import ujson
import uos

from pix import config
from pix.errors import PixError
from pix.files import on_card, remove


def keep(values, paths=config.PATHS):
    # Write the dictionary `values` (setting -> value) into the settings file, other settings staying as they are. That
    # is the last of `paths` that tells one of them, else the last one that is there, else the first. Raises PixError
    # "settings" for a value of a wrong kind, and what the card raises.
    for name in values:
        fault = config.wrong(config.KEYS[name][1], values[name])
        if fault:
            raise PixError("settings", "%s %s" % (name, fault))
    place = paths[0]
    known = {}
    found = False
    for path in paths:
        there = _settings(path)
        if there is None:
            continue
        rules = [name for name in values if name in there]
        if rules or not found:
            place, known = path, there
        found = found or bool(rules)
    known.update(values)
    _replace(place, ujson.dumps(known))
    return place


def _settings(path):
    # The dictionary in the file, None when there is no file.
    try:
        with open(path, "rb") as f:
            return config.parse(f.read(), path)
    except OSError:
        return None  # nor a card, maybe


def _replace(path, text):
    # FAT has no replacement in one step: pix.start takes the ".new" of a file that is gone at the next start.
    new = path[:-5] + ".new"
    on_card(new, _write, new, text)
    remove(path)
    on_card(path, uos.rename, new, path)


def _write(path, text):
    with open(path, "wb") as f:
        f.write(text.encode())
