"""Limits on a virtual board's answers are counted in its own time."""

import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from virtualboard.clock import MS, SECOND, Clock
from virtualboard.host.board_time import SLOWEST, BoardTime, announced


class Told:
    """Real seconds and what a port's file would tell, both set by hand."""

    def __init__(self, virtual=0):
        self.real, self.virtual = 100.0, virtual
        self.time = BoardTime("none", lambda: self.real, lambda: self.virtual)

    def after(self, real_s, virtual_s=None):
        """Seconds that the board had when `real_s` more have passed, `virtual_s` of its own."""
        before = self.time.now()
        self.real += real_s
        if virtual_s is not None:
            self.virtual += round(virtual_s * SECOND)
        return pytest.approx(self.time.now() - before)


def test_a_real_boards_time_is_real_time():
    told = Told(virtual=None)
    assert told.after(3) == 3
    assert (told.time.speed, told.time.remark) == (1.0, "")


def test_a_slow_boards_time_is_its_own():
    told = Told()
    assert [told.after(1, 0.2) for _ in range(5)] == [0.2] * 5
    assert told.time.remark == " (the virtual board runs at 0.2 of real time)"


def test_one_that_runs_ahead_gets_no_shorter_limits():
    told = Told()
    assert told.after(1, 3600) == 1
    assert told.after(1, 1.01) == 1
    assert told.time.remark == ""


def test_one_that_hangs_is_given_up_all_the_same():
    told = Told()
    assert told.after(1000) == 1000 * SLOWEST


def test_what_is_told_late_counts_in_full():
    told = Told()
    began = told.time.now()
    for _ in range(4):
        told.after(0.25)  # the board runs, but the file is written once a second
    told.virtual += SECOND
    told.real += 0.03
    assert told.time.now() - began == pytest.approx(1.0)


def test_one_that_went_away_leaves_real_time():
    told = Told()
    told.after(1, 0.1)
    told.virtual = None
    told.after(1)
    assert told.after(5) == 5


@pytest.mark.parametrize(
    ("port", "same", "other"),
    [
        ("/dev/pts/7777", "/dev/pts/7777", "/dev/pts/7778"),
        ("rfc2217://127.0.0.1:7777", "rfc2217://localhost:7777?logging=debug", "rfc2217://127.0.0.1:7778"),
        ("rfc2217://127.0.0.1:7777", "rfc2217://127.0.0.1:7777", "rfc2217://192.0.2.1:7777"),
    ],
)
def test_a_port_tells_its_boards_time_while_it_is_there(port, same, other, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clock = Clock()
    clock.advance(7 * SECOND)
    with announced(clock, port):
        (entry,) = tmp_path.rglob("*77*")
        assert struct.unpack("<qq", entry.read_bytes()) == (os.getpid(), 7 * SECOND)
        assert BoardTime(other).remark == ""
        time = BoardTime(same)
        began = time.now()
        while time.now() - began < 0.004:  # which only the file can tell: real time alone would need five times that
            clock.advance(MS)
    assert not entry.exists()


def test_a_killed_boards_file_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with announced(Clock(), "/dev/pts/7777"):
        (entry,) = tmp_path.rglob("*7777")
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
    entry.write_bytes(struct.pack("<qq", gone.pid, SECOND))
    told = BoardTime("/dev/pts/7777", lambda: 1.0)
    assert told.speed == 1.0
    with announced(Clock(), "/dev/pts/7777"):  # the next board of that name takes its place
        assert struct.unpack("<qq", entry.read_bytes())[0] == os.getpid()


def test_without_a_place_for_the_file_ports_work_as_before(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with announced(Clock(), "/dev/pts/7777"):
        assert Path(tempfile.gettempdir()) == tmp_path / "file"
        assert BoardTime("/dev/pts/7777").speed == 1.0
