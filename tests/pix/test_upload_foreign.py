"""pix.upload against receivers of other people: the tus server tuspyserver (FastAPI, dev extra) and both netcats."""

import random
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rig.patience import patient
from rig.receivers import Sending

SERVER = """
import sys
import uvicorn
from fastapi import FastAPI
from tuspyserver import create_tus_router
app = FastAPI()
app.include_router(create_tus_router(files_dir=sys.argv[1], prefix="files"))
uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def is_listening(port):
    tables = [table.read_text() for table in Path("/proc/net").glob("tcp*")]
    return any(re.search(f":{port:04X} [0-9A-F:]+ 0A ", table) for table in tables)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """(URL, folder of its uploads)."""
    for package in ("tuspyserver", "fastapi", "uvicorn"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("foreign")
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(folder), str(port)])
    try:
        end = time.monotonic() + patient(30)
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


@pytest.mark.parametrize("size", [1, 7012, 300_001])
@pytest.mark.parametrize(
    "command", ["nc.openbsd -l {}", "nc.openbsd -l -p {}", "nc.openbsd -lN {}", "nc.traditional -l -p {}"]
)
def test_each_netcat_takes_a_raw_upload(device, tmp_path, command, size):
    """As a user starts it, with a terminal that stays open; the sender waits until netcat has closed in order."""
    program, *arguments = command.format(port := free_port()).split()
    if shutil.which(program) is None or not Path("/proc/net/tcp").exists():
        pytest.skip(f"no {program} on PATH (Debian: netcat-openbsd, netcat-traditional)")
    body = random.Random(size).randbytes(size)
    (device.folder / "a.jpg").write_bytes(body)
    with (tmp_path / "x.jpg").open("wb") as out:
        netcat = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, stdout=out)
    try:
        # It takes one connection only, so none can be spent on finding out whether it listens.
        end = time.monotonic() + patient(30)
        while not is_listening(port):
            assert netcat.poll() is None and time.monotonic() < end
            time.sleep(0.01)
        uploader = device.load("upload").Uploader(Sending(device), f"tcp://127.0.0.1:{port}")
        sent = uploader.send("/sd/a.jpg")
        assert netcat.wait(patient(20)) == 0
    finally:
        netcat.kill()
        netcat.wait()
        netcat.stdin.close()
    assert (tmp_path / "x.jpg").read_bytes() == body
    assert (sent.bytes, sent.proven) == (size, False)
