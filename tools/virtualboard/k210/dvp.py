"""DVP: the camera port with its SCCB master. Registers: Kendryte SDK dvp.h; use: dvp.c and MaixPy-v1 sensor.c.

Frames come at the sensor's rate as long as its clock runs. A frame is stored when `dvp_en` was set before or in the
interrupt at its start: RGB565 for display and one plane a colour for the KPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.camera import ADDRESS, dvp_words, planes, rgb565
from virtualboard.clock import Alarm
from virtualboard.k210.bus import Device
from virtualboard.k210.plic import IRQ_DVP

if TYPE_CHECKING:
    from virtualboard.camera import Camera
    from virtualboard.k210.soc import Soc

_CFG, _R, _G, _B, _CMOS, _SCCB_CFG, _SCCB_CTL, _STS, _RGB = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x20, 0x28
_START_INT, _FINISH_INT, _AI_OUT, _DISPLAY_OUT, _BURST = 1, 2, 4, 8, 0x100
_CLK_ENABLE, _RESET, _POWER_DOWN = 0x100, 0x1_0000, 0x100_0000
_START, _START_WE, _FINISH, _FINISH_WE = 1, 2, 0x100, 0x200
_EN, _EN_WE, _SCCB_EN = 0x1_0000, 0x2_0000, 0x100_0000
_READOUT_NUM, _READOUT_DEN = 9, 10  # share of the frame time in which lines come, the rest is blanking


class Dvp(Device):
    NAME = "dvp"
    BASE = 0x5043_0000
    TIMED = True
    KEPT = ("_status", "_register", "_taking")
    NAMES = {  # noqa: RUF012
        0x00: "dvp_cfg", 0x04: "r_addr", 0x08: "g_addr", 0x0C: "b_addr", 0x10: "cmos_cfg", 0x14: "sccb_cfg",
        0x18: "sccb_ctl", 0x1C: "axi", 0x20: "sts", 0x24: "reverse", 0x28: "rgb_addr",
    }  # fmt: skip

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self._camera = soc.board.camera
        self._status = 0
        self._register = 0
        self._taking = False
        self._alarm: Alarm | None = None
        self.reads = {_STS: self._read_sts}
        self.writes = {_STS: self._write_sts, _CMOS: self._set_cmos, _CFG: self._set_cfg}

    def reset(self) -> None:
        super().reset()
        self._status = 0
        self._taking = False
        self._stop()
        self._update()

    def restore(self, state: dict[str, object]) -> None:
        super().restore(state)
        self._run()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels that the firmware has set up."""
        config = self.regs.get(_CFG, 0)
        burst = 4 if config & _BURST else 1
        return (config >> 12 & 0xFF) * 8 * burst, config >> 20 & 0x3FF

    # -- frames -------------------------------------------------------------------------------------------

    def _set_cmos(self, value: int) -> None:
        before = self.regs.get(_CMOS, 0)
        self.regs[_CMOS] = value
        if (before ^ value) & _RESET:
            self._camera.reset(bool(value & _RESET))
        if (before ^ value) & _POWER_DOWN:
            self._camera.power_down(bool(value & _POWER_DOWN))
        self._run()

    def _set_cfg(self, value: int) -> None:
        self.regs[_CFG] = value
        self._run()
        self._update()

    def _run(self) -> None:
        """Let frames come, or stop them, as clock, sensor and picture size say."""
        wanted = self._camera.awake and self.regs.get(_CMOS, 0) & _CLK_ENABLE and all(self.size)
        if not wanted:
            self._stop()
        elif self._alarm is None:
            self._alarm = self.soc.clock.after(self._camera.frame_ns, self._begin)

    def _stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _begin(self) -> None:
        self._status |= _START
        self._update()
        self._alarm = self.soc.clock.after(self._camera.frame_ns * _READOUT_NUM // _READOUT_DEN, self._end)

    def _end(self) -> None:
        rest = self._camera.frame_ns - self._camera.frame_ns * _READOUT_NUM // _READOUT_DEN
        self._alarm = self.soc.clock.after(rest, self._begin)
        if self._status & _EN:
            self._status &= ~_EN
            self._store()
            self._status |= _FINISH
            self._update()

    def _store(self) -> None:
        config = self.regs.get(_CFG, 0)
        picture = self._camera.capture(*self.size)
        if config & _DISPLAY_OUT and self.regs.get(_RGB, 0):
            self.soc.write_bytes(self.regs[_RGB], dvp_words(rgb565(picture)))
        if config & _AI_OUT:
            for address, plane in zip((_R, _G, _B), planes(picture), strict=True):
                if self.regs.get(address, 0):
                    self.soc.write_bytes(self.regs[address], plane)

    # -- status and SCCB ----------------------------------------------------------------------------------

    def _read_sts(self) -> int:
        self.soc.polled()
        return self._status

    def _write_sts(self, value: int) -> None:
        if value & _START_WE and value & _START:
            self._status &= ~_START
        if value & _FINISH_WE and value & _FINISH:
            self._status &= ~_FINISH
        if value & _EN_WE:
            self._status = self._status & ~_EN | value & _EN
        if value & _SCCB_EN:
            self._transfer()
        self._update()

    def _transfer(self) -> None:
        """One SCCB transfer: the device address in the low byte, its lowest bit set for a write."""
        control = self.regs.get(_SCCB_CTL, 0)
        mine = (control & 0xFE) >> 1 == ADDRESS
        count = (self.regs.get(_SCCB_CFG, 0) & 3) + 1
        if control & 1:
            self._register = control >> 8 & 0xFF
            if count >= 3 and mine:
                self._camera.sccb_write(self._register, control >> 16 & 0xFF)
                self._run()
        else:
            value = self._camera.sccb_read(self._register) if mine else 0xFF
            self.regs[_SCCB_CFG] = self.regs.get(_SCCB_CFG, 0) & 0xFF_FFFF | value << 24

    def _update(self) -> None:
        config = self.regs.get(_CFG, 0)
        on = (self._status & _START and config & _START_INT) or (self._status & _FINISH and config & _FINISH_INT)
        self.soc.plic.set_level(IRQ_DVP, bool(on))


class SccbSlave:
    """The camera's control bus on an I2C master, for boards that wire it so."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._register = 0

    def write(self, data: bytes) -> None:
        self._register = data[0]
        if len(data) > 1:
            self._camera.sccb_write(data[0], data[1])

    def read(self, count: int) -> bytes:
        return bytes(self._camera.sccb_read(self._register) for _ in range(count))
