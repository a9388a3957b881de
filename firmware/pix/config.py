# Settings: defaults <- /flash/pix.json <- /sd/pix.json.
#
# A setting of a wrong type stops with an error that names it; an unknown one is reported in `warnings` and otherwise
# ignored, so that a newer card works in an older board. Secrets are never part of any text made here.

from pix.errors import PixError

PATHS = ("/flash/pix.json", "/sd/pix.json")

WPS = "WPS"
# In place of a network's key: only the modem knows it, which got it by the router's button. No real key is so short.

_OVERLAYS = ("clock", "date", "caption")

_MAX_FILE = 4096  # bytes; a settings file is small, anything else is not one

# name -> (default, kind). Kinds: "text", "secret", (low, high) for whole numbers, a tuple of texts for a choice.
KEYS = {
    "wifi": ([], "networks"),
    "server": ("", "text"),
    "picture": ("", "text"),
    "app": ("show", "text"),
    "board": ("dock", ("dock", "go", "bit", "cube", "amigo")),
    "name": ("", "text"),
    # When the board opens a network of its own to be set up in: "auto" where none of its networks is there or its key
    # is held for three seconds, "key" for the latter only. It is closed after so many seconds without a visitor.
    "portal": ("auto", ("auto", "key", "off")),
    "portal_s": (300, (30, 86400)),
    "rotation": (0, (0, 3)),
    "baud": (1000000, (9600, 4000000)),
    "fit": ("fit", ("fit", "fill", "stretch")),
    "format": ("jpeg", ("jpeg", "bmp")),
    # How much of an answer whose length the server does not tell is taken, and for how long; 0: see pix.fetch.
    "body_kb": (0, (0, 4000000)),
    "body_s": (0, (0, 86400)),
    # The frame: what it shows, how much of it the card keeps, when and how (pix.plist, pix.keep, pix.sched).
    "interval_s": (60, (1, 86400)),
    "playlist": ("", "text"),
    "list_s": (300, (10, 86400)),
    "cache_files": (60, (2, 400)),
    "cache_kb": (16384, (64, 4000000)),
    "schedule": ("", "schedule"),
    "zone": (1000, (-900, 1000)),  # minutes east of Greenwich; 1000: as the companion tells
    "change": ("cut", ("cut", "wipe", "fade")),
    "overlay": ("", "words"),
    "upload": ("", "text"),
    "quality": (60, (1, 100)),
    "burst": (1, (1, 20)),
    "snap_s": (0, (0, 86400)),
    "snaps": (0, (0, 1000000)),
    "frame": ("QVGA", ("QQVGA", "QVGA", "VGA")),
    "colour": ("auto", ("auto", "on", "off")),
    "reserve_kb": (1024, (64, 1000000)),
    "command": ("", "text"),
    "send": ("outbox/s*.jpg", "text"),
    "token": ("", "secret"),
    # New software through the air: the secret of this board, 64 hex digits, and how often it is asked for.
    "update_key": ("", "secret"),
    "update_s": (3600, (60, 604800)),
    # The board's own pages: their port (0: none), and a key, "user:password" or a word.
    "web": (0, (0, 65535)),
    "web_key": ("", "secret"),
    "get": ("", "text"),
    # How often joining is tried again when no network can be joined (the app itself is started again anyway).
    "retries": (0, (0, 100)),
    # A light that is on while joined: its pad, -1 for none, and the level of the pad that lights it.
    "led": (-1, (-1, 47)),
    "led_on": (1, (0, 1)),
    # Resets the board when its app hangs so long (0: never); it takes up to three times that. Not below 10, or a slow
    # card is taken for a hang. Off unless asked for: counting the room on a card of 64 GB can take a minute.
    "watchdog_s": (0, (0, 40)),
}


class Settings:
    # One attribute a key of KEYS. `warnings` lists what was not understood, a sentence each. `values` are settings by
    # their names, for programs that need no file: Settings(wifi=[["home", "key"]]). PixError("settings") names one that
    # is wrong.
    def __init__(self, **values):
        self.warnings = []
        for name in KEYS:
            default = KEYS[name][0]
            setattr(self, name, list(default) if isinstance(default, list) else default)
        for name in values:
            if name not in KEYS:
                raise PixError("settings", "there is no setting %s" % name)
        self.update(values, "Settings()")

    def update(self, values, where):
        # Take over the dictionary `values` read from `where`; PixError("settings") names the first bad one.
        for name in sorted(values):
            if name not in KEYS:
                self.warnings.append("%s: unknown setting %s ignored" % (where, name))
                continue
            fault = wrong(KEYS[name][1], values[name])
            if fault:
                raise PixError("settings", "%s: %s %s" % (where, name, fault))
            setattr(self, name, values[name])


def load(paths=PATHS):
    # Settings from the files that exist, later ones over earlier ones. Raises PixError("settings").
    settings = Settings()
    for path in paths:
        text = _read(path)
        if text is not None:
            settings.update(parse(text, path), path)
    return settings


def _read(path):
    try:
        f = open(path, "rb")
    except OSError:
        return None  # no such file, or no card: both mean that this place says nothing
    try:
        data = f.read(_MAX_FILE + 1)
    finally:
        f.close()
    if len(data) > _MAX_FILE:
        raise PixError("settings", "%s is larger than %d bytes" % (path, _MAX_FILE))
    return data


def parse(data, path):
    # The settings in `data`, the bytes of the file `path`. Raises PixError("settings"), which quotes nothing of them.
    import ujson

    try:
        if data[:3] == b"\xef\xbb\xbf":  # Windows Notepad's byte order mark
            data = data[3:]
        text = data.decode().strip()
        # MaixPy's parser takes an object whose closing brace is missing for whole: a torn file must not pass.
        if not (text.startswith("{") and text.endswith("}")):
            raise ValueError
        values = ujson.loads(text)
    except (ValueError, UnicodeError):
        raise PixError("settings", "%s is not whole JSON" % path)
    if not isinstance(values, dict):
        raise PixError("settings", "%s is not a JSON object" % path)
    return values


def wrong(kind, value):
    # What is wrong with `value`, as the end of a sentence, or None. Never repeats the value: it may be a secret.
    if kind == "networks":
        good = isinstance(value, list)
        for entry in value if good else ():
            if not (isinstance(entry, list) and len(entry) == 2 and _text(entry[0]) and _text(entry[1])):
                good = False
        return None if good else "must be a list of [name, key] pairs"
    if kind == "text" or kind == "secret":
        return None if _text(value) else "must be a text"
    if kind == "schedule":
        return _schedule_fault(value) if _text(value) else "must be a text"
    if kind == "words":
        good = _text(value) and all([word in _OVERLAYS for word in value.split()])
        return None if good else "must be some of %s" % ", ".join(_OVERLAYS)
    if isinstance(kind[0], int):
        if isinstance(value, bool) or not isinstance(value, int):
            return "must be a whole number"
        if not kind[0] <= value <= kind[1]:
            return "must be from %d to %d" % kind
        return None
    return None if value in kind else "must be one of %s" % ", ".join(kind)


def need(settings, function):
    # Raise TypeError unless `settings` are some; `function` is what was called with them. Never repeats what it was
    # given: it may be a key.
    if not isinstance(settings, Settings):
        raise TypeError("%s(settings): config.load() or config.Settings(wifi=[[name, key]]) is expected" % function)


def network_fault(name, key):
    # What is wrong with a network of the settings, a sentence, or None. Limits: NONOS AT 1.7.6 binary.
    if not 0 < len(name.encode()) <= 32:
        return "a Wi-Fi name must have 1 to 32 bytes"
    if len(key.encode()) > 64:
        return "the key of %s is longer than 64 bytes" % name
    for c in name + key:
        if c < " ":
            return "a name or key holds a control character"
    return None


def _schedule_fault(text):
    from pix.sched import Schedule

    try:
        Schedule(text)
    except PixError as error:
        return "has a rule that is not understood: " + error.detail
    return None


def _text(value):
    return isinstance(value, str)
