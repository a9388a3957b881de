"""What comes out of the converter: pixels against Pillow's own rendering, bytes against the formats."""

from __future__ import annotations

import io
import struct
import zlib

import pillow_heif
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from maixpix.companion.convert import Rendition, convert
from maixpix.companion.problems import Refused
from maixpix.companion.settings import PictureLimits

PANEL = (320, 240)

pillow_heif.register_heif_opener()


def saved(image: Image.Image, kind: str, **options) -> io.BytesIO:
    out = io.BytesIO()
    image.save(out, kind, **options)
    out.seek(0)
    return out


def run(source: io.BytesIO, limits: PictureLimits | None = None, **wish) -> bytes:
    return convert(source, Rendition(*wish.pop("size", PANEL), **wish), limits or PictureLimits())


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean absolute difference of a channel, 0 to 255."""
    assert first.size == second.size
    return max(ImageStat.Stat(ImageChops.difference(first, second)).mean)


def jpeg_frames(data: bytes) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """(marker, precision, sampling factors) of every frame header, walking the segments independently of Pillow."""
    assert data[:2] == b"\xff\xd8"
    frames, at = [], 2
    while data[at + 1] != 0xDA:
        assert data[at] == 0xFF
        length = struct.unpack_from(">H", data, at + 2)[0]
        if data[at + 1] in set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}:
            count = data[at + 9]
            factors = [divmod(data[at + 11 + 3 * n], 16) for n in range(count)]
            frames.append((data[at + 1], data[at + 4], factors))
        at += 2 + length
    return frames


def read_bmp(data: bytes) -> tuple[int, int, list[list[tuple[int, int, int]]]]:
    """Width, height and rows of 5-6-5 triples, read by the rules that MaixPy-v1 bmp.c checks."""
    assert data[:2] == b"BM"
    file_size, offset = struct.unpack_from("<I4xI", data, 2)
    header, width, height, planes, bits, compression, image_size = struct.unpack_from("<IiiHHII", data, 14)
    assert (header, planes, bits, compression) == (40, 1, 16, 3)
    assert struct.unpack_from("<III", data, 54) == (0xF800, 0x07E0, 0x001F)
    stride = (width * 2 + 3) // 4 * 4
    assert file_size == len(data) == offset + stride * abs(height)
    assert image_size == stride * abs(height)
    rows = []
    for y in range(abs(height)):
        line = height - 1 - y if height > 0 else y
        words = struct.unpack_from(f"<{width}H", data, offset + line * stride)
        rows.append([(word >> 11, word >> 5 & 63, word & 31) for word in words])
    return width, abs(height), rows


@pytest.mark.parametrize("fit", ["fit", "fill", "stretch"])
@pytest.mark.parametrize("size", [(640, 480), (300, 500), (1000, 90), (64, 64), (320, 240), (2, 200)])
def test_every_fit_is_pillows_own_rendering(fit, size, make_gradient):
    source = make_gradient(*size)
    got = opened(run(saved(source, "PNG"), fit=fit, quality=95))
    if fit == "fit":
        expected = ImageOps.pad(source, PANEL, Image.Resampling.LANCZOS)
    elif fit == "fill":
        expected = ImageOps.fit(source, PANEL, Image.Resampling.LANCZOS)
    else:
        expected = source.resize(PANEL, Image.Resampling.LANCZOS)
    assert got.size == PANEL
    assert difference(got, expected) < 2


def test_a_wrong_fit_would_be_seen(make_gradient):
    source = make_gradient(300, 500)
    got = opened(run(saved(source, "PNG"), fit="fit"))
    assert difference(got, ImageOps.fit(source, PANEL)) > 10


@pytest.mark.parametrize("quality", [1, 50, 95])
@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": "4:4:4"}, {"quality": 100}])
def test_jpeg_is_baseline_8_bit_with_plain_sampling(quality, options, make_gradient):
    data = run(saved(make_gradient(801, 601), "JPEG", **options), quality=quality)
    frames = jpeg_frames(data)
    assert frames == [(0xC0, 8, [(2, 2), (1, 1), (1, 1)])]
    assert b"Exif" not in data
    assert data.count(b"\xff\xda") == 1


def test_smaller_quality_is_smaller_file(make_gradient):
    picture = make_gradient(640, 480).effect_spread(9)
    sizes = [len(run(saved(picture, "PNG"), quality=quality)) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


@pytest.mark.parametrize("size", [(320, 240), (33, 17), (1, 1), (7, 3)])
def test_bmp_pixels_are_the_nearest_565_colours(size, make_gradient):
    source = make_gradient(*size).convert("RGB")
    width, height, rows = read_bmp(run(saved(source, "PNG"), size=size, format="bmp"))
    assert (width, height) == size
    for y in range(height):
        for x in range(width):
            red, green, blue = source.getpixel((x, y))
            want = (red * 31 + 127) // 255, (green * 63 + 127) // 255, (blue * 31 + 127) // 255
            assert rows[y][x] == want, (x, y)


def test_bmp_is_read_alike_by_pillow(make_gradient):
    source = make_gradient(50, 40)
    again = opened(run(saved(source, "PNG"), size=(50, 40), format="bmp"))
    assert difference(again, source) < 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG", "MPO", "AVIF", "HEIF"])
def test_every_format_is_read(kind, make_gradient):
    source = make_gradient(320, 240)
    got = opened(run(saved(source, kind), quality=95))
    # GIF has 256 colours, AVIF and HEIC are lossy: near is enough, a wrong channel order would be far.
    assert difference(got, source) < 6


@pytest.mark.parametrize("kind", ["JPEG2000", "TGA", "PPM", "PCX", "ICO", "QOI"])
def test_old_and_costly_formats_are_read_when_asked_for(kind, make_gradient):
    source = make_gradient(256, 256)
    options = {"sizes": [(256, 256)]} if kind == "ICO" else {}
    refused = refusal(saved(source, kind, **options).getvalue())
    assert refused.status == 415
    name = refused.remedy.rsplit(" ", 1)[1]
    got = opened(run(saved(source, kind, **options), PictureLimits(also_read=(name,)), size=(256, 256), quality=95))
    assert difference(got, source) < 6


def test_what_lies_in_a_container_is_held_to_the_same_number_of_pixels():
    """An ICO says 16x16 in its directory; the PNG inside has 169 megapixels."""
    inner = png_declaring(13000, 13000)
    ico = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    with pytest.raises(Refused) as caught:
        run(io.BytesIO(ico), PictureLimits(also_read=("ico",)))
    assert caught.value.status == 413


def test_what_a_library_says_is_not_passed_on(make_gradient):
    """Its words name functions and files of a program that the reader does not know."""
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "HEIF"):
        whole = saved(make_gradient(160, 120), kind).getvalue()
        for data in (whole[: len(whole) // 2], whole[:70], whole[:30] + bytes(len(whole) - 30)):
            try:
                run(io.BytesIO(data))
            except Refused as refused:
                told = refused.line
                assert not any(word in told.lower() for word in ("pil", "libav", "errno", "<", "0x", "plugin", "tile"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_turns_the_picture_upright(orientation, kind, make_gradient):
    upright = make_gradient(200, 120)
    stored = {
        1: lambda: upright,
        2: lambda: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda: upright.transpose(Image.Transpose.ROTATE_180),
        4: lambda: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda: upright.transpose(Image.Transpose.TRANSPOSE),
        6: lambda: upright.transpose(Image.Transpose.ROTATE_90),
        7: lambda: upright.transpose(Image.Transpose.TRANSVERSE),
        8: lambda: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]()
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = opened(run(saved(stored, kind, exif=exif), size=(200, 120), quality=95))
    assert difference(got, upright) < 4


def test_alpha_lies_over_black_or_the_chosen_background():
    source = Image.new("RGBA", (100, 100), (200, 100, 0, 128))
    over_black = opened(run(saved(source, "PNG"), size=(10, 10), quality=95)).getpixel((5, 5))
    over_white = opened(run(saved(source, "PNG"), size=(10, 10), quality=95, background=(255, 255, 255))).getpixel(
        (5, 5)
    )
    assert over_black == pytest.approx((100, 50, 0), abs=3)
    assert over_white == pytest.approx((227, 177, 127), abs=3)


def test_border_has_the_background_colour():
    got = opened(run(saved(Image.new("RGB", (100, 10), "white"), "PNG"), background=(0, 0, 200), quality=95))
    assert got.getpixel((160, 5)) == pytest.approx((0, 0, 200), abs=4)
    assert got.getpixel((160, 120)) == (255, 255, 255)


def test_palette_colour_key_grey_and_one_bit():
    palette = Image.new("RGB", (20, 20), (10, 200, 30)).quantize(4)
    assert opened(run(saved(palette, "PNG"), size=(8, 8))).getpixel((4, 4)) == pytest.approx((10, 200, 30), abs=4)
    keyed = saved(Image.new("RGB", (20, 20), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert opened(run(keyed, size=(8, 8), background=(255, 0, 0))).getpixel((4, 4)) == pytest.approx((254, 0, 0), abs=2)
    assert opened(run(saved(Image.new("1", (20, 20), 1), "PNG"), size=(8, 8))).getpixel((4, 4)) == (255, 255, 255)
    grey_alpha = saved(Image.new("LA", (20, 20), (100, 128)), "PNG")
    assert opened(run(grey_alpha, size=(8, 8))).getpixel((4, 4)) == pytest.approx((50, 50, 50), abs=2)


@pytest.mark.parametrize("grey", [0, 1000, 32768, 65535])
def test_16_bit_greys_are_scaled_not_clipped(grey):
    deep = Image.new("I;16", (40, 40), grey)
    got = opened(run(saved(deep, "PNG"), size=(8, 8))).getpixel((4, 4))
    assert got == pytest.approx((grey / 257,) * 3, abs=2)


def test_float_tiff_has_white_at_one():
    got = opened(run(saved(Image.new("F", (40, 40), 0.5), "TIFF"), size=(8, 8))).getpixel((4, 4))
    assert got == pytest.approx((128,) * 3, abs=2)


def test_cmyk_jpeg_has_the_colours_of_pillows_conversion(make_gradient):
    cmyk = make_gradient(320, 240).convert("CMYK")
    source = saved(cmyk, "JPEG", quality=95)
    expected = Image.open(io.BytesIO(source.getvalue())).convert("RGB")
    assert difference(opened(run(source, quality=95)), expected) < 3


def swapping_profile() -> bytes:
    """ICC v2 matrix profile of a device like sRGB whose red and blue lamps are swapped (linear-light gamma 2.2)."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    name = b"swapped lamps\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(12 + 67)
    tags = {
        b"desc": text + bytes(-len(text) % 4),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for kind, data in tags.items():
        table += kind + struct.pack(">II", at + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s12x4s", at + len(body), b"test", 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header += bytes(28) + number(0.9642) + number(1.0) + number(0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def test_embedded_profile_is_applied_and_a_broken_one_ignored(make_gradient):
    source = make_gradient(320, 240)
    red, green, blue = source.split()
    treated = opened(run(saved(source, "PNG", icc_profile=swapping_profile()), quality=95))
    assert difference(treated, Image.merge("RGB", (blue, green, red))) < 8
    broken = opened(run(saved(source, "PNG", icc_profile=b"no profile"), quality=95))
    assert difference(broken, source) < 3


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    source = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert opened(run(source, size=(8, 8))).getpixel((4, 4)) == pytest.approx((254, 0, 0), abs=3)


def test_big_jpeg_keeps_its_detail():
    """The decoder's own reduction must not cost sharpness that the panel could show."""
    tiles = Image.new("L", (80, 60))
    tiles.putdata([255 * ((x + y) % 2) for y in range(60) for x in range(80)])
    big = tiles.resize((4000, 3000), Image.Resampling.NEAREST).convert("RGB")
    got = opened(run(saved(big, "JPEG"), quality=95))
    assert difference(got, big.resize(PANEL, Image.Resampling.LANCZOS)) < 4


def refusal(data: bytes, limits: PictureLimits | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        run(io.BytesIO(data), limits)
    assert "\n" not in caught.value.line
    return caught.value


def test_truncated_pictures_are_damaged(make_gradient):
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"):
        data = saved(make_gradient(320, 240), kind).getvalue()
        found = refusal(data[: len(data) * 2 // 3])
        assert (found.status, found.code) in [(422, "damaged-picture"), (422, "not-a-picture")], kind


def test_what_is_no_picture():
    for data in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\x00" * 5000, b"GIF89a"):
        assert refusal(data).status == 422


def png_declaring(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [4_000, 20_000, 100_000])
def test_bombs_are_refused_before_decoding(side):
    found = refusal(png_declaring(side, side), PictureLimits(max_pixels=10_000_000))
    assert (found.status, found.code) == (413, "too-many-pixels")
    assert "megapixels" in found.remedy


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"size": "320"}, "bad-size"),
        ({"size": "0x5"}, "bad-size"),
        ({"size": "-1x5"}, "bad-size"),
        ({"size": "99999x5"}, "bad-size"),
        ({"size": "9" * 5000 + "x5"}, "bad-size"),
        ({"size": "²x³"}, "bad-size"),
        ({"size": "3x2", "fit": "cover"}, "bad-fit"),
        ({"size": "3x2", "format": "png"}, "bad-format"),
        ({"size": "3x2", "quality": "0"}, "bad-quality"),
        ({"size": "3x2", "quality": "96"}, "bad-quality"),
        ({"size": "3x2", "background": "rgb(" * 50}, "bad-background"),
        ({"quality": "5"}, "bad-quality"),
    ],
)
def test_bad_wishes_are_named(query, code):
    with pytest.raises(Refused) as caught:
        Rendition.parse(query, None)
    assert (caught.value.status, caught.value.code) == (400, code)
    assert len(caught.value.line) < 200


def test_wishes_are_understood():
    assert Rendition.parse({}, None) is None
    assert Rendition.parse({}, (320, 240)) == Rendition(320, 240)
    assert Rendition.parse({"size": "240X135", "format": "jpg", "background": "ff8000"}, None) == Rendition(
        240, 135, background=(255, 128, 0)
    )
    wish = Rendition.parse({"size": "1x2", "fit": "fill", "format": "bmp", "quality": "7"}, None)
    assert wish == Rendition(1, 2, "fill", "bmp")
