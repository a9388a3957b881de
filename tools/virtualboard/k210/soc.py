"""The K210 as a whole: address map, who is wired to whom, reset.

Addresses: Kendryte SDK platform.h. Devices know the Soc and call it for what lies outside of their block: exact
time, lanes at pads, waiting, memory.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from virtualboard.camera import ADDRESS
from virtualboard.k210 import i2c, spi, storage, targets, timer, uart, wdt
from virtualboard.k210.bus import Device, log
from virtualboard.k210.clint import Clint
from virtualboard.k210.cpu import Core
from virtualboard.k210.dmac import Dmac
from virtualboard.k210.dvp import Dvp, SccbSlave
from virtualboard.k210.fpioa import Fpioa
from virtualboard.k210.gpio import Gpio, Gpiohs
from virtualboard.k210.otp import Otp
from virtualboard.k210.patcher import Patcher
from virtualboard.k210.plic import Plic
from virtualboard.k210.rtc import Rtc
from virtualboard.k210.sha256 import Sha256
from virtualboard.k210.sysctl import RESET_PIN, Sysctl
from virtualboard.k210.timebase import Timebase
from virtualboard.k210.uarths import Uarths
from virtualboard.pins import PADS

if TYPE_CHECKING:
    from virtualboard.board import Board
    from virtualboard.k210.spi import Spi
    from virtualboard.wire import Lane

RAM_SIZE = 8 << 20
"""6 MiB for the cores and 2 MiB for the KPU, which firmware may use as well."""
RAM_CACHED, RAM_UNCACHED = 0x8000_0000, 0x4000_0000
_PAGE = 0x1000


class Soc:
    """All of the chip but the run loop. `cpu_factor` is instructions per cycle: 1.0 means one each.

    `rx_batch` is how many received bytes (1 to 14) the UARTs gather before they interrupt within a message, where the
    chip would take what the driver asked for (1): more is faster on the host and hides the load of one interrupt a
    byte. What a driver sees first stays the same (`Receiver`).
    """

    def __init__(self, board: Board, cpu_factor: float = 1.0, rx_batch: int = 8) -> None:
        if not 0.05 <= cpu_factor <= 4:
            raise ValueError("cpu_factor is instructions per cycle, from 0.05 to 4")
        if not 1 <= rx_batch <= uart.DEPTH - 2:
            raise ValueError(f"rx_batch is bytes per interrupt, from 1 to {uart.DEPTH - 2}")
        self.board = board
        self.clock = board.clock
        self.rx_batch = rx_batch
        self.cpi_num, self.cpi_den = 1000, round(cpu_factor * 1000)
        if self.cpi_den == self.cpi_num:
            self.cpi_num = self.cpi_den = 1
        self._buffer = ctypes.create_string_buffer(RAM_SIZE + _PAGE)
        start = -ctypes.addressof(self._buffer) % _PAGE
        self._ram = (ctypes.c_char * RAM_SIZE).from_buffer(self._buffer, start)
        self.ram = memoryview(self._ram).cast("B")
        """The 8 MiB, as firmware sees them at 0x80000000."""
        self.cores = (Core(self, 0), Core(self, 1))
        self.active: Core | None = None
        """The core whose instructions run right now."""
        self.cycles = 0
        """Cycles since power-on at the beginning of the slice that runs."""
        self.alarms_seen: int | None = None
        """The clock's `alarms_set` for which the slice that runs is known to be short enough."""
        self.reset_wanted: int | None = None
        self._moving = False
        self.plic = Plic(self)
        self.sysctl = Sysctl(self)
        self.timebase = Timebase(self.sysctl.cpu_hz)
        self._line_rates = (self.sysctl.cpu_hz, self.sysctl.apb_hz(0))
        self.clint = Clint(self)
        self.fpioa = Fpioa(self)
        self.uarths = Uarths(self)
        self.uarts = tuple(uart.Uart(self, n) for n in range(3))
        self.gpio, self.gpiohs = Gpio(self), Gpiohs(self)
        self.dmac = Dmac(self)
        self.spis: dict[int, Spi] = {n: spi.Spi(self, n) for n in spi.BASES}
        self.timers = tuple(timer.Timer(self, n) for n in range(3))
        self.wdts = tuple(wdt.Watchdog(self, n) for n in range(2))
        self.i2cs = tuple(i2c.I2c(self, n) for n in range(3))
        self.rtc, self.sha256, self.otp, self.dvp = Rtc(self), Sha256(self), Otp(self), Dvp(self)
        self.devices: tuple[Device, ...] = (
            self.clint, self.plic, self.uarths, self.gpiohs, self.dmac, self.gpio, *self.uarts, *self.i2cs,
            self.fpioa, self.sha256, *self.timers, *self.wdts, self.otp, self.dvp, self.sysctl, self.rtc,
            *self.spis.values(), *(storage.Storage(self, *block) for block in storage.BLOCKS),
        )  # fmt: skip
        self._spi_ranges = [(s.base + 0x60, s.base + 0xF0, s) for s in self.spis.values()]
        self._solder()

    @property
    def hz(self) -> int:
        """CPU frequency."""
        return self.timebase.hz

    def memories(self) -> list[tuple[int, int, ctypes.Array[ctypes.c_char]]]:
        """(address, size, buffer) of what the cores share."""
        return [(RAM_CACHED, RAM_SIZE, self._ram), (RAM_UNCACHED, RAM_SIZE, self._ram)]

    def _solder(self) -> None:
        board = self.board
        self.spis[3].targets[0] = targets.FlashTarget(self)
        # The driver tells the card by GPIO, and whichever controller select it uses on SPI1 reaches it.
        card = targets.CardTarget(self)
        panel = targets.PanelTarget(self)
        for line in range(4):
            self.spis[1].targets[line] = card
            self.spis[0].targets[line] = panel
        board.pads.pull(targets.CARD_SELECT, True)
        board.pads.on_level(targets.CARD_SELECT, lambda level: board.card.spi.select(not level))
        board.pads.on_level(targets.PANEL_RESET, board.panel.reset)
        for bus in self.i2cs:
            bus.slaves[ADDRESS] = SccbSlave(board.camera)
        for pad in range(PADS):
            board.pads.on_level(pad, lambda _level: self.pads_moved())

    # -- reset --------------------------------------------------------------------------------------------

    def request_reset(self, cause: int) -> None:
        """Reset the chip once the instruction that runs is done; `cause` is a bit of reset_status."""
        self.reset_wanted = cause
        if self.active is not None:
            self.active.stop_after_this()

    def reset(self, cause: int = RESET_PIN) -> None:
        """All blocks to their reset state, both cores stopped. Memory keeps its contents."""
        self.reset_wanted = None
        self.active = None
        for core in self.cores:
            core.running = False
            core.mip = 0
        self.sysctl.reset_cause = cause
        for device in self.devices:
            device.reset()
        self.board.pads.release_all()
        self.clocks_changed()
        self.pads_changed()

    def start(self, code: bytes, address: int = RAM_CACHED) -> None:
        """Load `code` into memory and start both cores at its beginning, as the boot ROM does."""
        offset = address - RAM_CACHED
        patcher = Patcher()
        if offset >= 0 and offset + len(code) <= RAM_SIZE:
            self.ram[offset : offset + len(code)] = patcher.patch(code)
        self.run_at(address, patcher)

    def run_at(self, address: int, patcher: Patcher) -> None:
        """Start both cores at `address` with memory as it is (already patched by `patcher`)."""
        for core in self.cores:
            core.power_on(address, patcher.sites)
        log.debug("started at %#x, patched %s", address, patcher.counts)

    # -- time ---------------------------------------------------------------------------------------------

    def cycles_now(self) -> int:
        """Exact cycle count of this instant."""
        if self.active is not None:
            return self.active.cycles_now
        return max(self.cycles, self.timebase.cycles(self.clock.now))

    def sync(self) -> None:
        """Bring the board's clock to the instruction that runs."""
        if self.active is not None:
            self.active.sync()

    def alarms_changed(self) -> None:
        """An alarm may have been set: the slice must not run past it."""
        core = self.active
        self.alarms_seen = self.clock.alarms_set
        due = self.clock.next_alarm
        if core is not None and due is not None:
            cycles = self.timebase.cycles(due)
            if cycles < core.limit_cycles:
                core.end_at(cycles)

    def clocks_changed(self) -> None:
        """SYSCTL was written: cores, timers and lanes go on at the new rates."""
        hz = self.sysctl.cpu_hz
        if hz != self.timebase.hz:
            self.timebase.set_hz(hz, self.cycles_now())
            self.alarms_seen = None
            self.clint.reschedule()
        for counter in (*self.timers, *self.wdts):
            counter.clocks_changed()
        rates = (hz, self.sysctl.apb_hz(0))
        if rates != self._line_rates:
            self._line_rates = rates
            self.pads_changed()

    def polled(self) -> None:
        """A status was read that firmware may be waiting for."""
        if self.active is not None:
            self.active.polls.polled()

    def wait_until(self, when: int) -> None:
        """Firmware waits for a known instant (virtual ns): let it come, as far as the slice reaches."""
        core = self.active
        if core is None:
            return
        cycles = self.timebase.cycles(when) - core.cycles_now
        if cycles > 0:
            if self.clock.alarms_set != self.alarms_seen:
                self.alarms_changed()
            core.skip(cycles)
            self.sync()

    # -- pads and lanes -----------------------------------------------------------------------------------

    def pad_level(self, pad: int) -> bool:
        """Level that the chip reads at `pad`: its own pull-up counts when nothing else is there."""
        pads = self.board.pads
        return pads.level(pad) or (self.fpioa.pulled_up(pad) and not pads.driven(pad))

    def pads_changed(self) -> None:
        """The FPIOA or a clock changed: connect everything anew."""
        for device in (self.uarths, *self.uarts):
            device.attach()
        for pins in (self.gpiohs, self.gpio):
            pins.let_go()
        for pins in (self.gpiohs, self.gpio):
            pins.drive()
        self.pads_moved()

    def pads_moved(self) -> None:
        """Some pad has another level now."""
        if not self._moving:
            self._moving = True
            self.gpiohs.pads_moved()
            self.gpio.pads_moved()
            self._moving = False

    def lane_in(self, function: int) -> Lane | None:
        """The lane that arrives at the pad which carries `function`."""
        pad = self.fpioa.pad(function)
        return None if pad is None else self.board.pads.serial_in.get(pad)

    def lane_out(self, function: int) -> Lane | None:
        """The lane that leaves from the pad which carries `function`."""
        pad = self.fpioa.pad(function)
        return None if pad is None else self.board.pads.serial_out.get(pad)

    # -- memory for DMA -----------------------------------------------------------------------------------

    def spi_at(self, address: int) -> Spi | None:
        """The SPI whose data register `address` is."""
        for low, high, controller in self._spi_ranges:
            if low <= address < high:
                return controller
        return None

    def in_ram(self, address: int) -> bool:
        """True for addresses in either view of the memory."""
        return 0 <= address - RAM_CACHED < RAM_SIZE or 0 <= address - RAM_UNCACHED < RAM_SIZE

    def same_memory(self, copy: bytes) -> bool:
        """True when the memory equals `copy`, an earlier `bytes(ram)`."""
        return bytes(self._ram) == copy

    def _offset(self, address: int, size: int) -> int:
        offset = address - (RAM_CACHED if address >= RAM_CACHED else RAM_UNCACHED)
        if not 0 <= offset <= RAM_SIZE - size:
            raise RuntimeError(f"DMA beyond the memory: {size} bytes at {address:#x}")
        return offset

    def read_words(self, address: int, count: int, width: int, fixed: bool = False) -> list[int]:
        """`count` little-endian words of `width` bytes (1, 2, 4 or 8); the same one each time when `fixed`."""
        size = width if fixed else count * width
        at = self._offset(address, size)
        words = list(struct.unpack_from(f"<{size // width}{_FORMAT[width]}", self.ram, at))
        return words * count if fixed else words

    def write_words(self, address: int, words: list[int], width: int, fixed: bool = False) -> None:
        """Inverse of `read_words`."""
        if fixed:
            words = words[-1:]
        at = self._offset(address, len(words) * width)
        layout = f"<{len(words)}{_FORMAT[width]}"
        try:
            struct.pack_into(layout, self.ram, at, *words)
        except struct.error:  # wider than what is stored of them
            mask = (1 << 8 * width) - 1
            struct.pack_into(layout, self.ram, at, *(w & mask for w in words))

    def write_bytes(self, address: int, data: bytes) -> None:
        """Store `data` as a bus master does."""
        at = self._offset(address, len(data))
        self.ram[at : at + len(data)] = data

    def peek(self, address: int) -> int:
        """Read a device register on behalf of DMA."""
        device = self._device(address)
        return device.read(address - device.base & ~3)

    def poke(self, address: int, value: int) -> None:
        """Write a device register on behalf of DMA."""
        device = self._device(address)
        device.write(address - device.base & ~3, value & 0xFFFF_FFFF)

    def _device(self, address: int) -> Device:
        for device in self.devices:
            if device.base <= address < device.base + device.SIZE:
                return device
        raise RuntimeError(f"DMA at an address where nothing is: {address:#x}")


_FORMAT = {1: "B", 2: "H", 4: "I", 8: "Q"}
