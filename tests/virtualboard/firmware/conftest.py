"""Real MaixPy on the emulated chip, one board for each file of tests. MAIXPY_FIRMWARE names the image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("unicorn", reason="the k210 engine needs the extra maixpix[k210]")

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, SECOND
from virtualboard.faults import Faults
from virtualboard.k210.engine import K210Engine
from virtualboard.k210.repl import ReplTimeout
from virtualboard.launch import run_app


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


@pytest.fixture(scope="session")
def formatted_flash(firmware: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Flash after the first boot, which formats /flash and takes longer than all later ones."""
    board = Board(BoardConfig(card=str(tmp_path_factory.mktemp("card"))))
    engine = K210Engine(board, firmware)
    engine.boot()
    engine.console.wait_for_prompt(60 * SECOND)
    data = bytes(board.flash.data)
    board.power_off()
    return data


@pytest.fixture
def boot(formatted_flash: bytes) -> Iterator[Callable[..., K210Engine]]:
    """boot(config): a board of the test's own at its prompt."""
    boards: list[Board] = []

    def start(config: BoardConfig) -> K210Engine:
        board = Board(config)
        boards.append(board)
        board.flash.data[:] = formatted_flash
        engine = K210Engine(board)
        engine.boot()
        engine.console.wait_for_prompt()
        return engine

    yield start
    for board in boards:
        board.power_off()


@pytest.fixture
def both(firmware: Path, tmp_path: Path) -> Callable[..., list[tuple[str, Path, Path]]]:
    """Run a program on both engines: for each what it printed, its card and its panel.

    `prepare(card)` fills the card, a folder called "chip" or "hosted". A program that does not end by itself is
    stopped `end_ms` after the prompt, or after the power-on of the hosted engine, which has no boot time.
    """

    def run(
        source: str, prepare: Callable[[Path], None] = lambda card: None, end_ms: int | None = None, **config: Any
    ) -> list[tuple[str, Path, Path]]:
        results = []
        for name, play in (("chip", partial(_on_chip, firmware)), ("hosted", _on_hosted)):
            card, panel = tmp_path / name, tmp_path / f"{name}.png"
            card.mkdir()
            prepare(card)
            results.append((play(BoardConfig(card=str(card), **config), source, panel, end_ms), card, panel))
        return results

    return run


def _on_chip(firmware: Path, config: BoardConfig, source: str, panel: Path, end_ms: int | None) -> str:
    board = Board(config)
    try:
        engine = K210Engine(board, firmware)
        engine.boot()
        engine.console.wait_for_prompt(60 * SECOND)
        faults = Faults(board, config.faults, config.seed)
        mark = len(engine.console.output)
        try:
            said = engine.repl(source, 200 * SECOND if end_ms is None else end_ms * MS)
        except ReplTimeout:
            assert end_ms is not None
            said = engine.console.output[mark:].decode("utf-8", "replace").replace("\r\n", "\n")
        assert faults is not None
        board.panel.save(panel)
    finally:
        board.power_off()
    return said


def _on_hosted(config: BoardConfig, source: str, panel: Path, end_ms: int | None) -> str:
    result = run_app(config, source, panel=panel, end_ms=end_ms)
    assert result.ok or end_ms is not None, result.console
    return result.console


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
