"""From power to picture: when a frame shows what its card has, and when something new.

    python -m benchmarks.power_on [--firmware maixpy.bin] [--at 1.1] [--source] [--tree FOLDER]

A card with the deployed software (byte code unless `--source`; of another tree with `--tree`) is started twice. In the
first start the frame fetches a red picture and keeps it. Then the server's folder has a blue one instead, the power is
off and comes back, and the panel is looked at every 5 ms of virtual time. Told are the milliseconds from the power-on,
and from the app's start, to the red and to the blue picture. Without `--firmware` the hosted engine runs. The model of
joining: the module is up 0.4 s after its reset, associates in 1.6 s and has its address 0.6 s later, by itself when it
remembers a network; the server is on this machine, 4 ms away.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

from maixpix.board import bundle, install
from maixpix.board.places import FolderPlace
from maixpix.companion import ServeSettings, running
from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS
from virtualboard.engine import HOSTED, K210, EngineOptions, put_part
from virtualboard.running import RunningBoard

LOOK_MS = 5
FIRST_MS, SECOND_MS = 45_000, 20_000
COLOURS = {"red": (200, 0, 0), "blue": (0, 0, 200)}


class Start:
    """One start of the board on `card`: when the app began and when the panel showed which colour, in virtual ms."""

    def __init__(
        self, card: Path, at: str, firmware: Path | None, flash: bytes, seed: int, sources: dict[bytes, str]
    ) -> None:
        config = BoardConfig(card=str(card), at=at, names={"pc": "127.0.0.1"}, seed=seed)
        self.board = Board(config)
        options = EngineOptions(HOSTED, repl=False, decode_mpy=sources.get)
        if firmware is not None:
            options = EngineOptions(K210)
            put_part(self.board.flash, 0, firmware.read_bytes(), program=True)
            if flash:
                self.board.flash.data[:] = flash
        self.running = RunningBoard(self.board, options)
        self.seen: dict[str, float] = {}
        self.console = bytearray()
        self.app_ms = 0.0

    def play(self, end_ms: int, until: str) -> bytes:
        """Run until the panel shows the colour `until`, at most `end_ms`; the flash's content afterwards."""
        clock = self.board.clock

        def heard(when: int, data: bytes) -> None:
            self.console.extend(data)
            # The interpreter is up, and what follows is ours: boot.py, main.py, the app.
            if not self.app_ms and b"[MaixPy] init end" in self.console:
                self.app_ms = when / MS

        def look() -> None:
            shown = self.board.panel.image().convert("RGB").getpixel((160, 120))
            for name, colour in COLOURS.items():
                if all(abs(a - b) < 30 for a, b in zip(shown, colour, strict=True)):
                    self.seen.setdefault(name, clock.now / MS)
            if until in self.seen:
                self.running.end("seen")
            else:
                clock.after(LOOK_MS * MS, look)

        clock.after(LOOK_MS * MS, look)
        clock.at(end_ms * MS, lambda: self.running.end("time limit"))
        self.running.console.listen(heard)
        try:
            self.running.run()
        finally:
            flash = bytes(self.board.flash.data)
            self.board.power_off()
        return flash


def measure(tree: Path | None, at: str, firmware: Path | None, mpy: bool) -> Start:
    """The second start of a frame whose card has a picture from the first."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, card = Path(scratch, "pictures"), Path(scratch, "card")
        folder.mkdir()
        card.mkdir()
        files = bundle.build(tree, mpy=mpy)
        install.install(FolderPlace(card), files)
        texts = bundle.device_texts(tree or bundle.source_root())
        sources = {data: texts[name.replace(".mpy", ".py")] for name, data in files.files.items() if "/" in name}
        _picture(folder, "red")
        with running(ServeSettings(folder, port=0, names=("pc",))) as companion:
            settings = {"wifi": [["home", "correct horse"]], "server": f"http://pc:{companion.port}", "app": "frame"}
            (card / "pix.json").write_text(json.dumps(settings))
            first = Start(card, at, firmware, b"", 1, sources)
            flash = first.play(FIRST_MS, "red")
            (folder / "red.png").unlink()
            _picture(folder, "blue")
            second = Start(card, at, firmware, flash, 2, sources)
            second.board.modem.flash = first.board.modem.flash
            second.play(SECOND_MS, "blue")
    return second


def _picture(folder: Path, name: str) -> None:
    Image.new("RGB", (320, 240), COLOURS[name]).save(folder / f"{name}.png")


def main() -> int:
    """Print the figures; 1 when the new picture did not come."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--firmware", type=Path)
    parser.add_argument("--at", default="1.1")
    parser.add_argument("--source", action="store_true")
    parser.add_argument("--tree", type=Path, help="another folder with firmware/ and apps/")
    parser.add_argument("--console", action="store_true", help="print what the board said")
    options = parser.parse_args()
    start = measure(options.tree, options.at, options.firmware, not options.source)
    if options.console:
        print(start.console.decode("utf-8", "replace"))
    engine = "k210" if options.firmware else "hosted"
    form = "source" if options.source else "byte code"
    print(f"{engine}, AT {options.at}, {form}: interpreter up at {start.app_ms:.0f} ms")
    for name, what in (("red", "picture of the card"), ("blue", "fresh picture")):
        if name in start.seen:
            when = start.seen[name]
            print(f"  {what:20} {when:6.0f} ms after power-on, {when - start.app_ms:6.0f} ms after the interpreter")
        else:
            print(f"  {what:20} not seen")
    return 0 if "blue" in start.seen else 1


if __name__ == "__main__":
    sys.exit(main())
