"""Every file of the picture grid on real firmware and on the hosted engine: the same pixels, errors and messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rig.picture_grid import by_pillow, grid, scene
from virtualboard.board import BoardConfig
from virtualboard.clock import SECOND
from virtualboard.k210.engine import K210Engine

pytestmark = [pytest.mark.firmware, pytest.mark.slow, pytest.mark.timeout(1800)]

SHARES = 8  # a run has its limits of time

LOAD = """
import gc, image, uos
for name in sorted(uos.listdir("/sd/in")):
    gc.collect()
    try:
        img = image.Image("/sd/in/" + name)
        print("@", name, img.width(), img.height(), img.width() and img.format())
        if img.width():
            with open("/sd/out/" + name[:4], "wb") as f:
                n = f.write(img.to_bytes())
    except Exception as e:
        print("@", name, type(e).__name__, e)
    img = None
"""


def lines(said: str) -> list[str]:
    """What the program and the decoder said, without the start-up of the board."""
    told = [line for line in said.replace("\r", "").split("\n") if line]
    first = next(i for i, line in enumerate(told) if line.startswith("@"))
    return told[first:]


@pytest.mark.parametrize("share", range(SHARES))
def test_both_engines_read_pictures_alike(both: Callable[..., list[tuple[str, Path, Path]]], share: int) -> None:
    cases = grid()[share::SHARES]

    def fill(card: Path) -> None:
        (card / "in").mkdir()
        (card / "out").mkdir()
        for case in cases:
            (card / "in" / case.name).write_bytes(case.data)

    (chip, chip_card, _), (hosted, hosted_card, _) = both(LOAD, fill)
    titles = {case.name: case.title for case in cases}
    assert len([line for line in lines(chip) if line.startswith("@")]) == len(cases)
    different = [(a, b) for a, b in zip(lines(chip), lines(hosted), strict=True) if a != b]
    assert different == []
    pixels = [
        titles[case.name]
        for case in cases
        if _content(chip_card / "out" / case.name[:4]) != _content(hosted_card / "out" / case.name[:4])
    ]
    assert pixels == []


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


SHOW = """
import sys
sys.path.append("/sd")
from pix.errors import PixError
from pix.screen import Screen
screen = Screen()
def show(name):
    try:
        print("@", name, screen.show("/sd/" + name))
    except PixError as e:
        print("@", name, e.code, e.cause)
"""

PICTURES = Path(__file__).resolve().parents[2] / "pix" / "pictures"


def test_pictures_from_public_reports(
    boot: Callable[..., K210Engine], board_card: Callable[[Path], Path], tmp_path: Path
) -> None:
    """On the chip: shown upright and whole, or refused by name; the board goes on in any case."""
    card = board_card(tmp_path / "card")
    for file in PICTURES.iterdir():
        (card / file.name).write_bytes(file.read_bytes())
    one = next(case for case in grid() if case.title == "grey of (1, 1).jpg")
    (card / "one.jpg").write_bytes(one.data)
    chip = boot(BoardConfig(card=str(card)))
    chip.repl(SHOW, 100 * SECOND)

    def said(name: str) -> str:
        return chip.repl(f"show({name!r})", 100 * SECOND)

    for name in ("trailing-96-bytes.jpg", "motion-photo.jpg"):
        assert said(name) == f"@ {name} (320, 240)\n"
    assert "jpeg-kind MaixPy cannot decode this kind of JPEG: RGB colours" in said("rgb-adobe.jpg")
    assert "bad-picture" in said("scan-with-a-hole.jpg")
    assert said("exif6.jpg").startswith("@ exif6.jpg (")
    left, top, right, bottom = chip.board.panel.image().getbbox()
    assert right - left < bottom - top
    chip.repl("screen.stage('text')")
    assert said("one.jpg") == "@ one.jpg (1, 1)\n"
    assert chip.board.panel.image().getbbox() == (159, 119, 160, 120)


SHRINK = """
import gc, image
for name, w, h in WANTED:
    gc.collect()
    img = image.Image("/sd/" + name).resize(w, h)
    with open("/sd/" + name[:4], "wb") as f:
        n = f.write(img.to_bytes())
    img = None
"""


def test_both_engines_shrink_alike(both: Callable[..., list[tuple[str, Path, Path]]]) -> None:
    """Byte by byte, but for the last row of grey: there MaixPy mixes in what lies behind the picture in memory."""
    wanted = []
    sizes = (((400, 100), (320, 80)), ((401, 100), (320, 79)), ((240, 320), (180, 240)), ((900, 30), (320, 10)))
    for source, smaller in sizes:
        wanted += [(f"c{len(wanted):03}.jpg", source, smaller), (f"g{len(wanted):03}.jpg", source, smaller)]

    def fill(card: Path) -> None:
        for name, source, _ in wanted:
            picture = scene(source)
            (card / name).write_bytes(by_pillow(picture.convert("L") if name[0] == "g" else picture))

    program = f"WANTED = {[(name, *smaller) for name, _, smaller in wanted]!r}\n" + SHRINK
    (_, chip, _), (_, hosted, _) = both(program, fill)
    for name, source, (w, h) in wanted:
        sure = w * (h - 1) if name[0] == "g" else 2 * w * h
        assert (chip / name[:4]).read_bytes()[:sure] == (hosted / name[:4]).read_bytes()[:sure], (name, source)


LEVELS = """
import image
img = image.Image(size=(16, 16))
for level in range(256):
    n = img.set_pixel(level % 16, level // 16, (level, level, 255 - level))
print("@", [b for b in img.to_bytes()])
"""


def test_both_engines_round_colours_alike(both: Callable[..., list[tuple[str, Path, Path]]]) -> None:
    (chip, _, _), (hosted, _, _) = both(LEVELS)
    assert lines(chip) == lines(hosted)
