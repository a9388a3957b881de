"""Device code that was compiled before, from the host's disk (`virtualboard.cache`): checking and changing its syntax
tree costs more than all the rest of a board's start.

An entry follows from the source, its file name, mode and step cost, and the text of the modules that transform it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import sys
from functools import cache
from pathlib import Path
from types import CodeType

from virtualboard.cache import kept
from virtualboard.hosted import dialect, program
from virtualboard.hosted.program import compile_device

SMALLEST = 512
"""Bytes of source below which compiling is as quick as looking up: what is typed at a prompt."""


def compiled(source: str | bytes, filename: str, mode: str, node_cost: int) -> CodeType:
    """`compile_device`, from the cache where it can be. SyntaxError as there."""
    text = source.encode() if isinstance(source, str) else source
    if len(text) < SMALLEST:
        return compile_device(source, filename, mode, node_cost)
    key = _key(text, filename, mode, node_cost)
    return marshal.loads(kept(key, lambda: marshal.dumps(compile_device(source, filename, mode, node_cost))))


@cache
def _transformer() -> bytes:
    """Digest of what decides what a source becomes: this Python's byte code, and the modules that transform."""
    digest = hashlib.sha256(importlib.util.MAGIC_NUMBER + sys.version.encode())
    for module in (program, dialect):
        digest.update(Path(module.__file__).read_bytes())
    return digest.digest()


def _key(text: bytes, filename: str, mode: str, node_cost: int) -> str:
    head = repr((filename, mode, node_cost)).encode()
    return hashlib.sha256(_transformer() + hashlib.sha256(head).digest() + text).hexdigest()
