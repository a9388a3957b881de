# How one picture takes the place of another: by strips of the new one, which need no second picture in memory.

import lcd
import utime
from micropython import const

_COLUMNS = const(16)  # strips of a wipe
_ROWS = const(8)  # pixels of a strip of a fade: 5 kB, of which two are in the heap beside the picture
_STEP_MS = const(10)
_LEVELS = (64, 128, 192)  # of 256, on the way to the whole picture


def bring(change, img, left, top):
    # Show the RGB565 picture `img` with its upper left corner at (left, top). "wipe" comes from the left; "fade" out of
    # black, where this MaixPy can blend pictures, else it is a wipe.
    if change == "fade" and hasattr(img, "blend"):
        try:
            for level in _LEVELS:
                _faded(img, left, top, level)
        except MemoryError:
            pass  # beside the picture there is no room even for strips: it comes at once
        lcd.display(img, oft=(left, top))
        return
    w, h = img.width(), img.height()
    at = 0
    for number in range(1, _COLUMNS + 1):
        # An even width: pixels go to the panel in pairs.
        end = w if number == _COLUMNS else w * number // _COLUMNS & ~1
        if end > at:
            lcd.display(img, roi=(at, 0, end - at, h), oft=(left + at, top))
            utime.sleep_ms(_STEP_MS)
        at = end


def _faded(img, left, top, level):
    import image

    w, h = img.width(), img.height()
    black = image.Image(size=(w, min(_ROWS, h)))
    for y in range(0, h, _ROWS):
        rows = min(_ROWS, h - y)
        strip = img.copy(roi=(0, y, w, rows))
        if rows != black.height():
            black = image.Image(size=(w, rows))
        strip.blend(black, alpha=level)
        lcd.display(strip, oft=(left, top + y))
        strip = None  # the next one may lie in its place
