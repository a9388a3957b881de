"""Tracebacks as MicroPython prints them: frames of device code only, device names and texts."""

from __future__ import annotations

import types

from virtualboard.hosted.loader import Loader


def format_exception(error: BaseException, loader: Loader) -> str:
    """The text that MicroPython v1.11 prints for an uncaught exception, newline included."""
    lines = ["Traceback (most recent call last):\n"]
    lines += [f'  File "{file}", line {line}, in {name}\n' for file, line, name in device_frames(error, loader)]
    if isinstance(error, SyntaxError) and error.filename is not None:
        lines.append(f'  File "{error.filename}", line {error.lineno or 1}\n')
    return "".join(lines) + exception_line(error) + "\n"


def device_frames(error: BaseException, loader: Loader) -> list[tuple[str, int, str]]:
    """(file, line, function) of every frame that runs device code, outermost first."""
    frames = []
    trace: types.TracebackType | None = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if loader.is_device(frame.f_globals):
            frames.append((frame.f_code.co_filename, trace.tb_lineno, frame.f_code.co_name))
        trace = trace.tb_next
    return frames


def exception_line(error: BaseException) -> str:
    """`OSError: [Errno 2] ENOENT`: the last line of a traceback."""
    name = type(error).__name__
    if isinstance(error, RecursionError):
        return "RuntimeError: maximum recursion depth exceeded"
    if isinstance(error, SyntaxError):
        return f"{name}: {error.msg}"
    if isinstance(error, UnboundLocalError):
        return "NameError: local variable referenced before assignment"
    text = _TEXTS.get(str(error), str(error))
    if isinstance(error, NameError):
        text = text.replace("' is not defined", "' isn't defined")
    return f"{name}: {text}" if text else f"{name}: "


_TEXTS = {
    "division by zero": "divide by zero",
    "integer division or modulo by zero": "divide by zero",
    "integer modulo by zero": "divide by zero",
    "float division by zero": "divide by zero",
}
"""Texts of CPython's own errors that MicroPython words differently and that programs are likely to show."""
