"""The mask ROM: flash images as it checks them, and the ISP protocol byte by byte."""

from __future__ import annotations

import hashlib
import struct
import zlib

import pytest

from rig.asm import assemble
from virtualboard.board import Board
from virtualboard.clock import MS
from virtualboard.k210 import bootrom
from virtualboard.k210.engine import K210Engine

MARK = assemble("li t1, 0x80100000\nli t2, 0x600DF00D\nsw t2, 0(t1)\nend: j end")


def marked(engine: K210Engine) -> bool:
    return struct.unpack_from("<I", engine.soc.ram, 0x100000)[0] == 0x600DF00D


def slip(body: bytes) -> bytes:
    return b"\xc0" + body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


def request(opcode: int, address: int = 0, data: bytes = b"", spoil: int = 0) -> bytes:
    rest = struct.pack("<II", address, len(data)) + data
    return slip(struct.pack("<HHI", opcode, 0, zlib.crc32(rest) ^ spoil) + rest)


def talk(engine: K210Engine, data: bytes) -> bytes:
    engine.board.console_rx.write(data)
    engine.run(timeout_ns=200 * MS)
    return engine.board.console_tx.take()


GREET = slip(b"\xc2" + bytes(12))


def test_boots_the_image_in_flash(engine: K210Engine) -> None:
    engine.install(MARK)
    engine.boot()
    engine.run(timeout_ns=MS)
    assert marked(engine)
    assert not engine.rom.serving


def test_header_is_flags_length_payload_digest() -> None:
    image = bootrom.add_header(b"abc")
    assert image[:8] == b"\x00\x03\x00\x00\x00abc"
    assert image[8:] == hashlib.sha256(image[:8]).digest()
    assert bootrom.payload(image + bytes(100)) == b"abc"


@pytest.mark.parametrize(
    ("flash", "reason"),
    [
        (b"\xff" * 4096, "blank"),
        (b"\x01" + bootrom.add_header(MARK)[1:] + bytes(64), "encrypted"),
        (struct.pack("<BI", 0, 1 << 30) + bytes(64), "claims"),
        (bootrom.add_header(MARK)[:-1] + b"\x00" + bytes(64), "SHA-256"),
        (bootrom.add_header(MARK)[:20] + b"?" + bootrom.add_header(MARK)[21:] + bytes(64), "SHA-256"),
    ],
)
def test_other_contents_are_refused_and_isp_served(engine: K210Engine, flash: bytes, reason: str) -> None:
    with pytest.raises(bootrom.BadImage, match=reason):
        bootrom.payload(flash)
    engine.board.flash.data[: len(flash)] = flash
    engine.boot()
    assert engine.rom.serving
    assert talk(engine, GREET) == b"\xc0\xc2\xe0\xc0"
    assert not marked(engine)


def test_boot_key_selects_isp_although_flash_is_good(engine: K210Engine) -> None:
    engine.install(MARK)
    engine.board.press()
    engine.boot()
    assert engine.rom.serving
    engine.board.press(down=False)
    engine.boot()
    assert not engine.rom.serving


def test_upload_and_run(engine: K210Engine) -> None:
    engine.boot(isp=True)
    padded = MARK + bytes(2000)
    for at in range(0, len(padded), 1024):
        assert talk(engine, request(0xC3, 0x8000_0000 + at, padded[at : at + 1024])) == b"\xc0\xc3\xe0\xc0"
    assert talk(engine, request(0xC5, 0x8000_0000)) == b""
    assert marked(engine)


def test_escapes_reach_memory_as_what_they_stand_for(engine: K210Engine) -> None:
    engine.boot(isp=True)
    data = bytes((0xC0, 0xDB, 0xDC, 0xDD)) * 8
    assert talk(engine, request(0xC3, 0x8000_1000, data)) == b"\xc0\xc3\xe0\xc0"
    assert bytes(engine.soc.ram[0x1000:0x1020]) == data


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        (request(0xC3, 0x8000_0000, b"data", spoil=1), 0xE2),
        (request(0xC3, 0x2000_0000, b"data"), 0xE1),
        (request(0xC9, 0, b""), 0xE3),
        (slip(b"\xc3\x00\x00"), 0xE1),
    ],
)
def test_bad_frames_are_answered_and_change_nothing(engine: K210Engine, frame: bytes, status: int) -> None:
    engine.boot(isp=True)
    before = hashlib.sha256(engine.soc.ram).digest()
    reply = talk(engine, frame)
    assert (reply[0], reply[2], len(reply)) == (0xC0, status, 4)
    assert hashlib.sha256(engine.soc.ram).digest() == before
    assert talk(engine, GREET) == b"\xc0\xc2\xe0\xc0"


def test_noise_before_a_frame_is_skipped(engine: K210Engine) -> None:
    engine.boot(isp=True)
    assert talk(engine, b"garbage" + GREET) == b"\xc0\xc2\xe0\xc0"


def test_software_reset_boots_again(engine: K210Engine, board: Board) -> None:
    engine.install(
        assemble(
            """
            csrr t0, mhartid
        park: bne t0, zero, park
            li t1, 0x80100000
            lw t2, 0(t1)
            addi t2, t2, 1
            sw t2, 0(t1)
            addi t3, zero, 3
            bgeu t2, t3, end
            li t4, 0x50440000
            addi t5, zero, 1
            sw t5, 48(t4)           # SYSCTL soft_reset
            li t6, 0x80100008
            sw t5, 0(t6)            # must never happen
        end: j end
            """
        )
    )
    engine.boot()
    engine.run(timeout_ns=5 * MS)
    assert struct.unpack_from("<III", engine.soc.ram, 0x100000) == (3, 0, 0)
    assert engine.resets == [1, 8, 8]
