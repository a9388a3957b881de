"""pytest fixture `board`: a virtual board for tests of any MaixPy program; see docs/bench.md.

    @pytest.mark.board(at="1.7.4", wifi=[("cafe", "key")])
    def test_it(board):
        assert board.run("program.py").ok
        board.check_screen("title")

Options of the command line hold for all tests, those of the marker `board` for one. `check_screen` compares the panel
with a stored picture (screens/NAME.png beside the test file); `--update-screens` stores what is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from virtualboard.bench import Bench, Run

FOLDER = "screens"
REPORTS = "screen-differences"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, under a heading of their own in `pytest --help`."""
    group = parser.getgroup("virtual board")
    group.addoption("--board-engine", choices=["hosted", "k210"], help="Who plays the chip of the fixture `board`.")
    group.addoption("--board-firmware", metavar="FILE", help="MaixPy image that the emulated chip runs.")
    group.addoption("--board-at", metavar="NAME", help="AT firmware of the modem, 1.1 unless told.")
    group.addoption("--update-screens", action="store_true", help="Store what panels show as what they shall show.")
    group.addoption(
        "--screen-report", metavar="FOLDER", default=REPORTS, help=f"Pictures of differences go there ({REPORTS})."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, also to --strict-markers."""
    config.addinivalue_line(
        "markers", "board(engine, firmware, at, card, wifi, faults, camera, model, names, seed): the virtual board"
    )


class TestBoard:
    """The fixture: everything of a `Bench`, programs named relative to the test file, and stored screens."""

    __test__ = False

    def __init__(self, bench: Bench, home: Path, name: str, report: Path, update: bool) -> None:
        self.bench = bench
        self.serve, self.listen, self.press, self.watch = bench.serve, bench.listen, bench.press, bench.watch
        self.card = bench.card
        self._home = home
        self._name = name
        self._report = report
        self._update = update

    def run(self, program: Path | str, timeout_s: float = 600.0) -> Run:
        """Run a file (a name ending with .py, relative to the test file, or a Path) or source text; see `Bench.run`."""
        if isinstance(program, Path) or (program.endswith(".py") and "\n" not in program):
            program = self._home / program
        return self.bench.run(program, timeout_s)

    @property
    def panel(self):  # noqa: ANN201 - the type is Bench's
        """See `Bench.panel`."""
        return self.bench.panel

    @property
    def console(self) -> str:
        """See `Bench.console`."""
        return self.bench.console

    @property
    def modem(self):  # noqa: ANN201 - the type is Bench's
        """See `Bench.modem`."""
        return self.bench.modem

    def check_screen(self, name: str, tolerance: int = 0) -> None:
        """Fail unless the panel shows the stored picture `name`, each colour to `tolerance` of 255.

        A failure leaves a picture with what is stored, what was seen, and where they differ.
        """
        from PIL import Image

        stored = self._home / FOLDER / f"{name}.png"
        seen = self.panel.image().convert("RGB")
        if self._update:
            stored.parent.mkdir(exist_ok=True)
            seen.save(stored)
            return
        if not stored.exists():
            pytest.fail(f"there is no stored screen {stored}: run pytest with --update-screens, and look at it", False)
        with Image.open(stored) as file:
            wanted = file.convert("RGB")
        if wanted.size != seen.size:
            self._fail(name, wanted, seen, f"the panel has {seen.size}, the stored screen {wanted.size}")
        mask = different(wanted, seen, tolerance)
        box = mask.getbbox()
        if box is not None:
            count = mask.histogram()[255]
            self._fail(name, wanted, seen, f"{count} of {seen.width * seen.height} pixels differ, within {box}")

    def _fail(self, name: str, wanted: Image.Image, seen: Image.Image, why: str) -> None:
        self._report.mkdir(parents=True, exist_ok=True)
        path = self._report / f"{self._name}-{name}.png"
        side_by_side(wanted, seen).save(path)
        pytest.fail(f"screen {name}: {why}; stored, seen and difference: {path}", False)


def different(wanted: Image.Image, seen: Image.Image, tolerance: int) -> Image.Image:
    """A picture that is 255 where any colour differs by more than `tolerance`, else 0."""
    from PIL import ImageChops

    most = ImageChops.difference(wanted, seen).split()
    worst = ImageChops.lighter(ImageChops.lighter(most[0], most[1]), most[2])
    return worst.point(lambda value: 255 if value > tolerance else 0)


def side_by_side(wanted: Image.Image, seen: Image.Image) -> Image.Image:
    """What is stored, what was seen, and in red where they differ; panels of two sizes are laid over each other."""
    from PIL import Image

    width, height = max(wanted.width, seen.width), max(wanted.height, seen.height)
    pages = []
    for picture in (wanted, seen):
        page = Image.new("RGB", (width, height))
        page.paste(picture)
        pages.append(page)
    marked = pages[1].convert("L").convert("RGB").point(lambda value: value // 3)
    marked.paste((255, 0, 0), mask=different(pages[0], pages[1], 0))
    out = Image.new("RGB", (3 * width + 16, height), (128, 128, 128))
    for number, page in enumerate((*pages, marked)):
        out.paste(page, (number * (width + 8), 0))
    return out


@pytest.fixture
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestBoard]:
    """A virtual board, switched off. The marker `board` says what it is."""
    from virtualboard.bench import Bench

    config = request.config
    told = {
        "engine": config.getoption("--board-engine"),
        "firmware": config.getoption("--board-firmware"),
        "at": config.getoption("--board-at"),
    }
    options = {name: value for name, value in told.items() if value is not None}
    marker = request.node.get_closest_marker("board")
    if marker is not None:
        if marker.args:
            pytest.fail("the marker board takes names: @pytest.mark.board(at='1.7.4')", False)
        options.update(marker.kwargs)
    home = request.path.parent
    for name in ("card", "camera", "firmware"):
        if isinstance(options.get(name), str):
            options[name] = (config.invocation_params.dir if name == "firmware" else home) / options[name]
    try:
        bench = Bench(tmp_path / "board", **options)
    except (TypeError, ValueError, OSError) as error:
        pytest.fail(f"board: {error}", False)
    report = config.invocation_params.dir / config.getoption("--screen-report")
    yield TestBoard(bench, home, request.node.name, report, config.getoption("--update-screens"))
