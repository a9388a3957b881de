"""What the token guards on an address that others reach, and what anybody may do there without one."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from maixpix.companion.access import TRIES, Access
from maixpix.companion.run import announcement
from maixpix.companion.settings import ServeSettings

TOKEN = "correct-horse-battery"
PAGES = ("/gallery", "/uploads.json", "/events", "/uploads/2026-01-01/x.jpg", "/gallery?page=2")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def public(companion, uploads):
    return companion(uploads=uploads, host="0.0.0.0", token=TOKEN)


@pytest.fixture
def client(public, client_for):
    return client_for(public)


@pytest.fixture
def body(public, tus_for, make_jpeg):
    picture = make_jpeg(1)
    assert tus_for(public, TOKEN).create(len(picture), picture, {"filename": "a.jpg"}).status == 201
    return picture


def login(client, token: str = TOKEN, where: str = "", **headers: str):
    form = f"token={quote(token)}&next={quote(where)}".encode()
    return client.request("POST", "/login", {**FORM, **headers}, form)


def cookie_of(answer) -> str:
    return answer["Set-Cookie"].partition(";")[0]


def test_without_the_token_nothing_of_the_uploads_is_seen_or_changed(client, body, stored_files):
    for headers in ({}, {"Authorization": "Bearer wrong-horse-battery"}, {"Cookie": f"maixpix-{client.port}=x"}):
        for page in PAGES:
            answer = client.request("GET", page, headers)
            assert (answer.status, "token" in answer.text) == (401, True), page
            seen = client.request("GET", page, {**headers, "Accept": "text/html"})
            assert (seen.status, seen["Location"].startswith("/login?next=/")) == (303, True)
        (file,) = stored_files()
        assert client.request("DELETE", f"/uploads/{file}", headers).status == 401
        for place in ("/gallery/delete", "/gallery/snap"):
            assert client.request("POST", place, {**headers, **FORM}, b"file=x").status == 401
        assert client.request("GET", "/command?board=a", headers).status == 401
    assert list(stored_files().values()) == [body]


def test_pictures_are_given_out_without_it(client):
    for page in ("/", "/pictures.json", "/frame", "/pictures/c.bmp?size=32x32", "/static/style.css"):
        assert client.get(page).status == 200


def test_a_bearer_opens_it_for_programs(client, body):
    answer = client.get("/uploads.json", Authorization=f"Bearer {TOKEN}")
    assert (answer.status, "a.jpg" in answer.text) == (200, True)


def test_a_browser_logs_in_once_sees_and_deletes(client, body, stored_files):
    page = client.get("/login?next=/gallery%3Fpage%3D1")
    assert (page.status, 'type="password"' in page.text) == (200, True)
    answer = login(client, where="/gallery")
    assert (answer.status, answer["Location"]) == (303, "/gallery")
    words = answer["Set-Cookie"]
    assert "HttpOnly" in words and "SameSite=Strict" in words and "Path=/" in words and TOKEN not in words
    cookie = cookie_of(answer)
    gallery = client.get("/gallery", Cookie=cookie)
    assert (gallery.status, "a.jpg" in gallery.text) == (200, True)
    secret = re.search(r'data-secret="([^"]*)"', gallery.text)[1]
    (file,) = stored_files()
    for foreign in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:1"},
    ):
        assert client.request("GET", "/gallery", {"Cookie": cookie, **foreign}).status == 401
        sent = {"Cookie": cookie, "X-Maixpix-Secret": secret, **foreign}
        assert client.request("DELETE", f"/uploads/{file}", sent).status == 401
    assert client.request("DELETE", f"/uploads/{file}", {"Cookie": cookie}).status == 403
    assert client.request("DELETE", f"/uploads/{file}", {"Cookie": cookie, "X-Maixpix-Secret": secret}).status == 204
    assert stored_files() == {}


def test_wrong_tokens_are_counted(client):
    for _ in range(TRIES):
        assert login(client, "wrong-horse-battery").status == 403
    answer = login(client)
    assert (answer.status, answer["Retry-After"]) == (429, "60")


def test_tries_are_forgotten_after_a_while():
    time = [0.0]
    access = Access(ServeSettings(None, token=TOKEN), lambda: time[0])
    access._tries("a").extend([0.0] * TRIES)
    time[0] = 61.0
    assert len(access._tries("a")) == 0


@pytest.mark.parametrize(
    "where",
    ["//evil.example", "https://evil.example/gallery", "/\\evil.example", "/gallery//evil", "/gallery\r\nX: y", "/x"],
)
def test_a_login_leads_to_pages_of_ours_only(client, where):
    assert login(client, where=where)["Location"] == "/gallery"


def test_a_foreign_page_cannot_log_anybody_in(client):
    assert login(client, Origin="http://evil.example").status == 403


def test_without_a_token_deleting_is_off_and_it_is_said(companion, uploads, client_for, tus_for, make_jpeg):
    server = companion(uploads=uploads, host="0.0.0.0")
    picture = make_jpeg(1)
    assert tus_for(server).create(len(picture), picture).status == 201
    client = client_for(server)
    page = client.get("/gallery").text
    assert 'data-deletes="no"' in page and "Delete</button>" not in page
    secret = re.search(r'data-secret="([^"]*)"', page)[1]
    (file,) = [str(path.relative_to(uploads)) for path in uploads.glob("2*/*")]
    answer = client.request("DELETE", f"/uploads/{file}", {"X-Maixpix-Secret": secret})
    assert (answer.status, "switched off" in answer.text) == (403, True)
    said = announcement(server.companion)[-1]
    assert "anybody there can see, send and ask for pictures; deleting is off" in said
    assert client.get("/login").status == 404


def test_on_this_machine_only_everything_is_as_before(companion, uploads, client_for):
    client = client_for(companion(uploads=uploads, token=TOKEN))
    assert client.get("/gallery").status == 200
    assert 'data-deletes="yes"' in client.get("/gallery").text
