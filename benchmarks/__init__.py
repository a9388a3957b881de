"""Side-by-side measurements; `make bench` prints the tables."""

import sys
from pathlib import Path

# What tests share, `rig`, is no package of its own: pytest finds it by pyproject.toml.
_TESTS = str(Path(__file__).resolve().parent.parent / "tests")
if _TESTS not in sys.path:
    sys.path.insert(0, _TESTS)
