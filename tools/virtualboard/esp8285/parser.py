"""The text of a command: its name, its kind, its arguments, with the firmware's own quoting rules.

Source: the parsers of the AT 1.7.6 binary (`at_data_str_copy` and friends, NONOS SDK 3.0.6).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_DIGITS = b"0123456789"
_MAX_DIGITS = 10


class BadArgument(Exception):
    """An argument that the firmware refuses. `reason` is what it prints before ERROR (may be empty)."""

    def __init__(self, reason: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Command:
    """A command line taken apart. `kind` is one of `execute`, `query`, `test`, `setup`."""

    name: bytes
    kind: str
    arguments: bytes


def split_command(line: bytes) -> Command | None:
    """Take `line` (what follows `AT`, without the line feed) apart; None when it is no command.

    A line must end in CR. The name ends at the first digit, `=`, `?` or CR.
    """
    end = 0
    while end < len(line) and line[end : end + 1] not in (b"=", b"?", b"\r") and line[end] not in _DIGITS:
        end += 1
    name, rest = line[:end], line[end:]
    if rest == b"\r":
        return Command(name, "execute", b"")
    if rest == b"?\r":
        return Command(name, "query", b"")
    if rest == b"=?\r":
        return Command(name, "test", b"")
    if rest[:1] == b"=":
        return Command(name, "setup", rest[1:])
    if rest and rest[0] in _DIGITS and name == b"E":
        return Command(name, "setup", rest)
    return None


class Arguments:
    """A cursor over the arguments of a command, CR included."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def _peek(self) -> bytes:
        return self._text[self._at : self._at + 1]

    @property
    def at_string(self) -> bool:
        """True when the next argument is a quoted string."""
        return self._peek() == b'"'

    @property
    def at_number(self) -> bool:
        """True when the next argument starts with a digit."""
        return self._peek().isdigit()

    def number(self, reason: bytes = b"") -> int:
        """A decimal number of up to ten digits, followed by a separator."""
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in _DIGITS:
            self._at += 1
        digits = self._text[start : self._at]
        if not digits or len(digits) > _MAX_DIGITS or self._peek() not in (b",", b"\r"):
            raise BadArgument(reason)
        return int(digits)

    def number_in(self, low: int, high: int, reason: bytes = b"") -> int:
        """A number between `low` and `high`, both included."""
        value = self.number(reason)
        if not low <= value <= high:
            raise BadArgument(reason)
        return value

    def signed_in(self, low: int, high: int) -> int:
        """As `number_in`, with an optional minus."""
        sign = 1
        if self._peek() == b"-":
            self._at += 1
            sign = -1
        value = sign * self.number()
        if not low <= value <= high:
            raise BadArgument
        return value

    def string(self, limit: int, reason: bytes = b"") -> bytes:
        """A quoted string of at most `limit` bytes. A backslash makes the next byte literal, whatever it is."""
        if not self.at_string:
            raise BadArgument(reason)
        out = bytearray()
        at = self._at + 1
        while True:
            byte = self._text[at : at + 1]
            if byte == b"\\":
                at += 1
                byte = self._text[at : at + 1]
            elif byte == b'"':
                break
            if byte in (b"", b"\r"):
                raise BadArgument(reason)
            out += byte
            at += 1
        self._at = at + 1
        if len(out) > limit or self._peek() not in (b",", b"\r"):
            raise BadArgument(reason)
        return bytes(out)

    def comma(self, reason: bytes = b"") -> None:
        """A comma, and another argument after it."""
        if not self.more(reason):
            raise BadArgument(reason)

    def more(self, reason: bytes = b"") -> bool:
        """Step over a comma when there is one; False at the end of the line."""
        if self._peek() == b",":
            self._at += 1
            return True
        self.end(reason)
        return False

    def end(self, reason: bytes = b"") -> None:
        """Nothing but CR is left."""
        if self._text[self._at :] != b"\r":
            raise BadArgument(reason)


def ip_argument(args: Arguments, reason: bytes = b"", invalid: bytes | None = None) -> str:
    """A quoted dotted address; `reason` is printed for what is no string, `invalid` for what is no address."""
    text = args.string(15, reason).decode("latin-1")
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise BadArgument(reason if invalid is None else invalid) from None


def mac_argument(args: Arguments) -> str:
    """A quoted MAC that an interface may have: not all ones or zeros, and of one station (NONOS SDK
    wifi_set_macaddr)."""
    text = args.string(17).decode("latin-1").lower()
    args.end()
    if not re.fullmatch(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", text) or not int(text.replace(":", ""), 16):
        raise BadArgument
    if int(text[:2], 16) & 1:
        raise BadArgument
    return text
