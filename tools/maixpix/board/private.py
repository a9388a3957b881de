"""Private names of device code, made short: on the board every different name costs some 20 bytes of the heap, and the
1261st of all brings a table of 10 KB (MicroPython qstr.c), so files share the few `_0`, `_1`, `_2` ...

A private name belongs to its file, and to the files with classes above and below those of its own: these keep apart
what they name. What stands in a traceback is told in full by `spoken`.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Mapping

from maixpix.board.once import once

_PIECES = re.compile(
    r'"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*|(?P<name>(?<![\w])_[A-Za-z]\w*)'
)
_PLACE = re.compile(r"\b(\w+\.py) in (_\d+)\b")


def shortened(texts: Mapping[str, str]) -> dict[str, str]:
    """The device files `texts` (source by name, "pix/log.py") with their private names short."""
    return {file: shortened_file(file, texts) for file in texts}


def shortened_file(file: str, texts: Mapping[str, str]) -> str:
    """The one `file` of the device files `texts` with its private names short."""
    names = _short_names(tuple(texts.items()))[file]
    return _PIECES.sub(lambda piece: names[piece["name"]] if piece["name"] else piece[0], texts[file])


def spoken(line: str, texts: Mapping[str, str]) -> str:
    """A `line` of the board's log with its short names in full, as the files `texts` have them."""
    names = _short_names(tuple(texts.items()))

    def full(place: re.Match) -> str:
        for file in (f"pix/{place[1]}", f"apps/{place[1]}", place[1]):
            for name, short in names.get(file, {}).items():
                if short == place[2]:
                    return f"{place[1]} in {name}"
        return place[0]

    return _PLACE.sub(full, line)


@functools.lru_cache(maxsize=8)
def _short_names(files: tuple[tuple[str, str], ...]) -> dict[str, dict[str, str]]:
    """For every file its private names and what they become."""
    group = {file: file for file, _ in files}

    def head(file: str) -> str:
        while group[file] != file:
            file = group[file]
        return file

    for file, text in files:
        for base in _files_of_bases(text).split():
            if base in group:
                group[head(file)] = head(base)
    names: dict[str, dict[str, str]] = {}
    # The compiler puts the value of a private constant where its name stands: those come last, as nobody stores them.
    for constants in (False, True):
        for file, text in files:
            shared = names.setdefault(head(file), {})
            for name in _private_names(text):
                if constants or f"{name} = const(" not in text:
                    shared.setdefault(name, f"_{len(shared)}")
    return {file: names[head(file)] for file, _ in files}


@functools.lru_cache(maxsize=512)
def _private_names(text: str) -> list[str]:
    return list(dict.fromkeys(piece["name"] for piece in _PIECES.finditer(text) if piece["name"]))


@once
def _files_of_bases(text: str) -> str:
    """Files that the classes in `text` inherit from, a space between two."""
    tree = ast.parse(text)
    source: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                module = f"pix.{alias.name}" if node.module == "pix" else node.module
                source[alias.asname or alias.name] = module.replace(".", "/") + ".py"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                source[alias.asname or alias.name] = alias.name + ".py"
    bases = [base for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
    roots = [base.value if isinstance(base, ast.Attribute) else base for base in bases]
    return " ".join(sorted({source[root.id] for root in roots if isinstance(root, ast.Name) and root.id in source}))
