"""Private names of byte code: short, apart where classes meet, and told in full by the logs."""

import re

from maixpix.board import bundle, private

FILES = {
    "pix/base.py": "_N = 1\nclass Base:\n    def __init__(self):\n        self._kept = '_kept'  # _kept\n",
    "pix/top.py": "from pix.base import Base\nclass Top(Base):\n    def _open(self):\n        return self._more\n",
    "pix/other.py": "def _read(_open):\n    return _open\n",
}


def test_names_are_short_and_shared_but_by_files_whose_classes_meet():
    short = private.shortened(FILES)
    assert short["pix/base.py"].count("'_kept'  # _kept") == 1 and "self._1 =" in short["pix/base.py"]
    assert "def _2(self)" in short["pix/top.py"] and "self._3" in short["pix/top.py"]
    assert short["pix/other.py"] == "def _0(_1):\n    return _1\n" and "__init__" in short["pix/base.py"]


def test_a_traceback_tells_the_names_in_full():
    line = "1 2.0 crash ValueError: x (top.py in _2 < other.py in _0 < base.py in __init__)"
    assert private.spoken(line, FILES) == line.replace("_2", "_open").replace("_0", "_read")


def test_all_of_pix_shares_few_private_names():
    texts = private.shortened(bundle.device_texts(bundle.source_root()))
    names = {name for text in texts.values() for name in re.findall(r"(?<![\w])_\d+\b", text)}
    assert len(names) < 80
