"""What follows from the text of device files, worked out once and kept on the host's disk (`virtualboard.cache`).

Some 90 files go onto a board, and all that is asked of them needs their syntax trees: more than a second, for every
deployment and for every module of byte code that a board in software loads.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from virtualboard.cache import cache_folder, kept

_KIND = "texts"


def folder() -> Path | None:
    """Where it is kept; None where nothing is."""
    return cache_folder(_KIND)


def once(work: Callable[..., str]) -> Callable[..., str]:
    """`work`, which makes a text of texts and of nothing else, called once for the same ones; what it raises is raised
    every time. Its answers follow from its arguments, the file it is in and this Python."""

    @functools.lru_cache(maxsize=512)
    @functools.wraps(work)
    def worked_out(*texts: str) -> str:
        made_of = repr((sys.version, _file_of(work), work.__name__, texts))
        key = hashlib.sha256(made_of.encode("utf-8", "surrogatepass")).hexdigest()
        return kept(key, lambda: work(*texts).encode(), _KIND).decode()

    return worked_out


@functools.cache
def _file_of(work: Callable[..., str]) -> str:
    return hashlib.sha256(Path(inspect.getfile(work)).read_bytes()).hexdigest()
