"""The laws of the house as functions over a folder, so that a breach can be planted in a folder made for it.

Each returns sentences, one for each breach. `root` is the folder that holds the packages (`tools/`). Imports inside of
functions count as all others; those under `if TYPE_CHECKING:` are for readers and checkers and do not run.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

Modules = dict[str, ast.Module]

PARTS = {"board", "camera", "card", "clock", "esp8285", "faults", "kept", "models", "network", "nor_flash", "panel",
         "pins", "wire"}  # fmt: skip

MAY_IMPORT: dict[str, set[str]] = {
    "cache": set(),
    "clock": set(),
    "kept": set(),
    "models": set(),
    "program": set(),
    "wire": {"clock"},
    "pins": {"wire"},
    "panel": {"clock", "kept"},
    "camera": {"clock", "kept"},
    "nor_flash": {"clock", "kept"},
    "card": {"clock", "kept"},
    "network": {"clock"},
    "esp8285": {"clock", "wire", "network"},
    "faults": {"clock", "wire"},
    "host": {"clock"},
    "board": PARTS,
    "hosted": PARTS | {"program", "mpy_name", "cache"},
    "k210": PARTS | {"host"},
    "engine": PARTS | {"program", "hosted", "k210", "cache"},
    "fence": {"landlock", "terminal"},
    "running": PARTS | {"program", "engine", "host", "fence"},
    "launch": PARTS | {"program", "engine", "fence"},
    "bench": PARTS | {"program", "engine", "running"},
    "pytest_plugin": {"bench"},
    "__main__": PARTS | {"program", "engine", "host", "running", "fence"},
}
"""What each room of `virtualboard` may import of the others. Only `board` knows all parts, only `engine` both
engines."""

PUBLIC_IN_PYTHON = {"_asdict", "_exit", "_fields", "_getframe", "_replace"}
"""Names that Python documents for everybody in spite of their underscore."""


def modules(root: Path) -> Modules:
    """Every module below `root` by its full name, parsed."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = parsed(path.read_text("utf-8"))
    return found


@functools.cache
def parsed(source: str) -> ast.Module:
    """Every law reads the same files; none changes a tree."""
    return ast.parse(source)


@functools.cache
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """`ast.walk`, which costs as much as parsing, once for all laws."""
    return tuple(ast.walk(tree))


@functools.cache
def imports(tree: ast.AST) -> list[tuple[str, str | None]]:
    """(module, name taken from it or None) of every import that can run."""
    found: list[tuple[str, str | None]] = []
    for node in _running(tree):
        if isinstance(node, ast.Import):
            found += ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found += ((node.module or "", alias.name) for alias in node.names)
    return found


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and _only_for_types(node.test):
            left += node.orelse
        else:
            yield node
            left += ast.iter_child_nodes(node)


def _only_for_types(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def imported_modules(tree: ast.AST, known: Modules) -> set[str]:
    """Full names of what the file imports: `from package import module` is the module."""
    return {f"{module}.{name}" if f"{module}.{name}" in known else module for module, name in imports(tree)}


def layers(root: Path) -> list[str]:
    """Who imports whom he may not: see `MAY_IMPORT`; `virtualboard` never `maixpix`; Unicorn only in `k210`; engines
    only behind `engine`."""
    known = modules(root)
    told = []
    for name, tree in known.items():
        house, *room = name.split(".")
        for target in sorted(imported_modules(tree, known)):
            other, *other_room = target.split(".")
            wrong = (
                (other == "unicorn" and room[:1] != ["k210"])
                or (house == "virtualboard" and other == "maixpix")
                or (house == "maixpix" and other == "virtualboard" and other_room[:1] in (["hosted"], ["k210"]))
            )
            if house == other == "virtualboard" and room and other_room and room[0] != other_room[0]:
                wrong = other_room[0] not in MAY_IMPORT.get(room[0], set())
            if wrong:
                told.append(f"{name} imports {target}")
    return told


def circles(root: Path) -> list[list[str]]:
    """Modules that import each other, directly or through others, imports inside of functions included."""
    known = modules(root)
    graph = {name: imported_modules(tree, known) & set(known) for name, tree in known.items()}
    reach = {name: _reachable(name, graph) for name in graph}
    found = {tuple(sorted({other for other in reach[name] if name in reach[other]})) for name in graph}
    return [list(circle) for circle in sorted(found) if circle]


def _reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    left = list(graph[start])
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += graph[name]
    return seen


def private_names(root: Path) -> list[str]:
    """Where a file names what another one keeps to itself: `other._name`, `from x import _name`, or "_name" as text.

    An underscore in front means: of this file. Methods and attributes of `self` are no exception.
    """
    known = modules(root)
    own = {name: _defined(tree) for name, tree in known.items()}
    theirs = set().union(*own.values())
    told = []
    for name, tree in known.items():
        for node in nodes(tree):
            for used in _used(node):
                if _private(used) and used not in own[name] and used in theirs and used not in PUBLIC_IN_PYTHON:
                    told.append(f"{name}, line {getattr(node, 'lineno', 0)}: {used}")
    return told


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name.isidentifier() and name != "_"


def _used(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.ImportFrom):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return []


def _defined(tree: ast.AST) -> set[str]:
    """Private names that the file gives something: functions, classes, variables, attributes of `self`, slots."""
    names: set[str] = set()
    for node in nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                names.add(node.attr)
        elif isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__slots__" for t in node.targets):
            names |= {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)}
    return {name for name in names if _private(name)}


def shared_names(root: Path) -> list[str]:
    """Two modules of one name with a class of one name: nobody could tell which is meant."""
    homes: dict[tuple[str, str], list[str]] = {}
    for name, tree in modules(root).items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault((name.rpartition(".")[2], node.name), []).append(name)
    return [f"{' and '.join(names)} both have a class {cls}" for (_, cls), names in homes.items() if len(names) > 1]


def empty_properties(root: Path) -> list[str]:
    """A property that only hands an attribute on, in both directions, is that attribute."""
    told = []
    for name, tree in modules(root).items():
        for node in nodes(tree):
            if isinstance(node, ast.ClassDef):
                getters, setters = _plain(node, _gets), _plain(node, _sets)
                told += [f"{name}: {node.name}.{each}" for each in sorted(getters & setters)]
    return told


def _plain(cls: ast.ClassDef, plain: Callable[[ast.stmt], bool]) -> set[str]:
    found = set()
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if len(body) == 1 and plain(body[0]):
                found.add(node.name)
    return found


def _gets(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Return) and isinstance(statement.value, ast.Attribute)


def _sets(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Attribute)
        and isinstance(statement.value, ast.Name)
    )
