"""What a file is, and which ones are refused with which words."""

from __future__ import annotations

import hashlib
import os
import random
import struct
from pathlib import Path

import pytest

from maixpix.cli import run as maixpix
from maixpix.errors import UserError
from maixpix.flash import kfpkg
from maixpix.flash.images import identify, identify_bytes, require_firmware
from rig.firmware_like import maixpy_like

HERE = Path("x.bin")


def headed(payload: bytes, flags: int = 2) -> bytes:
    data = bytes([flags]) + struct.pack("<I", len(payload)) + payload
    return data + hashlib.sha256(data).digest()


def refusal(data: bytes, name: str = "x.bin") -> str:
    with pytest.raises(UserError) as caught:
        identify_bytes(data, Path(name))
    assert caught.value.remedy
    return caught.value.message


def test_a_build_tells_version_date_machine_and_kind():
    image = identify_bytes(maixpy_like(), HERE)
    assert (image.kind, image.version, image.date, image.machine) == (
        "maixpy",
        "v0.6.2-44-gd9dc6c58c",
        "2021-03-30",
        "Sipeed_M1",
    )
    assert (image.build, image.threads, image.headed) == ("minimum", False, False)
    marked = bytearray(maixpy_like())
    marked[9000:9011] = b"find_blobs\0"
    marked[9100:9117] = b"start_new_thread\0"
    assert (identify_bytes(bytes(marked), HERE).build, identify_bytes(bytes(marked), HERE).threads) == ("full", True)
    openmv = bytes(marked).replace(b"start_new_thread", b"no_new_threads_\0")
    assert "openmv build without threads" in identify_bytes(openmv, HERE).title


def test_a_flash_header_is_recognised_and_its_digest_checked():
    data = headed(maixpy_like())
    assert identify_bytes(data, HERE).headed
    damaged = bytearray(data)
    damaged[5000] ^= 1
    assert refusal(bytes(damaged)) == "x.bin is damaged: its SHA-256 does not match"
    assert refusal(data[:-33]).startswith("x.bin is truncated: ")


@pytest.mark.parametrize("cut", [3, 2048, 4096, 50_000, 80_000])
def test_a_truncated_build_is_refused(cut):
    assert "truncated" in refusal(maixpy_like()[:-cut])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x7fELF" + bytes(100), "is an ELF program"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"just some words\n" * 20, "is a text file"),
        (b"\xe9\x03\x02\x40" + bytes(range(200)), "firmware of an ESP chip"),
        (b"\xff" * 4096, "is blank"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is a PNG picture"),
        (b"PK\x03\x04rest", "is a zip archive"),
    ],
)
def test_wrong_files_are_named_for_what_they_are(data, words):
    assert words in refusal(data)


def test_random_bytes_are_data_and_no_firmware():
    image = identify_bytes(random.Random(3).randbytes(50_000), HERE)
    assert image.kind == "data"
    with pytest.raises(UserError, match="no K210 firmware"):
        require_firmware(image)
    with pytest.raises(UserError, match="is a model"):
        require_firmware(identify_bytes(b"KMDL" + bytes(99), HERE))


def test_packages_are_opened_and_damage_in_them_is_found():
    good = kfpkg.build([kfpkg.Part(0, "a.bin", maixpy_like(), True)])
    assert identify_bytes(good, Path("a.kfpkg")).parts[0].program
    assert "no usable flash package" in refusal(good[:-30], "a.kfpkg")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        identify(tmp_path / "none.bin")
    with pytest.raises(UserError, match="is a folder"):
        identify(tmp_path)
    huge = tmp_path / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    with pytest.raises(UserError, match="more than the board's 16 MiB flash"):
        identify(huge)


@pytest.mark.firmware
@pytest.mark.skipif("MAIXPY_FIRMWARE" not in os.environ, reason="MAIXPY_FIRMWARE names no MaixPy image")
def test_the_real_image_and_its_truncations():
    path = Path(os.environ["MAIXPY_FIRMWARE"])
    image = identify(path)
    assert image.kind == "maixpy"
    assert image.version.startswith("v0.")
    require_firmware(image)
    data = path.read_bytes()
    for cut in (5, 2048, 4096, 65536, len(data) // 2):
        assert "truncated" in refusal(data[:-cut])


# -- the command --------------------------------------------------------------------------------------------


def firmware_command(capsys, *words):
    """(exit code, output, errors) of `maixpix firmware`."""
    code = maixpix(["firmware", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def named(tmp_path):
    """A function that writes a file into a folder of its own."""

    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("words", [(), ("show",)])
@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.bin", maixpy_like(), "MaixPy v0.6.2-44-gd9dc6c58c of 2021-03-30"),
        ("a.kfpkg", kfpkg.build([kfpkg.Part(0, "a.bin", maixpy_like(), True)]), "flash package of 1"),
        ("a.kmodel", b"KMDL" + bytes(99), "neural network for the KPU"),
        ("other.bin", maixpy_like().replace(b"MicroPython", b"SomethingEl"), "K210 program that is not MaixPy"),
    ],
)
def test_the_command_tells_what_a_file_is(capsys, named, words, name, data, what):
    path = named(name, data)
    code, out, err = firmware_command(capsys, *words, path)
    assert (code, err) == (0, "")
    assert f"{path}: {what}" in out
    assert hashlib.sha256(data).hexdigest() in out


@pytest.mark.parametrize("words", [(), ("show",)])
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (random.Random(1).randbytes(100_000), "is no K210 firmware (its start is unknown)"),
        (b"PK\x03\x04" + bytes(90), "is a zip archive"),
        (maixpy_like()[:-9000], "is truncated"),
        (b"", "is empty"),
    ],
)
def test_the_command_refuses_what_is_no_firmware(capsys, named, words, data, why):
    code, out, err = firmware_command(capsys, *words, named("a.bin", data))
    assert (code, out) == (1, "")
    assert why in err
    assert err.count("\n") == 1


def test_a_name_that_is_neither_command_nor_file_is_wrong_usage(capsys, tmp_path):
    code, _, err = firmware_command(capsys, tmp_path / "none.bin")
    assert code == 2
    assert "No such command" in err


def test_several_files_stop_at_the_first_that_is_refused(capsys, named):
    good, bad = named("a.bin", maixpy_like()), named("b.bin", bytes(range(256)) * 9)
    code, out, err = firmware_command(capsys, good, bad)
    assert (code, "MaixPy" in out, "b.bin is no K210 firmware" in err) == (1, True, True)
