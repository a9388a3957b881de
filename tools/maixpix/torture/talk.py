"""One connection of a scripted server: what it says, piece by piece, with pauses, in virtual time."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator

from virtualboard.clock import MS
from virtualboard.network import Script


class Do(enum.Enum):
    """What a server may do instead of saying something."""

    RESET = enum.auto()
    FINISH = enum.auto()
    """Close in order, as it does after its last step anyway."""
    STAY = enum.auto()
    """Say nothing more and keep the connection open."""


Step = bytes | int | Do
"""Bytes to say, milliseconds to wait, or one of `Do`. After its last step a server closes in order."""


class Talk(Script):
    """A connection that plays steps. `heard` collects what the module sent."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.over = False

    def received(self, data: bytes) -> None:
        """Collect the module's bytes."""
        self.heard += data

    def finished(self) -> None:
        """The module closed: nothing is said any more."""
        self.over = True

    def play(self, steps: Iterable[Step]) -> None:
        """Say `steps`, from now on."""
        self._go_on(iter(steps))

    def _go_on(self, steps: Iterator[Step]) -> None:
        for step in steps:
            if self.over:
                return
            if isinstance(step, bytes):
                self.send(step)
            elif isinstance(step, int):
                self.clock.after(step * MS, lambda: self._go_on(steps))
                return
            elif step is Do.RESET:
                self.reset()
                return
            elif step is Do.FINISH:
                break
            else:
                return
        if not self.over:
            self.finish()


class Request:
    """The head of an HTTP request: method, path and fields by lower-case name, damaged ones as they came."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        self.method = words[0]
        self.path = words[1] if len(words) > 1 else ""
        self.fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.fields.setdefault(name.strip().lower(), value.strip())

    def number(self, name: str) -> int:
        """A field as a number, -1 when it is none."""
        text = self.fields.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1


class Answering(Talk):
    """A connection to an HTTP server: `steps(request)` tells what it does once the head of the first is whole."""

    def __init__(self, steps: Callable[[Request], Iterable[Step]]) -> None:
        super().__init__()
        self._steps = steps
        self._answered = False

    def received(self, data: bytes) -> None:
        """Answer once the head is whole."""
        super().received(data)
        if not self._answered and b"\r\n\r\n" in self.heard:
            self._answered = True
            self.play(self._steps(Request(bytes(self.heard).partition(b"\r\n\r\n")[0])))


def head(status: str, *fields: tuple[str, object]) -> bytes:
    """The head of an HTTP response."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
