"""The console as an RFC 2217 port: a TCP socket that carries bytes, baud rate, DTR and RTS.

`rfc2217://127.0.0.1:PORT` is opened by pyserial and all that is built on it (mpremote, kflash) on every system. The
protocol is pyserial's own (`serial.rfc2217.PortManager`); here are the port that it manages and the socket, which the
board's clock serves in the engine's thread.

Every web page that is open on this machine can connect to loopback and send a POST whose text would be typed at the
prompt. So a peer is a stranger until it has agreed on the COM-PORT option in Telnet's own bytes: nothing of a stranger
reaches the console, the rate or the lines, nothing of the board is sent to it, and it keeps nobody out.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import serial
from serial.rfc2217 import IAC, PortManager

from virtualboard.clock import MS, Watch
from virtualboard.host.console import CONSOLE_BAUD, ConsoleLine

if TYPE_CHECKING:
    from virtualboard.host.reset_lines import ResetLines

_SLOWEST, _FASTEST = 300, 8_000_000
_RETRY_NS = 5 * MS
_READS_AHEAD = 64  # of 4 KiB: how much a program may have sent before it hung up
_BACKLOG = 65536  # bytes kept for a program that does not read
_MOST_OPTION = 64  # bytes of one subnegotiation; RFC 2217's longest useful one, a signature, may be cut
_MOST_BEFORE = 1024  # bytes of a stranger; pyserial's client agrees within its first 40
_STRANGERS = 4  # peers that may be connected without having agreed on anything; the oldest makes room


class Rfc2217Console:
    """Listens on loopback `port` (0 picks one; `port` tells which) for one program at a time.

    A second program is turned away at once, as a serial port that is in use does. `lines` gets DTR and RTS; without it
    they do nothing. Raises OSError when the port cannot be had.
    """

    def __init__(
        self,
        console: ConsoleLine,
        port: int = 0,
        lines: ResetLines | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self._line = console
        self._lines = lines
        self._note = note or (lambda text: None)
        self._session: _Session | None = None
        self._strangers: list[_Session] = []
        self._socket = _listening(port)
        self.port: int = self._socket.getsockname()[1]
        self._watch = console.clock.listen(self._socket.fileno(), self._accept)
        console.listen(self._to_host)

    @property
    def url(self) -> str:
        """What to give to --port."""
        return f"rfc2217://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Hang up and stop listening."""
        self._watch.cancel()
        for session in [*self._strangers, self._session]:
            if session is not None:
                session.close()
        self._socket.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:  # it has gone again
            return
        if self._session is not None and self._session.still_there():
            self._turn_away(connection)
            return
        self._strangers.append(_Session(connection, self._line, self._lines, self._agreed, self._gone))
        if len(self._strangers) > _STRANGERS:
            self._strangers[0].close()

    def _agreed(self, session: _Session) -> bool:
        """A stranger speaks RFC 2217: it is the program at the port now, unless there is one."""
        self._strangers.remove(session)
        if self._session is not None and self._session.still_there():
            self._turn_away(session)
            return False
        self._session = session
        if self._lines is not None:
            self._lines.opened()
        return True

    def _turn_away(self, connection: _Session | socket.socket) -> None:
        connection.close()
        self._note("a second program wanted the RFC 2217 port and was turned away")

    def _gone(self, session: _Session) -> None:
        if session in self._strangers:
            self._strangers.remove(session)
        elif session is self._session:
            self._session = None
            self._line.hand_in_baud(CONSOLE_BAUD)
            if self._lines is not None:
                self._lines.release()

    def _to_host(self, _when: int, data: bytes) -> None:
        if self._session is not None:
            self._session.print(data)


class _Session:
    """One program at the port, or a stranger that may become one: `on_agree` is asked as soon as it speaks RFC 2217."""

    def __init__(
        self,
        connection: socket.socket,
        line: ConsoleLine,
        lines: ResetLines | None,
        on_agree: Callable[[_Session], bool],
        on_end: Callable[[_Session], None],
    ) -> None:
        self._socket = connection
        self._line = line
        self._on_agree = on_agree
        self._on_end = on_end
        self._out = bytearray()
        self._typed = bytearray()
        self._retrying = False
        self._open = True
        self._heard = 0  # bytes, until it has agreed
        self._agreed = False
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch: Watch = line.clock.listen(connection.fileno(), self._readable)
        self._port = _Port(line, lines, connection.fileno(), self._before_change)
        self._manager = _Manager(self._port, self, self._agree)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._watch.cancel()
            self._on_end(self)
            self._socket.close()

    def print(self, data: bytes) -> None:
        """Bytes of the board, to the program."""
        self.write(data.replace(b"\xff", b"\xff\xff"))

    def write(self, data: bytes) -> None:
        """Bytes as they go over the socket; the manager calls this for its own messages."""
        self._out += data
        self._send()

    def still_there(self) -> bool:
        """Whether the program has not hung up, seen behind what it sent before."""
        for _ in range(_READS_AHEAD):
            if not self._open or not self._read():
                break
        return self._open

    def _readable(self) -> None:
        self._read()

    def _read(self) -> bool:
        """Take in what has come; False when nothing has, or the program is gone."""
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        # Telnet begins with a command; HTTP, TLS and what people type do not.
        if not self._heard and data[:1] != IAC:
            self.close()
            return False
        self._heard += len(data)
        try:
            for byte in self._manager.filter(data):
                if not self._agreed:
                    raise ValueError("text before the COM-PORT option")
                self._typed += byte
            if len(self._manager.suboption or b"") > _MOST_OPTION:
                raise ValueError("a subnegotiation without end")
            if not self._agreed and self._heard > _MOST_BEFORE:
                raise ValueError("talk that comes to nothing")
        except (LookupError, TypeError, ValueError, struct.error, serial.SerialException):
            # pyserial's parser trusts its peer; whatever makes it stumble is no RFC 2217 client.
            self.close()
            return False
        self._hand_in()
        return True

    def _agree(self) -> None:
        if not self._agreed and self._open:
            self._agreed = self._on_agree(self)

    def _before_change(self) -> None:
        if not self._agreed:
            raise ValueError("a setting before the COM-PORT option")
        self._hand_in()

    def _hand_in(self) -> None:
        """Also called before rate or lines change: what came before that in the same packet goes first."""
        typed = bytes(self._typed)
        self._typed.clear()
        if typed and self._open:
            self._line.hand_in(typed)

    def _send(self) -> None:
        if not self._open:
            return
        try:
            while self._out:
                del self._out[: self._socket.send(self._out[:16384])]
        except BlockingIOError:
            if len(self._out) > _BACKLOG:
                self.close()  # it has not read for a long time: a port that lost bytes silently would be worse
            elif not self._retrying:
                self._retrying = True
                self._line.clock.after(_RETRY_NS, self._retry)
        except OSError:
            self.close()

    def _retry(self) -> None:
        self._retrying = False
        self._send()


class _Manager(PortManager):
    """pyserial's protocol; `on_agree` is called when the peer agrees on the COM-PORT option (once for each way)."""

    def __init__(self, port: _Port, session: _Session, on_agree: Callable[[], None]) -> None:
        self._on_agree = on_agree
        super().__init__(port, session)

    def _client_ok(self) -> None:
        self._on_agree()
        super()._client_ok()


class _Port:
    """What `PortManager` takes for a serial port. Only rate, DTR and RTS have an effect; the line is 8N1 without flow
    control, as the board's is."""

    bytesize = 8
    parity = serial.PARITY_NONE
    stopbits = serial.STOPBITS_ONE
    xonxoff = rtscts = break_condition = False
    cts = dsr = cd = True
    ri = False

    def __init__(
        self, line: ConsoleLine, lines: ResetLines | None, fileno: int, before_change: Callable[[], None]
    ) -> None:
        self._line = line
        self._lines = lines
        self._fileno = fileno
        self._before_change = before_change
        self._baud = line.baud
        self._dtr = self._rts = True

    @property
    def baudrate(self) -> int:
        return self._baud

    @baudrate.setter
    def baudrate(self, baud: int) -> None:
        if not _SLOWEST <= baud <= _FASTEST:
            raise ValueError(f"no UART does {baud} baud")
        self._before_change()
        self._baud = baud
        self._line.hand_in_baud(baud)

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, on: bool) -> None:
        self._before_change()
        self._dtr = on
        if self._lines is not None:
            self._lines.set(dtr=on, fileno=self._fileno)

    @property
    def rts(self) -> bool:
        return self._rts

    @rts.setter
    def rts(self, on: bool) -> None:
        self._before_change()
        self._rts = on
        if self._lines is not None:
            self._lines.set(rts=on, fileno=self._fileno)

    def reset_input_buffer(self) -> None:
        """What was printed has left already; pyserial's client drops all that comes before the answer to this."""

    def reset_output_buffer(self) -> None:
        """What was handed in is on the line already."""


def _listening(port: int) -> socket.socket:
    listening = socket.socket()
    try:
        if sys.platform != "win32":  # there it would let two programs share one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(2)
        listening.setblocking(False)
    except OSError:
        with contextlib.suppress(OSError):
            listening.close()
        raise
    return listening
