"""What `pix.picture` says about files, and what the loader then makes of those it lets through."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from maixpix.demo.verdicts import psnr
from rig.app_board import run
from rig.jpeg_maker import exif
from virtualboard.board import BoardConfig
from virtualboard.launch import run_app

SCRIPT = """
import ujson, uos
from pix.picture import inspect, walk
from pix.errors import PixError
for name in sorted(uos.listdir("/sd/in")):
    try:
        kind = inspect("/sd/in/" + name)
        walk("/sd/in/" + name, kind)
        import image
        img = image.Image("/sd/in/" + name)
        print(ujson.dumps([name, kind.format, kind.width, kind.height, kind.bytes_needed, img.width(), img.height()]))
    except PixError as e:
        print(ujson.dumps([name, e.code, e.cause]))
"""


def bmp(depth, compression, width=8, height=4, top_down=False, grey_ramp=True):
    palette = b"".join(bytes((i, i, i if grey_ramp else 0, 0)) for i in range(256)) if depth == 8 else b""
    masks = b"\x00\xf8\x00\x00\xe0\x07\x00\x00\x1f\x00\x00\x00" if compression == 3 else b""
    rows = b"\x07" * ((width * depth + 31) // 32 * 4 * height)
    offset = 54 + len(palette) + len(masks)
    head = b"BM" + (offset + len(rows)).to_bytes(4, "little") + bytes(4) + offset.to_bytes(4, "little")
    info = (40).to_bytes(4, "little") + width.to_bytes(4, "little")
    info += (-height if top_down else height).to_bytes(4, "little", signed=True)
    info += b"\x01\x00" + depth.to_bytes(2, "little") + compression.to_bytes(4, "little") + bytes(20)
    return head + info + masks + palette + rows


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory, board_card):
    """file name -> what the board said, for a folder with one of everything."""
    card = board_card(tmp_path_factory.mktemp("card"))
    folder = card / "in"
    folder.mkdir()
    photo = Image.effect_mandelbrot((64, 48), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    photo.save(folder / "base.jpg")
    photo.convert("L").save(folder / "grey.jpg")
    photo.save(folder / "s444.jpg", subsampling=0)
    photo.save(folder / "prog.jpg", progressive=True)
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    photo.save(folder / "real.png")
    photo.save(folder / "real.gif")
    photo.save(folder / "real.web", "WEBP")
    photo.save(folder / "b24.bmp")
    whole = (folder / "base.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[:-30])
    (folder / "head.jpg").write_bytes(whole[:30])
    (folder / "noise.jpg").write_bytes(b"\xff\xd8" + b"\x00" * 100)
    (folder / "arith.jpg").write_bytes(whole.replace(b"\xff\xc0", b"\xff\xc9", 1))
    (folder / "loss.jpg").write_bytes(whole.replace(b"\xff\xc0", b"\xff\xc3", 1))
    (folder / "ext.jpg").write_bytes(whole.replace(b"\xff\xc0", b"\xff\xc1", 1))
    (folder / "deep.jpg").write_bytes(whole.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c", 1))
    (folder / "tall.jpg").write_bytes(whole.replace(b"\x03\x01\x22\x00", b"\x03\x01\x41\x00", 1))
    for name, kind in (("real.tif", "TIFF"), ("real.avi", "AVIF")):
        photo.save(folder / name, kind)
    for brand in ("heic", "heix", "hevc", "mif1", "avis"):
        (folder / f"{brand}.hei").write_bytes(b"\0\0\0\x18ftyp" + brand.encode() + bytes(100))
    for name, kind in (("real.jp2", "JPEG2000"), ("real.ico", "ICO")):
        photo.save(folder / name, kind)
    (folder / "draw.svg").write_bytes(b"\xef\xbb\xbf\n<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "draw.xml").write_bytes(b"<?xml version='1.0'?>\n<svg/>")
    (folder / "late.htm").write_bytes(b"\xef\xbb\xbf\r\n  <!DOCTYPE html>")
    (folder / "page.jpg").write_bytes(b"<html>not found</html>")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.txt").write_bytes(b"hello")
    (folder / "b8.bmp").write_bytes(bmp(8, 0))
    (folder / "b8c.bmp").write_bytes(bmp(8, 0, grey_ramp=False))
    (folder / "b16.bmp").write_bytes(bmp(16, 3))
    (folder / "b16top.bmp").write_bytes(bmp(16, 3, top_down=True))
    (folder / "b16raw.bmp").write_bytes(bmp(16, 0))
    (folder / "b32.bmp").write_bytes(bmp(32, 0))
    (folder / "b1.bmp").write_bytes(bmp(1, 0))
    (folder / "b24cut.bmp").write_bytes(bmp(24, 0)[:-10])
    (folder / "b24lie.bmp").write_bytes(b"BM" + bytes(4) + bmp(24, 0)[6:])
    result = run_app(BoardConfig(card=str(card)), SCRIPT)
    assert result.ok, result.console
    rows = [json.loads(line) for line in result.console.splitlines() if line.startswith("[") and '"' in line]
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize(
    ("name", "format", "width", "height", "heap"),
    [
        ("base.jpg", "jpeg", 64, 48, 6144),
        ("grey.jpg", "jpeg", 64, 48, 3072),
        ("s444.jpg", "jpeg", 64, 48, 6144),
        ("b24.bmp", "bmp", 64, 48, 6144),
        ("b8.bmp", "bmp", 8, 4, 32),
        ("b16.bmp", "bmp", 8, 4, 64),
        ("b16top.bmp", "bmp", 8, 4, 64),
    ],
)
def test_what_it_lets_through_loads(verdicts, name, format, width, height, heap):
    assert verdicts[name] == [format, width, height, heap, width, height]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("prog.jpg", "progressive", "baseline JPEG only"),
        ("real.png", "not-jpeg", "JPEG and BMP only: this is a PNG"),
        ("real.gif", "not-jpeg", "this is a GIF"),
        ("real.web", "not-jpeg", "this is a WebP"),
        ("real.tif", "not-jpeg", "this is a TIFF"),
        ("real.avi", "not-jpeg", "this is an AVIF"),
        *[(f"{brand}.hei", "not-jpeg", "this is a HEIC") for brand in ("heic", "heix", "hevc", "mif1")],
        ("avis.hei", "not-jpeg", "this is an AVIF"),
        ("real.jp2", "not-jpeg", "this is a JPEG 2000"),
        ("real.ico", "not-jpeg", "this is an icon"),
        ("draw.svg", "not-picture", "a drawing (SVG)"),
        ("draw.xml", "not-picture", "other XML"),
        ("late.htm", "not-picture", "web page"),
        ("cmyk.jpg", "jpeg-kind", "4 colours of 8 bits"),
        ("deep.jpg", "jpeg-kind", "3 colours of 12 bits"),
        ("loss.jpg", "jpeg-kind", "coding C3"),
        ("ext.jpg", "jpeg-kind", "coding C1"),
        ("tall.jpg", "jpeg-kind", "chroma sampling"),
        ("cut.jpg", "bad-picture", "damaged or cut off"),
        ("head.jpg", "bad-picture", "ends in its header"),
        ("noise.jpg", "bad-picture", "ends in its header"),
        ("arith.jpg", "jpeg-kind", "arithmetic coding"),
        ("page.jpg", "not-picture", "web page"),
        ("empty.jpg", "not-picture", "empty"),
        ("text.txt", "not-picture", "neither JPEG nor BMP"),
        ("b8c.bmp", "bmp-kind", "8 bits with colours"),
        ("b16raw.bmp", "bmp-kind", "16 bits, compression 0"),
        ("b32.bmp", "bmp-kind", "32 bits"),
        ("b1.bmp", "bmp-kind", "1 bits"),
        ("b24cut.bmp", "bad-picture", "ends too early"),
        ("b24lie.bmp", "bad-picture", "tells a wrong size"),
    ],
)
def test_each_refusal_says_why(verdicts, name, code, words):
    assert verdicts[name][0] == code
    assert words in verdicts[name][1]
    assert len(verdicts[name][1]) <= 110


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ({"fail-card-reads": 1}, "card-error", "error 5"),
        ({"remove-card": None}, "card-error", "error"),
        ({}, "not-picture", "there is no file /sd/none.jpg"),
    ],
)
def test_a_card_that_cannot_be_read_is_told_as_such(tmp_path, board_card, what, code, words):
    card = board_card(tmp_path / "card")
    Image.new("RGB", (32, 24)).save(card / "x.jpg")
    faults = [{"when": {"ms": 4000}, "do": do, **({"count": count} if count else {})} for do, count in what.items()]
    script = f"""
import utime
from pix.picture import inspect
from pix.errors import PixError
utime.sleep_ms(4000)
try:
    inspect("/sd/{"x" if what else "none"}.jpg")
except PixError as e:
    print("told", e.code, e.cause)
"""
    outcome = run(BoardConfig(card=str(card), faults=faults), script)
    assert f"told {code} " in outcome.console and words in outcome.console, outcome.console


# -- pictures from public reports, and a show that is over ---------------------------------------------------------

PICTURES = Path(__file__).parent / "pictures"
FETCHED = """
from pix.errors import PixError
from pix.screen import Screen
from pix.store import Part
screen = Screen()
screen.show("/sd/show.jpg")
part = Part("/sd/show.jpg")
part.begin("key")
part.write(open("/sd/new.jpg", "rb").read())
part.close()
try:
    screen.check(part.path)
    part.commit()
    print("shown", screen.show())
except PixError as e:
    part.discard()
    print("refused", e.code, e.cause)
"""


@pytest.fixture
def replace(tmp_path, board_card):
    """replace(data): what happens when these bytes were fetched for /sd/show.jpg; (last line, panel, old file kept)."""
    card = board_card(tmp_path / "card")
    Image.new("RGB", (320, 240), (0, 80, 160)).save(card / "show.jpg")
    before = (card / "show.jpg").read_bytes()

    def run_it(data):
        (card / "new.jpg").write_bytes(data)
        outcome = run(BoardConfig(card=str(card)), FETCHED)
        assert outcome.ok, outcome.console
        kept = (card / "show.jpg").read_bytes()
        assert kept in (before, data)
        return outcome.lines[-1][1], outcome.panel, kept == before

    return run_it


@pytest.mark.parametrize("name", ["trailing-96-bytes.jpg", "motion-photo.jpg"])
def test_what_lies_behind_the_picture_is_of_no_importance(replace, name):
    data = (PICTURES / name).read_bytes()
    said, panel, kept = replace(data)
    assert (said, kept) == ("shown (320, 240)", False)
    with Image.open(PICTURES / name) as wanted:
        assert psnr(panel, wanted.convert("RGB")) > 25


@pytest.mark.parametrize(
    ("name", "words"),
    [("rgb-adobe.jpg", "jpeg-kind MaixPy cannot decode this kind of JPEG: RGB colours"),
     ("scan-with-a-hole.jpg", "bad-picture ")],
)  # fmt: skip
def test_what_would_be_shown_wrong_never_replaces_a_picture(replace, name, words):
    said, panel, kept = replace((PICTURES / name).read_bytes())
    assert said.startswith("refused " + words)
    assert kept
    assert psnr(panel, Image.new("RGB", (320, 240), (0, 80, 160))) > 35


def test_a_photo_held_on_its_side_stands_upright(replace):
    data = (PICTURES / "exif6.jpg").read_bytes()
    said, panel, kept = replace(data)
    assert (said, kept) == ("shown (320, 240)", False)
    with Image.open(PICTURES / "exif6.jpg") as photo:
        wanted = Image.new("RGB", (320, 240))
        upright = ImageOps.exif_transpose(photo).convert("RGB").resize((180, 240), Image.Resampling.NEAREST)
        wanted.paste(upright, (70, 0))
    assert psnr(panel, wanted) > 20


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_orientation_in_any_size_of_number(pix_modules, order, size):
    data = exif(6, order, size)
    assert pix_modules.load("exif").orientation(io.BytesIO(data), 10, len(data)) == 6


def test_the_file_may_go_once_it_was_checked(tmp_path, board_card):
    """What was decoded is what is shown: the file is not read again."""
    card = board_card(tmp_path / "card")
    Image.new("RGB", (32, 24), (255, 0, 0)).save(card / "a.bmp")
    code = """
import uos
from pix.screen import Screen
screen = Screen()
screen.check("/sd/a.bmp")
uos.remove("/sd/a.bmp")
print(screen.show())
"""
    outcome = run(BoardConfig(card=str(card)), code)
    assert outcome.lines[-1][1] == "(32, 24)"
    assert outcome.panel.getbbox() == (144, 108, 176, 132)


def test_pictures_can_be_shown_for_ever(tmp_path, board_card):
    """No show leaves memory behind, neither a picture that was checked in vain."""
    card = board_card(tmp_path / "card")
    Image.effect_mandelbrot((320, 240), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(card / "a.jpg")
    (card / "bad.jpg").write_bytes((card / "a.jpg").read_bytes()[:4000])
    code = """
import gc
from pix.errors import PixError
from pix.screen import Screen
screen = Screen()
for i in range(6):
    for name in ("bad", "a"):
        try:
            screen.check("/sd/%s.jpg" % name)
            if i % 2:
                screen.show()
        except PixError as e:
            screen.error(e)
    if i % 2:
        gc.collect()
        print(gc.mem_free())
"""
    outcome = run(BoardConfig(card=str(card)), code)
    assert outcome.ok, outcome.console
    free = [int(line) for _, line in outcome.lines if line.isdigit()]
    assert len(free) == 3 and free[0] - free[2] < 1000
