"""pix.url: addresses made from the settings, and shown without their secrets."""

import types
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

relaxed = settings(max_examples=200)

SCREEN = types.SimpleNamespace(width=320, height=240)


@pytest.fixture(scope="module")
def url(pix_modules):
    return pix_modules.load("url")


def made(url, picture="", server="http://pc:8000", path=""):
    wanted = types.SimpleNamespace(picture=picture, server=server, fit="fill", format="bmp")
    return url.picture_url(wanted, SCREEN, path)


@relaxed
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_a_name_comes_through_a_url_as_it_is(url, name):
    quoted = url.quote(name)
    assert quoted.isascii() and not set(quoted) & set(' ?#&+;=<>"')
    assert unquote(quoted) == name
    if "://" not in name:
        parts = urlsplit(made(url, name))
        assert unquote(parts.path) == "/pictures/" + name and parts.fragment == ""
        assert parse_qs(parts.query) == {"size": ["320x240"], "fit": ["fill"], "format": ["bmp"]}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("my holiday #1.jpg", "/pictures/my%20holiday%20%231.jpg?"),
        ("a%20b.jpg", "/pictures/a%2520b.jpg?"),
        ("sub/x?.jpg", "/pictures/sub/x%3F.jpg?"),
        ("Größe.jpg", "/pictures/Gr%C3%B6%C3%9Fe.jpg?"),
    ],
)
def test_names(url, name, target):
    text = made(url, name, "http://pc:8000/")
    assert text == f"http://pc:8000{target}size=320x240&fit=fill&format=bmp"
    assert url.parse(text).target == text.removeprefix("http://pc:8000")


def test_a_path_of_the_server(url):
    path = f"frame?board={url.quote('desk & co')}&"
    assert made(url, path=path) == "http://pc:8000/frame?board=desk%20%26%20co&size=320x240&fit=fill&format=bmp"


@pytest.mark.parametrize("picture", ["http://x/y.jpg", "HTTP://X/y z.jpg?a=b", "hTTp://u:p@x:81/"])
def test_what_has_a_scheme_is_a_url_already(url, picture):
    assert made(url, picture) == made(url, picture, "", "frame?") == picture


@pytest.mark.parametrize(
    ("picture", "server", "code", "words"),
    [
        ("ftp://x/y.jpg", "http://pc", "bad-url", "begin with http://"),
        ("HTTPS://x/y.jpg", "http://pc", "https", "TLS"),
        ("x.jpg", "", "settings", "server is not set"),
        ("", "http://pc", "settings", "picture is not set"),
        ("x.jpg", "pc", "bad-url", "begin with http://"),
        ("x\n.jpg", "http://pc", "bad-url", "control character"),
    ],
)
def test_what_cannot_be_fetched_is_told(pix_modules, url, picture, server, code, words):
    with pytest.raises(pix_modules.PixError) as e:
        made(url, picture, server)
    assert e.value.code == code and words in e.value.cause


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:s3cret@pc:8000/a@b.jpg?c@d", "http://pc:8000/a@b.jpg?c@d"),
        ("HTTP://ann:p@ss@pc", "HTTP://pc"),
        ("ftp://u@h/x", "ftp://h/x"),
        ("http://pc/x@y", "http://pc/x@y"),
        ("http://pc?u:p@x", "http://pc?u:p@x"),
        ("a@b.jpg", "a@b.jpg"),
        ("", ""),
    ],
)
def test_user_and_password_are_not_shown(url, text, shown):
    assert url.public(text) == shown


@pytest.mark.parametrize(
    ("upload", "command", "told"),
    [
        ("http://pc:8000/files/", "http://pc:8000/command", True),
        ("http://pc:8000", "http://PC:8000/elsewhere?x", True),
        ("http://pc:8000", "http://pc:8001/command", False),
        ("http://pc:8000", "http://pc.example:8000/command", False),
        ("http://pc", "http://other/command", False),
        ("tcp+name://pc:3456", "http://pc:8000/command", True),
        ("tcp+name://pc:3456", "http://other:8000/command", False),
        ("", "http://pc:8000/command", False),
    ],
)
def test_the_token_goes_to_its_own_host_only(url, upload, command, told):
    settings = types.SimpleNamespace(upload=upload, token="s3cret")
    assert url.token_for(url.parse(command), settings) == ("s3cret" if told else "")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("http://pc:8000", ("http", "pc", 8000, "/files/")),
        ("http://pc:8000/", ("http", "pc", 8000, "/files/")),
        ("http://pc/tus", ("http", "pc", 80, "/tus")),
        ("HTTP://me:pw@pc", ("http", "pc", 80, "/files/")),
        ("pc:3000", ("tcp", "pc", 3000, "/")),
        ("192.168.1.10:8000", ("tcp", "192.168.1.10", 8000, "/")),
        ("tcp://pc", ("tcp", "pc", 3456, "/")),
        ("tcp://pc:1/", ("tcp", "pc", 1, "/")),
        ("TCP+name://pc", ("tcp+name", "pc", 3456, "/")),
    ],
)
def test_upload_targets(url, text, meant):
    scheme, where = url.upload_target(text)
    assert (scheme, where.host, where.port, where.target) == meant


@pytest.mark.parametrize(
    "text", ["", "pc", "pc/files/", "pc:80/x", "tcp://", "tcp:pc:80", "tcp://pc/x", "ftp://pc", "tcpx://pc:1", "pc:²"]
)
def test_what_is_no_upload_target(url, pix_modules, text):
    with pytest.raises(pix_modules.PixError) as caught:
        url.upload_target(text)
    assert caught.value.code == "bad-url"
