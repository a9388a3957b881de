"""What can go wrong with one answer, before it is known whether another attempt helps.

A `Trouble` never reaches the caller of the library: `Retries` turns it into a pause, or into a `DownloadError` that
tells what the server did.
"""

from __future__ import annotations

from maixpix.errors import UserError


class DownloadError(UserError):
    """A download that did not succeed; nothing wrong is under the final name.

    `kind` is one word for programs: exists, unreachable, refused, redirect, broken, stalled, busy, lie, changed,
    digest, disk, locked, slow.
    """

    def __init__(self, message: str, remedy: str = "", kind: str = "broken") -> None:
        super().__init__(message, remedy)
        self.kind = kind


class Trouble(Exception):
    """An attempt came to nothing; `text` says why, as the part of a sentence that follows "the server"."""

    kind = "broken"
    remedy = "run the same command again to go on"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Broken(Trouble):
    """The connection could not be made, or ended before the answer did."""


class Stalled(Trouble):
    """Nothing, or next to nothing, came for the idle time."""

    kind = "stalled"


class Busy(Trouble):
    """The server asks to come again, in `wait_s` seconds when it says when."""

    kind = "busy"
    remedy = "try again later"

    def __init__(self, text: str, wait_s: float | None = None) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class Lie(Trouble):
    """The answer contradicts the request, itself, or an earlier answer."""

    kind = "lie"
    remedy = "fetch it from another server, or give --sha256 if its digest is known"


class Changed(Lie):
    """The answer belongs to other content than the one begun."""

    kind = "changed"
    remedy = "wait until the file is no longer being replaced"


class Unrelated(Lie):
    """The answer is not of the file at all, such as an error page that is called 200: it proves nothing about what is
    there already."""

    remedy = "try again later; if there really is another file now, remove the .part.json of this one"


class WrongDigest(Lie):
    """All bytes came, and they are not the content."""

    kind = "digest"
    remedy = "check the digest, or fetch it from another server"
