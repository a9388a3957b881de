"""`apps/get.py` and the ten lines of docs/examples/model.py: files of any size onto the card, proven and resumed."""

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest

from rig.app_board import SERVER, Served, run
from rig.board_process import FIRMWARE, needs_firmware
from virtualboard.board import Board, BoardConfig
from virtualboard.engine import K210, EngineOptions, put_part
from virtualboard.running import RunningBoard

ROOT = Path(__file__).resolve().parents[2]
MODEL = hashlib.sha512(b"a model").digest() * (2 * 1024 * 1024 // 64)
SMALL = b"small enough\n" * 100


class Server:
    """Gives a model and a small file, by Range too; `asked` are the heads of all requests."""

    def __init__(self):
        self.asked = []

    def __call__(self, path, head):
        self.asked.append((path, head))
        body = {"/face.kmodel": MODEL[:200_000], "/yolov8n_224.kmodel": MODEL, "/a%20b.txt": SMALL}.get(path)
        if body is None:
            return [b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"]
        etag = b'"%s"' % hashlib.sha256(body).hexdigest()[:12].encode()
        if b"If-None-Match: " + etag in head:
            return [b"HTTP/1.1 304 Not Modified\r\nETag: %s\r\n\r\n" % etag]
        proof = base64.b64encode(hashlib.sha256(body).digest())
        fields = b"ETag: %s\r\nRepr-Digest: sha-256=:%s:\r\n" % (etag, proof)
        start = 0
        if b"Range: bytes=" in head:
            start = int(head.split(b"Range: bytes=")[1].split(b"-")[0])
            fields += b"Content-Range: bytes %d-%d/%d\r\n" % (start, len(body) - 1, len(body))
        status = b"206 Partial Content" if start else b"200 OK"
        return [b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n" % (status, fields, len(body) - start), body[start:]]


@pytest.fixture
def get(tmp_path, board_card):
    """A function that runs the app once with what the setting "get" lists; returns (outcome, card)."""
    card = board_card(tmp_path / "card")

    def play(listed, server, faults=()):
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]], "get": listed}))
        return run(BoardConfig(card=str(card), faults=list(faults)), ROOT / "apps" / "get.py", server), card

    return play


def test_a_list_comes_whole_and_a_second_run_transfers_nothing(get, tmp_path):
    (tmp_path / "card" / "list.txt").write_text(f"http://{SERVER}/a%20b.txt\nhttp://{SERVER}/a%20b.txt /sd/x/y/z.txt\n")
    server = Server()
    done, card = get(f"http://{SERVER}/face.kmodel @/sd/list.txt", server)
    assert (card / "face.kmodel").read_bytes() == MODEL[:200_000]
    assert (card / "a_20b.txt").read_bytes() == SMALL == (card / "x" / "y" / "z.txt").read_bytes()
    digest = hashlib.sha256(MODEL[:200_000]).hexdigest()
    assert f"have /sd/face.kmodel 200000 bytes, 0 of them from before, sha256 {digest}" in done.console
    assert "% of 200000 bytes" in done.console
    assert "done 3 files" in done.console
    server.asked.clear()
    again, _ = get(f"http://{SERVER}/face.kmodel @/sd/list.txt", server)
    assert again.console.count("same /sd/") == 3
    assert all(b"If-None-Match" in head for _, head in server.asked)


def test_a_power_cut_costs_no_more_than_what_was_not_flushed(get):
    server = Server()
    plan = [{"when": {"lane": "to_chip", "byte": 160_000}, "do": "cut-power"}]
    cut, card = get(f"http://{SERVER}/face.kmodel", server, plan)
    assert not cut.ok and not (card / "face.kmodel").exists()
    done, _ = get(f"http://{SERVER}/face.kmodel", server)
    assert (card / "face.kmodel").read_bytes() == MODEL[:200_000]
    start = int(server.asked[-1][1].split(b"Range: bytes=")[1].split(b"-")[0])
    assert 65536 <= start < 160_000
    assert f"{start} of them from before" in done.console


def test_one_that_is_missing_is_no_reason_to_keep_the_others(get):
    done, card = get(f"http://{SERVER}/none http://{SERVER}/a%20b.txt", Server())
    assert "error http-404" in done.console and "done 1 of 2 failed" in done.console
    assert (card / "a_20b.txt").read_bytes() == SMALL


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("", "get is not set"),
        ("/sd/x", "get: there is no URL before /sd/x"),
        (f"http://{SERVER}/", f"get: http://{SERVER}/ has no file name, write a path behind it"),
        ("@/sd/none.txt", "get: there is no list /sd/none.txt"),
        ("ftp://pc/x", "This is no http URL"),
    ],
)
def test_what_cannot_be_listed_is_told_before_the_modem_starts(get, listed, told):
    done, _ = get(listed, Server())
    assert told in done.console and "modem" not in done.console


def example(key="correct horse", host=SERVER):
    """docs/examples/model.py with the user's own key and address."""
    text = (ROOT / "docs" / "examples" / "model.py").read_text()
    assert len(text.splitlines()) <= 12
    return text.replace("correct horse", key).replace("192.168.1.100:8888", host)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (example(), f"safe on the card: {len(MODEL)} bytes, sha256 {hashlib.sha256(MODEL).hexdigest()}"),
        (example(key="wrong"), "wrong-password: The network refused the key: home; Set the key again"),
        (example(host="127.0.0.1:9"), "refused: "),
    ],
    ids=["whole", "wrong password", "no server"],
)
def test_ten_lines_bring_a_model_of_2_mb_onto_the_card(text, told, tmp_path, board_card):
    card = board_card(tmp_path / "card")
    lit = []
    done = run(
        BoardConfig(card=str(card)),
        text,
        Server(),
        watch=lambda board, _engine: board.pads.on_level(12, lambda level: lit.append(level)),
    )
    assert told in done.console
    judge(card, lit, joined="wrong" not in told, whole="safe" in told)


def judge(card, lit, joined, whole):
    """The file as it should be, and the light: on and left so when joined, else three blinks."""
    assert ((card / "yolo.kmodel").read_bytes() == MODEL) if whole else not (card / "yolo.kmodel").exists()
    assert lit[:1] == [True] and (lit[1:6] == [False, True, False, True, False]) is not joined


@needs_firmware
@pytest.mark.firmware
@pytest.mark.slow
@pytest.mark.timeout(3600)  # 20 s of the board's time at 1 Mbaud: a minute and a half of a quiet machine's
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (example(), f"safe on the card: {len(MODEL)} bytes, sha256 {hashlib.sha256(MODEL).hexdigest()}"),
        (example(key="wrong"), "wrong-password: "),
        (example(host="127.0.0.1:9"), "refused: "),
    ],
    ids=["whole", "wrong password", "no server"],
)
def test_the_same_on_the_chip(text, told, tmp_path, board_card):
    pytest.importorskip("unicorn")
    card = board_card(tmp_path / "card")
    board = Board(BoardConfig(card=str(card)))
    put_part(board.flash, 0, Path(os.environ.get("MAIXPY_FIRMWARE", FIRMWARE)).read_bytes(), program=True)
    lit, printed = [], bytearray()
    board.pads.on_level(12, lit.append)
    board.network.attach(SERVER, 80, lambda: Served(Server(), board))
    try:
        assert RunningBoard(board, EngineOptions(K210)).execute(text.encode(), printed.extend) == ""
    finally:
        board.power_off()
    assert told in printed.decode()
    judge(card, lit, joined="wrong" not in told, whole="safe" in told)
