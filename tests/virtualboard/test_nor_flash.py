"""The flash chip against the W25Q128JV's data sheet, in the access patterns of MaixPy and the flashing stub."""

from __future__ import annotations

import pytest

from virtualboard.clock import MS, Clock
from virtualboard.nor_flash import NorFlash


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def flash(clock):
    return NorFlash(clock)


def wire(flash, data, read=0):
    """One transaction on the pins."""
    flash.select(True)
    given = flash.exchange(bytes(data) + b"\xff" * read)
    flash.select(False)
    return given[len(data) :]


def settle(clock, flash):
    clock.advance_to(flash.busy_until)


def test_identity_as_the_firmware_prints_it(flash):
    assert wire(flash, [0x90, 0, 0, 0], 2) == b"\xef\x17"
    assert flash.transfer(0x90, 0, read=2) == b"\xef\x17"
    assert wire(flash, [0x90, 0, 0, 1], 2) == b"\x17\xef"
    assert wire(flash, [0x9F], 3) == b"\xef\x40\x18"
    assert wire(flash, [0xAB, 0, 0, 0], 1) == b"\x17"
    assert NorFlash(Clock(), 8 << 20).transfer(0x9F, read=3) == b"\xef\x40\x17"


def test_blank_at_first_and_reads_wrap_at_the_end(flash):
    assert flash.data.count(0xFF) == 16 << 20
    flash.data[0:2] = b"ab"
    flash.data[-2:] = b"yz"
    assert wire(flash, [0x03, 0xFF, 0xFF, 0xFE], 4) == b"yzab"
    assert flash.transfer(0xEB, 0xFFFFFE, read=5) == b"yzab\xff"


@pytest.mark.parametrize(("instruction", "dummies"), [(0x03, 0), (0x0B, 1), (0x3B, 1), (0x6B, 1), (0xBB, 1), (0xEB, 3)])
def test_every_read_at_every_split(flash, instruction, dummies):
    flash.data[0x123456:0x12345A] = b"maix"
    stream = bytes([instruction, 0x12, 0x34, 0x56]) + bytes(dummies) + b"\xff" * 4
    for split in range(len(stream) + 1):
        flash.select(True)
        given = flash.exchange(stream[:split]) + flash.exchange(stream[split:])
        flash.select(False)
        assert given[-4:] == b"maix"
        assert given[:-4] == b"\xff" * (4 + dummies)


def test_program_needs_write_enable_clears_bits_only_and_takes_time(clock, flash):
    wire(flash, [0x02, 0, 1, 0, 0x0F])
    assert flash.data[0x100] == 0xFF
    wire(flash, [0x06])
    assert wire(flash, [0x05], 1) == b"\x02"
    wire(flash, [0x02, 0, 1, 0, 0x0F])
    assert wire(flash, [0x05], 2) == b"\x01\x01"
    assert wire(flash, [0x03, 0, 1, 0], 1) == b"\xff"  # no reading while busy
    settle(clock, flash)
    assert wire(flash, [0x05], 1) == b"\x00"
    assert wire(flash, [0x03, 0, 1, 0], 1) == b"\x0f"
    wire(flash, [0x06])
    wire(flash, [0x02, 0, 1, 0, 0xF5])
    settle(clock, flash)
    assert flash.data[0x100] == 0x05
    assert (flash.programs, flash.changed) == (2, True)


def test_program_wraps_in_its_page_and_keeps_the_last_256_bytes(clock, flash):
    flash.transfer(0x06)
    flash.transfer(0x32, 0x2FE, b"abcd")
    assert flash.data[0x2FE:0x302] == b"ab\xff\xff"
    assert flash.data[0x200:0x202] == b"cd"
    settle(clock, flash)
    long = bytes(range(256)) + b"\x80\x40"
    flash.transfer(0x06)
    flash.transfer(0x02, 0x1000, long)
    assert flash.data[0x1000:0x1002] == b"\x80\x40"
    assert flash.data[0x1002:0x1100] == bytes(range(2, 256))
    assert flash.data[0x1100] == 0xFF


@pytest.mark.parametrize(("instruction", "size"), [(0x20, 4096), (0x52, 32768), (0xD8, 65536)])
def test_erase_takes_the_whole_block_around_the_address(clock, flash, instruction, size):
    flash.data[:] = bytes(16 << 20)
    address = 3 * size + 77
    wire(flash, [0x06])
    wire(flash, [instruction, *address.to_bytes(3, "big")])
    assert flash.data.count(0xFF) == size
    assert flash.data[3 * size : 4 * size].count(0xFF) == size
    assert flash.busy_until - clock.now >= 45 * MS
    assert flash.erases == 1


def test_chip_erase(clock):
    flash = NorFlash(clock, 64 << 10)
    flash.data[:] = bytes(64 << 10)
    flash.transfer(0x60)
    assert flash.data.count(0) == 64 << 10
    flash.transfer(0x06)
    flash.transfer(0xC7)
    assert flash.data.count(0xFF) == 64 << 10


def test_an_erase_cut_short_does_nothing(flash):
    flash.data[0] = 0
    wire(flash, [0x06])
    wire(flash, [0x20, 0, 0])
    assert flash.data[0] == 0
    assert not flash.busy


def test_commands_while_busy_are_lost(clock, flash):
    flash.data[0x5000] = 0
    wire(flash, [0x06])
    wire(flash, [0x20, 0, 0, 0])
    wire(flash, [0x06])
    wire(flash, [0x20, 0, 0x50, 0])
    settle(clock, flash)
    assert flash.data[0x5000] == 0


def test_quad_needs_the_quad_enable_bit(clock):
    flash = NorFlash(clock, quad_enabled=False)
    flash.data[0] = 0x42
    assert flash.transfer(0x35, read=1) == b"\x00"
    assert flash.transfer(0xEB, 0, read=1) == b"\xff"
    flash.transfer(0x06)
    flash.transfer(0x31, data=b"\x02")
    assert flash.transfer(0x05, read=1) == b"\x01"
    settle(clock, flash)
    assert flash.transfer(0x35, read=1) == b"\x02"
    assert flash.transfer(0xEB, 0, read=1) == b"\x42"


def test_status_write_of_two_bytes_reaches_both_registers(clock, flash):
    wire(flash, [0x06])
    wire(flash, [0x01, 0x00, 0x00])
    settle(clock, flash)
    assert flash.transfer(0x35, read=1) == b"\x00"


def test_reset_needs_its_enable_and_ends_a_write_enable(flash):
    wire(flash, [0x06])
    wire(flash, [0x99])
    assert flash.transfer(0x05, read=1) == b"\x02"
    wire(flash, [0x66])
    wire(flash, [0x99])
    assert flash.transfer(0x05, read=1) == b"\x00"
    wire(flash, [0xFF])
    assert flash.unknown == []
    wire(flash, [0x38])
    assert flash.unknown == [0x38]


def test_power_down_hears_only_its_release(flash):
    wire(flash, [0xB9])
    assert wire(flash, [0x03, 0, 0, 0], 1) == b"\xff"
    assert wire(flash, [0x9F], 1) == b"\xff"
    assert wire(flash, [0xAB, 0, 0, 0], 1) == b"\x17"
    assert wire(flash, [0x9F], 1) == b"\xef"


def test_load_and_save(flash, tmp_path):
    image = tmp_path / "flash.bin"
    image.write_bytes(b"firmware")
    flash.load(image)
    assert flash.transfer(0x03, 0, read=9) == b"firmware\xff"
    flash.save(tmp_path / "kept.bin")
    assert (tmp_path / "kept.bin").read_bytes() == bytes(flash.data)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["flash.bin", "kept.bin"]
    with pytest.raises(ValueError, match="only 65536"):
        NorFlash(Clock(), 64 << 10).load(tmp_path / "kept.bin")


def test_sizes_that_no_chip_has():
    with pytest.raises(ValueError, match="powers of two"):
        NorFlash(Clock(), 1000)
