"""The one error that people see: what happened and what to do, on one line."""

from __future__ import annotations

from maixpix.text import one_line


def shorten(text: str, most: int = 100) -> str:
    """`text` on one line of at most `most` characters; what is too long ends with "..." behind a whole word."""
    line = one_line(text)
    if len(line) <= most:
        return line
    head = line[: most - 3]
    whole = head[: head.rfind(" ")] if " " in head[most // 2 :] else head
    return whole.rstrip(" ,;:(") + "..."


class UserError(Exception):
    """A failure that the user can do something about.

    `message` is the cause, `remedy` the next step; both are short sentences without a final full stop. The command
    line prints them as ``maixpix: cause; remedy`` and exits with `exit_code` (1 unless told otherwise).
    """

    def __init__(self, message: str, remedy: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code

    @property
    def line(self) -> str:
        """Cause and remedy on one line, whatever line breaks a library put into its messages."""
        text = f"{self.message}; {self.remedy}" if self.remedy else self.message
        return one_line(text)

    @property
    def told(self) -> str:
        """The line as the command line prints it."""
        return f"maixpix: {self.line}"

    def __str__(self) -> str:
        return self.line
