"""Recorded sessions with a module: what was typed and what came back, from a file.

Two forms of file. One JSON object a line, with `commands` (a list of texts) and `bytes` (one text, escaped), and `id`
and `firmware` if known; or a dialogue as people keep it, which is easier to write by hand:

    # id: my module
    # firmware: 1.7.4.0
    > AT+GMR
    < AT version:1.7.4.0(May 11 2020 19:13:04)\\r\\n
    < ...\\r\\nOK\\r\\n
    > AT+CIPSEND=0,5
    < \\r\\nOK\\r\\n>\\x20
    > <5 bytes>

`> ` begins what was typed (CR LF is added, but not behind the payload of a send), `< ` what came; both know the
escapes \\r \\n \\t \\\\ \\xNN. `<5 bytes>` stands for a payload that was not kept. `# id:` begins another session;
other lines with # are remarks.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0"}


@dataclass(frozen=True)
class Session:
    """One recorded session. `firmware` is whatever its recorder called it, "" when unknown."""

    id: str
    firmware: str
    commands: tuple[bytes, ...]
    printed: bytes


def unescape(text: str) -> bytes:
    """The bytes that `text` stands for; a backslash before any other character stands for that one."""

    def one(match: re.Match[bytes]) -> bytes:
        what = match[1]
        return bytes((int(what[1:], 16),)) if len(what) == 3 else _PLAIN.get(what, what)

    return _ESCAPE.sub(one, text.encode())


def escape(data: bytes) -> str:
    """`data` in the notation of a dialogue."""
    return repr(data)[2:-1].replace("\\'", "'")


def load(path: Path) -> list[Session]:
    """The sessions of a file. ValueError, with the line's number, when it is none; OSError when it cannot be read."""
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    sessions = _from_json(text) if text.lstrip().startswith("{") else _from_dialogue(text, path.stem)
    if not sessions:
        raise ValueError("no session in it: a dialogue has lines that begin with '> ' and '< '")
    return sessions


def _from_json(text: str) -> list[Session]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            commands = tuple(unescape(command) for command in record["commands"])
            printed = unescape(record["bytes"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'line {number} is no session with "commands" and "bytes" ({error})') from None
        found.append(Session(str(record.get("id", number)), str(record.get("firmware", "")), commands, printed))
    return found


def _from_dialogue(text: str, name: str) -> list[Session]:
    found: list[Session] = []
    identity, firmware = name, ""
    commands: list[bytes] = []
    printed = bytearray()

    def finish() -> None:
        if commands or printed:
            found.append(Session(identity, firmware, tuple(commands), bytes(printed)))
        commands.clear()
        printed.clear()

    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            if key.strip() == "id":
                finish()
                identity, firmware = value.strip(), ""
            elif key.strip() == "firmware":
                firmware = value.strip()
        elif line[:1] == ">":
            commands.append(unescape(line[1:].removeprefix(" ")))
        elif line[:1] == "<":
            printed += unescape(line[1:].removeprefix(" "))
        elif line.strip():
            raise ValueError(f"line {number} begins with neither '> ' (typed) nor '< ' (came) nor #")
    finish()
    return found
