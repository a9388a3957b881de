"""Every lie of the catalogue, told to the library: the right file or a clean failure that names the lie."""

import asyncio
import dataclasses

import pytest

from benchmarks.lies import CATALOGUE, RIGHT
from benchmarks.lying_server import LyingServer
from maixpix.download import DownloadError, download_async
from rig.downloads import options_of


@pytest.fixture(scope="module")
def server():
    with LyingServer({name: case.behave for name, case in CATALOGUE.items()}) as server:
        yield server


@pytest.mark.parametrize("case", CATALOGUE.values(), ids=lambda case: case.name)
def test_a_lie_gives_the_right_file_or_none(case, server, tmp_path):
    target = tmp_path / "sub" / "file.bin"
    target.parent.mkdir()
    options = dataclasses.replace(options_of(case.options))
    try:
        result = asyncio.run(asyncio.wait_for(download_async(server.url(case.name), target, options=options), 60))
    except DownloadError as error:
        assert case.verdict != RIGHT, error.line
        assert case.says in error.line
        assert not target.exists()
    else:
        assert case.verdict == RIGHT, f"wrong with success: {result}"
        assert target.read_bytes() == case.ends_as
        assert not list(target.parent.glob("*.part*"))
    assert [path.name for path in tmp_path.iterdir()] == ["sub"]
