"""pix.fetch from servers of this machine to a card of the virtual board: whole files, and resuming."""

import hashlib
import random

import pytest

from rig.device import Device, PowerCut
from rig.fetching import OLD, PICTURE, failing, fetch, ranges
from rig.links import Sockets
from rig.servers import field

# -- a good server ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, len(PICTURE)])
def test_a_file_arrives_whole(shown, origin, digest, chunked, size):
    server = origin(PICTURE[:size])
    server.digest, server.chunked = digest, chunked
    server.fields = ["Content-Type: image/jpeg"]
    told = []
    result = fetch(shown, server.url("/x"), progress=lambda done, total: told.append((done, total)))
    assert shown.listing() == {"show.jpg": PICTURE[:size]}
    assert (result.status, result.bytes, result.etag, result.content_type) == (200, size, '"v1"', "image/jpeg")
    assert result.digest == (hashlib.sha256(PICTURE[:size]).hexdigest() if digest else "")
    assert (result.resumed, result.not_modified, result.attempts) == (0, False, 1)
    total = None if chunked else size
    assert told[0] == (0, total) and told[-1] == (size, total)
    assert [done for done, _ in told] == [*range(0, size, 4096), size] if size else [0]
    assert shown.pauses == []


def test_writes_are_whole_blocks_at_their_places(device, origin):
    server = origin(PICTURE)
    sizes = []
    connector = Sockets(device, limit=999)
    store = device.load("store")
    write = store.Part.write

    def noted(self, block):
        assert self.size % 4096 == 0
        sizes.append(len(block))
        write(self, block)

    store.Part.write = noted
    fetch(device, server.url(), connector)
    assert sizes == [4096] * 5 + [1234]
    assert device.listing() == {"show.jpg": PICTURE}


def test_a_megabyte_file_in_the_callers_buffer(device, origin):
    content = random.Random(3).randbytes(3_000_000)
    server = origin(content)
    server.digest = True
    buffer = bytearray(4096)
    result = fetch(device, server.url("/m.kmodel"), buffer=buffer)
    assert device.listing() == {"show.jpg": content}
    assert result.rate > 0 and result.bytes == 3_000_000
    tail = len(content) % 4096
    assert bytes(buffer[:tail]) == content[-tail:]


def test_not_modified(shown, origin):
    server = origin(PICTURE)
    first = fetch(shown, server.url())
    again = fetch(shown, server.url(), etag=first.etag)
    assert again.not_modified and again.status == 304 and again.bytes == len(PICTURE)
    server.etag = '"v2"'
    assert not fetch(shown, server.url(), etag=first.etag).not_modified
    assert [field(head, "If-None-Match") for head in server.requests] == [None, '"v1"', '"v1"']


def test_a_missing_file_is_fetched_whatever_the_etag(device, origin):
    server = origin(PICTURE)
    assert not fetch(device, server.url(), etag='"v1"').not_modified
    assert device.listing() == {"show.jpg": PICTURE}


def test_304_unasked(shown, origin):
    server = origin(PICTURE)
    server.statuses = [(304, "")]
    assert failing(shown, server.url()).code == "no-file"
    assert shown.listing() == {"show.jpg": OLD}


# -- resuming -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("cut", [0, 50, 200, 3000, 4500, 8192, 12000, 17000, 20000, len(PICTURE)])
def test_a_cut_link_is_resumed(shown, origin, cut, digest, chunked):
    server = origin(PICTURE)
    server.digest, server.chunked = digest, chunked
    connector = Sockets(shown)
    connector.cuts = [cut]
    result = fetch(shown, server.url(), connector)
    assert shown.listing() == {"show.jpg": PICTURE}
    assert result.attempts == 2
    started = [int(r[6:-1]) for r in ranges(server) if r]
    # What was on the card is not asked for again; 180 bytes or so of each answer are not content.
    assert started == ([] if cut < 4400 else [(cut - (300 if chunked or digest else 150)) // 4096 * 4096])
    assert shown.pauses == [250]
    assert all(link.closed for link in connector.links)


def test_many_cuts_that_each_bring_something(device, origin):
    """Every attempt gets one block further: that is progress, however few retries are allowed."""
    server = origin(PICTURE)
    connector = Sockets(device)
    connector.cuts = [5000] * 5
    result = fetch(device, server.url(), connector, retries=1)
    assert device.listing() == {"show.jpg": PICTURE}
    assert ranges(server) == [None, *[f"bytes={4096 * i}-" for i in range(1, 6)]]
    assert result.attempts == 6 and device.pauses == [250] * 5


def test_retries_end(shown, origin):
    server = origin(PICTURE)
    connector = Sockets(shown)
    connector.cuts = [100] * 99
    assert failing(shown, server.url(), connector, retries=6).code == "link-lost"
    assert shown.pauses == [250, 500, 1000, 2000, 4000, 8000]
    assert len(server.requests) == 7
    assert shown.listing() == {"show.jpg": OLD}


@pytest.mark.parametrize("digest", [False, True])
def test_resumed_by_a_later_fetch_after_a_restart(shown, origin, digest):
    server = origin(PICTURE)
    server.digest = digest
    connector = Sockets(shown)
    connector.cuts = [14000]
    assert failing(shown, server.url(), connector, retries=0).code == "link-lost"
    board = shown.restart()
    board.load("store").recover("/sd")
    assert board.listing()["show.jpg"] == OLD
    result = fetch(board, server.url())
    assert board.listing() == {"show.jpg": PICTURE}
    assert ranges(server)[-1] == f"bytes={2 * 4096}-", "three whole blocks came, the last of them counts no more"
    assert (result.status, result.resumed) == (206, 2 * 4096)
    assert result.digest == (hashlib.sha256(PICTURE).hexdigest() if digest else "")


def test_power_cut_before_every_operation_of_a_fetch(tmp_path, origin):
    """With a cut link in the middle; the fetch after the restart always brings the right file."""
    server = origin(PICTURE)
    server.digest = True
    for cut_at in range(100):
        folder = tmp_path / str(cut_at)
        folder.mkdir()
        (folder / "show.jpg").write_bytes(OLD)
        device = Device(folder)
        device.cut_at = cut_at
        connector = Sockets(device)
        connector.cuts = [15000]
        try:
            fetch(device, server.url(), connector)
            break
        except PowerCut:
            pass
        board = device.restart()
        board.load("store").recover("/sd")
        assert board.listing()["show.jpg"] in (OLD, PICTURE)
        fetch(board, server.url())
        assert board.listing() == {"show.jpg": PICTURE}
    assert cut_at > 15


def test_another_version_is_fetched_from_its_start(device, origin):
    server = origin(PICTURE)
    connector = Sockets(device)
    connector.cuts = [14000]
    failing(device, server.url(), connector, retries=0)
    server.content, server.etag = PICTURE[::-1], '"v2"'
    result = fetch(device, server.url())
    assert device.listing() == {"show.jpg": PICTURE[::-1]}
    assert field(server.requests[-1], "If-Range") == '"v1"' and result.status == 200 and result.resumed == 0


def test_another_url_is_fetched_from_its_start(device, origin):
    server = origin(PICTURE)
    connector = Sockets(device)
    connector.cuts = [14000]
    failing(device, server.url("/a"), connector, retries=0)
    assert fetch(device, server.url("/b")).resumed == 0
    assert ranges(server) == [None, None]


@pytest.mark.parametrize(
    ("etag", "modified", "fields", "used"),
    [
        ('"v1"', "Mon, 07 Sep 2026 09:00:00 GMT", [], '"v1"'),
        (None, "Mon, 07 Sep 2026 09:00:00 GMT", [], "Mon, 07 Sep 2026 09:00:00 GMT"),
        ('W/"v1"', "Mon, 07 Sep 2026 09:00:00 GMT", [], "Mon, 07 Sep 2026 09:00:00 GMT"),
        (None, "Mon, 07 Sep 2026 10:00:00 GMT", [], None),  # changed in the second of the answer: no proof
        ('W/"v1"', None, [], None),
        (None, None, [], None),
        ('"v1"', None, ["Accept-Ranges: none"], None),
    ],
)
def test_only_strong_validators_are_trusted(device, origin, etag, modified, fields, used):
    server = origin(PICTURE)
    server.etag, server.modified, server.fields = etag, modified, fields
    connector = Sockets(device)
    connector.cuts = [14000]
    fetch(device, server.url(), connector)
    assert device.listing() == {"show.jpg": PICTURE}
    assert field(server.requests[1], "If-Range") == used
    assert (ranges(server)[1] is None) == (used is None)


def test_a_server_without_ranges(device, origin):
    server = origin(PICTURE)
    server.ranges = False
    connector = Sockets(device)
    connector.cuts = [14000, 9000]
    result = fetch(device, server.url(), connector)
    assert device.listing() == {"show.jpg": PICTURE} and result.status == 200


@pytest.mark.parametrize(
    "lie",
    [
        ["Content-Range: bytes 0-21713/21714"],
        ["Content-Range: bytes 12288-21712/21714"],
        ["Content-Range: bytes 12288-21713/21715"],
        ["Content-Range: bytes 12288-21713/*"],
        ["Content-Range: bytes 12289-21713/21714"],
        ["Content-Range: lines 12288-21713/21714"],
        [],
        ["Content-Range: bytes 12288-21713/21714", "Content-Length: 9000"],
        ["Content-Range: bytes 12288-21713/21714", 'ETag: "v9"'],
        ["Content-Type: multipart/byteranges; boundary=x"],
    ],
)
def test_a_wrong_range_is_refused_and_all_fetched_anew(shown, origin, lie):
    server = origin(PICTURE)
    server.range_fields = lie
    assert len(PICTURE) == 21714
    connector = Sockets(shown)
    connector.cuts = [14000]
    fetch(shown, server.url(), connector)
    assert shown.listing() == {"show.jpg": PICTURE}
    assert ranges(server) == [None, "bytes=12288-", None]


def test_416_means_begin_anew(device, origin):
    server = origin(PICTURE)
    connector = Sockets(device)
    connector.cuts = [14000]
    failing(device, server.url(), connector, retries=0)
    server.content = PICTURE[:5000]
    fetch(device, server.url())
    assert device.listing() == {"show.jpg": PICTURE[:5000]}
    assert ranges(server) == [None, "bytes=8192-", None] or ranges(server)[1] == "bytes=12288-"


def test_206_unasked(shown, origin):
    server = origin(PICTURE)
    server.statuses = [(206, "Content-Range: bytes 0-0/1\r\n")]
    assert failing(shown, server.url()).code == "bad-range"
