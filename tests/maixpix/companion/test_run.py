"""Starting and stopping: every wrong setting in words, a clean end by signal, no thread or port left behind."""

from __future__ import annotations

import dataclasses
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from maixpix.companion import PictureLimits, ServeSettings, app, running
from maixpix.companion.app import Companion
from maixpix.companion.run import announcement
from maixpix.companion.uploads.storage import UploadStore
from maixpix.errors import UserError
from rig.patience import patient


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"folder": Path("/nowhere/at/all")}, "there is no folder"),
        ({"port": 70_000}, "70000 is out of range"),
        ({"port": -1}, "-1 is out of range"),
        ({"tcp_port": 3456}, "no folder to go to"),
        ({"token": "short"}, "token is unusable"),
        ({"token": "with a space in it"}, "token is unusable"),
        ({"panel": (0, 240)}, "0x240 is out of range"),
        ({"host": "999.1.1.1"}, "cannot listen on 999.1.1.1"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1"),
    ],
)
def test_wrong_settings_are_told_in_words(folder, changes, words):
    settings = dataclasses.replace(ServeSettings(folder=folder, port=0), **changes)
    with pytest.raises(UserError) as caught, running(settings):
        pass
    assert words in caught.value.line
    assert caught.value.remedy
    assert "\n" not in caught.value.line


def test_unusable_folders_and_ports(folder, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for changes, words in (
        ({"uploads": blocked}, "is not a folder"),
        ({"uploads": blocked / "below"}, "uploads folder"),
        ({"cache_dir": blocked / "below"}, "cache folder"),
    ):
        with pytest.raises(UserError, match=words), running(ServeSettings(folder, port=0, **changes)):
            pass
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for changes in ({"port": port}, {"port": 0, "uploads": tmp_path / "u", "tcp_port": port}):
            with pytest.raises(UserError, match=f"{port} is in use"), running(ServeSettings(folder, **changes)):
                pass


def test_nothing_is_left_behind(folder, tmp_path, client_for):
    for _ in range(3):
        with running(ServeSettings(folder, port=0, uploads=tmp_path / "u", tcp_port=0)) as server:
            assert client_for(server).get("/pictures/c.bmp?size=32x32").status == 200
            port = server.port
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("maixpix")]


def test_an_error_of_the_caller_passes_through(folder):
    with pytest.raises(ZeroDivisionError), running(ServeSettings(folder, port=0)):
        raise ZeroDivisionError


def test_the_token_is_never_shown(folder, tmp_path):
    settings = ServeSettings(folder, token="do-not-print-me", host="0.0.0.0", uploads=tmp_path)
    assert "do-not-print-me" not in repr(settings)
    assert "do-not-print-me" not in "\n".join(announcement(Companion(settings)))


def test_a_token_and_plain_tcp_are_told_not_to_go_together(companion, uploads):
    for token, is_told in ((None, False), ("open-sesame", True)):
        server = companion(uploads=uploads / str(is_told), tcp_port=0, token=token)
        text = "\n".join(announcement(server.companion))
        assert f"raw TCP uploads on port {server.tcp_port}" in text
        assert ("plain TCP are reset" in text) is is_told


def test_opening_to_the_network_is_warned_of(folder):
    for host, is_local in (
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
    ):
        settings = ServeSettings(folder, host=host)
        assert settings.is_local is is_local
        text = "\n".join(announcement(Companion(settings)))
        assert ("warning" in text) is not is_local


def test_it_listens_on_loopback_only(companion):
    server = companion()
    assert server.url.startswith("http://127.0.0.1:")
    others = [info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    for address in others:
        if not address.startswith("127."):
            with socket.socket() as probe:
                assert probe.connect_ex((address, server.port)) != 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows delivers no SIGTERM")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly(companion_process, end):
    process, port = companion_process()
    with socket.create_connection(("127.0.0.1", port)) as idle:
        idle.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"event: hello" in idle.recv(4000) + idle.recv(4000)
        process.send_signal(end)
        assert process.wait(timeout=patient(20)) == 0
    assert "stopping" in process.stdout.read()


def test_importing_it_opens_nothing():
    code = "import maixpix.companion, threading; assert threading.active_count() == 1"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=patient(30))


def test_converted_pictures_are_kept_where_asked(folder, tmp_path, client_for):
    settings = ServeSettings(folder, port=0, cache_dir=tmp_path / "cache", pictures=PictureLimits(cache_memory_bytes=0))
    for conversions in (1, 0):
        with running(settings) as server:
            assert client_for(server).get("/pictures/c.bmp?size=32x32").status == 200
            assert server.companion.serving.cache.conversions == conversions


def test_the_hourly_cleaner_outlives_a_failure(companion, uploads, monkeypatch):
    """Whatever one round raises, the next one comes."""
    rounds = threading.Semaphore(0)

    def fail(self: UploadStore) -> int:
        rounds.release()
        raise RuntimeError("something nobody thought of")

    monkeypatch.setattr(UploadStore, "expire", fail)
    monkeypatch.setattr(app, "CLEAN_EVERY_S", 0.01)
    companion(uploads=uploads)
    for _ in range(3):
        assert rounds.acquire(timeout=30)
