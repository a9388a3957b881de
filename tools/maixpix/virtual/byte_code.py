"""Byte code on the hosted engine, which cannot run any: it runs the source that the very same bytes are made of.

`maixpix deploy` sends byte code; what it made of this installation's device code is found here by compiling the file
that its name (embedded by mpy-cross) tells, as `deploy` does. Byte code of anything else is refused as a chip refuses
byte code of another version, and what is behind that is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256

from maixpix.board import bundle, private
from maixpix.errors import UserError
from virtualboard.mpy_name import embedded_name


class SourceOfByteCode:
    """Called with the content of an `.mpy` file: the source it was made of, or None. `tell` gets a line about None."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._known: dict[bytes, str] = {}
        self._read: list[dict[str, str]] = []  # the files of a version as they were read last, in folders and flat

    def __call__(self, content: bytes) -> str | None:
        digest = sha256(content).digest()
        if digest not in self._known:
            name = embedded_name(content)
            source = self._look(name, content) if name is not None else None
            if source is None:
                self._tell(
                    f"the hosted engine has no source for the byte code of {name or 'a file'}: deploy again, or with "
                    "--source, or run real firmware (--firmware)"
                )
                return None
            self._known[digest] = source
        return self._known[digest]

    def _look(self, name: str, content: bytes) -> str | None:
        cross = bundle.compiler()
        if cross is None:
            return None
        source = self._among(cross, name, content)
        if source is None:  # the first file of all, or one that was edited since
            self._read = list(_texts())
            source = self._among(cross, name, content)
        return source

    def _among(self, cross: str, name: str, content: bytes) -> str | None:
        for texts in self._read:
            with suppress(UserError):  # a file is being edited: it is no source of what was deployed before
                if name in texts and bundle.compile_text(cross, name, private.shortened_file(name, texts)) == content:
                    return texts[name]
        return None


def _texts() -> Iterator[dict[str, str]]:
    for flat in (False, True):
        with suppress(UserError):
            yield bundle.device_texts(bundle.source_root(), flat)
