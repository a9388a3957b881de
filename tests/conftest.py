"""What all tests share: a card with the device code on it."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def board_card():
    """A function that makes a folder an SD card with `pix` (and the apps) on it."""

    def make(folder: Path) -> Path:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "firmware" / "pix", folder / "pix", ignore=ignore)
        shutil.copytree(ROOT / "apps", folder / "apps", ignore=ignore)
        return folder

    return make
