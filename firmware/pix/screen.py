# The panel: pictures that fit, a progress bar, stages of the start, and error cards.
#
# Everything is drawn with lcd.draw_string alone (8x12 pixel cells; a filled area is a text of spaces), so that an error
# can be shown when there is no memory left for an image, and on builds before v0.6.2-44, whose lcd has no rectangles.
# From the top: stage lines, two lines for a note, the progress bar.

import gc

import lcd
from micropython import const

import pix
from pix.config import need
from pix.errors import PixError
from pix.turn import swaps

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


def _mend_edges(small, img):
    # The last row and column of `small`, to which MaixPy shrank the grey picture `img`: it makes an average of what is
    # in the picture and of what lies behind it (py_image_resize of py_image.c).
    w, h = small.width(), small.height()
    from_w, from_h = img.width(), img.height()
    for x in range(w):
        small.set_pixel(x, h - 1, img.get_pixel(x * from_w // w, from_h - 1))
    for y in range(h):
        small.set_pixel(w - 1, y, img.get_pixel(from_w - 1, y * from_h // h))


class Screen:
    # The panel of board `name`, turned by `rotation` quarter turns; of a pix.config.Settings its board and rotation are
    # taken. `width` and `height` are in pixels.
    def __init__(self, name="dock", rotation=0):
        from pix.board import init_lcd

        if not isinstance(name, str):
            need(name, "screen.Screen")
            name, rotation = name.board, name.rotation
        self.width, self.height = init_lcd(name, rotation)
        self._name = name
        self._rotation = rotation
        self._columns = (self.width - 2 * _MARGIN) // _CHAR_W
        self._y = None  # where the next stage line goes; None while a picture or card is shown
        self._bar = -1  # cells of the progress bar already drawn
        self._picture = None  # decoded by `check`, as large as it will be shown
        self._kind = None  # and what it was

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

    def check(self, path, proven=False):
        # Decode the picture file at `path` and keep it for the next `show()`: what was found right is what is shown,
        # whatever becomes of the file. Returns its Kind (pix.picture). Raises PixError with the reason when it cannot
        # be shown; what the panel shows stays. `proven`: every byte is what it was when it was checked before.
        from pix.picture import inspect, walk

        self.drop()
        kind = inspect(path)
        w, h = self._room(kind)
        needed = kind.bytes_needed
        if kind.width > w or kind.height > h:
            fitted = self._fitted(kind)
            needed += kind.bytes_needed * fitted[0] * fitted[1] // (kind.width * kind.height)
        told = "%dx%d needs %d kB" % (kind.width, kind.height, needed >> 10)
        pix.hand_over(pix.PICTURE)
        gc.collect()
        fits = needed + _SPARE <= gc.mem_free()
        pix.set_aside(pix.PICTURE)
        if not fits:
            raise PixError("too-big", told)
        try:
            if not proven:
                try:
                    walk(path, kind)
                except MemoryError:
                    # Its tables find room where the picture will be, and are gone before that comes.
                    pix.hand_over(pix.PICTURE)
                    walk(path, kind)
            pix.hand_over(pix.PICTURE)
            gc.collect()
            self._picture = self._load(path, kind)
        except MemoryError:
            raise PixError("no-memory", told)
        finally:
            if self._picture is None:
                self.drop()
        self._kind = kind
        return kind

    def show(self, path=None, change="cut", proven=False):
        # Show the picture file at `path`, or without one the picture of the last `check`: shrunk to fit, upright,
        # centred on black. Returns the file's own (width, height). Raises PixError with the reason when it cannot be
        # shown; what the panel showed stays until then. `change` is how it comes: "cut", "wipe" or "fade", see
        # pix.change. `proven` as in `check`.
        if path is not None:
            self.check(path, proven)
        if self._picture is None:
            raise PixError("internal", "no picture was checked")
        kind = self._kind
        img = self._picture
        try:
            if (img.width(), img.height()) != self._room(kind):
                # Not left to lcd.display: it fills borders in pairs of pixels and leaves out an odd one.
                lcd.clear(lcd.BLACK)
            if change != "cut" and kind.orientation == 1 and not kind.grey:
                from pix.change import bring

                bring(change, img, (self.width - img.width()) // 2, (self.height - img.height()) // 2)
            elif kind.orientation == 1:
                self._display(0, 0)
            else:
                from pix.turn import draw

                draw(self._display, kind.orientation, self._name, self._rotation)
        finally:
            del img
            self.drop()
        self._y = None
        self._bar = -1
        return kind.width, kind.height

    def drop(self):
        # Give back the memory of a picture that was checked and will not be shown.
        self._picture = None
        gc.collect()
        pix.set_aside(pix.PICTURE)

    def error(self, err):
        # A card: what happened, why, what to do. `err` is a PixError. A picture that was checked is not shown any more.
        self.blank()
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

    def blank(self):
        # An empty panel, for whoever draws on it without this class.
        if self._picture is not None:
            self.drop()
        self._clear(None)

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

        try:
            img = image.Image(path)
        except (OSError, ValueError) as error:
            raise PixError("bad-picture", str(error))
        # A JPEG that the decoder cannot read becomes an image of 0x0 without any exception.
        if img.width() != kind.width or img.height() != kind.height:
            raise PixError("bad-picture", "MaixPy cannot decode it")
        w, h = self._room(kind)
        if kind.width > w or kind.height > h:
            small = img.resize(*self._fitted(kind))
            if kind.grey:
                _mend_edges(small, img)
            return small
        return img

    def _room(self, kind):
        # The panel's size as the file's pixels lie on it.
        if swaps(kind.orientation):
            return self.height, self.width
        return self.width, self.height

    def _fitted(self, kind):
        # Largest size with the same shape that fits the panel. MaixPy takes the step from row to row for that from
        # column to column in a grey picture: with a greater one than the columns need, rows would go on in the next.
        w, h = self._room(kind)
        if kind.width * h > kind.height * w:
            height = max(1, kind.height * w // kind.width)
            return min(w, kind.width * height // kind.height) if kind.grey else w, height
        return max(1, kind.width * h // kind.height), h

    def _display(self, dx, dy):
        # The kept picture, centred; (dx, dy) is where the visible part of a turned panel begins.
        img = self._picture
        w, h = img.width(), img.height()
        room = self._room(self._kind)
        left = (room[0] - w) // 2 + dx
        top = (room[1] - h) // 2 + dy
        odd = self._kind.grey and w * h & 1
        if not odd or w * h > 1:
            lcd.display(img, oft=(left, top))
        if odd:
            # MaixPy sends grey pixels in pairs: it leaves out the last one, and one alone stops the board.
            import image

            level = img.get_pixel(w - 1, h - 1)
            dot = image.Image(size=(1, 1))
            dot.set_pixel(0, 0, (level, level, level))
            lcd.display(dot, oft=(left + w - 1, top + h - 1))
