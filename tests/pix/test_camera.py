"""pix.camera on the hosted engine: whole JPEG files of what the camera sees, and every trouble by its name."""

import hashlib
import re
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from maixpix.demo.run import psnr
from virtualboard.board import BoardConfig
from virtualboard.launch import run_app

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "assets" / "pictures"

TAKE = """
import gc
from pix.camera import Camera
from pix.errors import PixError
seen = []
try:
    camera = Camera(%s)
    gc.collect()
    free = gc.mem_free()
    for name in %r:
        size = camera.take("/sd/" + name, lambda img: seen.append((img.width(), img.height())))
        print("took", name, size, camera.digest)
    gc.collect()
    print("heap", free - gc.mem_free())
    print("seen", seen)
except PixError as error:
    print("error %%s: %%s" %% (error.code, error.cause))
"""


@pytest.fixture
def take(tmp_path, board_card):
    """A function that takes pictures; returns (console, card folder)."""
    card = board_card(tmp_path / "card")

    def run(arguments="", names=("a.jpg",), program=TAKE, **config):
        board = BoardConfig(card=str(card), camera=str(PICTURES / "coffee.jpg"), **config)
        script = program % (arguments, list(names)) if program is TAKE else program
        result = run_app(board, script)
        assert result.ok, result.console + result.stderr
        return result.console, card

    return run


def scene(size, name="coffee.jpg"):
    """Pillow's own idea of what the camera sees of the picture: scaled to cover the frame, the rest cut off."""
    with Image.open(PICTURES / name) as source:
        return ImageOps.fit(source.convert("RGB"), size, Image.Resampling.LANCZOS)


def traces(card):
    """Parts and sidecars that a picture left behind."""
    return [entry.name for entry in card.iterdir() if entry.suffix[1:2] in ("$", "~")]


@pytest.mark.parametrize(("frame", "size"), [("QQVGA", (160, 120)), ("QVGA", (320, 240)), ("VGA", (640, 480))])
def test_a_picture_is_what_the_camera_sees(take, frame, size):
    console, card = take(f"frame='{frame}', quality=90, colour='on'")
    with Image.open(card / "a.jpg") as picture:
        assert picture.format == "JPEG" and picture.size == size and picture.mode == "RGB"
        assert psnr(picture, scene(size)) > 30
    data = (card / "a.jpg").read_bytes()
    assert f"took a.jpg {len(data)} {hashlib.sha256(data).hexdigest()}\n" in console
    assert f"seen [({size[0]}, {size[1]})]" in console


def test_minimum_builds_take_grey_pictures(take):
    _, card = take("quality=90")
    with Image.open(card / "a.jpg") as picture:
        assert picture.mode == "L"
        assert psnr(picture.convert("RGB"), scene((320, 240)).convert("L").convert("RGB")) > 30


def test_quality_decides_the_size(take):
    sizes = []
    for quality in (20, 60, 95, 100):
        console, _ = take(f"quality={quality}, colour='on'")
        sizes.append(int(re.search(r"took a.jpg (\d+)", console)[1]))
    assert sizes[0] * 2 < sizes[1] and sizes[1] * 1.5 < sizes[2]
    assert sizes[3] == sizes[2]  # beyond 95 the file could outgrow the frame buffer


def test_a_burst_costs_no_heap_and_leaves_no_traces(take):
    names = [f"b{i}.jpg" for i in range(5)]
    console, card = take("colour='on'", names)
    assert all(Image.open(card / name).size == (320, 240) for name in names)
    assert int(re.search(r"heap (-?\d+)", console)[1]) < 8192
    assert not traces(card)


def test_a_picture_after_a_pause_takes_no_second_start(take):
    console, _ = take(
        program="""
import utime
from pix.camera import Camera
camera = Camera(colour="on")
camera.take("/sd/a.jpg")
utime.sleep_ms(3000)
before = utime.ticks_ms()
camera.take("/sd/b.jpg")
print("ms", utime.ticks_diff(utime.ticks_ms(), before))
"""
    )
    assert int(re.search(r"ms (\d+)", console)[1]) < 1000


def test_no_camera(take):
    console, card = take(no_camera=True)
    assert "error no-camera: No camera sensor answers" in console
    assert not (card / "a.jpg").exists()


def test_a_frame_that_does_not_exist(take):
    console, _ = take("frame='HUGE'")
    assert "error settings: A setting is wrong or missing: frame HUGE is unknown" in console


def test_a_frame_that_the_sensor_cannot_do(take):
    console, _ = take("frame='UXGA'")
    assert "error settings: A setting is wrong or missing: the camera has no frame UXGA" in console


def test_a_sensor_that_falls_silent_is_started_anew(take):
    console, card = take(
        program="""
import sensor
from pix.camera import Camera
from pix.errors import PixError
camera = Camera()
camera.take("/sd/a.jpg")
sensor.run(0)
try:
    camera.take("/sd/b.jpg")
except PixError as error:
    print("error", error.code, error.transient)
camera.take("/sd/b.jpg")
"""
    )
    assert "error sensor-timeout True" in console
    assert (card / "b.jpg").read_bytes() == (card / "a.jpg").read_bytes()


def test_a_full_card_keeps_the_old_picture(take, tmp_path):
    (tmp_path / "card" / "a.jpg").write_bytes(b"old")
    fault = {"when": {"ms": 1000}, "do": "fill-card", "leave": 8192}
    console, card = take("colour='on', quality=95", faults=[fault])
    assert "error card-full" in console
    assert (card / "a.jpg").read_bytes() == b"old"
    assert not traces(card)


@pytest.mark.parametrize(
    ("function", "error", "detail"),
    [("set_framesize", "OSError(12)", "frame buffer of QVGA"), ("snapshot", "MemoryError('Out of Memory!')", "")],
)
def test_no_memory(take, function, error, detail):
    """The virtual sensor never runs out of memory: its own function is made to say what the driver says then."""
    console, card = take(
        program=f"""
import sensor
from pix.camera import Camera
from pix.errors import PixError
real = sensor.snapshot
def full(*args, **options):
    raise {error}
def first():
    img = real()
    img.compress = full
    return img
setattr(sensor, {function!r}, full if {function!r} == "set_framesize" else first)
try:
    Camera(colour="on").take("/sd/a.jpg")
except PixError as error:
    print("error %s: %s" % (error.code, error.cause))
"""
    )
    assert "error no-memory: " in console and detail in console
    assert not (card / "a.jpg").exists()
