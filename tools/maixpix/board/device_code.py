"""The door through which the host runs device code: the modules of `pix` that only compute, on CPython.

What the board will refuse, `setup` and `doctor` must refuse too, and nothing else; so they ask the very code that the
board runs. Only modules without I/O come through (`config`, `errors`, `url`, and what these import): the parts of
MaixPy that they may import are the few in `_MAIXPY`, and any other import is an error. Each call of `DeviceCode` makes
modules of its own; nothing is left in `sys.modules`.
"""

from __future__ import annotations

import binascii
import builtins
import functools
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maixpix.errors import UserError
from maixpix.paths import board_files

_MAIXPY: Mapping[str, Any] = {
    "micropython": types.SimpleNamespace(const=lambda value: value),
    "ubinascii": binascii,
    "ujson": json,
}


class DeviceCode:
    """`pix` as it is in `root`; `load("url")` gives the module pix.url."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "firmware" / "pix"
        self._modules: dict[str, types.ModuleType] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self, name: str) -> types.ModuleType:
        """The module pix.NAME. Raises UserError when it is not there, or needs more of a board than there is here."""
        if name not in self._modules:
            path = self._folder / f"{name}.py"
            module = types.ModuleType(f"pix.{name}")
            module.__dict__["__builtins__"] = self._builtins
            self._modules[name] = module
            try:
                exec(compile(path.read_text("utf-8"), str(path), "exec"), module.__dict__)
            except (OSError, ValueError, SyntaxError, ImportError) as error:
                del self._modules[name]
                raise UserError(f"{path} cannot be run: {error}", "install maixpix again") from None
        return self._modules[name]

    def _import(
        self, name: str, _globals: Any = None, _locals: Any = None, fromlist: tuple[str, ...] = (), _level: int = 0
    ) -> Any:
        if name == "pix" and fromlist:
            return types.SimpleNamespace(**{item: self.load(item) for item in fromlist})
        if name.startswith("pix."):
            return self.load(name[4:])
        if name not in _MAIXPY:
            raise ImportError(f"{name} is no part of the door to device code")
        return _MAIXPY[name]


def load(name: str) -> types.ModuleType:
    """The module pix.NAME of this installation, made once."""
    return _of(board_files()).load(name)


@functools.cache
def _of(root: Path) -> DeviceCode:
    return DeviceCode(root)
