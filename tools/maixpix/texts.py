"""The one reader for text files that people make: key files, settings, fault plans, programs.

Editors write UTF-8 with and without a byte order mark (Windows Notepad), UTF-16 ("Unicode" in Windows, and what
PowerShell's `>` writes), and the code page of western Windows (cp1252, whose printable part is Latin-1's). Each is
read for what it is; what is none of them is refused in one sentence. Lines end with LF, CR LF or CR.
"""

from __future__ import annotations

import codecs
import json
import sys
from pathlib import Path
from typing import Any

from maixpix.errors import UserError

MOST = 1 << 20
"""Bytes of the largest file that is taken for a text of a person."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CURLED = "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u201e": "\u201c", "\u2018": "\u2019", "\u00ab": "\u00bb"}
_CONTROLS = {chr(number) for number in range(32)} - set("\t\n\r\f") | {"\x7f"}
_RICH = "{\\rtf"
_SAVE = "save it as plain text in UTF-8"


def read(path: Path | str, what: str, remedy: str) -> str:
    """The text of the file `path`, or of stdin for "-"; lines end with LF.

    `what` says in one or two words what is wanted ("fault plan"), `remedy` what to do when there is no such file.
    Raises UserError when it cannot be read, is larger than 1 MiB, or is no text.
    """
    if str(path) == "-":
        return decode(sys.stdin.buffer.read(MOST + 1), "the standard input")
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST + 1)
    except FileNotFoundError:
        raise UserError(f"there is no {what} {path}", remedy) from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, no {what}", remedy) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read the {what} {path}: {why}", remedy) from None
    return decode(data, str(path))


def decode(data: bytes, where: str) -> str:
    """`data` of the file `where` as text, without its byte order mark, lines ending with LF.

    Raises UserError when it is no text in any of the encodings that people's editors write; never quotes it.
    """
    if len(data) > MOST:
        raise UserError(f"{where} is larger than {MOST // 1024} KiB", "name a text file that a person wrote")
    text = _decoded(data, where)
    if text.startswith(_RICH):
        raise UserError(f"{where} is no plain text but RTF, as TextEdit and WordPad write it", _SAVE)
    control = next((char for char in text if char in _CONTROLS), None)
    if control is not None:
        raise UserError(f"{where} is no text: it holds the control character {ord(control):#04x}", _SAVE)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes, where: str) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _as(data[len(mark) :], encoding, where)
    for encoding, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[::2])):
        # Without a mark the zero half of plain letters gives UTF-16 away; no other text has zeros.
        if zeros and zeros.count(0) * 2 > len(zeros):
            return _as(data, encoding, where)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _as(data, "cp1252", where)


def _as(data: bytes, encoding: str, where: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{where} is no text that can be read (line {number})", _SAVE) from None


def parse_json(text: str, where: str, remedy: str) -> Any:
    """The value of the JSON `text`, which came from `where`; its contents are never quoted.

    Raises UserError with the place of the fault, and names typographic quotes, which word processors make.
    """
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeEncodeError:
        raise UserError(
            f"{where} holds half of a character (an escape like \\ud83d without the other)", remedy
        ) from None
    except json.JSONDecodeError as error:
        if not text.strip():
            cause = "it is empty"
        elif error.pos >= len(text.rstrip()):
            cause = "it ends in the middle"
        elif text[error.pos : error.pos + 1] in tuple(_CURLED):
            cause = f'line {error.lineno} has a typographic quote where a plain " belongs'
        else:
            cause = f"line {error.lineno}, column {error.colno}: {error.msg.lower()}"
        raise UserError(f"{where} is no whole JSON ({cause})", remedy) from None
    except RecursionError:
        raise UserError(f"{where} is no usable JSON (it is nested too deeply)", remedy) from None


def entries(text: str) -> tuple[list[str], list[int]]:
    """The lines of a list that a person keeps, such as keys, and the numbers (from 1) of those that stood in quotes.

    Empty lines count for nothing; blanks around an entry and one pair of quotes around it are no part of it.
    """
    found, quoted = [], []
    for line in text.split("\n"):
        entry = line.strip(" \t\f\u00a0\ufeff")
        if not entry:
            continue
        if len(entry) > 2 and _QUOTES.get(entry[0]) == entry[-1]:
            entry = entry[1:-1]
            quoted.append(len(found) + 1)
        found.append(entry)
    return found, quoted
