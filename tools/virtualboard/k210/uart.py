"""UART1-3, DesignWare APB UARTs with FIFOs of 16. Registers: Kendryte SDK uart.h; use of them: uart.c.

The divisor is in sixteenths: baud = APB0 clock / (DLH << 12 | DLL << 4 | DLF) (SDK uart_configure).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.k210.bus import Device
from virtualboard.k210.plic import IRQ_UART1
from virtualboard.k210.receiver import Receiver
from virtualboard.k210.transmitter import Transmitter
from virtualboard.pins import UART1_RX, UART1_TX

if TYPE_CHECKING:
    from virtualboard.k210.soc import Soc

DEPTH = 16
BASES = (0x5021_0000, 0x5022_0000, 0x5023_0000)

_RBR, _IER, _IIR, _LCR, _LSR, _USR, _TFL, _RFL, _SRT, _DLF = 0x00, 0x04, 0x08, 0x0C, 0x14, 0x7C, 0x80, 0x84, 0x9C, 0xC0
_DLL, _DLH = 0x1000, 0x1004  # kept apart from the registers that share their addresses
_DLAB = 0x80
_TRIGGERS = (1, DEPTH // 4, DEPTH // 2, DEPTH - 2)
_ERBFI, _ETBEI, _PTIME = 1, 2, 0x80


class Uart(Device):
    """UART `index` + 1."""

    TIMED = True
    KEPT = ("_thre",)
    UNTIMED = frozenset({_IIR})
    NAMES = {  # noqa: RUF012
        0x00: "RBR/THR/DLL", 0x04: "IER/DLH", 0x08: "IIR/FCR", 0x0C: "LCR", 0x10: "MCR", 0x14: "LSR", 0x18: "MSR",
        0x1C: "SCR", 0x20: "LPDLL", 0x24: "LPDLH", 0x70: "FAR", 0x74: "TFR", 0x78: "RFW", 0x7C: "USR", 0x80: "TFL",
        0x84: "RFL", 0x88: "SRR", 0x8C: "SRTS", 0x90: "SBCR", 0x94: "SDMAM", 0x98: "SFE", 0x9C: "SRT", 0xA0: "STET",
        0xA4: "HTX", 0xA8: "DMASA", 0xAC: "TCR", 0xB0: "DE_EN", 0xB4: "RE_EN", 0xB8: "DET", 0xBC: "TAT", 0xC0: "DLF",
        0xC4: "RAR", 0xC8: "TAR", 0xCC: "LCR_EXT", 0xF4: "CPR", 0xF8: "UCV", 0xFC: "CTR",
    }  # fmt: skip

    def __init__(self, soc: Soc, index: int) -> None:
        super().__init__(soc, f"uart{index + 1}", BASES[index])
        self._index = index
        self._thre = False
        self.receiver = Receiver(soc, DEPTH, self._update)
        self.transmitter = Transmitter(soc, DEPTH, self._sent)
        self.reads = {
            _RBR: self._read_rbr,
            _IER: lambda: self.regs.get(_DLH if self._dlab else _IER, 0),
            _IIR: self._read_iir,
            _LSR: self._read_lsr,
            _USR: self._read_usr,
            _TFL: lambda: min(DEPTH, self.transmitter.pending()),
            _RFL: self._read_rfl,
        }
        self.writes = {
            _RBR: self._write_thr,
            _IER: self._write_ier,
            _IIR: self._write_fcr,
            _SRT: self._write_srt,
            _DLF: self._write_dlf,
        }

    def reset(self) -> None:
        super().reset()
        self._thre = False
        self.receiver.reset()
        self.transmitter.reset()
        self._update()

    @property
    def busy(self) -> bool:
        return bool(self.receiver.fifo or self.transmitter.pending())

    def attach(self) -> None:
        """Connect to the lanes at the pads that the FPIOA gives, at the rate that the divisor gives."""
        get = self.regs.get
        divisor = (get(_DLH, 0) << 12) + (get(_DLL, 0) << 4) + get(_DLF, 0)
        baud = self.soc.sysctl.apb_hz(0) // divisor if divisor else 0
        lane = self.soc.lane_in(UART1_RX + 2 * self._index) if baud else None
        self.receiver.trigger = _TRIGGERS[get(_SRT, 0) & 3]
        self.receiver.batch = self.soc.rx_batch
        self.receiver.attach(lane, baud)
        self.transmitter.attach(self.soc.lane_out(UART1_TX + 2 * self._index) if baud else None, baud)

    def restore(self, state: dict[str, object]) -> None:
        super().restore(state)
        self.attach()

    @property
    def _dlab(self) -> bool:
        return bool(self.regs.get(_LCR, 0) & _DLAB)

    def _read_rbr(self) -> int:
        if self.regs.get(_LCR, 0) & _DLAB:
            return self.regs.get(_DLL, 0)
        return self.receiver.read() or 0

    def _write_thr(self, value: int) -> None:
        if self._dlab:
            self.regs[_DLL] = value & 0xFF
            self.attach()
            return
        self.transmitter.put(value)
        if self.regs.get(_IER, 0) & _ETBEI:
            self._thre = False
            self.transmitter.tell_when_below(1)
            self._update()

    def _write_ier(self, value: int) -> None:
        if self._dlab:
            self.regs[_DLH] = value & 0xFF
            self.attach()
            return
        rising = value & ~self.regs.get(_IER, 0) & _ETBEI
        self.regs[_IER] = value
        if rising:
            self.transmitter.tell_when_below(1)
        self._update()

    def _write_dlf(self, value: int) -> None:
        self.regs[_DLF] = value & 0xF
        self.attach()

    def _write_fcr(self, value: int) -> None:
        self.regs[_SRT] = value >> 6 & 3
        self.soc.sync()
        if value & 2:
            self.receiver.fetch()
            self.receiver.fifo.clear()
            self.receiver.settle()
        self.attach()

    def _write_srt(self, value: int) -> None:
        self.regs[_SRT] = value & 3
        self.attach()

    def _read_iir(self) -> int:
        ier = self.regs.get(_IER, 0)
        if self.receiver.due and ier & _ERBFI:
            enough = len(self.receiver.fifo) >= self.receiver.trigger
            return 0xC0 | (0x4 if enough else 0xC)
        if self._thre and ier & _ETBEI:
            self._thre = False
            self._update()
            return 0xC2
        return 0xC1

    def _read_lsr(self) -> int:
        receiver = self.receiver
        receiver.fetch()
        value = int(bool(receiver.fifo)) | receiver.overrun << 1
        receiver.overrun = False
        pending = self.transmitter.pending()
        if self.regs.get(_IER, 0) & _PTIME:
            # Programmable THRE mode: bit 5 tells that the transmit FIFO is full.
            if pending:
                value |= self.transmitter.wait_for_room() << 5
        elif pending <= 1:
            value |= 1 << 5
        if not pending:
            value |= 1 << 6
        elif not value & 1:
            self.soc.polled()
        return value

    def _read_usr(self) -> int:
        self.receiver.fetch()
        pending = self.transmitter.pending()
        if pending:
            self.soc.polled()
        full = len(self.receiver.fifo) >= DEPTH
        return (pending > 0) | (pending <= DEPTH) << 1 | (pending == 0) << 2 | bool(self.receiver.fifo) << 3 | full << 4

    def _read_rfl(self) -> int:
        self.receiver.fetch()
        return len(self.receiver.fifo)

    def _sent(self) -> None:
        self._thre = True
        self._update()

    def _update(self) -> None:
        ier = self.regs.get(_IER, 0)
        on = (self.receiver.due and ier & _ERBFI) or (self._thre and ier & _ETBEI)
        self.soc.plic.set_level(IRQ_UART1 + self._index, bool(on))
