"""What the tests of apps/send.py and apps/snap.py share: a board with a camera and a network, and the companion."""

import io
import json
import re
from pathlib import Path

from PIL import Image

from maixpix.companion import ServeSettings
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.hosted.launch import run_app

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "assets" / "pictures"
KEY = "sesame-open-42"
TOKEN = "upload-token-77"


class Station:
    """One board's card; `run` starts an app on it with settings and faults. The camera never sees a thing twice."""

    def __init__(self, card):
        self.card = card
        self.outbox = card / "outbox"
        self._runs = 0

    def plant(self, count):
        """Pictures of an earlier day in the outbox; name -> bytes."""
        self.outbox.mkdir(exist_ok=True)
        with Image.open(PICTURES / "chelsea.jpg") as source:
            for i in range(count):
                out = io.BytesIO()
                source.convert("RGB").resize((320, 240)).save(out, "JPEG", quality=50 + i)
                (self.outbox / f"s{i + 1:07}.jpg").write_bytes(out.getvalue())
        (self.outbox / "number").write_bytes(b"%07d\n" % count)
        return self.waiting()

    def scenes(self):
        """A folder of views that no earlier run has seen."""
        self._runs += 1
        folder = self.card.parent / f"scenes{self._runs}"
        folder.mkdir()
        with Image.open(PICTURES / "coffee.jpg") as source:
            wide = source.convert("RGB").resize((500, 340))
        for i in range(24):
            x, y = 7 * i, 4 * self._runs
            wide.crop((x, y, x + 320, y + 240)).save(folder / f"v{i:02}.bmp")
        return folder

    def run(self, app, settings, ssid="home", timeout_s=60.0, panel=None, end_ms=None, on_event=None, **config):
        whole = {"wifi": [[ssid, KEY]], "colour": "on", "token": TOKEN, **settings}
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


def taken(console):
    """Names of the pictures that the console tells of."""
    return re.findall(r"^taken (\S+) \d+ bytes$", console, re.M)


def receiver(tmp_path, **options):
    """Settings of a companion that takes uploads on both doors."""
    options = {"port": 0, "tcp_port": 0, "uploads": tmp_path / "uploads", "names": ("pc",), "token": TOKEN, **options}
    return ServeSettings(PICTURES, **options)


def stored(tmp_path):
    """Name -> bytes of everything that the companion keeps."""
    files = sorted((tmp_path / "uploads").glob("????-??-??/*"))
    return {file.name: file.read_bytes() for file in files if file.is_file()}
