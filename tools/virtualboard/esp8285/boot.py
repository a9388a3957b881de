"""What the boot ROM, the second-stage loader and the SDK print before the AT firmware starts.

The lines are those of recorded boots: `bbs1821-rst`, `ch-rst`, `se16194-boot`, `espruino-rst`, `e18711-sdktext`,
`m1w-strap` (ids in tests/virtualboard/esp8285/at-sessions.jsonl).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CAUSES = {"power": 1, "external": 2, "software": None, "exception": 2, "watchdog": 4}
"""`rst cause` of each kind of reset, as seen in boot logs; None: each version of the firmware has its own."""

WARM_BAUD = 115200
"""Rate of the ROM's text when the chip's PLL goes on: the ROM divides for 115200, and only a cold start with a 26 MHz
crystal moves that to 74880. Readable behind AT+RST at 115200 (`se16194-boot`, `espruino-rst`), noise on a module that
is set to 9600 (`jj-rst`): the rate that the AT firmware was set to plays no part."""

_COLD_CAUSES = (0, 1, 2, 5, 6)
"""Numbers of power-on, the reset pin and deep sleep's wake-up (NONOS SDK `rst_info`), for resets told by number."""


@dataclass(frozen=True)
class Segment:
    """One `load` of the ROM: address, length, room, tail, checksum."""

    address: int
    size: int
    room: int
    tail: int
    checksum: int


@dataclass(frozen=True)
class BootText:
    """What one module says at a boot, but for the reset's cause. The fields are those of a common 1 MB image."""

    pins: int = 7
    """Second number of `boot mode`: the levels of the SD pins."""
    segments: tuple[Segment, ...] = (
        Segment(0x40100000, 1856, 16, 0, 0x63),
        Segment(0x3FFE8000, 776, 8, 0, 0x02),
        Segment(0x3FFE8310, 552, 8, 0, 0x79),
    )
    checksum: int = 0x79
    loader: str = "1.5"
    speed: str = "40MHz"
    mode: str = "DOUT"
    flash: str = "8Mbit(512KB+512KB)"
    image: str = "user1 @ 1000"
    instead: bytes | None = None
    """All that a reader at another rate sees of what the fields above and `sdk` say."""
    sdk: bytes = b""
    """What the SDK prints behind the loader, noise included, at the rate of the ROM's text."""
    banner: bytes = b""
    """Vendor lines in front of the last word, at the AT firmware's rate."""
    word: bytes = b"ready"
    """The last word, in an empty line's wake; `invalid` on a module that works nevertheless (`se16194-boot`)."""

    def rom(self, cause: int, strapped: bool) -> bytes:
        """ROM, loader and SDK. `strapped`: GPIO15 was high, so the ROM waits for an SDIO host for ever."""
        if self.instead is not None:
            return self.instead
        head = f"\r\n ets Jan  8 2013,rst cause:{cause}, boot mode:({7 if strapped else 3},{self.pins})\r\n\r\n"
        if strapped:
            return (head + "waiting for host\r\n").encode("latin-1")
        if cause == 4:
            head += "wdt reset\r\n"
        lines = [
            f"load 0x{s.address:08x}, len {s.size}, room {s.room} \r\ntail {s.tail}\r\nchksum 0x{s.checksum:02x}\r\n"
            for s in self.segments
        ]
        loader = (
            f"csum 0x{self.checksum:02x}\r\n\r\n"
            f"2nd boot version : {self.loader}\r\n"
            f"  SPI Speed      : {self.speed}\r\n"
            f"  SPI Mode       : {self.mode}\r\n"
            f"  SPI Flash Size & Map: {self.flash}\r\n"
            f"jump to run {self.image}\r\n\r\n"
        )
        return (head + "".join(lines) + loader).encode("latin-1") + self.sdk

    def last(self) -> bytes:
        """What the AT firmware itself prints when it is up."""
        return self.banner + b"\r\n" + self.word + b"\r\n"


_AI_THINKER = b"\r\nAi-Thinker Technology Co.,Ltd.\r\n"
_SDK_LINES = (
    b"rf cal sector: 1017\r\nrf[112] : 00\r\nrf[113] : 00\r\nrf[114] : 01\r\n\r\n"
    b"SDK ver: 1.5.4.1(39cb9a32) compiled @ Jul  1 2016 20:04:35\r\nphy ver: 972, pp ver: 10.1\r\n\r\n"
)

VARIANTS: dict[str, dict[str, bytes]] = {
    "noise": {"sdk": b"r\x8e\xc39l\x80d\xff"},  # espruino-rst: the SDK's first words at yet another rate
    "rtc": {"sdk": b"don't use rtc mem data\r\nr\xb1"},  # bbs1821-rst
    "sdk": {"sdk": _SDK_LINES},  # e18711-sdktext
    "vendor": {"sdk": b"r\x8e\xc39l\x80d\xff", "banner": _AI_THINKER},  # espruino-rst
    "invalid": {
        "sdk": b"\x8c\xc2MEM CHECK FAIL!!!\r\n\xe4sl\x82r\xf4",
        "banner": b"\r\nAi-Thinker Technology Co. Ltd.\r\n",
        "word": b"invalid",
    },  # se16194-boot
}
"""Boots that differ from the common one, by name: which fields, with the record they were seen in."""


def variant(name: str, of: BootText | None = None) -> BootText:
    """The boot of that name. ValueError for an unknown one."""
    if name not in VARIANTS:
        raise ValueError(f"no boot variant {name!r}; known: {', '.join(VARIANTS)}")
    return replace(of or BootText(), **VARIANTS[name])


def cause_number(cause: str | int, restart_cause: int) -> int:
    """The number that the ROM prints; `restart_cause` is the version's own for AT+RST. ValueError for other words."""
    if isinstance(cause, int):
        return cause
    try:
        number = CAUSES[cause]
    except KeyError:
        raise ValueError(f"unknown reset cause {cause!r}; known: {', '.join(CAUSES)}") from None
    return restart_cause if number is None else number


def is_cold(cause: str | int) -> bool:
    """True for a reset that stops the chip's PLL: power, EN, the reset pin."""
    return cause in (_COLD_CAUSES if isinstance(cause, int) else ("power", "external"))
