from __future__ import annotations

import errno
import json
import os
import pty
from types import SimpleNamespace

import pytest

from maixpix import boards, ports
from maixpix.cli import run as maixpix
from maixpix.errors import UserError


def usb(device, vid, pid, serial_number="1", location="1-2:1.0"):
    return SimpleNamespace(device=device, vid=vid, pid=pid, serial_number=serial_number, location=location)


@pytest.fixture
def plugged(monkeypatch):
    monkeypatch.delenv(ports.PORT_VARIABLE, raising=False)

    def plug(*infos):
        monkeypatch.setattr(ports.list_ports, "comports", lambda: list(infos))

    return plug


def test_one_board_is_found_and_strangers_are_not_chosen(plugged):
    plugged(usb("/dev/ttyS0", None, None), usb("/dev/ttyUSB0", 0x1A86, 0x7523), usb("/dev/ttyACM0", 0x2341, 0x43))
    assert [port.device for port in ports.scan()] == ["/dev/ttyUSB0", "/dev/ttyACM0", "/dev/ttyS0"]
    assert ports.choose(None) == "/dev/ttyUSB0"
    assert "Maix Dock" in ports.scan()[0].guess


def test_of_two_ports_the_boards_own_is_taken(plugged):
    plugged(usb("/dev/ttyUSB10", 0x403, 0x6010, "9", "1-2:1.1"), usb("/dev/ttyUSB9", 0x403, 0x6010, "9", "1-2:1.0"))
    assert [(port.device, port.place, port.count) for port in ports.scan()] == [
        ("/dev/ttyUSB9", 0, 2),
        ("/dev/ttyUSB10", 1, 2),
    ]
    assert ports.choose(None, boards.find("go")) == "/dev/ttyUSB10"
    assert ports.choose(None, boards.find("maixduino")) == "/dev/ttyUSB9"


def test_the_port_that_was_flashed_is_taken_from_then_on(plugged, tmp_path, monkeypatch):
    monkeypatch.setattr(ports.click, "get_app_dir", lambda name: str(tmp_path / name))
    pair = [usb(f"/dev/ttyUSB{n}", 0x403, 0x6010, "9", f"1-2:1.{n}") for n in (0, 1)]
    plugged(*pair)
    assert ports.choose(None) == "/dev/ttyUSB0"
    ports.remember("/dev/ttyUSB1")
    assert ports.choose(None) == "/dev/ttyUSB1"
    assert ports.choose(None, boards.find("auto")) == "/dev/ttyUSB1"
    assert ports.choose(None, boards.find("cube")) == "/dev/ttyUSB0"
    plugged(*[usb(info.device, 0x403, 0x6010, "another", info.location) for info in pair])
    assert ports.choose(None) == "/dev/ttyUSB0"
    (tmp_path / "maixpix" / "ports.json").write_text("[torn")
    plugged(*pair)
    assert ports.choose(None) == "/dev/ttyUSB0"


def test_the_ports_command_lists_and_says_what_is_wrong(plugged, capsys, monkeypatch):
    plugged()
    assert maixpix(["ports"]) == 1
    assert capsys.readouterr().err == ("maixpix: no serial port was found; plug the board in with a data cable\n")
    plugged(*[usb(f"/dev/ttyUSB{n}", 0x403, 0x6010, "9", f"1-2:1.{n}") for n in (0, 1)])
    monkeypatch.setattr(ports, "trouble", lambda device: "in use by screen (process 7)" if device[-1] == "1" else "")
    assert maixpix(["ports"]) == 0
    what = "two-port FT2232 type: Maix Go, Bit (mic), Maixduino, Cube, Amigo, Nano"
    assert capsys.readouterr().out.splitlines() == [
        f"/dev/ttyUSB0  0403:6010  {what}, port 1 of 2",
        f"/dev/ttyUSB1  0403:6010  {what}, port 2 of 2",
        "    in use by screen (process 7)",
        "two-port boards: go and amigo flash through the second port, the others through the first",
    ]
    assert maixpix(["ports", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(port["device"], port["place"], port["count"], port["trouble"]) for port in listed] == [
        ("/dev/ttyUSB0", 0, 2, ""),
        ("/dev/ttyUSB1", 1, 2, "in use by screen (process 7)"),
    ]


def test_two_boards_are_never_guessed_between(plugged):
    plugged(usb("/dev/ttyUSB0", 0x1A86, 0x7523, "1", "1-1"), usb("/dev/ttyUSB1", 0x1A86, 0x7523, "2", "1-2"))
    with pytest.raises(UserError, match="several ports may be the board: /dev/ttyUSB0, /dev/ttyUSB1"):
        ports.choose(None)
    plugged()
    with pytest.raises(UserError, match="no serial port looks like a K210 board"):
        ports.choose(None)


def test_the_environment_names_the_port(plugged, monkeypatch, tmp_path):
    plugged()
    monkeypatch.setenv(ports.PORT_VARIABLE, str(tmp_path))
    assert ports.choose(None) == str(tmp_path)
    with pytest.raises(UserError, match="there is no port /dev/none"):
        ports.choose("/dev/none")


def test_a_busy_port_names_the_program_that_has_it():
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    child = os.fork()
    if child == 0:
        os.read(slave, 1)
        os._exit(0)
    try:
        os.close(slave)
        assert ports.trouble(name).startswith("in use by p")
    finally:
        os.write(master, b"\n")
        os.waitpid(child, 0)
        os.close(master)


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (OSError(errno.EACCES, "Permission denied"), "no permission to open /dev/null", "usermod -a -G"),
        (OSError(errno.ENOENT, "No such file"), "there is no port /dev/null", ""),
        (OSError(errno.EBUSY, "busy"), "/dev/null is in use", "close that program"),
        (OSError(errno.EIO, "strange"), "cannot open /dev/null", "replug"),
    ],
)
def test_errors_of_opening_have_cause_and_remedy(error, cause, remedy):
    told = ports.open_error("/dev/null", error)
    assert told.message.startswith(cause)
    assert remedy in told.remedy


def test_boards_are_found_by_any_of_their_names():
    assert boards.find("goE").name == "go"
    assert boards.find("DAN").name == "dock"
    assert boards.find("bit_mic").kflash == "bit_mic"
    with pytest.raises(UserError, match="no board is called toaster"):
        boards.find("toaster")
