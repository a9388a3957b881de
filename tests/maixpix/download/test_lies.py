"""Every lie of the catalogue, told to the library: the right file or a clean failure that names the lie."""

import asyncio
import dataclasses

import pytest

from benchmarks.lies import CATALOGUE, RIGHT
from benchmarks.lying_server import LyingServer
from benchmarks.mixed_servers import EITHER, MIXED, MIXED_RERUNS
from benchmarks.odd_servers import ODD, RERUNS
from maixpix.download import DownloadError, Downloads, Options, client, download_async, reply
from rig.downloads import options_of

ALL = CATALOGUE | ODD | MIXED


@pytest.fixture(scope="module")
def server():
    with LyingServer({name: case.behave for name, case in ALL.items()}) as server:
        yield server


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch):
    """Heads that never end are waited for as long as bodies."""
    monkeypatch.setattr(client, "HEAD_S", 0.5)


LONG_CASES = [
    "honest-in-parts",
    "cut-once",
    "cut-always",
    "cut-after-a-thousand-bytes",
    "last-byte-is-missing",
    "reset-in-the-middle",
    "every-third-part-is-reset",
    "stalls-for-ever",
    "drips-for-ever",
    "parts-are-longer",
    "parts-are-shifted",
    "parts-of-another-version",
    "parts-in-whose-middle-bytes-are-missing",
    "wholes-instead-of-parts",
    "half-that-nobody-asked-for",
]
"""Some of those in which bytes come past aiohttp's parser when no body is too short for that."""


@pytest.mark.parametrize("case", ALL.values(), ids=lambda case: case.name)
def test_a_lie_gives_the_right_file_or_none(case, server, tmp_path):
    tell_it(case, server, tmp_path)


@pytest.mark.parametrize("name", LONG_CASES)
def test_a_lie_gives_no_other_file_past_the_parser(name, server, tmp_path, monkeypatch):
    monkeypatch.setattr(reply, "LONG", 1)
    tell_it(ALL[name], server, tmp_path)


@pytest.mark.parametrize("surplus", [1, 100_000])
def test_a_long_body_that_is_longer_than_told(surplus, tmp_path):
    content = bytes(reply.LONG + 1_000_000)

    def behave(talk):
        talk.head("200 OK", Content_Length=len(content), ETag='"v1"')
        talk.raw(content + bytes(surplus))

    more = pytest.raises(DownloadError, match="sends more bytes than the Content-Length that it told")
    with LyingServer({"file": behave}) as server, more:
        asyncio.run(download_async(server.url("file"), tmp_path / "file", options=Options(parts=1)))
    assert not (tmp_path / "file").exists()


def tell_it(case, server, tmp_path):
    """Download what `case` is about; only its right file may come of it, or a failure that names the lie."""
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
        assert case.verdict in (RIGHT, EITHER), f"wrong with success: {result}"
        assert target.read_bytes() == case.ends_as
        assert not list(target.parent.glob("*.part*"))
    assert [path.name for path in tmp_path.iterdir()] == ["sub"]


@pytest.mark.parametrize("name", RERUNS | MIXED_RERUNS)
def test_the_same_command_again_after_a_cut(name, tmp_path):
    rerun, target = (RERUNS | MIXED_RERUNS)[name], tmp_path / "file.bin"
    behave = {"now": rerun.first}
    with LyingServer({"file": lambda talk: behave["now"](talk)}) as server:
        with pytest.raises(DownloadError):
            asyncio.run(download_async(server.url("file"), target, options=Options(retries=0)))
        assert not target.exists()
        behave["now"] = rerun.then
        try:
            result = asyncio.run(asyncio.wait_for(download_async(server.url("file"), target), 60))
        except DownloadError as error:
            assert rerun.verdict != RIGHT, error.line
            assert not target.exists()
        else:
            assert rerun.verdict == RIGHT, f"wrong with success: {result}"
            assert target.read_bytes() == rerun.ends_as


def test_an_answer_that_nobody_asked_for_is_not_the_next_files(server, tmp_path):
    async def both():
        async with Downloads() as downloads:
            await downloads.get(server.url("an-answer-behind-the-answer"), tmp_path / "one")
            return await downloads.get(server.url("honest"), tmp_path / "two")

    asyncio.run(both())
    assert (tmp_path / "one").read_bytes() == b"hello"
    assert (tmp_path / "two").read_bytes() == CATALOGUE["honest"].ends_as
