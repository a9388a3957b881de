"""The tus door: protocol, durability facts, limits and hostile senders."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from maixpix.companion import UploadLimits
from maixpix.companion.uploads.partial import Partial
from rig.patience import patient


def repr_digest(body: bytes) -> str:
    return "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"


def checksum(algorithm: str, body: bytes) -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, body).digest()).decode()}"


def test_options_tells_what_there_is(tus):
    answer = tus.client.request("OPTIONS", "/files/")
    assert answer.status == 204
    assert answer["Tus-Version"] == "1.0.0"
    assert set(answer["Tus-Extension"].split(",")) == {
        "creation", "creation-with-upload", "checksum", "termination", "expiration",
    }  # fmt: skip
    assert set(answer["Tus-Checksum-Algorithm"].split(",")) == {"sha1", "sha256"}
    assert int(answer["Tus-Max-Size"]) == UploadLimits().max_file_bytes


def test_one_request_uploads_a_small_file(tus, make_jpeg, stored_files, log_lines):
    body = make_jpeg(1)
    answer = tus.create(len(body), body, {"filename": "snap.jpg", "board": "kitchen"})
    assert (answer.status, answer["Upload-Offset"]) == (201, str(len(body)))
    assert answer["Repr-Digest"] == repr_digest(body)
    day = time.strftime("%Y-%m-%d")
    assert stored_files() == {f"{day}/snap.jpg": body}
    (line,) = log_lines()
    assert line["file"] == f"{day}/snap.jpg"
    assert (line["name"], line["board"], line["from"], line["door"]) == ("snap.jpg", "kitchen", "127.0.0.1", "tus")
    assert (line["size"], line["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert line["when"].startswith(day)


def test_pieces_are_put_together_and_head_knows_the_end(tus, make_jpeg, stored_files):
    body = make_jpeg(2, (400, 300))
    created = tus.create(len(body), metadata={"filename": "x.jpg"})
    url = created["Location"]
    assert created["Upload-Expires"].endswith("GMT")
    assert created["Upload-Offset"] == "0"
    for start in range(0, len(body), 1000):
        assert tus.head(url)["Upload-Offset"] == str(start)
        answer = tus.patch(url, start, body[start : start + 1000])
        assert answer.status == 204
    assert answer["Repr-Digest"] == repr_digest(body)
    head = tus.head(url)
    assert (head["Upload-Offset"], head["Upload-Length"]) == (str(len(body)), str(len(body)))
    assert head["Repr-Digest"] == repr_digest(body)
    assert head["Cache-Control"] == "no-store"
    assert base64.b64decode(head["Upload-Metadata"].split()[1]) == b"x.jpg"
    assert list(stored_files().values()) == [body]
    # A sender that missed the last answer may ask again.
    assert tus.patch(url, len(body), b"").status == 204


def test_a_wrong_offset_is_refused_and_changes_nothing(tus, make_jpeg, stored_files):
    body = make_jpeg(3)
    url = tus.create(len(body), body[:100])["Location"]
    for offset in (0, 99, 101, 10**14):
        assert tus.patch(url, offset, body[100:]).status == 409
    assert tus.head(url)["Upload-Offset"] == "100"
    assert tus.patch(url, 100, body[100:]).status == 204
    assert list(stored_files().values()) == [body]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_checksums_prove_each_piece(tus, make_jpeg, stored_files, algorithm):
    body = make_jpeg(4)
    url = tus.create(len(body))["Location"]
    assert tus.patch(url, 0, body[:200], Upload_Checksum=checksum(algorithm, body[:200])).status == 204
    assert tus.patch(url, 200, body[200:], Upload_Checksum=checksum(algorithm, b"other")).status == 460
    assert tus.head(url)["Upload-Offset"] == "200"
    assert tus.patch(url, 200, body[200:], Upload_Checksum=checksum(algorithm, body[200:])).status == 204
    assert list(stored_files().values()) == [body]


@pytest.mark.parametrize("value", ["md5 AAAA", "sha1 AAAA", "sha256", "sha1 ====", "", "sha256 " + "A" * 43 + "é"])
def test_damaged_checksum_headers(tus, value):
    url = tus.create(10)["Location"]
    assert tus.patch(url, 0, b"12345", Upload_Checksum=value).status == 400
    assert tus.head(url)["Upload-Offset"] == "0"


def test_an_announced_digest_is_checked_at_the_end(tus, make_jpeg, stored_files):
    body = make_jpeg(5)
    right = hashlib.sha256(body).hexdigest()
    assert tus.create(len(body), body, {"sha256": right}).status == 201
    other = make_jpeg(6)
    wrong = tus.create(len(other), other, {"sha256": right})
    assert wrong.status == 460
    assert tus.create(len(other), other, Repr_Digest=repr_digest(body)).status == 460
    assert tus.create(len(other), other, Repr_Digest=repr_digest(other)).status == 201
    assert sorted(stored_files().values()) == sorted([body, other])


def test_equal_content_is_stored_once_and_acknowledged(tus, make_jpeg, stored_files, log_lines):
    body = make_jpeg(7)
    for name in ("one.jpg", "two.jpg"):
        answer = tus.create(len(body), body, {"filename": name})
        assert (answer.status, answer["Repr-Digest"]) == (201, repr_digest(body))
    assert len(stored_files()) == 1
    assert [line.get("duplicate", False) for line in log_lines()] == [False, True]


def test_equal_names_do_not_overwrite(tus, make_jpeg, stored_files):
    for number in range(3):
        tus.create(len(make_jpeg(number)), make_jpeg(number), {"filename": "snap.jpg"})
    assert sorted(name.split("/")[1] for name in stored_files()) == ["snap-2.jpg", "snap-3.jpg", "snap.jpg"]
    assert sorted(stored_files().values()) == sorted(make_jpeg(number) for number in range(3))


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.jpg",
        "/etc/passwd",
        "C:\\windows\\x.jpg",
        "a\0b.jpg",
        "con.jpg",
        "..",
        ".hidden.jpg",
        "x" * 900,
        "\u202egpj.exe",
    ],
)
def test_names_stay_inside(tus, make_jpeg, uploads, stored_files, name):
    before = {path for path in uploads.parent.rglob("*") if uploads not in path.parents}
    body = make_jpeg(8)
    assert tus.create(len(body), body, {"filename": name}).status == 201
    (stored,) = stored_files()
    assert stored.split("/")[1].isprintable()
    assert stored.endswith(".jpg")
    assert not stored.split("/")[1].startswith(".")
    assert {path for path in uploads.parent.rglob("*") if uploads not in path.parents} == before


def test_termination(tus, make_jpeg, uploads, stored_files):
    url = tus.create(1000, b"x" * 100)["Location"]
    assert tus.delete(url).status == 204
    assert tus.head(url).status == 404
    assert tus.patch(url, 100, b"y").status == 404
    assert not list((uploads / ".partial").glob("*.part"))
    body = make_jpeg(9)
    done = tus.create(len(body), body)["Location"]
    assert tus.delete(done).status == 204
    assert tus.head(done).status == 404
    assert list(stored_files().values()) == [body]


def test_method_override(tus, make_jpeg, stored_files):
    body = make_jpeg(10)
    url = tus.create(len(body))["Location"]
    headers = {
        **tus.base, "X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }  # fmt: skip
    assert tus.client.request("POST", url, headers, body).status == 204
    assert list(stored_files().values()) == [body]
    assert tus.client.request("POST", url, tus.base, b"").status == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Length": "5"}, 412),
        ({"Tus-Resumable": "0.2.2", "Upload-Length": "5"}, 412),
        ({"Tus-Resumable": "1.0.0"}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "-5"}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "1e3"}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "9" * 400}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "٣"}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "0"}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "10000000000"}, 413),
        ({"Tus-Resumable": "1.0.0", "Upload-Defer-Length": "1"}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "filename %%%"}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "a QQ==,a QQ=="}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "sha256 QQ=="}, 400),
        ({"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "a " + "A" * 5000}, 400),
    ],
)
def test_refused_creations(tus, uploads, headers, status):
    coded = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    answer = tus.client.request("POST", "/files/", coded, b"")
    assert answer.status == status
    assert answer.text.count("\n") == 1
    assert not list((uploads / ".partial").glob("*.part"))


def test_bodies_beyond_the_length_are_refused(tus, receiver):
    url = tus.create(10)["Location"]
    assert tus.patch(url, 0, b"x" * 11).status == 413
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=patient(10)) as peer:
        peer.sendall(
            f"PATCH {url} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
            "Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            "b\r\nxxxxxxxxxxx\r\n0\r\n\r\n".encode()
        )
        assert b" 413 " in peer.recv(1000)
    assert tus.head(url)["Upload-Offset"] == "0"
    assert tus.patch(url, 0, b"x", Content_Type="text/plain").status in (400, 415)


@pytest.mark.parametrize(
    "path", ["/files/../x", "/files/" + "0" * 32, "/files/..%2f..%2fx", "/files/%00", "/files/" + "a" * 5000]
)
def test_unknown_uploads(tus, path):
    assert tus.head(path).status in (400, 404)
    assert tus.patch(path, 0, b"x").status in (400, 404)


def test_the_token_is_asked_for(companion, uploads, tus_for, make_jpeg):
    server = companion(uploads=uploads, token="correct horse".replace(" ", "-"))
    body = make_jpeg(11)
    for token in (None, "wrong-token", "correct-hors", "Correct-horse", "é" * 9):
        answer = tus_for(server, token.encode().decode("latin-1") if token else None).create(len(body), body)
        assert (answer.status, answer["WWW-Authenticate"]) == (401, 'Bearer realm="maixpix"')
    assert tus_for(server, "correct-horse").create(len(body), body).status == 201


def start_patch(server, url: str, offset: int, announced: int, body: bytes) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", server.port), timeout=patient(10))
    peer.sendall(
        f"PATCH {url} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {announced}\r\n\r\n".encode()
        + body
    )
    return peer


def wait_until(reached, seconds: float = 10) -> bool:
    deadline = time.monotonic() + patient(seconds)
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.01)
    return reached()


@pytest.mark.parametrize("reset", [False, True])
def test_a_broken_connection_keeps_what_came(tus, receiver, uploads, make_jpeg, stored_files, reset):
    body = make_jpeg(12, (800, 600))
    url = tus.create(len(body))["Location"]
    part = uploads / ".partial" / (url.rsplit("/", 1)[1] + ".part")
    peer = start_patch(receiver, url, 0, len(body), body[:5000])
    assert wait_until(lambda: part.stat().st_size == 5000)
    if reset:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert tus.head(url)["Upload-Offset"] == "5000"
    assert tus.patch(url, 5000, body[5000:]).status == 204
    assert list(stored_files().values()) == [body]


def test_a_live_looking_connection_is_taken_over(tus, receiver, uploads, make_jpeg, stored_files):
    """A board that was reset comes back while its old connection still looks alive."""
    body = make_jpeg(13, (800, 600))
    url = tus.create(len(body))["Location"]
    part = uploads / ".partial" / (url.rsplit("/", 1)[1] + ".part")
    with start_patch(receiver, url, 0, len(body), body[:3000]) as old:
        assert wait_until(lambda: part.stat().st_size == 3000)
        assert tus.head(url)["Upload-Offset"] == "3000"
        assert old.recv(10) == b""
        with start_patch(receiver, url, 3000, len(body) - 3000, body[3000:3500]):
            assert wait_until(lambda: part.stat().st_size == 3500)
            answer = tus.patch(url, 3500, body[3500:])
    assert answer.status == 204
    assert list(stored_files().values()) == [body]


def test_an_unproven_piece_is_dropped_when_the_connection_breaks(tus, receiver, uploads):
    url = tus.create(1000)["Location"]
    part = uploads / ".partial" / (url.rsplit("/", 1)[1] + ".part")
    tus.patch(url, 0, b"a" * 100)
    peer = socket.create_connection(("127.0.0.1", receiver.port), timeout=patient(10))
    peer.sendall(
        f"PATCH {url} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 100\r\n"
        f"Upload-Checksum: {checksum('sha1', b'b' * 900)}\r\n"
        "Content-Type: application/offset+octet-stream\r\nContent-Length: 900\r\n\r\n".encode()
        + b"b" * 50
    )
    assert wait_until(lambda: part.stat().st_size == 150)
    peer.close()
    assert tus.head(url)["Upload-Offset"] == "100"


def test_silent_and_dripping_senders_are_dropped_but_can_resume(companion, uploads, tus_for):
    server = companion(uploads=uploads, upload_limits=UploadLimits(idle_s=0.3, min_rate=100))
    tus = tus_for(server)
    url = tus.create(1000)["Location"]
    with start_patch(server, url, 0, 1000, b"x" * 10) as peer:
        for _ in range(100):
            try:
                peer.sendall(b"x")
                time.sleep(0.05)
            except OSError:
                break
        else:
            pytest.fail("a sender of 20 bytes a second was never dropped")
    assert 10 <= int(tus.head(url)["Upload-Offset"]) < 50


def chunked(headers: str, body: bytes) -> bytes:
    return (
        f"POST /files/ HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n{headers}"
        "Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        f"{len(body):x}\r\n"
    ).encode() + body + b"\r\n0\r\n\r\n"  # fmt: skip


@pytest.mark.parametrize("trouble", ["460 checksum", "460 digest", "413", "507", "507 at the end", "broken off"])
def test_a_creation_that_fails_leaves_nothing(companion, uploads, tus_for, make_jpeg, monkeypatch, trouble):
    """Its sender never learned an address, so what it left could neither be resumed nor ended, only be in the way."""
    server = companion(uploads=uploads, upload_limits=UploadLimits(max_unfinished=2))
    tus = tus_for(server)
    body = make_jpeg(20, (400, 300))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    def damaged() -> int:
        if trouble == "460 checksum":
            return tus.create(len(body), body, Upload_Checksum=checksum("sha1", b"other")).status
        if trouble == "460 digest":
            return tus.create(len(body), body, Repr_Digest=repr_digest(b"other")).status
        with socket.create_connection(("127.0.0.1", server.port), timeout=patient(20)) as peer:
            if trouble == "413":
                peer.sendall(chunked(f"Upload-Length: {len(body) - 1}\r\n", body))
                return int(peer.recv(1000).split()[1])
            if trouble == "broken off":
                peer.sendall(chunked(f"Upload-Length: {len(body)}\r\n", body)[:-200])
                assert wait_until(lambda: server.companion.store.used > 0)
                return 0
        with monkeypatch.context() as patch:
            patch.setattr(Partial, "write" if trouble == "507" else "sync", full)
            return tus.create(len(body), body).status

    for _ in range(3):
        assert damaged() == (0 if trouble == "broken off" else int(trouble[:3]))
        assert wait_until(lambda: not [path.name for path in (uploads / ".partial").iterdir() if path.name != "lock"])
    assert wait_until(lambda: server.companion.store.used == 0)
    answer = tus.create(len(body), body)
    assert answer.status == 201, answer.text
    assert server.companion.store.used == len(body)


def test_begun_uploads_count_against_the_number_of_files(companion, uploads, tus_for, make_jpeg):
    """Else as many senders as begin before the last place is taken would all get one."""
    tus = tus_for(companion(uploads=uploads, upload_limits=UploadLimits(max_files=3)))
    begun = [tus.create(len(make_jpeg(number)))["Location"] for number in range(3)]
    full = tus.create(10)
    assert (full.status, "0 uploads are stored and 3 begun" in full.text) == (507, True)
    for number, url in enumerate(begun):
        assert tus.patch(url, 0, make_jpeg(number)).status == 204
    assert "3 uploads are stored;" in tus.create(10).text


def test_limits_on_number_and_bytes(companion, uploads, tus_for, make_jpeg):
    limits = UploadLimits(max_file_bytes=5000, quota_bytes=6000, max_unfinished=2, max_files=4)
    server = companion(uploads=uploads, upload_limits=limits)
    tus = tus_for(server)
    assert tus.create(5001).status == 413
    first, second = tus.create(4000, b"a" * 2000), tus.create(2000)
    many = tus.create(100)
    assert (many.status, "unfinished" in many.text) == (507, True)
    assert tus.delete(second["Location"]).status == 204
    full = tus.create(4500)
    assert (full.status, "in all" in full.text) == (507, True)
    second = tus.create(3900)
    assert tus.patch(second["Location"], 0, b"b" * 3900).status == 204
    # The room was there when the first one began, but is used up now.
    assert tus.patch(first["Location"], 2000, b"a" * 2000).status == 507
    assert tus.head(first["Location"])["Upload-Offset"] == "2000"
    assert tus.delete(first["Location"]).status == 204
    assert server.companion.store.used == 3900
    for number in range(3):
        body = make_jpeg(number)
        assert tus.create(len(body), body).status == 201
    last = tus.create(len(make_jpeg(9)), make_jpeg(9))
    assert (last.status, "4 uploads are stored" in last.text) == (507, True)


def test_the_free_space_reserve_is_kept(companion, uploads, tus_for):
    server = companion(uploads=uploads, upload_limits=UploadLimits(reserve_bytes=2**60))
    answer = tus_for(server).create(100)
    assert (answer.status, "nearly full" in answer.text) == (507, True)


def test_uploads_expire(companion, uploads, tus_for):
    server = companion(uploads=uploads, upload_limits=UploadLimits(expire_s=0))
    tus = tus_for(server)
    url = tus.create(100, b"x")["Location"]
    time.sleep(0.01)
    assert tus.head(url).status == 404
    assert server.companion.store.expire() == 1
    assert not list((uploads / ".partial").glob("*.part"))
    assert server.companion.store.used == 0


def test_fifty_boards_at_once(tus, receiver, make_jpeg, stored_files):
    bodies = [make_jpeg(number, (500, 400)) for number in range(50)]

    def send(number: int) -> int:
        body = bodies[number]
        url = tus.create(len(body), metadata={"filename": "snap.jpg", "board": f"b{number}"})["Location"]
        half = len(body) // 2
        assert tus.patch(url, 0, body[:half]).status == 204
        return tus.patch(url, half, body[half:]).status

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(send, range(50))) == {204}
    assert sorted(stored_files().values()) == sorted(bodies)
    listing = json.loads(tus.client.get("/uploads.json").body)
    assert {entry["board"] for entry in listing["uploads"]} == {f"b{number}" for number in range(50)}


def test_equal_content_at_the_same_time_is_stored_once(tus, make_jpeg, stored_files, log_lines):
    body = make_jpeg(77)
    start = threading.Barrier(8)

    def send(_: int) -> int:
        start.wait()
        return tus.create(len(body), body).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(8))) == {201}
    assert list(stored_files().values()) == [body]
    assert sorted(line.get("duplicate", False) for line in log_lines()) == [False] + [True] * 7


def test_five_hundred_tiny_files(tus, stored_files):
    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda number: tus.create(4, number.to_bytes(4, "big")).status, range(500)))
    assert statuses == {201}
    assert sorted(stored_files().values()) == [number.to_bytes(4, "big") for number in range(500)]
