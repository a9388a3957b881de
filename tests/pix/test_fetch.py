"""pix.fetch from servers of this machine to a card of the virtual board."""

import hashlib
import random
import time

import pytest
from pix_device import Device, PowerCut
from pix_links import Bytes, Sockets
from pix_servers import field

PICTURE = random.Random(7).randbytes(5 * 4096 + 1234)
OLD = b"the previous picture"


def fetch(device, url, connector=None, **more):
    connector = connector or Sockets(device)
    return device.load("fetch").fetch(connector, url, "/sd/show.jpg", **more)


def failing(device, url, connector=None, **more):
    with pytest.raises(device.PixError) as e:
        fetch(device, url, connector, **more)
    return e.value


@pytest.fixture
def shown(device):
    """The device with a previous picture on its card."""
    (device.folder / "show.jpg").write_bytes(OLD)
    return device


def ranges(server):
    return [field(head, "Range") for head in server.requests]


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
    assert failing(shown, server.url()).code == "bad-response"
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
    assert failing(shown, server.url()).code == "bad-response"


# -- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize(
    "damages",
    [
        [(0, 1000)],
        [(5000, 6000)],
        [(9000, 9001)],
        [(11000, 13500), (4000, 7000)],
        [(12500, 15000), (100, 5000), (8300, 8400)],
        [(20000, 21800)],
    ],
)
def test_unproven_bytes_are_fetched_again(shown, origin, damages, digest):
    """The link delivers wrong bytes beyond `trusted`, then tells of the loss; some are on the card by then."""
    server = origin(PICTURE)
    server.digest = digest
    connector = Sockets(shown)
    connector.damages = list(damages)
    fetch(shown, server.url(), connector)
    assert shown.listing() == {"show.jpg": PICTURE}
    assert len(server.requests) == len(damages) + 1


def test_unproven_bytes_never_count_after_a_power_cut(tmp_path, origin):
    content = random.Random(2).randbytes(40 * 4096)
    server = origin(content)
    for cut_at in range(0, 70, 3):
        folder = tmp_path / str(cut_at)
        folder.mkdir()
        device = Device(folder)
        connector = Sockets(device)
        connector.damages = [(17 * 4096 + 500, 17 * 4096 + 3400), (6000, 8000), (30000, 32000)]
        device.cut_at = cut_at
        try:
            fetch(device, server.url(), connector)
            break
        except PowerCut:
            pass
        board = device.restart()
        board.load("store").recover("/sd")
        fetch(board, server.url())
        assert board.listing() == {"show.jpg": content}
    assert cut_at > 45


def test_damage_in_the_last_frame_is_found_without_a_digest(shown, origin):
    """All bytes came, but the link cannot vouch for the last ones."""
    server = origin(PICTURE)
    connector = Sockets(shown)
    connector.damages = [(20000, len(PICTURE) + 1000)]
    fetch(shown, server.url(), connector)
    assert shown.listing() == {"show.jpg": PICTURE}
    assert ranges(server) == [None, "bytes=16384-"]


class Doubtful(Bytes):
    """Vouches for nothing by itself; `prove` says the bytes are damaged, or fine."""

    def __init__(self, data, damage=None):
        super().__init__([data])
        self.trusted = 0
        self.damage = damage

    def prove(self):
        if self.damage is not None:
            raise self.damage
        self.trusted = 1 << 30


class InTurn:
    def __init__(self, *links):
        self.links = list(links)
        self.used = 0

    def connect(self, host, port, timeout_ms):
        self.used += 1
        return self.links[self.used - 1]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 There\r\nContent-Length: 0\r\nLocation: https://x/\r\n\r\n",
        b"HTTP/1.1 304 Same\r\n\r\n",
        b"HTTP/1.1 206 Part\r\nContent-Range: bytes 5-6/9\r\n\r\n",
        b"HTTQ/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabd",
    ],
)
def test_nothing_is_believed_that_the_link_does_not_vouch_for(shown, head):
    """A damaged byte can make a 404 of a 200: what ends a fetch has to be proven first."""
    good = Doubtful(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
    connector = InTurn(Doubtful(head, shown.PixError("bytes-lost")), good)
    assert fetch(shown, "http://x/", connector, etag='"v1"').attempts == 2
    assert shown.listing() == {"show.jpg": b"abc"}
    assert [link.closed for link in connector.links] == [True, True]


def test_a_proven_refusal_is_one(shown):
    link = Doubtful(b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n")
    assert failing(shown, "http://x/", InTurn(link)).code == "http-404"
    assert shown.listing() == {"show.jpg": OLD}


def test_a_wrong_digest_is_tried_once_more(shown, origin):
    server = origin(PICTURE)
    server.fields = ["Repr-Digest: sha-256=:" + "A" * 43 + "=:"]
    assert failing(shown, server.url()).code == "digest-mismatch"
    assert len(server.requests) == 2
    assert shown.listing() == {"show.jpg": OLD}
    server.content = PICTURE[:100]
    server.fields, server.digest = [], True
    fetch(shown, server.url())
    assert shown.listing() == {"show.jpg": PICTURE[:100]}


def test_a_hasher_that_was_disturbed_does_not_refuse_a_good_file(device, origin):
    """The chip has one engine for all hashers; the card's content decides."""
    server = origin(PICTURE)
    server.digest = True

    module = device.load("digest")
    hashers = []
    make = module.sha256

    def remembered():
        hashers.append(make())
        return hashers[-1]

    def disturb(done, total):
        if done == 8192:
            hashers[0].update(b"of somebody else")

    module.sha256 = remembered
    assert fetch(device, server.url(), progress=disturb).digest == hashlib.sha256(PICTURE).hexdigest()
    assert len(server.requests) == 1 and device.listing() == {"show.jpg": PICTURE}
    assert len(hashers) == 2


@pytest.mark.parametrize("told", ["sha-256=:AAAA:", "sha-256=x", "sha-256", "md5=:AAAA:", "sha-256=:!!!!:", ""])
def test_an_unreadable_digest_is_no_digest(device, origin, told):
    server = origin(PICTURE)
    server.fields = [f"Repr-Digest: {told}"]
    assert fetch(device, server.url()).digest == ""
    assert device.listing() == {"show.jpg": PICTURE}


# -- refusals, redirects, limits ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418, 501, 505, 300, 305])
def test_final_statuses(shown, origin, status):
    server = origin(PICTURE)
    server.statuses = [(status, "")] * 9
    error = failing(shown, server.url())
    assert error.code == f"http-{status}" and not error.transient
    assert len(server.requests) == 1 and shown.pauses == []
    assert shown.listing() == {"show.jpg": OLD}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_statuses(shown, origin, status):
    server = origin(PICTURE)
    server.statuses = [(status, ""), (status, "Retry-After: 3\r\n"), (status, "Retry-After: 99999\r\n")]
    fetch(shown, server.url())
    assert shown.listing() == {"show.jpg": PICTURE}
    assert shown.pauses == [250, 3000, 30000]


@pytest.mark.parametrize("status", [201, 204, 205, 226])
def test_statuses_without_a_file(shown, origin, status):
    server = origin(PICTURE)
    server.statuses = [(status, "")]
    assert failing(shown, server.url()).code == "bad-response"
    assert shown.listing() == {"show.jpg": OLD}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(device, origin, status):
    first, second = origin(b""), origin(PICTURE)
    first.statuses = [(status, "Location: ../b/c.jpg?x\r\n"), (status, f"Location: {second.url('/z')}\r\n")]
    fetch(device, first.url("/a/a.jpg"), headers=[("Authorization", "Basic Zzz"), ("Cookie", "c"), ("X", "y")])
    assert device.listing() == {"show.jpg": PICTURE}
    assert [head.split()[1] for head in first.requests + second.requests] == [b"/a/a.jpg", b"/b/c.jpg?x", b"/z"]
    assert [field(head, "Authorization") for head in first.requests] == ["Basic Zzz"] * 2
    assert [field(second.requests[0], name) for name in ("Authorization", "Cookie", "X")] == [None, None, "y"]


def test_token_and_user_stay_with_their_host(device, origin):
    first, second = origin(b""), origin(PICTURE)
    first.statuses = [(302, f"Location: http://localhost:{first.port}/x\r\n")]
    first.content = PICTURE
    fetch(device, first.url(), token="s3cret")
    assert [field(head, "Authorization") for head in first.requests] == ["Bearer s3cret", None]
    first.statuses = [(302, f"Location: {second.url()}\r\n")]
    fetch(device, f"http://u:p@127.0.0.1:{first.port}/")
    assert [field(head, "Authorization") for head in (first.requests[-1], second.requests[0])] == ["Basic dTpw", None]


def test_five_redirects_are_enough(shown, origin):
    server = origin(PICTURE)
    server.statuses = [(302, "Location: /again\r\n")] * 5
    fetch(shown, server.url())
    server.statuses = [(302, "Location: /again\r\n")] * 99
    server.requests.clear()
    shown.load("store").remove("/sd/show.jpg")
    assert failing(shown, server.url()).code == "redirect-loop"
    assert len(server.requests) == 6 and shown.listing() == {}


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("", "bad-response"),
        ("Location: https://127.0.0.1/\r\n", "https"),
        ("Location: ftp://x/\r\n", "bad-url"),
        ("Location: http://[::1]/\r\n", "bad-url"),
    ],
)
def test_redirects_to_nowhere(shown, origin, extra, code):
    server = origin(PICTURE)
    server.statuses = [(302, extra)]
    assert failing(shown, server.url()).code == code
    assert shown.listing() == {"show.jpg": OLD}


def test_a_resumed_fetch_follows_redirects_too(device, origin):
    server = origin(PICTURE)
    connector = Sockets(device)
    connector.cuts = [None, 14000]
    server.statuses = [(302, "Location: /z\r\n")]
    failing(device, server.url(), connector, retries=0)
    server.statuses = [(302, "Location: /z\r\n")]
    assert fetch(device, server.url()).resumed == 8192
    assert device.listing() == {"show.jpg": PICTURE}


def test_unreachable_servers(shown):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert failing(shown, f"http://127.0.0.1:{port}/", retries=2).code == "refused"
    assert shown.pauses == [250, 500]
    assert failing(shown, "https://127.0.0.1/").code == "https"
    assert failing(shown, "nonsense").code == "bad-url"
    assert shown.listing() == {"show.jpg": OLD}


def test_a_compressed_answer_is_refused(shown, origin):
    server = origin(PICTURE)
    server.fields = ["Content-Encoding: gzip"]
    error = failing(shown, server.url())
    assert error.code == "bad-response" and "gzip" in error.cause
    assert shown.listing() == {"show.jpg": OLD}


# -- the card -----------------------------------------------------------------------------------------------


def test_too_little_room_is_told_before_anything_is_written(shown, origin):
    server = origin(bytes(300_000))
    shown.card.fill(leave_free=200_000)
    error = failing(shown, server.url())
    assert error.code == "card-full" and "293 kB needed" in error.cause
    assert shown.operations == [] and shown.listing() == {"show.jpg": OLD}
    assert len(server.requests) == 1


def test_a_card_that_fills_up_while_the_size_is_unknown(shown, origin):
    server = origin(bytes(300_000))
    server.chunked = True
    shown.card.fill(leave_free=200_000)
    assert failing(shown, server.url()).code == "card-full"
    assert shown.listing() == {"show.jpg": OLD}, "the part is removed, to give the room back"


def test_a_card_that_fails_keeps_the_old_file(shown, origin):
    server = origin(PICTURE)
    shown.load("store")
    count = 0

    def fail(done, total):
        nonlocal count
        count += 1
        if count == 3:
            shown.card.fail_writes(50)

    assert failing(shown, server.url(), progress=fail).code == "card-error"
    assert shown.listing()["show.jpg"] == OLD


def test_whatever_the_callback_raises_the_part_is_closed(shown, origin):
    server = origin(PICTURE)

    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(shown, server.url(), progress=stop)
    assert shown.listing()["show.jpg"] == OLD
    assert (shown.folder / "show.$jp").read_bytes() == PICTURE[:4096]
    fetch(shown, server.url())
    assert shown.listing() == {"show.jpg": PICTURE}


# -- hostile servers ----------------------------------------------------------------------------------------


def answering(*pieces, pause_s=0.0):
    def answer(connection, head):
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_s)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "link-lost"),
        (b"HTTP/1.1 200", "truncated"),
        (OK + b"Content-Length: 100\r\n\r\nshort", "truncated"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "truncated"),
        (OK + b"Content-Length: 4\r\n\r\ntoo long", "too-long"),
        (OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", "bad-response"),
        (OK + b"Content-Length: -4\r\n\r\n", "bad-response"),
        (OK + b"Content-Length: 99999999999999999\r\n\r\n", "card-full"),
        (OK + b"A: " + b"x" * 100_000, "bad-response"),
        (OK + b"A: b\r\n" * 20_000, "bad-response"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "bad-response"),
        (b"\x00" * 5000, "bad-response"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, "bad-response"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_lies(shown, raw_server, data, code):
    server = raw_server(answering(data))
    assert failing(shown, server.url(), retries=1).code == code
    assert shown.listing() == {"show.jpg": OLD}
    transient = code in ("link-lost", "truncated")
    assert len(server.requests) == (2 if transient else 1)


def test_excess_that_comes_later_is_noticed(shown, raw_server):
    server = raw_server(answering(OK + b"Content-Length: 4\r\n\r\nabcd", b"more", pause_s=0.05))
    assert failing(shown, server.url()).code == "too-long"
    assert shown.listing() == {"show.jpg": OLD}


def test_a_server_that_does_not_close(shown, raw_server):
    """It ignores "Connection: close": the length alone has to do, after a bounded wait."""
    shown.load("fetch").PROOF_MS = 100
    server = raw_server(answering(OK + b"Content-Length: 4\r\n\r\nabcd", pause_s=0.5))
    assert fetch(shown, server.url()).bytes == 4
    assert shown.listing() == {"show.jpg": b"abcd"}


def test_a_silent_server(shown, raw_server):
    server = raw_server(answering(OK + b"Content-Length: 9\r\n\r\nabcd", pause_s=0.6))
    assert failing(shown, server.url(), idle_ms=100, retries=1).code == "timeout"
    assert shown.listing() == {"show.jpg": OLD}


def test_a_dripping_server_meets_the_total_limit(shown, raw_server):
    server = raw_server(answering(OK + b"Content-Length: 99\r\n\r\n", *[b"x"] * 99, pause_s=0.02))
    error = failing(shown, server.url(), total_ms=300)
    assert error.code == "timeout" and "not done after 0 s" in error.cause
    assert len(server.requests) == 1 and shown.listing() == {"show.jpg": OLD}


def test_pauses_count_for_the_total_limit(shown, origin):
    server = origin(PICTURE)
    server.statuses = [(503, "")] * 99
    assert failing(shown, server.url(), retries=99, total_ms=20_000).code in ("http-503", "timeout")
    assert sum(shown.pauses) <= 20_000
