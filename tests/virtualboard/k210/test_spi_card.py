"""SPI1 to the SD card, by the accesses of MaixPy-v1's sdcard.c over the SDK's spi.c: command, data and CRC bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.registers import Registers
from virtualboard.board import Board, BoardConfig
from virtualboard.k210.soc import Soc

CS = 29  # pad and, by MaixPy's choice, GPIOHS number
TRANSMIT, RECEIVE = 1, 2


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "A.TXT").write_bytes(b"on the card")
    built = Board(BoardConfig(card=str(tmp_path / "card")))
    yield built
    built.power_off()


class Card:
    """sd_write_data and sd_read_data, and what sdcard.c makes of them. `bits` is the size of data frames."""

    def __init__(self, soc: Soc, bits: int) -> None:
        self.soc, self.bits = soc, bits
        self.spi, self.pins = Registers(soc.spis[1]), Registers(soc.gpiohs)
        fpioa = Registers(soc.fpioa)
        for pad, function in ((26, 71), (27, 83), (28, 70), (CS, 24 + CS)):
            fpioa[f"io[{pad}]"] = function
        self.pins.insert("output_en", 1, CS, 1)
        self.select(False)
        self.spi["baudr"] = 40
        self.write(b"\xff" * 10)
        self.select(True)

    def select(self, on: bool) -> None:
        self.pins.insert("output_val", int(not on), CS, 1)

    def frames(self, bits: int, mode: int) -> None:
        """spi_init (little-endian for 32-bit frames) and spi_set_tmod."""
        for name in ("imr", "dmacr", "ser", "ssienr"):
            self.spi[name] = 0
        self.spi["ctrlr0"] = bits - 1 << 16 | mode << 8
        self.spi["endian"] = int(bits == 32)

    def write(self, data: bytes, bits: int = 8) -> None:
        """spi_send_data_standard."""
        self.frames(bits, TRANSMIT)
        self.spi["ssienr"] = 1
        self.spi["ser"] = 2
        for at in range(0, len(data), bits // 8):
            assert self.spi["txflr"] < 32
            self.spi["dr[0]"] = int.from_bytes(data[at : at + bits // 8], "little")
        self.finish()

    def read(self, size: int, bits: int = 8) -> bytes:
        """spi_receive_data_standard without a command: one dummy frame starts the clock."""
        self.frames(bits, RECEIVE)
        self.spi["ctrlr1"] = size * 8 // bits - 1
        self.spi["ssienr"] = 1
        self.spi["dr[0]"] = 0xFFFF_FFFF
        self.spi["ser"] = 2
        data = bytearray()
        while len(data) < size:
            for _ in range(self.spi["rxflr"]):
                data += self.spi["dr[0]"].to_bytes(bits // 8, "little")
            self.soc.clock.advance(1000)
        self.finish()
        return bytes(data)

    def finish(self) -> None:
        while self.spi["sr"] & 5 != 4:
            self.soc.clock.advance(100)
        self.spi["ser"] = 0
        self.spi["ssienr"] = 0

    def command(self, number: int, argument: int, crc: int = 1) -> int:
        """sd_send_cmd and sd_get_response: R1."""
        self.write(bytes((number | 0x40, *argument.to_bytes(4, "big"), crc)))
        for _ in range(255):
            answer = self.read(1)[0]
            if answer != 0xFF:
                return answer
        raise AssertionError(f"CMD{number} was not answered")

    def start(self) -> None:
        """sd_switch_to_idle and sd_init: CMD0, CMD8, ACMD41 until ready, CMD58."""
        assert self.command(0, 0, 0x95) == 1
        assert self.command(8, 0x1AA, 0x87) == 1
        assert self.read(4) == b"\x00\x00\x01\xaa"
        for _ in range(255):
            assert self.command(55, 0) in (0, 1)
            if self.command(41, 0x4000_0000) == 0:
                break
        assert self.command(58, 0) == 0
        assert self.read(4)[0] & 0xC0 == 0xC0  # ready, addressed by blocks

    def read_block(self, sector: int) -> bytes:
        """sd_read_sector: CMD17, FE, 512 bytes, CRC."""
        assert self.command(17, sector) == 0
        while (token := self.read(1)[0]) == 0xFF:
            self.soc.clock.advance(10_000)
        assert token == 0xFE
        data = self.read(512, self.bits)
        self.read(2)
        return data

    def write_block(self, sector: int, data: bytes) -> None:
        """sd_write_sector: CMD24, FE, 512 bytes, two dummies, data response, busy."""
        assert self.command(24, sector) == 0
        self.write(b"\xff\xfe")
        self.write(data, self.bits)
        self.write(b"\xff\xff")
        assert self.read(1)[0] & 0x1F == 5
        while self.read(1)[0] == 0:
            self.soc.clock.advance(10_000)


@pytest.fixture(params=[8, 32])
def card(request: pytest.FixtureRequest, soc: Soc) -> Card:
    built = Card(soc, request.param)
    built.start()
    return built


def test_the_first_block_is_a_partition_table(card: Card) -> None:
    block = card.read_block(0)
    assert block[510:] == b"\x55\xaa"
    assert block[450] == 0x0C  # FAT32 by blocks


def test_blocks_come_back_as_they_were_written(card: Card) -> None:
    first = int.from_bytes(card.read_block(0)[454:458], "little")
    sectors = int.from_bytes(card.read_block(0)[458:462], "little")
    data = random.Random(4).randbytes(512)
    last = first + sectors - 1
    before = card.read_block(last - 1)
    card.write_block(last, data)
    assert card.read_block(last) == data
    assert card.read_block(last - 1) == before


def test_deselected_it_does_not_hear(card: Card) -> None:
    card.select(False)
    card.write(bytes((0x40, 0, 0, 0, 0, 0x95)))
    assert set(card.read(16)) == {0xFF}


def test_an_empty_slot_answers_nothing(tmp_path: Path) -> None:
    board = Board(BoardConfig())
    card = Card(Soc(board), 8)
    card.write(bytes((0x40, 0, 0, 0, 0, 0x95)))
    assert set(card.read(32)) == {0xFF}
    board.power_off()


def test_bytes_take_their_time(card: Card) -> None:
    clock = card.soc.clock
    start = clock.now
    card.write(bytes(30))
    # 390 MHz / 40 a bit.
    assert clock.now - start == pytest.approx(30 * 8 * 40 * 1000 / 390, rel=0.005)
