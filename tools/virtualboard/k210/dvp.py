"""DVP: the camera port. Registers: Kendryte SDK dvp.h; use: dvp.c and MaixPy-v1 sensor.c."""

from __future__ import annotations

from virtualboard.k210.bus import Device


class Dvp(Device):
    NAME = "dvp"
    BASE = 0x5043_0000
    NAMES = {4 * n: f"reg[{n}]" for n in range(11)}  # noqa: RUF012


class SccbSlave:
    """The camera's control bus."""

    def __init__(self, camera: object) -> None:
        self._camera = camera
        self._register = 0

    def write(self, data: bytes) -> None:
        self._register = data[0]
        if len(data) > 1:
            self._camera.sccb_write(data[0], data[1])

    def read(self, count: int) -> bytes:
        return bytes(self._camera.sccb_read(self._register) for _ in range(count))
