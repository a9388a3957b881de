"""pix.fetch over links that lose bytes, and what its caller is told and asked."""

import hashlib
import random

import pytest

from rig.device import Device, PowerCut
from rig.fetching import OLD, PICTURE, failing, fetch, ranges
from rig.links import Bytes, Sockets

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
        b"HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 There\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 511 Login\r\nContent-Length: 0\r\n\r\n",
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

    hashers = []
    make = device.load("store").sha256

    def remembered():
        hashers.append(make())
        return hashers[-1]

    def disturb(done, total):
        if done == 8192:
            hashers[0].update(b"of somebody else")

    device.load("store").sha256 = device.load("files").sha256 = remembered
    assert fetch(device, server.url(), progress=disturb).digest == hashlib.sha256(PICTURE).hexdigest()
    assert len(server.requests) == 1 and device.listing() == {"show.jpg": PICTURE}
    assert len(hashers) == 2


@pytest.mark.parametrize("told", ["sha-256=:AAAA:", "sha-256=x", "sha-256", "md5=:AAAA:", "sha-256=:!!!!:", ""])
def test_an_unreadable_digest_is_no_digest(device, origin, told):
    server = origin(PICTURE)
    server.fields = [f"Repr-Digest: {told}"]
    assert fetch(device, server.url()).digest == ""
    assert device.listing() == {"show.jpg": PICTURE}


# -- what the caller thinks of the file ---------------------------------------------------------------------


@pytest.mark.parametrize("digest", [False, True])
def test_a_check_sees_the_whole_new_file_before_the_old_one_goes(shown, origin, digest):
    server = origin(PICTURE)
    server.digest = digest
    seen = []

    def check(path):
        seen.append(path)
        with shown.card.files.open(path.removeprefix("/sd"), "rb") as f:
            seen.append(f.read())
        assert (shown.folder / "show.jpg").read_bytes() == OLD

    fetch(shown, server.url(), check=check)
    assert seen == ["/sd/show.$jp", PICTURE]
    assert shown.listing() == {"show.jpg": PICTURE}


def test_a_check_that_refuses_keeps_the_old_file(shown, origin):
    server = origin(PICTURE)

    def check(path):
        raise shown.PixError("too-big", "1x1")

    assert failing(shown, server.url(), check=check).code == "too-big"
    assert shown.listing() == {"show.jpg": OLD} and len(server.requests) == 1
    fetch(shown, server.url(), check=lambda path: None)
    assert shown.listing() == {"show.jpg": PICTURE}


def test_a_file_that_did_not_change_is_not_checked(shown, origin):
    server = origin(PICTURE)
    etag = fetch(shown, server.url()).etag
    assert fetch(shown, server.url(), etag=etag, check=lambda path: 1 / 0).not_modified


def test_every_pause_is_told_with_its_cause(shown, origin):
    server = origin(PICTURE)
    server.statuses = [(503, ""), (429, "Retry-After: 7\r\n")]
    connector = Sockets(shown)
    connector.cuts = [None, None, 100]
    told = []
    fetch(shown, server.url(), connector, again=lambda error, ms: told.append((error.code, ms)))
    assert told == [("http-503", 250), ("http-429", 7000), ("link-lost", 1000)]
    assert shown.pauses == [ms for _, ms in told]


class Failing:
    """Every connection fails with the next of these codes; then real ones follow."""

    def __init__(self, device, *codes):
        self.device = device
        self.codes = list(codes)
        self.calls = 0

    def connect(self, host, port, timeout_ms):
        self.calls += 1
        if self.codes:
            raise self.device.PixError(self.codes.pop(0))
        return Sockets(self.device).connect(host, port, timeout_ms)


@pytest.mark.parametrize("code", ["dns-failed", "wifi-lost"])
def test_what_will_hardly_pass_is_tried_once_more(shown, origin, code):
    connector = Failing(shown, *[code] * 9)
    assert failing(shown, origin(PICTURE).url(), connector).code == code
    assert connector.calls == 2 and shown.listing() == {"show.jpg": OLD}


def test_different_troubles_are_different(shown, origin):
    connector = Failing(shown, "dns-failed", "wifi-lost", "refused", "refused")
    assert fetch(shown, origin(PICTURE).url(), connector).attempts == 5


def test_after_progress_the_same_trouble_is_a_new_one(device, origin):
    server = origin(PICTURE)

    class Losing(Sockets):
        def connect(self, host, port, timeout_ms):
            link = super().connect(host, port, timeout_ms)
            link._error = lambda code: device.PixError("wifi-lost" if code == "link-lost" else code)
            return link

    connector = Losing(device)
    connector.cuts = [5000, 5000, 5000]
    assert fetch(device, server.url(), connector).attempts == 4
    assert device.listing() == {"show.jpg": PICTURE}


def test_lost_bytes_that_were_a_restart_are_told_as_one(shown, origin):
    """After the last attempt only: in between the next connect finds out by itself."""
    connector = Failing(shown, *["bytes-lost"] * 9)
    settled = []

    def settle():
        settled.append(connector.calls)
        raise shown.PixError("modem-rebooted")

    connector.settle = settle
    assert failing(shown, origin(PICTURE).url(), connector).code == "modem-rebooted"
    assert settled == [5]
    connector.codes, connector.settle = ["bytes-lost"] * 9, lambda: None
    assert failing(shown, origin(PICTURE).url(), connector).code == "bytes-lost"
