"""Both ways of a picture without a board: companion, virtual board, `apps/show.py`, `apps/snap.py`, and a judge.

picture file -> companion -> TCP -> modem part -> serial line -> pix -> card -> decoder -> panel part -> PNG
camera part -> JPEG on the card -> pix -> serial line -> modem part -> TCP -> companion -> gallery
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from maixpix.companion import ServeSettings, running
from maixpix.demo import web
from maixpix.demo.board import KEY, SSID, Console, DemoBoard, DemoOptions, Say, camera_picture
from maixpix.demo.files import OWN_PICTURE, claim, fill_card, picture_suffix
from maixpix.demo.portrait import portrait
from maixpix.demo.verdicts import expected_panel, judge, link_figures, psnr, rate_line, received
from maixpix.paths import board_files
from maixpix.virtual.engines import firmware_parts
from maixpix.virtual.reach import resolve_url
from virtualboard.clock import SECOND
from virtualboard.engine import K210
from virtualboard.models import MODELS

__all__ = ["DemoOptions", "expected_panel", "judge", "link_figures", "psnr", "rate_line", "received", "run_demo"]

HOST = "pc"
"""The name by which the virtual network knows this machine."""

_ENDS = {"power cut": "the board's power was cut", "reset": "the board was reset", "crash": "the firmware crashed"}


def default_picture() -> Path:
    """The photograph that comes with the project."""
    return board_files() / "assets" / "pictures" / "chelsea.jpg"


def run_demo(options: DemoOptions, say: Say) -> dict[str, Any]:
    """Show a picture, then take one and send it back.

    Writes `panel.png`, `demo.png`, `received.jpg`, `report.json`, the card and the uploads under `options.out`. Returns
    the report; its `ok` tells whether the panel showed the picture and the snapshot arrived whole. Raises `UserError`
    for unusable options, before anything is started or deleted, and when the board breaks down.
    """
    model = MODELS[options.model]
    picture = options.picture or default_picture()
    suffix = picture_suffix(picture, options.panel)
    names = {HOST: "127.0.0.1"}
    if options.url is not None:
        names = resolve_url(options.url, names, options.reach)
    if options.firmware is not None:
        firmware_parts(options.firmware)
    out = options.out
    claim(out)
    # The companion gets a folder with this one picture, not the user's whole folder around it.
    shutil.copyfile(picture, out / "picture" / f"picture{suffix}")
    card, uploads = out / "card", out / "uploads"
    fill_card(card, byte_code=options.engine == K210)
    console = Console(say)
    board = DemoBoard(options, names, card, console)
    serving = ServeSettings(out / "picture", port=0, names=(HOST,), uploads=uploads, pictures=OWN_PICTURE)
    url = options.url
    if url is not None:
        serving = replace(serving, allow_fetch=True, fetch_private=web.is_private(url, names))
    with running(serving) as server:
        base = f"http://{HOST}:{server.port}"
        settings: dict[str, Any] = {
            "wifi": [[SSID, KEY]],
            "server": base,
            "picture": url or f"picture{suffix}",
            "baud": options.baud,
            "board": options.model,
        }
        chip = "the emulated chip" if options.engine == "k210" else "the hosted engine"
        say(f"virtual {model.title} on {chip}, modem AT {options.at}, line {options.baud} baud")
        say(f"companion at {server.url} with {picture}")
        if url is not None and web.is_secure(url):
            say("the board's modem has no usable TLS for https://: the companion fetches it")
            settings["picture"] = web.through_companion(url, base, options.panel, names)
        board.prepare(say)
        report = board.play("show", settings, out / "panel.png", options.faults)
        if settings["picture"] == url and web.companion_helps(console.last_error):
            console.power_cycle(f"the board alone cannot show it ({console.last_error}): again, by the companion")
            settings["picture"] = web.through_companion(url, base, options.panel, names)
            report = board.play("show", settings, out / "panel.png", [])
        target = card / "show.jpg"
        ok, verdict = judge(out / "panel.png", target, options.panel)
        if not ok and (why := _ENDS.get(report.get("ended", "")) or console.last_error):
            verdict += f": {why}"
        verdicts = [(verdict, ok)]
        file_bytes = target.stat().st_size if target.exists() else 0
        figures = link_figures(report, console.line_rate or options.baud, file_bytes)
        speed = rate_line(figures)
        if speed is not None:
            say(speed)
        snapshot: dict[str, Any] = {}
        if ok:
            console.power_cycle("power off, power on: now a snapshot goes the other way")
            more = {"upload": f"{base}/files/", "snaps": 1, "snap_s": 1}
            snap = board.play("snap", {**settings, **more}, out / "snap-panel.png", [])
            snapshot = {**received(server.url, card, camera_picture(), out / "received.jpg"), "board": snap}
            verdicts.append((snapshot["verdict"], snapshot["ok"]))
    board.close()
    summary = {
        "ok": all(ok for _, ok in verdicts),
        "verdict": "; ".join(text for text, _ in verdicts),
        "at": options.at,
        "baud": options.baud,
        "file_bytes": file_bytes,
        "engine": options.engine,
        **figures,
        "snapshot": snapshot,
        "stages": [{"ms": round(stage.ms, 3), "text": stage.text} for stage in console.stages],
        "board": report,
    }
    (out / "report.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    say(f"{report['virtual_ns'] / SECOND:.2f} s of the board's time in {report['host_s']:.2f} s on this machine")
    lines = [(f"{stage.ms / 1000:.2f} s", stage.text, stage.tone) for stage in console.stages]
    shots = [Image.open(path).convert("RGB") for path in (out / "panel.png", out / "received.jpg") if path.exists()]
    portrait(shots, "maixpix demo", lines, verdicts).save(out / "demo.png")
    return summary
