"""The raw REPL of a board over mpremote's transport, with MaixPy's habits and everybody's mistakes handled.

MaixPy v1 (MicroPython 1.11) has the classic raw REPL only. Its console receives into 2048 bytes without flow control
(MaixPy-v1 machine_uart.c), so one command stays well below that. After a soft reset in raw mode it runs boot.py but
not main.py, and mounts the card in the background.

Longer than 350 lines: a session is one object, and most of it is the words for what goes wrong in it.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import io
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

import serial
from mpremote.transport import TransportError

from maixpix import ports
from maixpix.board.transport import ENDLESS_STARTS, RESTARTS, START_MARK, Transport
from maixpix.errors import UserError, shorten
from virtualboard.host.board_time import BoardTime

BAUD = 115200
IDE_BAUD = 1_500_000
COMMAND_LIMIT = 1900
"""Bytes of one command: fits the console's ring even when the board is busy while all of it arrives."""

_CHARACTER_TIMEOUT_S = 5
_ENTER_TIMEOUT_S = 10
_START_TIMEOUT_S = 40
_CARD_WAIT_S = 3
_STOP_TIMEOUT_S = 4

_BOOTED_MARK = b"init end"
"""Printed by MaixPy's own start script, which then waits 0.2 s before boot.py is run (_boot.py)."""
_STARTS_TO_CATCH = 12
"""Starts after which waiting ends: a busy host may miss the 0.2 s behind the mark a few times."""

RESTARTS_REMEDY = "boot.py or its power supply does that: use a stronger supply, or hold BOOT, `maixpix flash --erase`"
BOOT_REMEDY = "remove it: maixpix run --resume -c \"import uos; uos.remove('boot.py')\""

# MaixPy's IDE protocol (MaixPy-v1 ide_dbg.c): 0x30, command, length of the answer.
_IDE_VERSION = struct.pack("<BBI", 0x30, 0x80, 12)
_IDE_TRIES = 50
_IDE_RESET = struct.pack("<BBI", 0x30, 0x0C, 0)


class BoardError(UserError):
    """Code on the board raised an exception. `last` is its last line, `number` the errno of an OSError or 0."""

    def __init__(self, last: str, traceback: str) -> None:
        found = re.match(r"OSError: (?:\[Errno )?(\d+)", last)
        self.number = int(found[1]) if found else 0
        self.last = last
        self.traceback = traceback
        super().__init__(f"on the board: {last}", _remedy_for(self.number, last))


class Link:
    """One session in raw REPL mode; use it as a context. All waits are bounded, all failures are UserErrors.

    Entering stops the board's app. With `restart` the app is started again when the context ends, however it ends.
    """

    def __init__(
        self,
        port: str,
        note: Callable[[str], None] | None = None,
        restart: bool = False,
        clock: Callable[[str], BoardTime] = BoardTime,
    ) -> None:
        """`clock(port)` tells the time in which the board answers."""
        self.port = port
        self._clock_of = clock
        self.restart = restart
        self._note = note or (lambda text: None)
        self._transport: Transport | None = None
        self._clock = clock(port)
        self._busy = False
        self.soft_reset_works = True
        self.restarts = False
        """True when boot.py restarts the board at every soft reset."""
        self.prepared: set[str] = set()
        """What has been defined on the board in this session, by the names that those who did it chose."""

    def __enter__(self) -> Link:
        self.open()
        return self

    def __exit__(self, *error: object) -> None:
        # A pulled cable has been told already, or there is nothing left to tell.
        with contextlib.suppress(UserError):
            # After a soft reset that a boot.py makes endless nobody would get in again.
            if self.restart and self._transport is not None and self.soft_reset_works:
                self.start_main()
        self.close()

    def open(self, soft_reset: bool = True) -> None:
        """Open the port, stop what runs, enter the raw REPL, by default with a soft reset for a clean heap.

        Raises UserError when the port cannot be opened or no REPL answers within about 30 s, naming the likely cause:
        silent board, IDE mode, a program that cannot be stopped.
        """
        self._transport = self._connect(BAUD)
        self.prepared.clear()
        try:
            self._enter(soft_reset)
        except UserError:
            self.close()
            raise

    def close(self) -> None:
        """Back to the friendly REPL and close the port. Never raises: the board may be gone."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        with contextlib.suppress(OSError, serial.SerialException, TransportError):
            if transport.in_raw_repl:
                transport.exit_raw_repl()
                transport.serial.flush()
        with contextlib.suppress(OSError, serial.SerialException):
            transport.close()

    def run(self, code: str, timeout_s: float | None = 10, output: Callable[[bytes], None] | None = None) -> str:
        """Run `code` on the board and return what it printed; `timeout_s` is the longest silence (None: any).

        Without `output` the whole of it may take three times as long, so that a board that prints for ever ends too.
        Raises BoardError for an exception there, UserError when the board stops answering or the port is gone.
        """
        transport = self._need()
        transport.deadline = None if output or timeout_s is None else self._clock.now() + 3 * timeout_s
        self._busy = True
        try:
            # mpremote prints what it does not understand; with `output` the caller owns stdout.
            with contextlib.redirect_stdout(io.StringIO()) if output is None else contextlib.nullcontext():
                out, err = transport.exec_raw(code, timeout=timeout_s, data_consumer=output)
        except TransportError as error:
            raise self._no_answer(error) from None
        except (OSError, serial.SerialException, TypeError) as error:
            # pyserial raises TypeError when a vanished port is read.
            raise UserError(
                f"the connection to the board broke: {ports.why_broken(error)}",
                "check the cable, then run the command again",
            ) from None
        finally:
            transport.deadline = None
        self._busy = False
        if err:
            text = err.decode("utf-8", "replace")
            last = (text.strip().splitlines() or ["an error without a word"])[-1]
            raise BoardError(last, text)
        return bytes(out).decode("utf-8", "replace") if out else ""

    def eval(self, expression: str) -> Any:
        """The value of a Python expression made of literals, as the board prints it."""
        import ast

        text = self.run(f"print(repr({expression}))").strip()
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise UserError(
                f"the board gave an unreadable answer ({shorten(text, 60)!r})", "run the command again"
            ) from None

    def stream(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """`data` in pieces, each as a Python expression of at most COMMAND_LIMIT characters and as its bytes."""
        size = COMMAND_LIMIT * 3 // 4 - 72
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            yield f'a2b_base64("{base64.b64encode(piece).decode()}")', piece

    def fresh(self) -> None:
        """Another soft reset: an empty heap and nothing imported. Does nothing on a board whose boot.py never ends."""
        if self.soft_reset_works:
            self.prepared.clear()
            self._enter(soft_reset=True)

    def wait_for_card(self) -> bool:
        """True when a card is mounted; after a soft reset it may come up to 3 s late."""
        deadline = self._clock.now() + _CARD_WAIT_S
        while True:
            if self.run("import uos;print('sd' in uos.listdir('/'))").strip() == "True":
                return True
            if self._clock.now() > deadline:
                return False
            self._clock.sleep(0.2)

    def start_main(self) -> None:
        """Leave the raw REPL by a soft reset, so that main.py runs; the session is over then."""
        transport = self._need()
        try:
            if self._busy:
                # A command was given up half-way: what runs is stopped, what was typed of it is dropped.
                self._settle(_STOP_TIMEOUT_S)
            transport.exit_raw_repl()
            transport.serial.write(b"\x04")
            transport.serial.flush()
        except (OSError, serial.SerialException, TypeError) as error:
            raise UserError(
                f"the connection to the board broke: {ports.why_broken(error)}", "check the cable"
            ) from None
        self.restart = False

    def hard_reset(self) -> None:
        """Reset the chip; the session is over then."""
        transport = self._need()
        try:
            transport.exec_raw_no_follow("import machine\nmachine.reset()\n")
            transport.serial.flush()
            transport.in_raw_repl = False
            self.restart = False
        except (OSError, serial.SerialException, TransportError) as error:
            raise UserError(
                f"the board did not take the reset: {ports.why_broken(error)}", "press its reset key"
            ) from None

    @property
    def serial(self) -> serial.SerialBase:
        """The open port, for a terminal or for following the console."""
        return self._need().serial

    def _no_answer(self, error: TransportError) -> UserError:
        transport = self._need()
        if transport.starts:
            return UserError("the board restarted in the middle", "use a stronger supply or a shorter cable, try again")
        if transport.deadline is not None and self._clock.now() >= transport.deadline:
            return UserError("something on the board prints without end", "reset the board, then run the command again")
        return UserError(
            f"the board stopped answering ({shorten(str(error), 80)}){self._clock.remark}",
            "check the cable, then run the command again",
        )

    def _need(self) -> Transport:
        if self._transport is None:
            raise UserError("the connection to the board is closed", "run the command again")
        return self._transport

    def _connect(self, baud: int) -> Transport:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                transport = Transport(self.port, baudrate=baud, wait=0, timeout=_CHARACTER_TIMEOUT_S)
            self._clock = transport.clock = self._clock_of(self.port)
        except (OSError, serial.SerialException, TransportError) as error:
            raise open_error(self.port, _real_reason(self.port, error)) from None
        if not _is_url(self.port):
            transport.serial.write_timeout = 10
        return transport

    def _enter(self, soft_reset: bool) -> None:
        try:
            settled, heard = self._settle()
            if settled:
                self._need().starts = 0  # what comes after the soft reset is what tells
            entered = settled and self._raw_repl(soft_reset)
            if settled and not entered and soft_reset:
                # A boot.py that never ends blocks every soft reset; without one the board still works.
                self.restarts = self._need().starts > 0
                settled, heard = self._settle()
                entered = settled and self._raw_repl(False)
                self.soft_reset_works = not entered
                if entered:
                    does = "restarts the board" if self.restarts else "loops"
                    self._note(f"the soft reset did not end: boot.py on the board {does}; going on without it")
            if entered and self._answers():
                self._need().starts = 0
                return
        except (OSError, serial.SerialException, TypeError) as error:
            raise UserError(
                f"{self.port} broke while it was used: {ports.why_broken(error)}", "replug the board"
            ) from None
        raise self._why_no_repl(heard)

    def _settle(self, limit_s: float = 0) -> tuple[bool, bytes]:
        """Stop what runs until the friendly prompt appears and nothing follows; (True when it did, what was heard).

        Opening the port resets some boards, so the board may just be starting. What is typed before its REPL is ready
        stays in its ring and is answered later, so the raw REPL is asked for only when all is quiet.
        """
        transport = self._need()
        line = transport.serial
        transport.starts = 0
        heard = b""
        limit_s = limit_s or _ENTER_TIMEOUT_S
        start = self._clock.now()
        deadline = start + limit_s
        while self._clock.now() < deadline:
            # Ctrl-C stops a program, Ctrl-B leaves the raw REPL, and both lead to the prompt. One Ctrl-C at a time:
            # while a program waits in C, a second one takes the first one back (MaixPy-v1 machine_uart.c).
            line.write(b"\r\x03")
            self._clock.sleep(0.05)
            line.write(b"\x02")
            recent = b""
            quiet_since = self._clock.now()
            while self._clock.now() - quiet_since < 0.3 and self._clock.now() < deadline:
                count = line.in_waiting
                if not count:
                    self._clock.sleep(0.01)
                    continue
                before = recent[-len(START_MARK) :]
                new = line.read(count)
                recent = (recent + new)[-4000:]
                quiet_since = self._clock.now()
                starts = (before + new).count(START_MARK) - before.count(START_MARK)
                if starts and not transport.starts:
                    # It is starting; the first start formats the file system before anything else.
                    deadline = start + _START_TIMEOUT_S
                transport.starts += starts
                if _BOOTED_MARK in before + new and _BOOTED_MARK not in before:
                    line.write(b"\x03")  # now it keeps even a boot.py that restarts the board from running
                    deadline = self._clock.now() + limit_s
                if transport.starts >= _STARTS_TO_CATCH:
                    return False, heard + recent
            heard = (heard + recent)[-4000:]
            if recent.endswith(b">>> "):
                return True, heard
            self._clock.sleep(0.2)
        return False, heard

    def _answers(self) -> bool:
        """True when commands are understood. MaixPy looks for a card right after its start and may lose input then."""
        for _ in range(3):
            try:
                if self.run("print(6*7)").strip() == "42":
                    return True
            except UserError:
                self._clock.sleep(1)
            if not (self._settle()[0] and self._raw_repl(False)):
                return False
        return False

    def _raw_repl(self, soft_reset: bool) -> bool:
        """mpremote's way into the raw REPL; False when it does not get there."""
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                self._need().enter_raw_repl(soft_reset, timeout_overall=_ENTER_TIMEOUT_S)
            except TransportError:
                return False
        return True

    def _why_no_repl(self, heard: bytes) -> UserError:
        starts = self._need().starts
        self.close()
        if starts >= ENDLESS_STARTS:
            return UserError(RESTARTS, RESTARTS_REMEDY)
        if self._leave_ide_mode():
            return UserError(
                "the board was in the mode of MaixPy IDE", "it was reset, run the command again (and close the IDE)"
            )
        words = len(re.sub(rb"[^ -~]", b"", heard))
        if words > 40:
            return UserError(
                "a program on the board does not let itself be stopped",
                "reset the board and hold its BOOT key right after, or erase it with `maixpix flash --erase`",
            )
        return UserError(
            f"no MaixPy answers on {self.port}{self._clock.remark}",
            "press reset and try again, try the adapter's other port, or install MaixPy with `maixpix flash`",
        )

    def _leave_ide_mode(self) -> bool:
        """Ask in the IDE's protocol; a board that answers is reset, which ends the mode."""
        try:
            limit = None if _is_url(self.port) else 2
            with serial.serial_for_url(self.port, IDE_BAUD, timeout=0.1, write_timeout=limit) as line:
                # What was typed before at another rate has left it in the middle of commands that want more bytes.
                left = False
                for _ in range(_IDE_TRIES):
                    line.reset_input_buffer()
                    line.write(_IDE_VERSION)
                    answer = line.read(12)
                    if len(answer) == 12 and max(struct.unpack("<III", answer)) <= 99:
                        line.write(_IDE_RESET)
                        line.flush()
                        left = True
                    elif left:
                        break  # it answers no more: the reset was understood
                return left
        except (OSError, serial.SerialException, ValueError):
            return False


def open_error(port: str, error: BaseException) -> UserError:
    """The one-line error for a failed opening of `port`."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOTTY, errno.EISDIR) or f"({errno.ENOTTY}, " in str(error):
        return UserError(f"{port} is no serial port", "choose one of those that `maixpix ports` lists")
    return ports.open_error(port, error)


def _is_url(port: str) -> bool:
    # pyserial's RFC 2217 client refuses a write timeout; its socket has its own.
    return "://" in port


def _real_reason(port: str, error: Exception) -> Exception:
    """What opening `port` really says; mpremote's own exception hides it."""
    try:
        serial.serial_for_url(port, BAUD, exclusive=True).close()
    except (OSError, serial.SerialException, ValueError) as real:
        return real
    return error


_REMEDIES = {
    5: "the card or the flash is full or damaged: check it on a PC, or format it",
    19: "no card: insert one, or deploy with --to flash",
    28: "the card is full: remove files from it",
}


def _remedy_for(number: int, last: str) -> str:
    """What to do about an OSError of `number`, or about the exception that the line `last` tells."""
    if number in _REMEDIES:
        return _REMEDIES[number]
    if last.startswith("MemoryError"):
        return "reset the board and try again"
    if "incompatible .mpy" in last:
        return "this firmware takes other byte code: deploy with --source"
    if last.startswith(("ImportError", "SyntaxError")):
        return "put the software onto it anew: `maixpix deploy`"
    return "run `maixpix logs` or `maixpix doctor` for more"
