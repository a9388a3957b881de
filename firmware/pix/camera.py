# Pictures from the camera into JPEG files on the card.
#
# The encoder works in the frame buffer itself (`compress`), so a picture takes nothing of the Python heap: what the
# card gets are views of that memory. What MaixPy's encoder leaves open (MaixPy-v1 jpeg.c, omv_boardconfig.h):
#   - a colour picture is split between both cores, and core 1 writes 512 KiB behind the start of the scratch memory.
#     Full builds have 700 KiB of it; minimum builds 300, so there core 1 would write into memory that belongs to
#     somebody else. Grey pictures use core 0 alone and stay inside: the choice "auto" takes grey on minimum builds.
#   - a JPEG larger than the frame leaves its scratch memory allocated for ever: hence the limit of the quality.

import gc

from micropython import const
from uhashlib import sha256

from pix.errors import PixError
from pix.files import hex_of
from pix.store import BLOCK, Part

_SETTLE_MS = const(1500)  # exposure and white balance
_MAX_QUALITY = const(95)


class Camera:
    # `frame` is the name of a size of MaixPy's sensor module, `colour` "auto", "on" or "off". The sensor is started by
    # the first picture. `digest` is the SHA-256 of the last one, in hex, made of what was in memory: a card that keeps
    # something else is found out by whoever compares.
    def __init__(self, frame="QVGA", quality=60, colour="auto"):
        self._frame = frame
        self._quality = min(quality, _MAX_QUALITY)
        self._colour = colour
        self._sensor = None
        self.digest = ""

    def start(self):
        # Find the sensor and let it settle. Raises PixError "no-camera", "sensor-timeout", "no-memory", "settings".
        try:
            import sensor
        except ImportError:
            raise PixError("no-camera", "this MaixPy has no sensor module")
        gc.collect()
        try:
            sensor.reset()
            sensor.set_pixformat(sensor.RGB565)
        except OSError:
            # After this skip_frames would jump to address 0 (MaixPy-v1 py_sensor.c): nothing more may be called.
            raise PixError("no-camera")
        try:
            sensor.set_framesize(getattr(sensor, self._frame))
            sensor.skip_frames(time=_SETTLE_MS)
        except OSError as error:
            if error.args[0] == 12:
                raise PixError("no-memory", "frame buffer of %s" % self._frame)
            raise PixError("settings", "the camera has no frame %s" % self._frame)
        except AttributeError:
            raise PixError("settings", "frame %s is unknown" % self._frame)
        except RuntimeError as error:
            raise PixError("sensor-timeout", error)
        self._sensor = sensor

    def take(self, path, preview=None):
        # Take one picture into the JPEG file `path`, whole or not at all; returns its size in bytes. `preview(image)`
        # gets the frame before it is compressed. Raises PixError: as `start`, and what the card raises.
        img = self._compressed(preview)
        view = memoryview(img.to_bytes())
        hasher = sha256()
        hasher.update(view)
        self.digest = hex_of(hasher)
        part = Part(path)
        try:
            part.begin("")
            for at in range(0, len(view), BLOCK):
                part.write(view[at : at + BLOCK])
            part.commit()
        except PixError:
            try:
                part.discard()
            except PixError:
                pass  # the first error tells more; pix.store.recover removes the part at the next start
            raise
        return len(view)

    def frame(self):
        # The next frame as MaixPy's Image, which lies in the frame buffer. Raises PixError: as `start`.
        if self._sensor is None:
            self.start()
        sensor = self._sensor
        try:
            # The driver keeps the frame that was finished after the last picture, however old: that one is dropped.
            sensor.snapshot()
            return sensor.snapshot()
        except RuntimeError as error:
            self._sensor = None
            raise PixError("sensor-timeout", error)

    def _compressed(self, preview):
        img = self.frame()
        if preview is not None:
            preview(img)
        try:
            # Only full builds search pictures for blobs.
            if self._colour == "off" or (self._colour == "auto" and not hasattr(img, "find_blobs")):
                img.to_grayscale()
            img.compress(quality=self._quality)
        except (MemoryError, OSError) as error:
            raise PixError("no-memory", error)
        return img
