"""Types a program at a board's REPL and collects the answer: the raw-REPL client on the console lanes.

It is a state machine on the host's end of the line, driven by what the board prints, so it works with either engine and
costs no thread. The protocol is MicroPython 1.11's: Ctrl-A enters raw mode, Ctrl-D runs, and the answer is `OK`, the
output, 04, the traceback (empty when all went well), 04 (MicroPython v1.11, lib/utils/pyexec.c).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from virtualboard.clock import MS, Clock

_PROMPT = b">>> "
_RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
_FIRST_KNOCK_NS = 4000 * MS  # a board without anything to run shows its prompt well before this
_KNOCK_NS = 1000 * MS


class Console(Protocol):
    """The host's end of a serial console."""

    clock: Clock

    def listen(self, on_text: Callable[[int, bytes], None]) -> None:
        """Hand what the board prints to `on_text`, with the virtual time of its arrival."""

    def type(self, data: bytes) -> None:
        """Send keystrokes."""


class Typist:
    """Runs `code` once the board listens. `on_output(data)` gets what it prints, `on_end()` is called when it is over.

    `before` is run before it, unseen, so that line numbers in tracebacks are the program's own.
    Afterwards `error` is the traceback text ("" when the program ended well); None while it has not ended. With
    `at_prompt` the board has shown its prompt already; otherwise `prompted` tells whether it has by now.
    """

    def __init__(
        self,
        console: Console,
        code: bytes,
        on_output: Callable[[bytes], None],
        on_end: Callable[[], None],
        at_prompt: bool = False,
        before: bytes = b"",
    ) -> None:
        self._clock = console.clock
        self._line = console
        self._codes = [before, code] if before else [code]
        self._on_output = on_output
        self._on_end = on_end
        self._seen = bytearray()
        self._state = self._enter if at_prompt else self._boot
        self.error: str | None = None
        self.boot_text = bytearray()
        self.prompted = at_prompt
        console.listen(self._feed)
        self._knock = self._clock.after(_KNOCK_NS if at_prompt else _FIRST_KNOCK_NS, self._interrupt)
        if at_prompt:
            console.type(b"\r\x03\x01")

    def stop(self) -> None:
        """Give up on a program that does not end."""
        self._seen.clear()
        self._state = self._done
        self._knock.cancel()

    def _feed(self, _when: int, data: bytes) -> None:
        self._seen += data
        before = None
        while before != (self._state, len(self._seen)):
            before = self._state, len(self._seen)
            self._state()

    def _interrupt(self) -> None:
        """Whatever runs there, stop it; again and again until the prompt shows."""
        self._line.type(b"\r\x03\r\x01" if self._state == self._enter else b"\r\x03")
        self._knock = self._clock.after(_KNOCK_NS, self._interrupt)

    def _boot(self) -> None:
        if _PROMPT in self._seen:
            self.boot_text += self._seen
            self._seen.clear()
            self.prompted = True
            self._state = self._enter
            self._line.type(b"\r\x01")
            self._knock.cancel()
            self._knock = self._clock.after(_KNOCK_NS, self._interrupt)

    def _enter(self) -> None:
        if _RAW_PROMPT in self._seen:
            self._knock.cancel()
            self._seen.clear()
            self._state = self._accept
            self._line.type(self._codes.pop(0) + b"\x04")

    def _accept(self) -> None:
        if len(self._seen) >= 2:
            if self._seen[:2] != b"OK":
                self._finish("the board did not accept the program: " + self._seen.decode("utf-8", "replace"))
                return
            del self._seen[:2]
            self._state = self._output

    def _output(self) -> None:
        end = self._seen.find(b"\x04")
        piece = bytes(self._seen if end < 0 else self._seen[:end])
        if piece and not self._codes:
            self._on_output(piece)
        del self._seen[: len(piece) + (end >= 0)]
        if end >= 0:
            self._state = self._trace

    def _trace(self) -> None:
        end = self._seen.find(b"\x04")
        if end < 0:
            return
        error = self._seen[:end].decode("utf-8", "replace").replace("\r\n", "\n")
        if error or not self._codes:
            self._finish(error)
            return
        del self._seen[: end + 1]
        self._state = self._next

    def _next(self) -> None:
        """The raw REPL's `>` after an answer: it takes another program."""
        if b">" in self._seen:
            self._seen.clear()
            self._state = self._accept
            self._line.type(self._codes.pop(0) + b"\x04")

    def _finish(self, error: str) -> None:
        self.error = error
        self.stop()
        self._on_end()

    def _done(self) -> None:
        self._seen.clear()
