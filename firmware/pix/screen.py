# The panel: pictures that fit, a progress bar, stages of the start, and error cards.
#
# Everything is drawn with lcd.draw_string alone (8x12 pixel cells; a filled area is a text of spaces), so that an error
# can be shown when there is no memory left for an image, and on builds before v0.6.2-44, whose lcd has no rectangles.

import gc

import lcd
from micropython import const

import pix
from pix.errors import PixError

_CHAR_W = const(8)
_CHAR_H = const(12)
_LINE_H = const(16)
_MARGIN = const(8)
_SPARE = const(24 * 1024)  # heap to leave for the program beside a loaded picture


def wrap(text, columns):
    # `text` as a list of lines of at most `columns` characters, broken between words where that is possible.
    lines = []
    line = ""
    for word in text.split(" "):
        while len(word) > columns:
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:columns])
            word = word[columns:]
        if not line:
            line = word
        elif len(line) + 1 + len(word) <= columns:
            line = line + " " + word
        else:
            lines.append(line)
            line = word
    if line:
        lines.append(line)
    return lines


class Screen:
    # The panel of board `name`, turned by `rotation` quarter turns. `width` and `height` are in pixels.
    def __init__(self, name="dock", rotation=0):
        from pix.board import init_lcd

        self.width, self.height = init_lcd(name, rotation)
        self._y = None  # where the next stage line goes; None while a picture or card is shown
        self._bar = -1  # pixels of the progress bar already drawn

    def stage(self, text):
        # One more line of what is going on; starts a fresh page when another thing was shown or the page is full.
        if self._y is None or self._y + _LINE_H > self.height - 3 * _LINE_H:
            lcd.clear(lcd.BLACK)
            self._y = _MARGIN
        for line in wrap(text, self._columns()):
            lcd.draw_string(_MARGIN, self._y, line, lcd.WHITE, lcd.BLACK)
            self._y += _LINE_H

    def progress(self, done, total):
        # A bar at the bottom for `done` of `total` bytes (total None: length unknown, a running number only).
        top = self.height - _MARGIN - _CHAR_H
        columns = self._columns()
        if self._bar < 0:
            lcd.draw_string(_MARGIN, top, " " * columns, lcd.WHITE, lcd.DARKGREY)
            self._bar = 0
        # Only what is new is drawn: a bar must not cost the fetch its time.
        if total:
            wanted = min(columns, done * columns // total)
            if wanted > self._bar:
                lcd.draw_string(_MARGIN + self._bar * _CHAR_W, top, " " * (wanted - self._bar), lcd.WHITE, lcd.GREEN)
                self._bar = wanted
        elif done >> 14 > self._bar:
            self._bar = done >> 14
            lcd.draw_string(_MARGIN, top, "%d kB" % (done >> 10), lcd.WHITE, lcd.DARKGREY)

    def show(self, path):
        # Show the picture file at `path`, shrunk to fit, centred on black. Returns its own (width, height).
        # Raises PixError with the reason when it cannot be shown; what the panel showed stays until then.
        from pix.picture import inspect

        kind = inspect(path)
        img = None
        try:
            img = self._load(path, kind)
            if img.width() > self.width or img.height() > self.height:
                img = self._shrink(img)
            lcd.display(img)
        finally:
            del img
            gc.collect()
            pix.set_aside(pix.PICTURE)
        self._y = None
        self._bar = -1
        return kind.width, kind.height

    def error(self, err):
        # A card: what happened, why, what to do. `err` is a PixError.
        lcd.clear(lcd.BLACK)
        for y in range(0, 3 * _CHAR_H, _CHAR_H):
            lcd.draw_string(0, y, " " * (self.width // _CHAR_W), lcd.WHITE, lcd.RED)
        lcd.draw_string(_MARGIN, _CHAR_H, err.title, lcd.WHITE, lcd.RED)
        y = 3 * _CHAR_H + _MARGIN
        for text, colour in ((err.cause, lcd.WHITE), (err.remedy, lcd.YELLOW)):
            for line in wrap(text, self._columns()):
                if y + _CHAR_H <= self.height:
                    lcd.draw_string(_MARGIN, y, line, colour, lcd.BLACK)
                y += _LINE_H
            y += _MARGIN
        lcd.draw_string(_MARGIN, self.height - _MARGIN - _CHAR_H, err.code, lcd.LIGHTGREY, lcd.BLACK)
        self._y = None
        self._bar = -1

    def _columns(self):
        return (self.width - 2 * _MARGIN) // _CHAR_W

    def _load(self, path, kind):
        import image

        pix.hand_over(pix.PICTURE)
        gc.collect()
        needed = kind.bytes_needed
        if kind.width > self.width or kind.height > self.height:
            w, h = self._fitted(kind.width, kind.height)
            needed += kind.bytes_needed * w * h // (kind.width * kind.height)
        if needed + _SPARE > gc.mem_free():
            raise PixError("too-big", "%dx%d needs %d kB" % (kind.width, kind.height, needed >> 10))
        try:
            img = image.Image(path)
        except MemoryError:
            raise PixError("no-memory", "%dx%d needs %d kB in one piece" % (kind.width, kind.height, needed >> 10))
        except (OSError, ValueError) as error:
            raise PixError("bad-picture", str(error))
        # A JPEG that the decoder cannot read becomes an image of 0x0 without any exception.
        if img.width() != kind.width or img.height() != kind.height:
            raise PixError("bad-picture", "MaixPy cannot decode it")
        return img

    def _fitted(self, width, height):
        # Largest size with the same shape that fits the panel.
        if width * self.height > height * self.width:
            return self.width, max(1, height * self.width // width)
        return max(1, width * self.height // height), self.height

    def _shrink(self, img):
        w, h = self._fitted(img.width(), img.height())
        try:
            return img.resize(w, h)
        except MemoryError:
            raise PixError("no-memory", "no room to shrink %dx%d" % (img.width(), img.height()))
