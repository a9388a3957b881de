"""SHA256 by the accesses of the SDK's sha256.c: sha256_init, sha256_update, sha256_final."""

from __future__ import annotations

import hashlib
import random
import struct

import pytest

from rig.registers import Registers
from virtualboard.k210.soc import Soc


def start(block: Registers, size: int) -> None:
    """sha256_init."""
    block["sha_num_reg"] = (size + 64 + 8) // 64
    block["sha_function_reg_1"] = 0
    block["sha_function_reg_0"] = 1 << 16
    block["sha_function_reg_0"] |= 1


def feed(block: Registers, data: bytes) -> None:
    for word in struct.unpack(f"<{len(data) // 4}I", data):
        assert not block["sha_function_reg_1"] & 0x100  # fifo_in_full
        block["sha_data_in1"] = word


def padded(message: bytes) -> bytes:
    """What sha256_final appends: 80, zeros, the length in bits."""
    return message + b"\x80" + bytes((55 - len(message)) % 64) + struct.pack(">Q", 8 * len(message))


def result(block: Registers) -> bytes:
    return struct.pack("<8I", *(block[f"sha_result[{7 - n}]"] for n in range(8)))


@pytest.mark.parametrize("size", [0, 1, 3, 55, 56, 63, 64, 65, 119, 1000])
def test_digests(soc: Soc, size: int) -> None:
    block, message = Registers(soc.sha256), random.Random(size).randbytes(size)
    start(block, size)
    feed(block, padded(message))
    assert block["sha_function_reg_0"] & 1  # done
    assert result(block) == hashlib.sha256(message).digest()


def test_not_done_before_the_last_block_and_begins_anew(soc: Soc) -> None:
    block, message = Registers(soc.sha256), bytes(100)
    start(block, len(message))
    feed(block, padded(message)[:64])
    assert not block["sha_function_reg_0"] & 1
    start(block, 3)
    feed(block, padded(b"abc"))
    assert result(block) == hashlib.sha256(b"abc").digest()
