"""pix.fetch and pix.http against servers that are not ours: httpbin, and aiohttp's file service."""

import json
import os
import random

import pytest

from rig.links import Sockets


def get(device, url, headers=(), token=""):
    """(status, Response, whole body) of one request, no redirect followed."""
    http, parse = device.load("http"), device.load("url").parse
    url = parse(url)
    link = Sockets(device).connect(url.host, url.port, 5000)
    link.write(http.request("GET", url, headers, token))
    response = http.Response(link)
    status = response.read_head()
    body = b"".join(bytes(piece) for piece in response.iter_content(700))
    link.close()
    return status, response, body


def fetch(device, url, **more):
    return device.load("fetch").fetch(Sockets(device), url, "/sd/file.bin", **more)


def stored(device):
    (name, content), *others = device.listing().items()
    assert name == "file.bin" and not others
    return content


def failing(device, url, **more):
    with pytest.raises(device.PixError) as e:
        fetch(device, url, **more)
    assert device.listing() == {}
    return e.value


def test_fields_arrive(device, httpbin_url):
    status, response, body = get(device, httpbin_url + "/headers", [("X-Board", "K210")])
    assert status == 200 and response.header("Content-Type") == "application/json"
    fields = json.loads(body)["headers"]
    assert fields["X-Board"] == "K210" and fields["User-Agent"] == "maixpix"
    assert fields["Accept-Encoding"] == "identity" and fields["Connection"] == "close"


@pytest.mark.parametrize("status", [200, 301, 404, 418, 500, 503])
def test_statuses(device, httpbin_url, status):
    assert get(device, f"{httpbin_url}/status/{status}")[0] == status


def test_credentials(device, httpbin_url):
    host = httpbin_url.removeprefix("http://")
    assert fetch(device, f"http://ann:p%40ss@{host}/basic-auth/ann/p@ss").status == 200
    device.load("files").remove("/sd/file.bin")
    assert failing(device, f"http://ann:wrong@{host}/basic-auth/ann/p@ss").code == "http-401"
    assert fetch(device, f"{httpbin_url}/bearer", token="t0k").status == 200
    assert json.loads(stored(device)) == {"authenticated": True, "token": "t0k"}
    device.load("files").remove("/sd/file.bin")
    assert failing(device, f"{httpbin_url}/bearer").code == "http-401"


@pytest.mark.parametrize("kind", ["redirect", "relative-redirect", "absolute-redirect"])
def test_redirects(device, httpbin_url, kind):
    fetch(device, f"{httpbin_url}/{kind}/5")
    assert json.loads(stored(device))["url"] == httpbin_url + "/get"
    device.load("files").remove("/sd/file.bin")
    assert failing(device, f"{httpbin_url}/{kind}/6").code == "redirect-loop"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_of_each_kind(device, httpbin_url, status):
    fetch(device, f"{httpbin_url}/redirect-to?url=%2Frange%2F26&status_code={status}")
    assert stored(device) == b"abcdefghijklmnopqrstuvwxyz"


def test_redirect_to_https(device, httpbin_url):
    assert failing(device, f"{httpbin_url}/redirect-to?url=https%3A%2F%2Fexample.com%2F").code == "https"


@pytest.mark.parametrize("size", [1, 4096, 50_000])
def test_bytes_with_a_length(device, httpbin_url, size):
    told = []
    assert fetch(device, f"{httpbin_url}/range/{size}", progress=lambda *both: told.append(both)).bytes == size
    assert stored(device) == bytes(97 + i % 26 for i in range(size))
    assert told[-1] == (size, size)


@pytest.mark.parametrize("chunk", [1, 1000, 10_000])
def test_a_stream_without_a_length(device, httpbin_url, chunk):
    size = min(20_000, 500 * chunk)
    url = f"{httpbin_url}/stream-bytes/{size}?seed=9&chunk_size={chunk}"
    told = []
    assert fetch(device, url, progress=lambda done, total: told.append(total)).bytes == size
    assert set(told) == {None}
    assert stored(device) == get(device, url)[2]


def test_lines_of_json(device, httpbin_url):
    _, _, body = get(device, f"{httpbin_url}/stream/7")
    assert [json.loads(line)["id"] for line in body.splitlines()] == list(range(7))


def test_a_range_by_hand(device, httpbin_url):
    status, response, body = get(device, f"{httpbin_url}/range/1000", [("Range", "bytes=990-")])
    assert status == 206 and response.header("content-range") == "bytes 990-999/1000"
    assert body == bytes(97 + i % 26 for i in range(990, 1000))


@pytest.mark.parametrize("cut", [300, 6000, 31_000])
def test_an_etag_without_quotes_is_no_reason_to_resume(device, httpbin_url, cut):
    """httpbin's ETag is malformed, so If-Range cannot use it: begin anew rather than guess."""
    connector = Sockets(device)
    connector.cuts = [cut]
    result = device.load("fetch").fetch(connector, f"{httpbin_url}/range/32768", "/sd/file.bin")
    assert stored(device) == bytes(97 + i % 26 for i in range(32768))
    assert result.status == 200 and result.attempts == 2


CONTENT = random.Random(8).randbytes(100_000)


@pytest.mark.parametrize("cut", [100, 5000, 40_000, 99_000, 100_200])
def test_resumed_from_aiohttp(device, file_server, cut):
    folder, url = file_server
    (folder / "model.kmodel").write_bytes(CONTENT)
    connector = Sockets(device)
    connector.cuts = [cut]
    result = device.load("fetch").fetch(connector, url + "/model.kmodel", "/sd/file.bin")
    assert stored(device) == CONTENT
    assert result.status == (206 if cut >= 5000 else 200) and result.attempts == 2
    assert (
        device.load("fetch")
        .fetch(Sockets(device), url + "/model.kmodel", "/sd/file.bin", etag=result.etag)
        .not_modified
    )


def test_a_file_that_changed_meanwhile_is_fetched_anew_from_aiohttp(device, file_server):
    folder, url = file_server
    (folder / "x.jpg").write_bytes(CONTENT)
    connector = Sockets(device)
    connector.cuts = [50_000]
    with pytest.raises(device.PixError):
        device.load("fetch").fetch(connector, url + "/x.jpg", "/sd/file.bin", retries=0)
    (folder / "x.jpg").write_bytes(CONTENT[::-1])
    os.utime(folder / "x.jpg", (2_000_000_000, 2_000_000_000))
    board = device.restart()
    board.load("store").recover("/sd")
    result = fetch(board, url + "/x.jpg")
    assert stored(board) == CONTENT[::-1] and result.status == 200


def test_not_modified(device, httpbin_url):
    first = fetch(device, f"{httpbin_url}/etag/abc", etag="")
    assert first.status == 200
    assert fetch(device, f"{httpbin_url}/etag/abc", etag='"abc"').not_modified
    assert fetch(device, f"{httpbin_url}/etag/def", etag='"abc"').status == 200


def test_compressed_though_not_asked(device, httpbin_url):
    error = failing(device, f"{httpbin_url}/gzip")
    assert error.code == "compressed" and "gzip" in error.cause


def test_a_delay_within_and_beyond_the_patience(device, httpbin_url):
    assert fetch(device, f"{httpbin_url}/delay/0.3", idle_ms=5000).status == 200
    device.load("files").remove("/sd/file.bin")
    assert failing(device, f"{httpbin_url}/delay/1", idle_ms=200, retries=0).code == "timeout"


@pytest.mark.parametrize("picture", ["jpeg", "png"])
def test_pictures(device, httpbin_url, picture):
    result = fetch(device, f"{httpbin_url}/image/{picture}")
    assert result.content_type == f"image/{picture}"
    assert stored(device).startswith(b"\xff\xd8" if picture == "jpeg" else b"\x89PNG") and len(stored(device)) > 5000
