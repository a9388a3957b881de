"""mpremote's serial transport, whose waits end by the clock also when the board never stops talking."""

from __future__ import annotations

from collections.abc import Callable

from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from virtualboard.host.board_time import BoardTime

START_MARK = b"[MAIXPY] Pll0"
"""Printed once a start of the chip (MaixPy-v1 maixpy_main.c)."""

ENDLESS_STARTS = 3
"""So many in one wait are a loop: opening the port may cause one start, and taking over cover.*.py another."""

_PIECE, _PIECE_S = 256, 0.01  # as mpremote: the console has no flow control
_ANSWER_S = 5.0

RESTARTS = "the board restarts again and again"


class Transport(SerialTransport):
    """mpremote looks at its limits only while the line is silent; this one does after every byte.

    `deadline` (by `clock`, the board's time; None: none) ends every wait; `starts` counts the starts that were heard.
    """

    deadline: float | None = None
    starts = 0
    clock: BoardTime

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = 10,
        data_consumer: Callable[[bytes], None] | None = None,
        timeout_overall: float | None = None,
    ) -> bytes:
        """As mpremote's; with `data_consumer` only the last byte is returned and `ending` is one byte.

        Raises TransportError when the board starts for the third time.
        """
        data, recent = b"", b""
        began = heard = self.clock.now()
        while not data.endswith(ending):
            now = self.clock.now()
            if self.deadline is not None and now >= self.deadline:
                break
            if timeout_overall is not None and now >= began + timeout_overall:
                break
            # A pseudo-terminal that is gone has nothing waiting for ever, but a read of it fails.
            new = self.serial.read(1) if self.is_pty or self.serial.in_waiting else b""
            if new:
                heard = self.clock.now()
                if data_consumer is not None:
                    data_consumer(new)
                data = new if data_consumer is not None else data + new
                recent = (recent + new)[-len(START_MARK) :]
                if recent == START_MARK:
                    self._started()
            elif timeout is not None and self.clock.now() >= heard + timeout:
                break
            else:
                self.clock.sleep(0.01)
        return data

    def exec_raw_no_follow(self, command: str | bytes) -> None:
        """Start `command` in the classic raw REPL, the only one that MaixPy has.

        mpremote's own waits for the answer in real time, which a virtual board on a busy machine has little of. Raises
        TransportError when the board does not take it.
        """
        if not self.read_until(1, b">").endswith(b">"):
            raise TransportError("could not enter raw repl")
        data = command if isinstance(command, bytes) else command.encode("utf-8")
        for at in range(0, len(data), _PIECE):
            self.serial.write(data[at : at + _PIECE])
            self.clock.sleep(_PIECE_S)
        self.serial.write(b"\x04")
        answer = self.read_until(2, b"OK", timeout=_ANSWER_S)
        if answer != b"OK":
            raise TransportError(f"could not exec command (response: {answer[:40]!r})")

    def _started(self) -> None:
        self.starts += 1
        if self.starts >= ENDLESS_STARTS:
            raise TransportError(RESTARTS)
