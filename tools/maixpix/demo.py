"""Both ways of a picture without a board: companion, virtual board, `apps/show.py`, `apps/snap.py`, and a judge.

    picture file -> companion -> TCP -> modem part -> serial line -> pix -> card -> decoder -> panel part -> PNG
    camera part -> JPEG on the card -> pix -> serial line -> modem part -> TCP -> companion -> gallery

The judge is Pillow: what the panel shows must be what Pillow makes of the very file that the server gave out.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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

BOARDS = {(320, 240): "dock", (240, 240): "cube", (480, 320): "amigo"}
"""The board that has a panel of each size."""

GOOD_PSNR = 27.0
"""Decibels from which two renderings of one picture count as the same: RGB565 truncation alone costs down to 33, a
different JPEG decoder (chroma upsampling) a few more; a shifted, torn or wrong picture stays below 20."""

GOOD_SNAPSHOT_PSNR = 22.0
"""The same for a snapshot, which has been through a sensor's scaling, RGB565 and a JPEG encoder at quality 60."""


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
    """Show a picture, then take one and send it back.

    Writes `panel.png`, `demo.png`, `received.jpg`, `report.json`, the card and the uploads under `options.out`. Returns
    the report; its `ok` tells whether the panel showed the picture and the snapshot arrived whole. Raises `UserError`
    for unusable options.
    """
    from maixpix.companion import ServeSettings, running

    picture = options.picture or default_picture()
    if not picture.is_file():
        raise UserError(f"there is no picture {picture}", "name an existing file with --picture")
    if options.panel not in BOARDS:
        known = ", ".join(f"{width}x{height}" for width, height in BOARDS)
        raise UserError(f"no board has a panel of {options.panel[0]}x{options.panel[1]}", f"use one of {known}")
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    uploads = out / "uploads"
    if uploads.exists():
        shutil.rmtree(uploads)
    stages: list[Stage] = []
    on_event = _console_lines(stages, say)
    with running(ServeSettings(picture.parent, port=0, names=(HOST,), uploads=uploads)) as server:
        settings: dict[str, Any] = {
            "wifi": [[SSID, KEY]],
            "server": f"http://{HOST}:{server.port}",
            "picture": options.url or picture.name,
            "baud": options.baud,
            "board": BOARDS[options.panel],
        }
        card = out / "card"
        prepare_card(card, settings)
        chip = "the emulated chip" if options.engine == "k210" else "the hosted engine"
        say(f"virtual Maix Dock on {chip}, modem AT {options.at}, line {options.baud} baud; companion at {server.url}")
        play = _on_chip if options.engine == "k210" else _hosted
        board = play(options, card, "show", out / "panel.png", on_event)
        target = card / "show.jpg"
        ok, verdict = judge(out / "panel.png", target, options.panel)
        figures = link_figures(board, options.baud)
        say(rate_line(figures))
        snapshot: dict[str, Any] = {}
        if ok:
            say("power off, power on: now a snapshot goes the other way")
            more = {"upload": f"http://{HOST}:{server.port}/files/", "snaps": 1, "snap_s": 1}
            (card / "pix.json").write_text(json.dumps({**settings, **more}), encoding="utf-8")
            calm = replace(options, faults=[])
            snap = play(calm, card, "snap", out / "snap-panel.png", on_event)
            snapshot = received(server.url, card, out)
            snapshot["board"] = snap
            ok = snapshot["ok"]
            verdict = f"{verdict}; {snapshot['verdict']}"
    report = {
        "ok": ok,
        "verdict": verdict,
        "at": options.at,
        "baud": options.baud,
        "file_bytes": target.stat().st_size if target.exists() else 0,
        "engine": options.engine,
        **figures,
        "snapshot": snapshot,
        "stages": [{"ms": round(stage.ms, 3), "text": stage.text} for stage in stages],
        "board": board,
    }
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    say(f"{board['virtual_ns'] / SECOND:.2f} s of the board's time in {board['host_s']:.2f} s on this machine")
    lines = [(f"{stage.ms / 1000:.2f} s", stage.text) for stage in stages]
    shots = [Image.open(path).convert("RGB") for path in (out / "panel.png", out / "received.jpg") if path.exists()]
    portrait(shots, "maixpix demo", lines, verdict.split("; ")).save(out / "demo.png")
    return report


def camera_picture() -> Path:
    """What the demo's camera sees."""
    return board_files() / "assets" / "pictures" / "coffee.jpg"


def received(url: str, card: Path, out: Path) -> dict[str, Any]:
    """What came of the snapshot: exactly one upload in the companion's gallery, whole, of what the camera saw, and
    nothing left in the board's outbox. The picture is copied to `out`/received.jpg."""
    (out / "received.jpg").unlink(missing_ok=True)
    with urllib.request.urlopen(f"{url}/uploads.json", timeout=10) as answer:
        uploads = json.load(answer)["uploads"]
    left = [path.name for path in (card / "outbox").glob("*.jpg")]
    if len(uploads) != 1 or left:
        return {"ok": False, "verdict": f"{len(uploads)} snapshots arrived, {len(left)} wait on the card"}
    with urllib.request.urlopen(url + uploads[0]["url"], timeout=10) as answer:
        data = answer.read()
    (out / "received.jpg").write_bytes(data)
    with Image.open(out / "received.jpg") as shot, Image.open(camera_picture()) as seen:
        # In grey: minimum builds of MaixPy take grey pictures, because their colour encoder overruns its memory.
        wanted = ImageOps.fit(seen.convert("RGB"), shot.size, Image.Resampling.BILINEAR)
        ratio = psnr(shot.convert("L"), wanted.convert("L"))
    ok = hashlib.sha256(data).hexdigest() == uploads[0]["sha256"] and ratio >= GOOD_SNAPSHOT_PSNR
    told = f"{len(data)} bytes, {ratio:.1f} dB against what the camera saw"
    return {
        "ok": ok,
        "verdict": f"the snapshot is in the gallery ({told})" if ok else f"the snapshot is not right ({told})",
        "sha256": uploads[0]["sha256"],
        "bytes": len(data),
    }


def _hosted(options: DemoOptions, card: Path, app: str, panel: Path, on_event: OnEvent) -> dict[str, Any]:
    from virtualboard.hosted.launch import run_app

    started = time.monotonic()
    config = BoardConfig(
        model=BOARDS[options.panel],
        at=options.at,
        card=str(card),
        camera=str(camera_picture()),
        panel_width=options.panel[0],
        panel_height=options.panel[1],
        wifi=[WifiNetwork(SSID, KEY)],
        names={HOST: "127.0.0.1"},
        faults=options.faults,
        seed=options.seed,
    )
    result = run_app(config, card / "apps" / f"{app}.py", on_event, panel=panel)
    return {**result.report, "host_s": round(time.monotonic() - started, 3)}


def _on_chip(options: DemoOptions, card: Path, app: str, panel: Path, on_event: OnEvent) -> dict[str, Any]:
    from maixpix.chip_run import run_on_chip
    from maixpix.live import LiveOptions

    live = LiveOptions(
        "k210",
        options.firmware,
        card=card,
        camera=camera_picture(),
        at=options.at,
        panel=options.panel,
        wifi=[(SSID, KEY)],
        names={HOST: "127.0.0.1"},
        faults=options.faults,
        seed=options.seed,
        paced=False,
    )
    return run_on_chip(live, f"/sd/apps/{app}.py", lambda when, text: on_event({"t": when, "console": text}), panel)


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
