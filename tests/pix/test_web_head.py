"""`pix.webreq`: heads of requests at every split point, and what is no head."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

HEAD = (
    b"POST /a%20b/%C3%A4?x=1+2&y=%41&x=3&flag HTTP/1.1\r\nHost: 192.168.4.50\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 5\r\nCookie: a=1\r\nX-Odd:\t  value \r\nCookie: b=2\r\n\r\n"
)


@pytest.fixture(scope="module")
def webreq(pix_modules):
    return pix_modules.load("webreq")


def parse(webreq, *pieces):
    """(request, bytes behind the head) of a head in pieces; (None, b"") when it is not whole."""
    head = webreq.Head()
    for index, piece in enumerate(pieces):
        at = head.feed(piece)
        if head.done:
            return head.request, piece[at:] + b"".join(pieces[index + 1 :])
        assert at == len(piece)
    return None, b""


def refusal(webreq, data):
    """The status with which a head is refused, in one piece and byte by byte; None when it is taken or not whole."""
    found = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        try:
            parse(webreq, *pieces)
            found.append(None)
        except webreq.WebError as error:
            found.append(error.code)
    assert found[0] == found[1], found
    return found[0]


def test_a_head_is_the_same_at_every_split(webreq):
    for split in range(len(HEAD) + 1):
        request, rest = parse(webreq, HEAD[:split], HEAD[split:] + b"hello")
        assert rest == b"hello"
        assert (request.method, request.path, request.version, request.length) == ("POST", "/a b/ä", (1, 1), 5)
        assert request.query.pairs == [("x", "1 2"), ("y", "A"), ("x", "3"), ("flag", "")]
        assert request.query["x"] == "1 2" and request.query.all("x") == ["1 2", "3"]
        assert request.header("X-ODD") == "value" and request.header("cookie") == "a=1; b=2"
        assert request.kind == "text/plain"


def test_line_feeds_alone_and_empty_lines_in_front_are_taken(webreq):
    request, _ = parse(webreq, b"\r\n\r\n" + HEAD.replace(b"\r\n", b"\n"))
    assert request.path == "/a b/ä" and request.header("host") == "192.168.4.50"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.0\r\n\r\n", None),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET / HTTP/1.12\r\n", 400),
        (b"GET / http/1.1\r\n", 400),
        (b"GET  / HTTP/1.1\r\n", 400),
        (b"G@T / HTTP/1.1\r\n", 400),
        (b"GET index HTTP/1.1\r\n", 400),
        (b"GET http://board/x HTTP/1.1\r\nHost: board\r\n\r\n", None),
        (b"GET /\xc3\xa4 HTTP/1.1\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\n", 400),
        (b"GET /%4 HTTP/1.1\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\n", 400),
        (b"GET /a/../b HTTP/1.1\r\n", 400),
        (b"GET /a/%2e%2E/b HTTP/1.1\r\n", 400),
        (b"GET /a%5cb HTTP/1.1\r\n", 400),
        (b"GET /..%2fb HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\x00\x00\x00", 400),
        (b"\r\n" * 6, 400),
        (b"GET /" + b"x" * 1100, 414),
        (b"GET /" + b"x" * 900 + b" HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * 1100, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 4000 + b"\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 4000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"z" * 2000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_wherever_it_is_cut(webreq, data, status):
    assert refusal(webreq, data) == status


def test_a_long_head_is_held_in_little_memory(webreq):
    head = webreq.Head()
    head.feed(b"GET / HTTP/1.1\r\nHost: a\r\n")
    with pytest.raises(webreq.WebError) as refused:
        for _ in range(2000):
            head.feed(b"X-%d: " % random.Random(1).randrange(9) + b"y" * 490 + b"\r\n")
            assert sum(len(key) + len(value) for key, value in head.request.headers.items()) < 3000
    assert refused.value.code == 431


@given(st.lists(st.binary(max_size=200), max_size=12))
def test_junk_is_taken_or_refused_and_nothing_else(webreq, pieces):
    try:
        parse(webreq, *pieces)
    except webreq.WebError as error:
        assert 400 <= error.code < 600


@given(st.binary(max_size=60))
def test_queries_of_any_bytes_are_pairs_of_text(webreq, data):
    assert all(isinstance(text, str) for pair in webreq.pairs_of(data) for text in pair)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ('form-data; name="a"; filename="b;c.jpg"', "filename", "b;c.jpg"),
        ('form-data; name="a"; filename="b\\"c"', "filename", 'b"c'),
        ('form-data; name="a"; filename="b%22c"', "filename", 'b"c'),
        ("form-data; name=a", "name", "a"),
        ("form-data", "name", None),
        ('multipart/form-data; charset=utf-8; boundary="x y"', "boundary", "x y"),
    ],
)
def test_attributes_of_a_field(webreq, text, name, value):
    assert webreq.attribute(text, name) == value
