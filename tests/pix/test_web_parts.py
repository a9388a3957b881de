"""`pix.webform`, `pix.webres`, `pix.webpage`, `pix.webfile`: forms at every split point, answers, templates, files."""

import email.utils
import gzip
import random
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rig.web_bench import multipart


def fed(device, body, kind, sizes):
    """(pairs, {field: bytes}, done) of a multipart body fed in pieces of the sizes, again and again."""
    files = {}

    def open_file(name, filename, told):
        out = files.setdefault(name, bytearray())
        return types.SimpleNamespace(write=out.extend)

    form = device.load("webform").Multipart(device.load("webreq").attribute(kind, "boundary"), open_file)
    at = turn = 0
    while at < len(body):
        size = sizes[turn % len(sizes)]
        form.feed(body[at : at + size])
        at += size
        turn += 1
    return form.pairs, {name: bytes(data) for name, data in files.items()}, form.done


def test_a_form_with_a_file_is_the_same_at_every_split(pix_modules):
    picture = random.Random(1).randbytes(300) + b"\r\n--xYz" + b"\r\n--xY\r\n"
    picture = picture.replace(b"\r\n--xYz", b"\r\n--xYy")
    body, kind = multipart(("a", "1\r\n2"), ("empty", ""), ("photo", "p.jpg", picture), ("none", "", b""), ("b", "ä"))
    whole = [("a", "1\r\n2"), ("empty", ""), ("b", "ä")]
    for split in range(1, len(body)):
        pairs, files, done = fed(pix_modules, body, kind, [split, len(body)])
        assert (pairs, files, done) == (whole, {"photo": picture}, True), split
    for size in (1, 2, 3, 7, 64):
        assert fed(pix_modules, body, kind, [size]) == (whole, {"photo": picture}, True)


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_a_file_of_any_bytes_comes_out_as_it_was(pix_modules, data, sizes):
    if b"\r\n--xYz" in data:
        return
    body, kind = multipart(("f", "x", data))
    assert fed(pix_modules, b"preamble\r\n" + body + b"epilogue", kind, sizes)[1:] == ({"f": data}, True)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"--xYz\r\n\r\n\r\n--xYz--", 400),  # no name
        (b"--xYz\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xYz--", 400),
        (b"--xYz junk\r\n", 400),
        (b"--xYz" + b" " * 100, 400),
        (b"--xYz\r\n" + b"x" * 2000, 400),
        (multipart(*[(f"f{n}", "x") for n in range(50)])[0], 413),
        (multipart(("a", "x" * 5000))[0], 413),
    ],
)
def test_malformed_forms_are_refused(pix_modules, body, status):
    error = pix_modules.load("webreq").WebError
    with pytest.raises(error) as refused:
        fed(pix_modules, body, "x/y; boundary=xYz", [17])
    assert refused.value.code == status


@pytest.mark.parametrize("boundary", ["", "b" * 71])
def test_a_form_needs_a_boundary(pix_modules, boundary):
    with pytest.raises(pix_modules.load("webreq").WebError):
        pix_modules.load("webform").Multipart(boundary, None)


def test_files_get_short_names_of_their_own(device):
    short_name = device.load("webform").short_name
    made = []
    for told in (
        "IMG_20240101_123456.JPG",
        "IMG_20240102.jpg",
        "C:\\x\\Ürlaub 1.jpeg",
        "日本.jpg",
        "../../pix.json",
        "",
        ".jpg",
    ):
        path = short_name("/sd", told, "jpg")
        (device.folder / path[4:]).write_bytes(b"x")
        device.card.files.mount()
        made.append(path)
    assert made[:3] == ["/sd/img_2024.jpg", "/sd/img_2022.jpg", "/sd/rlaub1.jpg"]
    assert len(set(made)) == len(made)
    assert all(len(path.split("/")[-1]) <= 12 and path.count("/") == 2 for path in made)


def sent(response, most=1460):
    """All bytes of a started response, in pieces of up to `most`."""
    out = b""
    view = memoryview(bytearray(most))
    while True:
        coming = response.coming(most)
        count = response.fill(view if coming < 0 else view[:coming])
        assert coming in (-1, count)
        if not count:
            return out
        out += bytes(view[:count])


@pytest.mark.parametrize("most", [32, 33, 100, 1460])
def test_answers_in_pieces_of_any_size(pix_modules, most):
    webres = pix_modules.load("webres")

    def pieces():
        yield "ä"
        yield b""
        yield b"x" * 5000

    for result, method, version, body in [
        ("héllo", "GET", (1, 1), "héllo".encode()),
        (b"\x00\x01", "GET", (1, 0), b"\x00\x01"),
        (pieces(), "GET", (1, 0), "ä".encode() + b"x" * 5000),
        (("no", 404), "GET", (1, 1), b"no"),
        (("x", {"X-A": "1"}), "GET", (1, 1), b"x"),
        ((None, 204), "GET", (1, 1), b""),
        ({"a": 1}, "GET", (1, 1), b'{"a": 1}'),
        ("abc", "HEAD", (1, 1), b""),
        (None, "GET", (1, 1), b""),
    ]:
        response = webres.made(result)
        response.start(method, version)
        head, _, got = sent(response, most).partition(b"\r\n\r\n")
        assert got == body
        assert b"\n" not in head.replace(b"\r\n", b"")
        if version == (1, 1) and response.status != 204:
            assert b"Content-Length: %d" % (3 if method == "HEAD" else len(body)) in head
        assert (b"Content-Length" in head) is (response.status != 204 and not hasattr(result, "send"))
    response = webres.made(pieces())
    response.start("GET", (1, 1))
    from rig.web_bench import Client

    client = Client()
    client.heard = sent(response, most)
    assert client.body == "ä".encode() + b"x" * 5000


def test_a_generator_that_fails_at_once_leaves_room_for_another_answer(pix_modules):
    def fails():
        raise KeyError
        yield b""

    with pytest.raises(KeyError):
        pix_modules.load("webres").made(fails()).start()


def test_fields_cannot_break_out_of_their_line(pix_modules):
    webres = pix_modules.load("webres")
    with pytest.raises(ValueError, match="control"):
        webres.redirect("/x\r\nSet-Cookie: a=1")


@given(st.integers(0, 4_102_444_800))
def test_dates_are_those_of_rfc_9110(pix_modules, seconds):
    text = email.utils.formatdate(seconds, usegmt=True)
    assert pix_modules.load("webres").date_text(seconds) == text


def test_templates_escape_unless_told_otherwise(pix_modules):
    render = pix_modules.load("webpage").render
    assert render("<p>{{a}}</p>{{{ b }}}{{ a }}{c}", a="<&\"'>", b="<b>") == (
        "<p>&lt;&amp;&quot;&#39;&gt;</p><b>&lt;&amp;&quot;&#39;&gt;{c}"
    )
    assert render("{{n}}", n=3) == "3"
    assert render("{{a}}", a="{{b}}") == "{{b}}"
    with pytest.raises(KeyError):
        render("{{missing}}")


def ask(device, path, **fields):
    """The answer to a GET for a file: (status, fields, body)."""
    webreq, webfile = device.load("webreq"), device.load("webfile")
    request = webreq.Request()
    request.method = "GET"
    request.headers = {name.replace("_", "-"): value for name, value in fields.items()}
    try:
        response = webfile.send_file(request, path)
    except webreq.WebError as error:
        return error.code, dict(error.headers), b""
    response.start()
    head, _, body = sent(response).partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
    return response.status, dict(lines), body


@pytest.fixture
def files(device):
    data = random.Random(2).randbytes(20000)
    (device.folder / "big.jpg").write_bytes(data)
    (device.folder / "s.txt").write_bytes(b"0123456789")
    (device.folder / "empty.txt").write_bytes(b"")
    (device.folder / "dir").mkdir()
    (device.folder / "app.js").write_bytes(b"let a = 1\n" * 100)
    (device.folder / "app.zjs").write_bytes(gzip.compress(b"let a = 1\n" * 100))
    device.card.files.mount()
    return device, data


def test_files_have_type_length_and_etag(files):
    device, data = files
    status, fields, body = ask(device, "/sd/big.jpg")
    assert (status, fields["Content-Type"], fields["Content-Length"], body) == (200, "image/jpeg", "20000", data)
    assert fields["ETag"].startswith("W/") and ask(device, "/sd/s.txt")[1]["ETag"].startswith('"')
    assert ask(device, "/sd/empty.txt")[2] == b""
    assert ask(device, "/sd/none.txt")[0] == 404
    assert ask(device, "/sd/dir")[0] == 404


def test_what_a_browser_has_already_is_not_sent_again(files):
    device, data = files
    for path in ("/sd/big.jpg", "/sd/s.txt"):
        etag = ask(device, path)[1]["ETag"]
        for told in (etag, f'"x", {etag}', "*", etag.removeprefix("W/")):
            status, fields, body = ask(device, path, if_none_match=told)
            assert (status, fields["ETag"], body) == (304, etag, b"") and "Content-Length" not in fields
        assert ask(device, path, if_none_match='"x"')[0] == 200
    changed = data[:10000] + b"?" + data[10001:]
    (device.folder / "s.txt").write_bytes(b"0123456780")
    (device.folder / "big.jpg").write_bytes(changed[::-1])
    device.card.files.mount()
    assert ask(device, "/sd/s.txt", if_none_match=etag)[0] == 200


@pytest.mark.parametrize(
    ("told", "status", "part"),
    [
        ("bytes=0-3", 206, (0, 4)),
        ("bytes=5-", 206, (5, 10)),
        ("bytes=-4", 206, (6, 10)),
        ("bytes=-40", 206, (0, 10)),
        ("bytes=2-99", 206, (2, 10)),
        ("bytes = 9-9", 206, (9, 10)),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=3-2", 200, (0, 10)),
        ("bytes=a-b", 200, (0, 10)),
        ("bytes=-", 200, (0, 10)),
        ("bytes=0-1,4-5", 200, (0, 10)),
        ("lines=0-3", 200, (0, 10)),
        ("bytes=0-" + "9" * 60, 200, (0, 10)),
    ],
)
def test_ranges(files, told, status, part):
    device, _ = files
    got, fields, body = ask(device, "/sd/s.txt", range=told)
    assert got == status
    if part is not None:
        assert body == b"0123456789"[part[0] : part[1]]
    if got == 206:
        assert fields["Content-Range"] == f"bytes {part[0]}-{part[1] - 1}/10"
        assert fields["Content-Length"] == str(part[1] - part[0])
    if got == 416:
        assert fields["Content-Range"] == "bytes */10"


def test_a_range_is_given_only_of_the_file_that_is_meant(files):
    device, _ = files
    etag = ask(device, "/sd/s.txt")[1]["ETag"]
    assert ask(device, "/sd/s.txt", range="bytes=0-1", if_range=etag)[0] == 206
    assert ask(device, "/sd/s.txt", range="bytes=0-1", if_range='"x"')[0] == 200
    weak = ask(device, "/sd/big.jpg")[1]["ETag"]
    assert ask(device, "/sd/big.jpg", range="bytes=0-1", if_range=weak)[0] == 200


def test_gzipped_assets_go_to_those_who_take_them(files):
    device, _ = files
    status, fields, body = ask(device, "/sd/app.js", accept_encoding="gzip, deflate")
    assert (status, fields["Content-Encoding"], fields["Content-Type"]) == (
        200,
        "gzip",
        "text/javascript; charset=utf-8",
    )
    assert gzip.decompress(body) == b"let a = 1\n" * 100
    status, fields, body = ask(device, "/sd/app.js")
    assert "Content-Encoding" not in fields and body == b"let a = 1\n" * 100
