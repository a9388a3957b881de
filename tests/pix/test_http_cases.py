"""Answers of ordinary servers, from public reports: whole raw answers in cases/, and more of their kinds.

Longer than 350 lines: one table of answers after another.
"""

import base64
import gzip
import io
import itertools
import re
from pathlib import Path

import pytest
from PIL import Image

from rig.fetching import OLD, failing, fetch
from rig.links import Sockets
from rig.servers import field

CASES = Path(__file__).parent / "cases"
OK = b"HTTP/1.1 200 OK\r\n"


def jpeg(size=(64, 48), colour=(200, 30, 30)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


PICTURE = jpeg()
LENGTH = b"Content-Length: %d\r\n" % len(PICTURE)


def case(name):
    return (CASES / name).read_bytes()


def picture_of(answer):
    """The JPEG in a raw answer whose body is sent as it is."""
    return answer.partition(b"\r\n\r\n")[2]


def answering(data):
    return lambda connection, head: connection.sendall(data)


def looks(path):
    """A check as the panel's: it makes a fetch one of a picture."""


@pytest.mark.parametrize("name", ["csp-3600-bytes", "content-encoding-none"])
def test_answers_that_are_fine(shown, raw_server, name):
    server = raw_server(answering(case(name)))
    fetch(shown, server.url("/show.jpg"), check=looks)
    assert shown.listing() == {"show.jpg": picture_of(case(name))}


def test_a_line_end_behind_the_picture(shown, raw_server):
    server = raw_server(answering(case("crlf-after-body")))
    fetch(shown, server.url("/show.jpg"), check=looks)
    assert shown.listing() == {"show.jpg": picture_of(case("crlf-after-body")).removesuffix(b"\r\n")}


def chunks(data, end=b"\r\n"):
    middle = len(data) // 2
    return b"".join(b"%x" % len(part) + end + part + end for part in (data[:middle], data[middle:], b""))


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"
UNUSUAL = {
    "chunk lines without CR below a head that has them": CHUNKED + b"\r\n" + chunks(PICTURE, b"\n"),
    "chunked by server and proxy": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(PICTURE),
    "chunked twice in a field": OK + b"Transfer-Encoding: chunked, Chunked\r\n\r\n" + chunks(PICTURE),
    "what a proxy heard": OK + b"X-Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + PICTURE,
    "a policy that says chunked": OK + b"Content-Security-Policy: a;\r\n b chunked\r\n" + LENGTH + b"\r\n" + PICTURE,
    "a range of everything": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-%d/%d\r\n\r\n"
    % (len(PICTURE) - 1, len(PICTURE)) + PICTURE,
}  # fmt: skip


@pytest.mark.parametrize("kind", UNUSUAL)
def test_answers_that_are_unusual_and_clear(shown, raw_server, kind):
    fetch(shown, raw_server(answering(UNUSUAL[kind])).url("/show.jpg"), check=looks)
    assert shown.listing() == {"show.jpg": PICTURE}


def test_a_range_of_everything_that_is_cut_short(shown, raw_server):
    answer = UNUSUAL["a range of everything"][:-20]
    assert failing(shown, raw_server(answering(answer)).url("/show.jpg"), retries=0).code == "truncated"


def test_a_file_without_a_head_is_no_http(shown, raw_server):
    assert failing(shown, raw_server(answering(PICTURE)).url("/show.jpg")).code == "not-http"


def test_chunks_win_over_a_length(shown, raw_server):
    server = raw_server(answering(case("length-and-chunked")))
    fetch(shown, server.url("/show.jpg"), check=looks)
    assert shown.listing() == {"show.jpg": picture_of(case("csp-3600-bytes"))}


@pytest.mark.parametrize(
    "coding",
    [b"", b"identity", b"none", b"None", b"identity, none", b" ", b"UTF-8", b"binary", b"aws-chunked", b"image/jpeg"],
)
def test_content_encodings_that_are_none(shown, raw_server, coding):
    fetch(
        shown, raw_server(answering(OK + b"Content-Encoding: " + coding + b"\r\n" + LENGTH + b"\r\n" + PICTURE)).url()
    )
    assert shown.listing() == {"show.jpg": PICTURE}


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate", b"x-gzip", b"identity, gzip"])
def test_what_is_compressed_unasked_is_told_with_the_way_out(shown, raw_server, coding):
    data = case("gzip-not-asked").replace(b": gzip", b": " + coding)
    error = failing(shown, raw_server(answering(data)).url("/show.jpg"), check=looks)
    assert error.code == "compressed" and "maixpix serve" in error.remedy and "ompressed" in error.cause
    assert shown.listing() == {"show.jpg": OLD}
    assert gzip.decompress(picture_of(case("gzip-not-asked")))[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        (b"/\xe7\x8c\xab.jpg", b"/%E7%8C%AB.jpg"),
        (b"/caf\xe9.jpg", b"/caf%E9.jpg"),
        (b"\r\n\t/folded.jpg", b"/folded.jpg"),
        (b"/a b.jpg", b"/a%20b.jpg"),
        (b"/already%20.jpg", b"/already%20.jpg"),
        (b"?n=\xc3\xbc", b"/?n=%C3%BC"),
    ],
)
def test_redirects_to_any_bytes(shown, raw_server, location, asked):
    answers = [b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"]
    server = raw_server(lambda c, head: c.sendall(answers.pop() if answers else OK + LENGTH + b"\r\n" + PICTURE))
    fetch(shown, server.url("/"))
    assert server.requests[1].split()[1] == asked
    assert shown.listing() == {"show.jpg": PICTURE}


def test_the_case_of_the_redirect(shown, raw_server):
    answers = [case("redirect-utf8")]
    server = raw_server(lambda c, head: c.sendall(answers.pop() if answers else OK + LENGTH + b"\r\n" + PICTURE))
    fetch(shown, server.url("/"))
    assert server.requests[1].startswith(b"GET /%E7%8C%AB.jpg ")


# -- live streams -------------------------------------------------------------------------------------------


def repeated(head, body, chunked=False):
    """An answer whose body comes again and again until the client leaves."""

    def answer(connection, request):
        connection.sendall(head)
        for _ in range(5000):
            connection.sendall(b"%x\r\n%s\r\n" % (len(body), body) if chunked else body)

    return answer


def test_the_case_of_the_camera(shown, raw_server):
    head, _, body = case("camera-stream.http").partition(b"\r\n\r\n")
    server = raw_server(repeated(head + b"\r\n\r\n", body))
    fetch(shown, server.url("/stream"), check=looks)
    assert shown.listing() == {"show.jpg": picture_of(case("csp-3600-bytes"))}


TYPE = b"Content-Type: multipart/x-mixed-replace; boundary=%s\r\n"
STREAMS = {
    "without lengths": (b"frame", b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n"),
    "dashes in the boundary": (b"--frame", b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n"),
    "dashes before those of the boundary": (b"--f", b"\r\n\r\n----f\r\n" + LENGTH + b"\r\n" + PICTURE),
    "another boundary than told": (b"x", b"--f y\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n"),
    "a boundary that is not told": (b"", b"--f\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n"),
    "no dashes at all": (b"frame", b"frame\r\nContent-Type: image/jpeg\r\n" + LENGTH + b"\r\n" + PICTURE + b"\r\n"),
    "quoted": (b'"a b"', b"--a b\r\n\r\n" + PICTURE + b"\r\n"),
    "bare line feeds": (b"f", b"--f\nContent-type: image/jpeg\n\n" + PICTURE + b"\n"),
    "words first": (b"f", b"--f\r\nContent-Type: text/plain\r\n\r\nwait\r\n--f\r\n\r\n" + PICTURE + b"\r\n"),
    "in the middle of a picture": (b"f", PICTURE[300:] + b"\r\n--f\r\n\r\n" + PICTURE + b"\r\n--f\r\n\r\n"),
    "many fields": (b"f", b"--f\r\n" + b"X-A: b\r\n" * 300 + b"CONTENT-LENGTH:%d\r\n\r\n" % len(PICTURE) + PICTURE),
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", STREAMS)
def test_the_first_whole_picture_of_a_stream(shown, raw_server, kind, chunked):
    boundary, body = STREAMS[kind]
    head = OK + TYPE % boundary + (b"Transfer-Encoding: chunked\r\n" if chunked else b"") + b"\r\n"
    server = raw_server(repeated(head, body, chunked))
    fetch(shown, server.url("/stream"))
    assert shown.listing() == {"show.jpg": PICTURE}
    assert len(server.requests) == 1


@pytest.mark.parametrize("dashes", [b"--", b""])
def test_a_picture_of_a_stream_has_the_length_that_is_told(shown, raw_server, dashes):
    def served(picture, told):
        part = dashes + b"f\r\nContent-Length: %d\r\n\r\n" % told + picture + b"\r\n"
        return raw_server(repeated(OK + TYPE % b"f" + b"\r\n", part)).url("/")

    padded = PICTURE + bytes(7)
    fetch(shown, served(padded, len(padded)))
    assert shown.listing() == {"show.jpg": padded}
    for told in (len(PICTURE) + 9, len(PICTURE) - 9):
        assert failing(shown, served(PICTURE, told), retries=0).code == "truncated"
    assert shown.listing() == {"show.jpg": padded}


def test_every_split_of_a_stream(device):
    from rig.links import Bytes

    body = STREAMS["words first"][1] * 2
    content, http = device.load("content"), device.load("http")
    data = OK + TYPE % b"f" + b"\r\n" + body
    for size in (1, 2, 3, 5, 17, 64, 511, 512, 513, 4000):
        response = http.Response(Bytes([data[i : i + size] for i in range(0, len(data), size)]))
        response.read_head()
        still = content.Still(response, content.boundary_of(response), lambda: None)
        buffer, got = bytearray(100), b""
        while count := still.readinto(buffer):
            got += buffer[:count]
        assert got == PICTURE, size


def test_a_stream_without_pictures_or_without_end_is_told(shown, raw_server):
    words = raw_server(repeated(OK + TYPE % b"f" + b"\r\n", b"--f\r\nContent-Type: text/plain\r\n\r\nx\r\n"))
    assert failing(shown, words.url("/")).code == "endless"
    for body in (b"--f\r\n\r\n\xff\xd8" + bytes(3000), b"\xff\xd8" + bytes(3000)):
        kind = TYPE % b"f" if body[:2] == b"--" else b"Content-Type: image/jpeg\r\n"
        server = raw_server(repeated(OK + kind + b"\r\n", body))
        error = failing(shown, server.url("/"), body_kb=64, retries=1)
        assert error.code == "endless" and re.search(r": 6[4-8] kB in", error.cause) and "emove" not in error.remedy
        assert len(server.requests) == 1 and shown.listing() == {"show.jpg": OLD}


def test_a_stream_on_a_card_that_is_nearly_full_is_not_the_cards_fault(shown, raw_server):
    shown.card.fill(leave_free=400_000)
    server = raw_server(repeated(OK + b"\r\n", b"\xff\xd8" + bytes(3000)))
    error = failing(shown, server.url("/"))
    assert error.code == "endless" and "card" not in error.cause + error.remedy
    assert shown.listing() == {"show.jpg": OLD}


@pytest.mark.parametrize("kind", [b"audio/mpeg", b"Video/mp4"])
def test_sound_and_film_are_no_pictures(shown, raw_server, kind):
    server = raw_server(repeated(OK + b"Content-Type: " + kind + b"\r\n\r\n", bytes(4000)))
    error = failing(shown, server.url("/show.jpg"))
    assert error.code == "not-picture" and kind.decode() in error.cause and len(server.requests) == 1


def test_more_than_the_whole_card_is_not_the_cards_fault(shown, raw_server):
    server = raw_server(repeated(OK + b"Content-Length: 999999999999\r\n\r\n", PICTURE))
    error = failing(shown, server.url("/show.jpg"))
    assert error.code == "too-much" and "emove" not in error.remedy and "953674 MB" in error.cause
    assert shown.listing() == {"show.jpg": OLD}


def test_a_slow_stream_ends_by_time(shown, raw_server):
    server = raw_server(repeated(OK + b"\r\n", b"x" * 100))

    def hurry(done, total):
        shown.skipped_ms += 2000

    error = failing(shown, server.url("/"), progress=hurry, body_s=5)
    assert error.code == "endless" and "kB in" in error.cause


# -- web pages in a picture's place ---------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html>\n<html><head><title>\n Sign in to\tcaf\xc3\xa9 </title></head></html>"


def page(body=PAGE, kind=b"text/html; charset=utf-8"):
    return OK + b"Content-Type: " + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (page(), "200 Sign in to caf??"),
        (page(b"\xef\xbb\xbf\r\n <HTML><body>x", b"image/jpeg"), "200"),
        (page(b"Please wait", b"text/html"), "200"),
        (page(b"<script>x</script><TITLE a=b>T</TITLE>", b"text/plain"), "200 T"),
    ],
)
def test_a_page_is_named_with_status_and_title(shown, raw_server, answer, told):
    error = failing(shown, raw_server(answering(answer)).url("/show.jpg"))
    assert error.code == "web-page" and error.cause.endswith(": " + told)
    assert failing(shown, raw_server(answering(answer)).url("/"), check=looks).code == "web-page"
    assert shown.listing() == {"show.jpg": OLD}


def test_a_picture_that_is_called_a_page_is_a_picture(shown, raw_server):
    fetch(shown, raw_server(answering(page(PICTURE, b"text/html"))).url("/show.jpg"), check=looks)
    assert shown.listing() == {"show.jpg": PICTURE}


def test_a_page_is_a_file_to_those_who_want_one(device, raw_server):
    fetch(device, raw_server(answering(page())).url("/index.html"))
    assert device.listing() == {"show.jpg": PAGE}


def test_a_login_page_in_the_way(shown, raw_server):
    portal = raw_server(answering(page()))
    for status in (b"302 Found", b"307 Temporary Redirect", b"303 See Other"):
        answer = b"HTTP/1.1 " + status + b"\r\nLocation: http://localhost:%d/login\r\n\r\n" % portal.port
        error = failing(shown, raw_server(answering(answer)).url("/show.jpg"), check=looks)
        assert error.code == "login-page" and "login in a browser" in error.cause and "localhost" in error.cause
    answer = b"HTTP/1.1 511 Network Authentication Required\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE
    assert failing(shown, raw_server(answering(answer)).url("/show.jpg")).code == "login-page"
    assert shown.listing() == {"show.jpg": OLD}


# -- secrets -------------------------------------------------------------------------------------------------


def test_no_field_of_the_caller_leaves_its_origin(device, raw_server):
    second = raw_server(answering(OK + LENGTH + b"\r\n" + PICTURE))
    first = raw_server(answering(b"HTTP/1.1 302 X\r\nLocation: %s\r\n\r\n" % second.url("/z").encode()))
    fetch(device, first.url("/"), token="s3cret", headers=[("X-Api-Key", "k3y"), ("Private-Token", "t0ken")])
    assert field(first.requests[0], "X-Api-Key") == "k3y" and b"s3cret" in first.requests[0]
    assert not any(word in second.requests[0] for word in (b"s3cret", b"k3y", b"t0ken"))


# -- damage -------------------------------------------------------------------------------------------------


def replies():
    yield OK + b"Server: a\r\n" + LENGTH + b'ETag: "v1"\r\n\r\n' + PICTURE
    middle = len(PICTURE) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (PICTURE[:middle], PICTURE[middle:]))
    yield OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX: y\r\n\r\n"
    digest = base64.b64encode(bytes(32))
    yield OK + LENGTH + b"Repr-Digest: sha-256=:" + digest + b":\r\nContent-Encoding: identity\r\n\r\n" + PICTURE
    yield b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"
    yield case("camera-stream.http")


def mutations(data):
    """Every byte of the head changed, left out, doubled; every end."""
    head = data.index(b"\r\n\r\n") + 4
    for at in range(min(len(data), head + 40)):
        for value in (data[at] ^ 1, data[at] ^ 0x20, data[at] ^ 0x80, 0, 10, 13):
            yield data[:at] + bytes([value]) + data[at + 1 :]
        yield data[:at] + data[at + 1 :]
        yield data[:at] + data[at : at + 1] * 2 + data[at + 1 :]
        yield data[:at]
    for at in range(head, len(data), 97):
        yield data[:at]


def test_damaged_answers_end_in_a_body_or_a_named_error(pix_modules):
    """The whole way of an answer without a card: never an exception other than PixError."""
    from rig.links import Bytes

    content, http, resume = (pix_modules.load(name) for name in ("content", "http", "resume"))
    count = 0
    for data in itertools.chain.from_iterable(mutations(reply) for reply in replies()):
        count += 1
        response = http.Response(Bytes([data]))
        buffer, got = bytearray(512), b""
        try:
            response.read_head()
            response.location()
            content.check_coding(response)
            resume.strong_validator(response)
            resume.repr_digest(response.header("repr-digest"))
            boundary = content.boundary_of(response)
            source = response if boundary is None else content.Still(response, boundary, lambda: None)
            while n := source.readinto(buffer):
                got += buffer[:n]
            content.page_title(got[:4096], response.header("content-type"))
            if source is response:
                response.drain()
        except pix_modules.PixError as error:
            assert error.code != "internal"
    assert count > 4000


def test_a_redirect_through_sockets_keeps_to_its_connector(shown, raw_server):
    answers = [case("redirect-utf8")]
    server = raw_server(lambda c, head: c.sendall(answers.pop() if answers else OK + LENGTH + b"\r\n" + PICTURE))
    connector = Sockets(shown)
    fetch(shown, server.url("/"), connector)
    assert connector.calls == [("127.0.0.1", server.port)] * 2 and all(link.closed for link in connector.links)
