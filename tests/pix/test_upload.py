"""pix.upload and pix.tus over real sockets: the right bytes once, whatever breaks, also after a reset of the board."""

import hashlib
import random

import pytest

from rig.links import Bytes
from rig.patience import patient
from rig.receivers import Listener, Sending, Tus

SMALL = random.Random(1).randbytes(7012)
LARGE = random.Random(2).randbytes(300_001)


@pytest.fixture
def tus():
    server = Tus()
    yield server
    server.close()


@pytest.fixture
def listener():
    made = []

    def start(answer=None):
        made.append(Listener(answer))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def links(device):
    return Sending(device)


def put(device, content, name="a.jpg"):
    (device.folder / name).write_bytes(content)
    return "/sd/" + name


def sender(device, links, target, **options):
    return device.load("upload").Uploader(links, target, **options)


def note(device):
    return sorted(entry.name for entry in device.folder.iterdir() if entry.suffix.startswith(".^"))


# -- tus ----------------------------------------------------------------------------------------------------------


def test_a_small_file_is_one_request(device, links, tus):
    path = put(device, SMALL)
    steps = []
    sent = sender(device, links, tus.url, board="kitchen").send(path, lambda done, total: steps.append((done, total)))
    assert tus.methods() == ["POST"] and tus.whole == [SMALL]
    assert (sent.proven, sent.bytes, sent.attempts, sent.resumed) == (True, 7012, 1, 0)
    assert sent.digest == hashlib.sha256(SMALL).hexdigest()
    facts = {"filename": "a.jpg", "filetype": "image/jpeg", "board": "kitchen", "sha256": sent.digest}
    assert tus.metadata["u0"] == facts
    assert steps[-1] == (7012, 7012) and steps == sorted(steps)
    assert links.largest <= 4096


def test_a_large_file_goes_in_pieces_under_checksums(device, links, tus):
    sent = sender(device, links, tus.url).send(put(device, LARGE))
    assert tus.whole == [LARGE] and sent.proven
    assert tus.methods() == ["POST", "OPTIONS", "PATCH", "PATCH", "PATCH"]
    assert all(r[2]["Upload-Checksum"].startswith("sha256 ") for r in tus.requests if r[0] == "PATCH")


def test_a_server_that_told_a_digest_gets_the_next_large_file_in_one_go(device, links, tus):
    up = sender(device, links, tus.url)
    up.send(put(device, SMALL))
    sent = up.send(put(device, LARGE, "b.jpg"))
    assert sent.proven and tus.whole == [SMALL, LARGE]
    assert tus.methods() == ["POST", "POST", "PATCH"]
    assert "Upload-Checksum" not in tus.requests[-1][2]


def test_where_a_creation_has_taken_a_file_a_few_seconds_of_the_line_are_one_request(device, links, tus):
    links.baud = 1_000_000
    up = sender(device, links, tus.url)
    up.send(put(device, LARGE, "b.jpg"))
    assert tus.methods() == ["POST", "OPTIONS", "PATCH", "PATCH", "PATCH"]  # nothing is known of the server yet
    up.send(put(device, SMALL))
    tus.requests.clear()
    assert up.send(put(device, LARGE, "c.jpg")).proven
    assert tus.methods() == ["POST"] and tus.whole == [LARGE, SMALL, LARGE]
    up.send(put(device, LARGE + LARGE, "d.jpg"))
    assert tus.methods() == ["POST", "POST", "PATCH"]  # that would be six seconds


@pytest.mark.parametrize("at", [0, 300, 70_000, 299_000])
def test_one_that_breaks_off_there_is_created_first_and_goes_on(device, links, tus, at):
    links.baud = 1_000_000
    up = sender(device, links, tus.url)
    up.send(put(device, SMALL))
    links.cuts = [at, None, 150_000]
    sent = up.send(put(device, LARGE, "b.jpg"))
    assert sent.proven and tus.whole == [SMALL, LARGE] and sent.attempts == 3
    assert tus.methods()[-3:] == ["PATCH", "HEAD", "PATCH"]


def test_a_creation_that_takes_no_file_is_told_none_of_a_few_seconds(device, links, tus):
    links.baud = 1_000_000
    tus.extensions = "creation"
    up = sender(device, links, tus.url)
    up.send(put(device, SMALL))
    tus.requests.clear()
    assert up.send(put(device, LARGE, "b.jpg")).proven
    assert tus.methods()[:2] == ["POST", "PATCH"] and tus.requests[0][2]["Content-Length"] == "0"


def test_a_changed_byte_in_such_a_file_is_noticed_by_its_digest(device, links, tus):
    up = sender(device, links, tus.url)
    up.send(put(device, SMALL))
    tus.flips = [200_000]
    sent = up.send(put(device, LARGE, "b.jpg"))
    assert sent.proven and sent.attempts == 2 and tus.whole[-1] == LARGE


def test_a_digest_that_is_known_is_told(device, links, tus):
    told = hashlib.sha256(SMALL).hexdigest()
    sent = sender(device, links, tus.url).send(put(device, SMALL), digest=told)
    assert sent.proven and sent.digest == told and tus.metadata["u0"]["sha256"] == told


def test_a_card_that_keeps_something_else_than_was_taken_is_found_out(device, links, tus):
    path = put(device, SMALL[:-1] + b"?")
    up = sender(device, links, tus.url, retries=1)
    with pytest.raises(device.PixError):
        up.send(path, digest=hashlib.sha256(SMALL).hexdigest())
    assert not tus.whole or tus.whole[-1] != SMALL
    assert up.send(path).proven


def test_the_server_offers_only_sha1(device, links, tus):
    tus.checksums = "sha1,md5"
    sent = sender(device, links, tus.url).send(put(device, LARGE))
    assert tus.whole == [LARGE] and sent.proven
    assert tus.methods() == ["POST", "OPTIONS", "PATCH"]
    assert "Upload-Checksum" not in tus.requests[-1][2]


@pytest.mark.parametrize("extensions", ["creation", "creation,termination"])
def test_a_server_that_takes_no_body_at_creation(device, links, tus, extensions):
    tus.extensions = extensions
    assert sender(device, links, tus.url).send(put(device, SMALL)).proven
    assert tus.whole == [SMALL] and tus.methods() == ["POST", "OPTIONS", "PATCH"]


def test_without_a_digest_it_is_not_proven_but_checksums_prove_the_next(device, links, tus):
    tus.digests = False
    up = sender(device, links, tus.url)
    assert not up.send(put(device, SMALL)).proven
    sent = up.send(put(device, SMALL[1:], "b.jpg"))
    assert sent.proven and tus.whole == [SMALL, SMALL[1:]]
    assert tus.methods() == ["POST", "OPTIONS", "POST"]
    assert "Upload-Checksum" in tus.requests[-1][2]


@pytest.mark.parametrize("absolute", [False, True])
def test_location_absolute_or_relative(device, links, tus, absolute):
    tus.absolute = absolute
    assert sender(device, links, tus.url).send(put(device, LARGE)).proven
    assert tus.whole == [LARGE]


@pytest.mark.parametrize("at", [0, 1, 200, 600, 1459, 1460, 1461, 4096, 5000, 7300])
def test_a_small_upload_cut_anywhere(device, links, tus, at):
    links.cuts = [at]
    sent = sender(device, links, tus.url).send(put(device, SMALL))
    assert sent.proven and sent.attempts == 2
    assert tus.whole == [SMALL]


@pytest.mark.parametrize("checksums", ["sha256", "md5"])
@pytest.mark.parametrize("at", [0, 700, 5000, 100_000, 131_200])
def test_a_large_upload_cut_anywhere_goes_on(device, links, tus, at, checksums):
    tus.checksums = checksums
    links.cuts = [None, None, at]
    sent = sender(device, links, tus.url).send(put(device, LARGE))
    assert sent.proven and tus.whole == [LARGE] and len(tus.files) == 1
    assert "HEAD" in tus.methods()
    if checksums == "md5" and at >= 100_000:
        assert sum(link.sent for link in links.links) < len(LARGE) + 20_000  # nothing went twice


def test_the_answer_is_lost_but_the_file_is_there(device, links, tus):
    tus.mute = [False, False, True]
    sent = sender(device, links, tus.url).send(put(device, LARGE))
    assert sent.proven and tus.whole == [LARGE]
    assert tus.methods()[-1] == "HEAD"


def test_a_reset_of_the_board_goes_on_where_it_was(device, links, tus):
    tus.checksums = "md5"
    path = put(device, LARGE)
    links.cuts = [None, None, 200_000]
    with pytest.raises(device.PixError):
        sender(device, links, tus.url, retries=0).send(path)
    assert note(device) == ["a.^jp"]
    again = device.restart()
    fresh = Sending(again)
    sent = sender(again, fresh, tus.url).send(path)
    assert sent.proven and tus.whole == [LARGE] and len(tus.files) == 1
    assert sent.resumed > 195_000
    assert sum(link.sent for link in fresh.links) < 110_000


def test_a_file_that_changed_meanwhile_begins_anew(device, links, tus):
    path = put(device, LARGE)
    links.cuts = [None, None, 90_000]
    with pytest.raises(device.PixError):
        sender(device, links, tus.url, retries=0).send(path)
    put(device, LARGE[::-1])
    assert sender(device, links, tus.url).send(path).proven
    assert tus.whole == [LARGE[::-1]]


def test_a_file_that_was_sent_is_not_sent_again(device, links, tus):
    path = put(device, SMALL)
    sender(device, links, tus.url).send(path)
    again = device.restart()
    sent = sender(again, Sending(again), tus.url).send(path)
    assert (sent.attempts, sent.proven) == (0, True) and tus.methods() == ["POST"]
    put(device, SMALL + b"!")
    assert sender(again, Sending(again), tus.url).send(path).attempts == 1


@pytest.mark.parametrize("status", [404, 410, 403])
def test_an_upload_that_is_gone_begins_anew(device, links, tus, status):
    path = put(device, LARGE)
    links.cuts = [None, None, 90_000]
    tus.statuses = [("HEAD", status, {})]
    assert sender(device, links, tus.url).send(path).proven
    assert tus.whole == [LARGE] and len(tus.files) == 2


def test_a_wrong_offset_is_asked_for(device, links, tus):
    tus.statuses = [("PATCH", 409, {})]
    assert sender(device, links, tus.url).send(put(device, LARGE)).proven
    assert tus.whole == [LARGE]
    assert tus.methods()[:5] == ["POST", "OPTIONS", "PATCH", "HEAD", "PATCH"]


def test_a_damaged_piece_is_sent_again(device, links, tus):
    tus.flips = [100_000]
    assert sender(device, links, tus.url).send(put(device, LARGE)).proven
    assert tus.whole == [LARGE]


def test_a_damaged_file_is_told_by_its_digest(device, links, tus):
    tus.extensions = "creation,creation-with-upload"
    tus.flips = [3000]
    sent = sender(device, links, tus.url).send(put(device, SMALL))
    assert sent.proven and sent.attempts == 2
    assert tus.whole[-1] == SMALL


@pytest.mark.parametrize("status", [423, 429, 500, 503])
def test_a_busy_server_is_asked_again(device, links, tus, status):
    tus.statuses = [("POST", status, {"Retry-After": 7})]
    assert sender(device, links, tus.url).send(put(device, SMALL)).proven
    assert tus.whole == [SMALL] and device.pauses == [7000]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "upload-refused"), (401, "http-401"), (404, "http-404"), (412, "upload-refused"), (413, "upload-refused")],
)
def test_a_refusal_is_told_at_once(device, links, tus, status, code):
    tus.statuses = [("POST", status, {})]
    with pytest.raises(device.PixError) as caught:
        sender(device, links, tus.url).send(put(device, SMALL))
    assert caught.value.code == code and tus.methods() == ["POST"]
    assert device.pauses == []


def test_the_token_is_shown_and_never_told(device, links, tus):
    tus.token = "open-sesame-42"
    assert sender(device, links, tus.url, token="open-sesame-42").send(put(device, SMALL)).proven
    with pytest.raises(device.PixError) as caught:
        sender(device, links, tus.url, token="wrong-token").send(put(device, SMALL, "b.jpg"))
    assert caught.value.code == "http-401" and "wrong-token" not in str(caught.value)


def test_the_token_does_not_follow_to_another_host(device, links, tus):
    tus.token = "open-sesame-42"
    tus.absolute = True
    other = f"http://localhost:{tus.port}/tus/"
    with pytest.raises(device.PixError) as caught:
        sender(device, links, other, token="open-sesame-42").send(put(device, LARGE))
    assert caught.value.code == "http-401"
    patch = next(r for r in tus.requests if r[0] == "PATCH")
    assert "Authorization" not in patch[2]


@pytest.mark.parametrize("value", ["-1", "x", "99999999", "7013"])
def test_nonsense_offsets_are_refused(device, links, tus, value):
    tus.statuses = [("POST", 201, {"Location": "/tus/u0", "Upload-Offset": value})]
    with pytest.raises(device.PixError) as caught:
        sender(device, links, tus.url, retries=0).send(put(device, SMALL))
    assert caught.value.code == "bad-answer"


def test_a_server_that_stays_away(device, links, tus):
    tus.close()
    with pytest.raises(device.PixError) as caught:
        sender(device, links, tus.url).send(put(device, SMALL))
    assert caught.value.code in ("refused", "link-lost")
    assert len(device.pauses) <= 4


def test_the_total_time_is_bounded(device, links, tus):
    tus.statuses = [("POST", 503, {})] * 50
    with pytest.raises(device.PixError):
        sender(device, links, tus.url, retries=40, total_ms=20_000).send(put(device, SMALL))
    assert sum(device.pauses) <= 21_000


@pytest.mark.parametrize("name", ["missing.jpg", "empty.jpg"])
def test_nothing_to_send(device, links, tus, name):
    put(device, b"", "empty.jpg")
    with pytest.raises(device.PixError) as caught:
        sender(device, links, tus.url).send("/sd/" + name)
    assert caught.value.code == "card-error" and not tus.requests


@pytest.mark.parametrize("seed", range(20))
def test_any_mixture_of_troubles(device, links, tus, seed):
    rng = random.Random(seed)
    content = rng.randbytes(rng.choice([1, 511, 512, 4096, 60_000, 65_536, 65_537, 200_000]))
    tus.extensions = rng.choice(["creation", "creation,creation-with-upload", "creation,creation-with-upload,checksum"])
    links.cuts = [rng.choice([None, rng.randrange(len(content) + 900)]) for _ in range(6)]
    tus.cuts = [rng.randrange(len(content) + 1) for _ in range(rng.randrange(3))]
    tus.mute = [rng.random() < 0.3 for _ in range(3)]
    path = put(device, content)
    board, connector = device, links
    for _ in range(6):
        try:
            sent = sender(board, connector, tus.url, retries=2).send(path)
            break
        except board.PixError as error:
            assert error.transient, error
            board = board.restart()
            connector = Sending(board)
    assert sent.proven and content in tus.whole
    assert set(tus.whole) == {content}


# -- raw TCP ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 512, 1460, 4095, 4096, 4097, 100_000])
def test_raw_bytes_reach_a_plain_listener(device, links, listener, size):
    nc = listener()
    sent = sender(device, links, f"tcp://127.0.0.1:{nc.port}").send(put(device, LARGE[:size]))
    assert not sent.proven and sent.bytes == size
    assert wait_for(nc, 1) == [LARGE[:size]]


def test_the_line_brings_a_proof_back(device, links, listener):
    digest = hashlib.sha256(SMALL).hexdigest()

    def answer(data):
        _, _, body = data.partition(b"\n")
        return b"ok %s %d\n" % (hashlib.sha256(body).hexdigest().encode(), len(body)) if len(body) == 7012 else None

    nc = listener(answer)
    up = sender(device, links, f"tcp+name://127.0.0.1:{nc.port}", board="by the door", token="se%same")
    assert up.send(put(device, SMALL)).proven
    head = f"#maixpix name=a.jpg size=7012 sha256={digest} board=by%20the%20door token=se%25same\n".encode()
    assert wait_for(nc, 1) == [head + SMALL]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"error too big; send less\n", "upload-refused"),
        (b"ok 00 1\n", "digest-mismatch"),
        (b"x" * 400, "bad-answer"),
        (b"\n", "bad-answer"),
        (b" \t \r\n", "bad-answer"),
        (b"\xff\xfe ok\n", "bad-answer"),
        (b"ok \xe9\x80 7012\n", "digest-mismatch"),
        (b"error caf\xe9\n", "upload-refused"),
        (b"ok\n", "bad-answer"),
        (b"\0\0\0\n", "bad-answer"),
    ],
)
def test_other_answers_are_no_proof(device, links, listener, line, code):
    nc = listener(lambda data: line if len(data) > 7012 else None)
    with pytest.raises(device.PixError) as caught:
        sender(device, links, f"tcp+name://127.0.0.1:{nc.port}", retries=0).send(put(device, SMALL))
    assert caught.value.code == code


def test_every_byte_of_a_receivers_line_may_be_damaged(device, links, listener):
    """Each ends in the proof or in a PixError."""
    digest = hashlib.sha256(b"x").hexdigest()
    good = f"ok {digest} 1\n".encode()
    lines = [good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :] for at in range(len(good)) for bit in (0, 5, 7)]
    lines += [good[:at] for at in range(len(good))]
    upload = device.load("upload")
    path = put(device, b"x")
    for line in lines:
        job = upload.Job(upload.Uploader(links, "tcp+name://127.0.0.1:9"), path)
        job.begin("", None)
        try:
            upload._answer(job, Bytes([line, b""]), memoryview(bytearray(400)))
        except device.PixError as error:
            assert error.code in ("bad-answer", "digest-mismatch", "upload-refused")
        assert not job.proven or line.split() == good.split()


def test_the_name_in_the_upload_address_logs_in_at_every_request(device, links, tus):
    address = tus.url.replace("127.0.0.1", "me:secret@127.0.0.1")
    assert sender(device, links, address).send(put(device, LARGE)).proven
    assert tus.methods()[0] == "POST" and tus.methods().count("PATCH") == 3
    told = {request[2].get("Authorization") for request in tus.requests}
    assert told == {"Basic bWU6c2VjcmV0"}


@pytest.mark.parametrize(
    ("target", "code"), [("https://pc/files/", "https"), ("ftp://pc/", "bad-url"), ("", "bad-url")]
)
def test_other_doors_are_told_apart(device, links, target, code):
    with pytest.raises(device.PixError) as caught:
        sender(device, links, target)
    assert caught.value.code == code


def test_the_raw_port_has_a_default(device, links):
    assert sender(device, links, "tcp://pc").url.port == 3456


def wait_for(nc, count):
    """The listener's `count` connections once nothing more comes."""
    import time

    end = time.monotonic() + patient(5)
    before = None
    while time.monotonic() < end:
        now = [len(data) for data in nc.received]
        if len(now) >= count and now == before:
            return [bytes(data) for data in nc.received]
        before = now
        time.sleep(0.02)
    raise AssertionError([len(data) for data in nc.received])


def test_an_answer_damaged_on_the_way_is_asked_for_again(device, links, tus):
    """The link cannot vouch for what it delivered: that is no mistake of the server's, and it passes."""
    links.damaged_answers = 1
    sent = sender(device, links, tus.url).send(put(device, SMALL))
    assert sent.proven and sent.attempts == 2 and set(tus.whole) == {SMALL}


def test_an_answer_that_is_no_http_is_told(device, links, listener):
    nc = listener(lambda data: b"220 mail ready\r\n\r\n" if len(data) > 7012 else None)
    with pytest.raises(device.PixError) as caught:
        sender(device, links, f"http://127.0.0.1:{nc.port}/files/").send(put(device, SMALL))
    assert caught.value.code == "not-http" and device.pauses == []
