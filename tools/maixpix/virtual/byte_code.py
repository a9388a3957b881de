"""Byte code on the hosted engine, which cannot run any: it runs the source that the very same bytes are made of.

`maixpix deploy` sends byte code; what it made of this installation's device code is found here by compiling the file
that its name (embedded by mpy-cross) tells, as `deploy` does. Byte code of anything else is refused as a chip refuses
byte code of another version, and what is behind that is told.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from maixpix.board import bundle, private
from maixpix.errors import UserError
from virtualboard.mpy_name import embedded_name


class SourceOfByteCode:
    """Called with the content of an `.mpy` file: the source it was made of, or None. `tell` gets a line about None."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._known: dict[bytes, str] = {}

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
        for flat in (False, True):
            try:
                texts = bundle.device_texts(bundle.source_root(), flat)
                if name in texts and bundle.compile_text(cross, name, private.shortened(texts)[name]) == content:
                    return texts[name]
            except UserError:
                continue  # a file is being edited: it is no source of what was deployed before
        return None
