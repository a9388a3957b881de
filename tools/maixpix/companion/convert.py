"""Any picture in, exactly what a MaixPy panel can show out.

MaixPy v1 decodes baseline JPEG of 8 bits with sampling factors up to 2x2 (MaixPy-v1 picojpeg.c) and 16-bit BMP with
bit fields (MaixPy-v1 bmp.c, which also refuses a file-size field of 0). Everything given out here is one of the two.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from PIL import AvifImagePlugin, Image, ImageChops, ImageCms, ImageColor, UnidentifiedImageError

from maixpix.companion.problems import Refused
from maixpix.companion.settings import MAX_SIDE, PictureLimits
from maixpix.companion.sniff import HEAD_BYTES, MORE_FORMATS, name_of, picture_format

FITS = ("fit", "fill", "stretch")
FORMATS = {"jpeg": "image/jpeg", "bmp": "image/bmp"}
DEFAULT_QUALITY = 85

_END_IS_MISSING = "its end is missing"

_REASONS = (
    (("truncated", "end of file", "eof", "not enough", "premature", "incomplete"), _END_IS_MISSING),
    (("broken data stream", "corrupt", "bad huffman", "invalid", "checksum", "crc", "damaged"), "its data are broken"),
    (("unsupported", "not supported", "unknown", "cannot handle"), "it is of a rare kind that is not read"),
)
"""Words of Pillow and the libraries below it, and what they come to."""

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Rendition:
    """How a picture is wanted: size in pixels, fit, format, JPEG quality 1..95, RGB background."""

    width: int
    height: int
    fit: str = "fit"
    format: str = "jpeg"
    quality: int = DEFAULT_QUALITY
    background: tuple[int, int, int] = (0, 0, 0)

    @property
    def media_type(self) -> str:
        return FORMATS[self.format]

    @property
    def key(self) -> str:
        """Same key, same rendition; changes with the way of converting too."""
        return f"v1 {self.width}x{self.height} {self.fit} {self.format} {self.quality} {self.background}"

    @classmethod
    def parse(cls, query: Mapping[str, str], default_size: tuple[int, int] | None) -> Rendition | None:
        """The rendition that a query asks for, or None for the file as it is; raises `Refused` (400)."""
        size = default_size
        if "size" in query:
            width, cross, height = query["size"].lower().partition("x")
            # isascii, because int() takes digits of every script.
            if not (cross and (width + height).isascii() and width.isdigit() and height.isdigit()):
                raise _bad("size", query["size"], "write it as 320x240")
            if len(width) > 5 or len(height) > 5 or not (1 <= int(width) <= MAX_SIDE and 1 <= int(height) <= MAX_SIDE):
                raise _bad("size", query["size"], f"sides go from 1 to {MAX_SIDE} pixels")
            size = int(width), int(height)
        if size is None:
            for name in ("fit", "format", "quality", "background"):
                if name in query:
                    raise _bad(name, query[name], "name a size as well, such as size=320x240")
            return None
        fit = query.get("fit", "fit")
        if fit not in FITS:
            raise _bad("fit", fit, "use one of " + ", ".join(FITS))
        kind = query.get("format", "jpeg").lower()
        kind = "jpeg" if kind == "jpg" else kind
        if kind not in FORMATS:
            raise _bad("format", kind, "use one of " + ", ".join(FORMATS))
        quality = query.get("quality", str(DEFAULT_QUALITY))
        if not (quality.isascii() and quality.isdigit() and len(quality) < 4 and 1 <= int(quality) <= 95):
            raise _bad("quality", quality, "use a number from 1 to 95")
        # A BMP has no quality: one cache entry for all of them.
        level = int(quality) if kind == "jpeg" else DEFAULT_QUALITY
        return cls(*size, fit, kind, level, _colour(query.get("background", "black")))


def convert(source: BinaryIO, rendition: Rendition, limits: PictureLimits) -> bytes:
    """The picture of the open file as `rendition`; which decoder gets it is decided by its first bytes.

    Of the limits `max_pixels` and `also_read` count here. Raises `Refused`: 413 too big, 415 a format that is off,
    422 damaged or no picture.
    """
    max_pixels, also = limits.max_pixels, limits.also_read
    head = source.read(HEAD_BYTES)
    source.seek(0)
    refused = why_not(head, also)
    if refused is not None:
        raise refused
    try:
        picture = _open(source, picture_format(head, also), max_pixels)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_big("it declares far more pixels than any photograph", max_pixels) from None
    except UnidentifiedImageError:
        raise _damaged("its header cannot be read") from None
    except MemoryError:
        raise _too_big("it does not fit into memory", max_pixels) from None
    except Exception as error:
        raise _damaged(_reason(error)) from error
    with picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise _too_big(f"it declares {width}x{height} pixels", max_pixels)
        # A bigger rendition takes more memory, and a library out of memory calls the picture broken: little of what
        # goes wrong from here on can be said of the picture for good.
        try:
            with _held_to(max_pixels):
                return _encode(_render(picture, rendition), rendition)
        except MemoryError:
            cause = f"{width}x{height} pixels do not fit into memory"
            raise _too_big(cause, max_pixels, is_once=True) from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            cause = "it unpacks to far more than any photograph"
            raise _too_big(cause, max_pixels, is_once=True) from None
        except Exception as error:
            reason = _reason(error)
            raise _damaged(reason, is_once=reason != _END_IS_MISSING) from error


def why_not(head: bytes, also: Collection[str] = ()) -> Refused | None:
    """Why a file that begins with `head` is not even tried; None when it is."""
    if picture_format(head, also) is not None:
        return None
    if (name := name_of(head)) in MORE_FORMATS:
        return Refused(
            415, "format-off", f"{MORE_FORMATS[name].title} pictures are not read unasked",
            f"start the companion with --also-read {name}",
        )  # fmt: skip
    return Refused(422, "not-a-picture", "this file is no picture that can be read", "check the file")


@contextlib.contextmanager
def _held_to(max_pixels: int) -> Iterator[None]:
    """What lies inside of a container (a PNG in an ICO, further frames) is held to the same number, by Pillow."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _open(source: BinaryIO, kind: str | None, max_pixels: int) -> Image.Image:
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1
        pillow_heif.register_heif_opener()
    elif kind == "AVIF":
        # Each thread would take a stack out of the memory that the picture may have.
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    elif kind == "ICO":
        with _held_to(max_pixels):  # Pillow decodes it already when it opens it
            return Image.open(source, formats=[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(source, formats=[str(kind)])


def _render(picture: Image.Image, rendition: Rendition) -> Image.Image:
    """RGB picture of exactly the wanted size."""
    # A JPEG decoder can leave out detail that is never shown: much faster, and far less memory.
    longest = 2 * max(rendition.width, rendition.height)
    picture.draft(None, (longest, longest))
    picture.load()
    profile = picture.info.get("icc_profile")
    image = _upright(_eight_bit(picture))
    image = _to_srgb(_resize(image, rendition), profile)
    canvas = Image.new("RGB", (rendition.width, rendition.height), rendition.background)
    corner = round((rendition.width - image.width) / 2), round((rendition.height - image.height) / 2)
    canvas.paste(image, corner, image.getchannel("A") if image.mode == "RGBA" else None)
    return canvas


def _eight_bit(image: Image.Image) -> Image.Image:
    """The picture as L, RGB, RGBA or CMYK."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        wide = image.convert("F")
        low, high = (float(edge) for edge in wide.getextrema())
        # 16-bit greys use the whole range of the type; wider types carry no range, so their brightest value is white.
        white = 65535.0 if image.mode != "F" and low >= 0 and 255 < high <= 65535 else high
        if image.mode.startswith("I;16"):
            white = 65535.0
        elif image.mode == "F" and high <= 1:
            white = 1.0
        elif high <= 255:
            white = 255.0
        scale = 255 / white
        return wide.point(lambda value: value * scale + 0.5).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  damaged EXIF raises anything; the picture itself is good
        turn = None
    return image if turn is None else image.transpose(turn)


def _resize(image: Image.Image, rendition: Rendition) -> Image.Image:
    box = (0.0, 0.0, float(image.width), float(image.height))
    target = rendition.width, rendition.height
    wide, high = image.width * target[1], image.height * target[0]
    if rendition.fit == "fit":
        if wide > high:
            target = target[0], max(1, round(image.height * target[0] / image.width))
        else:
            target = max(1, round(image.width * target[1] / image.height)), target[1]
    elif rendition.fit == "fill":
        if wide > high:
            margin = (image.width - image.height * target[0] / target[1]) / 2
            box = (margin, 0.0, image.width - margin, float(image.height))
        else:
            margin = (image.height - image.width * target[1] / target[0]) / 2
            box = (0.0, margin, float(image.width), image.height - margin)
    if target == image.size and box == (0.0, 0.0, *map(float, image.size)):
        return image
    return image.resize(target, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB or RGBA in the colours that panels expect, by the embedded profile where one is usable."""
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                image = converted if converted is not None else image
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            # A broken or unfitting profile costs a shade of colour, never the picture.
            return image.convert("RGB")
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGB")


def _encode(image: Image.Image, rendition: Rendition) -> bytes:
    if rendition.format == "bmp":
        return _bmp565(image)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=rendition.quality, optimize=True, progressive=False, subsampling="4:2:0")
    return out.getvalue()


def _bmp565(image: Image.Image) -> bytes:
    """BITMAPINFOHEADER with BI_BITFIELDS 565, 16 bits a pixel, bottom row first, rows padded to 4 bytes."""
    width, height = image.size
    red, green, blue = image.split()
    # Rounded, not cut: cutting makes every picture darker by half a step.
    red = red.point([(value * 31 + 127) // 255 << 3 for value in range(256)])
    green = green.point([(value * 63 + 127) // 255 for value in range(256)])
    blue = blue.point([(value * 31 + 127) // 255 for value in range(256)])
    high = ImageChops.add(red, green.point([(value & 63) >> 3 for value in range(256)]))
    low = ImageChops.add(green.point([(value & 7) << 5 for value in range(256)]), blue)
    padded = width + width % 2
    rows = Image.new("LA", (padded, height))
    rows.paste(Image.merge("LA", (low, high)).transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    pixels = rows.tobytes()
    offset = 14 + 40 + 12
    return (
        struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 3, len(pixels), 2835, 2835, 0, 0)
        + struct.pack("<III", 0xF800, 0x07E0, 0x001F)
        + pixels
    )


def _colour(text: str) -> tuple[int, int, int]:
    try:
        # Hexadecimal digits without a number sign spare the caller its escaping in a URL.
        bare = len(text) in (3, 6) and all(digit in "0123456789abcdefABCDEF" for digit in text)
        colour = ImageColor.getrgb("#" + text if bare else text[:40])[:3]
    except (ValueError, OverflowError):
        raise _bad("background", text, "use a colour name or six hexadecimal digits") from None
    # Pillow takes rgb(300, -1, 7) for a colour until it is used.
    if not all(0 <= level <= 255 for level in colour):
        raise _bad("background", text, "levels go from 0 to 255")
    return colour


def _bad(name: str, value: str, remedy: str) -> Refused:
    shown = value if len(value) <= 40 else value[:37] + "..."
    return Refused(400, "bad-" + name, f"{name}={shown!r} is not understood", remedy)


def _too_big(cause: str, max_pixels: int, is_once: bool = False) -> Refused:
    remedy = f"scale it below {max_pixels // 1_000_000} megapixels first"
    return Refused(413, "too-many-pixels", f"the picture is refused: {cause}", remedy, is_once=is_once)


def _damaged(reason: str, is_once: bool = False) -> Refused:
    cause = f"the picture is damaged: {reason}"
    return Refused(422, "damaged-picture", cause, "copy or export it again", is_once=is_once)


def _reason(error: Exception) -> str:
    """Why decoding failed, in words of ours: the libraries' own name their functions and files."""
    text = str(error).lower()
    for words, told in _REASONS:
        if any(word in text for word in words):
            return told
    return "it cannot be decoded"
