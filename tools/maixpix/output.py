"""Text on stdout and stderr, cleaned of what would drive the terminal."""

from __future__ import annotations

import sys

from maixpix.text import plain


def out(text: str = "", end: str = "\n") -> None:
    """A result, on stdout."""
    sys.stdout.write(plain(text) + end)
    sys.stdout.flush()


def err(text: str, end: str = "\n") -> None:
    """The same on stderr: errors, and what has to come as it is."""
    sys.stderr.write(plain(text) + end)
    sys.stderr.flush()


def out_is_terminal() -> bool:
    """Whether stdout is shown to a person, so that it may have colours."""
    return sys.stdout.isatty()


def err_is_terminal() -> bool:
    """Whether stderr is shown to a person, so that progress may move there."""
    return sys.stderr.isatty()
