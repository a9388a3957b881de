"""`pix.web` on the driver and the virtual modem: routes, guests of every kind, and nothing left behind."""

import base64
import random

import pytest

from rig.web_bench import Client, WebBench, get, multipart, post

JPEG = b"\xff\xd8" + random.Random(3).randbytes(30000) + b"\xff\xd9"


def define(app, bench):
    webres, webfile, webform = bench.load("webres"), bench.load("webfile"), bench.load("webform")

    @app.get("/")
    def index(request):
        return "<h1>Hello</h1>"

    @app.get("/pics/<name>/<int:size>")
    def picture(request, name, size):
        return f"{name} {size} {request.query.get('x')}"

    @app.get("/file/<path:rest>")
    def file(request, rest):
        return webfile.send_file(request, "/sd/" + rest)

    @app.post("/form")
    def form(request):
        return "|".join(f"{name}={value}" for name, value in request.form.pairs)

    @app.post("/text")
    def text(request):
        return request.body

    @app.get("/go")
    def go(request):
        return webres.redirect("/")

    @app.get("/many/<int:count>")
    def many(request, count):
        return (f"line {n}\n" for n in range(count))

    @app.get("/late/<int:count>")
    def late(request, count):
        yield "x" * count
        raise KeyError("late")

    @app.get("/boom")
    def boom(request):
        return 1 // 0

    @app.get("/full")
    def full(request):
        raise MemoryError

    @app.get("/teapot")
    def teapot(request):
        raise bench.load("webreq").WebError(403, "no <tea>")

    @app.post("/upload", save=lambda request, field, filename, kind: webform.Saved(
        webform.short_name("/sd", filename, "jpg"), filename, request.length, (b"\xff\xd8",)
    ))  # fmt: skip
    def upload(request):
        return " ".join(f"{saved.path} {saved.size}" for saved in request.files.values()), 201

    @app.post("/stream", stream=True)
    def stream(request):
        total = 0
        view = memoryview(bytearray(700))
        while got := request.stream.readinto(view):
            total += got
        return str(total)


@pytest.fixture(params=["1.1", "1.7.4"])
def web(request, tmp_path):
    bench = WebBench(tmp_path / "card", request.param)
    bench.start(define)
    yield bench
    bench.close()


@pytest.fixture
def web17(tmp_path):
    bench = WebBench(tmp_path / "card", "1.7.4")
    yield bench
    bench.close()


def test_pages_forms_and_errors(web):
    assert web.ask(get("/")).body == b"<h1>Hello</h1>"
    assert web.ask(get("/pics/a%20b/12?x=1")).body == b"a b 12 1"
    assert web.ask(post("/form", b"a=1%202&b=x+y&a=%C3%A4")).body == "a=1 2|b=x y|a=ä".encode()
    assert web.ask(post("/text", b"\x00abc", kind="text/plain")).body == b"\x00abc"
    body, kind = multipart(("a", "1 2"), ("b", "ä"))
    assert web.ask(post("/form", body, kind=kind)).body == "a=1 2|b=ä".encode()
    moved = web.ask(get("/go"))
    assert (moved.status, moved.fields["location"]) == (302, "/")
    head = web.ask(get("/", method="HEAD"))
    assert (head.status, head.fields["content-length"]) == (200, "14") and head.heard.endswith(b"\r\n\r\n")
    for path, status in [("/none", 404), ("/pics/a/x", 404), ("/pics/a", 404), ("/teapot", 403), ("/boom", 500)]:
        assert web.ask(get(path)).status == status, path
    refused = web.ask(get("/form"))
    assert (refused.status, refused.fields["allow"]) == (405, "POST")
    assert b"no &lt;tea&gt;" in web.ask(get("/teapot")).body
    short = web.ask(get("/full"))
    assert (short.status, short.fields["retry-after"]) == (503, "5")
    assert [type(error).__name__ for error in web.errors] == ["ZeroDivisionError", "MemoryError"]
    assert web.at_rest


def test_long_answers_in_pieces(web):
    lines = b"".join(b"line %d\n" % n for n in range(2000))
    assert web.ask(get("/many/2000")).body == lines
    old = web.ask(b"GET /many/2000 HTTP/1.0\r\n\r\n")
    assert "transfer-encoding" not in old.fields and old.body == lines
    assert web.ask(get("/late/5")).status == 500
    broken = web.ask(get("/late/5000"))
    assert broken.status == 200 and not broken.heard.endswith(b"0\r\n\r\n")
    assert web.at_rest


def test_files_of_the_card_in_blocks_and_ranges(web):
    data = random.Random(4).randbytes(50000)
    (web.folder / "x.jpg").write_bytes(data)
    web.device.card.files.mount()
    answer = web.ask(get("/file/x.jpg"))
    assert answer.body == data and answer.fields["content-type"] == "image/jpeg"
    part = web.ask(get("/file/x.jpg", "Range: bytes=40000-"))
    assert (part.status, part.body) == (206, data[40000:])
    assert web.ask(get("/file/x.jpg", f"If-None-Match: {answer.fields['etag']}")).status == 304
    assert web.ask(get("/file/x.jpg", "Range: bytes=50000-")).status == 416
    assert web.ask(get("/file/none.jpg")).status == 404
    assert web.longest_ms < 20


def test_uploads_go_to_the_card_whole_or_not_at_all(web):
    body, kind = multipart(("photo", "Holiday Beach.JPG", JPEG))
    answer = web.ask(post("/upload", body, kind=kind))
    assert (answer.status, answer.body) == (201, b"/sd/holidayb.jpg %d" % len(JPEG))
    assert (web.folder / "holidayb.jpg").read_bytes() == JPEG
    alone = web.ask(post("/upload?name=a.jpg", JPEG, kind="image/jpeg"))
    assert alone.status == 201 and (web.folder / "a.jpg").read_bytes() == JPEG
    before = web.device.listing()
    for broken in (
        post("/upload", *multipart(("photo", "x.jpg", b"GIF89a" + b"x" * 9000))[:1], kind=kind),
        post("/upload", body[:-20], kind=kind),
        post("/upload", b"a=1", kind="text/plain"),
    ):
        assert web.ask(broken).status in (400, 415)
    cut = post("/upload", body, kind=kind)[:20000]
    web.ask(cut, 200, "reset")
    web.ask(cut, 200, "finish")
    assert web.ask(cut, limit_ms=60000).status == 408
    web.device.card.files.mount()
    assert web.device.listing() == before
    assert web.at_rest


def test_an_upload_comes_whole_while_the_board_has_other_work(web):
    body, kind = multipart(("photo", "a.jpg", JPEG * 4))
    photo = web.client(post("/upload", body, kind=kind))
    flood = web.client(get("/many/900") + b"x" * 60000)
    while not (photo.closed and flood.closed):
        web.poll()
        web.run(120)  # a picture is decoded
    assert photo.status == 201 and (web.folder / "a.jpg").read_bytes() == JPEG * 4
    assert flood.body == b"".join(b"line %d\n" % n for n in range(900))


def test_no_room_on_the_card_is_told_before_the_file_comes(tmp_path):
    bench = WebBench(tmp_path / "card")
    bench.start(define)
    free = bench.load("files").free_bytes("/sd")
    head = get("/upload", "Content-Type: image/jpeg", f"Content-Length: {free + 1}", method="POST")
    answer = bench.ask(head + b"\xff\xd8" + b"x" * 500)
    assert answer.status == 413 and b"room" in answer.body
    assert bench.device.listing() == {}
    bench.close()


def test_too_much_is_refused_and_the_refusal_arrives(web):
    assert web.ask(post("/text", b"x" * 9000, kind="text/plain")).status == 413
    assert (
        web.ask(post("/form", multipart(("a", "x" * 9000))[0], kind="multipart/form-data; boundary=xYz")).status == 413
    )
    assert web.ask(b"GET /" + b"x" * 5000).status == 414
    assert web.ask(get("/", "X: y" * 5000)).status in (400, 431)
    assert web.ask(get("/", *["X-Field: " + "y" * 400] * 2600)).status == 431  # a megabyte
    assert web.ask(get("/text", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n0\r\n\r\n").status == 411
    assert web.ask(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x99" * 500).status == 400
    assert web.at_rest and not web.errors


def test_curl_is_told_to_go_on(web):
    head = get("/text", "Content-Type: text/plain", "Content-Length: 5", "Expect: 100-continue", method="POST")
    answer = web.client(head, 300, b"hello")
    web.until(lambda: answer.closed)
    assert answer.heard.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert answer.heard.endswith(b"hello")


def test_a_body_that_the_handler_reads_itself(web):
    assert web.ask(post("/stream", b"x" * 20000, kind="text/plain")).body == b"20000"


def test_one_request_a_link(web):
    answer = web.ask(get("/") + get("/none") + get("/boom"))
    assert answer.heard.count(b"HTTP/1.1") == 1 and answer.body == b"<h1>Hello</h1>"
    assert not web.errors


def test_links_that_browsers_open_ahead_are_dropped_within_two_seconds(web):
    idle = web.client()
    asked = web.ask(get("/"))
    assert asked.status == 200 and not idle.closed
    web.until(lambda: idle.closed)
    assert 1.9e9 < idle.closed_ns - idle.accepted_ns < 2.2e9 and idle.heard == b""
    assert web.at_rest


def test_links_that_are_all_idle_make_room_at_once(web):
    idle = [web.client() for _ in range(4 if web.driver.version >= (1, 6) else 5)]
    web.until(lambda: web.app.busy == len(idle))
    web.until(lambda: any(client.closed for client in idle), 500)
    assert web.ask(get("/")).status == 200
    web.until(lambda: web.at_rest, 2500)


def test_half_a_request_is_answered_408_and_a_slow_one_too(web):
    half = web.ask(get("/")[:20])
    assert half.status == 408
    drip = web.ask(*[piece for c in get("/", "X: " + "y" * 60) for piece in (bytes((c,)), 500)])
    assert drip.status == 408
    assert web.at_rest


def test_requests_of_several_links_come_mixed(web):
    requests = [post("/text", bytes([65 + n]) * 700, kind="text/plain") for n in range(4)]
    pieces = [
        [item for at in range(0, len(r), 90) for item in (r[at : at + 90], 3 + n)] for n, r in enumerate(requests)
    ]
    clients = [web.client(*p) for p in pieces]
    web.until(lambda: all(client.closed for client in clients))
    assert [client.body for client in clients] == [bytes([65 + n]) * 700 for n in range(4)]
    assert web.at_rest


def test_clients_that_vanish_leave_nothing(web):
    (web.folder / "x.jpg").write_bytes(bytes(60000))
    web.device.card.files.mount()
    for pieces in (
        [get("/file/x.jpg"), 60, "reset"],
        [get("/file/x.jpg"), "finish"],
        [get("/")[:9], "reset"],
        ["reset"],
    ):
        web.ask(*pieces)
        assert web.ask(get("/")).status == 200
    gone = web.client(get("/many/5000"))
    web.until(lambda: len(gone.heard) > 3000)
    web.modem.server.lose_clients()
    assert web.ask(get("/")).status == 200
    web.until(lambda: web.at_rest)


def test_damage_on_the_line_ends_links_and_not_the_service(web):
    for _ in range(5):
        web.client(get("/"))
        web.run(3)
        web.modem.inject(b"\x00\xff\r\nxx\r\n+IPD,9,5:")
        web.until(lambda: not web.app.busy)
    web.until(lambda: web.at_rest, 15000)  # a link whose CONNECT was damaged is found by and by
    assert web.ask(get("/")).status == 200


def test_requests_wait_while_the_board_fetches_and_both_come_through(web):
    from rig.modem_bench import Once, read_all

    web.serve(8000, lambda: Once(b"y" * 30000))
    link = web.driver.connect("127.0.0.1", 8000)
    link.write(b"GET / HTTP/1.0\r\n\r\n")
    asked = web.client(get("/"))
    assert read_all(link) == b"y" * 30000
    link.close()
    web.until(lambda: asked.closed)
    assert asked.body == b"<h1>Hello</h1>"


def test_a_fetch_gets_a_link_when_clients_have_them_all(tmp_path):
    bench = WebBench(tmp_path / "card", "1.1")  # no CIPSERVERMAXCONN
    bench.start(define)
    clients = [bench.client(b"GET ") for _ in range(5)]
    bench.until(lambda: bench.app.busy == 5)
    from rig.modem_bench import Once, read_all

    bench.serve(8000, lambda: Once(b"hello"))
    link = bench.driver.connect("127.0.0.1", 8000)
    link.write(b"x")
    assert read_all(link) == b"hello"
    link.close()
    assert sum(client.closed for client in clients) == 1
    bench.close()


def test_a_module_that_restarts_is_served_through_again(web):
    web.driver.repair = None
    asked = web.client(get("/many/5000"))
    web.until(lambda: len(asked.heard) > 3000)
    web.modem.restart()
    web.until(lambda: web.driver.lost == "modem-rebooted")
    assert not web.app.busy and web.driver.on_client is None
    web.driver = web.bring_up()
    web.app.start(web.driver)
    assert web.ask(get("/")).status == 200


def test_serving_repairs_a_lost_module_by_itself(tmp_path):
    bench = WebBench(tmp_path / "card", "1.1")
    bench.driver = bench.bring_up(recover=True)
    bench.app = app = bench.load("web").Web(80)
    define(app, bench)
    app.start(bench.driver)
    bench.clock.after(10**9, bench.modem.restart)
    bench.clock.after(40 * 10**9, lambda: clients.append(bench.client(get("/"))))
    clients = []
    app.serve(until=lambda: clients and clients[0].closed)
    assert clients[0].body == b"<h1>Hello</h1>"
    bench.close()


def test_memory_that_is_short_puts_requests_off(web):
    web.free = 20000
    answer = web.ask(get("/"))
    assert (answer.status, answer.fields["retry-after"]) == (503, "5") and web.collections
    web.free = 200000
    assert web.ask(get("/")).status == 200


def login(text):
    return "Authorization: Basic " + base64.b64encode(text.encode()).decode()


def test_a_key_guards_every_page(web17):
    web17.start(define, key="me:secret word")
    refused = web17.ask(get("/"))
    assert refused.status == 401 and refused.fields["www-authenticate"].startswith("Basic")
    assert web17.ask(get("/", login("me:secret word"))).status == 200
    for wrong in (login("me:secret"), login("you:secret word"), "Authorization: Basic !", "Authorization: Bearer x"):
        assert web17.ask(get("/", wrong)).status == 401
    assert web17.ask(get("/none")).status in (401, 429)
    web17.ask(get("/", login("me:no")))
    late = web17.ask(get("/", login("me:no")))
    assert (late.status, late.fields["retry-after"]) == (429, "2")
    web17.run(2500)
    assert web17.ask(get("/", login("me:secret word"))).status == 200


def test_a_token_is_a_bearers_or_anybodys_password(web17):
    web17.start(define, key="t0ken")
    for right in ("Authorization: Bearer t0ken", login("x:t0ken"), login(":t0ken")):
        assert web17.ask(get("/", right)).status == 200
    assert web17.ask(get("/", "Authorization: Bearer other")).status == 401


def test_forms_of_other_places_are_refused(web17):
    app = web17.start(define, csrf=True)
    token = app.gate.token
    body = b"a=1"
    assert web17.ask(post("/form", body)).status == 403
    assert web17.ask(post("/form", body + b"&csrf=" + token.encode())).status == 200
    assert web17.ask(post("/form?csrf=" + token, body)).status == 200
    assert web17.ask(post("/form?csrf=" + token, body, "Origin: http://192.168.4.50")).status == 200
    for elsewhere in ("Origin: http://evil.example", "Origin: null", "Referer: http://evil.example/192.168.4.50"):
        assert web17.ask(post("/form?csrf=" + token, body, elsewhere)).status == 403
    files, kind = multipart(("photo", "x.jpg", JPEG), ("csrf", token))
    assert web17.ask(post("/upload", files, kind=kind)).status == 403  # the token has to come first
    files, kind = multipart(("csrf", token), ("photo", "x.jpg", JPEG))
    assert web17.ask(post("/upload", files, kind=kind)).status == 201


@pytest.mark.parametrize(
    ("host", "status"),
    [("192.168.4.50", 200), ("192.168.4.50:8080", 200), ("frame.local", 200), ("board", 200), ("evil.example", 403)],
)
def test_names_from_elsewhere_do_not_lead_here(web17, host, status):
    web17.start(define)
    assert web17.ask(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n").status == status


def test_an_error_page_of_the_apps_own(web17):
    app = web17.start(define)

    @app.errorhandler(404)
    def nothing(request, error):
        return "nothing at " + request.path

    answer = web17.ask(get("/none"))
    assert (answer.status, answer.body) == (404, b"nothing at /none")


def test_the_date_is_told_when_it_is_known(web17):
    web17.start(define, clock=lambda: 784111777)
    assert web17.ask(get("/")).fields["date"] == "Sun, 06 Nov 1994 08:49:37 GMT"


class Lazy(Client):
    """A browser that reads nothing for a long time: its window is full and nothing is acknowledged."""

    def received(self, data):
        self.heard += data


def test_a_slow_reader_keeps_nobody_waiting_and_ends(web):
    web.network.rtt_ns = 30 * 10**9  # of the lazy client's acknowledgements
    lazy = web.client(get("/many/5000"))
    web.network.rtt_ns = 4 * 10**6
    web.until(lambda: web.app.busy == 1, 60000)
    web.until(lambda: not web.app.busy, 30000)
    assert web.ask(get("/")).status == 200
    assert len(lazy.heard) < 3000
