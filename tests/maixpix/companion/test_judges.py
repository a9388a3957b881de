"""Strangers' programs against the companion: tuspy (whole, in pieces, resumed after a kill) and curl."""

from __future__ import annotations

import io
import os
import shutil
import subprocess

import pytest
from tusclient import client as tus_client
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.storage.filestorage import FileStorage

from maixpix.errors import UserError
from rig.patience import patient


def body_of(size: int) -> bytes:
    return b"\xff\xd8\xff" + bytes((position * position >> 3) % 251 for position in range(size - 5)) + b"\xff\xd9"


@pytest.mark.parametrize("chunk", [None, 10_000])
@pytest.mark.parametrize("checksum", [False, True])
def test_tuspy_uploads_whole_and_in_pieces(receiver, stored_files, chunk, checksum):
    body = body_of(100_000)
    client = tus_client.TusClient(f"http://127.0.0.1:{receiver.port}/files/")
    options = {"chunk_size": chunk} if chunk else {}
    uploader = client.uploader(
        file_stream=io.BytesIO(body), metadata={"filename": "tuspy.jpg"}, upload_checksum=checksum, **options
    )
    uploader.upload()
    assert uploader.offset == len(body)
    ((file, kept),) = stored_files().items()
    assert (file.split("/")[1], kept) == ("tuspy.jpg", body)


def test_tuspy_shows_the_token(companion, uploads, stored_files):
    server = companion(uploads=uploads, token="open-sesame")
    url = f"http://127.0.0.1:{server.port}/files/"
    with pytest.raises(TusCommunicationError):
        tus_client.TusClient(url).uploader(file_stream=io.BytesIO(b"abc")).upload()
    client = tus_client.TusClient(url, headers={"Authorization": "Bearer open-sesame"})
    client.uploader(file_stream=io.BytesIO(b"abc")).upload()
    assert list(stored_files().values()) == [b"abc"]


def test_tuspy_resumes_after_the_companion_was_killed(companion_process, tmp_path, stored_files, uploads):
    body = body_of(300_000)
    source = tmp_path / "big.jpg"
    source.write_bytes(body)
    process, port = companion_process()
    storage = FileStorage(str(tmp_path / "urls.json"))
    options = {"chunk_size": 40_000, "store_url": True, "url_storage": storage, "metadata": {"filename": "big.jpg"}}
    client = tus_client.TusClient(f"http://127.0.0.1:{port}/files/")
    uploader = client.uploader(str(source), **options)
    for _ in range(3):
        uploader.upload_chunk()
    process.kill()
    process.wait()
    with pytest.raises((TusUploadFailed, TusCommunicationError)):
        uploader.upload_chunk()
    assert stored_files() == {}
    companion_process(port)
    again = client.uploader(str(source), **options)
    assert again.offset == 120_000
    again.upload()
    ((file, kept),) = stored_files().items()
    assert (file.split("/")[1], kept) == ("big.jpg", body)


@pytest.fixture
def curl():
    program = shutil.which("curl")
    if program is None:
        pytest.skip("no curl on PATH; the same requests are made by http.client in the other tests")

    def run(*arguments: str) -> str:
        command = [program, "--silent", "--show-error", "--max-time", "20", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run


def test_curl_uploads_by_hand(curl, receiver, tmp_path, stored_files):
    body = body_of(50_000)
    (tmp_path / "a").write_bytes(body[:20_000])
    (tmp_path / "b").write_bytes(body[20_000:])
    base = f"http://127.0.0.1:{receiver.port}"
    resumable = ("--header", "Tus-Resumable: 1.0.0")
    created = curl("-i", "-X", "POST", *resumable, "-H", f"Upload-Length: {len(body)}", f"{base}/files/")
    url = base + next(line.split()[1] for line in created.splitlines() if line.lower().startswith("location:"))
    piece = (*resumable, "-H", "Content-Type: application/offset+octet-stream")
    first = curl("-i", "-X", "PATCH", *piece, "-H", "Upload-Offset: 0", "--data-binary", f"@{tmp_path / 'a'}", url)
    assert "204 No Content" in first
    assert "Upload-Offset: 20000" in curl("--head", *resumable, url)
    second = curl("-i", "-X", "PATCH", *piece, "-H", "Upload-Offset: 20000", "--data-binary", f"@{tmp_path / 'b'}", url)
    assert "Repr-Digest: sha-256=:" in second
    assert list(stored_files().values()) == [body]


def test_curl_resumes_a_download(curl, client, tmp_path, folder):
    whole = client.get("/pictures/b-tall.jpg").body
    target = tmp_path / "got.jpg"
    target.write_bytes(whole[:1000])
    curl("-C", "-", "-o", str(target), f"http://127.0.0.1:{client.port}/pictures/b-tall.jpg")
    assert target.read_bytes() == whole
    etag = tmp_path / "etag"
    url = f"http://127.0.0.1:{client.port}/frame?board=curl&size=64x64"
    curl("--etag-save", str(etag), "-o", os.devnull, f"http://127.0.0.1:{client.port}/pictures/c.bmp?size=64x64")
    again = curl(
        "--etag-compare", str(etag), "-o", os.devnull, "-w", "%{http_code}",
        f"http://127.0.0.1:{client.port}/pictures/c.bmp?size=64x64",
    )  # fmt: skip
    assert again == "304"
    assert curl("-o", os.devnull, "-w", "%{http_code} %{content_type}", url) == "200 image/jpeg"


def test_a_kill_at_any_moment_loses_nothing_acknowledged(companion_process, tus_for, uploads, make_jpeg, stored_files):
    """Killed while boards send: what was acknowledged is there once and whole, the rest can be sent again."""
    process, port = companion_process()
    tus = tus_for(type("Server", (), {"port": port}))
    acknowledged = []
    for number in range(60):
        if number == 40:
            process.kill()
        body = make_jpeg(number)
        try:
            if tus.create(len(body), body, {"filename": "s.jpg"}).status == 201:
                acknowledged.append(body)
        except OSError:
            break
    assert len(acknowledged) >= 40
    process.wait()
    companion_process(port)
    for number in range(60):
        body = make_jpeg(number)
        assert tus.create(len(body), body, {"filename": "s.jpg"}).status == 201
    assert sorted(stored_files().values()) == sorted(make_jpeg(number) for number in range(60))


def test_a_second_companion_keeps_out_of_the_folder(companion_process, companion, uploads):
    process, _ = companion_process()
    with pytest.raises(UserError, match="another companion receives"):
        companion(uploads=uploads)
    process.terminate()
    assert process.wait(timeout=patient(20)) == 0
    assert companion(uploads=uploads).port > 0
