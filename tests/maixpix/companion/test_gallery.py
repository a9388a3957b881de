"""The gallery by plain HTTP: page, thumbnails, download, delete and live events."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import re
import socket
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from maixpix.companion import HttpLimits, ServeSettings, running
from maixpix.companion.boards import AWAY_S, BoardDesk
from maixpix.companion.events import EventHub
from maixpix.companion.hosts import PageSecret
from rig.patience import patient


@pytest.fixture
def sent(tus, make_jpeg):
    """Three uploads; their bodies in the order in which they came."""
    bodies = [make_jpeg(number, (640, 480)) for number in range(3)]
    for number, body in enumerate(bodies):
        metadata = {"filename": f"snap{number}.jpg", "board": f"board <{number}>"}
        assert tus.create(len(body), body, metadata).status == 201
    return bodies


def listing(client) -> list[dict]:
    return json.loads(client.get("/uploads.json").body)["uploads"]


def secret_of(page: str) -> str:
    return re.search(r'data-secret="([^"]*)"', page).group(1)


def test_the_page_shows_the_latest_first(tus, sent):
    answer = tus.client.get("/gallery")
    assert answer["Content-Type"].startswith("text/html")
    assert [int(n) for n in re.findall(r"<b>snap(\d)\.jpg</b>", answer.text)] == [2, 1, 0]
    assert "board &lt;2&gt;" in answer.text
    assert "board <2>" not in answer.text
    assert '<span id="count">3</span>' in answer.text
    assert not re.search(r"""(src|href|action)=["'](?!/)""", answer.text)
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    script = tus.client.get("/static/gallery.js")
    assert (script.status, script["Content-Type"].split(";")[0]) == (200, "text/javascript")


def test_thumbnail_full_size_and_download(tus, sent):
    entry = listing(tus.client)[0]
    thumbnail = tus.client.get(entry["url"] + "?size=320x240")
    assert Image.open(io.BytesIO(thumbnail.body)).size == (320, 240)
    full = tus.client.get(entry["url"])
    assert (full.body, full["Content-Type"]) == (sent[2], "image/jpeg")
    assert "Content-Disposition" not in full.headers
    download = tus.client.get(entry["url"] + "?download=1")
    assert download.body == sent[2]
    assert download["Content-Disposition"] == "attachment; filename*=UTF-8''snap2.jpg"
    part = tus.client.get(entry["url"], Range="bytes=10-19")
    assert (part.status, part.body) == (206, sent[2][10:20])


def test_what_is_no_picture_is_never_rendered(tus):
    body = b"<html><script>alert(1)</script></html>"
    tus.create(len(body), body, {"filename": "page.html"})
    entry = listing(tus.client)[0]
    answer = tus.client.get(entry["url"])
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert tus.client.get(entry["url"] + "?size=32x32").status == 422


def test_hostile_names_are_escaped(tus, make_jpeg):
    body = make_jpeg(1)
    tus.create(len(body), body, {"filename": "x' onerror=alert(1) &amp;.jpg", "board": '"><script>alert(1)</script>'})
    page = tus.client.get("/gallery").text
    assert "<script>alert" not in page
    assert "x' onerror" not in page


def test_delete_by_script_and_by_form(tus, sent, stored_files):
    secret = secret_of(tus.client.get("/gallery").text)
    first, second, third = listing(tus.client)
    answer = tus.client.request("DELETE", first["url"], {"X-Maixpix-Secret": secret})
    assert answer.status == 204
    assert tus.client.get(first["url"]).status == 404
    form = f"secret={secret}&file={second['file'].replace('/', '%2F')}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    answer = tus.client.request("POST", "/gallery/delete", headers, form)
    assert (answer.status, answer["Location"]) == (303, "/gallery")
    assert list(stored_files()) == [third["file"]]
    assert tus.client.request("DELETE", first["url"], {"X-Maixpix-Secret": secret}).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Maixpix-Secret": "wrong"},
        {"X-Maixpix-Secret": "RIGHT", "Origin": "http://evil.example"},
        {"X-Maixpix-Secret": "RIGHT", "Origin": "null"},
        {"X-Maixpix-Secret": "RIGHT", "Sec-Fetch-Site": "cross-site"},
        {"X-Maixpix-Secret": "RIGHT", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_pages_cannot_delete(tus, sent, stored_files, headers):
    secret = secret_of(tus.client.get("/gallery").text)
    headers = {name: value.replace("RIGHT", secret) for name, value in headers.items()}
    entry = listing(tus.client)[0]
    assert tus.client.request("DELETE", entry["url"], headers).status == 403
    form = f"secret={headers.get('X-Maixpix-Secret', '')}&file={entry['file']}".encode()
    form_headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    assert tus.client.request("POST", "/gallery/delete", form_headers, form).status == 403
    assert len(stored_files()) == 3


def test_delete_can_be_switched_off(companion, uploads, tus_for, make_jpeg):
    server = companion(uploads=uploads, allow_delete=False)
    tus = tus_for(server)
    tus.create(len(make_jpeg(1)), make_jpeg(1))
    page = tus.client.get("/gallery").text
    assert "Delete" not in page
    assert 'data-deletes="no"' in page
    answer = tus.client.request("DELETE", listing(tus.client)[0]["url"], {"X-Maixpix-Secret": secret_of(page)})
    assert (answer.status, "switched off" in answer.text) == (403, True)


def read_event(response) -> tuple[str, dict]:
    kind = None
    while line := response.readline().decode().rstrip("\n"):
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data = json.loads(value)
    return (kind, data) if kind else read_event(response)


def test_events_arrive_live(receiver, tus, make_jpeg):
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=patient(10))
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    assert read_event(response)[0] == "hello"
    body = make_jpeg(5)
    tus.create(len(body), body, {"filename": "live.jpg", "board": "hall"})
    kind, data = read_event(response)
    assert (kind, data["name"], data["board"]) == ("added", "live.jpg", "hall")
    assert tus.client.get(data["url"]).body == body
    with socket.create_connection(("127.0.0.1", receiver.tcp_port)) as peer:
        peer.sendall(make_jpeg(6))
        peer.shutdown(socket.SHUT_WR)
        assert read_event(response)[1]["door"] == "tcp"
    secret = secret_of(tus.client.get("/gallery").text)
    tus.client.request("DELETE", data["url"], {"X-Maixpix-Secret": secret})
    kind, gone = read_event(response)
    assert (kind, gone["file"]) == ("deleted", data["file"])
    connection.close()


def test_live_views_are_limited_and_end_with_the_companion(folder, uploads):
    settings = ServeSettings(folder, port=0, uploads=uploads, http=HttpLimits(max_subscribers=2))
    with running(settings) as server:
        views = []
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=patient(10))
            connection.request("GET", "/events")
            views.append((connection, connection.getresponse()))
            assert read_event(views[-1][1])[0] == "hello"
        extra = http.client.HTTPConnection("127.0.0.1", server.port, timeout=patient(10))
        extra.request("GET", "/events")
        assert extra.getresponse().status == 503
        extra.close()
    for connection, response in views:
        assert response.read() == b""
        connection.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("maixpix")]


def wish(client, board: str, secret: str, **headers: str):
    form = f"secret={secret}&board={quote(board, safe='')}".encode()
    sent = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return client.request("POST", "/gallery/snap", sent, form)


def test_a_wish_on_the_page_reaches_its_board_once(tus, receiver):
    client = tus.client
    assert client.get("/command?board=kitchen").status == 204
    assert client.get("/command?board=hall%3Cb%3E").status == 204
    page = client.get("/gallery").text
    assert "Take a picture: kitchen" in page
    assert "hall&lt;b&gt;" in page
    secret = secret_of(page)
    for _ in range(2):
        answer = wish(client, "kitchen", secret)
        assert (answer.status, answer["Location"]) == (303, "/gallery")
    assert client.get("/command?board=hall%3Cb%3E").status == 204
    for _ in range(2):
        answer = client.get("/command?board=kitchen")
        assert (answer.status, answer.body, answer["Cache-Control"]) == (200, b"snap\n", "no-store")
    assert client.get("/command?board=kitchen").status == 204


def test_wishes_of_others_and_for_nobody_are_refused(tus):
    client = tus.client
    client.get("/command?board=kitchen")
    secret = secret_of(client.get("/gallery").text)
    assert wish(client, "kitchen", "guessed").status == 403
    assert wish(client, "kitchen", secret, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert wish(client, "garage", secret).status == 404
    assert [wish(client, "kitchen", secret).status for _ in range(9)] == [303] * 8 + [429]
    for number in range(300):
        client.get(f"/command?board=b{number}")
    assert len(re.findall("data-board=", client.get("/gallery").text)) == 256


def test_boards_show_the_token_to_be_told(companion, uploads, client_for):
    client = client_for(companion(uploads=uploads, token="open-sesame"))
    assert client.get("/command?board=a").status == 401
    assert client.get("/command?board=a", Authorization="Bearer open-sesame").status == 204


def test_a_wish_is_forgotten_when_its_board_stays_away():
    async def work() -> None:
        time = [0.0]
        secret = PageSecret()
        desk = BoardDesk(ServeSettings(Path()), secret, EventHub(HttpLimits()), now=lambda: time[0])
        app = web.Application()
        app.add_routes(desk.routes())
        async with TestClient(TestServer(app)) as client:
            assert (await client.get("/command?board=a")).status == 204
            time[0] = AWAY_S
            form = {"secret": secret.value, "board": "a"}
            assert (await client.post("/gallery/snap", data=form, allow_redirects=False)).status == 303
            time[0] = AWAY_S + 1
            assert desk.present() == []
            time[0] = 2 * AWAY_S + 1
            assert (await client.get("/command?board=a")).status == 204
            assert desk.present() == ["a"]

    asyncio.run(work())


def test_pages_of_the_gallery(tus, make_jpeg):
    for number in range(65):
        body = make_jpeg(number, (8, 8))
        tus.create(len(body), body)
    first, second = tus.client.get("/gallery").text, tus.client.get("/gallery?page=2").text
    assert (first.count("<figure"), second.count("<figure")) == (60, 5)
    assert 'href="/gallery?page=2"' in first
    assert 'data-live="no"' in second
    assert tus.client.get("/gallery?page=999999999").status == 200


def test_without_uploads_there_is_no_gallery(client):
    for path in ("/gallery", "/events", "/uploads.json", "/files/"):
        assert client.get(path).status == 404


def test_equal_pictures_and_missing_and_deleted_ones_are_told(tus, sent, stored_files, uploads):
    first, second, third = listing(tus.client)
    body = sent[2]
    answer = tus.create(len(body), body, {"filename": "again.jpg", "board": "<hall>"})
    assert answer.status == 201
    assert len(listing(tus.client)) == 3
    (uploads / second["file"]).unlink()
    secret = secret_of(tus.client.get("/gallery").text)
    assert tus.client.request("DELETE", third["url"], {"X-Maixpix-Secret": secret}).status == 204
    page = tus.client.get("/gallery").text
    assert f'data-file="{first["file"]}"' in page
    assert "the same came again as again.jpg from &lt;hall&gt;" in page
    assert "the file is no longer in the uploads folder" in page
    assert "<summary>Deleted lately</summary><ul><li>snap0.jpg, " in page


def test_what_was_told_is_told_after_a_restart_too(companion, uploads, folder, tus_for, make_jpeg):
    settings = ServeSettings(folder, port=0, uploads=uploads)
    body, other = make_jpeg(1), make_jpeg(2)
    with running(settings) as server:
        tus = tus_for(server)
        for content, name in ((body, "a.jpg"), (body, "b.jpg"), (other, "c.jpg")):
            assert tus.create(len(content), content, {"filename": name, "board": "hall"}).status == 201
        secret = secret_of(tus.client.get("/gallery").text)
        assert tus.client.request("DELETE", listing(tus.client)[0]["url"], {"X-Maixpix-Secret": secret}).status == 204
    with running(settings) as server:
        page = tus_for(server).client.get("/gallery").text
    assert "the same came again as b.jpg from hall" in page
    assert "<li>c.jpg, " in page


def test_only_boards_are_offered_as_boards(companion, client_for, uploads):
    client = client_for(companion(uploads=uploads))
    assert client.get("/command").status == 204
    assert client.get("/command?board=a", Sec_Fetch_Mode="no-cors").status == 204
    assert client.get("/command?board=b", Accept_Language="en").status == 204
    assert client.get("/command?board=c", Origin="http://evil.example").status == 204
    assert "data-board=" not in client.get("/gallery").text
    client.get("/command?board=d")
    assert re.findall('data-board="([^"]*)"', client.get("/gallery").text) == ["d"]
    public = client_for(companion(uploads=uploads.with_name("more"), host="0.0.0.0"))
    for number in range(50):
        public.get(f"/command?board=b{number}")
    assert len(re.findall("data-board=", public.get("/gallery").text)) == 8
