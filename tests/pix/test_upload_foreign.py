"""pix.tus against a tus server of other people: tuspyserver (FastAPI) from PyPI, part of the dev extra."""

import random
import socket
import subprocess
import sys
import time

import pytest
from pix_receivers import Sending

for _package in ("tuspyserver", "fastapi", "uvicorn"):
    pytest.importorskip(_package, reason=f"{_package} is not installed: pip install -e '.[dev]'")

SERVER = """
import sys
import uvicorn
from fastapi import FastAPI
from tuspyserver import create_tus_router
app = FastAPI()
app.include_router(create_tus_router(files_dir=sys.argv[1], prefix="files"))
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """(URL, folder of its uploads)."""
    folder = tmp_path_factory.mktemp("foreign")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(folder), str(port)])
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/files/", folder
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("size", "cuts"), [(7012, []), (7012, [3000]), (300_001, []), (300_001, [None, None, 150_000]), (65_536, [65_000])]
)
def test_a_foreign_server_takes_it(device, foreign, size, cuts):
    url, folder = foreign
    body = random.Random(size + len(cuts)).randbytes(size)
    (device.folder / "a.jpg").write_bytes(body)
    links = Sending(device)
    links.cuts = list(cuts)
    sent = device.load("upload").Uploader(links, url).send("/sd/a.jpg")
    assert sent.attempts == (2 if cuts else 1)
    assert [
        file.read_bytes() == body for file in folder.iterdir() if file.is_file() and file.stat().st_size == size
    ] == [True]
    assert not sent.proven  # it tells no digest: the outbox keeps its pictures in /sd/sent
    for file in folder.iterdir():
        if file.is_file():
            file.unlink()
