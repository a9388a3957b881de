# Changes to the settings file of the board, made on the board: by its own pages and by the set-up portal.
#
# The new file is whole before the old one goes; pix.start completes a replacement that was cut.

import uos

from pix import config
from pix.errors import PixError
from pix.files import head_of, on_card, put, remove

_MOST = 4096  # bytes, as pix.config reads


def home():
    # The settings file that this board would write: the card's, without a card the flash's.
    return config.PATHS[1 if "sd" in uos.listdir("/") else 0]


def change(values, path=""):
    # Set the dictionary `values` in the file `path`; everything else in it stays, known or not. None removes one.
    # Raises PixError "settings" for a value of a wrong kind, or a file that is none, and what the card raises.
    path = path or home()
    data = head_of(path, _MOST + 1)
    kept = config.parse(data, path) if data is not None else {}
    for name in values:
        value = values[name]
        if value is None:
            kept.pop(name, None)
            continue
        if name not in config.KEYS:
            raise PixError("settings", "there is no setting %s" % name)
        fault = config.wrong(config.KEYS[name][1], value)
        if fault:
            raise PixError("settings", "%s %s" % (name, fault))
        kept[name] = value
    for name, key in kept.get("wifi", ()):
        fault = config.network_fault(name, key)
        if fault:
            raise PixError("settings", fault)
    import ujson

    text = ujson.dumps(kept).encode()
    if len(text) > _MOST:
        raise PixError("settings", "they take more than %d bytes" % _MOST)
    new = path[:-5] + ".new"
    on_card(new, put, new, text)
    remove(path)
    on_card(path, uos.rename, new, path)
