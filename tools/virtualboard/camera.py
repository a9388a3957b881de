"""The camera: an OmniVision OV2640 on SCCB and a stream of frames taken from picture files.

Registers: OV2640 data sheet 1.6. What MaixPy asks of the sensor: MaixPy-v1 `sensor.c`, `ov2640.c`. It finds the chip
by reading 0x0A and 0x0B at every address, sets it to YUV 4:2:2 and lets the K210's DVP make RGB565 of that; here the
way through YUV is left out and colours are cut to RGB565 directly.
"""

from __future__ import annotations

from array import array
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from virtualboard.clock import SECOND, Clock
from virtualboard.kept import Kept

ADDRESS = 0x30
"""7-bit SCCB address."""

_BANK = 0xFF
_DSP, _SENSOR = 0, 1

# Sensor bank.
_REG04, _PIDH, _PIDL, _CLKRC, _COM7, _MIDH, _MIDL = 0x04, 0x0A, 0x0B, 0x11, 0x12, 0x1C, 0x1D
_REG04_HFLIP, _REG04_VFLIP, _COM7_RESET, _COM7_COLOUR_BAR = 0x80, 0x40, 0x80, 0x02
_CLKRC_DOUBLE, _CLKRC_DIVIDER = 0x80, 0x3F
_READ_ONLY = {_PIDH: 0x26, _PIDL: 0x42, _MIDH: 0x7F, _MIDL: 0xA2}

# DSP bank: output width and height in units of four pixels, with their high bits.
_ZMOW, _ZMOH, _ZMHH = 0x5A, 0x5B, 0x5C

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_BARS = ("white", "yellow", "cyan", "lime", "magenta", "red", "blue", "black")
_REG04_DEFAULT, _BANK_DEFAULT = 0x28, 0x7F

_HIGH_OF_RED = bytes(v & 0xF8 for v in range(256))
_HIGH_OF_GREEN = bytes(v >> 5 for v in range(256))
_LOW_OF_GREEN = bytes((v & 0x1C) << 3 for v in range(256))
_LOW_OF_BLUE = bytes(v >> 3 for v in range(256))


class Camera(Kept):
    """A sensor that sees the picture `source`, or those of the folder `source` one after the other by name.

    Without a source it sees colour bars. `present` false is a board without a camera. `fps` is the rate at the
    sensor's undivided clock. Raises FileNotFoundError when there is no such file, or no picture in the folder.
    """

    KEPT = ("_in_reset", "_powered_down", "_banks", "_bank", "frames")

    def __init__(self, clock: Clock, source: Path | None = None, fps: int = 15, present: bool = True) -> None:
        self._clock = clock
        self._fps = fps
        self.present = present
        self.source = source
        self.frames = 0
        """Frames captured so far."""
        self.problems: list[tuple[Path, str]] = []
        """Pictures that could not be read, with the reason; each once."""
        self._pictures = _pictures(source)
        self._cached: tuple[Path, int, tuple[int, int], Image.Image] | None = None
        self._in_reset = False
        self._powered_down = False
        self._banks: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._bank = _BANK_DEFAULT
        self.reset_registers()

    @property
    def pictures(self) -> list[Path]:
        """The files that it sees, in their order."""
        return list(self._pictures)

    # -- SCCB and pins ------------------------------------------------------------------------------------

    @property
    def awake(self) -> bool:
        """True when the chip answers on SCCB: there, powered and not held in reset."""
        return self.present and not self._in_reset and not self._powered_down

    def reset(self, level: bool | int) -> None:
        """The RESETB pin; low holds the chip in reset."""
        self._in_reset = not level
        if not level:
            self.reset_registers()

    def power_down(self, level: bool | int) -> None:
        """The PWDN pin; high puts the chip to sleep, registers keep their values."""
        self._powered_down = bool(level)

    def sccb_write(self, register: int, value: int) -> None:
        """Write a register of the selected bank (0xFF selects: bit 0 clear for DSP, set for sensor)."""
        if not self.awake:
            return
        if register == _BANK:
            self._bank = value
        elif self._bank & 1 and register == _COM7 and value & _COM7_RESET:
            self.reset_registers()
        elif not (self._bank & 1 and register in _READ_ONLY):
            self._banks[self._bank & 1][register] = value

    def sccb_read(self, register: int) -> int:
        """Read a register of the selected bank; 0xFF, the idle bus, when the chip does not answer."""
        if not self.awake:
            return 0xFF
        if register == _BANK:
            return self._bank
        if self._bank & 1 and register in _READ_ONLY:
            return _READ_ONLY[register]
        return self._banks[self._bank & 1].get(register, 0)

    def reset_registers(self) -> None:
        """All registers as after power-on; the sensor bank is selected."""
        self._bank = _BANK_DEFAULT
        self._banks = ({}, {_REG04: _REG04_DEFAULT})

    # -- what the registers say ---------------------------------------------------------------------------

    @property
    def output_size(self) -> tuple[int, int]:
        """Width and height in pixels that the registers ask for; (0, 0) until they are set."""
        dsp = self._banks[_DSP]
        high = dsp.get(_ZMHH, 0)
        return 4 * (dsp.get(_ZMOW, 0) | (high & 3) << 8), 4 * (dsp.get(_ZMOH, 0) | (high & 4) << 6)

    @property
    def mirrored(self) -> bool:
        """True when the picture is shown the wrong way round.

        MaixPy starts the sensor with the mirror bit set and the picture comes out right, as the modules are mounted:
        so `sensor.set_hmirror(0)` is what mirrors it.
        """
        return not self._banks[_SENSOR].get(_REG04, 0) & _REG04_HFLIP

    @property
    def upside_down(self) -> bool:
        """True when the picture is turned over."""
        return bool(self._banks[_SENSOR].get(_REG04, 0) & _REG04_VFLIP)

    @property
    def colour_bars(self) -> bool:
        """True when the sensor gives its test pattern instead of the scene."""
        return not self._pictures or bool(self._banks[_SENSOR].get(_COM7, 0) & _COM7_COLOUR_BAR)

    @property
    def frame_ns(self) -> int:
        """Time from frame to frame in ns, with the clock divider of the registers."""
        clkrc = self._banks[_SENSOR].get(_CLKRC, 0)
        period = SECOND * ((clkrc & _CLKRC_DIVIDER) + 1) // self._fps
        return period // 2 if clkrc & _CLKRC_DOUBLE else period

    # -- frames -------------------------------------------------------------------------------------------

    def capture(self, width: int, height: int) -> Image.Image:
        """The next frame as an RGB picture of `width` x `height` pixels: scaled to cover, the rest cut off evenly."""
        frame = self._bars(width, height) if self.colour_bars else self._scene(width, height)
        self.frames += 1
        if self.mirrored:
            frame = ImageOps.mirror(frame)
        if self.upside_down:
            frame = ImageOps.flip(frame)
        return frame

    def frame(self, width: int, height: int) -> bytes:
        """The next frame as RGB565, high byte first: what `sensor.snapshot()` has in its pixel memory."""
        return rgb565(self.capture(width, height))

    def _scene(self, width: int, height: int) -> Image.Image:
        for _ in range(len(self._pictures)):
            path = self._pictures[self.frames % len(self._pictures)]
            try:
                return self._picture(path, (width, height))
            except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as e:
                self.problems.append((path, str(e)))
                self._pictures.remove(path)
                if not self._pictures:
                    break
        return self._bars(width, height)

    def _picture(self, path: Path, size: tuple[int, int]) -> Image.Image:
        stamp = path.stat().st_mtime_ns
        if self._cached is None or self._cached[:3] != (path, stamp, size):
            with Image.open(path) as file:
                upright = ImageOps.exif_transpose(file)
                picture = ImageOps.fit(upright.convert("RGB"), size, Image.Resampling.LANCZOS)
            self._cached = (path, stamp, size, picture)
        return self._cached[3].copy()

    @staticmethod
    def _bars(width: int, height: int) -> Image.Image:
        frame = Image.new("RGB", (width, height))
        for index, colour in enumerate(_BARS):
            left, right = index * width // len(_BARS), (index + 1) * width // len(_BARS)
            frame.paste(colour, (left, 0, right, height))
        return frame


def _pictures(source: Path | None) -> list[Path]:
    if source is None:
        return []
    if source.is_dir():
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
        if not found:
            raise FileNotFoundError(f"no pictures in {source}; the camera needs at least one")
        return found
    if not source.is_file():
        raise FileNotFoundError(f"the camera's picture {source} does not exist")
    return [source]


def rgb565(image: Image.Image) -> bytes:
    """An RGB picture as RGB565, high byte first, low bits of each colour cut off."""
    red, green, blue = (band.tobytes() for band in image.split())
    out = bytearray(2 * len(red))
    out[0::2] = _join(red.translate(_HIGH_OF_RED), green.translate(_HIGH_OF_GREEN))
    out[1::2] = _join(green.translate(_LOW_OF_GREEN), blue.translate(_LOW_OF_BLUE))
    return bytes(out)


def dvp_words(pixels: bytes) -> bytes:
    """RGB565 (high byte first) as the DVP writes it to memory: 32-bit words, the left pixel in the high half.

    MaixPy turns every word round after a frame (`reverse_u32pixel` in `sensor.c`). Wants an even number of pixels.
    """
    words = array("I", pixels)
    words.byteswap()
    return words.tobytes()


def planes(image: Image.Image) -> tuple[bytes, bytes, bytes]:
    """The red, green and blue planes (a byte each) that the DVP writes for the neural network."""
    red, green, blue = image.split()
    return red.tobytes(), green.tobytes(), blue.tobytes()


def _join(a: bytes, b: bytes) -> bytes:
    """Bitwise or of two byte strings of one length."""
    return (int.from_bytes(a, "little") | int.from_bytes(b, "little")).to_bytes(len(a), "little")
