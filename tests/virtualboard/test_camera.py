"""The camera as MaixPy probes, sets and reads it."""

from __future__ import annotations

import pytest
from PIL import Image

from virtualboard.camera import Camera, dvp_words, planes, rgb565
from virtualboard.clock import SECOND, Clock


def write(camera, *pairs):
    for register, value in pairs:
        camera.sccb_write(register, value)


@pytest.fixture
def camera():
    return Camera(Clock())


@pytest.fixture
def scene(tmp_path):
    """A picture whose left half is red and right half blue, with a white top stripe."""
    image = Image.new("RGB", (640, 480), "red")
    image.paste("blue", (320, 0, 640, 480))
    image.paste("white", (0, 0, 640, 40))
    path = tmp_path / "scene.png"
    image.save(path)
    return path


def started(clock, source):
    """A camera after MaixPy's `sensor.reset()`, for the registers that matter."""
    camera = Camera(clock, source)
    write(camera, (0xFF, 1), (0x12, 0x80), (0xFF, 1), (0x11, 0x00), (0x04, 0xA8), (0x12, 0x40))
    return camera


def test_maixpys_probe_finds_an_ov2640_without_choosing_a_bank(camera):
    assert [camera.sccb_read(r) for r in (0x0A, 0x0B, 0x1C, 0x1D)] == [0x26, 0x42, 0x7F, 0xA2]
    assert camera.sccb_read(0x00) not in (0x13, 0xFF)


def test_registers_of_both_banks_read_back(camera):
    write(camera, (0xFF, 0), (0x2C, 0xFF), (0x05, 1), (0xFF, 1), (0x2C, 0x0C))
    assert camera.sccb_read(0x2C) == 0x0C
    camera.sccb_write(0xFF, 0)
    assert (camera.sccb_read(0xFF), camera.sccb_read(0x2C), camera.sccb_read(0x05)) == (0, 0xFF, 1)
    write(camera, (0xFF, 1), (0x0A, 0x99))
    assert camera.sccb_read(0x0A) == 0x26


def test_resets(camera):
    write(camera, (0xFF, 0), (0x2C, 0xFF), (0xFF, 1), (0x33, 0x78), (0x12, 0x80))
    assert camera.sccb_read(0x33) == 0
    camera.sccb_write(0xFF, 0)
    assert camera.sccb_read(0x2C) == 0
    camera.reset(0)
    assert not camera.awake
    assert camera.sccb_read(0x0A) == 0xFF
    camera.sccb_write(0x33, 1)
    camera.reset(1)
    assert (camera.sccb_read(0x33), camera.sccb_read(0x0A)) == (0, 0x26)
    write(camera, (0x33, 7))
    camera.power_down(1)
    assert camera.sccb_read(0x33) == 0xFF
    camera.power_down(0)
    assert camera.sccb_read(0x33) == 7


def test_a_board_without_a_camera():
    camera = Camera(Clock(), present=False)
    assert not camera.awake
    assert camera.sccb_read(0x0A) == 0xFF


def test_output_size_of_the_registers(camera):
    assert camera.output_size == (0, 0)
    for width, height in ((320, 240), (160, 120), (640, 480), (800, 600), (1600, 1200)):
        pairs = (0x5A, width >> 2 & 0xFF), (0x5B, height >> 2 & 0xFF), (0x5C, height >> 8 & 4 | width >> 10 & 3)
        write(camera, (0xFF, 0), (0xE0, 4), *pairs, (0xE0, 0))
        assert camera.output_size == (width, height)


def test_frame_rate_follows_the_clock_divider():
    camera = Camera(Clock())
    assert camera.frame_ns == SECOND // 15
    write(camera, (0xFF, 1), (0x11, 0x01))
    assert camera.frame_ns == 2 * SECOND // 15
    camera.sccb_write(0x11, 0x81)
    assert camera.frame_ns == SECOND // 15
    assert Camera(Clock(), fps=30).frame_ns == SECOND // 30


def test_colour_bars_without_a_source_and_on_request(scene):
    camera = started(Clock(), None)
    frame = camera.frame(320, 240)
    assert len(frame) == 320 * 240 * 2
    middles = [int.from_bytes(frame[2 * x : 2 * x + 2], "big") for x in range(20, 320, 40)]
    assert middles == [0xFFFF, 0xFFE0, 0x07FF, 0x07E0, 0xF81F, 0xF800, 0x001F, 0x0000]
    camera = started(Clock(), scene)
    camera.sccb_write(0x12, camera.sccb_read(0x12) | 0x02)
    assert camera.frame(320, 240) == frame
    camera.sccb_write(0x12, camera.sccb_read(0x12) & ~0x02)
    assert camera.frame(320, 240) != frame


def test_the_scene_covers_the_frame(scene):
    camera = started(Clock(), scene)
    picture = camera.capture(320, 240)
    assert picture.size == (320, 240)
    assert picture.getpixel((100, 100)) == (255, 0, 0)
    assert picture.getpixel((220, 100)) == (0, 0, 255)
    assert picture.getpixel((160, 5)) == (255, 255, 255)
    # A square frame of a 4:3 picture loses its sides, evenly.
    square = camera.capture(240, 240)
    assert square.getpixel((60, 200)) == (255, 0, 0)
    assert square.getpixel((180, 200)) == (0, 0, 255)
    assert square.getpixel((0, 0)) == (255, 255, 255)


def test_bytes_are_rgb565_with_the_high_byte_first(scene):
    frame = started(Clock(), scene).frame(320, 240)
    assert frame[2 * (100 * 320 + 100) :][:2] == b"\xf8\x00"
    assert frame[2 * (100 * 320 + 220) :][:2] == b"\x00\x1f"


def test_mirror_and_flip_as_set_by_maixpy(scene):
    camera = started(Clock(), scene)
    assert (camera.mirrored, camera.upside_down) == (False, False)
    reg04 = camera.sccb_read(0x04)
    upright = camera.capture(320, 240)
    camera.sccb_write(0x04, reg04 & ~0x80)
    assert camera.capture(320, 240).tobytes() == upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    camera.sccb_write(0x04, reg04 | 0x50)
    assert camera.capture(320, 240).tobytes() == upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes()


def test_a_folder_is_shown_in_name_order_again_and_again(tmp_path):
    for name, colour in (("c.png", "blue"), ("a.jpg", "red"), ("b.BMP", "lime")):
        Image.new("RGB", (64, 48), colour).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    camera = started(Clock(), tmp_path)
    seen = [camera.capture(32, 24).getpixel((5, 5)) for _ in range(4)]
    assert [max(range(3), key=lambda band: pixel[band]) for pixel in seen] == [0, 1, 2, 0]
    assert camera.frames == 4


def test_pictures_that_cannot_be_read_are_passed_over(tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "b.png")
    (tmp_path / "a.jpg").write_bytes(b"not a jpeg")
    camera = started(Clock(), tmp_path)
    assert camera.capture(32, 24).getpixel((5, 5)) == (255, 0, 0)
    assert [path.name for path, _ in camera.problems] == ["a.jpg"]
    (tmp_path / "b.png").unlink()
    assert camera.capture(32, 24).getpixel((1, 5)) == (255, 255, 255)
    assert [path.name for path, _ in camera.problems] == ["a.jpg", "b.png"]


def test_a_picture_that_changes_is_read_again(scene):
    camera = started(Clock(), scene)
    camera.capture(32, 24)
    Image.new("RGB", (64, 48), "lime").save(scene)
    assert camera.capture(32, 24).getpixel((5, 5)) == (0, 255, 0)


def test_exif_turns_are_obeyed(tmp_path):
    image = Image.new("RGB", (40, 80), "red")
    image.paste("blue", (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    picture = started(Clock(), tmp_path / "turned.png").capture(80, 40)
    assert picture.getpixel((70, 20)) == (0, 0, 255)
    assert picture.getpixel((10, 20)) == (255, 0, 0)


def test_no_such_source(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Camera(Clock(), tmp_path / "nothing.jpg")
    with pytest.raises(FileNotFoundError, match="no pictures"):
        Camera(Clock(), tmp_path)


def test_rgb565_of_every_colour():
    image = Image.frombytes("RGB", (256, 3), b"".join(bytes(((v * 7) & 255, v, 255 - v)) for v in range(256)) * 3)
    data = rgb565(image)
    for v in range(256):
        r, g, b = (v * 7) & 255, v, 255 - v
        assert int.from_bytes(data[2 * v : 2 * v + 2], "big") == (r >> 3) << 11 | (g >> 2) << 5 | b >> 3


def test_words_as_the_dvp_writes_them():
    assert dvp_words(bytes.fromhex("1122334455667788")) == bytes.fromhex("4433221188776655")
    # Read as a little-endian word, the left pixel is the high half.
    assert int.from_bytes(dvp_words(bytes.fromhex("f80007e0")), "little") == 0xF80007E0


def test_planes():
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    assert planes(image) == (b"\1\1", b"\2\2", b"\3\3")
