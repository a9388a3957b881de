"""lcd: the commands and pixels that reach the panel, and the driver's limits."""

import pytest

from virtualboard.clock import MS


class Spy:
    """Notes what the panel is told, and passes it on."""

    def __init__(self, panel):
        self.log = []
        command, data = panel.command, panel.data

        def on_command(byte):
            self.log.append((byte, b""))
            command(byte)

        def on_data(block):
            byte, before = self.log[-1]
            self.log[-1] = (byte, before + block)
            data(block)

        panel.command, panel.data = on_command, on_data


def run(device, source, **options):
    spies = []
    ran = device.run(
        "import lcd, image, time\n" + source, before=lambda board, engine: spies.append(Spy(board.panel)), **options
    )
    return ran, spies[0].log


def test_start_sequence(device):
    ran, log = run(
        device, "t = time.ticks_ms()\nprint(lcd.width())\nlcd.init()\nprint(time.ticks_diff(time.ticks_ms(), t))\n"
    )
    assert [(command, data) for command, data in log if command not in (0x2A, 0x2B, 0x2C)] == [
        (0x01, b""), (0x11, b""), (0x3A, b"\x55"), (0x36, b"\xa0"), (0x13, b""), (0x29, b""), (0x36, b"\xa0"),
    ]  # fmt: skip
    assert log[-3:-1] == [(0x2A, b"\x00\x00\x01\x3f"), (0x2B, b"\x00\x00\x00\xef")]
    assert log[-1] == (0x2C, bytes(153600))
    assert ran.lines[0] == "None"
    assert 290 <= int(ran.lines[1]) <= 330
    assert ran.board.panel.image().getextrema() == ((0, 0), (0, 0), (0, 0))


def test_colours_of_clear(device):
    ran, _ = run(device, "lcd.init(color=lcd.GREEN)\n")
    assert ran.board.panel.image().getpixel((0, 0)) == (0, 255, 0)
    ran, _ = run(
        device, "lcd.init()\nlcd.clear((255, 128, 64))\nprint(lcd.RED, lcd.width(), lcd.height(), lcd.type())\n"
    )
    assert ran.board.panel.image().getpixel((319, 239)) == (255, 130, 66)
    assert ran.last == "248 320 240 1"


def test_small_pictures_are_centred_with_black(device):
    ran, log = run(
        device,
        """
lcd.init(color=lcd.WHITE)
img = image.Image(size=(101, 51)); img.draw_rectangle(0, 0, 101, 51, (255, 0, 0), fill=True)
lcd.display(img)
""",
    )
    panel = ran.board.panel.image()
    # Borders are filled in pairs of pixels: the odd one of the left border keeps its colour.
    assert panel.getpixel((108, 144)) == (255, 255, 255)
    panel.putpixel((108, 144), (0, 0, 0))
    assert panel.getbbox() == (109, 94, 210, 145)
    assert panel.crop((109, 94, 210, 145)).getextrema() == ((255, 255), (0, 0), (0, 0))
    assert [data for command, data in log if command == 0x2A][-1] == b"\x00\x6d\x00\xd1"


def test_large_pictures_are_cut_in_the_middle(device):
    ran, _ = run(
        device,
        """
lcd.init()
img = image.Image(size=(330, 244))
img.draw_rectangle(5, 2, 320, 240, (0, 0, 255), thickness=1)
lcd.display(img)
""",
    )
    panel = ran.board.panel.image()
    for corner in ((0, 0), (319, 0), (0, 239), (319, 239)):
        assert panel.getpixel(corner) == (0, 0, 255)
    assert panel.getpixel((1, 1)) == (0, 0, 0)


def test_display_roi_and_offset(device):
    ran, _ = run(
        device,
        """
lcd.init(color=lcd.WHITE)
img = image.Image(size=(40, 40)); img.draw_rectangle(10, 10, 5, 5, (255, 0, 0), fill=True)
lcd.display(img, roi=(10, 10, 5, 5), oft=(100, 50))
try:
    lcd.display(img.compressed())
except OSError as e:
    print(e)
lcd.display(image.Image(size=(2, 2)), oft=(0, 0))
""",
    )
    panel = ran.board.panel.image()
    assert panel.getpixel((100, 50)) == panel.getpixel((104, 54)) == (255, 0, 0)
    assert panel.getpixel((105, 55)) == panel.getpixel((99, 49)) == (255, 255, 255)
    assert ran.last == "Image format is not supported."
    assert panel.getpixel((1, 1)) == (0, 0, 0)


def test_frame_time(device):
    source = """
lcd.init()
img = image.Image()
t = time.ticks_us(); lcd.display(img); a = time.ticks_diff(time.ticks_us(), t)
lcd.freq(30000000)
t = time.ticks_us(); lcd.clear(); b = time.ticks_diff(time.ticks_us(), t)
print(a, b)
"""
    ran, _ = run(device, source)
    display, clear = map(int, ran.last.split())
    assert 9_909 <= display <= 13_000
    assert 4_573 <= clear <= 4_800  # 30 MHz are 33.6 MHz


@pytest.mark.parametrize("box", [(0, 0, 320, 10), (0, 0, 10, 240), (310, 0, 10, 1), (320, 0, 0, 0)])
def test_fill_rectangle_must_stay_inside(device, box):
    ran, _ = run(device, f"lcd.init()\nlcd.fill_rectangle{(*box, 0)}\n")
    assert ran.last == "ValueError: arg error"


def test_fill_rectangle(device):
    ran, _ = run(device, "lcd.init()\nlcd.fill_rectangle(10, 20, 30, 5, (0, 255, 0))\n")
    assert ran.board.panel.image().getbbox() == (10, 20, 40, 25)


def test_draw_string_cell_and_limits(device):
    ran, log = run(device, "lcd.init()\nlcd.draw_string(8, 16, 'Ab', lcd.WHITE, lcd.BLUE)\n")
    panel = ran.board.panel.image()
    cell = panel.crop((8, 16, 24, 28))
    assert panel.getbbox() == (8, 16, 24, 28)
    assert {colour for _, colour in cell.getcolors()} == {(255, 255, 255), (0, 0, 255)}
    ran, log = run(
        device,
        "lcd.init()\nlcd.draw_string(0, 0, 'x' * 60)\nlcd.draw_string(400, 0, 'x')\nlcd.draw_string(0, 310, 'x')\n",
    )
    strings = [data for command, data in log if command == 0x2A]
    assert strings[-1] == b"\x00\x00\x01\x3f"
    assert len(strings) == 2


def test_rotation_and_mirror(device):
    ran, log = run(
        device,
        """
lcd.init()
print(lcd.rotation(), lcd.rotation(1), lcd.width(), lcd.height())
lcd.fill_rectangle(0, 0, 8, 4, lcd.RED)
lcd.rotation(2); print(lcd.width()); lcd.mirror(True); lcd.mirror(False)
try:
    lcd.rotation(4)
except ValueError as e:
    print(e)
""",
    )
    assert ran.lines == ["0 1 240 320", "320", "value:[0,3]"]
    assert [data for command, data in log if command == 0x36][2:] == [b"\x00", b"\x60", b"\xe0"]


def test_panel_of_another_board(device):
    ran, _ = run(device, "lcd.init(type=2)\nprint(lcd.width(), lcd.height())\n", settings={"model": "cube"})
    assert ran.last == "240 240"
    ran, _ = run(device, "lcd.init()\nprint(lcd.width(), lcd.height())\n", settings={"model": "amigo"})
    assert ran.last == "480 320"


def test_settings_in_config_json_win(device):
    device.flash.joinpath("config.json").write_text('{"lcd": {"width": 240, "height": 240, "invert": 1, "dir": 96}}')
    ran, log = run(device, "lcd.init()\nprint(lcd.width())\n")
    assert ran.last == "240"
    assert (0x21, b"") in log and (0x36, b"\x60") in log


def test_before_init(device):
    ran, _ = run(device, "print(lcd.width(), lcd.set_backlight(1))\nlcd.display(image.Image())\nlcd.rotation(1)\n")
    assert ran.lines[0] == "None None"
    assert (ran.code, ran.engine.ended) == (3, "crash")


def test_large_picture_with_offset_overruns_the_buffer(device):
    ran, _ = run(device, "lcd.init()\nlcd.display(image.Image(size=(400, 240)), oft=(0, 0))\n")
    assert ran.engine.ended == "crash"


def test_register_reaches_the_panel(device):
    _, log = run(device, "lcd.init()\nlcd.register(0x26, 4)\nlcd.register(0xD0, [7, 0x42])\n")
    assert log[-2:] == [(0x26, b"\x04"), (0xD0, b"\x07\x42")]


def test_waiting_for_the_bus_lets_time_pass(device):
    ran, _ = run(device, "lcd.init()\n")
    assert ran.board.clock.now > 600 * MS


def test_grey_goes_in_pairs(device):
    """The last of an odd number of pixels is not sent."""
    ran, _ = run(
        device,
        """
lcd.init(color=lcd.RED)
img = image.Image(size=(3, 3)).to_grayscale()
lcd.display(img)
""",
    )
    panel = ran.board.panel.image()
    assert [panel.getpixel((158 + i % 3, 118 + i // 3)) for i in range(9)] == [(0, 0, 0)] * 8 + [(255, 0, 0)]


def test_one_grey_pixel_stops_the_board(device):
    """No words at all for the DMA, which then never ends."""
    ran, _ = run(device, "lcd.init()\nlcd.display(image.Image(size=(1, 1)).to_grayscale())\nprint('never')\n")
    assert "DMA beyond the memory" in ran.last
    assert (ran.code, ran.engine.ended) == (3, "crash")
