"""The real kflash against a board on a pseudo-terminal, healthy and not."""

from __future__ import annotations

import hashlib
import os
import pty
import random
import struct
import threading
import tty
from dataclasses import replace

import pytest

from maixpix import boards
from maixpix.cli import run as maixpix
from maixpix.errors import UserError
from maixpix.flash import kflash_watch, kfpkg, write
from maixpix.flash.kflash_watch import Limits
from maixpix.flash.plan import plan
from rig.firmware_like import maixpy_like

PATIENT = Limits(greeting=30, stub=30, frame=30, erase=30)
"""For boards that answer: the machine may be busy."""
DOCK = boards.find("dock")


def headed(payload: bytes) -> bytes:
    data = b"\x02" + struct.pack("<I", len(payload)) + payload
    return data + hashlib.sha256(data).digest()


@pytest.mark.parametrize("name", ["auto", "dock", "maixduino"])
def test_firmware_lands_with_header_and_digest(firmware, isp, name):
    board = isp()
    seen = []
    rate = write.write(
        plan([(firmware, None)]),
        board.port,
        boards.find(name),
        460800,
        lambda *step: seen.append(step),
        limits=PATIENT,
    )
    want = headed(firmware.read_bytes())
    assert rate == 460800
    assert bytes(board.flash[: len(want)]) == want
    assert set(board.flash[len(want) :]) == {0xFF}
    assert board.reboots >= 1
    assert seen[-1] == ("maixpy.bin", firmware.stat().st_size, firmware.stat().st_size)


def test_a_file_with_header_is_not_given_a_second_one(tmp_path, isp):
    board = isp()
    image = headed(maixpy_like())
    path = tmp_path / "with_header.bin"
    path.write_bytes(image)
    write.write(plan([(path, None)]), board.port, DOCK, 115200, limits=PATIENT)
    assert bytes(board.flash[: len(image)]) == image


def test_several_images_land_at_their_addresses(tmp_path, firmware, isp):
    board = isp()
    model = tmp_path / "face.kmodel"
    model.write_bytes(b"KMDL" + random.Random(5).randbytes(70_000))
    write.write(plan([(firmware, None), (model, 0x300000)]), board.port, DOCK, 115200, limits=PATIENT)
    want = headed(firmware.read_bytes())
    assert bytes(board.flash[: len(want)]) == want
    assert bytes(board.flash[0x300000:0x311174]) == model.read_bytes()[: 0x311174 - 0x300000]


def test_erase_first_and_erase_alone(firmware, isp):
    board = isp()
    board.flash[0xD00000] = 7
    write.write(plan([(firmware, None)], erase_chip=True), board.port, DOCK, 115200, limits=PATIENT)
    assert board.erased == [(0, 0)]
    assert board.flash[0xD00000] == 0xFF
    write.erase(board.port, DOCK, 0xD00000, 0x300000, limits=PATIENT)
    assert board.erased[1:] == [(0xD00000, 0x300000)]


def test_a_checksum_error_that_kflash_reports_as_success_is_caught_and_cured_at_a_lower_rate(firmware, isp):
    board = isp(checksum_at_frame=2)
    notes = []
    rate = write.write(plan([(firmware, None)]), board.port, DOCK, 460800, note=notes.append, limits=PATIENT)
    want = headed(firmware.read_bytes())
    assert rate == 115200
    assert notes == ["a block arrived damaged and kflash went on; trying again at 115200 baud"]
    assert bytes(board.flash[: len(want)]) == want


def test_a_rate_the_adapter_cannot_do_falls_back(firmware, isp):
    board = isp(fastest=115200)
    limits = replace(PATIENT, stub=5, frame=5)
    assert write.write(plan([(firmware, None)]), board.port, DOCK, 460800, limits=limits) == 115200
    assert bytes(board.flash[5:1000]) == firmware.read_bytes()[:995]


@pytest.mark.parametrize(
    ("faults", "limits", "cause"),
    [
        ({"silent": True}, {"greeting": 2}, "no K210 answered within 2 s"),
        (
            {"silent_from_frame": 2},
            {"frame": 1.5},
            "the board stopped answering for 1.5 s while its flash was written",
        ),
        ({"bad_chunk": 3}, {}, "the boot ROM refused a block of the loader"),
        ({"noise": b"\xc0\xfa\x00\xc0"}, {}, "something answers on this port that is no boot ROM"),
        ({"checksum_at_frame": 1}, {}, "a block arrived damaged and kflash went on"),
    ],
)
def test_a_board_that_misbehaves_ends_in_cause_and_remedy(firmware, isp, faults, limits, cause):
    board = isp(**faults)
    with pytest.raises(UserError) as caught:
        write.write(plan([(firmware, None)]), board.port, DOCK, 115200, limits=replace(PATIENT, **limits))
    assert caught.value.message == cause
    assert caught.value.remedy
    assert board.reboots == 0


def test_a_cable_pulled_during_the_transfer(firmware, isp):
    board = isp(vanish_at_frame=2)
    with pytest.raises(UserError) as caught:
        write.write(plan([(firmware, None)]), board.port, DOCK, 115200, limits=PATIENT)
    assert caught.value.remedy


def test_an_erase_that_never_ends(firmware, isp):
    board = isp(busy_for_ever=True)
    with pytest.raises(UserError, match=r"erasing took more than 1\.5 s"):
        write.write(
            plan([(firmware, None)], erase_chip=True),
            board.port,
            DOCK,
            115200,
            limits=replace(PATIENT, erase=1.5),
        )


def test_a_missing_port_is_named(firmware):
    with pytest.raises(UserError, match="there is no port /dev/maixpix-none"):
        write.write(plan([(firmware, None)]), "/dev/maixpix-none", DOCK, 115200, limits=PATIENT)


def test_plans_that_would_destroy_something_are_refused(tmp_path, firmware):
    blob = tmp_path / "blob.bin"
    blob.write_bytes(bytes(range(256)) * 64)
    with pytest.raises(UserError, match=r"over blob\.bin"):
        plan([(firmware, None), (blob, 0x1000)])
    with pytest.raises(UserError, match="the board's files"):
        plan([(firmware, None), (blob, 0xD00000)])
    assert plan([(firmware, None), (blob, 0xD00000)], over_files=True).parts[1].end == 0xD04000
    with pytest.raises(UserError, match="no K210 firmware"):
        plan([(blob, None)])
    with pytest.raises(UserError, match="behind the 16 MiB flash"):
        plan([(blob, 0xFFF000)], over_files=True)


def test_a_part_between_two_sectors_is_refused_before_anything_is_written(tmp_path, firmware):
    model = tmp_path / "m.kmodel"
    model.write_bytes(b"KMDL" + bytes(5000))
    with pytest.raises(UserError, match="choose 0x300000, or another multiple"):
        plan([(firmware, None), (model, 0x300001)])


def test_every_part_of_the_plan_is_told_with_its_own_address(tmp_path, firmware, capsys):
    model, other = tmp_path / "face.kmodel", tmp_path / "other.kmodel"
    model.write_bytes(b"KMDL" + bytes(5000))
    other.write_bytes(b"KMDL" + bytes(6000))
    bundle = tmp_path / "both.kfpkg"
    kfpkg.write(plan([(firmware, None), (model, 0x300000)]).parts, bundle)
    assert maixpix(["flash", str(bundle), f"{other}@0x400000", "--dry-run"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "0x000000  maixpy.bin of both.kfpkg: 98,304 bytes",
        "0x300000  face.kmodel of both.kfpkg: 5,004 bytes",
        "0x400000  other.kmodel: neural network for the KPU (kmodel), 6,004 bytes",
    ]
    assert maixpix(["flash", f"{other}@0x400000", "--dry-run"]) == 0
    assert "nothing goes to address 0" in capsys.readouterr().err


def test_the_same_percentage_again_and_again_is_no_progress(firmware):
    job = plan([(firmware, None)])
    reader = kflash_watch._Reader(job, None, PATIENT)
    bar = "Programming BIN: |===    | {}% 40KiB/s"
    assert [reader.take(bar.format(p)) for p in ("10.0", "10.0", "20.5", "20.5", "100.0", "100.0")] == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]
    assert reader.crawling(100).cause == "flashing was not done after 100 s"
    assert PATIENT.total(job, 115200) > PATIENT.total(job, 1_500_000) - 1 > 30


def test_a_bundle_equals_the_plan(tmp_path, firmware):
    model = tmp_path / "face.kmodel"
    model.write_bytes(b"KMDL" + bytes(5000))
    job = plan([(firmware, None), (model, 0x300000)])
    bundle = tmp_path / "all.kfpkg"
    kfpkg.write(job.parts, bundle)
    assert plan([(bundle, None)]).parts == job.parts


def test_the_command_flashes_and_listens_for_the_start(firmware, isp, capsys, monkeypatch):
    board = isp()
    assert maixpix(["flash", "--port", board.port, "--board", "dock", "--baud", "115200", str(firmware)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "flashed 98,304 bytes at 115200 baud",
        "MaixPy v0.6.2-44-gd9dc6c58c starts on the board",
    ]
    assert "maixpy.bin: 98,304 of 98,304 bytes" in said.err
    assert not write.confirm(isp(mute=True).port, 0.5)


def test_a_start_that_was_missed_shows_at_the_prompt(monkeypatch):
    monkeypatch.setattr(write, "_ASK_EVERY_S", 0.1)
    master, slave = pty.openpty()
    tty.setraw(slave)

    def board():
        if os.read(master, 1) == b"\r":
            os.write(master, b"\r\n>>> ")

    thread = threading.Thread(target=board)
    thread.start()
    assert write.confirm(os.ttyname(slave), 20)
    thread.join()
    os.close(master)
    os.close(slave)


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    (tmp_path / "page.bin").write_text("<html>not here</html>")
    assert maixpix(["flash", str(tmp_path / "page.bin")]) == 1
    assert (
        capsys.readouterr().err == "maixpix: page.bin is a web page, not the file behind it; download the .bin itself\n"
    )
    assert maixpix(["flash"]) == 2


def test_bundles_are_written_without_a_board(tmp_path, firmware, capsys):
    model = tmp_path / "face.kmodel"
    model.write_bytes(b"KMDL" + bytes(5000))
    out = tmp_path / "both.kfpkg"
    assert maixpix(["flash", str(firmware), f"{model}@0x300000", "--bundle", str(out)]) == 0
    assert [(part.address, part.name) for part in kfpkg.parse(out.read_bytes())] == [
        (0, "maixpy.bin"),
        (0x300000, "face.kmodel"),
    ]
    assert maixpix(["flash", str(firmware), "--bundle", str(tmp_path / "x.zip")]) == 1
    assert "does not end in .kfpkg" in capsys.readouterr().err
