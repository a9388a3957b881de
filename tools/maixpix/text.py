"""Foreign text made harmless: what boards, servers, files and networks are called and say never drives the terminal.

An escape sequence in a file name could move the cursor, colour the screen, rename the window or put text on the
clipboard; a bidirectional control could show a name in another order than it has. Each such character is shown as
U+FFFD, one for one, so that pieces of a stream can be cleaned as they come.
"""

from __future__ import annotations

import codecs

_LINES = "\n\t"

_CONTROL = [*range(0x20), *range(0x7F, 0xA0)]
"""C0, DEL and C1 (ECMA-48): what escape and control sequences begin with."""

_BIDI = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""Bidirectional controls (Unicode UAX 9)."""

_OTHER = [0x2028, 0x2029, 0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080), *range(0xD800, 0xE000)]
"""Line ends that some terminals take for such, marks nobody sees, tags, and halves of characters."""

_HARMLESS = dict.fromkeys([*_CONTROL, *_BIDI, *_OTHER], "�")
_HARMLESS_LINES = {code: mark for code, mark in _HARMLESS.items() if chr(code) not in _LINES}


def plain(text: str) -> str:
    """`text` with line ends and tabs, and without anything else that a terminal would obey."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_HARMLESS_LINES)


class Cleaner:
    """Makes bytes plain text as they come: characters and line ends may be split between pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._after_cr = False

    def feed(self, data: bytes) -> str:
        """The text of `data`, as `plain`."""
        text = self._decoder.decode(data)
        if not text:
            return ""
        skip = self._after_cr and text.startswith("\n")  # its line end has been given already
        self._after_cr = text.endswith("\r")
        return plain(text[skip:])


def one_line(text: str) -> str:
    """`text` on one line, runs of white space as one space."""
    return " ".join(text.split()).translate(_HARMLESS)
