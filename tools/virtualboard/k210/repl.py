"""MaixPy's REPL for programs that hold the engine in their hands (tests, benchmarks): run until it has answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from virtualboard.clock import SECOND
from virtualboard.host.typist import Typist

if TYPE_CHECKING:
    from virtualboard.k210.engine import K210Engine

_FRIENDLY = b"\x02"
_PROMPT = b">>> "


class ReplError(RuntimeError):
    """The firmware raised an exception; the text is its traceback."""


class ReplTimeout(RuntimeError):
    """The firmware did not answer in time; the text is what came so far."""


class Repl:
    """The console of a running engine. `output` holds everything the console has printed."""

    def __init__(self, engine: K210Engine) -> None:
        self._engine = engine
        self._board = engine.board
        self._on_text: Callable[[int, bytes], None] = lambda _when, _data: None
        self.clock = engine.clock
        self.output = bytearray()

    def text(self) -> str:
        """Everything printed so far."""
        self.drain()
        return self.output.decode("utf-8", "replace")

    def drain(self) -> None:
        """Collect what has arrived on the host's side."""
        data = self._board.console_tx.take()
        if data:
            self.output += data
            self._on_text(self.clock.now, data)

    def wait_for(self, token: bytes, timeout_ns: int = 20 * SECOND, start: int | None = None) -> bytes:
        """Run until `token` was printed after position `start`; returns the text up to and with it."""
        begin = len(self.output) if start is None else start

        def seen() -> bool:
            self.drain()
            return self.output.find(token, begin) >= 0

        if not self._engine.run(seen, timeout_ns):
            raise ReplTimeout(f"no {token!r} within {timeout_ns / SECOND:g} s; got {bytes(self.output[begin:])!r}")
        return bytes(self.output[begin : self.output.find(token, begin) + len(token)])

    def wait_for_prompt(self, timeout_ns: int = 20 * SECOND) -> str:
        """Run until the friendly prompt appears anywhere in the output so far; returns that output."""
        return self.wait_for(_PROMPT, timeout_ns, start=0).decode("utf-8", "replace")

    def type(self, text: str | bytes) -> None:
        """Send keystrokes to the board."""
        self._board.console_rx.write(text.encode() if isinstance(text, str) else text)

    def listen(self, on_text: Callable[[int, bytes], None]) -> None:
        """Hand what is printed from now on to `on_text` alone, as `Typist` wants it."""
        self._on_text = on_text

    def exec(self, code: str, timeout_ns: int = 60 * SECOND) -> str:
        """Run `code` through the raw REPL; returns what it printed. Raises `ReplError` with the traceback."""
        self.drain()
        mark = len(self.output)
        printed, ended = bytearray(), []

        def over() -> bool:
            self.drain()
            return bool(ended)

        typist = Typist(self, code.encode(), printed.extend, lambda: ended.append(True), at_prompt=True)
        if not self._engine.run(over, timeout_ns):
            typist.stop()
            raise ReplTimeout(f"not ended within {timeout_ns / SECOND:g} s; got {bytes(self.output[mark:])!r}")
        mark = len(self.output)
        self.type(b"\r" + _FRIENDLY)
        self.wait_for(_PROMPT, start=mark)
        if typist.error:
            raise ReplError(typist.error.strip())
        return printed.decode("utf-8", "replace").replace("\r\n", "\n")
