"""UARTHS, the console's UART (SiFive's). Registers: Kendryte SDK uarths.h; behaviour: SiFive FE310 manual, UART."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.k210.bus import Device
from virtualboard.k210.plic import IRQ_UARTHS
from virtualboard.k210.receiver import Receiver
from virtualboard.k210.transmitter import Transmitter
from virtualboard.pins import UARTHS_RX, UARTHS_TX

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

_DEPTH = 8
_TXDATA, _RXDATA, _TXCTRL, _RXCTRL, _IE, _IP, _DIV = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18


class Uarths(Device):
    NAME = "uarths"
    BASE = 0x3800_0000
    TIMED = True
    NAMES = {  # noqa: RUF012
        0x00: "txdata", 0x04: "rxdata", 0x08: "txctrl", 0x0C: "rxctrl", 0x10: "ie", 0x14: "ip", 0x18: "div",
    }  # fmt: skip

    def __init__(self, soc: Soc) -> None:
        super().__init__(soc)
        self.receiver = Receiver(soc, _DEPTH, self._update)
        self.transmitter = Transmitter(soc, _DEPTH, self._update)
        self.reads = {_TXDATA: self._read_txdata, _RXDATA: self._read_rxdata, _IP: self._ip}
        self.writes = {_TXDATA: self._put, _IE: self._set_ie, _TXCTRL: self._set_txctrl, _DIV: self._set_div}

    def reset(self) -> None:
        super().reset()
        self.receiver.reset()
        self.transmitter.reset()
        self._update()

    @property
    def busy(self) -> bool:
        return bool(self.receiver.fifo or self.transmitter.pending())

    def attach(self) -> None:
        """Connect to the lanes at the pads that the FPIOA gives, at the rate that div gives."""
        baud = self.soc.sysctl.cpu_hz // (self.regs.get(_DIV, 0) + 1)
        self.receiver.trigger = (self.regs.get(_RXCTRL, 0) >> 16 & 7) + 1
        self.receiver.batch = min(self.soc.rx_batch, _DEPTH // 2)
        self.receiver.attach(self.soc.lane_in(UARTHS_RX), baud)
        self.transmitter.attach(self.soc.lane_out(UARTHS_TX), baud)

    def restore(self, state: dict[str, object]) -> None:
        super().restore(state)
        self.attach()

    def _read_txdata(self) -> int:
        return 0x8000_0000 if self.transmitter.wait_for_room() else 0

    def _put(self, value: int) -> None:
        self.transmitter.put(value)
        if self.regs.get(_IE, 0) & 1:
            self.transmitter.tell_when_below(self.regs.get(_TXCTRL, 0) >> 16 & 7)
            self._update()

    def _read_rxdata(self) -> int:
        byte = self.receiver.read()
        if byte is None:
            self.soc.polled()
            return 0x8000_0000
        return byte

    def _ip(self) -> int:
        below = self.transmitter.pending() < (self.regs.get(_TXCTRL, 0) >> 16 & 7)
        return int(below) | self.receiver.due << 1

    def _set_ie(self, value: int) -> None:
        self.regs[_IE] = value
        self._update()

    def _set_txctrl(self, value: int) -> None:
        self.regs[_TXCTRL] = value
        self._update()

    def _set_div(self, value: int) -> None:
        self.regs[_DIV] = value
        self.attach()

    def _update(self) -> None:
        self.soc.plic.set_level(IRQ_UARTHS, bool(self._ip() & self.regs.get(_IE, 0)))
