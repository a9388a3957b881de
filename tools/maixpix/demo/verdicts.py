"""What came of a demo: does the panel show the picture, did the snapshot arrive, how fast did the file come?

The judge is Pillow: what the panel shows must be what Pillow makes of the very file that the server gave out.
"""

from __future__ import annotations

import hashlib
import json
import math
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageOps, ImageStat, UnidentifiedImageError

from virtualboard.clock import SECOND
from virtualboard.esp8285.uart import real_baud
from virtualboard.wire import BITS

GOOD_PSNR = 27.0
"""Decibels from which two renderings of one picture count as the same: RGB565 truncation alone costs down to 33, a
different JPEG decoder (chroma upsampling) a few more; a shifted, torn or wrong picture stays below 20."""

GOOD_SNAPSHOT_PSNR = 22.0
"""The same for a snapshot, which has been through a sensor's scaling, RGB565 and a JPEG encoder at quality 60."""

TIME_MODEL = (
    "virtual time; modem latency 1 ms a command, peer round trip 4 ms, server thinking time up to 0.25 s not counted"
)

_LONGEST_PAUSE_NS = SECOND // 3
"""Once the line has been idle for longer than this and for longer than it was busy, something was waited for."""

_LONGEST_HEAD = 2048
"""Bytes: what came over the line beyond the file is one response's head up to here, and else a second response."""


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


def received(url: str, card: Path, seen: Path, kept: Path) -> dict[str, Any]:
    """What came of the snapshot: exactly one upload in the companion's gallery at `url`, whole, of what the camera
    saw (`seen`), and nothing left in the board's outbox. The picture is copied to `kept`."""
    with urllib.request.urlopen(f"{url}/uploads.json", timeout=10) as answer:
        uploads = json.load(answer)["uploads"]
    left = [path.name for path in (card / "outbox").glob("*.jpg")]
    if len(uploads) != 1 or left:
        return {"ok": False, "verdict": f"{len(uploads)} snapshots arrived, {len(left)} wait on the card"}
    with urllib.request.urlopen(url + uploads[0]["url"], timeout=10) as answer:
        data = answer.read()
    kept.write_bytes(data)
    with Image.open(kept) as shot, Image.open(seen) as scene:
        # In grey: minimum builds of MaixPy take grey pictures, because their colour encoder overruns its memory.
        wanted = ImageOps.fit(scene.convert("RGB"), shot.size, Image.Resampling.BILINEAR)
        ratio = psnr(shot.convert("L"), wanted.convert("L"))
        grey = shot.mode == "L"
    ok = hashlib.sha256(data).hexdigest() == uploads[0]["sha256"] and ratio >= GOOD_SNAPSHOT_PSNR
    told = f"{len(data)} bytes, {ratio:.1f} dB against what the camera saw"
    if grey:
        told += "; in grey, as minimum builds of MaixPy must take it, a full build takes colour"
    return {
        "ok": ok,
        "verdict": f"the snapshot is in the gallery ({told})" if ok else f"the snapshot is not right ({told})",
        "sha256": uploads[0]["sha256"],
        "bytes": len(data),
    }


def link_figures(report: dict[str, Any], baud: int, file_bytes: int | None = None) -> dict[str, Any]:
    """How fast the file came, from a board's report: nothing but `time_model` when nothing was fetched.

    `baud` is the rate that was set; the modem's true one (80 MHz by an integer) is told as `line_baud` and is what
    `line_share` refers to, 10 bits a byte. `file_bytes` is the size of the file that arrived. What came beyond it is
    the response's head, `head_bytes`, whose time is no part of `payload_s`, the time of the body. When a fault, a
    second response or a long wait came between (`disturbed`), `payload_s` has the pauses in it and there is no
    `line_share`: the line had nothing to carry for a part of it. Without `file_bytes` the head counts as body.
    """
    figures: dict[str, Any] = {"time_model": TIME_MODEL}
    links = [link for link in report.get("modem", {}).get("links", []) if link["printed"]]
    printed = sum(link["printed"] for link in links)
    payload = printed if file_bytes is None else file_bytes
    if not payload or not printed:
        return figures
    line = real_baud(baud)
    first = min(link["first_ns"] for link in links)
    last = max(link["last_ns"] for link in links)
    beyond = printed - payload
    struck = any(first <= when <= last for when, _ in report.get("faults", []))
    span = last - first
    busy = printed * BITS * SECOND // line
    waited = span - busy > max(busy, _LONGEST_PAUSE_NS)
    disturbed = struck or waited or len(links) > 1 or not 0 <= beyond <= _LONGEST_HEAD
    if not disturbed:
        span -= beyond * BITS * SECOND // line
    figures |= {
        "payload_bytes": payload,
        "line_bytes": printed,
        "line_baud": line,
        "payload_s": round(span / SECOND, 6),
        "payload_bytes_per_s": round(payload * SECOND / span) if span > 0 else 0,
        "disturbed": disturbed,
    }
    if not disturbed and span > 0:
        figures["head_bytes"] = beyond
        figures["line_share"] = round(payload * BITS * SECOND / span / line, 4)
    return figures


def rate_line(figures: dict[str, Any]) -> str | None:
    """The sentence about speed; None when nothing was fetched."""
    if "payload_bytes" not in figures:
        return None
    told = (
        f"{figures['payload_bytes']} bytes of file in {figures['payload_s']:.3f} s of virtual time: "
        f"{figures['payload_bytes_per_s'] / 1000:.1f} kB/s"
    )
    if "line_share" not in figures:
        return f"{told}, pauses and retries included ({figures['line_bytes']} bytes came over the line)"
    return f"{told}, {figures['line_share']:.1%} of the line rate ({figures['line_baud']} baud)"
