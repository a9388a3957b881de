# The panel: pictures that fit, a progress bar, stages of the start, and error cards.
#
# Everything is drawn with lcd.draw_string alone (8x12 pixel cells; a filled area is a text of spaces), so that an error
# can be shown when there is no memory left for an image, and on builds before v0.6.2-44, whose lcd has no rectangles.
# From the top: stage lines, two lines for a note, the progress bar.

import gc

import lcd
import uio
from micropython import const

import pix
from pix.errors import PixError

_CHAR_W = const(8)
_CHAR_H = const(12)
_LINE_H = const(16)
_MARGIN = const(8)
_BAR = const(20)  # from the bottom of the panel to the top of the bar
_NOTE = const(52)  # and of the note
_STAGE_LINES = const(3)  # the most for one stage: a URL may have hundreds of characters
_SPARE = const(24 * 1024)  # heap to leave for the program beside a loaded picture


def wrap(text, columns, most=99):
    # `text` as at most `most` lines of at most `columns` characters, broken between words where that is possible. What
    # is left over becomes "...".
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
    if len(lines) > most:
        lines = lines[:most]
        lines[-1] = lines[-1][: columns - 3] + "..."
    return lines


class Screen:
    # The panel of board `name`, turned by `rotation` quarter turns. `width` and `height` are in pixels.
    def __init__(self, name="dock", rotation=0):
        from pix.board import init_lcd

        self.width, self.height = init_lcd(name, rotation)
        self._columns = (self.width - 2 * _MARGIN) // _CHAR_W
        self._y = None  # where the next stage line goes; None while a picture or card is shown
        self._bar = -1  # cells of the progress bar already drawn

    def stage(self, text):
        # What is going on now, in up to three lines below the last one; starts a fresh page when another thing was
        # shown or the page is full.
        lines = wrap(text, self._columns, _STAGE_LINES)
        if self._y is None or self._y + len(lines) * _LINE_H - _LINE_H + _CHAR_H > self.height - _NOTE:
            self._clear(_MARGIN)
        self._y = self._draw(self._y, lines)

    def note(self, text):
        # What is wrong for the moment, in the two lines above the bar.
        top = self.height - _NOTE
        self._draw(top, [" " * self._columns] * 2)
        self._draw(top, wrap(text, self._columns, 2), lcd.YELLOW)

    def progress(self, done, total):
        # A bar at the bottom for `done` of `total` bytes (total None: length unknown, a running number only).
        top = self.height - _BAR
        columns = self._columns
        wanted = min(columns, done * columns // total) if total else done >> 14
        # Only what is new is drawn: a bar must not cost the fetch its time.
        if self._bar < 0 or wanted < self._bar:
            lcd.draw_string(_MARGIN, top, " " * columns, lcd.WHITE, lcd.DARKGREY)
            self._bar = 0
        if wanted > self._bar:
            if total:
                lcd.draw_string(_MARGIN + self._bar * _CHAR_W, top, " " * (wanted - self._bar), lcd.WHITE, lcd.GREEN)
            else:
                lcd.draw_string(_MARGIN, top, "%d kB" % (done >> 10), lcd.WHITE, lcd.DARKGREY)
            self._bar = wanted

    def check(self, path):
        # The Kind (pix.picture) of the file at `path`. Raises PixError with the reason when `show` could not show it;
        # what the panel shows stays.
        from pix.picture import inspect

        kind = inspect(path)
        w, h = kind.width, kind.height
        block = needed = kind.bytes_needed
        if w > self.width or h > self.height:
            fitted = self._fitted(w, h)
            needed += block * fitted[0] * fitted[1] // (w * h)
        told = "%dx%d needs %d kB" % (w, h, needed >> 10)
        tried = []
        pix.hand_over(pix.PICTURE)
        gc.collect()
        try:
            if needed + _SPARE > gc.mem_free():
                raise PixError("too-big", told)
            # The picture, and the one it is shrunk to: each has to find a block in one piece.
            tried.append(uio.BytesIO(block))
            tried.append(uio.BytesIO(needed - block))
        except MemoryError:
            raise PixError("no-memory", told)
        finally:
            for stream in tried:
                stream.close()
            pix.set_aside(pix.PICTURE)
        return kind

    def show(self, path):
        # Show the picture file at `path`, shrunk to fit, centred on black. Returns its own (width, height).
        # Raises PixError with the reason when it cannot be shown; what the panel showed stays until then.
        kind = self.check(path)
        img = None
        try:
            img = self._load(path, kind)
            lcd.display(img)
        except MemoryError:
            raise PixError("no-memory", "%dx%d" % (kind.width, kind.height))
        finally:
            del img
            gc.collect()
            pix.set_aside(pix.PICTURE)
        self._y = None
        self._bar = -1
        return kind.width, kind.height

    def error(self, err):
        # A card: what happened, why, what to do. `err` is a PixError.
        self._clear(None)
        for y in range(0, 3 * _CHAR_H, _CHAR_H):
            lcd.draw_string(0, y, " " * (self.width // _CHAR_W), lcd.WHITE, lcd.RED)
        lcd.draw_string(_MARGIN, _CHAR_H, err.title, lcd.WHITE, lcd.RED)
        remedy = wrap(err.remedy, self._columns)
        top = 3 * _CHAR_H + _MARGIN
        # The cause may hold a text of a server or a name of any length.
        room = (self.height - _BAR - top - 2 * _MARGIN) // _LINE_H - len(remedy)
        top = self._draw(top, wrap(err.cause, self._columns, room))
        self._draw(top + _MARGIN, remedy, lcd.YELLOW)
        lcd.draw_string(_MARGIN, self.height - _BAR, err.code, lcd.LIGHTGREY, lcd.BLACK)

    def _clear(self, y):
        lcd.clear(lcd.BLACK)
        self._y = y
        self._bar = -1

    def _draw(self, y, lines, colour=lcd.WHITE):
        for line in lines:
            lcd.draw_string(_MARGIN, y, line, colour, lcd.BLACK)
            y += _LINE_H
        return y

    def _load(self, path, kind):
        import image

        pix.hand_over(pix.PICTURE)
        gc.collect()
        try:
            img = image.Image(path)
        except (OSError, ValueError) as error:
            raise PixError("bad-picture", str(error))
        # A JPEG that the decoder cannot read becomes an image of 0x0 without any exception.
        if img.width() != kind.width or img.height() != kind.height:
            raise PixError("bad-picture", "MaixPy cannot decode it")
        if kind.width > self.width or kind.height > self.height:
            return img.resize(*self._fitted(kind.width, kind.height))
        return img

    def _fitted(self, width, height):
        # Largest size with the same shape that fits the panel.
        if width * self.height > height * self.width:
            return self.width, max(1, height * self.width // width)
        return max(1, width * self.height // height), self.height
