"""`machine.UART`, as MaixPy v1 `machine_uart.c` has it, over the lanes that the pads lead to.

The receive interrupt puts bytes into a ring of `read_buf_len`; what does not fit is lost silently. Bytes are taken
from the lane lazily, whenever the ring is looked at: nobody could have read it in between, so the same bytes are lost.

Longer than 350 lines: one class of MaixPy, whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from virtualboard.clock import MS, SECOND
from virtualboard.hosted import buffers
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.costs import UART_CLOCK_HZ, UART_FIFO, UARTHS_FIFO
from virtualboard.pins import UART1_RX, UART1_TX, UARTHS_RX, UARTHS_TX
from virtualboard.wire import BITS, Ring

if TYPE_CHECKING:
    from virtualboard.wire import Lane

UARTHS = 4
_MAX_BAUD = 0x500000


class Port:
    """One UART of the chip: pads, rate, and the object that its interrupt serves."""

    def __init__(self, chip: Chip, number: int) -> None:
        self.chip = chip
        self.number = number
        if number == UARTHS:
            self._functions = (UARTHS_RX, UARTHS_TX)
        else:
            self._functions = (UART1_RX + 2 * number, UART1_TX + 2 * number)
        self.baud = 115200
        self.serving: UART | None = None
        self.rx: Lane | None = None
        self.tx: Lane | None = None
        self.free_at = 0
        self.dropped = 0
        """Bytes lost in rings of this port, over all objects."""
        self.deepest = 0
        """Most bytes that ever waited in a ring of this port."""
        self.largest_ring = 0
        chip.on_remap.append(self.rewire)
        self.rewire()

    def rewire(self) -> None:
        """Look up which lanes the pads lead to."""
        pads = self.chip.board.pads
        rx_pad = self.chip.pad_of(self._functions[0])
        tx_pad = self.chip.pad_of(self._functions[1])
        rx = None if rx_pad is None else pads.serial_in.get(rx_pad)
        if rx is not self.rx:
            if self.rx is not None:
                self.fill()
            self.rx = rx
            if rx is not None:
                rx.take()  # nobody listened so far
        self.tx = None if tx_pad is None else pads.serial_out.get(tx_pad)
        self.set_baud(self.baud)

    def set_baud(self, baud: int) -> None:
        """The divider is an integer: the true rate is 403 MHz / n."""
        self.baud = baud
        true_rate = UART_CLOCK_HZ // max(1, UART_CLOCK_HZ // baud) if baud else 1
        if self.rx is not None:
            self.rx.rx_baud = true_rate
        if self.tx is not None:
            self.tx.tx_baud = true_rate
        self.true_baud = true_rate

    def fill(self, waiting: bool = False) -> bytes:
        """Run the receive interrupt for everything that has arrived, and return that.

        While the processor is `waiting` for it anyway, the interrupt costs nothing.
        """
        data = b"" if self.rx is None else self.rx.take()
        if not data:
            return data
        if not waiting:
            self.chip.charge(len(data) * self.chip.costs.uart_irq_byte)
        ring = None if self.serving is None else self.serving.ring
        if ring is not None:
            self.dropped += ring.put(data)
            if ring.deepest > self.deepest:
                self.deepest = ring.deepest
        return data

    def arrival(self) -> int | None:
        """When the next byte will have arrived."""
        return None if self.rx is None else self.rx.arrival()

    def arrival_of_many(self, count: int, within: int) -> int | None:
        """When up to `count` bytes that follow each other will have arrived, as many as do so in `within` ns."""
        rx = self.rx
        first = None if rx is None else rx.arrival()
        latest = self.chip.clock.now + within
        if first is None or first > latest or count == 1:
            return first
        count = min(count, rx.unsent(), within * self.true_baud // (BITS * SECOND))
        last = rx.arrival(count) if count > 1 else None
        return first if last is None or last > latest else last

    def send(self, data: bytes) -> None:
        """Write into the transmit FIFO, waiting while it is full."""
        chip = self.chip
        chip.sync()
        if self.tx is not None:
            self.free_at = self.tx.write(data)
        else:
            start = max(chip.clock.now, self.free_at)
            self.free_at = start + len(data) * BITS * SECOND // self.true_baud
        fifo = UARTHS_FIFO if self.number == UARTHS else UART_FIFO
        chip.wait_until(self.free_at - fifo * BITS * SECOND // self.true_baud)


class UART:
    """Device class; constants and methods exactly those of MaixPy."""

    UART1, UART2, UART3, UARTHS = 0, 1, 2, UARTHS
    PARITY_ODD, PARITY_EVEN = 1, 2

    _ports: dict[int, Port]
    _chip: Chip
    _repl: UART | None = None

    def __init__(self, id: int, *args: Any, **kwargs: Any) -> None:
        if not isinstance(id, int):
            raise TypeError("can't convert to int")
        if id < 0 or id == 3 or id > UARTHS:
            raise ValueError(f"[MAIXPY]UART{id}:does not exist")
        self._port = self._ports[id]
        self.ring: Ring | None = None
        self._active = False
        self._init(*args, **kwargs)

    def _init(
        self,
        baudrate: int = 115200,
        bits: int = 8,
        parity: int | None = None,
        stop: float | None = None,
        *,
        timeout: int = 1000,
        timeout_char: int = 10,
        read_buf_len: int = 2048,
        ide: bool = False,
        from_ide: bool = True,
    ) -> None:
        if not 0 <= baudrate <= _MAX_BAUD:
            raise ValueError("[MAIXPY]UART:invalid baudrate")
        if not 5 <= bits <= 8:
            raise ValueError("[MAIXPY]UART:invalid data bits")
        if parity is not None and not 0 <= parity <= 2:
            raise ValueError("[MAIXPY]UART:invalid parity")
        if (stop or 1) not in (1, 1.5, 2):
            raise ValueError("[MAIXPY]UART:invalid stop bits")
        self._chip.sync()
        self._port.fill()
        self._timeout_char = timeout_char & 0xFFFF
        self._active = True
        self._text = f"baudrate={baudrate}, bits={bits}, parity={(None, 'odd', 'even')[parity or 0]}, stop={stop or 1}"
        capacity = (read_buf_len + 1 & 0xFFFF) - 1 if read_buf_len > 0 else 0
        self.ring = None
        if capacity > 0:
            self.ring = Ring(capacity)
            if not self._chip.heap.own(self.ring, capacity + 1):
                self.ring = None
                raise MemoryError(f"memory allocation failed, allocating {capacity + 1} bytes")
            self._port.largest_ring = max(self._port.largest_ring, capacity)
        if self._port.number == UARTHS:
            if bits != 8 or parity:
                raise ValueError("[MAIXPY]UART:invalid param")
        else:
            self._chip.wait(1 * MS)  # msleep(1) between uart_init and uart_config
        self._port.set_baud(baudrate)
        self._port.serving = self
        self._port.fill()
        if self.ring is not None:
            self.ring.clear()

    def init(self, *args: Any, **kwargs: Any) -> None:
        self._chip.charge(self._chip.costs.call)
        self._init(*args, **kwargs)

    def deinit(self) -> None:
        self._active = False
        if self._port.serving is self:
            self._port.serving = None

    def __repr__(self) -> str:
        return f"[MAIXPY]UART{self._port.number + 1}:( {self._text})"

    # -- reading ------------------------------------------------------------------------------------------

    def any(self) -> int:
        chip = self._chip
        chip.charge(chip.costs.call + chip.costs.uart_poll)
        self._look()
        waiting = len(self.ring.held) if self.ring is not None else 0
        if waiting:
            chip.busy()
        else:
            chip.idle(self._port.arrival())
        return waiting

    def readchar(self) -> int:
        chip = self._chip
        chip.charge(chip.costs.call + chip.costs.uart_poll)
        self._look()
        if self.ring is None or not self.ring.held:
            chip.idle(self._port.arrival())
            return -1
        chip.busy()
        return self.ring.get(1)[0]

    def read(self, size: int = -1, /) -> bytes | None:
        self._chip.charge(self._chip.costs.call)
        if size >= 0:
            if size == 0:
                return b""
            data = self._collect(size)
            return data if data else None
        out = []
        while True:
            piece = self._low_read(256)
            if not piece:
                break
            out.append(piece)
        return b"".join(out) if out else None

    def readinto(self, buffer: Any, size: int = -1, /) -> int | None:
        self._chip.charge(self._chip.costs.call)
        view = buffer if type(buffer) is bytearray else memoryview(buffer).cast("B")
        wanted = len(view) if size < 0 else min(size, len(view))
        if wanted == 0:
            return 0
        data = self._collect(wanted)
        if not data:
            return None
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int = -1, /) -> bytes | None:
        self._chip.charge(self._chip.costs.call)
        line = bytearray()
        while size < 0 or len(line) < size:
            byte = self._low_read(1)
            if not byte:
                break
            line += byte
            if byte == b"\n":
                break
        return bytes(line) if line else None

    def __iter__(self) -> UART:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if line is None:
            raise StopIteration
        return line

    def _look(self) -> None:
        self._chip.sync()
        if self._port.serving is self:
            self._port.fill()

    def _collect(self, size: int) -> bytes:
        """The stream layer: low-level reads until `size` bytes are there or one finds nothing."""
        data = self._low_read(size)
        if len(data) in (0, size):
            return data
        out = bytearray(data)
        while len(out) < size:
            piece = self._low_read(size - len(out))
            if not piece:
                break
            out += piece
        return bytes(out)

    def _low_read(self, size: int) -> bytes:
        """Wait up to timeout_char for a first byte, then take what is there."""
        chip = self._chip
        if not self._active or self.ring is None:
            if self._active:
                chip.wait(self._timeout_char * MS)
            return b""
        chip.charge(chip.costs.uart_poll)
        self._look()
        ring = self.ring
        held = ring.held
        if held:
            chip.charge(min(size, len(held)) * chip.costs.uart_byte)
        else:
            # Milliseconds of the tick counter are compared, so the wait ends on one of its edges.
            clock, port = chip.clock, self._port
            timeout = self._timeout_char * MS
            deadline = clock.now // MS * MS + timeout
            # Each byte is taken as it comes and the wait begins anew; bytes in a row can be waited for together.
            count = min(size, ring.capacity)
            while not held:
                if clock.now >= deadline:
                    return b""
                chip.step_towards(deadline, port.arrival_of_many(count, timeout // 2))
                port.fill(waiting=True)
        chip.busy()
        return ring.get(size)

    # -- for drivers in C ---------------------------------------------------------------------------------

    def wait_byte(self, deadline: int) -> bool:
        """Wait until a byte is in the ring, at most to virtual time `deadline`."""
        chip = self._chip
        if self.ring is None:
            chip.wait_until(deadline)
            return False
        self._look()
        while not self.ring.held:
            if chip.clock.now >= deadline:
                return False
            chip.step_towards(deadline, self._port.arrival())
            self._look()
        return True

    def take(self, limit: int) -> bytes:
        """Up to `limit` bytes of what is in the ring."""
        self._look()
        return b"" if self.ring is None else self.ring.get(limit)

    # -- writing ------------------------------------------------------------------------------------------

    def write(self, data: Any, /, *limits: int) -> int:
        chip = self._chip
        chip.charge(chip.costs.call)
        raw = buffers.raw(data)
        if len(limits) == 1:
            raw = raw[: limits[0]]
        elif len(limits) == 2:
            raw = raw[limits[1] : limits[1] + limits[0]]
        if not self._active:
            return 0
        if raw:
            chip.busy()
            self._port.send(raw)
        return len(raw)

    # -- the console --------------------------------------------------------------------------------------

    @classmethod
    def repl_uart(cls) -> UART | None:
        return cls._repl

    @classmethod
    def set_repl_uart(cls, uart: UART, /) -> None:
        cls._repl = uart


def uart_class(chip: Chip) -> tuple[type[UART], dict[int, Port]]:
    """The `UART` class of this chip and its ports by number."""
    ports = {number: Port(chip, number) for number in (0, 1, 2, UARTHS)}
    return type("UART", (UART,), {"_ports": ports, "_chip": chip}), ports
