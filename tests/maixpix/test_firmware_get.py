"""Downloads from a server on this machine, honest and not."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading

import pytest
from click.testing import CliRunner

from maixpix.commands.firmware import firmware as command
from maixpix.errors import UserError
from maixpix.flash import firmware_get, known_builds
from rig.firmware_like import maixpy_like
from rig.patience import patient

NAME = "v0.6.2_84_g8fcd84a58_minimum_with_ide_support"
PATH = "/maixpy_v0.6.2_84_g8fcd84a58/maixpy_v0.6.2_84_g8fcd84a58_minimum_with_ide_support.bin"


@pytest.fixture
def server():
    """A server whose `answers` maps a path to (status, headers, body); a body of None stops without a word."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = answers.get(self.path, (404, {}, b"no"))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body or b"")), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                if body is None:
                    released.wait(patient(10))
                else:
                    self.wfile.write(body)

        def log_message(self, *args):
            pass

    answers: dict[str, tuple[int, dict[str, str], bytes | None]] = {}
    released = threading.Event()
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    httpd.answers = answers
    httpd.site = f"http://127.0.0.1:{httpd.server_port}/"
    yield httpd
    released.set()
    httpd.shutdown()
    httpd.server_close()


def test_names_become_addresses_and_others_are_refused():
    assert firmware_get.address_of(NAME) == ("https://dl.sipeed.com/fileList/MAIX/MaixPy/release/master" + PATH)
    assert firmware_get.address_of("maixpy_v0.5.0_8_g9c3b97f.bin").endswith(
        "/maixpy_v0.5.0_8_g9c3b97f/maixpy_v0.5.0_8_g9c3b97f.bin"
    )
    assert firmware_get.address_of("https://a.example/x.bin") == "https://a.example/x.bin"
    for bad in ("latest", "v0.6.3", "../x", "ftp://a/b.bin", "v0.6.2_84_g8fcd84a58/../x"):
        with pytest.raises(UserError):
            firmware_get.address_of(bad)


def test_the_command_shows_the_address_first_and_keeps_a_checked_file(server, tmp_path):
    image = maixpy_like()
    server.answers[PATH] = (200, {}, image)
    done = CliRunner().invoke(
        command, ["get", NAME, "-o", str(tmp_path), "--site", server.site, "--sums", str(tmp_path / "sums.json")]
    )
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[0] == "from " + server.site.rstrip("/") + PATH
    assert "MaixPy v0.6.2-44-gd9dc6c58c" in done.stdout
    assert "first seen, remembered" in done.stdout
    assert (tmp_path / PATH.rsplit("/", 1)[1]).read_bytes() == image
    assert next(iter(json.loads((tmp_path / "sums.json").read_text()).values()))["size"] == len(image)


def test_a_later_download_must_be_the_same(server, tmp_path):
    url = server.site + "a.bin"
    target, sums = tmp_path / "a.bin", tmp_path / "sums.json"
    server.answers["/a.bin"] = (200, {}, maixpy_like())
    assert firmware_get.download(url, target, sums).first
    assert not firmware_get.download(url, target, sums).first
    server.answers["/a.bin"] = (200, {}, maixpy_like(seed=2))
    with pytest.raises(UserError, match="is not the file it was"):
        firmware_get.download(url, target, sums)
    assert target.read_bytes() == maixpy_like()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {}, b"none"), r"has no such file \(404\)"),
        ((500, {}, b"oops"), "answers 500"),
        ((200, {}, b"<html>login</html>"), "is a web page"),
        ((200, {}, maixpy_like()[:-9000]), "is truncated"),
        ((200, {"Content-Length": "200000"}, maixpy_like()), "ends the answer too early|at byte 98,304 of 200,000"),
        ((200, {"Content-Length": "99999999"}, b""), "has more than 16,777,216 bytes"),
        ((200, {"Content-Length": "500"}, None), "sends nothing"),
        ((302, {"Location": "ftp://x/y"}, b""), "redirects to .* no http or https address"),
    ],
)
def test_bad_answers_leave_the_old_file(server, tmp_path, answer, words):
    server.answers["/a.bin"] = answer
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(UserError, match=words) as caught:
        firmware_get.download(server.site + "a.bin", target, tmp_path / "sums.json", stall_s=0.5)
    assert caught.value.remedy
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin"]


def test_no_server_at_all(tmp_path):
    with pytest.raises(UserError, match="cannot be reached"):
        firmware_get.download("http://127.0.0.1:9/a.bin", tmp_path / "a.bin", tmp_path / "sums.json")


@pytest.mark.parametrize("name", known_builds.SHA256)
def test_a_known_build_must_be_that_very_file_also_over_http(server, tmp_path, name, monkeypatch):
    image = maixpy_like()
    server.answers["/mirror/" + name] = (200, {}, image)
    url = server.site + "mirror/" + name
    with pytest.raises(UserError, match=f"is not the official {name}"):
        firmware_get.download(url, tmp_path, tmp_path / "sums.json")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(known_builds.SHA256, name, hashlib.sha256(image).hexdigest())
    assert firmware_get.download(url, tmp_path, tmp_path / "sums.json").is_pinned
