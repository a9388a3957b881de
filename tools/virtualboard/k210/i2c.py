"""I2C0-2: DesignWare masters. Registers: Kendryte SDK i2c.h; use: i2c.c, MaixPy-v1 cambus.c (SCCB over I2C)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from virtualboard.k210.bus import Device
from virtualboard.k210.plic import IRQ_I2C0

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

BASES = (0x5028_0000, 0x5029_0000, 0x502A_0000)
_CON, _TAR, _DATA_CMD, _INTR_STAT, _INTR_MASK, _RAW = 0x00, 0x04, 0x10, 0x2C, 0x30, 0x34
_CLR_INTR, _CLR_TX_ABRT, _CLR_STOP = 0x40, 0x54, 0x60
_ENABLE, _STATUS, _TXFLR, _RXFLR, _ABRT = 0x6C, 0x70, 0x74, 0x78, 0x80
_READ, _STOP = 0x100, 0x200
_TX_ABRT, _STOP_DET, _TX_EMPTY, _RX_FULL = 0x40, 0x200, 0x10, 0x04
_NO_ANSWER = 1  # tx_abrt_source: the 7-bit address was not acknowledged


class Slave(Protocol):
    """A device on an I2C bus."""

    def write(self, data: bytes) -> None:
        """A write transfer, address byte excluded."""

    def read(self, count: int) -> bytes:
        """A read transfer of `count` bytes."""


class I2c(Device):
    """I2C `index`; `slaves` by 7-bit address. Transfers take no time beyond the driver's own."""

    TIMED = True
    KEPT = ("_raw", "_abort")
    NAMES = {  # noqa: RUF012
        0x00: "con", 0x04: "tar", 0x08: "sar", 0x10: "data_cmd", 0x14: "ss_scl_hcnt", 0x18: "ss_scl_lcnt",
        0x2C: "intr_stat", 0x30: "intr_mask", 0x34: "raw_intr_stat", 0x38: "rx_tl", 0x3C: "tx_tl",
        0x40: "clr_intr", 0x44: "clr_rx_under", 0x48: "clr_rx_over", 0x4C: "clr_tx_over", 0x50: "clr_rd_req",
        0x54: "clr_tx_abrt", 0x58: "clr_rx_done", 0x5C: "clr_activity", 0x60: "clr_stop_det",
        0x64: "clr_start_det", 0x68: "clr_gen_call", 0x6C: "enable", 0x70: "status", 0x74: "txflr",
        0x78: "rxflr", 0x7C: "sda_hold", 0x80: "tx_abrt_source", 0x88: "dma_cr", 0x8C: "dma_tdlr",
        0x90: "dma_rdlr", 0x94: "sda_setup", 0x98: "general_call", 0x9C: "enable_status", 0xA0: "fs_spklen",
        0xF4: "comp_param_1", 0xF8: "comp_version", 0xFC: "comp_type",
    }  # fmt: skip

    def __init__(self, soc: Soc, index: int) -> None:
        super().__init__(soc, f"i2c{index}", BASES[index])
        self._index = index
        self.slaves: dict[int, Slave] = {}
        self._out = bytearray()
        self._rx: deque[int] = deque()
        self._raw = 0
        self._abort = 0
        self.reads = {
            _DATA_CMD: lambda: self._rx.popleft() if self._rx else 0,
            _INTR_STAT: lambda: self._status() & self.regs.get(_INTR_MASK, 0),
            _RAW: self._status,
            _STATUS: self._read_status,
            _TXFLR: lambda: 0,
            _RXFLR: self._read_rxflr,
            _ABRT: lambda: self._abort,
            _CLR_INTR: lambda: self._clear(~0),
            _CLR_TX_ABRT: lambda: self._clear(_TX_ABRT),
            _CLR_STOP: lambda: self._clear(_STOP_DET),
        }
        self.writes = {_DATA_CMD: self._command, _ENABLE: self._set_enable, _INTR_MASK: self._set_mask}

    def reset(self) -> None:
        super().reset()
        self._out.clear()
        self._rx.clear()
        self._raw = self._abort = 0
        self._update()

    @property
    def busy(self) -> bool:
        return bool(self._out or self._rx)

    def _set_enable(self, value: int) -> None:
        self._end_write()
        self.regs[_ENABLE] = value
        if not value & 1:
            self._rx.clear()

    def _set_mask(self, value: int) -> None:
        self.regs[_INTR_MASK] = value
        self._update()

    def _slave(self) -> Slave | None:
        slave = self.slaves.get(self.regs.get(_TAR, 0) & 0x7F)
        if slave is None:
            self._abort |= _NO_ANSWER
            self._raw |= _TX_ABRT
            self._out.clear()
        return slave

    def _command(self, value: int) -> None:
        # MaixPy's camera code never sets STOP; a transfer ends when the driver waits for idle (status).
        if value & _READ:
            self._end_write()
            slave = self._slave()
            if slave is not None:
                self._rx.extend(slave.read(1))
        elif self._slave() is not None:
            self._out.append(value & 0xFF)
        if value & _STOP:
            self._end_write()
        self._update()

    def _end_write(self) -> None:
        if self._out:
            slave = self._slave()
            if slave is not None:
                slave.write(bytes(self._out))
            self._out.clear()
            self._raw |= _STOP_DET

    def _read_status(self) -> int:
        self._end_write()
        return 0x06 | 0x08 * bool(self._rx)  # FIFO empty and not full, no activity

    def _read_rxflr(self) -> int:
        self._end_write()
        return len(self._rx)

    def _status(self) -> int:
        return self._raw | _TX_EMPTY | (_RX_FULL if len(self._rx) > self.regs.get(0x38, 0) else 0)

    def _clear(self, bits: int) -> int:
        self._raw &= ~bits
        if bits & _TX_ABRT:
            self._abort = 0
        self._update()
        return 0

    def _update(self) -> None:
        on = bool(self._status() & self.regs.get(_INTR_MASK, 0))
        self.soc.plic.set_level(IRQ_I2C0 + self._index, on)
