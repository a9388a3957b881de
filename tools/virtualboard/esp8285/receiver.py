"""The module's command receiver: which bytes are commands, which are payload, and what comes too early.

The states are those of the AT 1.7.6 binary (`at_recvTask` in `at_port.o`).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

LINE_BYTES = 256
"""Longest command; a longer one is forgotten without a word, and its end gives ERROR."""

_RESET = b"AT+RST\r\n"


class State(Enum):
    """What the next byte from the board means."""

    IDLE = 0
    LINE = 1
    PROCESSING = 2
    PAYLOAD = 3
    SENT = 4
    TRANSPARENT = 5


class CommandReceiver:
    """Bytes from the board, a batch at a time."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self.busy_until = 0
        self.split: tuple[int, bytes] | None = None
        """A notice that comes inside the next echo, and behind how many of its bytes."""
        self.reset()

    def reset(self) -> None:
        """As after power-on."""
        self.state = State.IDLE
        self._window = b""
        self._line = bytearray()

    @property
    def at_rest(self) -> bool:
        """True when no command is being received, run, fed with payload or waiting for an acknowledgement."""
        return self.state in (State.IDLE, State.TRANSPARENT)

    def idle(self) -> None:
        """The command is over."""
        self.state = State.IDLE
        self._window = b""
        self._modem.uart.expect_commands()

    def expect_payload(self, count: int) -> None:
        """The next `count` bytes are payload, however long they take."""
        self.state = State.PAYLOAD
        self._modem.uart.expect(count)

    def sending_done(self) -> None:
        """The payload is in; until its fate is known every batch is refused."""
        self.state = State.SENT
        self._window = b""
        self._modem.uart.expect_commands()

    def transparent(self) -> None:
        """Everything is payload until a bare `+++`."""
        self.state = State.TRANSPARENT
        self._modem.uart.expect_commands()

    def batch(self, data: bytes) -> None:
        """What one receive interrupt delivered."""
        whole = data
        while data:
            state = self.state
            if state is State.PAYLOAD:
                if whole == b"+++":
                    self._modem.sender.cancel()
                    return
                data = self._modem.sender.payload(data)
                if self.state is State.PAYLOAD:
                    self._modem.uart.expect(self._modem.sender.missing)
                else:
                    whole = data
            elif state is State.SENT:
                self._refuse(data)
                return
            elif state is State.TRANSPARENT:
                self._modem.transparent.typed(data)
                return
            else:
                data = self._characters(data)

    def _characters(self, data: bytes) -> bytes:
        """Command bytes, up to a change to a state in which they are something else."""
        modem = self._modem
        for index, byte in enumerate(data):
            if self.state not in (State.IDLE, State.LINE, State.PROCESSING):
                return data[index:]
            if not modem.running:
                break  # a listener reset the module at the end of a line
            if modem.settings.echo and (byte != 0x0A or not modem.profile.echo_returns):
                modem.print(bytes((byte,)))
                self._split_echo()
            if self.state is State.LINE:
                self._line_byte(byte)
            elif self.state is State.IDLE:
                self._idle_byte(byte)
            else:
                self._early_byte(byte)
        return b""

    def _split_echo(self) -> None:
        """Each echoed byte is a print of its own, so a notice may come between two (AT 1.7.6 binary)."""
        if self.split is not None:
            left, text = self.split
            self.split = (left - 1, text) if left > 1 else None
            if left == 1:
                self._modem.print(text)

    def _idle_byte(self, byte: int) -> None:
        self._window = self._window[-1:] + bytes((byte,))
        if self._window in (b"AT", b"at"):
            self.state = State.LINE
            self._line.clear()
            self._window = b""
        elif byte == 0x0A:
            self._modem.print(b"\r\nERROR\r\n")

    def _line_byte(self, byte: int) -> None:
        modem = self._modem
        if byte != 0x0A:
            self._line.append(byte)
            if len(self._line) >= LINE_BYTES:
                self.idle()
            return
        line = bytes(self._line)
        if modem.settings.echo and modem.profile.echo_returns:
            modem.print(b"\r\n")
        if modem.on_command is not None:
            modem.on_command(b"AT" + line + b"\n")
            if self.state is not State.LINE:
                return  # whoever listens has reset the module
        if modem.clock.now < self.busy_until:
            self.idle()
            self._say_busy()
            return
        self.state = State.PROCESSING
        self._window = b""
        modem.line_complete(line)

    def _early_byte(self, byte: int) -> None:
        """A command is running: lines are answered with busy and forgotten; only AT+RST is obeyed."""
        self._window = (self._window + bytes((byte,)))[-len(_RESET) :]
        if self._window == _RESET:
            self._force_restart()
        elif byte == 0x0A:
            self._say_busy()

    def _say_busy(self) -> None:
        self._modem.stats.busy += 1
        self._modem.print(b"\r\nbusy p...\r\n")

    def _refuse(self, data: bytes) -> None:
        if data == _RESET:
            self._force_restart()
            return
        self._modem.stats.busy += 1
        self._modem.print(b"\r\nbusy s...\r\n")

    def _force_restart(self) -> None:
        modem = self._modem
        modem.print(b"\r\nWill force to restart!!!\r\n")
        modem.print(b"\r\nOK\r\n")
        modem.restart_when_drained()
