"""Foreign pictures are decoded outside: within limits, in fair turns, and never where they could stop the companion."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import sys
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from maixpix.companion import PictureLimits
from maixpix.companion.convert import Rendition
from maixpix.companion.decoding.decoders import PAGE_BYTES, Decoders
from maixpix.companion.decoding.queue import Caller, FairQueue
from maixpix.companion.problems import Refused

SMALL = Rendition(32, 24)
HERE = Caller("127.0.0.1")

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no limits of memory and processor time")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def flat_png(width: int, height: int) -> bytes:
    """A PNG of one colour: a thousand times smaller than its pixels."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\x55" * (3 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def run(work, limits: PictureLimits | None = None):
    """Run `await work(decoders)`; nothing of the decoders is left behind."""

    async def main():
        decoders = Decoders(limits or PictureLimits())
        try:
            return await asyncio.wait_for(work(decoders), 60)
        finally:
            await decoders.close()

    return asyncio.run(main())


def children() -> set[int]:
    tasks = Path("/proc/self/task")
    return {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}


@unix_only
def test_memory_beyond_the_limit_is_refused_and_the_next_picture_is_made(make_gradient):
    bomb = flat_png(8000, 8000)  # 192 MB of pixels
    good = io.BytesIO()
    make_gradient(64, 48).save(good, "PNG")

    async def work(decoders: Decoders) -> bytes:
        with pytest.raises(Refused) as caught:
            await decoders.convert(bomb, SMALL, HERE)
        assert caught.value.status in (413, 422)
        return await decoders.convert(good.getvalue(), SMALL, HERE)

    made = run(work, PictureLimits(memory_bytes=64 * 1024 * 1024, workers=1))
    assert Image.open(io.BytesIO(made)).size == (32, 24)


@unix_only
def test_processor_time_beyond_the_limit_ends_the_decoder_and_another_goes_on():
    bomb = flat_png(12_000, 7_000)

    async def work(decoders: Decoders) -> None:
        began = time.process_time()
        with pytest.raises(Refused) as caught:
            await decoders.convert(bomb, SMALL, HERE)
        assert (caught.value.status, decoders.lost) == (422, 1)
        assert "time or memory" in caught.value.line
        assert time.process_time() - began < 1, "the companion itself has worked on it"
        assert await decoders.picture_of_page(b'<meta property="og:image" content="/a.jpg">', HERE) == "/a.jpg"

    run(work, PictureLimits(workers=1, cpu_s=0))


def test_only_the_beginning_of_a_page_is_looked_at():
    named = b'<meta property="og:image" content="/a.jpg">'

    async def work(decoders: Decoders) -> list[str]:
        pages = (b" " * (PAGE_BYTES - len(named)) + named, b" " * PAGE_BYTES + named, b"", b"\xff\xfe\0" * 1000)
        return [await decoders.picture_of_page(page, HERE) for page in pages]

    assert run(work) == ["/a.jpg", "", "", ""]


def test_a_picture_that_waits_too_long_for_a_processor_is_given_up():
    async def work(decoders: Decoders) -> None:
        with pytest.raises(Refused, match="time or memory"):
            await decoders.convert(flat_png(4000, 4000), SMALL, HERE)

    run(work, PictureLimits(job_s=0.01))


def test_foreign_pictures_have_a_lower_limit_and_never_the_last_decoder(make_gradient):
    picture = io.BytesIO()
    make_gradient(200, 100).save(picture, "PNG")
    limits = PictureLimits(max_foreign_pixels=10_000, workers=2)

    async def work(decoders: Decoders) -> None:
        with pytest.raises(Refused, match="200x100"):
            await decoders.convert(picture.getvalue(), SMALL, HERE, is_foreign=True)
        slow = [asyncio.create_task(decoders.picture_of_page(b"<" * 60_000, Caller(f"10.0.0.{n}"))) for n in range(9)]
        await asyncio.sleep(0)
        assert await decoders.convert(picture.getvalue(), SMALL, HERE)
        assert not all(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    run(work, limits)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="/proc tells of processes on Linux only")
def test_a_decoder_is_told_no_secrets_and_leaves_with_the_companion(monkeypatch):
    monkeypatch.setenv("MAIXPIX_TOKEN", "do-not-tell-me")
    before = children()

    async def work(decoders: Decoders) -> set[int]:
        await decoders.warm()
        found = children() - before
        assert len(found) == 2
        for pid in found:
            assert b"do-not-tell-me" not in Path(f"/proc/{pid}/environ").read_bytes()
            opened = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: PTH115
            assert {name.split(":")[0] for name in opened} <= {"pipe", "socket", "/dev/null"}
            assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)
        return found

    assert not run(work) & children()


def test_a_decoder_that_is_killed_is_replaced(make_gradient):
    picture = io.BytesIO()
    make_gradient(64, 48).save(picture, "PNG")

    async def work(decoders: Decoders) -> None:
        for _ in range(3):
            assert await decoders.convert(picture.getvalue(), SMALL, HERE)
            decoders._idle[0]._process.kill()
            await decoders._idle[0]._process.wait()
            with pytest.raises(Refused):
                await decoders.convert(picture.getvalue(), SMALL, HERE)
        assert await decoders.convert(picture.getvalue(), SMALL, HERE)

    run(work, PictureLimits(workers=1))


def test_what_cannot_be_read_is_told_as_such(tmp_path):
    async def work(decoders: Decoders) -> None:
        with pytest.raises(FileNotFoundError):
            await decoders.convert(tmp_path / "none.png", SMALL, HERE)

    run(work)


# -- the queue --------------------------------------------------------------------------------------------


def test_turns_are_fair_between_addresses():
    queue: FairQueue[str] = FairQueue(100, 50, lambda work: None)
    for number in range(5):
        queue.put(Caller("flood"), f"flood {number}", True)
    queue.put(Caller("board"), "board 0", False)
    queue.put(Caller("board"), "board 1", False)
    taken = [queue.take(True) for _ in range(8)]
    assert taken == ["flood 0", "board 0", "flood 1", "board 1", "flood 2", "flood 3", "flood 4", None]


def test_without_room_for_foreign_work_the_houses_own_goes_first():
    queue: FairQueue[str] = FairQueue(100, 50, lambda work: None)
    queue.put(Caller("a"), "foreign", True)
    queue.put(Caller("a"), "own", False)
    assert [queue.take(False), queue.take(False), queue.take(True)] == ["own", None, "foreign"]


def test_bounds_in_all_and_for_each_and_when_to_come_again():
    queue: FairQueue[int] = FairQueue(5, 3, lambda work: None)
    for number in range(3):
        queue.put(Caller("flood"), number, True)
    for address in ("flood", "a", "b", "c"):
        try:
            queue.put(Caller(address), 9, True)
        except Refused as refused:
            assert (refused.status, refused.headers["Retry-After"], address) == (503, "2", address)
            assert address in ("flood", "c")
        else:
            assert address in ("a", "b")


def test_those_who_have_gone_make_room_and_are_never_begun():
    dropped: list[str] = []
    gone = set()
    queue: FairQueue[str] = FairQueue(3, 3, dropped.append)
    for name in ("first", "second", "third"):
        queue.put(Caller("a", lambda name=name: name in gone), name, True)
    gone |= {"first", "third"}
    queue.put(Caller("b"), "fourth", True)
    assert (dropped, queue.dropped, len(queue)) == (["first", "third"], 2, 2)
    gone.add("second")
    assert [queue.take(True), queue.take(True)] == ["fourth", None]
    assert dropped == ["first", "third", "second"]
