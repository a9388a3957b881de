"""`Image`: pictures in the GC heap, one contiguous block each.

Source: MaixPy-v1 `py_image.c`, `imlib.c`, `xalloc.c`. Pixel memory is RGB565 with the high byte first, or one byte of
grey; a compressed picture holds its JPEG file. The vision functions of full builds are not here.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL import Image as Pil

from virtualboard.hosted.chip import Chip
from virtualboard.hosted.errors import Crash, DeviceOSError
from virtualboard.hosted.pixels import colour_bytes, colour_rgb, from_rgb565, to_rgb565
from virtualboard.hosted.vfs import Volumes

if TYPE_CHECKING:
    pass

RGB565, GREYSCALE, JPEG = 2, 4, 5
"""Values of `sensor.RGB565` and so on, which `Image.format()` gives."""

_NO_HEAP = (
    "Out of normal MicroPython Heap Memory! "
    "Please reduce the resolution of the image you are running this algorithm on to bypass this issue!"
)
_SCRATCH = 300 * 1024  # bytes that JPEG encoding takes from the C heap in minimum builds


class Image:
    """A picture of `w` x `h`; what device code gets from `image.Image(...)` has `DeviceImage`'s methods too."""

    chip: Chip
    volumes: Volumes

    w: int
    h: int
    bpp: int
    data: bytearray

    @classmethod
    def blank(cls, w: int, h: int, bpp: int, data: bytearray | None = None, in_heap: bool = True) -> Image:
        """A picture with its own block of the heap; MemoryError with the firmware's text when none is free."""
        img = cls.__new__(cls)
        img.w, img.h, img.bpp = w, h, bpp
        size = len(data) if bpp == JPEG and data is not None else w * h * (2 if bpp == RGB565 else 1)
        if in_heap and not cls.chip.heap.own(img, size):
            raise MemoryError(_NO_HEAP)
        img.data = bytearray(size) if data is None else data
        return img

    def __device_buffer__(self) -> bytearray:
        return self.data

    # -- for the other modules ----------------------------------------------------------------------------

    def pil(self) -> Pil.Image:
        """The picture as Pillow's (RGB or L)."""
        if self.bpp == JPEG:
            return Pil.open(io.BytesIO(bytes(self.data))).convert("RGB")
        if self.bpp == GREYSCALE:
            return Pil.frombytes("L", (self.w, self.h), bytes(self.data))
        return from_rgb565(self.data, (self.w, self.h))

    def store(self, picture: Pil.Image) -> None:
        """Take Pillow's pixels into this picture's memory (same size)."""
        self.data[:] = picture.convert("L").tobytes() if self.bpp == GREYSCALE else to_rgb565(picture)

    def region(self, x: int, y: int, w: int, h: int) -> bytes:
        """Pixel bytes of a rectangle that lies inside."""
        unit = 1 if self.bpp == GREYSCALE else 2
        if (x, w) == (0, self.w):
            return bytes(self.data[y * w * unit : (y + h) * w * unit])
        stride = self.w * unit
        start = y * stride + x * unit
        return b"".join(self.data[start + row * stride : start + row * stride + w * unit] for row in range(h))

    def fill_value(self, colour: Any) -> Any:
        """A MaixPy colour as Pillow wants it for this picture."""
        if self.bpp == GREYSCALE:
            if isinstance(colour, int):
                return colour & 0xFF
            red, green, blue = colour
            return (red * 38 + green * 75 + blue * 15) >> 7
        return colour_rgb(colour)

    def check_mutable(self) -> None:
        """Raise what the firmware raises for a compressed or unusable picture."""
        if self.bpp == JPEG:
            raise DeviceOSError("Image format is not supported.")
        if self.w == 0:
            self.chip.console("core dump: load access fault\r\n")
            self.chip.halt(Crash())
            self.chip.check()


def encode_jpeg(img: Image, quality: int) -> bytes:
    """The JPEG that `compress`, `compressed` and `save` make; subsampling by quality as `jpeg.c` chooses it."""
    if not 1 <= quality <= 100:
        raise DeviceOSError("Error: 1 <= quality <= 100!")
    chip = img.chip
    if chip.c_heap_free < _SCRATCH:
        raise MemoryError("Out of Memory!")
    chip.charge(img.w * img.h * chip.costs.jpeg_encode_pixel)
    out = io.BytesIO()
    subsampling = 0 if quality >= 60 else 1 if quality >= 36 else 2
    picture = img.pil()
    if picture.mode == "L":
        picture.save(out, "JPEG", quality=quality)
    else:
        picture.save(out, "JPEG", quality=quality, subsampling=subsampling)
    chip.sync()
    return out.getvalue()


def encode_bmp(img: Image, box: tuple[int, int, int, int]) -> bytes:
    """The BMP that `save` writes: top-down, 8-bit grey with a palette, or 16-bit with the masks of RGB565."""
    x, y, w, h = box
    grey = img.bpp == GREYSCALE
    unit = 1 if grey else 2
    row_bytes = (w * unit * 8 + 31) // 32 * 4
    colours = b"".join(bytes((i, i, i, 0)) for i in range(256)) if grey else b""
    masks = b"" if grey else b"".join(m.to_bytes(4, "little") for m in (0xF800, 0x07E0, 0x001F))
    offset = 54 + len(colours) + len(masks)
    head = b"BM" + (offset + row_bytes * h).to_bytes(4, "little") + bytes(4) + offset.to_bytes(4, "little")
    info = (40).to_bytes(4, "little") + w.to_bytes(4, "little") + (-h).to_bytes(4, "little", signed=True)
    info += (1).to_bytes(2, "little") + (8 * unit).to_bytes(2, "little") + (0 if grey else 3).to_bytes(4, "little")
    info += (row_bytes * h).to_bytes(4, "little") + bytes(16)
    rows = []
    for row in range(h):
        pixels = bytearray(img.region(x, y + row, w, 1))
        if not grey:
            pixels[0::2], pixels[1::2] = pixels[1::2], pixels[0::2]
        rows.append(bytes(pixels).ljust(row_bytes, b"\0"))
    return head + info + colours + masks + b"".join(rows)


def write_file(volumes: Volumes, path: str, data: bytes) -> None:
    """Write a whole file as the picture writers do."""
    from virtualboard.hosted.files import open_file

    f = open_file(volumes, path, "wb")
    try:
        f.write(data)
    finally:
        f.close()


def pixel_value(img: Image, colour: Any) -> bytes:
    """Bytes of one pixel of this picture's format."""
    if img.bpp == GREYSCALE:
        return bytes((img.fill_value(colour),))
    return colour_bytes(colour)


def pixel_tuple(high: int, low: int) -> tuple[int, int, int]:
    """(r, g, b) of a stored pixel."""
    return colour_rgb(low << 8 | high)
