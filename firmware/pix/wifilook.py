# Networks by QR codes that are held before the camera, where the firmware reads such codes (full builds of MaixPy) and
# a camera is there.

import gc

from pix import wificode
from pix.camera import Camera
from pix.errors import PixError

_FRAME = "QVGA"  # more takes seconds to be searched


class Looker:
    # `able` tells whether there is any point in `look`.
    def __init__(self):
        self._camera = Camera(_FRAME)
        try:
            import image

            self.able = hasattr(image.Image, "find_qrcodes")
        except ImportError:
            self.able = False

    def look(self):
        # (name, key, hidden) of a code that is in sight, or None. Takes half a second, the first time two.
        if not self.able:
            return None
        try:
            img = self._camera.frame()
            gc.collect()
            for code in img.find_qrcodes():
                network = wificode.parsed(code.payload())
                if network is not None:
                    return network
        except (PixError, MemoryError, OSError, ValueError, RuntimeError):
            self.able = False  # no camera, or no memory for it: the page is there all the same
        return None
