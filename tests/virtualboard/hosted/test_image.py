"""The picture readers against MaixPy's acceptance table, on generated files; pixels against Pillow's."""

import io
import struct

import pytest
from PIL import Image as Pil
from PIL import ImageChops, ImageStat

from rig.jpeg_maker import AC_PLAIN, DC_13, DC_PLAIN, Parts, adobe, join, make, split
from virtualboard.hosted import image_jpeg, image_scan
from virtualboard.hosted.pixels import colour_bytes, from_rgb565, swapped, to_rgb565

SIZE = (34, 21)


def picture(size=SIZE):
    """A picture with every value of each channel somewhere."""
    out = Pil.new("RGB", size)
    width, height = size
    out.putdata(
        [
            (x * 255 // (width - 1), y * 255 // (height - 1), (x * y * 7) & 255)
            for y in range(height)
            for x in range(width)
        ]
    )
    return out


def cut565(rgb):
    """Pillow's picture with eight bits cut to five or six and shown again by repeating the high bits."""

    def cut(band, bits):
        drop = 8 - bits
        return band.point(lambda v: (v >> drop << drop) | (v >> drop) >> (2 * bits - 8))

    red, green, blue = rgb.split()
    return Pil.merge("RGB", (cut(red, 5), cut(green, 6), cut(blue, 5)))


def rounded565(rgb):
    """Pillow's picture as a BMP of 24 bits is shown: bits are rounded there."""

    def rounded(band, most):
        drop = 8 - most.bit_length()
        return band.point(lambda v: round(v * most / 255) << drop)

    red, green, blue = rgb.split()
    return cut565(Pil.merge("RGB", (rounded(red, 31), rounded(green, 63), rounded(blue, 31))))


def bmp(rgb, depth=24, top_down=False, compression=None, header=40, planes=1, file_size=None, image_size=None):
    """A BMP written by hand."""
    width, height = rgb.size
    row_bytes = (width * depth + 31) // 32 * 4
    palette = b"".join(bytes((255 - i, i, 0, 0)) for i in range(256)) if depth == 8 else b""
    masks = b"".join(struct.pack("<I", m) for m in (0xF800, 0x7E0, 0x1F)) if depth == 16 else b""
    if compression is None:
        compression = 3 if depth == 16 else 0
    rows = []
    for y in range(height):
        pixels = [rgb.getpixel((x, y)) for x in range(width)]
        if depth == 24:
            row = b"".join(bytes((b, g, r)) for r, g, b in pixels)
        elif depth == 32:
            row = b"".join(bytes((b, g, r, 255)) for r, g, b in pixels)
        elif depth == 16:
            row = b"".join(struct.pack("<H", (r & 0xF8) << 8 | (g & 0xFC) << 3 | b >> 3) for r, g, b in pixels)
        elif depth == 8:
            row = bytes(g for _, g, _ in pixels)
        else:
            row = bytes((width * depth + 7) // 8)
        rows.append(row.ljust(row_bytes, b"\0"))
    if not top_down:
        rows.reverse()
    body = b"".join(rows)
    offset = 14 + header + len(palette) + (len(masks) if header == 40 else 0)
    total = offset + len(body)
    head = b"BM" + struct.pack("<IHHI", total if file_size is None else file_size, 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", header, width, -height if top_down else height, planes, depth, compression,
                       len(body) if image_size is None else image_size, 0, 0, 0, 0)  # fmt: skip
    extra = b"" if header == 40 else (masks or bytes(12)).ljust(header - 40, b"\0")
    return head + info + extra + palette + (masks if header == 40 else b"") + body


def jpeg(rgb, **options):
    out = io.BytesIO()
    options.setdefault("quality", 90)
    rgb.save(out, "JPEG", **options)
    return out.getvalue()


def load(device, name, content, more=""):
    """Load a file on the device; returns the run and the picture as the panel shows it from its corner."""
    (device.card / name).write_bytes(content)
    return device.run(
        f"import image, lcd\nlcd.init()\nimg = image.Image('/sd/{name}')\n"
        f"print(img.width(), img.height(), img.format(), img.size())\n{more}"
    )


def shown(ran, size=SIZE):
    """What lcd.display put into the middle of the panel."""
    panel = ran.board.panel.image()
    left, top = (320 - size[0]) // 2, (240 - size[1]) // 2
    return panel.crop((left, top, left + size[0], top + size[1]))


# -- BMP --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_down": True},
        {"header": 108},
        {"header": 124, "top_down": True},
        {"depth": 16},
        {"depth": 16, "top_down": True},
        {"planes": 7},
        {"image_size": 0},
    ],
    ids=str,
)
def test_bmp_colours(device, options):
    ran = load(device, "a.bmp", bmp(picture(), **options), "lcd.display(img)")
    assert ran.lines == [f"{SIZE[0]} {SIZE[1]} 2 {SIZE[0] * SIZE[1] * 2}"]
    wanted = cut565(picture()) if options.get("depth") == 16 else rounded565(picture())
    assert shown(ran).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("size", [SIZE, (36, 20)])
def test_bmp_of_8_bits_is_grey_whatever_its_palette(device, top_down, size):
    ran = load(device, "a.bmp", bmp(picture(size), depth=8, top_down=top_down), "lcd.display(img)")
    assert ran.lines == [f"{size[0]} {size[1]} 4 {size[0] * size[1]}"]
    green = picture(size).split()[1]
    assert shown(ran, size).tobytes() == cut565(Pil.merge("RGB", [green] * 3)).tobytes()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"depth": 1}, "OSError: Unsupported format!"),
        ({"depth": 4}, "OSError: Unsupported format!"),
        ({"depth": 32}, "OSError: Unsupported format!"),
        ({"depth": 16, "compression": 0}, "OSError: Unsupported format!"),
        ({"depth": 8, "compression": 3}, "OSError: Unsupported format!"),
        ({"depth": 8, "compression": 1}, "OSError: Unsupported format!"),
        ({"file_size": 0}, "ValueError: file_corrupted_raise!"),
        ({"file_size": 500}, "ValueError: file_corrupted_raise!"),
    ],
    ids=str,
)
def test_bmp_refused(device, options, error):
    assert load(device, "a.bmp", bmp(picture(), **options)).last == error


def test_truncated_bmp_is_taken(device):
    whole = bmp(picture(), top_down=True)
    ran = load(device, "a.bmp", whole[: 54 + 104 * 9 + 3 * 5], "lcd.display(img)")
    assert ran.code == 0
    wanted = rounded565(picture()).crop((0, 0, SIZE[0], 9))
    assert shown(ran).crop((0, 0, SIZE[0], 9)).tobytes() == wanted.tobytes()
    # The last pixel that was read stands for all that are missing.
    assert shown(ran).crop((5, 9, SIZE[0], 10)).getcolors() == [(SIZE[0] - 5, rounded565(picture()).getpixel((4, 9)))]
    assert len(shown(ran).crop((0, 10, *SIZE)).getcolors()) == 1


def test_a_negative_width_turns_rows_round(device):
    data = bytearray(bmp(picture()))
    data[18:22] = (-SIZE[0]).to_bytes(4, "little", signed=True)
    ran = load(device, "a.bmp", bytes(data), "lcd.display(img)")
    assert shown(ran).tobytes() == rounded565(picture()).transpose(Pil.Transpose.FLIP_LEFT_RIGHT).tobytes()


@pytest.mark.parametrize(
    ("name", "grey", "last"),
    [
        ("a.jpg", False, None),
        ("noext", False, None),
        ("a.ppm", False, None),
        ("a.ppm", True, "OSError: Image is not PPM!"),
        ("a.pgm", True, None),
        ("a.pgm", False, "OSError: Image is not PGM!"),
        ("a.RAW", False, "OSError: Image is not BAYER!"),
    ],
)
def test_what_extensions_promise(device, name, grey, last):
    ran = load(device, name, bmp(picture(), depth=8 if grey else 24))
    assert (ran.last if ran.code else None) == last


@pytest.mark.parametrize("data", [b"", b"\xff", b"B"])
def test_hardly_any_file(device, data):
    assert load(device, "a.jpg", data).last == "ValueError: format not supported"


# -- JPEG -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_baseline_jpeg(device, subsampling):
    data = jpeg(picture(), subsampling=subsampling)
    ran = load(device, "a.jpg", data, "lcd.display(img)")
    assert ran.lines == [f"{SIZE[0]} {SIZE[1]} 2 {SIZE[0] * SIZE[1] * 2}"]
    with Pil.open(io.BytesIO(data)) as decoded:
        difference = ImageChops.difference(shown(ran), decoded.convert("RGB"))
    # Another inverse DCT, and chroma that is not smoothed.
    assert max(ImageStat.Stat(difference).mean) < (5 if subsampling == "4:4:4" else 20)


def test_grey_jpeg_and_restart_markers(device):
    assert load(device, "a.jpg", jpeg(picture().convert("L"))).lines == [f"{SIZE[0]} {SIZE[1]} 4 {SIZE[0] * SIZE[1]}"]
    assert load(device, "b.jpg", jpeg(picture(), restart_marker_blocks=1)).code == 0


SPEC = split(make(picture()))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (jpeg(picture(), progressive=True), 37),
        (jpeg(picture().convert("CMYK")), 10),
        (make(picture(), sof=0xC1), 20),
        (make(picture(), sof=0xC9), 17),
        (make(picture(), quantiser=(0, 1, 2)), 36),
        (make(picture(), dc=(0, 2, 2), ac=(0, 2, 2), dc_tables={0: DC_PLAIN, 2: DC_PLAIN},
              ac_tables={0: AC_PLAIN, 2: AC_PLAIN}), 24),
        (join(Parts(tuple(piece for piece in SPEC.head if piece[1] != 0xDB), SPEC.scan)), 23),
        (join(SPEC.put(SPEC.index(0xC0), SPEC.head[SPEC.index(0xC0)])), 18),
        (join(SPEC.put(1, b"\xff\xd3")), 18),
        (b"\xff\xd8\xff\xd9" + bytes(40), 20),
        (b"\xff\xd8", 20),
        (jpeg(picture())[:200], 18),
    ],
    ids=["progressive", "CMYK", "SOF1", "arithmetic", "DQT 2", "DHT 2", "no DQT", "SOF twice", "RST", "no picture",
         "SOI alone", "header cut"],
)  # fmt: skip
def test_bad_jpeg_header_gives_an_empty_picture(device, data, status):
    ran = load(device, "a.jpg", data)
    why = ["Progressive JPEG files are not supported."] if status == 37 else []
    assert ran.lines == [
        f"pjpeg_decode_init() failed with status {status}",
        *why,
        "Failed loading source image!",
        "0 0 2 0",
    ]
    assert ran.code == 0


def test_damaged_restart_markers_are_an_error(device):
    data = make(picture(), interval=2).replace(b"\xff\xd1", b"\xff\xd4", 1)
    ran = load(device, "a.jpg", data)
    assert ran.lines[:2] == ["pjpeg_decode_mcu() failed with status 29", "Failed loading source image!"]
    assert ran.last == "OSError: [Errno 1] EPERM"


def test_rgb_and_several_scans_come_out_wrong(device):
    """As on the chip: the first is taken for YCbCr, of the others only the first scan is read."""
    for data in (make(picture(), colours="RGB", before=adobe(0)), make(picture(), scans=((0,), (1,), (2,)))):
        ran = load(device, "a.jpg", data, "lcd.display(img)")
        assert ran.code == 0
        difference = ImageChops.difference(shown(ran), picture())
        assert max(ImageStat.Stat(difference).mean) > 30


def test_a_table_that_is_too_long_leaves_the_one_before(device):
    """A DC table of 13 codes is ignored, and counts as there: the picture before decides what is shown."""
    (device.card / "first.jpg").write_bytes(make(picture(), dc_tables={0: DC_PLAIN, 1: DC_PLAIN}))
    (device.card / "odd.jpg").write_bytes(make(picture(), dc_tables={0: DC_13, 1: DC_13}))
    ran = device.run(
        """
        import image
        try:
            image.Image('/sd/odd.jpg')
        except OSError as e:
            print(e)
        first = image.Image('/sd/first.jpg').to_bytes()
        print(image.Image('/sd/odd.jpg').to_bytes() == first)
        """
    )
    assert ran.lines[-2:] == ["[Errno 1] EPERM", "True"]


def test_using_the_empty_picture_crashes(device):
    ran = load(device, "a.jpg", jpeg(picture(), progressive=True), "img.draw_string(0, 0, 'x')\nprint('never')\n")
    assert "core dump" in ran.last
    assert (ran.code, ran.engine.ended) == (3, "crash")


def test_truncated_jpeg_is_taken(device):
    data = jpeg(picture((64, 64)))
    ran = load(device, "a.jpg", data[: len(data) * 2 // 3], "print(img.get_pixel(0, 0) is not None)")
    assert ran.lines[-1] == "True"
    assert ran.code == 0


@pytest.mark.parametrize("kind", ["PNG", "GIF", "PPM", "WEBP"])
def test_other_formats(device, kind):
    out = io.BytesIO()
    picture().save(out, kind)
    assert load(device, "a.x", out.getvalue()).last == "ValueError: format not supported"


def test_missing_file(device):
    for path in ("/sd/none.jpg", "/nowhere/none.jpg"):
        assert device.run(f"import image\nimage.Image('{path}')\n").last == "OSError: [Errno 2] ENOENT"


def test_from_bytes_and_from_a_file(device):
    (device.card / "a.jpg").write_bytes(jpeg(picture()))
    (device.card / "a.bmp").write_bytes(bmp(picture()))
    ran = device.run(
        """
        import image
        with open('/sd/a.jpg', 'rb') as f:
            data = f.read()
        print(image.Image(data, from_bytes=True).width(), image.Image(open('/sd/a.jpg', 'rb')).width())
        print(image.Image('/sd/a.jpg', size=(5, 6)).height())
        try:
            image.Image(open('/sd/a.bmp', 'rb'))
        except OSError as e:
            print(e)
        try:
            image.Image('/sd/a.jpg', 1)
        except TypeError:
            print('TypeError')
        """
    )
    assert ran.lines == ["34 34", "6", "Not support", "TypeError"]


# -- memory -----------------------------------------------------------------------------------------------


def test_one_contiguous_block_or_memory_error(device):
    (device.card / "big.jpg").write_bytes(jpeg(Pil.new("RGB", (640, 480))))
    ran = device.run(
        """
        import image, gc
        gc.collect()
        try:
            image.Image('/sd/big.jpg')
        except MemoryError as e:
            print(str(e)[:37])
        a = image.Image(size=(320, 240)); b = image.Image(size=(320, 240)); c = image.Image(size=(320, 240))
        try:
            image.Image(size=(320, 240))
        except MemoryError:
            print('full')
        b = None
        print(image.Image(size=(320, 240)).size())
        """
    )
    assert ran.lines == ["Out of normal MicroPython Heap Memory", "full", "153600"]


def test_decoding_takes_its_time(device):
    (device.card / "a.jpg").write_bytes(jpeg(picture((320, 240))))
    took = device.value(
        "time.ticks_diff(time.ticks_ms(), t)", "import time, image\nt = time.ticks_ms()\nimage.Image('/sd/a.jpg')"
    )
    assert 70 <= int(took) <= 110


# -- methods ----------------------------------------------------------------------------------------------


def test_colours_and_pixels(device):
    ran = device.run(
        """
        import image, lcd
        img = image.Image(size=(4, 2))
        img.set_pixel(1, 0, (255, 130, 7)); img.set_pixel((2, 1), lcd.RED)
        print(img.get_pixel(1, 0), img.get_pixel(2, 1), img.get_pixel(9, 9), img[1], list(img.to_bytes()[2:4]))
        b = img.to_bytes(); b[0] = 0xF8
        print(img.get_pixel(0, 0), len(b), img.clear().get_pixel(0, 0))
        """
    )
    assert ran.lines == ["(255, 130, 8) (255, 0, 0) None (255, 130, 8) [252, 1]", "(255, 0, 0) 16 (0, 0, 0)"]


def test_copy_crop_cut_resize(device):
    (device.card / "a.bmp").write_bytes(bmp(picture()))
    ran = device.run(
        """
        import image
        img = image.Image('/sd/a.bmp')
        def box(i): return (i.width(), i.height(), i.get_pixel(0, 0))
        print(box(img.copy((3, 4, 10, 8))), box(img.copy(x_scale=2.0, y_scale=0.5)))
        print(box(img.cut(30, 18, 10, 10)), img.cut(30, 18, 10, 10).get_pixel(9, 9))
        print(box(img.resize(17, 10))[:2], box(img.crop((1, 1, 5, 5)))[:2], img.width())
        print(img.to_grayscale(copy=True).format(), img.format(), img.to_grayscale().format())
        """
    )
    expected = rounded565(picture())
    assert ran.lines == [
        f"(10, 8, {expected.getpixel((3, 4))}) (68, 10, {expected.getpixel((0, 0))})",
        f"(10, 10, {expected.getpixel((30, 18))}) (0, 0, 0)",
        "(17, 10) (5, 5) 5",
        "4 2 4",
    ]


def test_drawing(device):
    ran = device.run(
        """
        import image, lcd
        lcd.init()
        img = image.Image(size=(60, 40))
        img.draw_rectangle(5, 6, 20, 10, (255, 0, 0), fill=True).draw_line(0, 39, 59, 39, color=(0, 255, 0))
        img.draw_circle((45, 15, 8), color=(0, 0, 255), fill=True)
        small = image.Image(size=(4, 4)); small.draw_rectangle(0, 0, 4, 4, (255, 255, 255), fill=True)
        img.draw_image(small, 50, 30).draw_string(2, 20, 'Hi', color=(255, 255, 0), scale=1)
        lcd.display(img)
        """
    )
    assert ran.code == 0, ran.text
    got = shown(ran, (60, 40))
    assert [got.getpixel(p) for p in ((5, 6), (24, 15), (25, 16), (30, 39), (45, 15), (51, 31))] == [
        (255, 0, 0), (255, 0, 0), (0, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255),
    ]  # fmt: skip
    yellow = {colour: count for count, colour in got.crop((0, 20, 30, 34)).getcolors()}[255, 255, 0]
    assert 15 < yellow < 80


def test_save_and_compress(device):
    (device.card / "a.bmp").write_bytes(bmp(picture((64, 48))))
    ran = device.run(
        """
        import image, os
        img = image.Image('/sd/a.bmp')
        img.save('/sd/b.bmp'); img.save('/sd/b.jpg', quality=90); img.save('/sd/b.png'); img.save('/sd/noext')
        img.save('/sd/part.bmp', roi=(8, 4, 16, 10))
        print(sorted(os.listdir('/sd')))
        j = img.compressed(quality=80)
        print(j.format(), bytes(j.to_bytes()[:2]), j.size() == len(j.to_bytes()), img.format())
        with open('/sd/c.jpg', 'wb') as f: f.write(j)
        try:
            j.draw_string(0, 0, 'x')
        except OSError as e:
            print(e)
        img.compress(quality=30)
        print(img.format(), image.Image('/sd/b.bmp').get_pixel(9, 9))
        try:
            img.compressed(quality=0)
            image.Image(size=(8, 8)).compressed(quality=0)
        except OSError as e:
            print(e)
        """
    )
    assert ran.lines == [
        "['a.bmp', 'b.bmp', 'b.jpg', 'part.bmp']",
        "5 b'\\xff\\xd8' True 2",
        "Image format is not supported.",
        f"5 {rounded565(picture((64, 48))).getpixel((9, 9))}",
        "Error: 1 <= quality <= 100!",
    ]
    with Pil.open(device.card / "b.bmp") as saved:
        assert cut565(saved.convert("RGB")).tobytes() == rounded565(picture((64, 48))).tobytes()
    with Pil.open(device.card / "part.bmp") as saved:
        expected = rounded565(picture((64, 48))).crop((8, 4, 24, 14))
        assert cut565(saved.convert("RGB")).tobytes() == expected.tobytes()
    for name in ("b.jpg", "c.jpg"):
        with Pil.open(device.card / name) as saved:
            assert (saved.format, saved.size, saved.info.get("progressive")) == ("JPEG", (64, 48), None)


def test_rgb565_round_trip():
    rgb = picture((256, 64))
    packed = to_rgb565(rgb)
    red, green, blue = rgb.getpixel((200, 31))
    value = (red & 0xF8) << 8 | (green & 0xFC) << 3 | blue >> 3
    index = 2 * (31 * 256 + 200)
    assert packed[index : index + 2] == value.to_bytes(2, "big")
    assert from_rgb565(packed, rgb.size).tobytes() == cut565(rgb).tobytes()
    assert colour_bytes((255, 0, 0)) == b"\xf8\x00" == colour_bytes(0x00F8)
    assert swapped(255, 0, 0) == 0x00F8


def test_a_small_picture_is_decoded_once_for_the_same_tables(tmp_path, monkeypatch):
    monkeypatch.setenv("MAIXPIX_CODE_CACHE", str(tmp_path / "code"))
    files = [io.BytesIO(), io.BytesIO()]
    picture().save(files[0], "JPEG", quality=90)
    picture().save(files[1], "JPEG", quality=60)
    first, other = (file.getvalue() for file in files)
    read = []
    monkeypatch.setattr(image_jpeg, "read_scan", lambda *given: read.append(1) or image_scan.read_scan(*given))
    pixels = []
    for data in (first, other, first, other):
        decoder = image_jpeg.Decoder()
        pixels.append(decoder.read_pixels(decoder.read_header(data)))
    assert len(read) == 2 and pixels[:2] == pixels[2:] and pixels[0] != pixels[1]
    pixels[2][:] = bytes(len(pixels[2]))  # the program's own: nobody else's changes with it
    decoder = image_jpeg.Decoder()
    frame = decoder.read_header(first)
    assert decoder.read_pixels(frame) == pixels[0]
    frame.quantisers[frame.components[0][3]][0] += 8
    assert decoder.read_pixels(frame) != pixels[0] and len(read) == 3
