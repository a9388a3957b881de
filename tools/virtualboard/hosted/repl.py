"""The REPL: friendly, raw and paste mode, byte for byte as MicroPython v1.11 `lib/utils/pyexec.c` answers.

Ctrl-A raw, Ctrl-B friendly, Ctrl-C clears the line, Ctrl-D soft reset (raw: run what was sent, nothing sent: soft
reset), Ctrl-E paste. There is no raw-paste mode.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from virtualboard.hosted.chip import Chip
from virtualboard.hosted.errors import SoftReset, Stopped
from virtualboard.hosted.loader import Loader
from virtualboard.hosted.terminal import Terminal
from virtualboard.hosted.traces import format_exception

CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = 1, 2, 3, 4, 5
_RAW_CONTROLS = bytes((CTRL_A, CTRL_B, CTRL_C, CTRL_D))  # Ctrl-E is text in raw mode
BANNER = (
    "MicroPython v0.6.2-44-gd9dc6c58c on 2021-03-30; Sipeed_M1 with kendryte-k210\r\n"
    'Type "help()" for more information.\r\n'
)


class Prompt:
    """Serves the console until a soft reset or a stop."""

    def __init__(self, chip: Chip, terminal: Terminal, loader: Loader, main: dict[str, Any]) -> None:
        self._chip = chip
        self._terminal = terminal
        self._loader = loader
        self._main = main
        self.raw = False
        """The mode; it is kept over a soft reset."""

    def serve(self, raw: bool) -> None:
        """Serve until Ctrl-D raises SoftReset; `raw` is the mode to begin in."""
        self.raw = raw
        while True:
            try:
                if self.raw:
                    self._raw()
                else:
                    self._friendly()
            except _Switch as switch:
                self.raw = switch.raw

    # -- friendly -----------------------------------------------------------------------------------------

    def _friendly(self) -> None:
        self._terminal.write_raw(BANNER.encode())
        while True:
            line = self._line(">>> ")
            if line is None:
                continue
            source = line
            while _incomplete(source):
                more = self._line("... ", nested=True)
                if more is None:
                    source = ""
                    break
                if more == "" and source.endswith("\n"):
                    break
                source += "\n" + more
                if more == "":
                    break
            if source.strip():
                self._run(source, "single")

    def _line(self, prompt: str, nested: bool = False) -> str | None:
        """One line with simple editing; None after Ctrl-C."""
        terminal = self._terminal
        terminal.write_raw(prompt.encode())
        line = bytearray()
        escape = 0
        while True:
            self._chip.interrupted = False
            char = terminal.read_char()
            assert char is not None
            if escape:
                # Cursor keys and the like: swallowed.
                escape = 2 if escape == 1 and char in b"[O" else 0 if escape == 2 and char >= 0x40 else escape - 1
            elif char == 27:
                escape = 1
            elif char in (13, 10):
                terminal.write_raw(b"\r\n")
                return line.decode("utf-8", "replace")
            elif char == CTRL_C:
                terminal.write_raw(b"\r\n")
                return None
            elif char in (8, 127):
                if line:
                    del line[-1:]
                    terminal.write_raw(b"\x08 \x08")
            elif not line and not nested and char == CTRL_A:
                terminal.write_raw(b"\r\n")
                raise _Switch(True)
            elif not line and not nested and char == CTRL_B:
                terminal.write_raw(b"\r\n")
                raise _Switch(False)
            elif not line and not nested and char == CTRL_D:
                terminal.write_raw(b"\r\n")
                raise SoftReset
            elif not line and not nested and char == CTRL_E:
                self._paste()
                return None
            elif char >= 32 or char == 9:
                line.append(char)
                terminal.write_raw(bytes((char,)))

    def _paste(self) -> None:
        terminal = self._terminal
        terminal.write_raw(b"\r\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== ")
        text = bytearray()
        while True:
            self._chip.interrupted = False
            char = terminal.read_char()
            assert char is not None
            if char == CTRL_C:
                terminal.write_raw(b"\r\n")
                return
            if char == CTRL_D:
                terminal.write_raw(b"\r\n")
                self._run(text.decode("utf-8", "replace"), "exec")
                return
            if char == 13:
                text.append(10)
                terminal.write_raw(b"\r\n=== ")
            else:
                text.append(char)
                terminal.write_raw(bytes((char,)))

    # -- raw ----------------------------------------------------------------------------------------------

    def _raw(self) -> None:
        terminal = self._terminal
        terminal.write_raw(b"raw REPL; CTRL-B to exit\r\n")
        while True:
            terminal.write_raw(b">")
            text = bytearray()
            while True:
                self._chip.interrupted = False
                char = terminal.read_char()
                assert char is not None
                if char == CTRL_A:
                    terminal.write_raw(b"raw REPL; CTRL-B to exit\r\n")
                    break
                if char == CTRL_B:
                    terminal.write_raw(b"\r\n")
                    raise _Switch(False)
                if char == CTRL_C:
                    text.clear()
                elif char == CTRL_D:
                    terminal.write_raw(b"OK")
                    if not text:
                        terminal.write_raw(b"\r\n")
                        raise SoftReset
                    self._run(bytes(text).replace(b"\r\n", b"\n").decode("utf-8", "replace"), "exec", raw=True)
                    break
                else:
                    text.append(char)
                    text += terminal.read_before(_RAW_CONTROLS)

    # -- running ------------------------------------------------------------------------------------------

    def _run(self, source: str, mode: str, raw: bool = False) -> None:
        chip = self._chip
        chip.charge(chip.costs.dialog)
        show: Callable[[Any], None] = self._show
        error: BaseException | None = None
        try:
            code = self._compile(source, mode)
            chip.interrupted = False
            if mode == "single" and isinstance(code, tuple):
                body, last = code
                if body is not None:
                    exec(body, self._main)
                show(eval(last, self._main))
            else:
                exec(code, self._main)
            chip.sync()
            chip.check()
        except SystemExit:
            raise SoftReset from None
        except Stopped:
            raise
        except BaseException as e:  # noqa: BLE001 - whatever device code raised
            error = e
        if raw:
            self._terminal.write_raw(b"\x04")
        if error is not None:
            self._terminal.write(format_exception(error, self._loader))
        if raw:
            self._terminal.write_raw(b"\x04")

    def _compile(self, source: str, mode: str) -> Any:
        if mode == "exec":
            return self._loader.compile(source, "<stdin>")
        tree = ast.parse(source, "<stdin>")
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.get_source_segment(source, tree.body[-1]) or ""
            head = source[: len(source) - len(source.rstrip()) or None].rstrip()[: -len(last)] if last else ""
            body = self._loader.compile(head.rstrip("; \n"), "<stdin>") if head.strip() else None
            return body, self._loader.compile(last, "<stdin>", "eval")
        return self._loader.compile(source, "<stdin>")

    def _show(self, value: Any) -> None:
        if value is not None:
            self._main["_"] = value
            self._terminal.write(repr(value) + "\n")


class _Switch(Exception):
    def __init__(self, raw: bool) -> None:
        super().__init__()
        self.raw = raw


def _incomplete(source: str) -> bool:
    """Whether the friendly REPL asks for another line."""
    import codeop

    if source.endswith("\n"):
        return False
    try:
        return codeop.compile_command(source, "<stdin>", "single") is None
    except (SyntaxError, ValueError, OverflowError):
        return False
