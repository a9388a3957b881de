"""What an SD card says of itself, and the check sums behind all it says.

Layouts: SD Physical Layer Simplified Specification 6.00, chapter 5; check sums: its chapter 4.5.
"""

from __future__ import annotations

import binascii


def csd(sectors: int) -> bytes:
    """The card-specific data register, version 2.0, of a card of `sectors` blocks."""
    units = sectors // 1024 - 1
    body = bytes.fromhex("400e00325b5900") + units.to_bytes(3, "big") + bytes.fromhex("7f800a4000")
    return body + bytes([crc7(body)])


def cid() -> bytes:
    """The card identification register: maker, name, revision, serial number, date."""
    body = b"\x1bMPVIRTU\x10" + (0x6D617870).to_bytes(4, "big") + b"\x01\x8b"
    return body + bytes([crc7(body)])


def crc7(data: bytes) -> int:
    """The last byte of a command frame or register: CRC-7 (x^7 + x^3 + 1) and the end bit."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x12) & 0xFF if value & 0x80 else value << 1
    return value | 1


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM, as it follows every data block."""
    return binascii.crc_hqx(data, 0)
