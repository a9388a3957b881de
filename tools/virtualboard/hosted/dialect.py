"""What MicroPython 1.11, as MaixPy v1 builds it, does not understand: found in source text, with line numbers.

`syntax_problems` are those at which the firmware's compiler stops (the importer raises SyntaxError for the first);
`problems` adds names, methods and modules that do not exist there. A line that carries the comment `dialect: ok`
is exempt from the latter, for the few cases that only look wrong.

Sources: MicroPython core ced340d (v1.11-64) `py/compile.c`, `py/grammar.h`, `py/parse.c`, `py/objstr.c`,
`py/modbuiltins.c`, `py/objmodule.c`; MaixPy-v1 `mpconfigport.h`.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


MODULES = words(
    "builtins micropython uio ucollections ustruct math cmath sys gc uerrno uctypes uzlib ujson ure "
    "uheapq utimeq ubinascii urandom uwebsocket _webrepl uos utime time Maix machine network usocket "
    "socket image sensor lcd KPU audio uhashlib ucryptolib modules array board fpioa_manager binascii "
    "collections errno heapq json os random re struct zlib hashlib"
)
"""Everything that `import` finds on v0.6.2 minimum without a file."""

BUILTIN_NAMES = words(
    "bool bytearray bytes complex dict enumerate filter float frozenset int list map memoryview "
    "object property range reversed set slice str super tuple type zip classmethod staticmethod "
    "Ellipsis NotImplemented None True False abs all any bin callable chr compile delattr dir divmod "
    "eval exec execfile getattr setattr globals hasattr hash help hex id input isinstance issubclass "
    "iter len locals max min next oct open ord pow print repr round sorted sum BaseException "
    "ArithmeticError AssertionError AttributeError EOFError Exception GeneratorExit ImportError "
    "IndentationError IndexError KeyError KeyboardInterrupt LookupError MemoryError NameError "
    "NotImplementedError OSError OverflowError RuntimeError StopIteration SyntaxError SystemExit "
    "TypeError UnicodeError ValueError ZeroDivisionError TimeoutError ViperTypeError const __name__ "
    "__file__ __import__ __build_class__ __debug__ __class__ __path__"
)

ABSENT_METHODS = words(
    "zfill ljust rjust title casefold capitalize isalnum expandtabs translate maketrans swapcase "
    "isidentifier isprintable isnumeric isdecimal isascii istitle format_map removeprefix "
    "removesuffix fromhex hex bit_length bit_count as_integer_ratio is_integer recv_into sendall "
    "makefile"
)
"""Method names that no built-in object has; a call of one is a mistake."""

ABSENT_ATTRIBUTES = frozenset(["errno", "strerror", "winerror", "__cause__", "__context__", "__traceback__"])


@dataclass(frozen=True)
class Problem:
    """One thing the firmware does not understand."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


def syntax_problems(source: str, filename: str = "<string>") -> list[Problem]:
    """Constructs at which the firmware's compiler stops, by line. Text that is no Python at all raises SyntaxError."""
    return sorted(_syntax(ast.parse(source, filename)), key=lambda problem: problem.line)


def check_tree(tree: ast.AST) -> list[Problem]:
    """`syntax_problems` of a parsed tree."""
    return sorted(_syntax(tree), key=lambda problem: problem.line)


def problems(source: str, filename: str = "<string>", own_packages: tuple[str, ...] = ("pix",)) -> list[Problem]:
    """Everything that would not work on the board; `own_packages` are names that may be imported besides MaixPy's."""
    tree = ast.parse(source, filename)
    lines = source.splitlines()
    found = list(_syntax(tree))
    defined = _defined_names(tree)
    for problem in _names(tree, defined, own_packages):
        if "dialect: ok" not in lines[problem.line - 1]:
            found.append(problem)
    return sorted(found, key=lambda problem: (problem.line, problem.text))


def check_files(paths: list[Path], own_packages: tuple[str, ...] = ("pix",)) -> list[str]:
    """`path:line: text` for every problem in `paths`."""
    out = []
    for path in paths:
        found = problems(path.read_text(encoding="utf-8"), str(path), own_packages)
        out += [f"{path}:{problem.line}: {problem.text}" for problem in found]
    return out


_SYNTAX_NODES: dict[str, str] = {
    "JoinedStr": "f-strings do not exist; use % or str.format",
    "TemplateStr": "t-strings do not exist",
    "NamedExpr": "the walrus operator does not exist",
    "AsyncFunctionDef": "async is switched off in this build",
    "AsyncFor": "async is switched off in this build",
    "AsyncWith": "async is switched off in this build",
    "Await": "async is switched off in this build",
    "AnnAssign": "variables cannot be annotated",
    "Match": "match does not exist",
    "TryStar": "except* does not exist",
    "TypeAlias": "type aliases do not exist",
}


def _syntax(tree: ast.AST) -> Iterator[Problem]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        text = _SYNTAX_NODES.get(type(node).__name__)
        if text is not None:
            yield Problem(line, text)
        elif isinstance(node, ast.Call):
            yield from _call_syntax(node)
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set)) and isinstance(
            getattr(node, "ctx", ast.Load()), ast.Load
        ):
            if any(isinstance(item, ast.Starred) for item in node.elts):
                yield Problem(line, "* cannot unpack inside a list, tuple or set")
        elif isinstance(node, ast.Dict):
            if any(key is None for key in node.keys):
                yield Problem(line, "** cannot unpack inside a dictionary")
        elif isinstance(node, ast.arguments):
            if node.posonlyargs:
                yield Problem(node.posonlyargs[0].lineno, "positional-only parameters (/) do not exist")
        elif isinstance(node, (ast.BinOp, ast.AugAssign)):
            if isinstance(node.op, ast.MatMult):
                yield Problem(line, "the @ operator does not exist")
        elif isinstance(node, ast.comprehension) and node.is_async:
            yield Problem(node.target.lineno, "async is switched off in this build")


def _call_syntax(node: ast.Call) -> Iterator[Problem]:
    stars = [i for i, arg in enumerate(node.args) if isinstance(arg, ast.Starred)]
    if len(stars) > 1:
        yield Problem(node.lineno, "a call can unpack only one *")
    elif stars and stars[0] != len(node.args) - 1:
        yield Problem(node.lineno, "a positional argument cannot follow *")
    if sum(keyword.arg is None for keyword in node.keywords) > 1:
        yield Problem(node.lineno, "a call can unpack only one **")
    if isinstance(node.func, ast.Name) and node.func.id == "const" and len(node.args) == 1:
        arg = node.args[0]
        if isinstance(arg, ast.Constant) and not isinstance(arg.value, int):
            yield Problem(node.lineno, "const() takes only integers")


def _defined_names(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names


def _names(tree: ast.AST, defined: set[str], own_packages: tuple[str, ...]) -> Iterator[Problem]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id not in defined and node.id not in BUILTIN_NAMES:
                known = hasattr(builtins, node.id)
                yield Problem(node.lineno, f"{node.id} does not exist" + (" in MicroPython" if known else " here"))
        elif isinstance(node, ast.Attribute):
            if node.attr in ABSENT_ATTRIBUTES and not _is_module(node.value):
                yield Problem(node.lineno, f"exceptions and objects have no {node.attr}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield from _import(node.lineno, alias.name, own_packages)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module is not None:
                yield from _import(node.lineno, node.module, own_packages)
        elif isinstance(node, ast.Call):
            yield from _call_names(node)
        elif isinstance(node, ast.Slice) and node.step is not None:
            if not (isinstance(node.step, ast.Constant) and node.step.value in (1, None)):
                yield Problem(node.lineno, "slices with a step work on lists only")
        elif isinstance(node, ast.Raise) and node.cause is not None:
            yield Problem(node.lineno, "exceptions are not chained; drop the from")


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("os", "uos", "sys")


def _import(line: int, name: str, own_packages: tuple[str, ...]) -> Iterator[Problem]:
    top = name.split(".")[0]
    if top in own_packages:
        return
    if name not in MODULES:
        host = " (it is CPython's)" if top in sys.stdlib_module_names else ""
        yield Problem(line, f"there is no module {name}{host}")


def _call_names(node: ast.Call) -> Iterator[Problem]:
    func = node.func
    keywords = {keyword.arg for keyword in node.keywords}
    if isinstance(func, ast.Name):
        if func.id == "next" and len(node.args) > 1:
            yield Problem(node.lineno, "next() takes one argument")
        if func.id == "print" and "flush" in keywords:
            yield Problem(node.lineno, "print() has no flush")
        if func.id == "zip" and "strict" in keywords:
            yield Problem(node.lineno, "zip() has no strict")
        return
    if not isinstance(func, ast.Attribute):
        return
    own = isinstance(func.value, ast.Name) and func.value.id == "self"
    if func.attr in ABSENT_METHODS and not own:
        yield Problem(node.lineno, f"there is no method {func.attr}()")
    elif func.attr in ("startswith", "endswith") and node.args and isinstance(node.args[0], ast.Tuple):
        yield Problem(node.lineno, f"{func.attr}() takes one string")
    elif func.attr == "dumps" and keywords:
        yield Problem(node.lineno, "json.dumps() takes no keywords")
    elif func.attr in ("encode", "decode") and (len(node.args) > 1 or "errors" in keywords):
        yield Problem(node.lineno, f"{func.attr}() ignores how errors should be handled; bad bytes raise UnicodeError")
    elif func.attr in ("to_bytes", "from_bytes") and keywords:
        yield Problem(node.lineno, f"{func.attr}() takes no keywords")
    elif func.attr == "b2a_base64" and keywords:
        yield Problem(node.lineno, "b2a_base64() takes no keywords and always ends in a newline")
    elif func.attr in ("split", "rsplit", "replace") and keywords:
        yield Problem(node.lineno, f"{func.attr}() takes no keywords")
