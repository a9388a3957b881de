"""OTP: one-time programmable memory, which holds the chip's serial number."""

from __future__ import annotations

from virtualboard.k210.bus import Device


class Otp(Device):
    NAME = "otp"
    BASE = 0x5042_0000
    NAMES = {4 * n: f"reg[{n}]" for n in range(64)}  # noqa: RUF012
