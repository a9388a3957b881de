"""The frame on real firmware: what the card has, then something new, in time; how pictures change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.power_on import measure
from maixpix.board import bundle, install
from maixpix.board.places import FolderPlace
from maixpix.flash.images import identify
from rig.chip_app import run_until
from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS
from virtualboard.engine import K210, EngineOptions, put_part
from virtualboard.running import RunningBoard

pytestmark = pytest.mark.firmware


def test_from_power_to_a_fresh_picture(firmware: Path) -> None:
    start = measure(None, "1.1", firmware, mpy=True)
    assert start.seen["red"] - start.app_ms < 1500, start.seen
    assert start.seen["blue"] < 3600, start.seen
    assert b"modem starting" not in start.console and b"waiting for the remembered network" in start.console


def test_a_fade_comes_out_of_black_where_pictures_can_be_blended(firmware: Path, tmp_path: Path) -> None:
    """Deployed as byte code, from a folder of the card. Minimum builds have no `image.blend`: there it is a wipe."""
    card = tmp_path / "card"
    card.mkdir()
    install.install(FolderPlace(card), bundle.build(mpy=True))
    settings = {"app": "frame", "playlist": "/sd/photos", "interval_s": 2, "change": "fade"}
    (card / "pix.json").write_text(json.dumps(settings))
    (card / "photos").mkdir()
    for name, colour in (("a", (0, 0, 200)), ("b", (200, 100, 40))):
        Image.new("RGB", (320, 240), colour).save(card / "photos" / f"{name}.jpg")
    board = Board(BoardConfig(card=str(card)))
    put_part(board.flash, 0, firmware.read_bytes(), program=True)
    running = RunningBoard(board, EngineOptions(K210))
    seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def look() -> None:
        panel = board.panel.image().convert("RGB")
        left, right = panel.getpixel((2, 120)), panel.getpixel((317, 120))
        assert isinstance(left, tuple) and isinstance(right, tuple)
        if not seen or seen[-1] != (left, right):
            seen.append((left, right))
        board.clock.after(5 * MS, look)

    board.clock.after(5 * MS, look)
    ended, console = run_until(board, running, lambda said: "twice" if said.count(b"\nshown a") > 1 else "", 30)
    assert ended == "twice", console
    first = next(at for at, (left, _) in enumerate(seen) if left[2] > 180)  # the blue one
    steps = seen[first:]
    if identify(firmware).build != "full":
        assert {left == right for left, right in steps} == {True, False}, steps  # both pictures beside each other
        return
    levels = [left for left, right in steps if left == right]
    assert levels == [left for left, _ in steps], steps  # no wipe
    # From blue: a quarter, a half and three quarters of the brown one, the whole of it; then of the blue one.
    brown = [round(red / levels[4][0], 2) for red, _, _ in levels[1:5]]
    blue = [round(value / levels[0][2], 2) for _, _, value in levels[5:9]]
    assert all(abs(got - want) < 0.05 for got, want in zip(brown + blue, [0.25, 0.5, 0.75, 1] * 2, strict=True)), levels
