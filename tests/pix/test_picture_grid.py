"""A grid of some six hundred files on a hosted board: what is shown is right, and what is right is shown.

The hosted engine reads pictures as the chip does, pixel by pixel (`virtualboard/firmware/test_picture_grid.py`).
"""

import functools
from dataclasses import dataclass

import pytest
from PIL import Image

from rig.app_board import run
from rig.jpeg_maker import UPRIGHT
from rig.picture_grid import grid, is_right
from virtualboard.board import BoardConfig
from virtualboard.hosted.pixels import from_rgb565

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHOW = """
import uos, utime
from pix.errors import PixError
from pix.screen import Screen
screen = Screen()
for name in sorted(uos.listdir("/sd/in")):
    screen.stage("an older text")
    try:
        size = screen.show("/sd/in/" + name)
        print("shown|%s" % name)
        print("snap")
        utime.sleep_ms(5)
    except PixError as e:
        print("refused|%s|%s|%s" % (name, e.code, e.cause))
"""

LOAD = """
import gc, image, uos
for name in NAMES:
    gc.collect()
    try:
        img = image.Image("/sd/in/" + name)
    except Exception as e:
        continue
    if img.width():
        with open("/sd/out/%s" % name[:4], "wb") as f:
            f.write(img.to_bytes())
        print("loaded|%s|%d|%d|%d" % (name, img.width(), img.height(), img.format()))
"""

# Bits that turned over, blocks or intervals in another place: the codes fall into step again and their number is right.
# Only a digest finds these.
UNNOTICED = {
    "double 1 DRI.jpg", "double 7.jpg", "flip 1 DRI.jpg", "flip 4.jpg", "flip 8 DRI.jpg", "flip 9 DRI.jpg",
    "header flip 8.jpg", "intervals swapped.jpg",
}  # fmt: skip

# Files whose names promise another format, as a card may hold them. What is fetched is decoded under another name.
NAMES = {"x.pgm", "x.raw", "grey.ppm", "b.pgm"}


@dataclass
class Verdict:
    """What the board made of a file: its picture on the panel, or the code and cause of a refusal."""

    panel: Image.Image | None = None
    code: str = ""
    cause: str = ""


@pytest.fixture(scope="module")
def cases():
    return grid()


@pytest.fixture(scope="module")
def card(tmp_path_factory, board_card, cases):
    card = board_card(tmp_path_factory.mktemp("grid") / "card")
    (card / "in").mkdir()
    (card / "out").mkdir()
    for case in cases:
        (card / "in" / case.name).write_bytes(case.data)
    return card


@pytest.fixture(scope="module")
def verdicts(card):
    """Name -> Verdict, of `Screen.show`."""
    result = run(BoardConfig(card=str(card)), SHOW)
    assert result.ok, result.console[-500:]
    panels = iter(result.snaps)
    found = {}
    for _, line in result.lines:
        what, _, rest = line.partition("|")
        if what == "shown":
            found[rest] = Verdict(next(panels))
        elif what == "refused":
            name, code, cause = rest.split("|")
            found[name] = Verdict(None, code, cause)
    return found


@pytest.fixture(scope="module")
def loaded(card, cases, verdicts):
    """Name -> picture, of `image.Image` alone, of the undamaged files that were refused."""
    refused = [case.name for case in cases if not case.damaged and not verdicts[case.name].panel]
    result = run(BoardConfig(card=str(card)), f"NAMES = {refused!r}\n" + LOAD)
    assert result.ok, result.console[-500:]
    found = {}
    for _, line in result.lines:
        if line.startswith("loaded|"):
            name, *numbers = line.split("|")[1:]
            width, height, kind = map(int, numbers)
            data = (card / "out" / name[:4]).read_bytes()
            size = (width, height)
            found[name] = Image.frombytes("L", size, data) if kind == 4 else from_rgb565(data, size)
    return found


def shown_right(case, panel):
    """Whether the panel has the case's picture upright in its middle, and black around it."""
    wanted = case.picture
    turn = UPRIGHT.get(case.orientation)
    if turn is not None:
        wanted = wanted.transpose(turn)
    left, top = (panel.width - wanted.width) // 2, (panel.height - wanted.height) // 2
    around = panel.copy()
    around.paste((0, 0, 0), (left, top, left + wanted.width, top + wanted.height))
    seen = panel.crop((left, top, left + wanted.width, top + wanted.height))
    return around.getbbox() is None and is_right(seen, wanted)


def test_every_file_has_its_verdict(cases, verdicts):
    assert set(verdicts) == {case.name for case in cases}


def test_nothing_undamaged_is_shown_wrong(cases, verdicts):
    shown = [case for case in cases if not case.damaged and verdicts[case.name].panel]
    assert len(shown) > 240
    assert [case.title for case in shown if not shown_right(case, verdicts[case.name].panel)] == []


def test_nothing_is_refused_that_would_be_right(cases, loaded):
    right = [case.title for case in cases if case.name in loaded and is_right(loaded[case.name], case.picture)]
    # A negative width means nothing; MaixPy reads such rows from right to left, others do not.
    assert right == ["24 mirrored.bmp", "8 mirrored.bmp"]


def test_damage_is_noticed_where_it_can_be(cases, verdicts):
    shown = [case for case in cases if case.damaged and verdicts[case.name].panel]
    wrong = {case.title for case in shown if not shown_right(case, verdicts[case.name].panel)}
    assert wrong == UNNOTICED


def test_what_passes_the_look_at_the_file_is_decoded(cases, verdicts):
    """The decoder has nothing to add to what the header and the codes said, but for names."""
    late = ("MaixPy cannot decode it", "Errno", "EPERM", "format not supported", "Unsupported", "Image is not")
    found = {c.title for c in cases if any(word in verdicts[c.name].cause for word in late)}
    assert found == NAMES


def test_refusals_are_told_in_a_line(cases, verdicts):
    for case in cases:
        verdict = verdicts[case.name]
        if not verdict.panel:
            assert verdict.code in (
                "progressive",
                "jpeg-kind",
                "bmp-kind",
                "bad-picture",
                "not-picture",
                "not-jpeg",
                "too-big",
            )
            assert 20 < len(verdict.cause) <= 110, (case.title, verdict.cause)


@functools.cache
def _by_title():
    return {case.title: case for case in grid()}


@pytest.mark.parametrize(
    ("title", "code", "words"),
    [
        ("RGB adobe 0 (1, 2, 3).jpg", "jpeg-kind", "RGB colours"),
        ("RGB  (82, 71, 66).jpg", "jpeg-kind", "RGB colours"),
        ("scans ((0,), (1,), (2,)) (1, 1).jpg", "jpeg-kind", "several scans"),
        ("DC of 13 both False.jpg", "jpeg-kind", "Huffman tables"),
        ("no DHT.jpg", "jpeg-kind", "Huffman tables"),
        ("DQT ids (0, 1, 2).jpg", "jpeg-kind", "quantiser tables"),
        ("DQT 3 first.jpg", "jpeg-kind", "quantiser tables"),
        ("grey told 22.jpg", "jpeg-kind", "chroma sampling"),
        ("cut 50.jpg", "bad-picture", "damaged or cut off"),
        ("cut 50 EOI.jpg", "bad-picture", "damaged or cut off"),
        ("RST wrong.jpg", "bad-picture", "restart marker"),
        ("DRI lost.jpg", "bad-picture", "damaged or cut off"),
        ("intervals too many.jpg", "bad-picture", "more codes"),
        ("555 40.bmp", "bmp-kind", "masks"),
        ("8 colour.bmp", "bmp-kind", "with colours"),
        ("24 offset -20.bmp", "bad-picture", "inside its header"),
        ("core header.bmp", "bmp-kind", "OS/2"),
    ],
)
def test_kinds_are_refused_by_name(verdicts, title, code, words):
    verdict = verdicts[_by_title()[title].name]
    assert (verdict.panel, verdict.code) == (None, code)
    assert words in verdict.cause
