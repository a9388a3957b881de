"""What the tests of apps/send.py and apps/snap.py share: a board with a camera and a network, and the companion."""

import json
import re
import time

from benchmarks.upload_station import KEY, PICTURES, TOKEN, plant, play, scenes
from maixpix.companion import ServeSettings
from rig.patience import patient
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.hosted import font
from virtualboard.launch import RUN_LIMIT_S, run_app

__all__ = ["KEY", "PICTURES", "TOKEN", "Station", "arrived", "play", "receiver", "state_line", "stored", "taken"]


class Station:
    """One board's card; `run` starts an app on it with settings and faults. The camera never sees a thing twice."""

    def __init__(self, card):
        self.card = card
        self.outbox = card / "outbox"
        self._runs = 0

    def plant(self, count, large=0):
        """Pictures of an earlier day in the outbox; name -> bytes."""
        return plant(self.outbox, count, large=large)

    def scenes(self):
        """A folder of views that no earlier run has seen."""
        self._runs += 1
        return scenes(self.card.parent / f"scenes{self._runs}", self._runs)

    def run(self, app, settings, ssid="home", timeout_s=RUN_LIMIT_S, panel=None, end_ms=None, on_event=None, **config):
        # Plain tcp:// cannot carry a token.
        token = "" if settings.get("upload", "").startswith("tcp:") else TOKEN
        whole = {"wifi": [[ssid, KEY]], "colour": "on", "token": token, **settings}
        (self.card / "pix.json").write_text(json.dumps(whole))
        board = BoardConfig(
            card=str(self.card),
            wifi=[WifiNetwork("home", KEY)],
            names={"pc": "127.0.0.1"},
            camera=str(self.scenes()),
            **config,
        )
        script = self.card / "apps" / f"{app}.py"
        result = run_app(board, script, on_event, timeout_s, panel=panel, end_ms=end_ms)
        assert KEY not in result.console and TOKEN not in result.console
        assert "Traceback" not in result.console, result.console
        return result

    def waiting(self):
        """Name -> bytes of the pictures in the outbox."""
        if not self.outbox.exists():
            return {}
        return {entry.name: entry.read_bytes() for entry in sorted(self.outbox.iterdir()) if entry.suffix == ".jpg"}


def state_line(picture):
    """The text at the bottom of a panel's picture, read glyph by glyph; what is no glyph reads "?"."""
    glyphs = {font.glyph(chr(c)).convert("L").tobytes(): chr(c) for c in range(33, 127)}
    glyphs[bytes(font.WIDTH * font.HEIGHT)] = " "
    top, text = picture.height - 16, ""
    for x in range(8, picture.width - font.WIDTH, font.WIDTH):
        cell = picture.convert("L").crop((x, top, x + font.WIDTH, top + font.HEIGHT))
        text += glyphs.get(cell.tobytes(), "?")
    return text.rstrip()


def taken(console):
    """Names of the pictures that the console tells of."""
    return re.findall(r"^taken (\S+) \d+ bytes$", console, re.M)


def receiver(tmp_path, **options):
    """Settings of a companion that takes uploads on both doors."""
    options = {"port": 0, "tcp_port": 0, "uploads": tmp_path / "uploads", "names": ("pc",), "token": TOKEN, **options}
    return ServeSettings(PICTURES, **options)


def arrived(tmp_path, count):
    """`stored` once it has `count` files: nobody is told when a plain tcp:// upload is on the disk. A name is taken
    by an empty file first."""
    end = time.monotonic() + patient(30)
    while True:
        found = stored(tmp_path)
        if (len(found) >= count and all(found.values())) or time.monotonic() > end:
            return found
        time.sleep(0.02)


def stored(tmp_path):
    """Name -> bytes of everything that the companion keeps."""
    files = sorted((tmp_path / "uploads").glob("????-??-??/*"))
    return {file.name: file.read_bytes() for file in files if file.is_file()}
