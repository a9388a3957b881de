"""The library: streams that survive cuts, many files, cancelling, limits, and its parts without a network."""

import asyncio
import errno
import gzip
import hashlib
import json
import os
import socket
import sys
import time
import tracemalloc
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.lies import BIG, PAGE, A, B, C
from benchmarks.lying_server import LyingServer
from benchmarks.mixed_servers import MIXED
from maixpix.download import (
    DownloadError,
    Downloads,
    Options,
    download,
    download_async,
    download_many,
    downloads,
    reply,
    stream,
)
from maixpix.download.answer import read_answer, retry_after
from maixpix.download.extents import Extents
from maixpix.download.filename import disposition_name
from maixpix.download.folder import Folder
from maixpix.download.journal import Journal, read_journal
from maixpix.download.partfile import PartFile
from maixpix.download.reply import Reply
from maixpix.download.segments import SMALLEST, STOLEN, Segments
from maixpix.download.sums import read_sums
from maixpix.download.trouble import Lie
from maixpix.download.version import Version
from maixpix.download.writing import BUFFERED


@pytest.fixture
def serve():
    servers = []

    def start(**behaviours):
        servers.append(LyingServer(behaviours).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__()


def test_a_port_where_nobody_listens_is_told_in_the_systems_words(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(DownloadError) as told:
            download(url, tmp_path / "x", options=Options(retries=0))
    assert f"cannot be reached ({os.strerror(errno.ECONNREFUSED)})" in str(told.value)
    assert "ssl" not in str(told.value)


# -- streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"etag": None, "modified": None}, {"ranges": False}, {"etag": 'W/"v1"', "modified": None}, {"length": False}],
    ids=["tag", "no validators", "no ranges", "weak tag", "no length"],
)
def test_a_stream_goes_on_after_a_cut(serve, options):
    server = serve(a=lambda talk: talk.serve(A, cut_at=100_000 if talk.number == 1 else None, **options))
    assert b"".join(stream(server.url("a"))) == A


def test_a_stream_is_asynchronous_too(serve):
    server = serve(a=lambda talk: talk.serve(A))

    async def read():
        return b"".join([piece async for piece in stream(server.url("a"))])

    assert asyncio.run(read()) == A


@pytest.mark.parametrize("tag", ['"v2"', None])
def test_a_stream_does_not_mix_versions(serve, tag):
    server = serve(
        a=lambda talk: talk.serve(A, etag=tag and '"v1"', modified=None, cut_at=100_000)
        if talk.number == 1
        else talk.serve(B, etag=tag, modified=None)
    )
    read = bytearray()
    with pytest.raises(DownloadError, match=r"content|bytes"):
        for piece in stream(server.url("a")):
            read += piece
    assert A.startswith(bytes(read))


def test_a_stream_proves_its_digest_at_the_end(serve):
    server = serve(a=lambda talk: talk.serve(B))
    with pytest.raises(DownloadError, match="sha-256"):
        list(stream(server.url("a"), sha256="0" * 64))


def test_lines_and_json_lines(serve):
    text = 'one\r\ntwo\n\n{"é": 1}'.encode()
    server = serve(a=lambda talk: talk.serve(text, cut_at=5 if talk.number == 1 else None))
    assert list(stream(server.url("a")).lines()) == ["one", "two", "", '{"é": 1}']
    rows = b'{"a": 1}\n\n[2]\n'
    server = serve(a=lambda talk: talk.serve(rows), b=lambda talk: talk.serve(b"{no json\n"))
    assert list(stream(server.url("a")).json_lines()) == [{"a": 1}, [2]]
    with pytest.raises(DownloadError, match="line 1 is no JSON"):
        list(stream(server.url("b")).json_lines())


def test_a_stream_that_is_left_early_closes_its_connection(serve):
    server = serve(a=lambda talk: talk.serve(BIG))
    for piece in stream(server.url("a")):
        assert BIG.startswith(piece)
        break


def test_a_stream_needs_little_memory(serve):
    size = 40_000_000

    def behave(talk):
        talk.head("200 OK", Content_Length=size)
        for _ in range(size // 100_000):
            talk.raw(bytes(100_000))

    server = serve(a=behave)
    tracemalloc.start()
    assert sum(map(len, stream(server.url("a")))) == size
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8_000_000


# -- files ------------------------------------------------------------------------------------------------------


def test_many_files_in_the_order_of_their_addresses(serve, tmp_path):
    server = serve(
        a=lambda talk: talk.serve(A),
        b=lambda talk: talk.head("404 Not Found", Content_Length=0),
        c=lambda t: t.serve(C),
    )
    one, two, three = download_many([server.url(name) for name in "abc"], tmp_path)
    assert one.path.read_bytes() == A
    assert isinstance(two, DownloadError)
    assert two.kind == "refused"
    assert three.path.read_bytes() == C


def test_a_folder_is_looked_into_once_for_many_files(serve, tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(downloads, "Folder", lambda path: looked.append(path) or Folder(path))
    server = serve(**{f"f{number}": lambda talk: talk.serve(A) for number in range(20)})
    download_many([server.url(f"f{number}") for number in range(20)], tmp_path)
    assert looked == [tmp_path]


def test_two_addresses_do_not_share_a_name(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(A), b=lambda talk: talk.serve(B))
    results = download_many([server.url("a/x"), server.url("b/x")], tmp_path)
    assert sum(isinstance(result, DownloadError) for result in results) == 1
    assert (tmp_path / "x").read_bytes() in (A, B)


def test_cancelling_keeps_what_is_safe(serve, tmp_path):
    def behave(talk):
        if talk.number > 1:
            return talk.serve(BIG)
        talk.head("200 OK", Content_Length=len(BIG), ETag='"v1"', Accept_Ranges="bytes")
        talk.raw(BIG[:5_000_000])
        return talk.stall(30)

    server = serve(a=behave)

    async def run():
        there = asyncio.Event()
        task = asyncio.ensure_future(
            download_async(
                server.url("a"), tmp_path / "f", parts=1,
                on_progress=lambda progress: progress.done > 1_000_000 and there.set(),
            )
        )  # fmt: skip
        await there.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.part", "f.part.json"]
    result = download(server.url("a"), tmp_path / "f")
    assert result.state == "resumed"
    assert result.received < len(BIG) - 900_000
    assert (tmp_path / "f").read_bytes() == BIG


def test_total_time_is_limited(serve, tmp_path):
    server = serve(a=lambda talk: talk.stall(60))
    with pytest.raises(DownloadError, match=r"longer than 0\.5 s"):
        download(server.url("a"), tmp_path / "f", total_s=0.5)


def test_the_rate_is_limited(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(A))
    began = time.monotonic()
    download(server.url("a"), tmp_path / "f", limit=300_000)
    assert time.monotonic() - began > 0.6


@pytest.mark.parametrize(
    "behave",
    [
        lambda talk: talk.head("200 OK", Content_Length=len(BIG)),
        lambda talk: talk.serve(BIG, length=False, etag=None, modified=None),
        lambda talk: talk.serve(gzip.compress(BIG), shown={"Content_Encoding": "gzip"}),
    ],
    ids=["told", "not told", "packed"],
)
def test_a_file_may_be_too_big(behave, serve, tmp_path):
    server = serve(a=behave)
    with pytest.raises(DownloadError, match="has more than 300,000 bytes"):
        download(server.url("a"), tmp_path / "f", options=Options(max_bytes=300_000))
    with pytest.raises(DownloadError, match="has more than 300,000 bytes"):
        list(stream(server.url("a"), options=Options(max_bytes=300_000)))
    assert not (tmp_path / "f").exists()


def test_parts_share_the_work(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(BIG, pause_s=0.02))
    result = download(server.url("a"), tmp_path / "f", parts=4)
    assert result.path.read_bytes() == BIG
    assert len({talk.headers.get("range") for talk in server.talks["/a"]}) >= 4
    assert result.notes == ()


def test_headers_cookies_and_basic(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(A))
    download(
        server.url("a"), tmp_path / "f", headers={"X-Mine": "1"}, cookies={"k": "v"}, basic=("me", "secret")
    )  # fmt: skip
    headers = server.talks["/a"][0].headers
    assert (headers["x-mine"], headers["cookie"], headers["authorization"]) == ("1", "k=v", "Basic bWU6c2VjcmV0")


def test_connections_to_one_host_are_limited(serve, tmp_path):
    busy, most = [], []

    def behave(talk):
        busy.append(talk)
        most.append(len(busy))
        time.sleep(0.02)
        talk.serve(C)
        busy.remove(talk)

    server = serve(**{f"f{number}": behave for number in range(12)})

    async def run():
        async with Downloads(Options(per_host=3, at_once=12)) as downloads:
            await asyncio.gather(*(downloads.get(server.url(f"f{n}"), folder=tmp_path) for n in range(12)))

    asyncio.run(run())
    assert max(most) <= 3


def test_a_compressed_archive_is_kept_as_it_is(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(A, shown={"Content_Encoding": "gzip"}))
    assert download(server.url("a/x.tar.gz"), tmp_path).path.read_bytes() == A


def test_what_a_power_failure_took_is_not_believed_and_the_rest_is(tmp_path):
    path, journal = tmp_path / "f.part", Journal(tmp_path / "f.part.json", "f", "http://h/f")
    file = PartFile(path)
    file.open()
    journal.begin(Version('"v1"', size=len(A)))
    for start, stop in ((0, 100_000), (200_000, 250_000), (100_000, 150_000), (250_000, 300_000)):
        file.write(start, [A[start:stop]])
        journal.note(file.state([file.account(start, [A[start:stop]])]))
    file.close()
    journal.close()
    with path.open("r+b") as damaged:
        damaged.seek(120_000)
        damaged.write(bytes(10))
        damaged.seek(260_000)
        damaged.write(bytes(10))
    again, left = PartFile(path), read_journal(journal.path)
    again.open()
    assert again.take_over(left.blocks, left.points)
    assert list(again.there) == [(0, 100_000), (200_000, 250_000)]
    again.close()


@pytest.mark.parametrize("name", [None, "file.bin"], ids=["name by the server", "name given"])
def test_a_run_killed_before_its_first_byte_binds_the_next_to_its_version(tmp_path, name):
    now = {"behave": lambda talk: talk.serve(PAGE, etag=None, modified=None, ranges=False)}
    with LyingServer({"file.bin": lambda talk: now["behave"](talk)}) as server:
        url = server.url("file.bin")
        journal = Journal(tmp_path / "file.bin.part.json", "file.bin", url)
        journal.begin(Version('"v1"', size=len(A)))
        journal.close()
        where = tmp_path / name if name else tmp_path
        for _ in range(2):  # it is still known after a failure
            with pytest.raises(
                DownloadError, match=f"something else: {len(PAGE)} bytes of no version instead of 300,000"
            ):
                download(url, where, retries=1)
            assert not (tmp_path / "file.bin").exists()
        now["behave"] = lambda talk: talk.serve(A)
        assert download(url, where).state == "fetched"
        assert (tmp_path / "file.bin").read_bytes() == A
        assert not list(tmp_path.glob("*.part*"))


def test_error_pages_take_nothing_away_that_came_before(tmp_path):
    now = {"behave": lambda talk: talk.serve(A, cut_at=200_000)}
    with LyingServer({"file.bin": lambda talk: now["behave"](talk)}) as server:
        with pytest.raises(DownloadError):
            download(server.url("file.bin"), tmp_path, retries=0)
        now["behave"] = lambda talk: talk.serve(PAGE, etag=None, modified=None, ranges=False)
        with pytest.raises(DownloadError, match="something else"):
            download(server.url("file.bin"), tmp_path)
        now["behave"] = lambda talk: talk.serve(A)
        result = download(server.url("file.bin"), tmp_path)
    assert result.state == "resumed"
    assert result.received < len(A) // 2
    assert (tmp_path / "file.bin").read_bytes() == A


def test_a_stream_joins_no_part_that_lacks_the_tag(tmp_path):
    with LyingServer({"file": MIXED["part-without-a-tag"].behave}) as server, pytest.raises(DownloadError):
        for _ in stream(server.url("file")):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="only there is the way's length asked for")
def test_the_system_holds_little_of_a_near_server(tmp_path, monkeypatch):
    held, own = [], Reply.buffer_at_most

    def buffer_at_most(reply, share):
        own(reply, share)
        sock = reply._protocol.transport.get_extra_info("socket")
        held.append((share, sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)))

    monkeypatch.setattr(Reply, "buffer_at_most", buffer_at_most)
    monkeypatch.setattr(reply, "_round_trip_s", lambda sock: 0.00001)
    with LyingServer({"file": lambda talk: talk.serve(BIG)}) as server:
        download(server.url("file"), tmp_path, parts=2)
        assert len(held) >= 2
        assert all(size == 2 * share == BUFFERED for share, size in held)  # Linux doubles what is asked for


@pytest.mark.parametrize("rtt_s", [None, 0.05])
def test_the_system_decides_itself_what_it_holds_of_others(monkeypatch, rtt_s):
    monkeypatch.setattr(reply, "_round_trip_s", lambda sock: rtt_s)
    sock = SimpleNamespace(setsockopt=lambda *words: pytest.fail("a buffer is set"))
    transport = SimpleNamespace(get_extra_info={"socket": sock}.get)
    Reply.buffer_at_most(SimpleNamespace(_protocol=SimpleNamespace(transport=transport)), BUFFERED)


# -- without a network ------------------------------------------------------------------------------------------


BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests run beside these


@BUSY
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))), st.integers(0, 70))
def test_extents_hold_what_sets_hold(ranges, stop):
    extents, bytes_ = Extents(ranges), {at for start, end in ranges for at in range(start, end)}
    assert len(extents) == len(bytes_)
    assert {at for start, end in extents for at in range(start, end)} == bytes_
    assert {at for start, end in extents.gaps(stop) for at in range(start, end)} == set(range(stop)) - bytes_
    assert all(a[1] < b[0] for a, b in zip(list(extents), list(extents)[1:], strict=False))
    for position in range(1, 60):
        before = extents.before(position)
        assert set(range(before, position)) <= bytes_
        assert before == 0 or before - 1 not in bytes_


@BUSY
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))), st.integers(0, 60), st.integers(0, 60))
def test_extents_forget(ranges, start, stop):
    extents = Extents(ranges)
    extents.remove(start, stop)
    bytes_ = {at for a, b in ranges for at in range(a, b)} - set(range(start, stop))
    assert {at for a, b in extents for at in range(a, b)} == bytes_


def test_segments_are_halved_and_given_back():
    segments = Segments(Extents())
    segments.total = 8 * SMALLEST
    first = segments.claim()
    second = segments.steal(SMALLEST)
    assert (first.stop, second.start, second.stop) == (4 * SMALLEST, 4 * SMALLEST, 8 * SMALLEST)
    third = segments.steal(SMALLEST)
    assert {third.stop - third.start, first.left, second.left} == {2 * SMALLEST, 4 * SMALLEST}
    segments.release(second)
    segments.release(third)
    assert segments.extend(first)
    assert first.stop == 8 * SMALLEST


def test_connections_are_dealt_the_front_half_first_and_then_pieces_of_the_rest():
    segments = Segments(Extents())
    segments.total = 8 * STOLEN + 3
    first = segments.claim()
    shares = segments.deal(4)
    cuts = [0, *(share.start for share in shares), shares[-1].stop]
    assert cuts == [number * (STOLEN + 1) for number in range(5)] and first.stop == cuts[1]
    assert (shares[-1].stop, segments.claim().stop) == (cuts[4], cuts[4] + STOLEN + 1)
    little = Segments(Extents())
    little.total = 8 * STOLEN - 1
    little.claim()
    assert little.deal(4)[-1].stop == little.total and little.claim() is None
    resumed = Segments(Extents([(SMALLEST, 4 * STOLEN)]))
    resumed.total = 8 * STOLEN
    first = resumed.claim()
    shares = resumed.deal(4)
    assert (first.start, first.stop) == (0, SMALLEST)
    assert [share.start for share in shares] == [4 * STOLEN, 5 * STOLEN + SMALLEST // 4, 6 * STOLEN + SMALLEST // 2]


def test_what_is_complete_at_the_front_is_hashed_while_the_rest_is_written(tmp_path):
    file = PartFile(tmp_path / "f")
    file.open()
    half = len(A) // 2
    for start, piece in ((half, A[half:]), (0, memoryview(A)[:half])):
        file.write(start, [piece])
    file.account(half, [A[half:]])
    assert file.state([]).hashed == 0
    file.account(0, [memoryview(A)[:half]])
    file.hash_on(len(A))
    assert (file.state([]).hashed, file.state([]).sha256) == (len(A), hashlib.sha256(A).hexdigest())
    file.close()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("attachment", ""),
        ("attachment; filename=a.txt", "a.txt"),
        ('attachment; filename="a b.txt"', "a b.txt"),
        ('attachment; filename="a\\"b.txt"', 'a"b.txt'),
        ('attachment; filename="a;b.txt"', "a;b.txt"),
        ("attachment; filename=a b.txt; size=3", "a b.txt"),
        ("attachment; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ("attachment; filename*=iso-8859-1'en'%a3.txt; filename=x", "£.txt"),
        ("attachment; filename*=nonsense''%a3; filename=x", "x"),
        ("attachment; filename*=UTF-8''%ff; filename=x", "x"),
        ("attachment; FileName=x", "x"),
        ("attachment; filename=\udcc3\udca9.txt", "é.txt"),
    ],
)
def test_names_in_content_disposition(value, name):
    assert disposition_name(value) == name


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (206, {}, "names no part"),
        (206, {"Content-Range": "bytes 5-4/10"}, "contradicts itself"),
        (206, {"Content-Range": "bytes 0-10/10"}, "contradicts itself"),
        (206, {"Content-Range": "bytes 0-4/10", "Content-Length": "6"}, "but Content-Length 6"),
        (206, {"Content-Range": "bytes 0-4/10", "Content-Encoding": "gzip"}, "packed"),
        (200, {"Content-Length": "12x"}, "12x"),
        (200, {"Content-Range": "bytes 0-4/10"}, "200"),
        (200, {"Content-Encoding": "br"}, "packed as br"),
        (304, {}, "304"),
    ],
)
def test_answers_that_contradict_themselves(status, headers, said):
    with pytest.raises(Lie, match=said):
        read_answer(status, headers)


def test_versions_are_compared_by_the_strongest_that_both_have():
    one = Version('"a"', "x", True, 5)
    assert one.differs(Version('"b"', "x"))
    assert not one.differs(Version('"a"', "y"))
    assert one.differs(Version(size=6))
    assert one.is_confirmed_by(Version('"a"'))
    assert not one.is_confirmed_by(Version())
    assert not Version('W/"a"').condition
    digest = {"sha-256": bytes(32)}
    assert not Version('"a"', digests=digest).differs(Version('"b"', digests=digest))
    assert Version.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_retry_after_is_a_number_or_a_date():
    assert retry_after("7") == 7
    assert retry_after("nonsense") is None
    assert retry_after("Mon, 02 Nov 2020 10:00:00 GMT") == 0


def test_lists_of_digests():
    one, two = "a" * 64, "B" * 64
    assert read_sums(f"{one}  dir/x.bin\n\n{two} *y\nSHA256 (z) = {one}\n# note") == {
        "x.bin": one,
        "y": "b" * 64,
        "z": one,
    }
    with pytest.raises(DownloadError):
        read_sums("nothing")
    with pytest.raises(DownloadError):
        read_sums(f"{one}  x\n{two}  x\n")
