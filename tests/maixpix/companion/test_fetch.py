"""`/fetch` against a real web server on this machine, and what it must not reach."""

from __future__ import annotations

import gzip
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from PIL import Image

from maixpix.companion import FetchLimits
from maixpix.companion.fetching import is_public
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
        elif self.path == "/text":
            self.answer(200, b"just text", "image/png")
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
    limits = FetchLimits(max_bytes=200_000, total_s=patient(1.0))
    client = client_for(companion(allow_fetch=True, fetch_private=True, fetch=limits))
    return lambda path, more="": client.get(f"/fetch?url={quote(site + path, safe='')}{more}")


@pytest.mark.parametrize("path", ["/p.png", "/page", "/moved"])
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
        ("/text", 415, "sent no picture"),
        ("/slow", 504, "took longer than 1 s"),
        ("/none", 502, "answered 404"),
    ],
)
def test_each_failure_has_its_own_line(fetch, path, status, words):
    answer = fetch(path)
    assert answer.status == status
    assert words in answer.text
    assert answer.text.count("\n") == 1


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
    for address in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::1"):
        assert is_public(address), address
    for address in (
        "10.0.0.1", "100.64.0.1", "172.16.0.1", "224.0.0.1", "255.255.255.255", "fe80::1%eth0", "fd00::1", "::",
        "2002:7f00:1::1", "64:ff9b::a00:1", "nonsense", "ff02::1", "192.0.2.1",
    ):  # fmt: skip
        assert not is_public(address), address
