"""The raw TCP door: any sender, the optional line, and what an orderly close promises."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import shutil
import socket
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maixpix.companion import UploadLimits
from maixpix.companion.problems import Refused
from maixpix.companion.uploads.intake import MAX_BUFFER, Intake
from maixpix.companion.uploads.tcp import parse_header
from rig.patience import patient


def send(server, data: bytes, half_close: bool = True) -> bytes | None:
    """What came back until the orderly close; None for a reset."""
    try:
        with socket.create_connection(("127.0.0.1", server.tcp_port), timeout=patient(15)) as peer:
            peer.sendall(data)
            if half_close:
                peer.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := peer.recv(1000):
                answer += piece
            return answer
    except OSError as error:
        # A reset shows as one of these, depending on what this side was just doing.
        assert error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN), error
        return None


def test_a_plain_sender_gets_nothing_but_an_orderly_close(receiver, make_jpeg, stored_files, log_lines):
    body = make_jpeg(1, (640, 480))
    assert send(receiver, body) == b""
    ((file, kept),) = stored_files().items()
    assert kept == body
    digest = hashlib.sha256(body).hexdigest()
    assert file.endswith(f"-{digest[:8]}.jpg")
    (line,) = log_lines()
    assert (line["door"], line["from"], line["sha256"]) == ("tcp", "127.0.0.1", digest)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "QOI"])
def test_files_are_recognised_by_content(receiver, stored_files, make_gradient, kind):
    out = io.BytesIO()
    make_gradient(60, 40).save(out, kind)
    assert send(receiver, out.getvalue()) == b""
    (file,) = stored_files()
    suffix = {"JPEG": "jpg", "TIFF": "tif", "JPEG2000": "jp2"}.get(kind, kind.lower())
    assert file.endswith("." + suffix)


def test_unknown_content_is_kept_as_bin(receiver, stored_files):
    assert send(receiver, b"temperature 21") == b""
    ((file, body),) = stored_files().items()
    assert (file.endswith(".bin"), body) == (True, b"temperature 21")


def behind(picture: bytes) -> dict[str, bytes]:
    """A picture as phones, cameras and half-finished writers leave it."""
    video = (
        struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + struct.pack(">I", 19976) + b"mdat" + bytes(range(256)) * 78
    )
    return {
        "whole": picture,
        "96 bytes behind it": picture + bytes(range(96)),
        "a video behind it": picture + video,
        "a page of zeros behind it": picture + bytes(8192),
        "cut in the middle": picture[: len(picture) // 3],
        "cut at the end": picture[:-3],
        "cut in its header": picture[:21],
        "a hole": picture[: len(picture) // 2] + bytes(50) + picture[len(picture) // 2 + 50 :],
    }


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"])
def test_every_byte_of_a_picture_is_kept_whatever_state_it_is_in(receiver, stored_files, make_gradient, kind):
    """The sender has closed in order and believes it delivered; whether it can be shown is for others to say."""
    out = io.BytesIO()
    make_gradient(160, 120).save(out, kind)
    bodies = behind(out.getvalue())
    for what, body in bodies.items():
        assert send(receiver, body) == b"", what
    assert sorted(stored_files().values()) == sorted(bodies.values())
    assert all(file.endswith("." + file.rsplit(".", 1)[1]) and "/" in file for file in stored_files())


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"\n",
        b"#maixpi",
        b"BM",
        b"RIFF\xff\xff\xff\x7fAVI LIST",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"<html>",
        b"\x00" * 70_000,
        bytes(range(256)) * 300,
    ],
    ids=range(11),
)
def test_unknown_kinds_are_kept_byte_for_byte(receiver, stored_files, body):
    assert send(receiver, body) == b""
    ((file, kept),) = stored_files().items()
    assert kept == body
    assert Path(file).suffix in (".bin", ".jpg", ".avi")


def test_the_optional_line_gets_one_line_back(receiver, make_jpeg, stored_files, log_lines):
    body = make_jpeg(2)
    digest = hashlib.sha256(body).hexdigest()
    line = f"#maixpix name=snap%200007.jpg size={len(body)} sha256={digest} board=hall%C3%A9\n".encode()
    # No half-close: the announced size ends the file.
    assert send(receiver, line + body, half_close=False) == f"ok {digest} {len(body)}\n".encode()
    ((file, kept),) = stored_files().items()
    assert (file.split("/")[1], kept) == ("snap 0007.jpg", body)
    assert log_lines()[0]["board"] == "hallé"


def test_the_line_may_come_in_pieces(receiver, make_jpeg, stored_files):
    body = make_jpeg(3)
    data = f"#maixpix name=a.jpg size={len(body)}\n".encode() + body
    with socket.create_connection(("127.0.0.1", receiver.tcp_port), timeout=patient(15)) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(0, 60, 7):
            peer.sendall(data[position : position + 7])
            time.sleep(0.002)
        peer.sendall(data[63:])
        assert peer.recv(100).startswith(b"ok ")
    assert list(stored_files().values()) == [body]


def test_a_file_that_only_begins_like_the_line_is_a_file(receiver, stored_files):
    assert send(receiver, b"#maix") == b""
    assert list(stored_files().values()) == [b"#maix"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"#maixpix size=10\n12345", "5 of 10 bytes"),
        (b"#maixpix size=3\n12345", "more than the announced 3"),
        (b"#maixpix size=-3\n12345", "size is no number"),
        (b"#maixpix size=0\n", "size is no number"),
        (b"#maixpix size=99999999999\nx", "bigger than"),
        (b"#maixpix colour=red\nx", "'colour=red' is not understood"),
        (b"#maixpix name=a name=b\nx", "not understood"),
        (b"#maixpix sha256=12\nx", "sha256 is no digest"),
        (b"#maixpix sha256=" + b"0" * 64 + b"\nx", "another SHA-256"),
        (b"#maixpix name=" + b"a" * 2000 + b"\nx", "does not end"),
        (b"#maixpix name=\xff\nx", "not ASCII"),
        (b"#maixpix \n", "empty"),
        (b"#maixpix", None),
    ],
)
def test_each_refusal_has_its_line_and_keeps_nothing(receiver, stored_files, uploads, data, words):
    answer = send(receiver, data)
    if words is None:
        assert answer == b""
        return
    assert answer is not None
    assert answer.startswith(b"error ")
    assert words in answer.decode()
    assert answer.count(b"\n") == 1
    assert stored_files() == {}
    assert not list((uploads / ".partial").glob("*.part"))


def test_an_empty_connection_is_reset(receiver, stored_files):
    assert send(receiver, b"") is None
    assert stored_files() == {}


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1:3456\r\nOrigin: http://evil.example\r\n\r\n" + b"\xff\xd8\xff" * 9,
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost:3456\r\n\r\n",
        b"GET /" + b"a" * 70_000,
        b"OPTIONS / HTTP/1.1\r\nhost: localhost:3456\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(20),
    ],
)
@pytest.mark.parametrize("first", [1, 7, 10_000])
def test_what_a_web_page_can_have_sent_is_not_kept(receiver, stored_files, uploads, data, first):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", receiver.tcp_port), 20) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(data[:first])
        peer.sendall(data[first:])
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(100) == b"", "only a reset says that it was not kept"
        pytest.fail("an orderly close")
    assert stored_files() == {}
    assert not list((uploads / ".partial").glob("*.part"))


@pytest.mark.parametrize("data", [b"a", b"GET", b"#maix", b"\x16\x03", b"GETTER", b"POSTER / x", b"GET it all"])
def test_short_files_and_words_of_english_are_kept(receiver, stored_files, data):
    assert send(receiver, data) == b""
    assert list(stored_files().values()) == [data]


def test_a_reset_in_mid_file_keeps_nothing(receiver, uploads, stored_files, make_jpeg):
    peer = socket.create_connection(("127.0.0.1", receiver.tcp_port))
    peer.sendall(make_jpeg(4, (800, 600))[:3000])
    deadline = time.monotonic() + patient(10)
    while not list((uploads / ".partial").glob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list((uploads / ".partial").glob("*.part"))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    while list((uploads / ".partial").glob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not list((uploads / ".partial").glob("*.part"))
    assert stored_files() == {}
    assert receiver.companion.store.used == 0


def test_names_stay_inside(receiver, make_jpeg, stored_files, uploads):
    body = make_jpeg(5)
    assert send(receiver, b"#maixpix name=..%2f..%2f%00evil%0a.jpg\n" + body).startswith(b"ok ")
    ((file, kept),) = stored_files().items()
    assert (file.split("/")[1], kept) == ("evil.jpg", body)


def test_the_token_is_asked_for(companion, uploads, make_jpeg, stored_files):
    server = companion(uploads=uploads, tcp_port=0, token="open-sesame")
    body = make_jpeg(6)
    assert send(server, body) is None
    refused = send(server, b"#maixpix token=wrong-sesame\n" + body)
    assert refused is not None
    assert refused.startswith(b"error the upload token")
    assert stored_files() == {}
    assert send(server, b"#maixpix token=open-sesame\n" + body).startswith(b"ok ")
    assert list(stored_files().values()) == [body]


def test_silent_senders_are_reset(companion, uploads, stored_files):
    server = companion(uploads=uploads, tcp_port=0, upload_limits=UploadLimits(idle_s=0.2))
    for opening in (b"", b"#maixpix name=", b"\xff\xd8\xff"):
        assert send(server, opening, half_close=False) in (None, b"")
    assert stored_files() == {}


def test_the_size_limit_holds_while_bytes_stream(companion, uploads, stored_files):
    server = companion(uploads=uploads, tcp_port=0, upload_limits=UploadLimits(max_file_bytes=100_000))
    assert send(server, os.urandom(300_000)) is None
    assert send(server, b"\x01" * 100_000) == b""
    assert [len(body) for body in stored_files().values()] == [100_000]
    assert server.companion.store.used == 100_000


def test_too_many_senders_are_reset(companion, uploads, make_jpeg):
    server = companion(uploads=uploads, tcp_port=0, upload_limits=UploadLimits(max_connections=2))
    held = [socket.create_connection(("127.0.0.1", server.tcp_port)) for _ in range(2)]
    for peer in held:
        peer.sendall(b"\xff")
    time.sleep(0.1)
    assert send(server, make_jpeg(7)) is None
    for peer in held:
        peer.close()
    deadline = time.monotonic() + patient(10)
    while (answer := send(server, make_jpeg(7))) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert answer == b""


def test_silent_senders_keep_nobody_out(companion, uploads, make_jpeg, stored_files):
    server = companion(uploads=uploads, tcp_port=0, upload_limits=UploadLimits(max_connections=4, max_per_address=3))
    with contextlib.ExitStack() as stack:
        for address in ("127.0.0.1", "127.0.0.2") * 10:
            stack.enter_context(socket.create_connection(("127.0.0.1", server.tcp_port), 20, (address, 0)))
            assert send(server, make_jpeg(7)) == b""
    assert list(stored_files().values()) == [make_jpeg(7)]


def test_fifty_boards_at_once(receiver, stored_files, make_jpeg):
    bodies = [make_jpeg(number, (600, 500)) for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(lambda body: send(receiver, body), bodies)) == {b""}
    assert sorted(stored_files().values()) == sorted(bodies)


@pytest.mark.parametrize(("program", "options"), [("nc.openbsd", ["-N"]), ("nc.traditional", ["-q", "5"])])
def test_netcat_sends_a_file(receiver, tmp_path, make_jpeg, stored_files, program, options):
    if shutil.which(program) is None:
        pytest.skip(f"no {program} on PATH (Debian: netcat-openbsd, netcat-traditional)")
    source = tmp_path / "x.jpg"
    source.write_bytes(make_jpeg(8, (320, 240)))
    with source.open("rb") as file:
        subprocess.run(
            [program, *options, "127.0.0.1", str(receiver.tcp_port)],
            stdin=file,
            check=True,
            timeout=patient(20),
            capture_output=True,
        )
    assert list(stored_files().values()) == [source.read_bytes()]


@pytest.mark.parametrize("size", [5, 5000, 5_000_000])
def test_a_plain_sender_sees_a_reset_where_a_token_is_asked_for(companion, uploads, stored_files, caplog, size):
    """It cannot show one. An orderly close would tell it that its file is safe, also if it only waits for the close."""
    server = companion(uploads=uploads, tcp_port=0, token="open-sesame")
    with socket.create_connection(("127.0.0.1", server.tcp_port), timeout=patient(20)) as peer:
        with contextlib.suppress(OSError):  # the reset may be here already: EPIPE, ECONNRESET, or ENOTCONN of shutdown
            peer.sendall(b"x" * size)
            peer.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            # After a send that failed, Linux has told the reset already and reports an end.
            assert peer.recv(1) == b"" and size > 100_000
            raise ConnectionResetError
    assert stored_files() == {}
    assert [record.getMessage() for record in caplog.records if "token" in record.getMessage()] == [
        "raw TCP upload from 127.0.0.1: the upload token is missing or wrong; send #maixpix token=... first, or use tus"
    ]


def test_buffers_grow_with_the_sender_and_take_whole_chunks():
    """Windows' event loop hands over what it has read, up to 256 KiB, without stopping where the buffer is full."""
    body = os.urandom(3_000_000)

    async def feed() -> None:
        intakes: list[Intake] = []
        server = await asyncio.get_running_loop().create_server(lambda: Intake(intakes.append), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        while not intakes:
            await asyncio.sleep(0)
        (intake,) = intakes
        received, position, largest = b"", 0, 0
        while position < len(body):
            chunk = memoryview(body)[position : position + 256 * 1024]
            position += len(chunk)
            while chunk:
                room = intake.get_buffer(len(chunk))
                count = min(len(room), len(chunk))
                room[:count] = chunk[:count]
                intake.buffer_updated(count)
                chunk = chunk[count:]
            piece = await intake.read()
            largest = max(largest, len(piece))
            received += piece
        assert received == body
        assert largest <= 2 * MAX_BUFFER
        intake.reset()
        writer.close()
        server.close()

    asyncio.run(feed())


@given(st.binary(max_size=1100))
def test_any_line_is_read_or_refused(line):
    try:
        words = parse_header(b"#maixpix " + line)
    except Refused as refused:
        assert refused.status == 400
    else:
        assert set(words) <= {"name", "size", "sha256", "board", "token"}
