"""pix.httpwire and pix.http.Response against h11, at every split, and against what RFC 9112 forbids."""

import re
from itertools import pairwise

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rig.device import PIX
from rig.links import Bytes

relaxed = settings(max_examples=150)


def ours(modules, pieces, method="GET", size=4096):
    """(status, body), or the code of the error."""
    http, error = modules.load("http"), modules.PixError
    response = http.Response(Bytes(pieces), method)
    buffer = bytearray(size)
    body = b""
    try:
        status = response.read_head()
        while got := response.readinto(buffer):
            body += buffer[:got]
    except error as e:
        return e.code
    assert response.done and response.body == len(body)
    return status, body


# What h11 calls a RemoteProtocolError.
BROKEN = ("not-http", "http-version", "bad-head", "head-too-long", "bad-length", "bad-chunks", "transfer-coding")


def ours_as_theirs(*args):
    """`ours` with one code for all that breaks the protocol."""
    mine = ours(*args)
    return "bad-response" if mine in BROKEN else mine


def theirs(data, method="GET"):
    """The same by h11."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=16384)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(data)
        ended = False
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if ended:
                    return "truncated"
                connection.receive_data(b"")
                ended = True
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return status, body
            elif isinstance(event, h11.ConnectionClosed):
                return "truncated"
    except h11.RemoteProtocolError as e:
        # The last of these is an end right behind an interim response.
        endings = ("without sending complete message", "unexpectedly", "event type ConnectionClosed")
        return "truncated" if any(ending in str(e) for ending in endings) else "bad-response"


def split(data, cuts):
    edges = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


# -- generated responses ------------------------------------------------------------------------------------

token = st.text("abcXYZ019-_!~", min_size=1, max_size=12)
value = st.text([chr(c) for c in (*range(0x20, 0x7F), 0x09, 0xE9)], max_size=20)
line_end = st.sampled_from(["\r\n", "\r\n", "\n"])


@st.composite
def responses(draw):
    """(bytes, method) of a response that is mostly right: the odd field is damaged."""
    end = draw(line_end)
    code = draw(st.sampled_from([200, 200, 200, 206, 204, 304, 404, 500, 999]))
    method = draw(st.sampled_from(["GET", "GET", "GET", "HEAD"]))
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    body = draw(st.binary(max_size=200))
    out = ""
    for _ in range(draw(st.integers(0, 2))):
        out += f"HTTP/1.1 {draw(st.sampled_from([100, 102, 103]))} Wait{end}{end}"
    out += f"HTTP/{version} {code}{draw(st.sampled_from([' OK', ' ', '', ' Not found at all']))}{end}"
    for name, text in draw(st.lists(st.tuples(token, value), max_size=4)):
        out += f"{name}:{draw(st.sampled_from(['', ' ', ' ' + chr(9)]))}{text}{end}"
        if draw(st.integers(0, 9)) == 0:
            out += f" folded {text}{end}"
    framing = draw(st.sampled_from(["length", "length", "chunked", "chunked", "close", "twice", "odd"]))
    name = draw(st.sampled_from(["Content-Length", "content-length", "CONTENT-LENGTH"]))
    if framing == "chunked" and version == "1.1":
        out += f"transfer-ENCODING: {draw(st.sampled_from(['chunked', 'CHUNKED', 'gzip', 'chunked, gzip']))}{end}{end}"
        data = out.encode("latin-1")
        pieces = draw(st.lists(st.binary(min_size=1, max_size=60), max_size=5))
        for piece in pieces:
            size = draw(st.sampled_from([b"%x", b"%X", b"00%x"])) % len(piece)
            extension = draw(st.sampled_from([b"", b"", b";a=b", b';q="x;y"', b" "]))
            data += size + extension + b"\r\n" + piece + draw(st.sampled_from([b"\r\n"] * 20 + [b"\n", b"x\r\n"]))
        data += b"0\r\n" + draw(st.sampled_from([b"", b"", b"Trailer: x\r\n", b"Content-Length: 5\r\n"])) + b"\r\n"
    else:
        told = len(body) + draw(st.sampled_from([0] * 8 + [1, 50]))
        if framing == "length":
            out += f"{name}: {told}{end}"
        elif framing == "twice":
            out += f"{name}: {told}, {draw(st.sampled_from([told, told, told + 1]))}{end}"
        elif framing == "odd":
            out += f"{name}: {draw(st.sampled_from(['-1', '+1', '0x10', '', '1 2', '1_0', '²']))}{end}"
        data = (out + end).encode("latin-1") + body
        if framing in ("length", "twice"):
            data = data[: len(out + end) + told]
    if draw(st.integers(0, 9)) == 0 and data:
        data = data[: draw(st.integers(0, len(data)))]
    return data, method


@relaxed
@example(response=(b"HTTP/1.1 100 Wait\r\n\r\n", "GET"), cuts=[], size=1)
@given(response=responses(), cuts=st.lists(st.integers(0, 10000), max_size=6), size=st.integers(1, 64))
def test_same_as_h11_in_any_split(pix_modules, response, cuts, size):
    data, method = response
    mine, oracle = ours_as_theirs(pix_modules, split(data, cuts), method, size), theirs(data, method)
    if not data:
        assert mine == "link-lost"
    elif (mine, oracle) != ("bad-response", "truncated"):
        # h11 judges a head only when the whole of it is there; we refuse at the first wrong line.
        assert mine == oracle


@relaxed
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 10000), max_size=6))
@example(data=b"HTTP/1.1 200 OK\r\n\r\n\r\n", cuts=[])
def test_any_bytes_end_in_a_body_or_a_named_error(pix_modules, data, cuts):
    mine = ours(pix_modules, split(data, cuts))
    assert mine in (*BROKEN, "truncated", "link-lost") or mine[0] >= 200


EVERYTHING = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 103\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nServer: a\r\n b\r\nTRANSFER-encoding:\t Chunked \r\n\r\n"
    b"5;name=value\r\nhello\r\n00C \r\n to the world\r\n0\r\nTrailer: kept out\r\n\r\n".replace(b"00C", b"00D")
)


def test_every_split_point_gives_the_same(pix_modules):
    whole = ours(pix_modules, [EVERYTHING])
    assert whole == (200, b"hello to the world") == theirs(EVERYTHING)
    for at in range(1, len(EVERYTHING)):
        assert ours(pix_modules, [EVERYTHING[:at], EVERYTHING[at:]]) == whole, at
    assert ours(pix_modules, [EVERYTHING[i : i + 1] for i in range(len(EVERYTHING))], size=3) == whole


def test_every_truncation_is_an_error(pix_modules):
    for at in range(1, len(EVERYTHING)):
        assert ours(pix_modules, [EVERYTHING[:at]]) == "truncated", at
    fixed = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789"
    for at in range(1, len(fixed)):
        assert ours(pix_modules, [fixed[:at]]) == "truncated", at


# -- what RFC 9112 says, and where we are stricter than h11 --------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"

REFUSED_BY_BOTH = {
    "space before the colon": HEAD + b"Content-Length : 2\r\n\r\nhi",
    "empty name": HEAD + b": x\r\n\r\n",
    "name with a slash": HEAD + b"a/b: x\r\n\r\n",
    "no colon": HEAD + b"nonsense\r\n\r\n",
    "first line folded": HEAD + b" x: y\r\n\r\n",
    "NUL in a value": HEAD + b"a: b\0c\r\n\r\n",
    "CR in a line": HEAD + b"a: b\rc\r\n\r\n",
    "conflicting lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "conflicting lengths in one": HEAD + b"Content-Length: 2, 3\r\n\r\nhi!",
    "negative length": HEAD + b"Content-Length: -2\r\n\r\nhi",
    "hexadecimal length": HEAD + b"Content-Length: 0x2\r\n\r\nhi",
    "empty length": HEAD + b"Content-Length:\r\n\r\nhi",
    "unknown coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "negative chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "empty chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n;x\r\n\r\n",
    "chunk longer than told": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "chunk line ends with LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n",
    "chunk ends with LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\n0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switch\r\n\r\n",
    "not HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
}

REFUSED_BY_US_ONLY = {
    "a line feed too many": HEAD + b"X: y\r\n\nContent-Length: 0\r\n\r\n",
    "a damaged name of Transfer-Encoding": HEAD + b"Transfer-Encoling: chunked\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0 in a status line": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a field that is read, of 3000 bytes": HEAD + b"etag: " + 3000 * b"x" + b"\r\nContent-Length: 0\r\n\r\n",
    "65 fields that are read": HEAD + 65 * b"etag: x\r\n" + b"Content-Length: 0\r\n\r\n",
    "length of 19 digits": HEAD + b"Content-Length: 0000000000000000000\r\n\r\n",
    "21 interim responses": 21 * b"HTTP/1.1 100 Go\r\n\r\n" + HEAD + b"Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("case", REFUSED_BY_BOTH)
def test_refused_as_by_h11(pix_modules, case):
    assert theirs(REFUSED_BY_BOTH[case]) == "bad-response"
    assert ours_as_theirs(pix_modules, [REFUSED_BY_BOTH[case]]) == "bad-response"


@pytest.mark.parametrize("case", REFUSED_BY_US_ONLY)
def test_stricter_than_h11(pix_modules, case):
    assert theirs(REFUSED_BY_US_ONLY[case])[0] == 200
    assert ours(pix_modules, [REFUSED_BY_US_ONLY[case]]) in BROKEN


ODD = {
    "length and chunks": HEAD + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "a wrong length and chunks": HEAD + b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
    "identity and chunked": HEAD + b"Transfer-Encoding: identity, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.9": b"HTTP/1.9 200\r\nContent-Length: 2\r\n\r\nhi",
    "an empty line first": b"\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi",
    "an empty line between": b"HTTP/1.1 100 Go\r\n\r\n\n" + HEAD + b"Content-Length: 2\r\n\r\nhi",
    "line ends behind": HEAD + b"Content-Length: 2\r\n\r\nhi\r\n",
    "a field of 60 kB": HEAD + b"Content-Security-Policy: " + 60_000 * b"x" + b"\r\nContent-Length: 2\r\n\r\nhi",
    "a long folded field": HEAD + b"X: a\r\n" + 40 * (b" " + 1000 * b"y" + b"\r\n") + b"Content-Length: 2\r\n\r\nhi",
    "2000 fields": HEAD + b"".join(b"n%d: x\r\n" % i for i in range(2000)) + b"Content-Length: 2\r\n\r\nhi",
    "a length folded behind its colon": HEAD + b"Content-Length:\r\n 2\r\n\r\nhi",
    "a length like a skipped field": HEAD + b"X: y\r\n Content-Length: 9\r\nContent-Length: 2\r\n\r\nhi",
    "chunk lines without any CR": HEAD + b"Transfer-Encoding: chunked\n\n2\nhi\n0\n\n",
    "trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: " + 9000 * b"y" + b"\r\n z\r\n\r\n",
    "a size with many zeros": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 40 * b"0" + b"2 ;a\r\nhi\r\n0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_odd_but_read_whole_and_in_any_split(pix_modules, case):
    data = ODD[case]
    assert ours(pix_modules, [data]) == (200, b"hi")
    for size in (1, 7, 512, 1460):
        assert ours(pix_modules, [data[i : i + size] for i in range(0, len(data), size)]) == (200, b"hi"), size


TROUBLES = {
    b"220 mail.example ESMTP\r\n": "not-http",
    b"SSH-2.0": "not-http",
    b"ICY 200 OK\r\n\r\n": "not-http",
    b"<html>no head, like HTTP/0.9</html>": "not-http",
    b"\x15\x03\x01\x00\x02\x02\x46": "not-http",
    b"\r\n\r\n\r\n\r\n\r\n\r\n": "not-http",
    b"HTTP/2.0 200 OK\r\n\r\n": "http-version",
    b"HTTP/1.10 200 OK\r\n\r\n": "http-version",
    b"HTTP/1.1 101 Switch\r\n\r\n": "http-version",
    b"HTTP/1.1 20 OK\r\n\r\n": "bad-head",
    b"HTTP/1.1 2000 OK\r\n\r\n": "bad-head",
    HEAD + b"X: a\0b\r\n\r\n": "bad-head",
    HEAD + b"X: " + 3000 * b"x" + b"\0" + 3000 * b"x" + b"\r\n\r\n": "bad-head",
    HEAD + b"X: " + 3000 * b"x" + b"\r" + 3000 * b"x" + b"\r\n\r\n": "bad-head",
    HEAD + 70 * (b"X: " + 1000 * b"x" + b"\r\n") + b"\r\n": "head-too-long",
    HEAD + b"ETag: " + 3000 * b"x" + b"\r\n\r\n": "head-too-long",
    HEAD + b"ETag: a\r\n" + 40 * (b" " + 100 * b"x" + b"\r\n") + b"\r\n": "head-too-long",
    HEAD + b"Content-Length: -1\r\n\r\n": "bad-length",
    HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab": "bad-length",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n": "transfer-coding",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab\r\n0\r\n\r\n": "truncated",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n": "bad-chunks",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n": "bad-chunks",
}


@pytest.mark.parametrize("data", TROUBLES, ids=lambda data: f"{TROUBLES[data]}-{data[-24:]}")
def test_each_trouble_has_its_own_code_in_any_split(pix_modules, data):
    assert ours(pix_modules, [data]) == TROUBLES[data]
    assert ours(pix_modules, [data[i : i + 1] for i in range(len(data))]) == TROUBLES[data]
    remedy = pix_modules.PixError(TROUBLES[data]).remedy
    assert ("port is that of a web server" in remedy) == (TROUBLES[data] == "not-http")


def test_a_location_is_percent_encoded_byte_by_byte(pix_modules):
    for told, text in (
        (b"/\xe7\x8c\xab.jpg", "/%E7%8C%AB.jpg"),
        (b"/caf\xe9.jpg", "/caf%E9.jpg"),
        (b"\r\n /x%20y.jpg", "/x%20y.jpg"),
        (b"http://pc/\xff", "http://pc/%FF"),
    ):
        data = HEAD + b"Location: " + told + b"\r\nContent-Length: 0\r\n\r\n"
        response = pix_modules.load("http").Response(Bytes([data]))
        response.read_head()
        assert response.location() == text


def test_two_locations_are_none(pix_modules):
    for first, second, good in ((b"/a", b"/a", True), (b"/a", b"/b", False)):
        data = HEAD + b"Location: %s\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (first, second)
        response = pix_modules.load("http").Response(Bytes([data]))
        response.read_head()
        if good:
            assert response.location() == "/a"
        else:
            with pytest.raises(pix_modules.PixError) as e:
                response.location()
            assert e.value.code == "bad-head"


def test_every_field_that_pix_asks_for_is_read(pix_modules):
    asked = set()
    for path in PIX.glob("*.py"):
        if path.name.startswith(("web", "port")):
            continue  # the board's own service has a parser of its own
        asked |= set(re.findall(r'(?:header|exact|field|_values)\(b?"([a-z-]+)"', path.read_text()))
    assert {name.encode() for name in asked} == set(pix_modules.load("httpwire").READ)


def test_a_flood_of_header_is_refused_before_it_is_held(pix_modules):
    for flood in (b"x" * 500, b"a: b\r\n" * 80, b" fold\r\n" * 80, b"etag: b\r\n" * 50):
        link = Bytes([HEAD + b"a: b\r\n", *[flood] * 1000])
        response = pix_modules.load("http").Response(link)
        with pytest.raises(pix_modules.PixError) as e:
            response.read_head()
        assert e.value.code in ("head-too-long", "bad-head")
        assert response.received < 67_000 and sum(len(value) for _, value in response.fields) < 10_000


def test_endless_chunk_extension_and_trailers_are_refused(pix_modules):
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert ours(pix_modules, [head + b"1;" + b"x" * 4000]) == "bad-chunks"
    assert ours(pix_modules, [head + b"0\r\n" + b"a: b\r\n" * 20_000]) == "head-too-long"


def test_many_small_chunks_are_no_flood(pix_modules):
    data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 20_000 * b"1\r\nx\r\n" + b"0\r\n\r\n"
    assert ours(pix_modules, split(data, range(0, len(data), 1460))) == (200, 20_000 * b"x")


# -- the response -------------------------------------------------------------------------------------------


def test_the_body_goes_straight_into_the_callers_buffer(pix_modules):
    body = bytes(range(256)) * 40
    link = Bytes([HEAD + b"Content-Length: %d\r\n\r\n" % len(body), *split(body, range(0, 10240, 1460))])
    response = pix_modules.load("http").Response(link)
    assert response.read_head() == 200 and response.length == len(body)
    link.direct.clear()
    buffer = bytearray(4096)
    got = b""
    while n := response.readinto(buffer):
        got += buffer[:n]
    assert got == body
    assert link.direct[0] == 4096, "the link was given the caller's buffer, not a scratch one"
    assert response.received == len(HEAD) + len(b"Content-Length: 10240\r\n\r\n") + len(body)


def test_never_reads_behind_the_content(pix_modules):
    link = Bytes([HEAD + b"Content-Length: 3\r\n\r\n", b"abc", b"next"])
    response = pix_modules.load("http").Response(link)
    response.read_head()
    buffer = bytearray(100)
    assert response.readinto(buffer) == 3
    assert response.readinto(buffer) == 0
    assert response.drain() == 4 == response.drain()


def test_one_line_end_behind_the_content_is_nothing(pix_modules):
    for pieces in ([b"abc\r\n"], [b"abc", b"\r\n"], [b"abc", b"\r", b"\n"], [b"abc\r", b"\n"]):
        response = pix_modules.load("http").Response(Bytes([HEAD + b"Content-Length: 3\r\n\r\n", *pieces]))
        response.read_head()
        assert response.readinto(bytearray(100)) == 3 and response.readinto(bytearray(100)) == 0
        assert response.drain() == 0
    # Anything else may be the end of content that was told too short.
    for more in (b"\r\nx", b"\n", b"\r", b"\r\n\r\n", b"\n\r"):
        response = pix_modules.load("http").Response(Bytes([HEAD + b"Content-Length: 3\r\n\r\nabc" + more]))
        response.read_head()
        response.readinto(bytearray(100))
        assert response.drain() > 0


def test_excess_behind_the_content_is_noticed(pix_modules):
    response = pix_modules.load("http").Response(Bytes([HEAD + b"Content-Length: 3\r\n\r\nabcdef"]))
    response.read_head()
    assert response.readinto(bytearray(100)) == 3
    assert response.drain() == 3


def test_iter_content_gives_full_pieces(pix_modules):
    body = bytes(range(100))
    for pieces in ([body], [body[i : i + 1] for i in range(100)], split(body, [30, 31, 77])):
        link = Bytes([HEAD + b"Content-Length: 100\r\n\r\n", *pieces])
        response = pix_modules.load("http").Response(link)
        response.read_head()
        got = [bytes(piece) for piece in response.iter_content(32)]
        assert [len(piece) for piece in got] == [32, 32, 32, 4]
        assert b"".join(got) == body


def test_fields_are_found_in_any_case_and_joined(pix_modules):
    data = HEAD + b'ETAG: "x"\r\nvia: a\r\nVia:b\r\nName: caf\xc3\xa9\r\nContent-Length: 0\r\n\r\n'
    response = pix_modules.load("http").Response(Bytes([data]), also=(b"via", b"name"))
    response.read_head()
    assert response.header("ETag") == '"x"'
    assert response.header("VIA") == "a, b"
    assert response.header("name") == "caf??"
    assert response.header("absent") == "" and response.header("absent", "no") == "no"


def test_trailers_do_not_change_the_fields(pix_modules):
    data = HEAD + b"Transfer-Encoding: chunked\r\nETag: a\r\n\r\n0\r\nETag: b\r\n\r\n"
    response = pix_modules.load("http").Response(Bytes([data]))
    response.read_head()
    assert response.readinto(bytearray(10)) == 0
    assert response.header("etag") == "a"


@pytest.mark.parametrize("code", [204, 304])
def test_no_body_whatever_the_fields_say(pix_modules, code):
    data = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % code
    assert ours(pix_modules, [data]) == (code, b"")
    assert ours(pix_modules, [HEAD + b"Content-Length: 5\r\n\r\n"], "HEAD") == (200, b"")


def test_until_close_ends_with_the_link_only(pix_modules):
    assert ours(pix_modules, [HEAD + b"\r\nab", b"cd"]) == (200, b"abcd")
    lost = pix_modules.PixError("link-lost")
    response = pix_modules.load("http").Response(Bytes([HEAD + b"\r\nab"], lost))
    response.read_head()
    buffer = bytearray(10)
    assert response.readinto(buffer) == 2
    with pytest.raises(pix_modules.PixError) as e:
        response.readinto(buffer)
    assert e.value is lost
