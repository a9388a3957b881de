"""Hostile senders on both doors: whatever comes, the companion answers others, keeps its limits and its folder."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from maixpix.companion import HttpLimits, UploadLimits
from maixpix.companion.onebyone import OneByOne
from rig.patience import patient


def knock(port: int, data: bytes, half_close: bool = True) -> bytes:
    """What comes back for `data` until the end from there; what came before a reset counts too."""
    answer = b""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", port), timeout=patient(20)) as peer,
    ):
        # A server that has seen enough resets the connection while this side still sends.
        with contextlib.suppress(ConnectionError):
            peer.sendall(data)
            if half_close:
                peer.shutdown(socket.SHUT_WR)
        while piece := peer.recv(4096):
            answer += piece
    return answer


def status(answer: bytes) -> int:
    """Of the first response in `answer`."""
    match = re.match(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)
    assert match, answer[:100]
    return int(match[1])


@pytest.fixture
def still_good(receiver, tus, make_jpeg, stored_files, uploads):
    """Function that proves that both doors still serve others, and that nothing appeared outside of the folder."""
    outside = {path for path in uploads.parent.rglob("*") if uploads not in path.parents}

    def check() -> None:
        first, second = make_jpeg(9001), make_jpeg(9002)
        assert tus.create(len(first), first).status == 201
        assert knock(receiver.tcp_port, b"#maixpix \n" + second).startswith(b"ok ")
        assert {first, second} <= set(stored_files().values())
        assert {path for path in uploads.parent.rglob("*") if uploads not in path.parents} == outside
        assert not list((uploads / ".partial").glob("*.part"))
        assert receiver.companion.store.used == sum(map(len, stored_files().values()))

    return check


def test_random_bytes_on_the_http_port(receiver, still_good, stored_files):
    chance = random.Random(20)
    beginnings = (
        b"",
        b"GET ",
        b"POST /files/ HTTP/1.1\r\n",
        b"PATCH /files/x HTTP/1.1\r\nHost: localhost\r\n",
        b"\x16",
    )
    for number in range(100):
        junk = beginnings[number % len(beginnings)] + chance.randbytes(chance.choice((1, 30, 900, 20_000)))
        answer = knock(receiver.port, junk)
        assert not answer or 400 <= status(answer) < 500
    assert stored_files() == {}
    still_good()


def test_random_bytes_on_the_raw_port(receiver, still_good, stored_files):
    """Without a line of our own they are a file like any other; behind the beginning of one they are a bad line."""
    chance = random.Random(21)
    files = [chance.randbytes(chance.choice((1, 30, 900, 20_000))) for _ in range(60)]
    for junk in files:
        assert knock(receiver.tcp_port, junk) == b""
    assert sorted(stored_files().values()) == sorted(files)
    for _ in range(40):
        answer = knock(receiver.tcp_port, b"#maixpix \xff" + chance.randbytes(chance.choice((30, 900, 20_000))))
        assert answer.startswith(b"error ") or not answer
    assert sorted(stored_files().values()) == sorted(files)
    still_good()


@pytest.mark.parametrize("size", [10_000, 1_000_000])
@pytest.mark.parametrize("kind", ["one field", "many fields", "the address", "Upload-Metadata"])
def test_giant_heads_are_refused(receiver, still_good, stored_files, kind, size):
    opening = b"POST /files/ HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n"
    heads = {
        "one field": opening + b"X-Big: " + b"a" * size + b"\r\n\r\n",
        "many fields": opening + b"X: y\r\n" * (size // 6) + b"\r\n",
        "the address": b"GET /" + b"a" * size + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "Upload-Metadata": opening + b"Upload-Metadata: filename " + b"QUFB" * (size // 4) + b"\r\n\r\n",
    }
    answer = knock(receiver.port, heads[kind], half_close=False)
    # A peer that still sends may see the reset before the answer.
    assert not answer or status(answer) in (400, 414, 431)
    assert answer or size > 100_000
    assert stored_files() == {}
    still_good()


def test_a_dripping_head_is_cut_off(companion, client_for):
    """One byte of a header field at a time, each well within any idle time: the head as a whole has its time."""
    server = companion(http=HttpLimits(head_s=patient(0.2)))
    drops = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=patient(20)) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        with contextlib.suppress(ConnectionError):
            for drops in range(1000):  # noqa: B007
                peer.sendall(b"a")
                time.sleep(0.02)  # the attack itself
    assert drops < 999, "it was never cut off"
    assert client_for(server).get("/pictures.json").status == 200


def test_dripping_heads_do_not_use_up_the_places(companion, client_for):
    server = companion(http=HttpLimits(head_s=patient(0.2), max_connections=20))
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=patient(20)))
            for _ in range(20)
        ]
        for peer in peers:
            peer.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        for peer in peers:
            with contextlib.suppress(ConnectionError):
                assert peer.recv(100) == b""
        assert client_for(server).get("/pictures.json").status == 200


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_requests_sent_ahead_wait_for_their_turn_outside(companion, uploads, client_for, end):
    """Behind an answer that never ends they are not even taken apart: the system's buffers fill, and no more."""
    server = companion(uploads=uploads)
    one = end.join([b"GET /pictures.json HTTP/1.1", b"Host: localhost", b"", b""])
    with socket.create_connection(("127.0.0.1", server.port), timeout=patient(20)) as peer:
        peer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"event-stream" in peer.recv(4096)
        peer.settimeout(1.0)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 64_000_000:
                sent += peer.send(one * 1000)
        assert client_for(server).get("/pictures.json").status == 200


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_of_heads_sent_ahead_only_one_is_handed_on(end):
    one = end.join([b"GET / HTTP/1.1", b"Host: localhost", b"", b""])
    handed_on = []
    line = OneByOne(handed_on.append)
    line.feed(b"\r\n" + one * 10_000)
    assert (handed_on, line.is_full) == ([one], True)
    line.answered()  # of nothing: no request has begun
    assert handed_on == [one]


def test_requests_sent_ahead_are_answered_in_turn(receiver, make_jpeg, stored_files):
    """Bodies of both kinds between them, cut anywhere; each answer comes, and what was sent is stored whole."""
    picture = make_jpeg(7)
    head = b"Host: localhost\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"
    upload = b"POST /files/ HTTP/1.1\r\n" + head + b"Upload-Length: %d\r\n" % len(picture)
    chunk = b"%x\r\n" % len(picture) + picture + b"\r\n0\r\n\r\n"
    talk = b"".join(
        [
            b"GET /pictures.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3,
            upload + b"Content-Length: %d\r\n\r\n" % len(picture) + picture,
            b"\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
            upload + b"Transfer-Encoding: chunked\r\n\r\n" + chunk,
            b"GET /pictures.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ]
    )
    chance = random.Random(22)
    for most in (1, 7, 900, len(talk)):
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=patient(20)) as peer:
            at = 0
            while at < len(talk):
                step = chance.randint(1, most)
                peer.sendall(talk[at : at + step])
                at += step
            answer = b"".join(iter(lambda: peer.recv(65536), b""))
        assert re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer) == [b"200"] * 3 + [b"201", b"404", b"201", b"200"]
    assert list(stored_files().values()) == [picture]


def test_ten_gigabytes_are_refused_before_they_are_sent(receiver, still_good, tus, stored_files):
    huge = 10_000_000_000
    announced = tus.create(huge)
    assert (announced.status, "67108864 bytes" in announced.text) == (413, True)
    # With a body announced as long as that, not one byte of which is waited for.
    assert tus.create(huge, b"x", Content_Length=str(huge)).status == 413
    url = tus.create(100)["Location"]
    assert tus.patch(url, 0, b"x", Content_Length=str(huge)).status == 413
    assert tus.patch(url, huge, b"x").status == 409
    assert tus.delete(url).status == 204
    assert knock(receiver.tcp_port, b"#maixpix size=%d\nx" % huge).startswith(b"error the file is bigger")
    assert stored_files() == {}
    still_good()


@pytest.mark.parametrize("length", ["-1", "-10000000000", "+5", "5.0", "5, 5", "0x5", ""])
def test_negative_and_odd_lengths(receiver, still_good, tus, length):
    assert tus.create(length).status == 400
    assert tus.create(5, b"12345", Content_Length=length).status == 400
    url = tus.create(5)["Location"]
    assert tus.patch(url, 0, b"12345", Upload_Offset=length).status == 400
    assert tus.delete(url).status == 204
    assert knock(receiver.tcp_port, f"#maixpix size={length or 'x'}\nx".encode()).startswith(b"error ")
    still_good()


NAMES = (
    "../../evil.jpg",
    "..\\..\\evil.jpg",
    "/etc/cron.d/evil",
    "a/../../../evil.jpg",
    "evil.jpg\0.txt",
    "\0",
    "..",
    "%2e%2e%2fevil",
)


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_on_both_doors(receiver, still_good, tus, make_jpeg, stored_files, name):
    assert tus.create(len(make_jpeg(1)), make_jpeg(1), {"filename": name, "board": name}).status == 201
    quoted = "".join(f"%{byte:02x}" for byte in name.encode())
    line = f"#maixpix name={quoted} board={quoted}\n".encode()
    assert knock(receiver.tcp_port, line + make_jpeg(2)).startswith(b"ok ")
    for file in stored_files():
        assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}/[^./\\][^/\\]*\.jpg", file)
        assert file.isprintable()
    still_good()


@pytest.mark.parametrize(
    "path",
    [
        "/files/../../x",
        "/files/%2e%2e%2fx",
        "/files/\0",
        "/uploads/../x/y",
        "/uploads/%2e%2e/log.jsonl",
        "/uploads/.partial/lock",
    ],
)
def test_addresses_that_lead_elsewhere(receiver, tus, path):
    for method in ("GET", "HEAD", "PATCH", "DELETE"):
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
        request += "Content-Type: application/offset+octet-stream\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        assert status(knock(receiver.port, request.encode(), half_close=False)) in (400, 403, 404, 405)


@pytest.mark.parametrize("address", ["http://[", "http://[::", "http://[x]", "//[v1.", "\u00ff://["])
@pytest.mark.parametrize("target", ["/pictures/none.jpg", "/frame", "/gallery", "/static/" + "a" * 300 + ".js"])
def test_addresses_in_headers_that_cannot_be_read(receiver, client_for, target, address):
    client = client_for(receiver)
    for name in ("Origin", "Referer"):
        assert client.request("GET", target, {name: address.encode("latin-1")}).status in (200, 404)
    page = client.get("/gallery").text
    secret = re.search(r'data-secret="([^"]+)"|name="secret" value="([^"]+)"', page)
    body = f"secret={secret and (secret[1] or secret[2])}&file=x".encode()
    headers = {"Origin": "http://[", "Content-Type": "application/x-www-form-urlencoded"}
    assert client.request("POST", "/gallery/delete", headers, body).status == 403


def test_a_packed_body_is_not_unpacked(receiver, still_good, tus, stored_files):
    bomb = gzip.compress(bytes(30_000_000))
    answer = tus.create(30_000_000, bomb, Content_Encoding="gzip")
    assert (answer.status, "Content-Encoding" in answer.text) == (415, True)
    # Nor by those who are refused for something else, or sent ahead of their turn.
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: deflate\r\nContent-Length: 9\r\n\r\n"
    answer = knock(receiver.port, head + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", half_close=False)
    assert (status(answer), answer.count(b"HTTP/1.1 ")) == (415, 1)
    assert tus.create(3, b"abc", Content_Encoding="identity").status == 201
    assert list(stored_files().values()) == [b"abc"]
    still_good()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded; charset=nonsense", b"file=x"),
        ("application/x-www-form-urlencoded; charset=rot13", b"file=x"),
        ("multipart/form-data; boundary=a", b"x"),
        ("multipart/form-data", b"x"),
        *(
            (
                "multipart/form-data; boundary=a",
                b'--a\r\nContent-Disposition: form-data; name="file"\r\n' + field + b"\r\n\r\nx\r\n--a--\r\n",
            )
            for field in (
                b"Content-Transfer-Encoding: nonsense",
                b"Content-Type: text/plain; charset=nonsense",
                b"Content-Encoding: nonsense",
                b"Content-Encoding: gzip",
            )
        ),
    ],
)
def test_forms_that_cannot_be_read_are_refused(receiver, client_for, kind, body):
    answer = client_for(receiver).request("POST", "/gallery/delete", {"Content-Type": kind}, body)
    assert answer.status in (400, 403, 415)


def test_ten_thousand_tiny_files_fill_the_folder_and_no_more(companion, uploads, client_for, tus_for):
    """All but the last few are there from earlier runs; then eight senders at once go for the rest and beyond."""
    limit, last = 10_000, 10
    day = uploads / "2026-01-01"
    day.mkdir(parents=True)
    with (uploads / "log.jsonl").open("w") as log:
        for number in range(limit - last):
            file = f"2026-01-01/{number}.bin"
            if number == 0:
                (uploads / file).write_bytes(b"tiny")
            else:  # a link is made faster than a file
                (uploads / file).hardlink_to(day / "0.bin")
            line = {"file": file, "name": "x", "size": 4, "when": "2026-01-01T00:00:00", "sha256": f"{number:064x}"}
            log.write(json.dumps(line) + "\n")
    server = companion(uploads=uploads, tcp_port=0, upload_limits=UploadLimits(max_files=limit))
    tus = tus_for(server)

    def send(number: int) -> bool:
        body = (1_000_000 + number).to_bytes(4, "big")
        if number % 2:
            answer = tus.create(4, body)
            assert answer.status in (201, 507), answer.text
            return answer.status == 201
        told = knock(server.tcp_port, b"#maixpix \n" + body)
        assert told.startswith((b"ok ", b"error ")), told
        return told.startswith(b"ok ")

    with ThreadPoolExecutor(8) as pool:
        kept = sum(pool.map(send, range(100)))
    assert kept == last
    assert sum(1 for _ in uploads.glob("2*/*")) == limit
    listing = json.loads(client_for(server).get("/uploads.json").body)
    assert (listing["count"], len(listing["uploads"])) == (limit, 1000)
    assert client_for(server).get("/gallery").status == 200
    assert server.companion.store.used == 4 * limit
    # Room for one more as soon as one is gone.
    server.companion.store.delete("2026-01-01/0.bin")
    assert tus.create(4, b"more").status == 201
