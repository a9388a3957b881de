"""`maixpix serve` as users start it: it receives without being told, says where to, and knows its limits."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from maixpix.amounts import bytes_text, parse_bytes, parse_seconds, seconds_text
from maixpix.cli import run
from maixpix.commands.serve import DEFAULTS, default_uploads
from maixpix.errors import UserError
from rig.patience import patient


@pytest.fixture
def serve(folder, tmp_path):
    """Function that runs `maixpix serve FOLDER ...` in an own current directory; gives its port and first lines."""
    home = tmp_path / "home"
    home.mkdir()
    with contextlib.ExitStack() as stack:

        def start(*options: str) -> SimpleNamespace:
            process = subprocess.Popen(
                [sys.executable, "-m", "maixpix", "serve", str(folder), "--port", "0", *options],
                cwd=home, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            lines = [process.stdout.readline().rstrip("\n")]
            while lines[-1] and not lines[-1].startswith(("only programs", "warning: open")):
                lines.append(process.stdout.readline().rstrip("\n"))
            port = int(lines[0].rstrip("/").rsplit(":", 1)[1])
            return SimpleNamespace(process=process, lines=lines, port=port, home=home)

        yield start


def test_it_receives_into_the_current_directory_and_says_so(serve, tus_for, client_for, make_jpeg):
    server = serve()
    said = "\n".join(server.lines)
    assert f"uploads to {server.home / 'uploads'}: tus at http://127.0.0.1:{server.port}/files/" in said
    assert "--no-uploads receives nothing" in said
    assert "raw TCP" not in said
    body = make_jpeg(1)
    assert tus_for(server).create(len(body), body, {"filename": "snap.jpg"}).status == 201
    assert [path.read_bytes() for path in (server.home / "uploads").glob("2*/snap.jpg")] == [body]
    assert "snap.jpg" in client_for(server).get("/gallery").text
    assert "snap.jpg" not in client_for(server).get("/pictures.json").text
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(patient(20)) == 0


def test_it_can_be_told_to_receive_nothing(serve, tus_for, client_for):
    server = serve("--no-uploads")
    assert "uploads" not in "\n".join(server.lines)
    assert tus_for(server).create(5).status == 404
    assert client_for(server).get("/gallery").status == 404
    assert not (server.home / "uploads").exists()


def test_limits_are_options(serve, tus_for, client_for, tmp_path):
    server = serve(
        "--uploads", str(tmp_path / "in"), "--tcp", "0", "--max-file", "2K", "--max-total", "3K", "--max-count", "2",
        "--reserve", "0", "--expire", "1d",
    )  # fmt: skip
    said = "\n".join(server.lines)
    assert "at most 2K each and 3K together" in said
    assert "raw TCP uploads on port" in said
    tus = tus_for(server)
    assert tus.create(2049).status == 413
    assert tus.create(2048, b"a" * 2048).status == 201
    assert "3072 bytes in all" in tus.create(2048).text
    assert tus.create(4, b"more").status == 201
    assert "2 uploads are stored" in tus.create(4).text
    assert client_for(server).request("OPTIONS", "/files/")["Tus-Max-Size"] == "2048"


def test_uploads_never_land_among_the_pictures_by_default(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_uploads(folder) == tmp_path / "uploads"
    monkeypatch.chdir(folder)
    assert default_uploads(folder) == tmp_path / "uploads"
    inner = folder / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert default_uploads(folder) == tmp_path / "uploads"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "uploads").symlink_to(folder / "inner")
    with pytest.raises(UserError, match="name another folder by --uploads"):
        default_uploads(folder)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--no-uploads", "--uploads", "x"], 2, "--no-uploads goes neither with"),
        (["--no-uploads", "--tcp", "3456"], 2, "--no-uploads goes neither with"),
        (["--max-file", "lots"], 2, "'lots' is no number of bytes; write for example 64M or 2G"),
        (["--expire", "soon"], 2, "'soon' is no time; write for example 12h or 7d"),
        (["--max-file", "2G", "--max-total", "1G"], 1, "one upload of 2G does not fit into 1G"),
        (["--max-file", "0"], 1, "at least one byte"),
    ],
)
def test_wrong_options_are_told_in_words(folder, tmp_path, monkeypatch, capsys, options, code, words):
    monkeypatch.chdir(tmp_path)
    assert run(["serve", str(folder), *options]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "uploads").exists()


def test_help_tells_the_limits_and_what_is_off(capsys):
    assert run(["serve", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("default: 64M", "default: 10G", "default: 256M", "default: 7d", "default: uploads", "default: off"):
        assert words in text


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("64M", 64 * 1024**2), ("2g", 2 * 1024**3), ("1.5K", 1536), ("4096", 4096), ("10MiB", 10 * 1024**2)],
)
def test_sizes_as_people_write_them(text, count):
    assert parse_bytes(text) == count
    assert parse_bytes(bytes_text(count)) == count


@pytest.mark.parametrize("text", ["", "M", "-1M", "1e9", "64 M B", "٣M", "1MM", "9" * 20])
def test_what_is_no_size(text):
    with pytest.raises(UserError, match="64M or 2G"):
        parse_bytes(text)


def test_times_as_people_write_them():
    for text, count in (("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604_800)):
        assert parse_seconds(text) == count
        assert parse_seconds(seconds_text(count)) == count
    assert seconds_text(DEFAULTS.expire_s) == "7d"


def lines_until(server, words: str) -> list[str]:
    lines = []
    while not lines or words not in lines[-1]:
        line = server.process.stdout.readline()
        assert line, lines
        lines.append(line.rstrip("\n"))
    return lines


def test_everything_fetched_and_sent_is_told_in_a_line(serve, tus_for, client_for, make_jpeg):
    server = serve()
    client = client_for(server)
    assert client.get("/pictures/c.bmp?size=32x32&board=dock-1").status == 200
    assert re.fullmatch(r"board dock-1 fetched c\.bmp, \d+ B, \d\.\d s", lines_until(server, "c.bmp")[-1])
    tag = client.get("/frame?board=dock-1&size=32x32")["ETag"]
    assert re.fullmatch(r"board dock-1 fetched a wide\.png, \d+ B, \d\.\d s", lines_until(server, "wide")[-1])
    client.get("/pictures/a%20wide.png?size=32x32", If_None_Match=tag)
    assert re.fullmatch(r"127\.0\.0\.1 has a wide\.png already, \d\.\d s", lines_until(server, "wide")[-1])
    client.get("/pictures/a%20wide.png", Range="bytes=100-")
    assert re.search(r"fetched a wide\.png from byte 100, \d+ kB|from byte 100, \d+ B", lines_until(server, "wide")[-1])
    client.get("/pictures/none%1b%5b31m.png?board=dock-1")
    last = lines_until(server, "none")[-1]
    assert last.startswith("board dock-1 asked for none") and "there is no picture" in last and "\x1b" not in last
    body = make_jpeg(1)
    for name in ("snap.jpg", "other.jpg"):
        assert tus_for(server).create(len(body), body, {"filename": name, "board": "hall"}).status == 201
    assert re.fullmatch(r"board hall sent \d{4}-\d\d-\d\d/snap\.jpg, \d+ B", lines_until(server, "snap.jpg")[-1])
    assert "board hall sent other.jpg once more, which is here as" in lines_until(server, "other.jpg")[-1]


def test_quiet_tells_none_of_it(serve, client_for):
    server = serve("--quiet")
    assert client_for(server).get("/pictures/c.bmp?size=32x32&board=dock-1").status == 200
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) == 0
    assert server.process.stdout.read() == "stopping\n"


def test_old_formats_are_read_when_asked_for(serve, client_for, folder):
    with Image.open(folder / "c.bmp") as picture:
        picture.save(folder / "old.ppm")
    assert client_for(serve("--also-read", "ppm")).get("/pictures/old.ppm?size=32x32").status == 200
