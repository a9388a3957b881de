"""Card, panel and camera as real MaixPy drives them, against the host's files and Pillow."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from maixpix.demo.verdicts import psnr
from virtualboard.board import BoardConfig
from virtualboard.camera import rgb565
from virtualboard.clock import MS
from virtualboard.k210.engine import K210Engine

pytestmark = pytest.mark.firmware


def cut(picture: Image.Image) -> bytes:
    """What a panel of 16 bits a pixel can show of `picture`: RGB565, high byte first."""
    return rgb565(picture.convert("RGB"))


def put(chip: K210Engine, card: Path, name: str, data: bytes) -> None:
    """A file for the running board: written through its own file system."""
    chip.repl(f"f = open('/sd/{name}', 'wb')")
    for at in range(0, len(data), 1024):
        chip.repl(f"n = f.write({data[at : at + 1024]!r})")
    chip.repl("f.close()")
    chip.board.card.flush()
    assert (card / name).read_bytes() == data


def bmp565(picture: Image.Image) -> bytes:
    """A top-down BMP with 16 bits a pixel and RGB565 masks (BITMAPINFOHEADER, BI_BITFIELDS)."""
    width, height = picture.size
    pixels = bytearray(cut(picture))
    pixels[0::2], pixels[1::2] = pixels[1::2], pixels[0::2]
    masks = b"".join(mask.to_bytes(4, "little") for mask in (0xF800, 0x07E0, 0x001F))
    numbers = [(40, 4), (width, 4), (-height, 4), (1, 2), (16, 2), (3, 4), (len(pixels), 4), (2835, 4), (2835, 4)]
    info = b"".join(n.to_bytes(size, "little", signed=True) for n, size in numbers) + bytes(8)
    start = 14 + len(info) + len(masks)
    head = b"BM" + (start + len(pixels)).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    return head + info + masks + bytes(pixels)


# -- the card -----------------------------------------------------------------------------------------------


def test_card_files_of_the_host_are_there(chip: K210Engine) -> None:
    folder = "/sd/album/A summer with a rather long name"
    got = chip.repl(
        f"import os, uhashlib, ubinascii\nprint(os.listdir('/sd/album'), os.listdir({folder!r}))\n"
        f"d = open({folder!r} + '/Second picture.data', 'rb').read()\nprint(len(d), d == bytes(range(256)) * 37)"
    )
    assert got == "['A summer with a rather long name'] ['Second picture.data']\n9472 True\n"


def test_card_changes_come_back_to_the_host(chip: K210Engine, card: Path) -> None:
    chip.repl(
        "os.mkdir('/sd/made on the board')\n"
        "f = open('/sd/made on the board/A file with a long name.bin', 'wb')\n"
        "for i in range(97): n = f.write(bytes([i]) * 333)\n"
        "f.close()\n"
        "f = open('/sd/short.txt', 'w')\nn = f.write('one')\nf.close()\n"
        "f = open('/sd/short.txt', 'a')\nn = f.write(' two')\nf.close()\n"
        "f = open('/sd/gone.txt', 'w')\nf.close()\nos.remove('/sd/gone.txt')\n"
        "os.rename('/sd/short.txt', '/sd/renamed.txt')"
    )
    chip.board.card.flush()
    made = card / "made on the board" / "A file with a long name.bin"
    assert made.read_bytes() == b"".join(bytes([i]) * 333 for i in range(97))
    assert (card / "renamed.txt").read_bytes() == b"one two"
    assert not (card / "short.txt").exists()
    assert not (card / "gone.txt").exists()
    assert (card / "album" / "A summer with a rather long name" / "Second picture.data").read_bytes() == (
        bytes(range(256)) * 37
    )


# -- the panel ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)])
def test_clear_fills_the_panel(chip: K210Engine, colour: tuple[int, int, int]) -> None:
    chip.repl(f"import lcd, image\nlcd.init()\nlcd.clear({colour})")
    assert chip.board.panel.image().getcolors() == [(320 * 240, colour)]


def test_text_is_drawn(chip: K210Engine) -> None:
    chip.repl("lcd.init()\nlcd.clear((0, 0, 0))\nlcd.draw_string(40, 100, 'Maix', lcd.WHITE, lcd.BLACK)")
    shown = chip.board.panel.image()
    left, top, right, bottom = shown.getbbox() or (0, 0, 0, 0)
    # Four characters of 8 x 16 pixels.
    assert 40 <= left < right <= 40 + 32
    assert 100 <= top < bottom <= 100 + 16
    assert {colour for _, colour in shown.getcolors()} == {(0, 0, 0), (255, 255, 255)}


def test_bmp_of_16_bits_is_exact(chip: K210Engine, card: Path) -> None:
    picture = Image.effect_noise((64, 48), 90).convert("RGB")
    picture = Image.merge("RGB", (picture.getchannel(0), picture.getchannel(1).rotate(180), picture.getchannel(2)))
    put(chip, card, "exact.bmp", bmp565(picture))
    chip.repl("lcd.init()\nlcd.clear((0, 0, 0))\nlcd.display(image.Image('/sd/exact.bmp'))")
    shown = chip.board.panel.image().crop((128, 96, 192, 144))
    assert cut(shown) == cut(picture)


@pytest.mark.parametrize("rotation", range(4))
def test_jpeg_is_shown_in_every_direction(chip: K210Engine, card: Path, picture: Image.Image, rotation: int) -> None:
    if not (card / "small.jpg").exists():
        file = io.BytesIO()
        picture.resize((160, 120)).save(file, "JPEG", quality=90)
        put(chip, card, "small.jpg", file.getvalue())
    chip.repl(f"lcd.init()\nlcd.rotation({rotation})\nlcd.clear((0, 0, 0))\nlcd.display(image.Image('/sd/small.jpg'))")
    panel = chip.board.panel
    assert panel.rotation == rotation
    shown = panel.image(turned=True)
    left, top = (shown.width - 160) // 2, (shown.height - 120) // 2
    with Image.open(card / "small.jpg") as file:
        wanted = file.convert("RGB")
    assert psnr(shown.crop((left, top, left + 160, top + 120)), wanted) > 30
    outside = shown.copy()
    outside.paste((0, 0, 0), (left, top, left + 160, top + 120))
    assert outside.getbbox() is None
    chip.repl("lcd.rotation(0)")


# -- the camera ---------------------------------------------------------------------------------------------


def test_snapshot_save_and_compress(chip: K210Engine, card: Path, scene: Path) -> None:
    got = chip.repl(
        "import sensor\nsensor.reset()\nsensor.set_pixformat(sensor.RGB565)\nsensor.set_framesize(sensor.QVGA)\n"
        "sensor.run(1)\nshot = sensor.snapshot()\nlcd.init()\nlcd.display(shot)\n"
        "points = [shot.get_pixel(x, y) for x, y in ((0, 0), (319, 0), (0, 239), (160, 120), (319, 239))]\n"
        "shot.save('/sd/shot.jpg', quality=90)\n"
        "small = shot.compress(quality=60)\nf = open('/sd/small60.jpg', 'wb')\n"
        "n = f.write(shot.to_bytes())\nf.close()\n"
        "print(points)"
    )
    with Image.open(scene) as file:
        seen = file.convert("RGB")
    assert cut(chip.board.panel.image()) == cut(seen)
    points = ast.literal_eval(got.splitlines()[-1])  # behind the driver's own messages
    for point, at in zip(points, ((0, 0), (319, 0), (0, 239), (160, 120), (319, 239)), strict=True):
        assert all(abs(a - b) <= 8 for a, b in zip(point, seen.getpixel(at), strict=True))
    chip.board.card.flush()
    for name, least in (("shot.jpg", 30), ("small60.jpg", 27)):
        with Image.open(card / name) as file:
            assert file.format == "JPEG"
            assert file.size == (320, 240)
            assert psnr(file.convert("RGB"), seen) > least
    assert (card / "small60.jpg").stat().st_size < (card / "shot.jpg").stat().st_size


# -- keys, and what else of the panel and the camera ----------------------------------------------------------


@pytest.mark.parametrize("port", ["GPIO3", "GPIOHS3"])
def test_a_key_is_read_and_interrupts(chip: K210Engine, port: str) -> None:
    chip.repl(
        "from Maix import GPIO\nfrom fpioa_manager import fm\n"
        f"fm.register(16, fm.fpioa.{port}, force=True)\nkey = GPIO(GPIO.{port}, GPIO.IN, GPIO.PULL_UP)\nseen = []"
    )
    if port == "GPIOHS3":
        chip.repl("key.irq(lambda pin: seen.append(key.value()), GPIO.IRQ_BOTH)")
    levels = []
    for down in (False, True, False):
        chip.board.press(16, down)
        chip.run(timeout_ns=20 * MS)
        levels.append(chip.repl("print(key.value())"))
    assert levels == ["1\n", "0\n", "1\n"]
    if port == "GPIOHS3":
        assert chip.repl("key.disirq()\nprint(seen)") == "[0, 1]\n"


def test_inversion_is_seen(chip: K210Engine) -> None:
    chip.repl("lcd.init(invert=1)\nlcd.clear((255, 0, 0))")
    assert chip.board.panel.inverted
    assert chip.board.panel.image().getcolors() == [(320 * 240, (0, 255, 255))]
    chip.repl("lcd.init(invert=0)\nlcd.clear((255, 0, 0))")
    assert chip.board.panel.image().getcolors() == [(320 * 240, (255, 0, 0))]


def test_a_picture_in_a_part_of_the_panel(chip: K210Engine, card: Path) -> None:
    picture = Image.merge("RGB", [Image.effect_noise((40, 24), 90) for _ in range(3)])
    put(chip, card, "part.bmp", bmp565(picture))
    chip.repl("lcd.init()\nlcd.clear((0, 0, 255))\nlcd.display(image.Image('/sd/part.bmp'), oft=(30, 150))")
    shown = chip.board.panel.image()
    assert cut(shown.crop((30, 150, 70, 174))) == cut(picture)
    shown.paste((0, 0, 255), (30, 150, 70, 174))
    assert shown.getcolors() == [(320 * 240, (0, 0, 255))]


def test_the_camera_sees_a_folder_picture_by_picture(boot: Callable[..., K210Engine], tmp_path: Path) -> None:
    (tmp_path / "card").mkdir()
    (tmp_path / "views").mkdir()
    colours = [(240, 0, 0), (0, 240, 0), (0, 0, 240)]
    for number, colour in enumerate(colours):
        Image.new("RGB", (320, 240), colour).save(tmp_path / "views" / f"{number}.png")
    chip = boot(BoardConfig(card=str(tmp_path / "card"), camera=str(tmp_path / "views")))
    said = chip.repl(
        "import sensor\nsensor.reset()\nsensor.set_pixformat(sensor.RGB565)\nsensor.set_framesize(sensor.QVGA)\n"
        "sensor.run(1)\nfor i in range(6): print('at', sensor.snapshot().get_pixel(160, 120))"
    )
    seen = [ast.literal_eval(line[3:]) for line in said.splitlines() if line.startswith("at ")]
    order = [max(range(3), key=lambda band, pixel=pixel: pixel[band]) for pixel in seen]
    assert len(order) == 6
    assert set(order) == {0, 1, 2}
    assert order[:3] == order[3:]
