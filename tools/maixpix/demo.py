"""The whole way of a picture without a board: companion, virtual board, `apps/show.py`, and a judge of the panel.

    picture file -> companion -> TCP -> modem part -> serial line -> pix -> card -> decoder -> panel part -> PNG

The judge is Pillow: what the panel shows must be what Pillow makes of the very file that the server gave out.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageOps, ImageStat, UnidentifiedImageError

from maixpix.errors import UserError
from maixpix.paths import board_files
from maixpix.portrait import portrait
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.clock import SECOND

SSID, KEY = "home", "correct horse"
OnEvent = Callable[[dict[str, Any]], None]

HOST = "pc"
"""The name by which the virtual network knows this machine."""

GOOD_PSNR = 27.0
"""Decibels from which two renderings of one picture count as the same: RGB565 truncation alone costs down to 33, a
different JPEG decoder (chroma upsampling) a few more; a shifted, torn or wrong picture stays below 20."""


@dataclass
class DemoOptions:
    """What `maixpix demo` can be told."""

    out: Path
    picture: Path | None = None
    url: str | None = None
    baud: int = 1_000_000
    at: str = "1.1"
    panel: tuple[int, int] = (320, 240)
    faults: list[dict[str, Any]] = field(default_factory=list)
    seed: int = 0
    engine: str = "hosted"
    firmware: Path | None = None
    """MaixPy image for engine "k210"."""


@dataclass
class Stage:
    """One line of what happened: virtual milliseconds since power-on, and the board's words."""

    ms: float
    text: str


def prepare_card(card: Path, settings: dict[str, Any]) -> None:
    """An SD card folder as `maixpix card` makes it: `pix`, the apps, `pix.json`. What was there goes away."""
    if card.exists():
        shutil.rmtree(card)
    files = board_files()
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(files / "firmware" / "pix", card / "pix", ignore=ignore)
    shutil.copytree(files / "apps", card / "apps", ignore=ignore)
    (card / "pix.json").write_text(json.dumps(settings), encoding="utf-8")


def default_picture() -> Path:
    """The photograph that comes with the project."""
    return board_files() / "assets" / "pictures" / "chelsea.jpg"


def expected_panel(file: Path, size: tuple[int, int]) -> Image.Image:
    """Pillow's own rendering of what the board should show of `file`: shrunk to fit, centred on black."""
    with Image.open(file) as source:
        picture = source.convert("RGB")
    if picture.width > size[0] or picture.height > size[1]:
        picture = ImageOps.contain(picture, size, Image.Resampling.BOX)
    panel = Image.new("RGB", size)
    panel.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return panel


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB over all three channels; infinite for equal pictures, 0 for unequal sizes."""
    if one.size != other.size:
        return 0.0
    squares = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).sum2
    mean = sum(squares) / (3 * one.width * one.height)
    return math.inf if mean == 0 else 10 * math.log10(255**2 / mean)


def judge(panel_png: Path, file: Path, size: tuple[int, int]) -> tuple[bool, str]:
    """Whether the panel shows `file`, and the reason in a few words."""
    try:
        wanted = expected_panel(file, size)
    except FileNotFoundError:
        return False, "no picture reached the card"
    except (UnidentifiedImageError, OSError):
        return False, "the file on the card is no picture"
    with Image.open(panel_png) as shown:
        ratio = psnr(shown, wanted)
    told = "exact" if math.isinf(ratio) else f"{ratio:.1f} dB"
    if ratio >= GOOD_PSNR:
        return True, f"the panel shows the picture ({told} against Pillow's own rendering)"
    return False, f"the panel does not show the picture ({told} against Pillow's own rendering)"


def run_demo(options: DemoOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the demo and write `panel.png`, `demo.png`, `report.json` and the card under `options.out`.

    Returns the report; its `ok` tells whether the panel shows the picture. Raises `UserError` for unusable options.
    """
    from maixpix.companion import ServeSettings, running

    picture = options.picture or default_picture()
    if not picture.is_file():
        raise UserError(f"there is no picture {picture}", "name an existing file with --picture")
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    stages: list[Stage] = []
    with running(ServeSettings(picture.parent, port=0, names=(HOST,))) as server:
        settings: dict[str, Any] = {
            "wifi": [[SSID, KEY]],
            "server": f"http://{HOST}:{server.port}",
            "picture": options.url or picture.name,
            "baud": options.baud,
        }
        card = out / "card"
        prepare_card(card, settings)
        chip = "the emulated chip" if options.engine == "k210" else "the hosted engine"
        say(f"virtual Maix Dock on {chip}, modem AT {options.at}, line {options.baud} baud; companion at {server.url}")
        play = _on_chip if options.engine == "k210" else _hosted
        board = play(options, card, _console_lines(stages, say))
    target = card / "show.jpg"
    ok, verdict = judge(out / "panel.png", target, options.panel)
    report = {
        "ok": ok,
        "verdict": verdict,
        "at": options.at,
        "baud": options.baud,
        "file_bytes": target.stat().st_size if target.exists() else 0,
        "engine": options.engine,
        **link_figures(board, options.baud),
        "stages": [{"ms": round(stage.ms, 3), "text": stage.text} for stage in stages],
        "board": board,
    }
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    say(rate_line(report))
    say(f"{board['virtual_ns'] / SECOND:.2f} s of the board's time in {board['host_s']:.2f} s on this machine")
    lines = [(f"{stage.ms / 1000:.2f} s", stage.text) for stage in stages]
    with Image.open(out / "panel.png") as panel:
        portrait(panel.convert("RGB"), "maixpix demo", lines, verdict).save(out / "demo.png")
    return report


def _hosted(options: DemoOptions, card: Path, on_event: OnEvent) -> dict[str, Any]:
    from virtualboard.hosted.launch import run_app

    started = time.monotonic()
    config = BoardConfig(
        at=options.at,
        card=str(card),
        panel_width=options.panel[0],
        panel_height=options.panel[1],
        wifi=[WifiNetwork(SSID, KEY)],
        names={HOST: "127.0.0.1"},
        faults=options.faults,
        seed=options.seed,
    )
    result = run_app(config, card / "apps" / "show.py", on_event, panel=options.out / "panel.png")
    return {**result.report, "host_s": round(time.monotonic() - started, 3)}


def _on_chip(options: DemoOptions, card: Path, on_event: OnEvent) -> dict[str, Any]:
    from maixpix.chip_run import run_on_chip
    from maixpix.live import LiveOptions

    live = LiveOptions(
        "k210",
        options.firmware,
        card=card,
        at=options.at,
        panel=options.panel,
        wifi=[(SSID, KEY)],
        names={HOST: "127.0.0.1"},
        faults=options.faults,
        seed=options.seed,
        paced=False,
    )
    return run_on_chip(
        live, "/sd/apps/show.py", lambda when, text: on_event({"t": when, "console": text}), options.out / "panel.png"
    )


def link_figures(report: dict[str, Any], baud: int) -> dict[str, Any]:
    """Payload figures of a board's report: bytes, virtual seconds from the first to the last payload byte on the
    line, bytes per second and the share of the line rate (10 bits a byte)."""
    links = [link for link in report.get("modem", {}).get("links", []) if link["printed"]]
    payload = sum(link["printed"] for link in links)
    if not payload:
        return {"payload_bytes": 0}
    span = max(link["last_ns"] for link in links) - min(link["first_ns"] for link in links)
    rate = payload * SECOND / span if span > 0 else 0.0
    return {
        "payload_bytes": payload,
        "payload_s": span / SECOND,
        "payload_bytes_per_s": round(rate),
        "line_share": round(rate * 10 / baud, 4),
        "time_model": "virtual time; modem latency 1 ms a command, peer round trip 4 ms, "
        "server thinking time up to 0.25 s not counted",
    }


def rate_line(report: dict[str, Any]) -> str:
    """The line about speed."""
    if not report["payload_bytes"]:
        return "no payload came over the line"
    return (
        f"{report['payload_bytes']} bytes over the line in {report['payload_s']:.3f} s of virtual time: "
        f"{report['payload_bytes_per_s'] / 1000:.1f} kB/s, {report['line_share']:.1%} of the line rate"
    )


def _console_lines(stages: list[Stage], say: Callable[[str], None]) -> Callable[[dict[str, Any]], None]:
    """An event handler that turns the board's console output into stages, a line each, after the banner."""
    buffer = ""

    def on_event(event: dict[str, Any]) -> None:
        nonlocal buffer
        if "console" not in event:
            return
        buffer += event["console"]
        while "\n" in buffer:
            line, _, buffer = buffer.partition("\n")
            line = line.strip()
            if line and not line.startswith(("[MAIXPY]", "[MaixPy]", "[Warning]")) and any(c.isalnum() for c in line):
                stages.append(Stage(event["t"] / 1e6, line))
                say(f"{event['t'] / 1e9:8.3f} s  {line}")

    return on_event
