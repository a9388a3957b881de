"""pix.url and pix.http.request: URLs against the standard library, requests against h11 as a server."""

import base64
from urllib.parse import urljoin, urlsplit

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

relaxed = settings(max_examples=200)


def request(modules, url, **more):
    return modules.load("http").request("GET", modules.load("url").parse(url), **more)


def received(data):
    """The request as h11 understands it: (target, {name: value})."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    event = connection.next_event()
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert event.http_version == b"1.1" and event.method == b"GET"
    fields = {name.decode(): value.decode() for name, value in event.headers}
    assert len(fields) == len(event.headers), "a field is there twice"
    return event.target.decode(), fields


def code_of(modules, call, *args, **more):
    with pytest.raises(modules.PixError) as e:
        call(*args, **more)
    return e.value.code


# -- requests -----------------------------------------------------------------------------------------------


def test_a_plain_request(pix_modules):
    assert request(pix_modules, "http://pc:8000/a/b.jpg?size=320x240#top") == (
        b"GET /a/b.jpg?size=320x240 HTTP/1.1\r\nHost: pc:8000\r\nUser-Agent: maixpix\r\n"
        b"Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )


def test_more_fields_and_credentials(pix_modules):
    target, fields = received(request(pix_modules, "http://PC/", headers=[("Range", "bytes=4096-")], token="t0k"))
    assert target == "/"
    assert fields["host"] == "pc" and fields["range"] == "bytes=4096-" and fields["authorization"] == "Bearer t0k"
    _, fields = received(request(pix_modules, "http://Ann%40home:p%3Ass%C3%A4@pc/"))
    assert base64.b64decode(fields["authorization"].removeprefix("Basic ")) == "Ann@home:p:ssä".encode()
    own = [("authorization", "Digest x")]
    _, fields = received(request(pix_modules, "http://a:b@pc/", headers=own, token="t"))
    assert fields["authorization"] == "Digest x"


@pytest.mark.parametrize("bad", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\x7fb"])
def test_nothing_breaks_out_of_its_line(pix_modules, bad):
    assert code_of(pix_modules, request, pix_modules, "http://pc/", headers=[("A", bad)]) == "settings"
    assert code_of(pix_modules, request, pix_modules, "http://pc/", headers=[("A" + bad, "x")]) == "settings"
    with pytest.raises(pix_modules.PixError) as e:
        request(pix_modules, "http://pc/", token="s3cret" + bad)
    assert "s3cret" not in str(e.value) and "s3cret" not in e.value.cause
    assert code_of(pix_modules, request, pix_modules, "http://pc/" + bad) == "bad-url"


@pytest.mark.parametrize("name", ["", "a b", "a:"])
def test_a_field_needs_a_name(pix_modules, name):
    assert code_of(pix_modules, request, pix_modules, "http://pc/", headers=[(name, "x")]) == "settings"


# -- URLs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port", "target"),
    [
        ("http://example.com", "example.com", 80, "/"),
        ("HTTP://Example.COM:/x", "example.com", 80, "/x"),
        ("http://10.0.0.1:8080?q", "10.0.0.1", 8080, "/?q"),
        ("http://pc#frag", "pc", 80, "/"),
        ("http://pc/a b/ü.jpg?x=%20", "pc", 80, "/a%20b/%C3%BC.jpg?x=%20"),
        ("http://pc/?u=http://x:1/#y", "pc", 80, "/?u=http://x:1/"),
        ("http://my_pc.local:65535/@", "my_pc.local", 65535, "/@"),
    ],
)
def test_urls(pix_modules, text, host, port, target):
    url = pix_modules.load("url").parse(text)
    assert (url.host, url.port, url.target, url.user) == (host, port, target, None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("https://pc/", "https"),
        ("HTTPS://pc/", "https"),
        ("ftp://pc/", "bad-url"),
        ("pc:8000/x.jpg", "bad-url"),
        ("/x.jpg", "bad-url"),
        ("", "bad-url"),
        ("http:/pc", "bad-url"),
        ("http://", "bad-url"),
        ("http://:80/", "bad-url"),
        ("http://[::1]/", "bad-url"),
        ("http://pc:0/", "bad-url"),
        ("http://pc:65536/", "bad-url"),
        ("http://pc:8o/", "bad-url"),
        ("http://pc:-1/", "bad-url"),
        ("http://p c/", "bad-url"),
        ("http://bücher.example/", "bad-url"),
        ('http://pc",1/', "bad-url"),
        ("http://a%4:b@pc/", "bad-url"),
    ],
)
def test_refused_urls(pix_modules, text, code):
    assert code_of(pix_modules, pix_modules.load("url").parse, text) == code


def test_https_names_the_way_out(pix_modules):
    with pytest.raises(pix_modules.PixError) as e:
        pix_modules.load("url").parse("https://pc/")
    assert "companion" in e.value.remedy and "maixpix serve" in e.value.remedy


def test_a_password_is_not_in_the_text(pix_modules):
    url = pix_modules.load("url").parse("http://ann:s3cret@pc:81/x")
    assert url.text() == "http://pc:81/x" and url.user == b"ann:s3cret"


RFC3986 = [
    "g", "./g", "g/", "/g", "//g", "?y", "g?y", "#s", "g#s", "g?y#s", ";x", "g;x", "g;x?y#s", "", ".", "./", "..",
    "../", "../g", "../..", "../../", "../../g", "../../../g", "../../../../g", "/./g", "/../g", "g.", ".g", "g..",
    "..g", "./../g", "./g/.", "g/./h", "g/../h", "g;x=1/./y", "g;x=1/../y", "g?y/./x", "g?y/../x",
]  # fmt: skip


@pytest.mark.parametrize("reference", RFC3986)
def test_references_as_in_rfc_3986(pix_modules, reference):
    """Section 5.4, judged by the standard library."""
    check_reference(pix_modules, "http://a/b/c/d;p?q", reference)


segment = st.sampled_from([".", "..", "a", "b.c", "...", "x;y"])  # urljoin drops empty ones, RFC 3986 keeps them


@relaxed
@given(
    base=st.lists(segment, max_size=4),
    reference=st.lists(segment, max_size=6),
    lead=st.sampled_from(["", "/", "//h/", "http://h:8/"]),
    query=st.sampled_from(["", "?", "?q=/../x"]),
)
def test_references_as_in_the_standard_library(pix_modules, base, reference, lead, query):
    check_reference(pix_modules, "http://a/" + "/".join(base) + "?q", lead + "/".join(reference) + query)


def check_reference(modules, base, reference):
    module = modules.load("url")
    mine = module.resolve(module.parse(base), reference)
    theirs = urlsplit(urljoin(base, reference))
    path = theirs.path or "/"
    assert mine.host == theirs.hostname and mine.port == (theirs.port or 80)
    absolute = reference.startswith(("//", "http:"))
    if not absolute:  # a whole URL is taken as it is, dots and all; the server's business
        assert mine.target == path + ("?" + theirs.query if theirs.query else "") or reference.endswith("?")


def test_credentials_stay_with_their_origin(pix_modules):
    module = pix_modules.load("url")
    base = module.parse("http://u:p@pc:81/a/b")
    assert module.resolve(base, "c").user == b"u:p"
    assert module.resolve(base, "http://pc:81/c").user == b"u:p"
    assert module.resolve(base, "http://x:y@pc:81/c").user == b"x:y"
    assert module.resolve(base, "http://pc/c").user is None
    assert module.resolve(base, "//other:81/c").user is None
    assert code_of(pix_modules, module.resolve, base, "https://pc:81/c") == "https"
