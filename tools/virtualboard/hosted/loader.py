"""Import as the firmware does it: built-in modules, frozen ones, then files on the card and on /flash.

Order of MicroPython v1.11 `py/builtinimport.c`: a loaded or built-in module of that very name wins over files; files
win over the weak names (`os`, `json` ...); in each entry of `sys.path` a directory comes before `.py`, that before
`.mpy`, and a frozen module before any of them.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

from virtualboard.hosted.chip import Chip
from virtualboard.hosted.code_cache import compiled
from virtualboard.hosted.vfs import Volumes

WEAK = {
    "binascii": "ubinascii",
    "collections": "ucollections",
    "errno": "uerrno",
    "hashlib": "uhashlib",
    "heapq": "uheapq",
    "json": "ujson",
    "os": "uos",
    "random": "urandom",
    "re": "ure",
    "struct": "ustruct",
    "zlib": "uzlib",
}
"""Names that work unless a file of that name is found first (`MICROPY_PORT_BUILTIN_MODULE_WEAK_LINKS`)."""

Factory = Callable[[], types.ModuleType]
Decode = Callable[[bytes], "str | None"]

# Measured with the modules of pix on v0.6.2-44, for a character of code (see `weight`), in hundredths of a byte.
_KEPT_OF_MPY = 111  # byte code, names and objects that stay in the heap, with the short names that `deploy` gives
_KEPT_OF_SOURCE = 131  # the same with the line numbers that byte code goes without
_TREE = 610  # the parse tree and what is emitted from it, while a module is compiled
_TREE_PIECE = 1024


@functools.lru_cache(maxsize=256)
def weight(source: str | bytes) -> int:
    """Characters of code in `source`: indentation, empty lines and lines of comment cost next to nothing."""
    text = source if isinstance(source, str) else source.decode("utf-8", "replace")
    return sum(len(line) for line in map(str.strip, text.splitlines()) if not line.startswith("#"))


class Loader:
    """Finds, compiles and runs device modules.

    `builtin` makes modules by their strong names, at first use. `decode_mpy`, when given, turns the content of an
    `.mpy` file back into the source it was made from, or None.
    """

    def __init__(
        self,
        chip: Chip,
        volumes: Volumes,
        builtin: Mapping[str, Factory],
        frozen: Mapping[str, Factory],
        names: dict[str, Any],
        decode_mpy: Decode | None = None,
    ) -> None:
        self._chip = chip
        self._volumes = volumes
        self._builtin = builtin
        self._frozen = frozen
        self._names = names
        self._decode_mpy = decode_mpy
        self._made: dict[str, types.ModuleType] = {}
        self.path: list[str] = []
        self.loaded: dict[str, types.ModuleType] = {}
        """`sys.modules`: modules that came from files (and frozen ones)."""
        names["__import__"] = self.import_

    # -- running ------------------------------------------------------------------------------------------

    def compile(self, source: str | bytes, filename: str, mode: str = "exec") -> types.CodeType:
        """Compile device source; costs time and, for the moment, heap."""
        chip = self._chip
        size = weight(source)
        chip.charge(size * chip.costs.import_character)
        heap = chip.heap
        # A parse tree lies in many small pieces: it needs room, but not in one block.
        pieces = []
        try:
            for _ in range(size * _TREE // 100 // _TREE_PIECE + 1):
                address = heap.alloc(_TREE_PIECE)
                if address is None:
                    raise MemoryError(f"memory allocation failed, allocating {_TREE_PIECE} bytes")
                pieces.append(address)
            return compiled(source, filename, mode, chip.costs.node)
        finally:
            for address in pieces:
                heap.give_back(address, _TREE_PIECE)

    def namespace(self, name: str) -> dict[str, Any]:
        """Globals of a new module, with the device's own built-ins and nothing else."""
        return {"__name__": name, "__builtins__": self._names}

    def is_device(self, globals: dict[str, Any]) -> bool:
        """Whether a frame with these globals runs device code."""
        return globals.get("__builtins__") is self._names

    def new_module(self, name: str) -> types.ModuleType:
        """An empty module that sees the device's built-ins."""
        module = types.ModuleType(name)
        module.__dict__.clear()
        module.__dict__.update(self.namespace(name))
        return module

    def run_file(self, path: str, module: types.ModuleType) -> None:
        """Run the file at `path` in `module`; errors are device errors."""
        raw = self._volumes.read_bytes(path)
        code = self.compile(raw, path)
        self._chip.sync()
        exec(code, module.__dict__)

    # -- the import statement -----------------------------------------------------------------------------

    def import_(
        self,
        name: str,
        globals: dict[str, Any] | None = None,
        locals: Any = None,
        fromlist: Any = None,
        level: int = 0,
    ) -> types.ModuleType:
        """`__import__` of device code."""
        if level:
            name = self._absolute(name, globals or {}, level)
        module = top = None
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            full = ".".join(parts[:count])
            module = self._one(full, parts[count - 1], module)
            top = top or module
        if module is None or top is None:
            raise ImportError("no module named ''")
        if not fromlist:
            return top
        for item in fromlist:
            if item != "*" and not hasattr(module, item) and hasattr(module, "__path__"):
                try:
                    self._one(f"{name}.{item}", item, module)
                except ImportError as e:
                    if getattr(e, "missing", None) != f"{name}.{item}":
                        raise
                    raise ImportError(f"cannot import name {item}") from None
        return module

    def _absolute(self, name: str, globals: dict[str, Any], level: int) -> str:
        package = globals.get("__name__", "")
        if "__path__" not in globals:
            package = package.rpartition(".")[0]
        for _ in range(level - 1):
            package = package.rpartition(".")[0]
        if not package:
            raise ValueError("cannot perform relative import")
        return f"{package}.{name}" if name else package

    def _one(self, full: str, last: str, parent: types.ModuleType | None) -> types.ModuleType:
        module = self.loaded.get(full)
        if module is None and parent is None:
            module = self._strong(full)
        if module is None:
            module = self._from_files(full, last, parent)
        if module is None and parent is None and full in WEAK:
            module = self._strong(WEAK[full])
        if module is None:
            error = ImportError(f"no module named '{full}'")
            error.missing = full  # type: ignore[attr-defined]
            raise error
        if parent is not None:
            setattr(parent, last, module)
        return module

    def _strong(self, name: str) -> types.ModuleType | None:
        if name not in self._made:
            factory = self._builtin.get(name)
            if factory is None:
                return None
            self._made[name] = factory()
        return self._made[name]

    def _from_files(self, full: str, last: str, parent: types.ModuleType | None) -> types.ModuleType | None:
        if parent is None:
            bases = self.path
        elif hasattr(parent, "__path__"):
            bases = [parent.__path__]  # type: ignore[list-item]
        else:
            return None
        for base in bases:
            if parent is None and base == "" and full in self._frozen:
                module = self._frozen[full]()
                self.loaded[full] = module
                return module
            stem = f"{base}/{last}" if base else last
            kind = self._volumes.import_stat(stem)
            if kind == "dir":
                return self._package(full, stem)
            for suffix in (".py", ".mpy"):
                if self._volumes.import_stat(stem + suffix) == "file":
                    return self._file(full, stem + suffix)
        return None

    def _package(self, full: str, stem: str) -> types.ModuleType:
        module = self.new_module(full)
        module.__path__ = stem  # type: ignore[assignment]
        self.loaded[full] = module
        for suffix in (".py", ".mpy"):
            if self._volumes.import_stat(f"{stem}/__init__{suffix}") == "file":
                self._run_or_forget(full, f"{stem}/__init__{suffix}", module)
                break
        return module

    def _file(self, full: str, path: str) -> types.ModuleType:
        module = self.new_module(full)
        self.loaded[full] = module
        self._run_or_forget(full, path, module)
        return module

    def _run_or_forget(self, full: str, path: str, module: types.ModuleType) -> None:
        try:
            raw = self._volumes.read_bytes(path)
            filename = path
            if path.endswith(".mpy"):
                source = self._decode_mpy(raw) if self._decode_mpy else None
                if source is None:
                    raise ValueError("incompatible .mpy file")
                text: str | bytes = source
                self._chip.charge(len(raw) * self._chip.costs.copied_byte)
                code = compiled(text, filename, "exec", self._chip.costs.node)
                kept = _KEPT_OF_MPY
            else:
                module.__file__ = path  # modules of byte code have none (MicroPython 1.11 builtinimport.c)
                text = raw
                code = self.compile(text, filename)
                kept = _KEPT_OF_SOURCE
            # What stays: byte code, names, constants. Lives as long as the module.
            if not self._chip.heap.own_pieces(module, weight(text) * kept // 100 + 512):
                raise MemoryError("memory allocation failed, allocating 512 bytes")
            exec(code, module.__dict__)
        except BaseException:
            self.loaded.pop(full, None)
            raise
