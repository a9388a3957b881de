"""A folder of pictures, a companion on a free port, and a plain HTTP client for the tests of the companion."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from maixpix.companion import HttpLimits, ServeSettings, running
from rig.patience import patient


@dataclasses.dataclass
class Answer:
    """An HTTP answer read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.headers[name]

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "backslashreplace")


class Client:
    """Sends request targets exactly as given, unlike clients that tidy paths up."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patient(20))
        try:
            connection.putrequest(method, target, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in (headers or {}):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> Answer:
        return self.request("GET", target, {name.replace("_", "-"): value for name, value in headers.items()})

    def head(self, target: str, **headers: str) -> Answer:
        return self.request("HEAD", target, {name.replace("_", "-"): value for name, value in headers.items()})


def gradient(width: int, height: int) -> Image.Image:
    """A picture in which every place and direction has its own colour."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    flat = Image.new("L", (width, height), 60)
    picture = Image.merge("RGB", (across, down, flat))
    picture.paste((255, 255, 255), (0, 0, width // 4, height // 4))
    return picture


@pytest.fixture(scope="session")
def make_gradient():
    return gradient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good pictures in an own folder."""
    place = tmp_path / "pictures"
    place.mkdir()
    gradient(640, 480).save(place / "a wide.png")
    gradient(300, 500).save(place / "b-tall.jpg", quality=95, progressive=True)
    gradient(64, 64).save(place / "c.bmp")
    return place


@pytest.fixture
def companion(folder: Path, tmp_path: Path):
    """Function that starts a companion with changed settings; all are stopped at the end of the test."""
    with contextlib.ExitStack() as stack:

        def start(**changes):
            settings = ServeSettings(folder=folder, port=0, http=HttpLimits(head_s=patient(1.0)))
            return stack.enter_context(running(dataclasses.replace(settings, **changes)))

        yield start


@pytest.fixture
def client(companion):
    return Client(companion().port)


@pytest.fixture(scope="session")
def client_for():
    return lambda server: Client(server.port)


class Tus:
    """The tus protocol by hand, for tests that need every header under control."""

    def __init__(self, client: Client, token: str | None = None) -> None:
        self.client = client
        self.base = {"Tus-Resumable": "1.0.0"}
        if token is not None:
            self.base["Authorization"] = f"Bearer {token}"

    def create(self, length: int | str, body: bytes | None = None, metadata: dict[str, str] | None = None, **headers):
        sent = {**self.base, "Upload-Length": str(length), **{k.replace("_", "-"): v for k, v in headers.items()}}
        if metadata:
            pairs = [f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items()]
            sent["Upload-Metadata"] = ",".join(pairs)
        if body is not None:
            sent["Content-Type"] = "application/offset+octet-stream"
        return self.client.request("POST", "/files/", sent, body if body is not None else b"")

    def patch(self, url: str, offset: int, body: bytes, **headers):
        sent = {**self.base, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        return self.client.request("PATCH", url, {**sent, **{k.replace("_", "-"): v for k, v in headers.items()}}, body)

    def head(self, url: str):
        return self.client.request("HEAD", url, self.base)

    def delete(self, url: str):
        return self.client.request("DELETE", url, self.base)


@pytest.fixture(scope="session")
def tus_for():
    return lambda server, token=None: Tus(Client(server.port), token)


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def receiver(companion, uploads):
    """A companion that receives, on both doors."""
    return companion(uploads=uploads, tcp_port=0)


@pytest.fixture
def tus(receiver, tus_for):
    return tus_for(receiver)


@pytest.fixture(scope="session")
def make_jpeg():
    """Function that gives a small JPEG; each number is another picture."""

    def make(number: int, size: tuple[int, int] = (48, 32)) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", size, (number * 37 % 256, number // 7 % 256, number % 256)).save(out, "JPEG")
        return out.getvalue()[:-2] + b"\xff\xfe\x00\x06" + number.to_bytes(4, "big") + b"\xff\xd9"

    return make


@pytest.fixture
def stored_files(uploads: Path):
    """Function that gives path and bytes of everything stored, by path below the uploads folder."""

    def look() -> dict[str, bytes]:
        return {str(path.relative_to(uploads)): path.read_bytes() for path in uploads.glob("2*/*")}

    return look


@pytest.fixture
def log_lines(uploads: Path):
    return lambda: [json.loads(line) for line in (uploads / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def companion_process(folder: Path, uploads: Path):
    """Function that starts a companion in a process of its own on a given port, to be killed by the test."""
    started = []

    def start(port: int = 0) -> tuple[subprocess.Popen, int]:
        code = (
            "import sys; from pathlib import Path; from maixpix.companion import ServeSettings, serve\n"
            "folder, uploads, port = sys.argv[1:]\n"
            "settings = ServeSettings(Path(folder), port=int(port), uploads=Path(uploads))\n"
            "serve(settings, lambda line: print(line, flush=True))"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(uploads), str(port)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        line = process.stdout.readline()
        return process, int(line.rstrip("/\n").rsplit(":", 1)[1])

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
