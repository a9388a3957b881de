"""`sensor`: the camera through MaixPy's driver (`py_sensor.c`, `sensor.c`)."""

from __future__ import annotations

import types
from typing import Any

from virtualboard.clock import MS
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.dialect import words
from virtualboard.hosted.errors import Crash, DeviceOSError
from virtualboard.hosted.image import GREYSCALE, RGB565, Image
from virtualboard.hosted.stdlib import make_module, timed

YUV422, JPEG, BAYER, BINARY = 3, 5, 1, 0

SIZES = {
    "QQCIF": (88, 72), "QCIF": (176, 144), "CIF": (352, 288), "QQSIF": (88, 60), "QSIF": (176, 120),
    "SIF": (352, 240), "QQQQVGA": (40, 30), "QQQVGA": (80, 60), "QQVGA": (160, 120), "QVGA": (320, 240),
    "VGA": (640, 480), "HQQQVGA": (80, 40), "HQQVGA": (160, 80), "HQVGA": (240, 160), "B64X64": (64, 64),
    "B128X64": (128, 64), "B128X128": (128, 128), "B240X240": (240, 240), "LCD": (128, 160), "QQVGA2": (128, 160),
    "WVGA": (720, 480), "WVGA2": (752, 480), "SVGA": (800, 600), "XGA": (1024, 768), "SXGA": (1280, 1024),
    "UXGA": (1600, 1200),
}  # fmt: skip

_OV2640_ID = 0x2642
_MIRROR, _FLIP = 0x80, 0x50  # bits of REG04
_SCAN_NS = 110 * 4 * 3 * MS  # four reset polarities, 110 addresses each, three sensor families


class Sensor:
    """State of the driver; the frame buffers lie in the C heap."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._camera = chip.board.camera
        self.image_kind: type[Image] | None = None
        self._found = False
        self._ever_found = False
        self._format: int | None = None
        self._size: tuple[int, int] | None = None
        self._window: tuple[int, int] | None = None
        self._fb_bytes = 0
        self._fb: bytearray | None = None
        self._running = False
        self._next_frame = 0

    def module(self) -> types.ModuleType:
        """The `sensor` module."""
        functions = (
            self.reset, self.set_pixformat, self.set_framesize, self.run, self.skip_frames, self.snapshot, self.width,
            self.height, self.get_id, self.set_windowing, self.set_hmirror, self.set_vflip, self.shutdown, self.sleep,
            self.flush, self.deinit,
        )  # fmt: skip
        members: dict[str, Any] = {f.__name__: timed(self._chip, f) for f in functions}
        for name in words(
            "set_brightness set_contrast set_saturation set_auto_gain set_auto_exposure set_auto_whitebal "
            "set_framerate set_colorbar"
        ):
            members[name] = timed(self._chip, self._setting)
        sizes = {name: number + 1 for number, name in enumerate(SIZES)}
        return make_module(
            "sensor", BINARY=0, BAYER=1, RGB565=RGB565, YUV422=YUV422, GRAYSCALE=GREYSCALE, JPEG=JPEG,
            OV2640=_OV2640_ID, **sizes, **members,
        )  # fmt: skip

    # -- start --------------------------------------------------------------------------------------------

    def reset(self, *, freq: int = 24_000_000, set_regs: bool = True, choice: int = 0, dual_buff: bool = False) -> None:
        chip = self._chip
        self._release()
        self._found = self._running = False
        if chip.board.config.no_camera:
            chip.wait(_SCAN_NS)
            chip.console("[MAIXPY]: no sensor\r\n")
            raise DeviceOSError("Reset Failed")
        chip.wait(120 * MS)
        chip.console("[MAIXPY]: find ov2640\r\n")
        self._found = self._ever_found = True
        # The driver's register table mirrors the sensor's view, as the modules are mounted (`ov2640.c`).
        self._mirror(_MIRROR, True)
        self._mirror(_FLIP, False)

    def set_pixformat(self, pixformat: int, /) -> None:
        if not self._found or pixformat not in (RGB565, YUV422, GREYSCALE):
            raise DeviceOSError("Pixel format is not supported!")
        self._chip.wait(100 * MS)
        self._format = pixformat

    def set_framesize(self, framesize: int, /) -> None:
        sizes = list(SIZES.values())
        if not self._found or not 0 < framesize <= len(sizes):
            raise DeviceOSError(5)
        width, height = sizes[framesize - 1]
        if width > 640 and (width, height) != (800, 600):
            raise DeviceOSError(5)
        self._release()
        need = width * height * 5
        if need > self._chip.c_heap_free:
            raise DeviceOSError(12)
        self._chip.c_heap_free -= need
        self._fb_bytes = need
        self._size = (width, height)
        self._window = None
        self._chip.wait(100 * MS)
        self._running = True

    def run(self, on: int, /) -> bool:
        self._running = bool(on)
        return True

    def _release(self) -> None:
        self._chip.c_heap_free += self._fb_bytes
        self._fb_bytes = 0
        self._fb = None
        self._size = None

    # -- pictures -----------------------------------------------------------------------------------------

    def skip_frames(self, count: int = 0, /, time: int = 300) -> None:
        if not self._ever_found:
            self._crash()
        if count:
            for _ in range(count):
                self.snapshot()
            return
        self._chip.wait(time * MS)

    def snapshot(self, update_jb: bool = True, /) -> Image:
        chip = self._chip
        if not self._ever_found:
            raise TypeError("not found sensor")
        if self._size is None or self._format is None:
            raise RuntimeError("Not init!")
        if not self._running:
            chip.wait(300 * MS)
            raise RuntimeError("Sensor timeout!")
        chip.sync()
        period = self._camera.frame_ns
        chip.wait_until(max(self._next_frame, chip.clock.now + period // 4))
        self._next_frame = chip.clock.now + period
        width, height = self._size
        data = bytearray(self._camera.frame(width, height))
        kind = self._kind()
        whole = kind.blank(width, height, RGB565, data, in_heap=False)
        if self._window is not None:
            w, h = self._window
            x, y = (width - w) // 2, (height - h) // 2
            whole = kind.blank(w, h, RGB565, bytearray(whole.region(x, y, w, h)), in_heap=False)
        if self._format == GREYSCALE:
            chip.charge(whole.w * whole.h * chip.costs.pixel)
            grey = kind.blank(whole.w, whole.h, GREYSCALE, bytearray(whole.w * whole.h), in_heap=False)
            grey.store(whole.pil())
            whole = grey
        # One frame buffer: an earlier snapshot's memory becomes this one's.
        if self._fb is not None and len(self._fb) == len(whole.data):
            self._fb[:] = whole.data
            whole.data = self._fb
        self._fb = whole.data
        chip.sync()
        return whole

    def adopt(self, width: int, height: int, bpp: int, data: bytearray | None) -> Image:
        """A picture in the frame buffer (`copy_to_fb`), or in the heap when there is none."""
        kind = self._kind()
        if self._fb_bytes == 0 or self._size is None:
            return kind.blank(width, height, bpp)
        if width * height > self._size[0] * self._size[1]:
            raise DeviceOSError(22)
        return kind.blank(width, height, bpp, data, in_heap=False)

    def _kind(self) -> type[Image]:
        if self.image_kind is None:
            from virtualboard.hosted.image_draw import DeviceImage

            # `image` was not imported by the program; pictures exist all the same.
            self.image_kind = type("Image", (DeviceImage,), {"chip": self._chip, "volumes": None})
        return self.image_kind

    # -- settings -----------------------------------------------------------------------------------------

    def set_windowing(self, *args: Any) -> None:
        roi = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        w, h = roi[-2:]
        if self._size is None or w % 8 or h % 8 or w > self._size[0] or h > self._size[1]:
            raise ValueError("Failed to set windowing!")
        self._window = (w, h)

    def set_hmirror(self, on: Any, /) -> None:
        self._mirror(_MIRROR, on)

    def set_vflip(self, on: Any, /) -> None:
        self._mirror(_FLIP, on)

    def _mirror(self, bits: int, on: Any) -> None:
        """OV2640 REG04 of the sensor bank (0xFF = 1): bit 7 mirrors, bits 6 and 4 flip."""
        if not self._found:
            raise ValueError("Sensor control failed!")
        camera = self._camera
        camera.sccb_write(0xFF, 1)
        register = camera.sccb_read(0x04)
        camera.sccb_write(0x04, register | bits if on else register & ~bits)
        self._chip.wait(1 * MS)

    def _setting(self, *args: Any, **options: Any) -> None:
        if not self._found:
            raise ValueError("Sensor control failed!")
        self._chip.wait(1 * MS)

    def width(self) -> int:
        return 0 if self._size is None else self._size[0]

    def height(self) -> int:
        return 0 if self._size is None else self._size[1]

    def get_id(self) -> int:
        return _OV2640_ID if self._found else 0

    def shutdown(self, on: Any, /) -> None:
        self._running = not on

    def sleep(self, on: Any, /) -> None:
        self._running = not on

    def flush(self) -> None:
        return None

    def deinit(self) -> None:
        self._release()
        self._running = False

    def _crash(self) -> None:
        self._chip.console("core dump: instruction access fault\r\n")
        self._chip.halt(Crash())
        self._chip.check()
