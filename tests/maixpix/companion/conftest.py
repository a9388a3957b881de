"""A folder of pictures, a companion on a free port, and a plain HTTP client for the tests of the companion."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
from pathlib import Path

import pytest
from PIL import Image

from maixpix.companion import HttpLimits, ServeSettings, running


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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
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
            settings = ServeSettings(folder=folder, port=0, http=HttpLimits(head_s=1.0))
            return stack.enter_context(running(dataclasses.replace(settings, **changes)))

        yield start


@pytest.fixture
def client(companion):
    return Client(companion().port)


@pytest.fixture(scope="session")
def client_for():
    return lambda server: Client(server.port)
