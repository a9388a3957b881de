"""Real MaixPy on the emulated chip, one board for each file of tests. MAIXPY_FIRMWARE names the image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("unicorn", reason="the k210 engine needs the extra maixpix[k210]")

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import SECOND
from virtualboard.k210.engine import K210Engine


@pytest.fixture(scope="session")
def firmware() -> Path:
    """The image that the tests run."""
    name = os.environ.get("MAIXPY_FIRMWARE")
    if not name:
        pytest.skip("MAIXPY_FIRMWARE names no MaixPy image")
    return Path(name)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is the card, with a few files from the start."""
    folder = tmp_path_factory.mktemp("card")
    (folder / "album" / "A summer with a rather long name").mkdir(parents=True)
    (folder / "album" / "A summer with a rather long name" / "Second picture.data").write_bytes(bytes(range(256)) * 37)
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the camera sees: colours that change smoothly, so that JPEG keeps them."""
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    gradient(320, 240).save(path)
    return path


@pytest.fixture(scope="module")
def config(card: Path, scene: Path) -> BoardConfig:
    return BoardConfig(card=str(card), camera=str(scene), names={"pictures.test": "127.0.0.1"})


@pytest.fixture(scope="module")
def chip(firmware: Path, config: BoardConfig) -> Iterator[K210Engine]:
    """A booted board at its prompt."""
    board = Board(config)
    engine = K210Engine(board, firmware)
    engine.boot()
    engine.console.wait_for_prompt(60 * SECOND)
    yield engine
    board.power_off()


def gradient(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards, blue along the diagonal."""
    red = Image.linear_gradient("L").rotate(90).resize((width, height))
    green = Image.linear_gradient("L").resize((width, height))
    blue = Image.blend(red, green, 0.5)
    return Image.merge("RGB", (red, green, blue))


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """A picture of the panel's size."""
    return gradient(320, 240)
