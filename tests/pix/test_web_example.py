"""The service of docs/web.md as it stands there, with curl, through the virtual modem."""

import json
import re
from pathlib import Path

import pytest

from rig.served_board import ROOT, curl
from virtualboard.board import BoardConfig
from virtualboard.launch import BoardProcess

EXAMPLE = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "web.md").read_text(encoding="utf-8"), re.S).group(1)


@pytest.fixture(scope="module", params=["1.1", "1.7.4"])
def url(request, tmp_path_factory, board_card):
    card: Path = board_card(tmp_path_factory.mktemp("example") / "card")
    (card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]]}))
    with BoardProcess(BoardConfig(card=str(card), at=request.param, web_port=0), EXAMPLE) as board:
        yield f"http://127.0.0.1:{board.web_port()}"


def head_and_body(done):
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert done.returncode == 0, done.stderr
    assert b"\n" not in head.replace(b"\r\n", b"")
    return head.decode(), body.decode()


def test_it_is_short():
    lines = [line for line in EXAMPLE.splitlines() if line.strip()]
    assert len(lines) <= 25


def test_pages_form_redirect_and_statuses(url):
    head, body = head_and_body(curl("-i", url + "/"))
    assert head.startswith("HTTP/1.1 200 OK") and "<h1>Hello</h1>" in body
    assert f"Content-Length: {len(body.encode())}" in head
    head, body = head_and_body(curl("-i", url + "/tips"))
    assert "Refresh: 3; url=/" in head and "Forbidden." in body
    head, _ = head_and_body(curl("-i", url + "/index"))
    assert head.startswith("HTTP/1.1 302 Found") and "Location: /" in head.split("\r\n")
    assert "<h1>Hello</h1>" in curl("-L", url + "/index").stdout.decode()
    _, body = head_and_body(curl("-i", "--data-urlencode", "name=<b> & ä", url + "/name"))
    assert "Hello, &lt;b&gt; &amp; ä" in body
    # The same with another way of writing the type: not the exact line decides.
    kind = "content-type:  Application/X-WWW-Form-URLEncoded;charset=utf-8"
    assert "Hello, x" in curl("-H", kind, "-d", "name=x", url + "/name").stdout.decode()
    for arguments, status in [
        ((url + "/none",), 404),
        (("-X", "DELETE", url + "/"), 405),
        (("-d", "name=" + "x" * 9000, url + "/name"), 413),
        (("-H", "Host: evil.example", url + "/"), 403),
        (("-H", "Origin: http://evil.example", "-d", "name=x", url + "/name"), 403),
        (("-H", "Transfer-Encoding: chunked", "-d", "name=x", url + "/name"), 411),
        ((url + "/" + "x" * 2000,), 414),
        (("-H", "X-Long: " + "x" * 20000, url + "/"), 431),
    ]:
        assert curl("-o", "/dev/null", "-w", "%{http_code}", *arguments).stdout == b"%d" % status, arguments


def test_eight_connections_at_once_come_through(url):
    done = curl("--parallel", "--parallel-max", "8", "--retry", "20", "--retry-delay", "1", "--retry-all-errors",
                "-w", "%{http_code}\n", "-o", "/dev/null", url + "/?[1-24]")  # fmt: skip
    assert done.stdout.decode().split() == ["200"] * 24, (done.stdout, done.stderr[-500:])
