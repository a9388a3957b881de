"""Methods of pictures: `image.Image` objects of device code (MaixPy-v1 `py_image.c`, all builds)."""

from __future__ import annotations

import math
from typing import Any

from PIL import Image as Pil
from PIL import ImageDraw

from virtualboard.hosted import font, shrink
from virtualboard.hosted.errors import DeviceOSError
from virtualboard.hosted.image import (
    GREYSCALE,
    JPEG,
    RGB565,
    Image,
    encode_bmp,
    encode_jpeg,
    pixel_tuple,
    pixel_value,
    write_file,
)

_WHITE = (255, 255, 255)


def _numbers(args: tuple[Any, ...], count: int) -> tuple[list[int], tuple[Any, ...]]:
    """The first `count` numbers, given one by one or as a tuple, and the arguments after them."""
    if args and isinstance(args[0], (tuple, list)):
        return [int(value) for value in args[0]], args[1:]
    if len(args) < count:
        raise TypeError("function missing required positional arguments")
    return [int(value) for value in args[:count]], args[count:]


def _nearest(picture: Pil.Image, wide: int, high: int, x_scale: float, y_scale: float) -> Pil.Image:
    """Scale as `imlib` does: pixel (x, y) comes from (x / x_scale, y / y_scale), cut to integers."""
    # Pillow asks for the place of a pixel's middle; the rest of the offset keeps whole numbers from falling short.
    x_step, y_step = 1 / x_scale, 1 / y_scale
    matrix = (x_step, 0, 1e-6 - x_step / 2, 0, y_step, 1e-6 - y_step / 2)
    return picture.transform((wide, high), Pil.Transform.AFFINE, matrix, Pil.Resampling.NEAREST)


class DeviceImage(Image):
    """What device code can do with a picture."""

    def _call(self, pixels: int = 0) -> None:
        costs = self.chip.costs
        self.chip.charge(costs.call + pixels * costs.pixel)

    def __repr__(self) -> str:
        kind = {RGB565: "rgb565", GREYSCALE: "grayscale", JPEG: "jpeg"}[self.bpp]
        return f'{{"w":{self.w}, "h":{self.h}, "type":"{kind}", "size":{len(self.data)}}}'

    # -- questions ----------------------------------------------------------------------------------------

    def width(self) -> int:
        self._call()
        return self.w

    def height(self) -> int:
        self._call()
        return self.h

    def format(self) -> int:
        self._call()
        return self.bpp

    def size(self) -> int:
        self._call()
        return len(self.data)

    def get_pixel(self, *args: Any, rgbtuple: bool = True) -> Any:
        self._call()
        self.check_mutable()
        (x, y), _ = _numbers(args, 2)
        if not (0 <= x < self.w and 0 <= y < self.h):
            return None
        if self.bpp == GREYSCALE:
            return self.data[y * self.w + x]
        i = 2 * (y * self.w + x)
        return pixel_tuple(self.data[i], self.data[i + 1])

    def set_pixel(self, *args: Any) -> DeviceImage:
        self._call()
        self.check_mutable()
        (x, y), rest = _numbers(args, 2)
        if 0 <= x < self.w and 0 <= y < self.h:
            value = pixel_value(self, rest[0] if rest else _WHITE)
            i = len(value) * (y * self.w + x)
            self.data[i : i + len(value)] = value
        return self

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            first, last, _ = index.indices(self.w * self.h)
            return [self[i] for i in range(first, last)]
        if self.bpp == JPEG:
            return self.data[index]
        if not 0 <= index < self.w * self.h:
            raise IndexError("index out of range")
        return self.get_pixel(index % self.w, index // self.w)

    # -- the whole picture --------------------------------------------------------------------------------

    def to_bytes(self) -> bytearray:
        """The pixel memory itself, not a copy."""
        self._call()
        return self.data

    def clear(self) -> DeviceImage:
        self._call(self.w * self.h // 4)
        self.check_mutable()
        self.data[:] = bytes(len(self.data))
        return self

    def copy(self, roi: Any = None, x_scale: float = 1.0, y_scale: float = 1.0, copy_to_fb: bool = False) -> Image:
        return self._scaled(roi, x_scale, y_scale)

    def crop(self, roi: Any = None, x_scale: float = 1.0, y_scale: float = 1.0, copy: bool = False) -> Image:
        made = self._scaled(roi, x_scale, y_scale)
        if copy:
            return made
        self.w, self.h = made.w, made.h
        self.data = made.data
        return self

    def _scaled(self, roi: Any, x_scale: float, y_scale: float) -> Image:
        if self.bpp == JPEG:
            self._call(len(self.data) // 4)
            return type(self).blank(self.w, self.h, JPEG, bytearray(self.data))
        self.check_mutable()
        x, y, w, h = roi if roi is not None else (0, 0, self.w, self.h)
        x2, y2 = min(x + w, self.w), min(y + h, self.h)
        x, y = max(0, x), max(0, y)
        if x >= x2 or y >= y2:
            raise DeviceOSError("Invalid ROI dimensions!")
        w, h = x2 - x, y2 - y
        wide, high = int(w * x_scale), int(h * y_scale)
        if wide < 1 or high < 1:
            raise DeviceOSError("Invalid scale!")
        self._call(wide * high)
        made = type(self).blank(wide, high, self.bpp)
        if (wide, high) == (w, h):
            made.data[:] = self.region(x, y, w, h)
        else:
            made.store(_nearest(self.pil().crop((x, y, x2, y2)), wide, high, x_scale, y_scale))
        return made

    def resize(self, w: int, h: int, /) -> Image:
        self.check_mutable()
        self._call(w * h * 4)
        made = type(self).blank(w, h, self.bpp)
        if self.bpp == RGB565 and (self.w >= w or self.h > h):
            made.data[:] = shrink.colours(bytes(self.data), (self.w, self.h), (w, h))
        elif self.bpp == GREYSCALE and self.w > w and self.h > h:
            made.data[:] = shrink.greys(bytes(self.data), (self.w, self.h), (w, h))
        else:
            made.store(self.pil().resize((w, h), Pil.Resampling.BILINEAR))
        return made

    def cut(self, x: int, y: int, w: int, h: int, /) -> Image:
        """A new picture; what lies outside this one stays black."""
        self.check_mutable()
        self._call(w * h)
        made = type(self).blank(w, h, self.bpp)
        made.store(self.pil().crop((x, y, x + w, y + h)))
        return made

    def to_grayscale(self, copy: bool = False, **ignored: Any) -> Image:
        return self._converted(GREYSCALE, copy)

    def to_rgb565(self, copy: bool = False, **ignored: Any) -> Image:
        return self._converted(RGB565, copy)

    def _converted(self, bpp: int, copy: bool) -> Image:
        self.check_mutable()
        self._call(self.w * self.h)
        if bpp == self.bpp and not copy:
            return self
        made = type(self).blank(self.w, self.h, bpp, in_heap=copy)
        if bpp == GREYSCALE and self.bpp == RGB565:
            red, green, blue = self.pil().split()
            weighed = Pil.merge("RGB", (red, green, blue)).convert("L", matrix=(38 / 128, 75 / 128, 15 / 128, 0))
            made.data[:] = weighed.tobytes()
        else:
            made.store(self.pil())
        if copy:
            return made
        if len(made.data) > len(self.data):
            raise DeviceOSError("Can't convert to rgb565 in place!")
        self.bpp, self.data = bpp, made.data
        return self

    # -- files and JPEG -----------------------------------------------------------------------------------

    def save(self, path: str, roi: Any = None, quality: int = 50) -> DeviceImage:
        """By extension; an unknown one silently writes nothing."""
        self._call()
        extension = path.rpartition(".")[2].lower() if "." in path else ""
        if extension == "bmp":
            self.check_mutable()
            x, y, w, h = roi if roi is not None else (0, 0, self.w, self.h)
            w, h = min(w, self.w - x), min(h, self.h - y)
            write_file(self.volumes, path, encode_bmp(self, (x, y, w, h)))
        elif extension in ("jpg", "jpeg"):
            data = bytes(self.data) if self.bpp == JPEG else encode_jpeg(self, quality)
            write_file(self.volumes, path, data)
        return self

    def compress(self, quality: int = 50) -> DeviceImage:
        """Turn into a JPEG in the same memory."""
        self._call()
        if self.bpp == JPEG:
            return self
        self.check_mutable()
        data = encode_jpeg(self, quality)
        if len(data) > len(self.data):
            raise DeviceOSError("Can't compress in place!")
        self.bpp, self.data = JPEG, bytearray(data)
        return self

    def compressed(self, quality: int = 50) -> Image:
        """A new JPEG picture."""
        self._call()
        if self.bpp == JPEG:
            return self._scaled(None, 1, 1)
        self.check_mutable()
        return type(self).blank(self.w, self.h, JPEG, bytearray(encode_jpeg(self, quality)))

    compress_for_ide = compress
    compressed_for_ide = compressed

    # -- drawing ------------------------------------------------------------------------------------------

    def _canvas(self) -> tuple[Pil.Image, ImageDraw.ImageDraw]:
        self.check_mutable()
        picture = self.pil()
        return picture, ImageDraw.Draw(picture)

    def draw_string(self, *args: Any, **options: Any) -> DeviceImage:
        (x, y), rest = _numbers(args, 2)
        names = ("text", "color", "scale", "x_spacing", "y_spacing", "mono_space")
        given = dict(zip(names, rest, strict=False)) | options
        picture, draw = self._canvas()
        touched = font.draw_text(
            draw,
            x,
            y,
            str(given["text"]),
            self.fill_value(given.get("color", _WHITE)),
            float(given.get("scale", 1)),
            int(given.get("x_spacing", 0)),
            int(given.get("y_spacing", 2)),
            bool(given.get("mono_space", False)),
        )
        self._call(touched)
        self.store(picture)
        return self

    def draw_line(self, *args: Any, color: Any = _WHITE, thickness: int = 1) -> DeviceImage:
        numbers, rest = _numbers(args, 4)
        colour, thickness = (*rest, *(color, thickness)[len(rest) :])[:2]
        picture, draw = self._canvas()
        draw.line(numbers, fill=self.fill_value(colour), width=thickness)
        self._call(max(abs(numbers[2] - numbers[0]), abs(numbers[3] - numbers[1])) * thickness)
        self.store(picture)
        return self

    def draw_rectangle(self, *args: Any, color: Any = _WHITE, thickness: int = 1, fill: bool = False) -> DeviceImage:
        (x, y, w, h), rest = _numbers(args, 4)
        colour, thickness, fill = (*rest, *(color, thickness, fill)[len(rest) :])[:3]
        picture, draw = self._canvas()
        if w > 0 and h > 0:
            value = self.fill_value(colour)
            box = (x, y, x + w - 1, y + h - 1)
            draw.rectangle(box, fill=value if fill else None, outline=value, width=max(1, thickness))
        self._call(w * h if fill else 2 * (w + h) * thickness)
        self.store(picture)
        return self

    def draw_circle(self, *args: Any, color: Any = _WHITE, thickness: int = 1, fill: bool = False) -> DeviceImage:
        (x, y, radius), rest = _numbers(args, 3)
        colour, thickness, fill = (*rest, *(color, thickness, fill)[len(rest) :])[:3]
        picture, draw = self._canvas()
        value = self.fill_value(colour)
        if fill:
            # All points within the radius (MaixPy-v1 omv draw.c); Pillow's ellipse has another edge.
            for row in range(-radius, radius + 1):
                half = math.isqrt(radius * radius - row * row)
                draw.line((x - half, y + row, x + half, y + row), fill=value)
        else:
            box = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(box, outline=value, width=max(1, thickness))
        self._call(4 * radius * radius if fill else 8 * radius * thickness)
        self.store(picture)
        return self

    def draw_cross(self, *args: Any, color: Any = _WHITE, size: int = 5, thickness: int = 1) -> DeviceImage:
        (x, y), rest = _numbers(args, 2)
        colour, size, thickness = (*rest, *(color, size, thickness)[len(rest) :])[:3]
        self.draw_line(x - size, y, x + size, y, color=colour, thickness=thickness)
        return self.draw_line(x, y - size, x, y + size, color=colour, thickness=thickness)

    def draw_image(self, img: Image, *args: Any, **options: Any) -> DeviceImage:
        (x, y), rest = _numbers(args, 2)
        names = ("x_scale", "y_scale", "alpha")
        given = dict(zip(names, rest, strict=False)) | options
        img.check_mutable()
        other = img.pil()
        scale = (float(given.get("x_scale", 1)), float(given.get("y_scale", 1)))
        if scale != (1.0, 1.0):
            wide, high = max(1, int(img.w * scale[0])), max(1, int(img.h * scale[1]))
            other = _nearest(other, wide, high, *scale)
        picture, _ = self._canvas()
        alpha = int(given.get("alpha", 256))
        if alpha >= 256:
            picture.paste(other.convert(picture.mode), (x, y))
        else:
            mask = Pil.new("L", other.size, max(0, alpha * 255 // 256))
            picture.paste(other.convert(picture.mode), (x, y), mask)
        self._call(other.width * other.height)
        self.store(picture)
        return self
