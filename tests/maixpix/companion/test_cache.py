"""The cache of conversions: once at a time, bounded, kept over restarts, and never believed blindly."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maixpix.companion.cache import RenditionCache
from maixpix.companion.decoding.queue import Caller
from maixpix.companion.problems import Refused


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def make_cache(tmp_path, pool):
    def make(memory: int = 10_000, disk: int = 10_000) -> RenditionCache:
        cache = RenditionCache(tmp_path / "cache", memory, disk, pool)
        cache.open()
        return cache

    return make


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


def get(cache: RenditionCache, source: str, make, has_gone=lambda: False):
    """`source` in its one rendition, for one caller."""
    return cache.get(source, "320x240", lambda caller: make(), Caller("127.0.0.1", has_gone))


async def give(body: bytes) -> bytes:
    return body


async def fail() -> bytes:
    raise AssertionError("made again")


def test_once_made_it_is_found_again_in_memory_and_on_disk(make_cache):
    async def work() -> None:
        cache = make_cache()
        entry = await get(cache, "a", lambda: give(b"picture"))
        assert (entry.body, entry.digest) == (b"picture", hashlib.sha256(b"picture").digest())
        assert await get(cache, "a", fail) == entry
        assert await get(make_cache(), "a", fail) == entry
        assert await get(make_cache(memory=0), "a", fail) == entry

    asyncio.run(work())


def test_equal_requests_at_one_time_are_made_once_and_survive_a_caller_that_leaves(make_cache):
    async def work() -> None:
        cache = make_cache()
        go = asyncio.Event()
        made = []

        async def slow() -> bytes:
            made.append(1)
            await go.wait()
            return b"slow"

        callers = [asyncio.create_task(get(cache, "a", slow)) for _ in range(20)]
        await asyncio.sleep(0.01)
        callers[0].cancel()
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert {entry.body for entry in results[1:]} == {b"slow"}
        assert len(made) == 1

    asyncio.run(work())


@pytest.mark.parametrize(("status", "lasts"), [(422, True), (413, True), (415, True), (503, False), (507, False)])
def test_a_failure_reaches_every_caller_and_is_remembered_when_the_source_is_to_blame(make_cache, status, lasts):
    async def work() -> None:
        cache = make_cache()

        async def broken() -> bytes:
            await asyncio.sleep(0.01)
            raise Refused(status, "code", "cause", "remedy")

        results = await asyncio.gather(*(get(cache, "a", broken) for _ in range(5)), return_exceptions=True)
        assert [result.code for result in results] == ["code"] * 5
        if lasts:
            with pytest.raises(Refused, match="cause"):
                await cache.get("a", "another size", lambda caller: fail(), Caller("127.0.0.1"))
            assert cache.why_not("a", "another size") == "cause"
        else:
            assert (await get(cache, "a", lambda: give(b"good"))).body == b"good"
            assert cache.why_not("a", "320x240") is None

    asyncio.run(work())


def test_what_only_one_rendition_may_be_to_blame_for_is_remembered_of_that_one(make_cache):
    async def work() -> None:
        cache = make_cache()

        async def broken(caller: Caller) -> bytes:
            raise Refused(422, "code", "cause", "remedy", is_once=True)

        with pytest.raises(Refused):
            await cache.get("a", "odd", broken, Caller("127.0.0.1"))
        with pytest.raises(Refused, match="cause"):
            await cache.get("a", "odd", lambda caller: fail(), Caller("127.0.0.1"))
        assert cache.why_not("a", "odd") == "cause"
        assert cache.why_not("a", "usual") is None
        assert (await cache.get("a", "usual", lambda caller: give(b"good"), Caller("127.0.0.1"))).body == b"good"

    asyncio.run(work())


def test_a_conversion_is_wanted_as_long_as_one_of_its_callers_is_there(make_cache):
    async def work() -> None:
        cache = make_cache()
        there = {"first", "second"}
        together = []

        async def slow(caller: Caller) -> bytes:
            together.append(caller)
            await asyncio.sleep(0.01)
            return b"slow"

        callers = [Caller("10.0.0.1", lambda name=name: name not in there) for name in ("first", "second")]
        tasks = [asyncio.create_task(cache.get("a", "r", slow, caller)) for caller in callers]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        (shared,) = together
        for name in ("first", "second"):
            assert not shared.has_gone()
            there.discard(name)
        assert shared.has_gone()
        await asyncio.gather(*tasks)

    asyncio.run(work())


def test_bounds_hold_and_the_least_used_goes_first(make_cache, tmp_path):
    async def work() -> None:
        cache = make_cache(memory=250, disk=3 * 132)
        for name in "abc":
            await get(cache, name, lambda: give(bytes(100)))
        await get(cache, "a", fail)
        await get(cache, "d", lambda: give(bytes(100)))
        # b is the one that nobody asked for: gone from memory (2 places) and, after c, from disk (3 places).
        assert len(files(tmp_path)) == 3
        made = []
        for name in "adcb":
            await get(cache, name, lambda name=name: note(made, name))
        assert "d" not in made
        assert made
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 3 * 132
        assert cache._held <= 250

    async def note(made: list[str], name: str) -> bytes:
        made.append(name)
        return bytes(100)

    asyncio.run(work())


def test_an_entry_bigger_than_the_cache_is_given_but_not_kept(make_cache, tmp_path):
    async def work() -> None:
        cache = make_cache(memory=10, disk=10)
        assert (await get(cache, "a", lambda: give(bytes(100)))).body == bytes(100)
        assert files(tmp_path) == []

    asyncio.run(work())


@pytest.mark.parametrize("damage", [b"", b"short", bytes(32) + b"other body"])
def test_a_damaged_file_is_made_anew(make_cache, tmp_path, damage):
    async def work() -> None:
        await get(make_cache(), "a", lambda: give(b"good"))
        (path,) = files(tmp_path)
        path.write_bytes(damage)
        assert (await get(make_cache(), "a", lambda: give(b"good"))).body == b"good"
        assert (await get(make_cache(), "a", fail)).body == b"good"

    asyncio.run(work())


def test_left_over_files_are_cleared_and_a_smaller_bound_is_kept_at_start(make_cache, tmp_path):
    async def work() -> None:
        cache = make_cache()
        for name in "abcd":
            await get(cache, name, lambda: give(bytes(100)))
        (tmp_path / "cache" / "torn.new").write_bytes(b"x")
        make_cache(disk=2 * 132)
        assert len(files(tmp_path)) == 2

    asyncio.run(work())


def test_a_disk_that_fails_costs_only_speed(make_cache, tmp_path):
    async def work() -> None:
        cache = make_cache()
        (tmp_path / "cache").rmdir()
        assert (await get(cache, "a", lambda: give(b"good"))).body == b"good"
        assert (await get(cache, "a", fail)).body == b"good"

    asyncio.run(work())
