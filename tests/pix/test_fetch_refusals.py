"""pix.fetch and refusals, redirects, limits, cards in trouble and hostile servers."""

import time

import pytest

from rig.fetching import OLD, PICTURE, failing, fetch
from rig.links import Sockets
from rig.servers import field

# -- refusals, redirects, limits ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418, 501, 505, 300, 305])
def test_final_statuses(shown, origin, status):
    server = origin(PICTURE)
    server.statuses = [(status, "")] * 9
    error = failing(shown, server.url())
    assert error.code == f"http-{status}" and not error.transient
    assert len(server.requests) == 1 and shown.pauses == []
    assert shown.listing() == {"show.jpg": OLD}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_statuses(shown, origin, status):
    server = origin(PICTURE)
    server.statuses = [(status, ""), (status, "Retry-After: 3\r\n"), (status, "Retry-After: 99999\r\n")]
    fetch(shown, server.url())
    assert shown.listing() == {"show.jpg": PICTURE}
    assert shown.pauses == [250, 3000, 30000]


@pytest.mark.parametrize("status", [201, 204, 205, 226])
def test_statuses_without_a_file(shown, origin, status):
    server = origin(PICTURE)
    server.statuses = [(status, "")]
    assert failing(shown, server.url()).code == "no-file"
    assert shown.listing() == {"show.jpg": OLD}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(device, origin, status):
    first, second = origin(b""), origin(PICTURE)
    first.statuses = [(status, "Location: ../b/c.jpg?x\r\n"), (status, f"Location: {second.url('/z')}\r\n")]
    fetch(device, first.url("/a/a.jpg"), headers=[("Authorization", "Basic Zzz"), ("Cookie", "c"), ("X", "y")])
    assert device.listing() == {"show.jpg": PICTURE}
    assert [head.split()[1] for head in first.requests + second.requests] == [b"/a/a.jpg", b"/b/c.jpg?x", b"/z"]
    assert [field(head, "Authorization") for head in first.requests] == ["Basic Zzz"] * 2
    assert [field(second.requests[0], name) for name in ("Authorization", "Cookie", "X")] == [None, None, None]


def test_token_and_user_stay_with_their_host(device, origin):
    first, second = origin(b""), origin(PICTURE)
    first.statuses = [(302, f"Location: http://localhost:{first.port}/x\r\n")]
    first.content = PICTURE
    fetch(device, first.url(), token="s3cret")
    assert [field(head, "Authorization") for head in first.requests] == ["Bearer s3cret", None]
    first.statuses = [(302, f"Location: {second.url()}\r\n")]
    fetch(device, f"http://u:p@127.0.0.1:{first.port}/")
    assert [field(head, "Authorization") for head in (first.requests[-1], second.requests[0])] == ["Basic dTpw", None]


def test_five_redirects_are_enough(shown, origin):
    server = origin(PICTURE)
    server.statuses = [(302, "Location: /again\r\n")] * 5
    fetch(shown, server.url())
    server.statuses = [(302, "Location: /again\r\n")] * 99
    server.requests.clear()
    shown.load("files").remove("/sd/show.jpg")
    assert failing(shown, server.url()).code == "redirect-loop"
    assert len(server.requests) == 6 and shown.listing() == {}


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("", "no-location"),
        ("Location: https://127.0.0.1/\r\n", "https"),
        ("Location: ftp://x/\r\n", "bad-url"),
        ("Location: http://[::1]/\r\n", "bad-url"),
    ],
)
def test_redirects_to_nowhere(shown, origin, extra, code):
    server = origin(PICTURE)
    server.statuses = [(302, extra)]
    assert failing(shown, server.url()).code == code
    assert shown.listing() == {"show.jpg": OLD}


def test_a_resumed_fetch_follows_redirects_too(device, origin):
    server = origin(PICTURE)
    connector = Sockets(device)
    connector.cuts = [None, 14000]
    server.statuses = [(302, "Location: /z\r\n")]
    failing(device, server.url(), connector, retries=0)
    server.statuses = [(302, "Location: /z\r\n")]
    assert fetch(device, server.url()).resumed == 8192
    assert device.listing() == {"show.jpg": PICTURE}


def test_unreachable_servers(shown):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert failing(shown, f"http://127.0.0.1:{port}/", retries=2).code == "refused"
    assert shown.pauses == [250, 500]
    assert failing(shown, "https://127.0.0.1/").code == "https"
    assert failing(shown, "nonsense").code == "bad-url"
    assert shown.listing() == {"show.jpg": OLD}


def test_a_compressed_answer_is_refused(shown, origin):
    server = origin(PICTURE)
    server.fields = ["Content-Encoding: gzip"]
    error = failing(shown, server.url())
    assert error.code == "compressed" and "gzip" in error.cause and "maixpix serve" in error.remedy
    assert shown.listing() == {"show.jpg": OLD}


# -- the card -----------------------------------------------------------------------------------------------


def test_too_little_room_is_told_before_anything_is_written(shown, origin):
    server = origin(bytes(300_000))
    shown.card.fill(leave_free=200_000)
    error = failing(shown, server.url())
    assert error.code == "card-full" and "293 kB needed" in error.cause
    assert shown.operations == [] and shown.listing() == {"show.jpg": OLD}
    assert len(server.requests) == 1


def test_a_card_that_fills_up_while_the_size_is_unknown(shown, origin):
    server = origin(bytes(300_000))
    server.chunked = True
    shown.card.fill(leave_free=200_000)
    error = failing(shown, server.url())
    assert error.code == "endless" and "emove files" not in error.remedy
    assert shown.listing() == {"show.jpg": OLD}, "the part is removed, to give the room back"


def test_a_card_that_fails_keeps_the_old_file(shown, origin):
    server = origin(PICTURE)
    shown.load("store")
    count = 0

    def fail(done, total):
        nonlocal count
        count += 1
        if count == 3:
            shown.card.fail_writes(50)

    error = failing(shown, server.url(), progress=fail)
    assert error.code == "card-error" and error.cause.endswith(": /sd/show.jpg, error 5"), "the part's name is our own"
    assert shown.listing()["show.jpg"] == OLD


def test_whatever_the_callback_raises_the_part_is_closed(shown, origin):
    server = origin(PICTURE)

    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(shown, server.url(), progress=stop)
    assert shown.listing()["show.jpg"] == OLD
    assert (shown.folder / "show.$jp").read_bytes() == PICTURE[:4096]
    fetch(shown, server.url())
    assert shown.listing() == {"show.jpg": PICTURE}


# -- hostile servers ----------------------------------------------------------------------------------------


def answering(*pieces, pause_s=0.0):
    def answer(connection, head):
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_s)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "link-lost"),
        (b"HTTP/1.1 200", "truncated"),
        (OK + b"Content-Length: 100\r\n\r\nshort", "truncated"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "truncated"),
        (OK + b"Content-Length: 4\r\n\r\ntoo long", "too-long"),
        (OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", "bad-length"),
        (OK + b"Content-Length: -4\r\n\r\n", "bad-length"),
        (OK + b"Content-Length: 99999999999999999\r\n\r\n", "card-full"),
        (OK + b"A: " + b"x" * 100_000, "head-too-long"),
        (OK + b"A: b\r\n" * 20_000, "head-too-long"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not-http"),
        (b"\x00" * 5000, "not-http"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, "bad-head"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_lies(shown, raw_server, data, code):
    server = raw_server(answering(data))
    assert failing(shown, server.url(), retries=1).code == code
    assert shown.listing() == {"show.jpg": OLD}
    transient = code in ("link-lost", "truncated")
    assert len(server.requests) == (2 if transient else 1)


def test_excess_that_comes_later_is_noticed(shown, raw_server):
    server = raw_server(answering(OK + b"Content-Length: 4\r\n\r\nabcd", b"more", pause_s=0.05))
    assert failing(shown, server.url()).code == "too-long"
    assert shown.listing() == {"show.jpg": OLD}


def test_a_server_that_does_not_close(shown, raw_server):
    """It ignores "Connection: close": the length alone has to do, after a bounded wait."""
    shown.load("fetch").PROOF_MS = 100
    server = raw_server(answering(OK + b"Content-Length: 4\r\n\r\nabcd", pause_s=0.5))
    assert fetch(shown, server.url()).bytes == 4
    assert shown.listing() == {"show.jpg": b"abcd"}


def test_a_silent_server(shown, raw_server):
    server = raw_server(answering(OK + b"Content-Length: 9\r\n\r\nabcd", pause_s=0.6))
    assert failing(shown, server.url(), idle_ms=100, retries=1).code == "timeout"
    assert shown.listing() == {"show.jpg": OLD}


def test_a_dripping_server_meets_the_total_limit(shown, raw_server):
    server = raw_server(answering(OK + b"Content-Length: 99\r\n\r\n", *[b"x"] * 99, pause_s=0.02))
    error = failing(shown, server.url(), total_ms=300)
    assert error.code == "timeout" and "not done after 0 s" in error.cause
    assert len(server.requests) == 1 and shown.listing() == {"show.jpg": OLD}


def test_pauses_count_for_the_total_limit(shown, origin):
    server = origin(PICTURE)
    server.statuses = [(503, "")] * 99
    assert failing(shown, server.url(), retries=99, total_ms=20_000).code in ("http-503", "timeout")
    assert sum(shown.pauses) <= 20_000
