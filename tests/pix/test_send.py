"""apps/send.py end to end: what the setting names, in order, once; byte for byte at the receiver."""

import base64
import hashlib
import os
import random
import re
import shutil
import socket
import subprocess

import pytest

from maixpix.companion import UploadLimits, running
from rig.patience import patient
from rig.receivers import Listener, Sending, Tus
from rig.uploads import Station, receiver, stored
from virtualboard.board import BoardConfig
from virtualboard.launch import run_app

MATCHES = """
import sys
from pix.pick import matches
for name, pattern in %r:
    print("match", matches(name, pattern))
"""


@pytest.fixture
def station(tmp_path, board_card):
    return Station(board_card(tmp_path / "card"))


def files(station, names, dates=None):
    """Files with contents of their own on the card, from the same second unless `dates` has others: name -> bytes."""
    made = {}
    for i, name in enumerate(names):
        path = station.card / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(random.Random(i).randbytes(1000 + 37 * i))
        date = (dates or {}).get(name, 1_700_000_000)
        os.utime(path, (date, date))
        made[path.name] = path.read_bytes()
    return made


def tus(companion):
    return f"http://pc:{companion.port}/files/"


def test_patterns(station):
    cases = [
        ("a.jpg", "*.jpg", True), ("A.JPG", "*.jpg", True), ("a.jpeg", "*.jpg", False), ("a.jpg", "*", True),
        ("img_07.jpg", "img_??.jpg", True), ("img_7.jpg", "img_??.jpg", False), ("", "*", True), ("a", "", False),
        ("aXbXc", "a*b*c", True), ("aXbXcd", "a*b*c", False), ("ab", "a**b", True), ("abab", "*ab", True),
    ]  # fmt: skip
    result = run_app(BoardConfig(card=str(station.card)), MATCHES % [case[:2] for case in cases])
    assert re.findall(r"match (\w+)", result.console) == [str(case[2]) for case in cases]


def test_files_folders_and_patterns_in_order(station, tmp_path):
    made = files(
        station, ["one.txt", "DCIM/c.jpg", "DCIM/a.jpg", "DCIM/b.jpg", "DCIM/b.txt", "logs/x.log", "logs/y.log"]
    )
    (station.card / "DCIM" / "a.~jp").write_bytes(b"a sidecar of ours")
    with running(receiver(tmp_path)) as companion:
        settings = {"upload": tus(companion), "send": "DCIM/*.jpg one.txt /sd/logs", "name": "garden"}
        result = station.run("send", settings)
        assert result.ok and "done, 0 not sent" in result.console, result.console
        order = re.findall(r"^safe /sd/(\S+)", result.console, re.M)
        assert order == ["DCIM/a.jpg", "DCIM/b.jpg", "DCIM/c.jpg", "one.txt", "logs/x.log", "logs/y.log"]
        kept = stored(tmp_path)
        assert {name: made[name] for name in kept} == kept and len(kept) == 6
        assert (station.card / "DCIM" / "a.jpg").exists()
        # The second time nothing goes over the line but what is new.
        (station.card / "DCIM" / "b.jpg").write_bytes(b"changed")
        again = station.run("send", settings)
    assert len(re.findall(r"^had been sent ", again.console, re.M)) == 5
    assert re.findall(r"^safe (\S+)", again.console, re.M) == ["/sd/DCIM/b.jpg"]
    assert '"board": "garden"' in (tmp_path / "uploads" / "log.jsonl").read_text()


def test_the_oldest_first_by_date_then_by_number(station, tmp_path):
    """Counters do not care for leading zeros, and cameras begin new folders; the date knows better where it differs."""
    day = 86_400
    dates = {"DCIM/IMG_0007.JPG": 1_700_000_000 - day, "DCIM/b100.jpg": 1_700_000_000 - 2 * day}
    names = ["b10.jpg", "b2.jpg", "b010a.jpg", "B3.jpg", "a11.jpg", "IMG_0007.JPG", "b100.jpg", "b1x2.jpg", "b1x10.jpg"]
    files(station, ["DCIM/" + name for name in names], dates)
    with running(receiver(tmp_path)) as companion:
        result = station.run("send", {"upload": tus(companion), "send": "DCIM"})
    order = re.findall(r"^safe /sd/DCIM/(\S+)", result.console, re.M)
    assert order == ["b100.jpg", "IMG_0007.JPG", "a11.jpg", "b1x2.jpg", "b1x10.jpg", "b2.jpg", "B3.jpg", "b10.jpg",
                     "b010a.jpg"]  # fmt: skip


def test_files_of_the_board_itself_have_no_date(station):
    """MaixPy dates them 2060 and the time since its start, which says nothing after the next start."""
    program = """
import sys, uos, utime
from pix.pick import paths
for name in ("x10.jpg", "x9.jpg", "x1.jpg"):
    with open("/sd/new/" + name, "wb") as f:
        f.write(b"x")
    utime.sleep_ms(2500)
print([uos.stat("/sd/new/" + name)[8] >= 1893456000 for name in uos.listdir("/sd/new")])
print([path[8:] for path in paths("new")])
"""
    files(station, ["new/old7.jpg"])
    result = run_app(BoardConfig(card=str(station.card)), program)
    assert "['old7.jpg', 'x1.jpg', 'x9.jpg', 'x10.jpg']" in result.console, result.console + result.stderr


def test_the_digest_survives_a_damaged_field_name(device):
    """A flipped byte in "Upload-Metadata" hides the digest in it; the one in Repr-Digest is still there."""
    tus = Tus()
    (device.folder / "a.jpg").write_bytes(b"x" * 7000)
    device.load("upload").Uploader(Sending(device), tus.url).send("/sd/a.jpg")
    tus.close()
    told = base64.b64encode(hashlib.sha256(b"x" * 7000).digest()).decode()
    assert tus.requests[0][2]["Repr-Digest"] == f"sha-256=:{told}:"


def test_more_files_than_one_batch(station):
    names = [f"f{i}.bin" for i in range(130)]
    random.Random(5).shuffle(names)
    files(station, ["many/" + name for name in names])
    program = "import sys\nsys.path.append('/sd/apps')\nimport send\nfor path in send.paths('many'): print(path)\n"
    result = run_app(BoardConfig(card=str(station.card)), program)
    assert re.findall(r"^/sd/many/f(\d+)", result.console, re.M) == [str(i) for i in range(130)]


def test_the_outbox_is_emptied(station, tmp_path):
    ours = station.plant(3)
    with running(receiver(tmp_path)) as companion:
        result = station.run("send", {"upload": tus(companion)})
    assert result.ok and stored(tmp_path) == ours and station.waiting() == {}


def test_a_refused_file_keeps_none_of_the_others(station, tmp_path):
    made = files(station, ["a.bin", "b.bin", "c.bin"])
    (station.card / "b.bin").write_bytes(bytes(90_000))
    with running(receiver(tmp_path, upload_limits=UploadLimits(max_file_bytes=50_000))) as companion:
        result = station.run("send", {"upload": tus(companion), "send": "*.bin"})
    assert "error upload-refused" in result.console and "done, 1 not sent" in result.console
    assert stored(tmp_path) == {name: made[name] for name in ("a.bin", "c.bin")}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"upload": ""}, "error settings: A setting is wrong or missing: upload is not set"),
        ({"upload": "http://pc:1/files/", "send": "nothing.jpg"}, "error card-error"),
        ({"upload": "http://pc:1/files/", "send": "one.txt"}, "error refused"),
        ({"upload": "https://pc/files/", "send": "one.txt"}, "error https"),
        (
            {"upload": "tcp://pc:1", "send": "one.txt", "token": "t"},
            "error settings: A setting is wrong or missing: tcp://",
        ),
    ],
)
def test_trouble_is_told(station, settings, line):
    files(station, ["one.txt"])
    result = station.run("send", settings)
    assert result.ok and line in result.console


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
@pytest.mark.parametrize("size", [1, 3000, 50_000])
def test_a_listener_that_throws_it_away_is_noticed(station, at, size):
    """It resets at the first byte, as a companion does that wants a token; a tiny file is acknowledged by then."""
    nc = Listener()
    nc.limits = [1] * 10
    (station.card / "x.jpg").write_bytes(random.Random(9).randbytes(size))
    result = station.run("send", {"upload": f"tcp://pc:{nc.port}", "send": "x.jpg"}, at=at)
    nc.close()
    assert "error link-lost" in result.console and "\nsent " not in result.console, result.console


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_a_plain_listener_gets_every_byte(station, at):
    nc = Listener()
    body = random.Random(9).randbytes(50_021)
    (station.card / "x.jpg").write_bytes(body)
    result = station.run("send", {"upload": f"tcp://pc:{nc.port}", "send": "x.jpg"}, at=at)
    nc.close()
    assert "sent /sd/x.jpg 50021 bytes" in result.console
    assert [bytes(data) for data in nc.received] == [body]


@pytest.mark.parametrize(
    "fault",
    [
        {"when": {"lane": "to_modem", "byte": 20_000}, "do": "drop"},
        {"when": {"lane": "to_modem", "byte": 20_000}, "do": "double"},
        {"when": {"lane": "to_modem", "byte": 20_000}, "do": "close-link", "link": 4, "reset": True},
        {"when": {"lane": "to_modem", "byte": 20_000}, "do": "reset-modem"},
        {"when": {"command": "AT+CIPSEND", "nth": 5}, "do": "fail-send"},
    ],
    ids=lambda fault: fault["do"],
)
def test_a_plain_listener_gets_it_again_after_a_break(station, fault):
    nc = Listener()
    body = random.Random(9).randbytes(50_021)
    (station.card / "x.jpg").write_bytes(body)
    result = station.run("send", {"upload": f"tcp://pc:{nc.port}", "send": "x.jpg"}, faults=[fault])
    nc.close()
    assert "sent /sd/x.jpg 50021 bytes" in result.console
    assert bytes(nc.received[-1]) == body


def test_rates_in_virtual_time(station, tmp_path):
    """Shares of the line rate at 1 Mbaud from the first to the last byte of a raw upload. The module answers after
    1 ms, the peer is 4 ms away: a segment of 1460 bytes takes 14.6 ms on the line, and at least 1.7 ms more with
    CIPSENDBUF, 5.7 ms more with CIPSEND (89 and 72 %)."""
    program = """
import utime
from pix import config, wifi
from pix.upload import Uploader
settings = config.load()
modem = wifi.bring_up(settings)
class Links:
    def __init__(self, pipelined):
        self.pipelined = pipelined
    def connect(self, host, port, timeout_ms, pipelined=False):
        return modem.connect(host, port, timeout_ms, self.pipelined)
for pipelined in (True, False):
    sent = Uploader(Links(pipelined), settings.upload).send("/sd/x.bin")
    print("rate", sent.bytes * 1000 // sent.elapsed_ms)
"""
    nc = Listener()
    (station.card / "x.bin").write_bytes(bytes(400_000))
    (station.card / "apps" / "rates.py").write_text(program)
    result = station.run("rates", {"upload": f"tcp://pc:{nc.port}"}, at="1.7.4")
    nc.close()
    pipelined, plain = (int(rate) / 100_000 for rate in re.findall(r"rate (\d+)", result.console))
    assert pipelined > 0.80, pipelined
    assert plain > 0.67, plain


@pytest.mark.skipif(shutil.which("nc") is None, reason="no nc here")
def test_nc_itself(station, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    body = random.Random(10).randbytes(30_003)
    (station.card / "x.jpg").write_bytes(body)
    with (
        (tmp_path / "x.jpg").open("wb") as out,
        subprocess.Popen(["nc", "-l", "-p", str(port)], stdout=out, stdin=subprocess.DEVNULL) as nc,
    ):
        result = station.run("send", {"upload": f"tcp://pc:{port}", "send": "x.jpg"})
        nc.wait(patient(20))
    assert "sent /sd/x.jpg 30003 bytes" in result.console, result.console
    assert (tmp_path / "x.jpg").read_bytes() == body
