"""Talks to MaixPy's REPL through the console lanes, for tests and for `maixpix board --exec`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.clock import SECOND

if TYPE_CHECKING:
    from virtualboard.k210.engine import K210Engine

_RAW, _FRIENDLY, _INTERRUPT, _END = b"\x01", b"\x02", b"\x03", b"\x04"
_PROMPT = b">>> "
_CHUNK, _CHUNK_NS = 256, 30_000_000


class ReplError(RuntimeError):
    """The firmware raised an exception; the text is its traceback."""


class ReplTimeout(RuntimeError):
    """The firmware did not answer in time; the text is what came so far."""


class Repl:
    """The console of a running engine. `output` holds everything the console has printed."""

    def __init__(self, engine: K210Engine) -> None:
        self._engine = engine
        self._board = engine.board
        self.output = bytearray()

    def text(self) -> str:
        """Everything printed so far."""
        self.drain()
        return self.output.decode("utf-8", "replace")

    def drain(self) -> None:
        """Collect what has arrived on the host's side."""
        self.output += self._board.console_tx.take()

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

    def exec(self, code: str, timeout_ns: int = 60 * SECOND) -> str:
        """Run `code` through the raw REPL; returns what it printed. Raises `ReplError` with the traceback."""
        self.drain()
        mark = len(self.output)
        self.type(b"\r" + _INTERRUPT + _RAW)
        self.wait_for(b"raw REPL; CTRL-B to exit\r\n>", start=mark)
        mark = len(self.output)
        source = code.encode()
        for at in range(0, len(source), _CHUNK):
            self.type(source[at : at + _CHUNK])
            self._engine.run(timeout_ns=_CHUNK_NS)
        self.type(_END)
        # In order: OK, what was printed, 04, what was raised, 04 and the next prompt.
        self.wait_for(b"OK", start=mark)
        begin = self.output.index(b"OK", mark) + 2
        self.wait_for(_END, timeout_ns, start=begin)
        middle = self.output.index(_END, begin)
        self.wait_for(_END + b">", start=middle + 1)
        raised = bytes(self.output[middle + 1 : self.output.index(_END, middle + 1)])
        printed = bytes(self.output[begin:middle]).decode("utf-8", "replace")
        mark = len(self.output)
        self.type(b"\r" + _FRIENDLY)
        self.wait_for(_PROMPT, start=mark)
        if raised:
            raise ReplError(raised.decode("utf-8", "replace").strip())
        return printed.replace("\r\n", "\n")
