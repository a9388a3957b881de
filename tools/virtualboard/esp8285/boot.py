"""What the boot ROM and the second-stage loader print before the AT firmware starts."""

from __future__ import annotations

CAUSES = {"power": 1, "external": 2, "software": 1, "watchdog": 4}
"""`rst cause` of each kind of reset, as seen in boot logs; AT+RST shows the same number as power-on."""

_LOADER = (
    (0x40100000, 1856, 16, 0, 0x63),
    (0x3FFE8000, 776, 8, 0, 0x02),
    (0x3FFE8310, 552, 8, 0, 0x79),
)


def cause_number(cause: str | int) -> int:
    """The number that the ROM prints. ValueError for an unknown word."""
    if isinstance(cause, int):
        return cause
    try:
        return CAUSES[cause]
    except KeyError:
        raise ValueError(f"unknown reset cause {cause!r}; known: {', '.join(CAUSES)}") from None


def boot_text(cause: int, strapped: bool) -> bytes:
    """The text of one boot. `strapped`: GPIO15 was high, so the ROM waits for an SDIO host for ever."""
    head = f"\r\n ets Jan  8 2013,rst cause:{cause}, boot mode:({7 if strapped else 3},7)\r\n\r\n"
    if strapped:
        return (head + "waiting for host\r\n").encode()
    lines = [
        f"load 0x{address:08x}, len {size}, room {room} \r\ntail {tail}\r\nchksum 0x{checksum:02x}\r\n"
        for address, size, room, tail, checksum in _LOADER
    ]
    loader = (
        "csum 0x79\r\n\r\n"
        "2nd boot version : 1.5\r\n"
        "  SPI Speed      : 40MHz\r\n"
        "  SPI Mode       : DOUT\r\n"
        "  SPI Flash Size & Map: 8Mbit(512KB+512KB)\r\n"
        "jump to run user1 @ 1000\r\n\r\n"
    )
    return (head + "".join(lines) + loader).encode()
