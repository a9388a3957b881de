"""The wheel as users get it, installed into a folder of its own, and commands run from there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rig.patience import patient

ROOT = Path(__file__).resolve().parents[2]


def installed(folder: Path) -> Path:
    """Build the wheel of this tree and unpack it; its dependencies are this environment's."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    made = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wheel = folder / made.stdout.split()[-1]
    target = folder / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target), str(wheel)],
        check=True,
        env=dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1"),
    )
    return target


def run(target: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`python -m WORDS` in the folder `cwd`, with what is installed in `target` and not with this tree."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env=dict(environment, PYTHONPATH=str(target)),
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(120),
    )
