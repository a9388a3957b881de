"""The real kflash against a board on a pseudo-terminal, healthy and not."""

from __future__ import annotations

import hashlib
import io
import os
import pty
import random
import re
import select
import signal
import struct
import threading
import tty
from dataclasses import replace

import pytest
from rich.console import Console

from maixpix import boards, ui
from maixpix.cli import run as maixpix
from maixpix.errors import UserError
from maixpix.flash import kflash_watch, kfpkg, write
from maixpix.flash.kflash_watch import Limits
from maixpix.flash.plan import plan
from rig.board_process import BoardProcess
from rig.firmware_like import maixpy_like

PATIENT = Limits(greeting=30, stub=30, frame=30, erase=30)
"""For boards that answer: the machine may be busy."""
STARVED_S = 8
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
        ({"bad_chunk": 3}, {}, "a block of the loader arrived damaged at the boot ROM"),
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


def test_a_virtual_board_that_its_machine_starves_is_given_its_own_time(tmp_path):
    """It stands still for longer than every limit in the middle of its loader, and is flashed all the same."""
    pytest.importorskip("unicorn", reason="the emulated chip needs the k210 extra")
    image, flash = tmp_path / "maixpy.bin", tmp_path / "board.flash"
    image.write_bytes(maixpy_like(16 * 1024))
    starved = []
    with BoardProcess("--isp", "--flash", str(flash), "--rfc2217", "0") as board:

        def starve(name, done, total):
            if name == kflash_watch.LOADER and 40 < done < 100 and not starved:
                starved.append(name)
                board.process.send_signal(signal.SIGSTOP)
                threading.Timer(STARVED_S, board.process.send_signal, (signal.SIGCONT,)).start()

        limits = replace(PATIENT, stub=STARVED_S / 2)
        rate = write.write(plan([(image, None)]), board.rfc2217, DOCK, 1_500_000, starve, limits=limits)
        assert board.stop() == 0
    assert (starved, rate) == ([kflash_watch.LOADER], 1_500_000)
    want = headed(image.read_bytes())
    assert flash.read_bytes()[: len(want)] == want


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("0xe1", "the boot ROM got a block of the loader of a wrong length"),
        ("0xe2", "a block of the loader arrived damaged at the boot ROM"),
        ("0xe3", "the boot ROM does not know the command it was given"),
        ("0xe9", "the boot ROM refused a block of the loader (code 0xe9)"),
    ],
)
def test_the_boot_roms_refusals_are_told_in_words(firmware, code, cause):
    reader = kflash_watch._Reader(plan([(firmware, None)]), None, PATIENT)
    with pytest.raises(kflash_watch.Failed) as caught:
        reader.take(f"Failed, retry, errcode= {code}")
    assert caught.value.cause == cause


ALL_HINTS = "{slower}; {board}; {port}"


@pytest.mark.parametrize(
    ("port", "board", "rate", "told"),
    [
        (
            "/dev/ttyUSB0", "auto", 460800,
            "use a lower --baud than 460800; name the board with --board; "
            "check --port (an adapter of two ports: the other one)",
        ),
        (
            "/dev/ttyUSB0", "dock", 115200,
            "use another USB port or adapter; is it really a dock (--board)?; "
            "check --port (an adapter of two ports: the other one)",
        ),
        (
            "rfc2217://pc:2217", "go", 115200,
            "look after the network between; is it really a go (--board)?; check the address",
        ),
    ],
)  # fmt: skip
def test_advice_fits_what_was_tried(port, board, rate, told):
    assert write.advice(ALL_HINTS, port, boards.find(board), rate) == told


@pytest.mark.parametrize("line", ["No valid Kendryte K210 found", "port that is not open", "recv unknown op"])
def test_a_board_that_was_named_is_not_asked_for(firmware, line):
    reader = kflash_watch._Reader(plan([(firmware, None)]), None, PATIENT)
    with pytest.raises(kflash_watch.Failed) as caught:
        reader.take(line)
    assert "name the board" in write.advice(caught.value.remedy, "/dev/ttyUSB0", boards.find("auto"), 115200)
    assert "name the board" not in write.advice(caught.value.remedy, "/dev/ttyUSB0", DOCK, 115200)


def test_a_running_board_is_said_to_be_running(firmware):
    master, slave = pty.openpty()
    tty.setraw(slave)
    port = os.ttyname(slave)
    done = threading.Event()

    def prompt():
        while not done.is_set():
            if select.select([master], [], [], 0.2)[0] and b"\r" in os.read(master, 4096):
                os.write(master, b"\r\n>>> ")

    thread = threading.Thread(target=prompt)
    thread.start()
    try:
        with pytest.raises(UserError) as caught:
            write.write(plan([(firmware, None)]), port, DOCK, 115200, limits=replace(PATIENT, greeting=2))
    finally:
        done.set()
        thread.join()
        os.close(master)
        os.close(slave)
    assert caught.value.line == (
        "MaixPy runs on this board and was not reset into the boot ROM; a pseudo-terminal has no reset line: start "
        "`maixpix board` with --isp, or flash through its --rfc2217"
    )


def test_ctrl_c_says_what_state_the_flash_is_in(firmware, isp):
    board = isp()

    def stop_at(wanted):
        def progress(name, done, total):
            if name == wanted and done:
                raise KeyboardInterrupt

        return progress

    with pytest.raises(KeyboardInterrupt):
        write.write(plan([(firmware, None)]), board.port, DOCK, 115200, stop_at(kflash_watch.LOADER), limits=PATIENT)
    with pytest.raises(UserError) as caught:
        write.write(plan([(firmware, None)]), board.port, DOCK, 115200, stop_at("maixpy.bin"), limits=PATIENT)
    told = "stopped: the flash is half written; the board does not start until it is flashed again"
    assert (caught.value.line, caught.value.exit_code) == (told, 130)


def test_a_failure_in_the_middle_says_that_the_flash_is_half_written(firmware, isp):
    board = isp(silent_from_frame=2)
    with pytest.raises(UserError) as caught:
        write.write(plan([(firmware, None)]), board.port, DOCK, 115200, limits=replace(PATIENT, frame=1.5))
    assert caught.value.remedy.endswith("the flash is half written: the board does not start until it is flashed again")


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ("x.bin@zz", "maixpix: zz behind the @ of x.bin is no address; write for example @0x300000"),
        ("x.bin@", "maixpix: nothing behind the @ of x.bin is no address; write for example @0x300000"),
        ("x.bin@0x", "maixpix: 0x behind the @ of x.bin is no address; write for example @0x300000"),
        ("x.bin@-4096", "maixpix: -4096 behind the @ of x.bin is no address; write for example @0x300000"),
        ("x.bin@300000h", "maixpix: 300000h behind the @ of x.bin is no address; write for example @0x300000"),
    ],
)
def test_a_bad_address_is_named(item, line, capsys):
    assert maixpix(["flash", item, "--dry-run"]) == 1
    assert capsys.readouterr().err == line + "\n"


def test_an_at_sign_may_belong_to_a_name(tmp_path, firmware, capsys):
    odd = tmp_path / "maixpy@home.bin"
    odd.write_bytes(firmware.read_bytes())
    assert maixpix(["flash", str(odd), "--dry-run"]) == 0
    assert maixpix(["flash", f"{odd}@010", "--dry-run"]) == 1
    assert "choose 0x0, or another multiple" in capsys.readouterr().err


def test_an_erase_says_how_long_it_takes(firmware, isp, capsys):
    board = isp()
    words = ["flash", "--port", board.port, "--board", "dock", "--baud", "115200", "--no-check", "--erase"]
    assert maixpix([*words, str(firmware)]) == 0
    assert "first erasing the whole flash: usually 40 s, 200 s at most" in capsys.readouterr().err
    assert maixpix(words) == 0
    assert "\nerasing the whole flash: usually 40 s, 200 s at most" in capsys.readouterr().err


def test_a_rate_that_fails_is_not_tried_twice_by_those_who_read(firmware, isp, capsys):
    board = isp(checksum_at_frame=2)
    words = ["flash", "--port", board.port, "--board", "dock", "--baud", "460800", "--no-check", str(firmware)]
    assert maixpix(words) == 0
    assert "note: 460800 baud does not work here; --baud 115200 saves the time of trying" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_progress_fits_the_terminal(columns, capsys):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=columns, color_system=None)
    name = "maixpy_v0.6.2_84_g8fcd84a58_openmv_kmodel_v4_with_ide_support.bin"
    with ui.Meter("flash", console) as meter:
        meter.update(123_456, 2_345_678, name)
        meter.update(2_345_678, 2_345_678, name)
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue()).replace("\r", "\n").split("\n")
    assert max(map(len, lines)) <= columns
    assert {line.split()[0][:6] for line in lines if line.strip()} <= {"maixpy", "flash"}, "one line at a time"
    with ui.Meter("flash") as meter:
        meter.update(2_345_678, 2_345_678, name)
    line = capsys.readouterr().err
    assert len(line) <= 81
    assert line.endswith("...: 2,345,678 of 2,345,678 bytes\n")
