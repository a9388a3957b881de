"""The LCD: a Sitronix ST7789 (or an Ilitek ILI9486/9488 used alike) as MaixPy drives it, and what a person sees.

The controller has a frame memory of `rows` x `columns` pixels, a write pointer that runs through a window, and
switches that decide how memory becomes light. Commands come with D/C low, parameters and pixels with D/C high.

Directions. MADCTL says how addresses run over the memory: MV makes the column address count along the memory's
rows, MY counts rows from the end, MX columns (ST7789 data sheet, "Memory Data Access Control"). A person holds the
board so that one setting shows pictures upright; for most boards that is MaixPy's default, 0xA0. Frame memory is kept
here as that person sees it: position (u, v). MaixPy's `lcd.rotation(n)` sends A0, 00, 60, C0 (MaixPy-v1 `py_lcd.c`),
each a quarter turn clockwise.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from virtualboard.clock import Clock
from virtualboard.kept import Kept

_SWRESET, _SLPIN, _SLPOUT = 0x01, 0x10, 0x11
_INVOFF, _INVON, _DISPOFF, _DISPON = 0x20, 0x21, 0x28, 0x29
_CASET, _RASET, _RAMWR, _RAMWRC = 0x2A, 0x2B, 0x2C, 0x3C
_MADCTL, _COLMOD = 0x36, 0x3A

_MY, _MX, _MV, _BGR = 0x80, 0x40, 0x20, 0x08

# Commands that change nothing a still picture shows: no-op, modes, tearing line, brightness, frame rates, porches,
# voltages, gamma curves, and the vendor settings that MaixPy's ILI9486 and ILI9481 start sequences send.
_NO_EFFECT = frozenset(
    {0x00, 0x12, 0x13, 0x26, 0x30, 0x33, 0x34, 0x35, 0x37, 0x38, 0x39, 0x44, 0x51, 0x53, 0x55, 0x5E}
    | set(range(0xB0, 0xC9))
    | {0xD0, 0xD1, 0xD2, 0xE0, 0xE1, 0xE2, 0xE3, 0xE4, 0xE8, 0xE9, 0xEC, 0xF1, 0xF2, 0xF6, 0xF7, 0xF8, 0xF9}
)

_FIVE = [i << 3 | i >> 2 for i in range(32)]
_SIX = [i << 2 | i >> 4 for i in range(64)]


class Panel(Kept):
    """A panel of `width` x `height` pixels as a person sees it, the board held upright.

    `memory` is the size of the frame memory in the same view (default: 320x240, or the glass where that is
    larger), `offset` where the glass lies in it: M5StickV's 240x135 glass lies at (40, 52). `ips` panels show
    colours right with inversion on (MaixPy's `invert=1`), others with inversion off. `upright` is the MADCTL value
    with which pictures are upright and their red is red; it depends on how the glass is mounted.

    After power-on the panel sleeps and is dark. `on_frame` is called whenever a memory write has filled its
    window; `frames` counts these. Unknown commands are counted in `unknown` and otherwise ignored.
    `state` and `restore` are of the registers; `memory` is the frame memory.
    """

    KEPT = (
        "asleep", "display_on", "inverted", "madctl", "pixel_format", "frames", "resets", "_command", "_parameters",
        "_carry", "_columns", "_rows", "_pointer", "_counted", "_held_in_reset",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        width: int = 320,
        height: int = 240,
        memory: tuple[int, int] | None = None,
        offset: tuple[int, int] = (0, 0),
        ips: bool = False,
        upright: int = 0xA0,
    ) -> None:
        self._clock = clock
        self.width = width
        self.height = height
        self.offset = offset
        self.ips = ips
        self.upright = upright
        self._stride, self._lines = memory or (max(320, width), max(240, height))
        if offset[0] + width > self._stride or offset[1] + height > self._lines:
            raise ValueError(
                f"a {width}x{height} glass at {offset} does not fit the {self._stride}x{self._lines} memory"
            )
        # Pixels as they came over the wire (high byte first), line by line in the view.
        self._memory = array("H", bytes(2 * self._stride * self._lines))
        self.on_frame: Callable[[], None] | None = None
        self.frames = 0
        """Memory writes that filled their window."""
        self.last_frame_at: int | None = None
        """Virtual ns when the last of them was complete."""
        self.pixels_written = 0
        self.unknown: Counter[int] = Counter()
        """Commands that this panel does not know, with how often they came."""
        self.resets = 0
        self._held_in_reset = False
        self._defaults()

    def _defaults(self) -> None:
        """Registers after a reset; frame memory keeps its content (data sheet, "Reset Table")."""
        self.asleep = True
        self.display_on = False
        self.inverted = False
        self.madctl = 0
        self.pixel_format = 0x66
        self._command = 0
        self._parameters = bytearray()
        self._carry = b""
        self._columns = (0, min(self._stride, self._lines) - 1)
        self._rows = (0, max(self._stride, self._lines) - 1)
        self._pointer = 0
        self._counted = True

    # -- pins ---------------------------------------------------------------------------------------------

    def reset(self, level: bool | int) -> None:
        """The reset pin; low resets, and nothing is heard until it is high again."""
        if not level:
            if not self._held_in_reset:
                self.resets += 1
            self._defaults()
        self._held_in_reset = not level

    def command(self, byte: int) -> None:
        """A byte with D/C low."""
        if self._held_in_reset:
            return
        self._command = byte
        self._parameters.clear()
        self._carry = b""
        if byte == _RAMWR:
            self._pointer = 0
            self._counted = False
        elif byte == _SWRESET:
            self._defaults()
        elif byte in (_SLPIN, _SLPOUT):
            self.asleep = byte == _SLPIN
        elif byte in (_INVOFF, _INVON):
            self.inverted = byte == _INVON
        elif byte in (_DISPOFF, _DISPON):
            self.display_on = byte == _DISPON
        elif byte not in (_CASET, _RASET, _RAMWRC, _MADCTL, _COLMOD) and byte not in _NO_EFFECT:
            self.unknown[byte] += 1

    def data(self, data: bytes) -> None:
        """Bytes with D/C high: parameters of the last command, or pixels."""
        if self._held_in_reset:
            return
        command = self._command
        if command in (_RAMWR, _RAMWRC):
            self._pixels(data)
        elif command in (_CASET, _RASET):
            self._parameters += data
            if len(self._parameters) >= 4:
                first = int.from_bytes(self._parameters[0:2], "big")
                last = int.from_bytes(self._parameters[2:4], "big")
                # The data sheet wants first <= last; a window the wrong way round is taken as one line.
                window = (first, max(first, last))
                if command == _CASET:
                    self._columns = window
                else:
                    self._rows = window
        elif command == _MADCTL and data:
            self.madctl = data[0]
        elif command == _COLMOD and data:
            self.pixel_format = data[0]

    @property
    def memory(self) -> bytes:
        """The frame memory, two bytes a pixel in the order of the wire, line by line as a person sees it."""
        return self._memory.tobytes()

    @memory.setter
    def memory(self, data: bytes) -> None:
        if len(data) != 2 * len(self._memory):
            raise ValueError(f"this panel's memory has {2 * len(self._memory)} bytes, not {len(data)}")
        self._memory[:] = array("H", data)

    # -- what a person sees -------------------------------------------------------------------------------

    @property
    def lit(self) -> bool:
        """True when the panel shows its memory: awake and display on."""
        return self.display_on and not self.asleep

    @property
    def rotation(self) -> int | None:
        """Quarter turns clockwise of the present direction (MaixPy's `lcd.rotation`), None for a mirrored one."""
        _, step_x, step_y, _, _ = self._addressing()
        down = self._stride
        turns = ((1, down), (down, -1), (-1, -down), (-down, 1))
        return turns.index((step_x, step_y)) if (step_x, step_y) in turns else None

    def image(self, turned: bool = False) -> Image.Image:
        """The glass as an RGB picture, the board held upright.

        With `turned`, the board is turned so that the present rotation stands upright. Each colour of 5 or 6 bits
        becomes 8 by repeating its high bits. A dark panel is black.
        """
        if not self.lit:
            picture = Image.new("RGB", (self.width, self.height))
        else:
            pixels = array("H", self._memory)
            pixels.byteswap()
            whole = Image.frombytes("RGB", (self._stride, self._lines), pixels.tobytes(), "raw", "BGR;16")
            u, v = self.offset
            picture = whole.crop((u, v, u + self.width, v + self.height)).point(self._light())
            if (self.madctl ^ self.upright) & _BGR:
                # The order of colours is applied on the way to the glass: a change shows at once.
                red, green, blue = picture.split()
                picture = Image.merge("RGB", (blue, green, red))
        if turned and self.rotation:
            picture = picture.rotate(90 * self.rotation, expand=True)
        return picture

    def save(self, path: Path, turned: bool = False) -> None:
        """Write `image()` to a file (PNG by its name), whole or not at all."""
        part = path.with_name(path.name + ".part")
        self.image(turned).save(part, format=Image.registered_extensions().get(path.suffix.lower(), "PNG"))
        part.replace(path)

    def write(self, file: BinaryIO, suffix: str = ".png") -> None:
        """Write `image()` into a file that is open already, in the place of what it held."""
        made = BytesIO()
        self.image().save(made, format=Image.registered_extensions().get(suffix.lower(), "PNG"))
        file.seek(0)
        file.truncate()
        file.write(made.getvalue())
        file.flush()

    def _light(self) -> list[int]:
        """Table from Pillow's 8-bit colours (x * 255 / 31 or 63, cut off) to the panel's, for the three bands."""
        flip = self.inverted != self.ips
        five, six = [0] * 256, [0] * 256
        for i in range(32):
            five[i * 255 // 31] = _FIVE[31 - i if flip else i]
        for i in range(64):
            six[i * 255 // 63] = _SIX[63 - i if flip else i]
        return five + six + five

    # -- frame memory -------------------------------------------------------------------------------------

    def _pixels(self, data: bytes) -> None:
        depth = self.pixel_format & 7
        unit = 3 if depth == 6 else 2
        if self._carry:
            data = self._carry + data
        spare = len(data) % unit
        self._carry = bytes(data[len(data) - spare :]) if spare else b""
        if spare:
            data = data[: len(data) - spare]
        if depth == 6:
            data = _from_18_bits(data)
        pixels = array("H")
        pixels.frombytes(bytes(data) if not isinstance(data, (bytes, bytearray)) else data)
        if pixels:
            self._store(pixels)

    def _store(self, pixels: array[int]) -> None:
        """Write pixels at the pointer, line by line of the window, wrapping from its end to its start."""
        x0, x1 = self._columns
        y0, y1 = self._rows
        width, height = x1 - x0 + 1, y1 - y0 + 1
        origin, step_x, step_y, columns, rows = self._addressing()
        total, done, size = len(pixels), 0, width * height
        self.pixels_written += total
        whole_lines = step_x == 1 and x0 == 0 and width == columns == step_y
        while done < total:
            y, x = divmod(self._pointer, width)
            if whole_lines and x == 0 and y1 < rows:
                count = min(total - done, size - self._pointer) // width * width or min(total - done, width)
                at = origin + (y0 + y) * step_y
                self._memory[at : at + count] = pixels[done : done + count]
            else:
                count = min(total - done, width - x)
                # Addresses beyond the memory go nowhere.
                seen = max(0, min(count, columns - (x0 + x)))
                if seen and y0 + y < rows:
                    at = origin + (x0 + x) * step_x + (y0 + y) * step_y
                    end = at + seen * step_x
                    self._memory[at : end if end >= 0 else None : step_x] = pixels[done : done + seen]
            done += count
            self._pointer += count
            if self._pointer == size:
                self._pointer = 0
                if not self._counted:
                    self._counted = True
                    self._frame_done()

    def _frame_done(self) -> None:
        self.frames += 1
        self.last_frame_at = self._clock.now
        if self.on_frame is not None:
            self.on_frame()

    def _addressing(self) -> tuple[int, int, int, int, int]:
        """Memory index of address (0, 0), its change per column and per row, and how many of each there are."""
        stride, lines = self._stride, self._lines
        differs = self.madctl ^ self.upright
        flip_u, flip_v = (_MY, _MX) if self.upright & _MV else (_MX, _MY)
        origin, step_u, step_v = 0, 1, stride
        if differs & flip_u:
            origin, step_u = stride - 1, -1
        if differs & flip_v:
            origin, step_v = origin + (lines - 1) * stride, -stride
        if differs & _MV:
            return origin, step_v, step_u, lines, stride
        return origin, step_u, step_v, stride, lines


def _from_18_bits(data: bytes) -> bytes:
    """Pixels of three bytes (six high bits each) as big-endian RGB565."""
    out = bytearray()
    for i in range(0, len(data), 3):
        pixel = (data[i] & 0xF8) << 8 | (data[i + 1] & 0xFC) << 3 | data[i + 2] >> 3
        out += pixel.to_bytes(2, "big")
    return bytes(out)
