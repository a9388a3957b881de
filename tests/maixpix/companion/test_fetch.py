"""`/fetch` against a real web server on this machine, and what it must not reach."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import socket
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from PIL import Image

from maixpix.companion import FetchLimits
from maixpix.companion.addresses import is_beside, is_public
from maixpix.companion.webbodies import PIECE, unpacked
from rig.patience import patient


class Site(BaseHTTPRequestHandler):
    """A small web site: a picture, pages that name it, redirects, and answers that misbehave."""

    picture = b""
    stop = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/p.png":
            self.answer(200, self.picture, "image/png")
        elif self.path == "/page":
            self.answer(200, b'<html><meta property="og:image" content="/p.png"></html>', "text/html; charset=utf-8")
        elif self.path == "/bare":
            self.answer(200, b"<html>nothing</html>", "text/html")
        elif self.path == "/ring":
            self.answer(200, b'<meta name="twitter:image" content="/ring">', "text/html")
        elif self.path == "/moved":
            self.answer(302, b"", "text/plain", Location="/p.png")
        elif self.path == "/loop":
            self.answer(301, b"", "text/plain", Location="/loop")
        elif self.path == "/to-file":
            self.answer(302, b"", "text/plain", Location="file:///etc/passwd")
        elif self.path == "/big":
            self.answer(200, bytes(300_000), "image/png")
        elif self.path == "/zip":
            self.answer(200, gzip.compress(bytes(5_000_000)), "image/png", **{"Content-Encoding": "gzip"})
        elif self.path == "/huge":
            self.answer(200, self.picture + bytes(20_000_000), "image/png")
        elif self.path == "/packed":
            self.answer(200, gzip.compress(self.picture), "image/png", **{"Content-Encoding": "gzip"})
        elif self.path == "/packed-page":
            page = zlib.compress(b'<meta property="og:image" content="/packed">' + bytes(900_000))
            self.answer(200, page, "text/html", **{"Content-Encoding": "deflate"})
        elif self.path == "/packed-oddly":
            self.answer(200, self.picture, "image/png", **{"Content-Encoding": "br"})
        elif self.path == "/packed-badly":
            self.answer(200, self.picture, "image/png", **{"Content-Encoding": "gzip"})
        elif self.path == "/text":
            self.answer(200, b"just text", "image/png")
        elif self.path == "/interim":
            with contextlib.suppress(OSError):
                while not self.stop.is_set():
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        elif self.path == "/endless-page":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b'<meta property="og:image" content="/p.png">')
                while not self.stop.is_set():
                    self.wfile.write(b"<" * 10_000)
        elif self.path == "/hang-up":
            self.close_connection = True
        elif self.path == "/not-http":
            self.wfile.write(b"220 ready\r\n")
            self.close_connection = True
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.close_connection = True
        elif self.path == "/slow":
            self.stop.wait(patient(20))
        else:
            self.answer(404, b"", "text/plain")

    def answer(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def site(make_gradient):
    out = io.BytesIO()
    make_gradient(640, 480).save(out, "PNG")
    handler = type("Site", (Site,), {"picture": out.getvalue(), "stop": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    handler.stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fetch(companion, client_for, site):
    limits = FetchLimits(max_bytes=200_000)
    client = client_for(companion(allow_fetch=True, fetch_private=True, fetch=limits))
    return lambda path, more="": client.get(f"/fetch?url={quote(site + path, safe='')}{more}")


@pytest.mark.parametrize("path", ["/p.png", "/page", "/moved", "/endless-page", "/packed", "/packed-page"])
def test_picture_page_and_redirect_give_the_panels_picture(fetch, path, make_gradient):
    answer = fetch(path, "&size=320x240")
    assert (answer.status, answer["Content-Type"]) == (200, "image/jpeg")
    shown = Image.open(io.BytesIO(answer.body))
    assert shown.size == (320, 240)
    want = make_gradient(640, 480).resize((320, 240)).getpixel((200, 200))
    assert shown.getpixel((200, 200)) == pytest.approx(want, abs=8)


def test_without_a_size_the_picture_itself(fetch, site):
    answer = fetch("/p.png")
    assert (answer.status, answer["Content-Type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(answer.body)).size == (640, 480)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/bare", 415, "names no picture"),
        ("/ring", 415, "another page"),
        ("/loop", 508, "redirects without end"),
        ("/to-file", 400, "only http and https"),
        ("/big", 413, "more than 200000 bytes"),
        ("/zip", 413, "more than 200000 bytes"),
        ("/packed-oddly", 502, "packed in a way"),
        ("/packed-badly", 502, "packed in a way"),
        ("/text", 415, "sent no picture"),
        ("/none", 502, "answered 404"),
        ("/interim", 502, "no end of headers"),
        ("/hang-up", 502, "hung up without an answer"),
        ("/not-http", 502, "does not answer in HTTP"),
        ("/short", 502, "broke off before the end"),
    ],
)
def test_each_failure_has_its_own_line(fetch, path, status, words):
    answer = fetch(path)
    assert answer.status == status
    assert words in answer.text
    assert answer.text.count("\n") == 1


def test_a_site_that_never_answers_is_given_up(companion, client_for, site):
    server = companion(allow_fetch=True, fetch_private=True, fetch=FetchLimits(total_s=0.5))
    answer = client_for(server).get("/fetch?url=" + quote(site + "/slow", safe=""))
    assert (answer.status, "127.0.0.1 took longer than 0.5 s" in answer.text) == (504, True)


def test_names_and_ports_where_nobody_is(companion, client_for):
    client = client_for(companion(allow_fetch=True, fetch_private=True))
    for url, words in (
        ("http://no-such-host.invalid/x.jpg", "no-such-host.invalid"),
        ("http://127.0.0.1:1/x.jpg", "127.0.0.1 refuses connections at that port"),
        ("https://127.0.0.1:1/x.jpg", "127.0.0.1 refuses connections at that port"),
    ):
        answer = client.get("/fetch?url=" + quote(url, safe=""))
        assert (answer.status, words in answer.text) == (502, True), answer.text
        assert "Errno" not in answer.text and "Connector" not in answer.text and "ssl:" not in answer.text


def test_one_client_gets_a_share_of_the_fetches(companion, client_for, site):
    """Its slow sites keep no other client from fetching."""
    limits = FetchLimits(total_s=20.0, at_once=3, each=2)
    server = companion(allow_fetch=True, fetch_private=True, fetch=limits)
    slow = f"GET /fetch?url={quote(site + '/slow', safe='')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        greedy = []
        for _ in range(6):
            ends = ("127.0.0.1", server.port), 20, ("127.0.0.2", 0)
            peer = stack.enter_context(socket.create_connection(*ends))
            peer.sendall(slow)
            greedy.append(peer)
        for peer in greedy[2:]:
            told = peer.recv(4000)
            assert told.startswith(b"HTTP/1.1 503") and b"\r\nRetry-After: 2\r\n" in told
        assert client_for(server).get(f"/fetch?url={quote(site + '/p.png', safe='')}").status == 200


def test_packed_bodies_are_unpacked_in_small_steps():
    """A bomb of 20 kB is never in memory as the 20 MB that it stands for."""

    async def body():
        yield gzip.compress(bytes(20_000_000))

    class Response:
        headers = {"Content-Encoding": "gzip"}  # noqa: RUF012
        content = type("Content", (), {"iter_chunked": lambda self, size: body()})()

    async def steps() -> list[int]:
        return [len(piece) async for piece in unpacked(Response())]

    found = asyncio.run(steps())
    assert sum(found) == 20_000_000
    assert max(found) <= PIECE


def test_what_nobody_reads_is_not_kept_in_memory(companion, client_for, site):
    """Places are for pictures on their way in: a reader that takes nothing has none."""
    limits = FetchLimits(at_once=1, each=2)
    server = companion(allow_fetch=True, fetch_private=True, fetch=limits)
    with socket.create_connection(("127.0.0.1", server.port), 20, ("127.0.0.2", 0)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(f"GET /fetch?url={quote(site + '/huge', safe='')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert lazy.recv(10, socket.MSG_WAITALL) == b"HTTP/1.1 2"
        answer = client_for(server).get(f"/fetch?url={quote(site + '/p.png', safe='')}")
        assert answer.status == 200


def test_a_neighbour_with_a_public_address_is_private(monkeypatch):
    """In IPv6 every machine at home has one."""

    class Probe:
        def __init__(self, *arguments: object) -> None:
            self.own = "2a00:1450:4001:1::5" if arguments[0] == socket.AF_INET6 else "8.8.4.77"

        def __enter__(self):
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def connect(self, address: object) -> None:
            pass

        def getsockname(self):
            return (self.own, 1)

    monkeypatch.setattr("maixpix.companion.addresses.socket.socket", Probe)
    for address in ("2a00:1450:4001:1::5", "2a00:1450:4001:1:ffff::9", "8.8.4.1"):
        assert is_beside(address)
    for address in ("2a00:1450:4001:2::5", "2606:4700::1111", "8.8.8.8"):
        assert not is_beside(address)


def test_off_unless_allowed(client, site):
    assert client.get("/fetch?url=" + quote(site + "/p.png")).status == 403


PRIVATE = [
    "http://127.0.0.1:{port}/p.png",
    "http://localhost:{port}/p.png",
    "http://[::1]:{port}/p.png",
    "http://[::ffff:127.0.0.1]:{port}/p.png",
    "http://0.0.0.0:{port}/p.png",
    "http://2130706433:{port}/p.png",
    "http://0x7f000001:{port}/p.png",
    "http://127.1:{port}/p.png",
    "http://user:pass@127.0.0.1:{port}/p.png",
    "http://169.254.169.254/latest/meta-data/",
    "http://192.168.0.1/x.png",
    "http://[64:ff9b::7f00:1]:{port}/p.png",
    "file:///etc/passwd",
    "ftp://127.0.0.1/x.png",
    "gopher://127.0.0.1/",
    "http://",
    "http://[::1",
    "",
    "//127.0.0.1:{port}/p.png",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_and_other_schemes_are_out_of_reach(companion, client_for, site, url):
    client = client_for(companion(allow_fetch=True))
    port = site.rsplit(":", 1)[1]
    answer = client.get("/fetch?size=32x32&url=" + quote(url.replace("{port}", port), safe=""))
    assert answer.status in (400, 403), answer.text
    assert "pass" not in answer.text
    assert answer.text.count("\n") == 1


def test_what_counts_as_public():
    for address in ("8.8.8.8", "1.1.1.1", "223.255.255.254", "2606:4700::1111", "2a00:1450:4001::1", "2001:4860::8888"):
        assert is_public(address), address
    for address in (
        "10.0.0.1", "100.64.0.1", "172.16.0.1", "224.0.0.1", "255.255.255.255", "fe80::1%eth0", "fd00::1", "::",
        "2002:7f00:1::1", "64:ff9b::a00:1", "nonsense", "ff02::1", "192.0.2.1", "",
        "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::808:808", "2002:808:808::1", "2001::1",
        "fec0::1", "fc00::1", "2001:db8::1", "3fff::1", "5f00::1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "192.0.0.9", "192.88.99.1", "240.0.0.1", "0.0.0.0", "127.1", "2606:4700::1111%eth0", "100::1",
    ):  # fmt: skip
        assert not is_public(address), address
