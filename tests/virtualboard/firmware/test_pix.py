"""All of pix on real firmware and on the hosted engine: same files, same panel, the same said in the same order."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from maixpix.companion import ServeSettings, running
from maixpix.demo.verdicts import psnr
from rig.uploads import TOKEN, receiver, stored, taken

pytestmark = pytest.mark.firmware

PC = {"pc": "127.0.0.1"}
Prepare = Callable[[Path, dict], None]


def app(name: str) -> str:
    """A program that starts an app of the card, as someone would type it."""
    return f"import sys\nsys.path.append('/sd')\nexec(open('/sd/apps/{name}.py').read())"


@pytest.fixture
def prepare(board_card: Callable[[Path], Path]) -> Prepare:
    """prepare(card, settings): the device code and pix.json."""

    def fill(card: Path, settings: dict) -> None:
        board_card(card)
        (card / "pix.json").write_text(json.dumps({"wifi": [["home", "correct horse"]], **settings}))

    return fill


@contextmanager
def web_server(file: Path) -> Iterator[str]:
    """The address of `file` on a server of this machine that also serves ranges."""

    class Serve(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data, first = file.read_bytes(), 0
            wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if wanted:
                first = int(wanted[1])
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            self.send_header("ETag", '"strong"')
            self.send_header("Content-Length", str(len(data) - first))
            self.end_headers()
            self.wfile.write(data[first:])

        def log_message(self, *args: object) -> None:
            """Not into the test's output."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Serve) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/picture.jpg"
        server.shutdown()


def opened(path: Path) -> Image.Image:
    with Image.open(path) as file:
        return file.convert("RGB")


@pytest.mark.parametrize(
    ("at", "faults"),
    [
        ("1.1", []),
        ("1.7.4", []),
        ("1.1", [{"when": {"lane": "to_chip", "byte": 5000}, "do": "drop", "count": 400}]),
        ("1.7.4", [{"when": {"lane": "to_chip", "byte": 5000}, "do": "reset-modem"}]),
    ],
    ids=["1.1", "1.7.4", "bytes lost", "modem reset"],
)
def test_show(
    both: Callable, prepare: Prepare, picture: Image.Image, tmp_path: Path, at: str, faults: list[dict]
) -> None:
    file = tmp_path / "picture.jpg"
    picture.save(file, quality=95)
    assert file.stat().st_size > 8000  # the faults strike in the middle of it
    with web_server(file) as url:
        results = both(app("show"), lambda card: prepare(card, {"picture": url}), at=at, faults=faults)
    told = []
    for said, card, panel in results:
        assert (card / "show.jpg").read_bytes() == file.read_bytes()
        assert f"fetched {file.stat().st_size} bytes" in said
        assert psnr(opened(panel), opened(file)) > 30
        told.append(re.findall(r"^(?:fetched|shown|joined|fetching)\b", said, re.MULTILINE))
    assert told[0] == told[1]
    assert psnr(opened(results[0][2]), opened(results[1][2])) > 36


ANSWERS = Path(__file__).resolve().parents[2] / "pix" / "cases"

FETCH_ALL = """
import sys
sys.path.append("/sd")
from pix import config, fetch, files, wifi
from pix.errors import PixError
modem = wifi.bring_up(config.load())
for name in %r:
    path = "/sd/" + name + ".jpg"
    try:
        fetch.fetch(modem, "http://pc:%d/" + name + ".jpg", path, retries=0, check=lambda path: None)
        print("case", name, files.sum_of(path, 0, files.size_of(path), bytearray(512)))
    except PixError as error:
        print("case", name, error.line)
"""

# File of tests/pix/cases by the name under which a board asks for it.
CASES = {
    "stream": "camera-stream.http", "csp": "csp-3600-bytes", "none": "content-encoding-none", "gzip": "gzip-not-asked",
    "chunks": "length-and-chunked", "crlf": "crlf-after-body", "utf8": "redirect-utf8",
}  # fmt: skip


@contextmanager
def raw_answers() -> Iterator[tuple[int, list[bytes]]]:
    """A server of CASES, of a web page for anything else and of nothing that is HTTP: (port, targets asked for)."""
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            head = connection.recv(4096)
            target = head.split()[1]
            asked.append(target)
            name = target.decode().strip("/").removesuffix(".jpg")
            page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><title>Sign in</title>"
            answer = (ANSWERS / CASES[name]).read_bytes() if name in CASES else page
            connection.sendall(b"220 mail ready\r\n" if name == "mail" else answer)
            with contextlib.suppress(OSError):  # the board closes when it has its picture
                for _ in range(60 if name == "stream" else 0):
                    connection.sendall(answer.partition(b"\r\n\r\n")[2])

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1], asked


def test_answers_of_ordinary_servers(both: Callable, prepare: Prepare) -> None:
    names = [*CASES, "page", "mail"]
    with raw_answers() as (port, asked):
        results = both(FETCH_ALL % (names, port), lambda card: prepare(card, {}), at="1.7.4", names=PC)
    plain = (ANSWERS / "csp-3600-bytes").read_bytes().partition(b"\r\n\r\n")[2]
    digest = hashlib.sha256(plain).hexdigest()
    for said, _, _ in results:
        told = dict(re.findall(r"^case (\w+) (.+?)\r?$", said, re.MULTILINE))
        assert {name for name in told if told[name] == digest} == {"stream", "csp", "none", "chunks", "crlf"}, told
        codes = {name: line.partition(":")[0] for name, line in told.items() if line != digest}
        assert codes == {"gzip": "compressed", "utf8": "web-page", "page": "web-page", "mail": "not-http"}
        assert "200 Sign in" in told["page"] and "maixpix serve" in told["gzip"]
    assert asked.count(b"/%E7%8C%AB.jpg") == 2


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A companion for each engine that keeps uploads in the folder `tmp_path / "at chip"`, "at hosted": its URL."""
    with ExitStack() as stack:
        urls = {}
        for name in ("chip", "hosted"):
            companion = stack.enter_context(running(receiver(tmp_path / f"at {name}")))
            urls[name] = f"http://pc:{companion.port}/files/"
        yield urls


def test_send(both: Callable, prepare: Prepare, receivers: dict[str, str], tmp_path: Path) -> None:
    files = {f"DCIM/{name}.jpg": random.Random(name).randbytes(size) for name, size in (("a", 5000), ("b", 20_000))}
    files["one.txt"] = b"one line\n"

    def fill(card: Path) -> None:
        prepare(card, {"upload": receivers[card.name], "send": "DCIM/*.jpg one.txt", "token": TOKEN, "name": "desk"})
        (card / "DCIM").mkdir()
        for name, data in files.items():
            (card / name).write_bytes(data)

    results = both(app("send"), fill, names=PC)
    told = []
    for said, card, _ in results:
        assert stored(tmp_path / f"at {card.name}") == {Path(name).name: data for name, data in files.items()}
        assert "done, 0 not sent" in said
        told.append(re.findall(r"^safe (\S+)", said, re.MULTILINE))
    assert told[0] == told[1] == [f"/sd/{name}" for name in sorted(files)]


def test_snap(
    both: Callable, prepare: Prepare, receivers: dict[str, str], picture: Image.Image, tmp_path: Path
) -> None:
    """The camera sees the pictures of a folder one after the other; grey, which every build can do."""
    scenes = [picture, picture.rotate(180), ImageOps.mirror(picture), ImageOps.flip(picture)]
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number, scene in enumerate(scenes):
        scene.save(folder / f"{number}.png")

    def fill(card: Path) -> None:
        settings = {"upload": receivers[card.name], "snaps": 2, "snap_s": 1, "token": TOKEN, "colour": "off"}
        prepare(card, settings)

    for said, card, _ in both(app("snap"), fill, names=PC, camera=str(folder)):
        kept = stored(tmp_path / f"at {card.name}")
        assert taken(said) == re.findall(r"^safe (\S+)", said, re.MULTILINE) == ["s0000001.jpg", "s0000002.jpg"]
        assert "done, 2 taken" in said
        assert not [path for path in (card / "outbox").iterdir() if path.suffix == ".jpg"]
        assert kept
        for data in kept.values():
            with Image.open(io.BytesIO(data)) as file:
                shot = file.convert("L")
            assert shot.size == (320, 240)
            assert max(psnr(shot, scene.convert("L")) for scene in scenes) > 27


def test_frame(both: Callable, prepare: Prepare, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, colour in enumerate(((200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0))):
        Image.new("RGB", (320, 240), colour).save(folder / f"{number}.png")
    with running(ServeSettings(folder, port=0, names=("pc",))) as companion:

        def fill(card: Path) -> None:
            prepare(card, {"server": f"http://pc:{companion.port}", "interval_s": 2, "name": card.name})

        results = both(app("frame"), fill, end_ms=16_000, names=PC)
    for said, card, panel in results:
        assert len(re.findall(r"^shown \d+ \d+ ms", said, re.MULTILINE)) >= 3, said
        assert "error" not in said
        assert max(psnr(opened(panel), opened(kept)) for kept in (card / "frame").glob("*.jpg")) > 30
