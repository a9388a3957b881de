"""I2C by the accesses of the SDK's i2c.c: i2c_init, i2c_send_data, i2c_recv_data, and devices that do not answer."""

from __future__ import annotations

import pytest

from rig.registers import Registers, claim, enable_interrupt, pending
from virtualboard.k210.soc import Soc

READ, STOP = 0x100, 0x200
TX_ABRT, TX_EMPTY = 0x40, 0x10
THERE, ABSENT = 0x55, 0x23


class Memory:
    """A device with 256 registers and a pointer to the next."""

    def __init__(self) -> None:
        self.cells = bytearray(range(256))
        self.pointer = 0
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.pointer = data[0]
        for byte in data[1:]:
            self.cells[self.pointer] = byte
            self.pointer += 1

    def read(self, count: int) -> bytes:
        self.pointer += count
        return bytes(self.cells[self.pointer - count : self.pointer])


@pytest.fixture
def memory(soc: Soc) -> Memory:
    soc.i2cs[1].slaves[THERE] = Memory()
    return soc.i2cs[1].slaves[THERE]


@pytest.fixture
def i2c(soc: Soc) -> Registers:
    return Registers(soc.i2cs[1])


def init(i2c: Registers, address: int) -> None:
    """i2c_init: master, fast, 7-bit addresses."""
    i2c["enable"] = 0
    i2c["con"] = 0x63
    i2c["ss_scl_hcnt"] = i2c["ss_scl_lcnt"] = 243
    i2c["tar"] = address
    i2c["intr_mask"] = 0
    i2c["dma_cr"], i2c["dma_rdlr"], i2c["dma_tdlr"] = 3, 0, 4
    i2c["enable"] = 1


def send(i2c: Registers, data: bytes) -> int:
    """i2c_send_data: 0, or 1 after an abort."""
    i2c["clr_tx_abrt"] = i2c["clr_tx_abrt"]
    while data:
        room = min(8 - i2c["txflr"], len(data))
        for byte in data[:room]:
            i2c["data_cmd"] = byte
        if i2c["tx_abrt_source"]:
            return 1
        data = data[room:]
    status = i2c["status"]
    assert not status & 1  # not active
    assert status & 4  # transmit FIFO empty
    return int(bool(i2c["tx_abrt_source"]))


def receive(i2c: Registers, first: bytes, count: int) -> bytes | None:
    """i2c_recv_data; None after an abort."""
    for byte in first:
        i2c["data_cmd"] = byte
    if i2c["tx_abrt_source"]:
        return None
    data, asked = bytearray(), 0
    while len(data) < count:
        for _ in range(min(i2c["rxflr"], count - len(data))):
            data.append(i2c["data_cmd"] & 0xFF)
        for _ in range(min(8 - i2c["txflr"], count - asked)):
            i2c["data_cmd"] = READ
            asked += 1
        if i2c["tx_abrt_source"]:
            return None
    return bytes(data)


def test_writes_arrive_in_one_piece(i2c: Registers, memory: Memory) -> None:
    init(i2c, THERE)
    assert send(i2c, b"\x10" + bytes(range(200, 220))) == 0
    assert memory.writes == [b"\x10" + bytes(range(200, 220))]
    assert memory.cells[0x10:0x24] == bytes(range(200, 220))


def test_reads_after_a_register_number(i2c: Registers, memory: Memory) -> None:
    init(i2c, THERE)
    assert receive(i2c, b"\x40", 20) == bytes(range(0x40, 0x54))
    assert memory.writes == [b"\x40"]


def test_nobody_at_the_address(i2c: Registers, memory: Memory) -> None:
    init(i2c, ABSENT)
    assert send(i2c, b"\x00\x01") == 1
    assert i2c["tx_abrt_source"] & 1  # 7-bit address not acknowledged
    assert i2c["raw_intr_stat"] & TX_ABRT
    assert receive(i2c, b"\x00", 4) is None
    i2c["clr_tx_abrt"]
    assert (i2c["tx_abrt_source"], i2c["raw_intr_stat"] & TX_ABRT) == (0, 0)
    init(i2c, THERE)
    assert send(i2c, b"\x00\x01") == 0
    assert memory.cells[0] == 1


def test_reading_from_nobody_aborts(i2c: Registers, memory: Memory) -> None:
    init(i2c, ABSENT)
    assert receive(i2c, b"", 4) is None
    assert i2c["rxflr"] == 0


def test_an_abort_interrupts(soc: Soc, i2c: Registers) -> None:
    enable_interrupt(soc, 9)  # IRQN_I2C1_INTERRUPT
    init(i2c, ABSENT)
    i2c["intr_mask"] = TX_ABRT
    assert not pending(soc)
    i2c["data_cmd"] = STOP
    assert claim(soc) == 9
    assert i2c["intr_stat"] == TX_ABRT
    i2c["clr_intr"]
    assert i2c["intr_stat"] == 0


def test_received_bytes_interrupt_above_the_level(soc: Soc, i2c: Registers, memory: Memory) -> None:
    enable_interrupt(soc, 9)
    init(i2c, THERE)
    i2c["rx_tl"] = 1
    i2c["intr_mask"] = 4
    i2c["data_cmd"] = READ
    assert not pending(soc)
    i2c["data_cmd"] = READ | STOP
    assert pending(soc)
    assert i2c["data_cmd"] == 0
    assert not i2c["raw_intr_stat"] & 4


def test_disabling_forgets_what_was_not_read(i2c: Registers, memory: Memory) -> None:
    init(i2c, THERE)
    i2c["data_cmd"] = READ
    i2c["enable"] = 0
    i2c["enable"] = 1
    assert i2c["rxflr"] == 0


def test_the_camera_answers_on_every_bus(soc: Soc) -> None:
    """cambus_scan (MaixPy-v1): the register pointer, then a byte back."""
    for bus in soc.i2cs:
        i2c = Registers(bus)
        init(i2c, 0x30)
        assert send(i2c, b"\xff\x01") == 0  # sensor bank
        assert receive(i2c, b"\x0a", 1) == b"\x26"
        assert receive(i2c, b"\x0b", 1) == b"\x42"
