"""Picture serving over HTTP: what is given out, and what is out of reach."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import random
import re
import socket
import sys
import threading
import time
from pathlib import Path

import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from maixpix.companion import HttpLimits, PictureLimits
from rig.patience import patient


def digest_of(body: bytes) -> str:
    return "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"


def test_a_conversion_has_length_digest_and_strong_etag(client, folder):
    answer = client.get("/pictures/a%20wide.png?size=320x240")
    assert (answer.status, answer["Content-Type"]) == (200, "image/jpeg")
    assert int(answer["Content-Length"]) == len(answer.body)
    assert answer["Repr-Digest"] == digest_of(answer.body)
    assert answer["ETag"].startswith('"')
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    shown = Image.open(io.BytesIO(answer.body))
    expected = Image.open(folder / "a wide.png").resize((320, 240), Image.Resampling.LANCZOS)
    assert max(ImageStat.Stat(ImageChops.difference(shown, expected)).mean) < 3


def test_the_original_is_given_as_it_is(client, folder):
    answer = client.get("/pictures/b-tall.jpg")
    assert answer.body == (folder / "b-tall.jpg").read_bytes()
    assert answer["Repr-Digest"] == digest_of(answer.body)
    assert answer["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize("target", ["/pictures/b-tall.jpg", "/pictures/b-tall.jpg?size=100x100", "/frame"])
def test_head_tells_the_same_without_a_body(client, target):
    head, got = client.head(target), client.get(target)
    assert head.body == b""
    for name in ("Content-Length", "ETag", "Repr-Digest", "Content-Type"):
        assert head[name] == got[name]


def test_conditional_get(client):
    target = "/pictures/c.bmp?size=32x32&format=bmp"
    first = client.get(target)
    again = client.get(target, If_None_Match=first["ETag"])
    assert (again.status, again.body, again["ETag"]) == (304, b"", first["ETag"])
    assert client.get(target.replace("32x32", "32x31"), If_None_Match=first["ETag"]).status == 200


def test_the_etag_changes_with_the_picture(client, folder, make_gradient):
    before = client.get("/pictures/c.bmp?size=32x32")
    make_gradient(64, 64).rotate(180).save(folder / "c.bmp")
    os.utime(folder / "c.bmp", ns=(1, 1))
    after = client.get("/pictures/c.bmp?size=32x32", If_None_Match=before["ETag"])
    assert after.status == 200
    assert after["ETag"] != before["ETag"]


@settings(max_examples=60)
@given(first=st.integers(0, 9000), last=st.one_of(st.none(), st.integers(0, 9000)), original=st.booleans())
def test_ranges_put_together_give_the_whole(client, first, last, original):
    target = "/pictures/b-tall.jpg" + ("" if original else "?size=200x200")
    whole = client.get(target)
    part = client.get(target, Range=f"bytes={first}-{'' if last is None else last}", If_Range=whole["ETag"])
    size = len(whole.body)
    if last is not None and last < first:
        assert part.status == 200
    elif first >= size:
        assert (part.status, part["Content-Range"]) == (416, f"bytes */{size}")
    else:
        stop = size if last is None else min(last + 1, size)
        assert (part.status, part["Content-Range"]) == (206, f"bytes {first}-{stop - 1}/{size}")
        assert part.body == whole.body[first:stop]
        assert part["Repr-Digest"] == whole["Repr-Digest"]


def test_listing_names_every_picture(client, folder):
    (folder / "notes.txt").write_text("private")
    (folder / ".hidden.jpg").write_bytes((folder / "b-tall.jpg").read_bytes())
    (folder / "more").mkdir()
    (folder / "more" / "d.png").write_bytes((folder / "a wide.png").read_bytes())
    answer = client.get("/pictures.json")
    listing = json.loads(answer.body)
    assert [entry["name"] for entry in listing["pictures"]] == ["a wide.png", "b-tall.jpg", "c.bmp", "more/d.png"]
    assert listing["count"] == 4
    for entry in listing["pictures"]:
        got = client.get(entry["url"])
        assert (got.status, len(got.body), got["Content-Type"]) == (200, entry["bytes"], entry["type"])


def test_the_page_lists_escaped_names_and_needs_nothing_else(client, folder):
    evil = "<img src=x onerror=alert(1)>&.png"
    (folder / "shot 10%.png").write_bytes((folder / "a wide.png").read_bytes())
    (folder / evil.replace("<", "").replace(">", "")).write_bytes(b"")
    answer = client.get("/")
    assert answer["Content-Type"].startswith("text/html")
    assert "/pictures/shot%2010%25.png?size=320x240" in answer.text
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "onerror=alert(1)&amp;.png" in answer.text
    assert '<meta name="viewport"' in answer.text
    style = client.get("/static/style.css")
    assert (style.status, style["Content-Type"].split(";")[0]) == (200, "text/css")


OUTSIDE = [
    "/pictures/../secret.png",
    "/pictures/%2e%2e/secret.png",
    "/pictures/..%2fsecret.png",
    "/pictures/..%5csecret.png",
    "/pictures/%2e%2e%2f%2e%2e%2fsecret.png",
    "/pictures//etc/passwd",
    "/pictures/%2fetc%2fpasswd",
    "/pictures//tmp/secret.png",
    "/pictures/C:%5csecret.png",
    "/pictures/C:/secret.png",
    "/pictures/C:secret.png",
    "/pictures/c.bmp::$DATA",
    "/pictures/%5c%5chost%5cshare%5cx.png",
    "/pictures/a%20wide.png%00.jpg",
    "/pictures/%00",
    "/pictures/.hidden.jpg",
    "/pictures/more/../c.bmp",
    "/pictures/./c.bmp",
    "/pictures/c.bmp/",
    "/pictures/c.bmp%20",
    "/pictures/notes.txt",
    "/pictures/folder.png",
    "/pictures/link-out.png",
    "/pictures/link-dir/secret.png",
    "/pictures/link-hidden.png",
    "/pictures/loop.png",
    "/pictures/pipe.png",
    "/pictures/" + "a/" * 3000 + "c.bmp",
    "/pictures/" + "a" * 5000 + ".png",
    "/pictures/%ff%fe.png",
    "/static/../app.py",
    "/static/%2e%2e%2fapp.py",
    "/static/index.html",
]


def test_nothing_outside_the_folder_is_reachable(client, folder: Path):
    secret = folder.parent / "secret.png"
    Image.new("RGB", (9, 9), "red").save(secret)
    (folder / ".hidden.jpg").write_bytes(secret.read_bytes())
    (folder / "notes.txt").write_text("private")
    (folder / "folder.png").mkdir()
    (folder / "link-out.png").symlink_to(secret)
    (folder / "link-dir").symlink_to(folder.parent)
    (folder / "link-hidden.png").symlink_to(folder / ".hidden.jpg")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    os.mkfifo(folder / "pipe.png")
    for target in OUTSIDE:
        for query in ("", "?size=32x32"):
            answer = client.get(target + query)
            assert answer.status in (400, 404, 414), target
            assert secret.read_bytes() not in answer.body, target
    listed = {entry["name"] for entry in json.loads(client.get("/pictures.json").body)["pictures"]}
    assert listed == {"a wide.png", "b-tall.jpg", "c.bmp"}


NAMES = (
    "it's \"quoted\".png", "50%.png", "100%25.png", "a#b.png", "a?b=c.png", "12:30.png", "[x] {y} <z>.png", "con.jpg",
    "NUL.png", "back\\slash.png", "trailing .png", "ü, 猫 & ünï.png", "a|b*c.png", "new\nline.png", "\x1b[31mred.png",
    "+plus&amp;.png", "two..dots.png", "%2e%2e%2fx.png",
)  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_every_name_is_listed_linked_and_served(client, folder):
    body = (folder / "a wide.png").read_bytes()
    for name in NAMES:
        (folder / name).write_bytes(body)
    entries = {entry["name"]: entry["url"] for entry in json.loads(client.get("/pictures.json").body)["pictures"]}
    assert set(NAMES) <= set(entries)
    page = client.get("/").text
    for name in NAMES:
        assert client.get(entries[name]).body == body, name
        assert client.get(entries[name] + "?size=32x32").status == 200, name
        assert f'href="{entries[name].replace("&", "&amp;")}"' in page, name
    assert "\x1b" not in page


def test_what_is_left_out_is_told_with_its_reason(client, folder):
    (folder / "notes.txt").write_text("private")
    (folder / "drawing.svg").write_text("<svg/>")
    (folder / ".hidden.jpg").write_bytes(b"x")
    (folder / "folder.png").mkdir()
    (folder / "gone.png").symlink_to(folder / "nowhere")
    deep = folder.joinpath(*"abcdefghij")
    deep.mkdir(parents=True)
    (folder / "text.jpg").write_text("no picture at all")
    with Image.open(folder / "c.bmp") as picture:
        picture.save(folder / "old.ppm")
        picture.save(folder / "old.jp2")
    (folder / "torn.png").write_bytes((folder / "a wide.png").read_bytes()[:900])
    if os.name != "nt":
        Path(os.fsdecode(os.fsencode(folder) + b"/latin-\xe9.png")).write_bytes(b"x")
    assert client.get("/pictures/torn.png?size=32x32").status == 422
    page = client.get("/").text
    for name, words in (
        ("notes.txt", "not that of a picture"),
        ("drawing.svg", "not that of a picture"),
        (".hidden.jpg", "hidden files stay hidden"),
        ("gone.png", "no plain file"),
        ("a/b/c/d/e/f/g/h/i", "8 deep"),
        ("latin-\ufffd.png", "no UTF-8"),
    ):
        assert re.search(f"<li><b>{re.escape(name)}</b>: [^<]*{words}", page), name
    for name, words in (
        ("text.jpg", "no picture that can be read"),
        ("old.ppm", "--also-read ppm"),
        ("old.jp2", "--also-read jp2"),
        ("torn.png", "its end is missing"),
    ):
        assert re.search(f'class="broken">[^<]*{words}[^<]*</span><figcaption><b>{name}</b>', page), name
    assert "6 files are not given out" in page


@pytest.mark.parametrize(
    "odd",
    [
        "background=rgb(300,0,0)",
        "background=rgb(99999999999999999999,0,0)",
        "background=rgb(400%25,0%25,0%25)",
        "background=hsl(1,999%25,999%25)",
        "background=hsv(1,999%25,999%25)",
        "background=hsl(1e309,0%25,0%25)",
    ],
)
def test_an_odd_wish_spoils_no_picture_for_others(client, odd):
    assert client.get(f"/frame?{odd}").status == 400
    assert client.get(f"/pictures/c.bmp?size=32x32&{odd}").status == 400
    assert client.get("/frame").status == 200
    assert client.get("/pictures/c.bmp?size=32x32").status == 200


def test_what_iphones_take_is_converted(client, folder):
    pillow_heif.register_heif_opener()
    with Image.open(folder / "a wide.png") as picture:
        picture.save(folder / "IMG_0001.HEIC", "HEIF")
    assert client.get("/pictures/IMG_0001.HEIC")["Content-Type"] == "image/heic"
    shown = Image.open(io.BytesIO(client.get("/pictures/IMG_0001.HEIC?size=320x240").body))
    assert (shown.format, shown.size) == ("JPEG", (320, 240))


def test_a_link_that_stays_inside_is_served(client, folder):
    (folder / "alias.png").symlink_to(folder / "a wide.png")
    assert client.get("/pictures/alias.png").body == (folder / "a wide.png").read_bytes()


def test_errors_are_one_line_of_text_or_json(client, folder):
    (folder / "torn.jpg").write_bytes((folder / "b-tall.jpg").read_bytes()[:3000])
    answer = client.get("/pictures/torn.jpg?size=32x32")
    assert answer.status == 422
    assert answer["Content-Type"].startswith("text/plain")
    assert answer.text.startswith("the picture is damaged: ")
    assert answer.text.count("\n") == 1
    as_json = json.loads(client.get("/pictures/torn.jpg?size=32x32", Accept="application/json").body)
    assert as_json["error"] == "damaged-picture"
    assert as_json["remedy"]
    assert client.get("/nowhere").status == 404
    wrong = client.request("POST", "/frame", body=b"x")
    assert (wrong.status, "GET" in wrong["Allow"]) == (405, True)


def test_a_damaged_picture_is_decoded_once_until_it_changes(client, folder):
    path = folder / "c.bmp"
    good = path.read_bytes()
    path.write_bytes(good[:-3000])
    was = path.stat()
    first = client.get("/pictures/c.bmp?size=32x32")
    assert (first.status, "its end is missing" in first.text) == (422, True)
    # Other bytes behind the same size and time would be told otherwise if they were looked at again.
    path.write_bytes(bytes(was.st_size))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert client.get("/pictures/c.bmp?size=32x33").text == first.text
    path.write_bytes(good)
    assert client.get("/pictures/c.bmp?size=32x32").status == 200


def test_bombs_and_big_files_are_refused_over_http(companion, client_for, folder):
    client = client_for(companion(pictures=PictureLimits(max_pixels=100_000, max_source_bytes=5_000_000)))
    refused = client.get("/pictures/a%20wide.png?size=32x32")
    assert (refused.status, "640x480" in refused.text) == (413, True)
    with (folder / "huge.png").open("wb") as file:
        file.truncate(6_000_000)
    assert client.get("/pictures/huge.png?size=32x32").status == 413


def test_many_equal_requests_convert_once(companion, client_for, folder, make_gradient):
    make_gradient(2400, 1800).save(folder / "big.png")
    server = companion()
    client = client_for(server)
    answers: list[bytes] = []

    def ask() -> None:
        answers.append(client.get("/pictures/big.png?size=320x240").body)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    assert len(set(answers)) == 1
    assert server.companion.serving.cache.conversions == 1
    client.get("/pictures/big.png?size=320x241")
    assert server.companion.serving.cache.conversions == 2


def test_foreign_host_names_are_refused(companion, client_for):
    client = client_for(companion(names=("frames.example",)))
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a b", "x@127.0.0.1", ""):
        answer = client.get("/", Host=host)
        assert answer.status in (400, 421), host
    for host in ("127.0.0.1:8000", "localhost", "[::1]:80", "pc", "pc.local", "frames.example:8000", "LOCALHOST."):
        assert client.get("/", Host=host).status == 200, host


def test_slideshow_goes_round_in_order_for_each_board(client, folder):
    def shown(**query: str) -> str:
        target = "/frame?" + "&".join(f"{name}={value}" for name, value in query.items())
        answer = client.get(target)
        assert answer.status == 200
        location = answer["Content-Location"]
        assert client.get(location).body == answer.body
        assert Image.open(io.BytesIO(answer.body)).size == (320, 240)
        return location.split("?")[0].removeprefix("/pictures/")

    round_ = ["a%20wide.png", "b-tall.jpg", "c.bmp"]
    assert [shown(board="kitchen") for _ in range(5)] == [*round_, *round_[:2]]
    assert shown(board="hall") == round_[0]
    assert shown(board="kitchen") == round_[2]
    random_round = [shown(board="r", order="random") for _ in range(9)]
    for start in (0, 3, 6):
        assert sorted(random_round[start : start + 3]) == round_
    for number, name in enumerate(("c.bmp", "a wide.png", "b-tall.jpg")):
        os.utime(folder / name, (1000 + number, 1000 + number))
    assert [shown(order="newest") for _ in range(2)] == ["b-tall.jpg", "a%20wide.png"]
    (folder / "d.png").write_bytes((folder / "a wide.png").read_bytes())
    assert [shown(order="newest") for _ in range(3)] == ["d.png", "c.bmp", "d.png"]


def test_slideshow_passes_over_damaged_pictures_and_resumes_by_range(client, folder):
    (folder / "b-tall.jpg").write_bytes(b"\xff\xd8 damaged")
    first, second = client.get("/frame"), client.get("/frame")
    assert second["Content-Location"].startswith("/pictures/c.bmp")
    rest = client.get("/frame", Range="bytes=100-", If_Range=second["ETag"])
    assert (rest.status, rest.body) == (206, second.body[100:])
    assert client.get("/frame").body == first.body


def test_slideshow_without_pictures_says_so(client, folder):
    for file in folder.iterdir():
        file.unlink()
    assert client.get("/frame").status == 404
    assert "no pictures yet" in client.get("/frame").text
    assert client.get("/frame?order=backwards").status == 400
    assert client.get("/frame?board=" + "x" * 99).status == 400


def test_silent_and_dripping_connections_are_cut_off(companion):
    server = companion(http=HttpLimits(head_s=patient(0.1)))
    for opening in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: "):
        with socket.create_connection(("127.0.0.1", server.port), timeout=patient(10)) as peer:
            peer.sendall(opening)
            assert receive_end(peer) == b""


def receive_end(peer) -> bytes:
    try:
        return peer.recv(100)
    except ConnectionResetError:
        return b""


def knocking(server, count: int, address: str = "127.0.0.1") -> list[socket.socket]:
    """`count` connections that ask for nothing."""
    ends = ("127.0.0.1", server.port), 20, (address, 0)
    return [socket.create_connection(*ends) for _ in range(count)]


def test_idle_connections_keep_nobody_out(companion, client_for):
    """When the house is full, whoever holds most gives up the connection that has been quiet for longest."""
    server = companion(http=HttpLimits(head_s=60, max_connections=6, max_per_address=4))
    with contextlib.ExitStack() as stack:
        quiet = [stack.enter_context(peer) for peer in knocking(server, 1)]
        quiet[0].sendall(b"GET / HTTP/1.1\r\nHost: local")
        crowd = [stack.enter_context(peer) for peer in knocking(server, 40, "127.0.0.2")]
        for _ in range(20):
            assert client_for(server).get("/pictures.json").status == 200
        assert server.companion.gate.connections <= 6
        assert server.companion.gate.refused == 0
        for peer in crowd[:36]:
            assert receive_end(peer) == b""
        # The one address that holds little has kept its own.
        quiet[0].sendall(b"host\r\nConnection: close\r\n\r\n")
        assert quiet[0].recv(12) == b"HTTP/1.1 200"


def test_requests_under_way_are_not_ended_for_others(companion, client_for, uploads):
    server = companion(http=HttpLimits(head_s=60, max_connections=3), uploads=uploads)
    with contextlib.ExitStack() as stack:
        live = [stack.enter_context(peer) for peer in knocking(server, 3)]
        for peer in live:
            peer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert peer.recv(12) == b"HTTP/1.1 200"
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as extra:
            assert receive_end(extra) == b""
        assert server.companion.gate.refused == 1
    deadline = time.monotonic() + patient(20)
    while server.companion.gate.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert client_for(server).get("/pictures.json").status == 200


def test_bodies_that_never_come_make_room(companion, client_for, uploads):
    server = companion(http=HttpLimits(head_s=60, max_connections=4), uploads=uploads)
    head = (
        b"POST /files/ HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 90\r\n"
        b"Content-Type: application/offset+octet-stream\r\nContent-Length: 90\r\n\r\n"
    )
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(peer) for peer in knocking(server, 4)]
        for peer in peers:
            peer.sendall(head)
        for _ in range(10):
            assert client_for(server).get("/pictures.json").status == 200


def test_a_form_whose_body_never_comes_is_answered(companion, uploads):
    server = companion(http=HttpLimits(form_s=0.3), uploads=uploads)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as peer:
        peer.sendall(
            b"POST /gallery/delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\nfile="
        )
        assert peer.recv(12) == b"HTTP/1.1 408"


@pytest.mark.parametrize(
    "attack",
    [
        random.Random(4).randbytes(4000),
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /pictures/\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    ],
    ids=["noise", "long field", "many fields", "long path", "negative length", "two lengths", "NUL", "TLS"],
)
def test_hostile_bytes_do_not_hurt(companion, client_for, attack):
    server = companion()
    peer = socket.create_connection(("127.0.0.1", server.port), timeout=patient(10))
    with peer, contextlib.suppress(OSError):
        peer.sendall(attack)
        peer.shutdown(socket.SHUT_WR)
        first = peer.recv(100)
        assert not first or b" 4" in first.split(b"\r\n")[0]
    assert client_for(server).get("/pictures.json").status == 200
