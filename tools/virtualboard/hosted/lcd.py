"""`lcd`: the commands and pixels that MaixPy sends to the panel.

Source: MaixPy-v1 `py_lcd.c`, `lcd_mcu.c`, `st7789.c`.

Longer than 350 lines: one module of MaixPy, whole.
"""

from __future__ import annotations

import types
from typing import Any

from PIL import Image as Pil
from PIL import ImageDraw

from virtualboard.clock import MS, SECOND
from virtualboard.hosted import font, maix
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.costs import lcd_hz
from virtualboard.hosted.errors import Crash, DeviceOSError
from virtualboard.hosted.image import GREYSCALE, RGB565, Image
from virtualboard.hosted.pixels import colour_bytes, grey_to_rgb565
from virtualboard.hosted.stdlib import make_module, timed
from virtualboard.hosted.vfs import Volumes

COLOURS = {
    "BLACK": 0x0000,
    "NAVY": 0x0F00,
    "DARKGREEN": 0xE003,
    "DARKCYAN": 0xEF03,
    "MAROON": 0x0078,
    "PURPLE": 0x0F78,
    "OLIVE": 0xE07B,
    "LIGHTGREY": 0x18C6,
    "DARKGREY": 0xEF7B,
    "BLUE": 0x1F00,
    "GREEN": 0xE007,
    "CYAN": 0xFF07,
    "RED": 0x00F8,
    "MAGENTA": 0x1FF8,
    "YELLOW": 0xE0FF,
    "WHITE": 0xFFFF,
    "ORANGE": 0x20FD,
    "GREENYELLOW": 0xE5AF,
    "PINK": 0x1FF8,
}
"""Bytes swapped, as `lcd.h` defines them."""

DIRECTIONS = {
    "XY_RLUD": 0x00,
    "YX_RLUD": 0x20,
    "XY_LRUD": 0x40,
    "YX_LRUD": 0x60,
    "XY_RLDU": 0x80,
    "YX_RLDU": 0xA0,
    "XY_LRDU": 0xC0,
    "YX_LRDU": 0xE0,
}

_ROTATIONS = (0xA0, 0x00, 0x60, 0xC0)
_MIRRORED = (0x20, 0x40, 0xE0, 0x80)
_SWAP_XY = 0x20
_BGR = 0x08


class Lcd:
    """State of the driver; `module` makes what device code imports. It survives a soft reset."""

    def __init__(self, chip: Chip, volumes: Volumes) -> None:
        self._chip = chip
        self._volumes = volumes
        self._panel = chip.board.panel
        self.type = 0
        self._native = (0, 0)
        self._size = (0, 0)
        self._freq = 15_000_000
        self._direction = 0xA0
        self._rotation = 0
        self._mirror = False
        self._offsets = (0, 0, 0, 0)
        self._offset = (0, 0)

    def module(self) -> types.ModuleType:
        """The `lcd` module."""
        functions = (
            self.init, self.deinit, self.clear, self.display, self.draw_string, self.fill_rectangle, self.rotation,
            self.mirror, self.direction, self.register, self.freq, self.bgr_to_rgb, self.width, self.height,
        )  # fmt: skip
        members: dict[str, Any] = {f.__name__: timed(self._chip, f) for f in functions}
        members["type"] = timed(self._chip, self.get_type)
        members["set_backlight"] = members["get_backlight"] = timed(self._chip, lambda *state: None)
        return make_module("lcd", **members, **COLOURS, **DIRECTIONS)

    # -- wires --------------------------------------------------------------------------------------------

    def _command(self, byte: int, data: bytes = b"") -> None:
        self._chip.charge(self._chip.costs.lcd_command)
        self._panel.command(byte)
        if data:
            self._panel.data(data)

    def _area(self, x1: int, y1: int, x2: int, y2: int) -> None:
        dx, dy = self._offset
        self._command(0x2A, (x1 + dx & 0xFFFF).to_bytes(2, "big") + (x2 + dx & 0xFFFF).to_bytes(2, "big"))
        self._command(0x2B, (y1 + dy & 0xFFFF).to_bytes(2, "big") + (y2 + dy & 0xFFFF).to_bytes(2, "big"))
        self._command(0x2C)

    def _pixels(self, data: bytes | bytearray, swap: bool) -> None:
        """Send pixels: the driver's copy with swapped pairs, then a byte a clock by DMA."""
        chip = self._chip
        if swap:
            chip.charge(len(data) // 2 * chip.costs.lcd_swap_pixel)
        chip.sync()
        self._panel.data(bytes(data))
        chip.wait(len(data) * SECOND // lcd_hz(self._freq))

    def _fill(self, x1: int, y1: int, x2: int, y2: int, colour: bytes) -> None:
        """Fill up to, not including, (x2, y2); pixels go in pairs."""
        if x1 == x2 or y1 == y2:
            return
        self._area(x1, y1, x2 - 1, y2 - 1)
        self._pixels(colour * ((x2 - x1) * (y2 - y1) // 2 * 2), swap=False)

    # -- start --------------------------------------------------------------------------------------------

    def init(
        self,
        type: int = 1,
        freq: int = 15_000_000,
        color: Any = 0,
        width: int | None = None,
        height: int | None = None,
        invert: int = 0,
        offset_w0: int = 0,
        offset_h0: int = 0,
        offset_w1: int = 0,
        offset_h1: int = 0,
        rst: int = 37,
        dcx: int = 38,
        ss: int = 36,
        clk: int = 39,
        *,
        lcd_type: int = 0,
    ) -> None:
        chip = self._chip
        self.type = 0
        if type == 0:
            return
        if not 0 < type <= 5:
            raise ValueError("type error")
        native_w, native_h = _BUILD_SIZE.get(chip.board.config.model, (320, 240))
        settings = {
            "width": native_w if width is None else width,
            "height": native_h if height is None else height,
            "invert": invert,
            "offset_w0": offset_w0,
            "offset_h0": offset_h0,
            "offset_w1": offset_w1,
            "offset_h1": offset_h1,
            "dir": 0xA0,
            "lcd_type": lcd_type,
        }
        if type in (1, 5):
            found = maix.config_json(self._volumes).get("lcd")
            if isinstance(found, dict):
                settings |= {key: int(value) for key, value in found.items() if key in settings}
        elif type == 2:
            settings |= {"width": 240, "height": 240, "dir": 0}
        elif type == 3:
            settings |= {"offset_w0": 52, "offset_h0": 40, "offset_w1": 40, "offset_h1": 52, "invert": 1, "dir": 0}
        elif type == 4:
            settings |= {"offset_w0": 0, "offset_h0": 0, "offset_w1": 0, "offset_h1": 0, "invert": 1, "dir": 0}
        if type in (1, 2, 4, 5):
            for pad, function in ((rst, 54), (dcx, 55), (ss, 15), (clk, 17)):
                chip.set_function(pad, function)
        self.type = type
        self._freq = freq
        self._native = self._size = (settings["width"], settings["height"])
        self._offsets = tuple(settings[f"offset_{axis}"] for axis in ("w0", "h0", "w1", "h1"))  # type: ignore[assignment]
        self._start(settings)
        self.clear(color)
        self._rotation = 0
        self._mirror = False

    def _start(self, settings: dict[str, int]) -> None:
        chip, panel = self._chip, self._panel
        chip.sync()
        panel.reset(False)
        chip.wait(50 * MS)
        panel.reset(True)
        chip.wait(50 * MS)
        self._command(0x01)
        chip.wait(50 * MS)
        self._command(0x11)
        chip.wait(120 * MS)
        self._command(0x3A, b"\x55")
        chip.wait(10 * MS)
        self._set_direction(settings["dir"])
        if settings["invert"]:
            self._command(0x21)
            chip.wait(10 * MS)
        self._command(0x13)
        chip.wait(10 * MS)
        self._command(0x29)
        if settings["dir"]:
            self._set_direction(settings["dir"])

    def _set_direction(self, direction: int) -> None:
        self._direction = direction | self._direction & _BGR
        w0, h0, w1, h1 = self._offsets
        self._offset = (w1, h1) if self._direction & _SWAP_XY else (w0, h0)
        self._command(0x36, bytes((self._direction & 0xFF,)))

    def _extent(self) -> tuple[int, int]:
        width, height = self._native
        return (width, height) if self._direction & _SWAP_XY else (height, width)

    def _need(self) -> None:
        if self.type == 0:
            # The driver pointer is null before init.
            self._crash("illegal instruction")

    # -- calls --------------------------------------------------------------------------------------------

    def deinit(self) -> None:
        self.type = 0
        self._size = (0, 0)

    def width(self) -> int | None:
        return self._size[0] if self.type else None

    def height(self) -> int | None:
        return self._size[1] if self.type else None

    def get_type(self) -> int | None:
        return self.type or None

    def clear(self, color: Any = 0, /) -> None:
        if self.type:
            width, height = self._extent()
            # The area is given one column and row too large by the driver's own size minus one: exactly the panel.
            self._area(0, 0, width - 1, height - 1)
            self._pixels(colour_bytes(color) * (self._native[0] * self._native[1]), swap=False)

    def display(self, img: Any, /, roi: Any = None, oft: Any = None) -> None:
        if not isinstance(img, Image):
            raise TypeError("Image is not the right type")
        if img.bpp not in (RGB565, GREYSCALE):
            raise DeviceOSError("Image format is not supported.")
        if not self.type:
            return
        x, y, w, h = _region(img, roi)
        if w <= 0 or h <= 0:
            return
        width, height = self._size
        left = top = 0
        if oft is None:
            if w > width:
                x, w = x + (w - width) // 2, width
            if h > height:
                y, h = y + (h - height) // 2, height
            left, right = (width - w) // 2, (width - w + 1) // 2
            top, bottom = (height - h) // 2, (height - h + 1) // 2
            black = b"\0\0"
            self._fill(0, 0, width, top, black)
            self._fill(0, height - bottom, width, height, black)
            self._fill(0, top, left, height - bottom, black)
            self._fill(width - right, top, width, height - bottom, black)
        else:
            left, top = oft
            if w * h > self._native[0] * self._native[1]:
                # The driver's buffer is as large as the panel: what lies behind it is overwritten.
                self._crash("memory overwritten by lcd.display")
        if img.bpp == GREYSCALE:
            # A part is sent row by row; pixels go in pairs and the last of an odd number is left out.
            cut = (w, h) != (img.w, img.h)
            for row in range(h) if cut else (None,):
                at = (x, y, w, h) if row is None else (x, y + row, w, 1)
                self._send_grey(left, top + (row or 0), img.region(*at), at[2:])
            return
        data = img.region(x, y, w, h)
        self._area(left, top, left + w - 1, top + h - 1)
        self._pixels(data, swap=True)

    def _send_grey(self, left: int, top: int, levels: bytes, size: tuple[int, int]) -> None:
        w, h = size
        self._area(left, top, left + w - 1, top + h - 1)
        pairs = w * h // 2
        if not pairs:
            # No words at all: the counter of the DMA runs through all of the memory.
            self._crash("DMA beyond the memory in lcd.display")
        self._pixels(grey_to_rgb565(levels[: 2 * pairs]), swap=True)

    def _crash(self, what: str) -> None:
        self._chip.console(f"core dump: {what}\r\n")
        self._chip.halt(Crash())
        self._chip.check()

    def draw_string(self, x: int, y: int, text: str, fg: int = 0x00F8, bg: int = 0, /) -> None:
        native_w = self._native[0]
        if not self.type:
            raise ValueError("not init")
        if x < 0 or y < 0 or x >= native_w or y > native_w - 16:
            return
        shown = text[: (native_w - x) // 8]
        if not shown:
            return
        size = (8 * len(shown), 12)
        self._chip.charge(size[0] * size[1] * self._chip.costs.text_pixel)
        picture = Pil.new("L", size)
        font.draw_text(ImageDraw.Draw(picture), 0, 0, shown, 255)
        mask = picture.tobytes()
        data = bytearray(2 * len(mask))
        for half, (front, back) in enumerate(zip(colour_bytes(int(fg)), colour_bytes(int(bg)), strict=True)):
            data[half::2] = mask.translate(bytes((back,)) + bytes((front,)) * 255)
        self._area(x, y, x + size[0] - 1, y + size[1] - 1)
        self._pixels(bytes(data), swap=True)

    def fill_rectangle(self, x: int, y: int, w: int, h: int, color: Any, /) -> None:
        width, height = self._native
        if not self.type:
            raise ValueError("not init")
        x2, y2 = x + w & 0xFFFF, y + h & 0xFFFF
        x, y = x & 0xFFFF, y & 0xFFFF
        if x >= width or y >= height or x2 >= width or y2 >= height:
            raise ValueError("arg error")
        self._fill(x, y, x2, y2, colour_bytes(color))

    def rotation(self, value: int | None = None, /) -> int:
        if value is not None:
            if not 0 <= value <= 3:
                raise ValueError("value:[0,3]")
            self._need()
            self._rotation = value
            width, height = self._native
            self._size = (height, width) if value % 2 else (width, height)
            self._set_direction((_MIRRORED if self._mirror else _ROTATIONS)[value])
        return self._rotation

    def mirror(self, on: Any = None, /) -> int:
        if on is not None:
            self._mirror = bool(on)
            if self._mirror:
                self._need()
                self._set_direction(_MIRRORED[self._rotation])
        return int(self._mirror)

    def direction(self, value: int, /) -> None:
        self._need()
        self._set_direction(value)

    def bgr_to_rgb(self, on: Any, /) -> None:
        self._need()
        plain = self._direction & ~_BGR
        self._direction = plain | _BGR if on else plain
        self._set_direction(plain)

    def freq(self, value: int | None = None, /) -> int:
        self._need()
        if value is not None:
            self._freq = value
        return self._freq

    def register(self, command: int, data: Any, /) -> None:
        self._need()
        self._command(command, bytes(data) if isinstance(data, (list, tuple)) else bytes((data,)))


_BUILD_SIZE = {"amigo": (480, 320)}
"""Default size of the board's own build; generic builds have 320x240."""


def _region(img: Image, roi: Any) -> tuple[int, int, int, int]:
    if roi is None:
        return 0, 0, img.w, img.h
    x, y, w, h = roi
    if x < 0 or y < 0 or w < 1 or h < 1 or x >= img.w or y >= img.h:
        raise ValueError("ROI does not overlap on the image.")
    return x, y, min(w, img.w - x), min(h, img.h - y)
