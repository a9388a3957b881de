"""`image`: what the constructor makes of its arguments, and the module's functions.

Source: MaixPy-v1 `py_image.c`, `imlib.c`.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from virtualboard.hosted import image_bmp, image_jpeg, image_scan
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.errors import DeviceOSError
from virtualboard.hosted.image import GREYSCALE, RGB565, Image
from virtualboard.hosted.image_draw import DeviceImage
from virtualboard.hosted.stdlib import make_module, timed
from virtualboard.hosted.vfs import Volumes

if TYPE_CHECKING:
    from virtualboard.hosted.sensor import Sensor


class Loader:
    """`image.Image(...)`."""

    def __init__(
        self, chip: Chip, volumes: Volumes, sensor: Sensor, kind: type[Image], decoder: image_jpeg.Decoder
    ) -> None:
        self._chip = chip
        self._volumes = volumes
        self._sensor = sensor
        self._kind = kind
        self._decoder = decoder

    def make(self, *args: Any, **options: Any) -> Image:
        """The constructor: a path, a JPEG's bytes, a file, or nothing for a blank picture."""
        chip = self._chip
        chip.charge(chip.costs.call)
        if len(args) > 1:
            raise TypeError("function does not take that many arguments")
        copy_to_fb = bool(options.get("copy_to_fb", False))
        size = options.get("size")
        if not args or size is not None:
            w, h = size if size is not None else (320, 240)
            chip.charge(w * h // 4)
            if copy_to_fb:
                return self._sensor.adopt(w, h, RGB565, None)
            return self._kind.blank(w, h, RGB565)
        source = args[0]
        if isinstance(source, (str, bytes)):
            if options.get("from_bytes", False):
                return self._jpeg(source.encode() if isinstance(source, str) else source, copy_to_fb, quiet=True)
            return self._path(source if isinstance(source, str) else source.decode(), copy_to_fb)
        if not hasattr(source, "read"):
            raise TypeError("object with buffer protocol required")
        data = source.read()
        if data[:2] == b"BM":
            raise DeviceOSError("Not support")
        if data[:2] != b"\xff\xd8":
            raise ValueError("format not supported")
        return self._jpeg(data, copy_to_fb)

    def _path(self, path: str, copy_to_fb: bool) -> Image:
        volume = path
        try:
            self._volumes.lookup(volume)
        except DeviceOSError:
            raise DeviceOSError(2) from None
        data = self._volumes.read_bytes(path)
        if data[:2] == b"BM":
            img = self._bmp(data, copy_to_fb)
        elif data[:2] == b"\xff\xd8":
            img = self._jpeg(data, copy_to_fb)
        else:
            raise ValueError("format not supported")
        _check_extension(path, img)
        return img

    def _bmp(self, data: bytes, copy_to_fb: bool) -> Image:
        chip = self._chip
        header = image_bmp.bmp_header(data)
        img = self._place(header.width, header.height, header.bpp, copy_to_fb)
        size = header.row_bytes * header.height
        chip.charge(size * (chip.costs.bmp_fast_byte if header.fast else chip.costs.bmp_byte))
        img.data[:] = image_bmp.bmp_pixels(header, data)
        chip.sync()
        return img

    def _jpeg(self, data: bytes, copy_to_fb: bool, quiet: bool = False) -> Image:
        chip = self._chip
        if quiet and data[:2] != b"\xff\xd8":
            raise ValueError("format not supported")
        try:
            frame = self._decoder.read_header(data)
        except image_jpeg.Refused as refused:
            chip.console(f"pjpeg_decode_init() failed with status {refused.status}\r\n")
            if refused.status == image_jpeg.UNSUPPORTED_MODE:
                chip.console("Progressive JPEG files are not supported.\r\n")
            return self._unusable()
        img = self._place(frame.width, frame.height, GREYSCALE if frame.grey else RGB565, copy_to_fb)
        chip.charge(frame.width * frame.height * chip.costs.jpeg_pixel)
        try:
            img.data[:] = self._decoder.read_pixels(frame)
        except image_scan.BadScan as bad:
            chip.console(f"pjpeg_decode_mcu() failed with status {bad.status}\r\n")
            unusable = self._unusable()
            if not quiet:
                raise DeviceOSError(1) from None
            return unusable
        chip.sync()
        return img

    def _unusable(self) -> Image:
        """What the firmware returns, without any exception, for a JPEG whose header it refuses."""
        self._chip.console("Failed loading source image!\r\n")
        return self._kind.blank(0, 0, RGB565, bytearray(), in_heap=False)

    def _place(self, width: int, height: int, bpp: int, copy_to_fb: bool) -> Image:
        if copy_to_fb:
            return self._sensor.adopt(width, height, bpp, None)
        return self._kind.blank(width, height, bpp)


def _check_extension(path: str, img: Image) -> None:
    """What names of four letters and more promise is checked behind the loading (`imblib_parse_extension`)."""
    extension = path[-4:].lower()
    if extension == ".ppm" and img.bpp != RGB565:
        raise DeviceOSError("Image is not PPM!")
    if extension == ".pgm" and img.bpp != GREYSCALE:
        raise DeviceOSError("Image is not PGM!")
    if extension == ".raw":
        raise DeviceOSError("Image is not BAYER!")


def image_module(chip: Chip, volumes: Volumes, sensor: Sensor, decoder: image_jpeg.Decoder) -> types.ModuleType:
    """The `image` module; `decoder` outlives a soft reset."""
    kind = type("Image", (DeviceImage,), {"chip": chip, "volumes": volumes})
    sensor.image_kind = kind
    loader = Loader(chip, volumes, sensor, kind, decoder)

    class Meta(type):
        def __call__(cls, *args: Any, **options: Any) -> Image:
            return loader.make(*args, **options)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, Image)

    def rgb_to_grayscale(colour: Any, /) -> int:
        red, green, blue = colour
        return (red * 38 + green * 75 + blue * 15) >> 7

    def font_load(*args: Any) -> None:
        raise NotImplementedError("image.font_load is not in the hosted engine; use the k210 engine")

    return make_module(
        "image",
        Image=Meta("Image", (), {}),
        rgb_to_grayscale=timed(chip, rgb_to_grayscale),
        font_load=font_load,
        font_free=lambda: None,
        ASCII=0,
        UTF8=3,
        Unicode=4,
    )
