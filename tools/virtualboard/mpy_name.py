"""The name of the source that mpy-cross wrote into an `.mpy` file."""

from __future__ import annotations


def embedded_name(content: bytes) -> str | None:
    """The source name that mpy-cross wrote into the file (`-s`), None when it is no version 4 file.

    It stands as a qstr of the outermost code block: twice its length, then the text (MicroPython v1.11
    `py/persistentcode.c`; a name of up to 63 characters has a length of one byte).
    """
    if content[:2] != b"M\x04":
        return None
    end = content.find(b".py")
    while end >= 0:
        for length in range(4, min(64, end + 3)):
            first = end + 3 - length
            name = content[first : end + 3]
            if first < 1 or not name.isascii() or not name.decode("ascii").isprintable():
                break
            if content[first - 1] == 2 * length:
                return name.decode("ascii")
        end = content.find(b".py", end + 1)
    return None
