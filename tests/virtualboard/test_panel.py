"""The panel: MaixPy's own command sequences in, pixels out."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from virtualboard.clock import MS, Clock
from virtualboard.panel import Panel

ROTATIONS = (0xA0, 0x00, 0x60, 0xC0)


def start(panel, direction=0xA0, invert=False):
    """MaixPy's start sequence."""
    panel.reset(0)
    panel.reset(1)
    send(panel, 0x01)
    send(panel, 0x11)
    send(panel, 0x3A, 0x55)
    send(panel, 0x36, direction)
    if invert:
        send(panel, 0x21)
    send(panel, 0x13)
    send(panel, 0x29)
    return panel


def send(panel, command, *parameters):
    panel.command(command)
    for parameter in parameters:
        panel.data(bytes([parameter]))


def window(panel, x0, y0, x1, y1):
    panel.command(0x2A)
    panel.data(x0.to_bytes(2, "big") + x1.to_bytes(2, "big"))
    panel.command(0x2B)
    panel.data(y0.to_bytes(2, "big") + y1.to_bytes(2, "big"))
    panel.command(0x2C)


def rgb565(image):
    """Big-endian pixels of a PIL picture, as the wire carries them."""
    out = bytearray()
    data = image.tobytes()
    for i in range(0, len(data), 3):
        r, g, b = data[i : i + 3]
        out += ((r >> 3) << 11 | (g >> 2) << 5 | b >> 3).to_bytes(2, "big")
    return bytes(out)


def seen(image):
    """A picture in the colours a panel can show: high bits repeated."""
    five = [(v >> 3) << 3 | v >> 5 for v in range(256)]
    six = [(v >> 2) << 2 | v >> 6 for v in range(256)]
    return image.point(five + six + five)


def card(width, height):
    """A picture in which every corner and colour is different."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 40, 20), "red")
    draw.rectangle((width - 30, 0, width, 30), "lime")
    draw.rectangle((0, height - 25, 25, height), "blue")
    draw.text((50, 40), "Maix", fill=(250, 130, 7), font_size=40)
    return image


def draw(panel, image, x=0, y=0):
    window(panel, x, y, x + image.width - 1, y + image.height - 1)
    panel.data(rgb565(image))


@pytest.fixture
def panel():
    return start(Panel(Clock()))


def test_default_direction_shows_the_picture_upright(panel):
    picture = card(320, 240)
    draw(panel, picture)
    assert panel.image().tobytes() == seen(picture).tobytes()
    assert panel.frames == 1
    assert panel.rotation == 0
    assert panel.unknown == {}


@pytest.mark.parametrize("rotation", range(4))
def test_each_rotation_is_a_quarter_turn_clockwise(panel, rotation):
    send(panel, 0x36, ROTATIONS[rotation])
    picture = card(320, 240) if rotation % 2 == 0 else card(240, 320)
    draw(panel, picture)
    assert panel.image().tobytes() == seen(picture).rotate(-90 * rotation, expand=True).tobytes()
    assert panel.image(turned=True).tobytes() == seen(picture).tobytes()
    assert panel.rotation == rotation


@pytest.mark.parametrize(
    ("direction", "flip"),
    [
        (0x20, Image.Transpose.FLIP_LEFT_RIGHT),
        (0xE0, Image.Transpose.FLIP_TOP_BOTTOM),
    ],
)
def test_mirrored_landscapes(panel, direction, flip):
    send(panel, 0x36, direction)
    picture = card(320, 240)
    draw(panel, picture)
    assert panel.image().tobytes() == seen(picture).transpose(flip).tobytes()
    assert panel.rotation is None


@pytest.mark.parametrize("direction", [0x00, 0x20, 0x40, 0x60, 0x80, 0xA0, 0xC0, 0xE0])
def test_small_windows_land_where_single_pixels_do(direction):
    """The fast paths agree with writing every pixel through a window of its own."""
    fast, slow = start(Panel(Clock()), direction), start(Panel(Clock()), direction)
    picture = card(64, 50).crop((3, 5, 20, 16))
    draw(fast, picture, 30, 77)
    for y in range(picture.height):
        for x in range(picture.width):
            draw(slow, picture.crop((x, y, x + 1, y + 1)), 30 + x, 77 + y)
    assert fast.image().tobytes() == slow.image().tobytes()
    assert fast.image().getbbox() is not None
    assert slow.frames == picture.width * picture.height


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 640, 641, 5001])
@pytest.mark.parametrize("direction", [0xA0, 0x00])
def test_pieces_of_any_length_make_the_same_picture(cut, direction):
    panel = start(Panel(Clock()), direction)
    picture = card(320, 240) if direction else card(240, 320)
    picture = picture.crop((0, 0, picture.width, 40))
    data = rgb565(picture)
    window(panel, 0, 10, picture.width - 1, 49)
    for i in range(0, len(data), cut):
        panel.data(data[i : i + cut])
    turned = panel.image(turned=True)
    assert turned.crop((0, 10, picture.width, 50)).tobytes() == seen(picture).tobytes()
    assert panel.frames == 1


def test_pixels_wrap_from_the_end_of_the_window_to_its_start(panel):
    window(panel, 10, 20, 11, 21)
    panel.data(bytes.fromhex("f800 07e0 001f ffff f81f".replace(" ", "")))
    image = panel.image()
    assert [image.getpixel(p) for p in ((10, 20), (11, 20), (10, 21), (11, 21))] == [
        (255, 0, 255),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 255),
    ]
    assert panel.frames == 1
    assert panel.pixels_written == 5


def test_memory_write_continue_goes_on_where_it_was(panel):
    window(panel, 0, 0, 3, 0)
    panel.data(b"\xf8\x00" * 2)
    send(panel, 0x3C)
    panel.data(b"\x07\xe0" * 2)
    assert [panel.image().getpixel((x, 0)) for x in range(4)] == [(255, 0, 0)] * 2 + [(0, 255, 0)] * 2
    assert panel.frames == 1
    send(panel, 0x2C)
    panel.data(b"\x00\x1f")
    assert panel.image().getpixel((0, 0)) == (0, 0, 255)


def test_a_window_beyond_the_memory_is_cut_off(panel):
    window(panel, 310, 230, 329, 249)
    panel.data(b"\xff\xff" * 400)
    assert panel.image().getbbox() == (310, 230, 320, 240)
    send(panel, 0x36, 0x00)
    window(panel, 230, 310, 249, 329)
    panel.data(b"\xf8\x00" * 400)
    assert panel.frames == 2


def test_dark_until_awake_and_on():
    panel = Panel(Clock())
    picture = Image.new("RGB", (320, 240), "white")
    send(panel, 0x3A, 0x55)
    send(panel, 0x36, 0xA0)
    draw(panel, picture)
    black = Image.new("RGB", (320, 240)).tobytes()
    assert panel.image().tobytes() == black
    send(panel, 0x29)
    assert panel.image().tobytes() == black
    send(panel, 0x11)
    assert panel.lit
    assert panel.image().tobytes() == picture.tobytes()
    send(panel, 0x28)
    assert panel.image().tobytes() == black
    send(panel, 0x29)
    send(panel, 0x10)
    assert panel.image().tobytes() == black


def test_reset_forgets_switches_and_keeps_the_memory(panel):
    draw(panel, card(320, 240))
    before = panel.image().tobytes()
    panel.reset(0)
    send(panel, 0x11)
    send(panel, 0x29)
    assert not panel.lit  # nothing is heard while reset is low
    panel.reset(1)
    assert (panel.lit, panel.madctl, panel.pixel_format) == (False, 0, 0x66)
    send(panel, 0x11)
    send(panel, 0x29)
    assert panel.image().tobytes() == before
    assert panel.resets == 2


def test_colours_repeat_their_high_bits(panel):
    window(panel, 0, 0, 63, 0)
    panel.data(b"".join((min(i, 31) << 11 | i << 5 | min(i, 31)).to_bytes(2, "big") for i in range(64)))
    image = panel.image()
    for i in range(64):
        five = min(i, 31)
        assert image.getpixel((i, 0)) == (five << 3 | five >> 2, i << 2 | i >> 4, five << 3 | five >> 2)


def test_inversion_and_panels_that_need_it(panel):
    window(panel, 0, 0, 0, 0)
    panel.data(b"\xf8\x00")
    send(panel, 0x21)
    assert panel.image().getpixel((0, 0)) == (0, 255, 255)
    send(panel, 0x20)
    assert panel.image().getpixel((0, 0)) == (255, 0, 0)
    ips = start(Panel(Clock(), ips=True), invert=True)
    window(ips, 0, 0, 0, 0)
    ips.data(b"\xf8\x00")
    assert ips.image().getpixel((0, 0)) == (255, 0, 0)


def test_red_and_blue_change_places_at_once(panel):
    window(panel, 0, 0, 1, 0)
    panel.data(b"\xf8\x00\x07\xe0")
    send(panel, 0x36, 0xA8)
    assert panel.image().getpixel((0, 0)) == (0, 0, 255)
    assert panel.image().getpixel((1, 0)) == (0, 255, 0)


def test_pixels_of_18_bits(panel):
    send(panel, 0x3A, 0x66)
    window(panel, 0, 0, 1, 0)
    panel.data(b"\xfc\x00")
    panel.data(b"\x00\x00\xfc\x00")
    assert panel.image().getpixel((0, 0)) == (255, 0, 0)
    assert panel.image().getpixel((1, 0)) == (0, 255, 0)


@pytest.mark.parametrize(
    ("size", "options", "origin"),
    [
        ((240, 240), {}, (0, 0)),
        ((240, 240), {"offset": (80, 0)}, (80, 0)),
        ((240, 135), {"offset": (40, 52), "ips": True}, (40, 52)),
        ((480, 320), {}, (0, 0)),
    ],
)
def test_other_glasses(size, options, origin):
    """Offsets as MaixPy adds them to the window: M5StickV 40, 52."""
    panel = start(Panel(Clock(), *size, **options), invert=options.get("ips", False))
    picture = card(*size)
    draw(panel, picture, *origin)
    assert panel.image().tobytes() == seen(picture).tobytes()


@pytest.mark.parametrize("upright", [0x00, 0x28, 0x60, 0xA0, 0xC8, 0xE0])
def test_a_glass_mounted_otherwise(upright):
    """Whatever direction is upright on a board, the other turns follow from it."""
    panel = start(Panel(Clock(), 480, 320, upright=upright), upright)
    picture = card(480, 320)
    draw(panel, picture)
    assert panel.rotation == 0
    assert panel.image().tobytes() == seen(picture).tobytes()
    send(panel, 0x36, upright ^ 0xC0)
    draw(panel, picture)
    assert panel.rotation == 2
    assert panel.image().tobytes() == seen(picture).rotate(180).tobytes()
    quarter = upright ^ (0xA0 if upright & 0x20 else 0x60)
    send(panel, 0x36, quarter)
    tall = card(320, 480)
    draw(panel, tall)
    assert panel.rotation == 1
    assert panel.image(turned=True).tobytes() == seen(tall).tobytes()


def test_a_glass_that_does_not_fit():
    with pytest.raises(ValueError, match="does not fit"):
        Panel(Clock(), 240, 240, memory=(320, 240), offset=(100, 0))


def test_the_ili9486_start_sequence_has_nothing_unknown():
    panel = start(Panel(Clock(), 480, 320))
    for command in (0xF1, 0xF2, 0xF8, 0xF9, 0x36, 0xB4, 0xC1, 0xC5, 0xE0, 0xE1, 0x3A, 0xD0, 0xD1):
        send(panel, command, 0x55)
    assert panel.unknown == {}
    send(panel, 0xAA, 1, 2, 3)
    send(panel, 0xAA)
    assert panel.unknown == {0xAA: 2}


def test_frames_are_told_when_they_are_complete():
    clock = Clock()
    panel = start(Panel(clock))
    heard = []
    panel.on_frame = lambda: heard.append((clock.now, panel.image().getpixel((319, 239))))
    clock.advance(5 * MS)
    data = rgb565(Image.new("RGB", (320, 240), "red"))
    window(panel, 0, 0, 319, 239)
    panel.data(data[:-2])
    assert heard == []
    clock.advance(10 * MS)
    panel.data(data[-2:])
    assert heard == [(15 * MS, (255, 0, 0))]
    assert panel.last_frame_at == 15 * MS
    panel.data(data)
    assert panel.frames == 1  # one memory write, however often it goes round


def test_save(panel, tmp_path):
    picture = card(320, 240)
    draw(panel, picture)
    panel.save(tmp_path / "panel.png")
    with Image.open(tmp_path / "panel.png") as image:
        assert image.format == "PNG"
        assert image.tobytes() == seen(picture).tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["panel.png"]
