"""Addresses in the settings: `setup` takes and refuses what the board does, and says the right form."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from maixpix.board import addresses, bundle, device_code, settings
from maixpix.commands.setup import setup
from maixpix.errors import UserError

SERVER = "http://192.168.1.10:8000"


def run(folder, *args, **more):
    return CliRunner().invoke(setup, ["--card", str(folder), *args], **more)


def stored(folder):
    return json.loads((folder / "pix.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("server", "http://pc", None),
        ("server", "HTTP://PC:8000/", None),
        ("server", " http://pc:8000\t", "http://pc:8000"),
        ("server", "http://pc:8000/my pictures", None),
        ("server", "http://my_pc.local:1", None),
        ("server", "http://pc:65535", None),
        ("server", "http://müller.example:8000/a", "http://xn--mller-kva.example:8000/a"),
        ("server", "http://Straße.example", "http://xn--strae-oqa.example"),
        ("server", "http://bücher。example", "http://xn--bcher-kva.example"),
        ("picture", "http://猫.example/猫.jpg", "http://xn--z7x.example/猫.jpg"),
        ("picture", "http://pc/my holiday.jpg", None),
        ("picture", "my holiday #1.jpg", None),
        ("picture", "Größe.jpg", None),
        ("command", "http://pc/snap?", None),
        ("upload", SERVER, None),
        ("upload", "192.168.1.10:3456", None),
        ("upload", "tcp://pc", None),
        ("upload", "tcp+name://pc:3456", None),
        ("upload", "http://pc:1080/files/", None),
        ("upload", "tcp://müller.example:3456", "tcp://xn--mller-kva.example:3456"),
        ("upload", "müller.example:3456", "xn--mller-kva.example:3456"),
    ],
)
def test_what_the_board_can_use_is_taken(tmp_path, name, given, kept):
    done = run(tmp_path, "--set", f"{name}={given}")
    assert done.exit_code == 0, done.exception
    assert stored(tmp_path) == {name: kept or given}


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        ("server", "http://[fe80::1]:8000", "the Wi-Fi module cannot do IPv6; use the IPv4 address of that computer"),
        ("server", "http://pc:65536", "the port must be 1 to 65535; write it as http://192.168.1.10:8000"),
        ("server", "http://pc:0", "the port must be 1 to 65535"),
        ("server", "http://pc:80a", "the port must be 1 to 65535"),
        ("server", "http://my pc:8000", "a host name cannot have ' '"),
        ("server", "http:///x", "the host is missing"),
        ("server", "http:/pc", "it does not begin with http://"),
        ("server", "ftp://pc", "it does not begin with http://"),
        ("server", "http:/pc:8000", "write http://pc:8000"),
        ("server", "http//pc:8000", "write http://pc:8000"),
        ("server", "http:pc:8000", "it does not begin with http://; write http://pc:8000"),
        ("server", "http://pc:8000/?x=1", "a server's address has no ? or #; write it as http://192.168.1.10:8000"),
        ("server", "http://pc:8000#x", "a server's address has no ? or #"),
        ("server", "192.168.1.10:8000", "it does not begin with http://; write http://192.168.1.10:8000"),
        ("server", "//pc:8000", "it does not begin with http://"),
        ("server", "http://-\u202e.example", "no host can be called"),
        ("server", "https://pc:8443", "no usable TLS; use http://, for example http://192.168.1.10:8000"),
        ("command", "pc/snap", "it does not begin with http://; write http://pc/snap"),
        ("picture", "ftp://pc/x.jpg", "it does not begin with http://"),
        ("picture", "http://[::1]/x.jpg", "the Wi-Fi module cannot do IPv6"),
        ("upload", "pc", "write http://pc (the companion), or host:port (a plain TCP listener)"),
        ("upload", "pc:8000/files/", "it does not begin with http://; write http://pc:8000/files/ (the companion)"),
        ("upload", "tcp://pc:3456/files/", "tcp:// has no path"),
        ("upload", "tcp://pc:99999", "the port must be 1 to 65535"),
        ("upload", "udp://pc:1", "it does not begin with http://"),
        ("upload", "https://pc/files/", "no usable TLS"),
    ],
)
def test_what_the_board_would_refuse_is_refused_with_the_right_form(tmp_path, name, given, line):
    done = run(tmp_path, "--set", f"{name}={given}")
    assert isinstance(done.exception, UserError), done.output
    assert line in done.exception.line
    assert "\n" not in done.exception.line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("upload", "cause"),
    [
        ("192.168.1.10:8000", "takes no plain TCP"),
        ("tcp://192.168.1.10:8000", "takes no plain TCP"),
        (f"{SERVER}/gallery", "takes no uploads at /gallery"),
        (f"{SERVER}/pictures/", "takes no uploads at /pictures/"),
        (f"{SERVER}/files", "takes no uploads at /files"),
    ],
)
def test_a_wrong_upload_target_on_the_server_is_told_with_the_right_one(tmp_path, upload, cause):
    done = run(tmp_path, "--server", SERVER, "--upload", upload)
    assert done.exception.line == f"setting upload: the server of the settings {cause}; use {SERVER}/files/"
    assert run(tmp_path, "--server", SERVER).exit_code == 0
    assert run(tmp_path, "--upload", upload).exception.line == done.exception.line


def test_the_token_and_plain_tcp_exclude_each_other(tmp_path):
    done = run(tmp_path, "--upload", "pc:3456", "--token", env={"MAIXPIX_TOKEN": "sesame"})
    assert done.exception.line == (
        "setting upload: tcp:// cannot carry the token; use tcp+name://pc:3456, or the server's /files/"
    )


def test_an_https_picture_is_offered_through_the_companion(tmp_path):
    picture = "https://me:secret@example.org/a b.jpg?x=1"
    with pytest.raises(UserError) as caught:
        addresses.check({"picture": picture, "server": SERVER + "/", "board": "cube"})
    told = caught.value.line
    assert "no usable TLS for https://" in told
    assert "maixpix serve --allow-fetch" in told
    offered = f"{SERVER}/fetch?url=https%3A%2F%2Fexample.org%2Fa%20b.jpg%3Fx%3D1&size=240x240"
    assert f"--picture '{offered}'" in told
    assert "secret" not in told
    assert run(tmp_path, "--picture", offered).exit_code == 0


@pytest.mark.parametrize(
    "name", ["www.example.org/x.jpg", "http:example.org/x.jpg", "data:image/png;base64,AA", "C:\\x.jpg"]
)
def test_a_name_that_looks_like_an_address_is_noted(tmp_path, name):
    done = run(tmp_path, "--picture", name)
    assert done.exit_code == 0
    assert f"note: picture {name} is a name on the server; an address begins with http://" in done.output


@pytest.mark.parametrize("picture", ["http://me:pass%2Fword@pc:9/a.jpg", "HTTP://pc/x.jpg", "dir/x.jpg"])
def test_an_address_and_a_name_are_not_noted(picture):
    assert settings.notes({"picture": picture}) == []


def test_mistakes_in_the_dialogue_are_told_and_asked_again(tmp_path):
    done = run(tmp_path, input=f"\n192.168.1.10:8000\n{SERVER}\nshow\ncat.jpg\ntoaster\ndock\n9\n1\n\n")
    assert done.exit_code == 0, done.output
    assert "write http://192.168.1.10:8000" in done.output
    assert "setting board must be one of" in done.output
    assert stored(tmp_path) == {
        "server": SERVER, "app": "show", "picture": "cat.jpg", "board": "dock", "rotation": 1, "baud": 1000000,
    }  # fmt: skip


def test_the_door_to_device_code_opens_to_pure_modules_only():
    with pytest.raises(UserError, match="pix is no part of the door"):
        device_code.DeviceCode(bundle.source_root()).load("wifi")
    assert settings.keys() == device_code.load("config").KEYS
