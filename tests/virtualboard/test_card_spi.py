"""The card on the SPI bus, asked as MaixPy's driver asks, bytes compared with the SD specification."""

from __future__ import annotations

import random

import pytest

from rig.fat_image import tree_of
from virtualboard.card.card import SdCard, Timing
from virtualboard.card.fat32 import SECTOR
from virtualboard.card.registers import cid, crc7, crc16, csd
from virtualboard.clock import MS, US, Clock


class Driver:
    """The bus master: time passes byte by byte, waiting is bounded as in MaixPy (65535 reads)."""

    def __init__(self, card):
        self.card = card
        self.spi = card.spi
        self.polls = 0

    def bytes(self, data):
        given = self.spi.exchange(data)
        self.card.clock.advance(len(data) * self.card.timing.byte_ns)
        return given

    def read(self, count):
        return self.bytes(b"\xff" * count)

    def answer(self):
        for _ in range(0xFFFF):
            self.polls += 1
            byte = self.read(1)[0]
            if byte != 0xFF:
                return byte
        return 0xFF

    def command(self, number, argument=0, crc=1):
        self.spi.select(True)
        assert self.bytes(bytes([0x40 | number]) + argument.to_bytes(4, "big") + bytes([crc])) == b"\xff" * 6

    def end(self):
        self.spi.select(False)
        self.bytes(b"\xff")

    def simple(self, number, argument=0, crc=1, more=0):
        self.command(number, argument, crc)
        status = self.answer()
        rest = self.read(more)
        self.end()
        return (status, rest) if more else status

    def init(self):
        self.spi.select(False)
        assert self.read(10) == b"\xff" * 10
        if self.simple(0, 0, 0x95) != 1:
            return False
        assert self.simple(8, 0x1AA, 0x87, more=4) == (1, b"\0\0\x01\xaa")
        for _ in range(255):
            assert self.simple(55) == 1
            if self.simple(41, 0x4000_0000) == 0:
                break
        return self.simple(58, more=4) == (0, b"\xc0\xff\x80\x00")

    def register(self, number):
        self.command(number)
        assert self.answer() == 0
        assert self.answer() == 0xFE
        data = self.read(18)
        self.end()
        assert crc16(data[:16]) == int.from_bytes(data[16:], "big")
        return data[:16]

    def read_block(self, sector):
        self.command(17, sector)
        assert self.answer() == 0
        token = self.answer()
        if token != 0xFE:
            self.end()
            return token
        data = self.read(512)
        assert int.from_bytes(self.read(2), "big") == crc16(data)
        self.end()
        return data

    def write_block(self, sector, data):
        """Returns the data response and how many bytes said busy."""
        self.command(24, sector)
        assert self.answer() == 0
        self.bytes(b"\xff\xfe")
        self.bytes(data)
        self.bytes(b"\xff\xff")
        response = self.read(1)[0] & 0x1F
        busy = 0
        if response == 5:
            while self.read(1) == b"\0":
                busy += 1
        self.end()
        return response, busy


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / "HELLO.TXT").write_bytes(b"hello card")
    return folder


@pytest.fixture
def card(folder):
    return SdCard(Clock(), folder, capacity=64 << 20)


@pytest.fixture
def driver(card):
    driver = Driver(card)
    assert driver.init()
    return driver


def test_checksums_are_those_of_the_specification():
    assert crc7(bytes([0x40, 0, 0, 0, 0])) == 0x95
    assert crc7(bytes([0x48, 0, 0, 1, 0xAA])) == 0x87
    assert crc7(bytes([0x51, 0, 0, 0, 0])) == 0x55
    assert crc16(b"\xff" * 512) == 0x7FA1


def test_registers_as_maixpy_takes_them_apart(card, driver):
    data = driver.register(9)
    assert data == csd(card.geometry.sectors)
    assert data[0] >> 6 == 1
    assert data[5] & 0x0F == 9
    assert data[15] == crc7(data[:15])
    size = (data[7] & 0x3F) << 16 | data[8] << 8 | data[9]
    assert (size + 1) * 1024 * 512 == 64 << 20 == card.capacity
    assert driver.register(10) == cid()
    assert len(cid()) == 16
    big = csd((32 << 30) // 512)
    assert ((big[7] & 0x3F) << 16 | big[8] << 8 | big[9]) + 1 == 65536


def test_before_init_most_commands_are_illegal(card):
    driver = Driver(card)
    driver.spi.select(False)
    driver.read(10)
    assert driver.simple(0, 0, 0x95) == 1
    assert driver.simple(17, 0) == 5
    assert driver.simple(58, more=4) == (1, b"\x00\xff\x80\x00")
    assert driver.simple(55) == 1
    assert driver.simple(41, 0) == 1
    assert driver.simple(55) == 1
    assert driver.simple(41, 0) == 1  # a host that cannot do high capacity waits for ever
    assert driver.simple(0, 0, 0x94) == 0x09


def test_other_commands(driver):
    assert driver.simple(16, 512) == 0
    assert driver.simple(16, 1024) == 0x40
    assert driver.simple(13, more=1) == (0, b"\0")
    assert driver.simple(23, 4) == 4  # without CMD55 before it this is no command
    assert driver.simple(55) == 0
    assert driver.simple(23, 4) == 0
    assert driver.simple(12) == 4
    assert driver.simple(17, 1 << 30) == 0x40
    assert driver.simple(24, 1 << 30) == 0x40
    assert driver.simple(0, 0, 0x95) == 1
    assert driver.simple(17, 0) == 5  # and the card has to be initialised again


def test_checksums_are_checked_when_asked_for(driver):
    assert driver.simple(59, 1) == 0
    assert driver.simple(13, 0, 1) == 8
    assert driver.simple(13, 0, crc7(bytes([0x4D, 0, 0, 0, 0])), more=1) == (0, b"\0")
    frame = bytes([0x58, 0, 0, 0x50, 0])
    driver.command(24, 0x5000, crc7(frame))
    assert driver.answer() == 0
    driver.bytes(b"\xfe" + bytes(512) + b"\x12\x34")
    assert driver.read(1)[0] & 0x1F == 0x0B
    assert not driver.spi.files_changed


def test_blocks_read_and_written(card, driver, folder):
    mbr = driver.read_block(0)
    assert mbr[510:] == b"\x55\xaa"
    block = random.Random(3).randbytes(512)
    sector = card.geometry.sectors - 1
    assert driver.write_block(sector, block)[0] == 5
    assert driver.read_block(sector) == block
    assert driver.spi.files_changed
    assert driver.spi.flush().problems == []
    assert not driver.spi.files_changed
    assert tree_of(folder) == {"HELLO.TXT": b"hello card"}


def test_exchanges_in_any_pieces_give_the_same_bytes(card, driver):
    """Byte by byte, in one go, or by DMA in between: what is on the wire is the same, but for waiting."""
    driver.command(17, 0)
    whole = driver.read(1200)
    driver.end()
    driver.command(17, 0)
    single = b"".join(driver.read(1) for _ in range(1200))
    driver.end()
    assert whole.strip(b"\xff")[:516] == single.strip(b"\xff")[:516]
    start = whole.index(b"\xfe")
    # 100 us until the token: 312 bytes at 25 MHz.
    assert 312 <= start <= 320
    assert single.index(b"\xfe") == start


def test_times_on_the_bus(folder):
    timing = Timing(read_access_ns=1 * MS, program_ns=2 * MS)
    card = SdCard(Clock(), folder, capacity=64 << 20, timing=timing)
    driver = Driver(card)
    driver.init()
    begin = card.clock.now
    driver.read_block(0)
    assert 1 * MS <= card.clock.now - begin < 1 * MS + 200 * US
    response, busy = driver.write_block(9, bytes(512))
    assert response == 5
    assert abs(busy * timing.byte_ns - 2 * MS) < 2 * US


def test_an_engine_may_jump_to_the_end_of_a_wait(card, driver):
    driver.command(17, 0)
    assert driver.answer() == 0
    until = card.spi.ready_at
    assert until is not None
    card.clock.advance_to(until)
    assert driver.read(2) == b"\xff\xfe"
    driver.end()
    card.stall(300 * MS)
    driver.command(24, 9)
    driver.answer()
    driver.bytes(b"\xff\xfe" + bytes(514))
    assert driver.read(1) == b"\xe5"
    assert driver.read(3) == b"\0\0\0"
    assert card.spi.ready_at is not None
    assert card.spi.ready_at - card.clock.now > 299 * MS
    assert card.busy_until == card.spi.ready_at
    card.clock.advance_to(card.spi.ready_at)
    assert driver.read(1) == b"\xff"
    assert card.spi.ready_at is None


def test_busy_goes_on_while_the_card_is_not_selected(card, driver):
    card.stall(10 * MS)
    driver.command(24, 9)
    driver.answer()
    driver.bytes(b"\xff\xfe" + bytes(514))
    driver.read(2)
    driver.end()
    assert driver.read(2) == b"\xff\xff"
    driver.spi.select(True)
    assert driver.read(2) == b"\0\0"
    card.clock.advance(11 * MS)
    assert driver.read(1) == b"\xff"


def test_multiple_read_until_stopped(card, driver):
    blocks = [driver.read_block(sector) for sector in range(card.geometry.start, card.geometry.start + 4)]
    driver.command(18, card.geometry.start)
    assert driver.answer() == 0
    for block in blocks:
        assert driver.answer() == 0xFE
        assert driver.read(512) == block
        driver.read(2)
    driver.end()
    assert driver.simple(12) == 0
    assert driver.read_block(0)[510:] == b"\x55\xaa"


def test_multiple_write_with_and_without_its_stop_token(card, driver):
    for stop in (True, False):
        blocks = [random.Random(i + stop).randbytes(512) for i in range(3)]
        driver.command(25, 100_000)
        assert driver.answer() == 0
        for block in blocks:
            driver.bytes(b"\xff\xfc" + block + b"\xff\xff")
            assert driver.read(1) == b"\xe5"
            while driver.read(1) == b"\0":
                pass
        if stop:
            driver.bytes(b"\xfd\xff")
            assert driver.read(1) == b"\0"
            while driver.read(1) == b"\0":
                pass
        driver.end()
        assert [driver.read_block(100_000 + i) for i in range(3)] == blocks


def test_failing_blocks(card, driver):
    card.fail_reads(1)
    assert driver.read_block(0) == 0x04
    assert isinstance(driver.read_block(0), bytes)
    card.fail_writes(2)
    assert driver.write_block(9, bytes(512))[0] == 0x0D
    assert driver.write_block(9, bytes(512))[0] == 0x0D
    assert not card.spi.files_changed
    assert driver.write_block(9, bytes(512))[0] == 5


def test_stalls_come_every_so_many_bytes(card, driver):
    card.stall_every(1024, 50 * MS)
    waits = [driver.write_block(9, bytes(512))[1] * card.timing.byte_ns for _ in range(4)]
    assert [wait > 49 * MS for wait in waits] == [False, True, False, True]


def test_no_card_no_answer(card, driver):
    card.remove()
    driver.spi.select(True)
    assert driver.read(20) == b"\xff" * 20
    assert not driver.init()
    card.insert()
    assert driver.simple(17, 0) == 5
    assert driver.init()
    assert driver.read_block(0)[510:] == b"\x55\xaa"


def test_another_card_shows_another_folder(card, driver, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "NEW.TXT").write_bytes(b"new")
    card.remove()
    card.insert(other)
    assert driver.init()
    root = driver.read_block(card.geometry.sector_of(2))
    assert b"NEW     TXT" in root
    assert b"HELLO   TXT" not in root


@pytest.mark.parametrize("seed", range(4))
def test_a_power_loss_tears_the_block_in_flight(folder, seed):
    card = SdCard(Clock(), folder, capacity=64 << 20, seed=seed)
    driver = Driver(card)
    driver.init()
    driver.write_block(9, b"o" * 512)
    driver.command(24, 9)
    driver.answer()
    driver.bytes(b"\xff\xfe" + b"n" * 512 + b"\xff\xff")
    assert driver.read(1) == b"\xe5"
    card.power_loss()
    block = card.spi.volume.read(9)
    cut = block.count(b"n")
    assert block == b"n" * cut + b"o" * (512 - cut)
    again = SdCard(Clock(), folder, capacity=64 << 20, seed=seed)
    assert cut == again.random.randrange(SECTOR + 1)
    assert driver.simple(17, 0) == 5  # the card has to be initialised again


def test_a_block_half_sent_is_not_written(card, driver):
    driver.write_block(9, b"o" * 512)
    driver.command(24, 9)
    driver.answer()
    driver.bytes(b"\xff\xfe" + b"n" * 300)
    card.power_loss()
    assert card.spi.volume.read(9) == b"o" * 512


def test_a_file_written_through_the_bus_comes_into_the_folder(card, driver, folder):
    """What FatFs does for a small new file: table, data, directory entry."""
    geometry = card.geometry
    info = driver.read_block(geometry.start + 1)
    free = int.from_bytes(info[492:496], "little")
    table = bytearray(driver.read_block(geometry.fat_start))
    table[4 * free : 4 * free + 4] = b"\xff\xff\xff\x0f"
    root = bytearray(driver.read_block(geometry.sector_of(2)))
    slot = next(at for at in range(0, 512, 32) if root[at] == 0)
    entry = b"SNAP    JPG" + b"\x20\x18" + bytes(7) + b"\0\0" + bytes(4) + free.to_bytes(2, "little")
    root[slot : slot + 32] = entry + (5).to_bytes(4, "little")
    driver.write_block(geometry.sector_of(free), b"\xff\xd8abc".ljust(512, b"\0"))
    driver.write_block(geometry.fat_start, bytes(table))
    driver.write_block(geometry.sector_of(2), bytes(root))
    card.flush()
    assert card.spi.report.written == ["snap.jpg"]
    assert tree_of(folder) == {"HELLO.TXT": b"hello card", "snap.jpg": b"\xff\xd8abc"}
