"""A client of the board's own pages: one request on one connection, what came back, and a time by which it is over."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from maixpix.torture.talk import Do, Step, Talk
from virtualboard.clock import SECOND

PATIENCE_S = 20
"""For which a client waits for the end of an answer."""


@dataclass
class Answer:
    """What came: `status` is 0 unless it came whole, head and body; `raw` is all of it."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def token(self) -> str:
        """What a form of this page must bring, "" when it has none."""
        found = re.search(r'name="csrf" value="(\w+)"', self.text)
        return found[1] if found else ""


def parsed(data: bytes) -> Answer:
    """The answer in `data`, everything up to the end of the connection."""
    head, found, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if not found or len(words) < 2 or not words[1].isdigit():
        return Answer(raw=data)
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    body = _joined(rest) if fields.get("transfer-encoding") == "chunked" else _measured(rest, fields)
    return Answer(0 if body is None else int(words[1]), fields, body or b"", data)


def _measured(rest: bytes, fields: dict[str, str]) -> bytes | None:
    length = fields.get("content-length", "")
    return rest if not length or length == str(len(rest)) else None


def _joined(data: bytes) -> bytes | None:
    out = b""
    while True:
        size, found, data = data.partition(b"\r\n")
        if not found or not re.fullmatch(rb"[0-9a-fA-F]{1,6}", size):
            return None
        count = int(size, 16)
        if data[count : count + 2] != b"\r\n":
            return None
        if not count:
            return out
        out += data[:count]
        data = data[count + 2 :]


class Call(Talk):
    """One connection of a client: says `steps`, and calls `then(answer)` once, when the board has closed, the client's
    own reset has gone out, or its patience is over."""

    def __init__(self, steps: Sequence[Step], then: Callable[[Answer], None], patience_s: float = PATIENCE_S) -> None:
        super().__init__()
        self._steps = steps
        self._then: Callable[[Answer], None] | None = then
        self._patience_s = patience_s

    def connected(self) -> None:
        """The connection is up."""
        self.clock.after(round(self._patience_s * SECOND), self._give_up)
        self.play([*self._steps, Do.STAY])

    def finished(self) -> None:
        """The board has closed."""
        super().finished()
        self._tell()

    def _give_up(self) -> None:
        if not self.over:
            self.over = True
            self.reset()
        self._tell()

    def _tell(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(parsed(bytes(self.heard)))


def request(method: str, path: str, host: str, *fields: tuple[str, object], body: bytes = b"") -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


FORM = ("Content-Type", "application/x-www-form-urlencoded")


def form(**values: str) -> bytes:
    """A form's fields as a body of that type."""
    return urlencode(values).encode()


def multipart(token: str, filename: str, data: bytes) -> tuple[tuple[str, str], bytes]:
    """(field Content-Type, body) of a form with a picture."""
    mark = "torture7MA4YWxk"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{token}\r\n'
        f'--{mark}\r\nContent-Disposition: form-data; name="photo"; filename="{filename}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    return ("Content-Type", f"multipart/form-data; boundary={mark}"), body + data + f"\r\n--{mark}--\r\n".encode()
