"""A serial cable between a virtual board and a program of this process, in virtual time.

The program has a thread of its own, and only one of the two runs at a time: the program until it waits for something,
then the board until that is there or its time is over. So the same scenario gives the same run.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import serial

from virtualboard.clock import MS, SECOND, Alarm
from virtualboard.host.board_time import BoardTime
from virtualboard.running import RunningBoard

PLUGGED: dict[str, Cable] = {}
"""Cables that are in, by what stands behind "cable://" in their port's name (see `protocol_cable`)."""

_numbers = itertools.count(1)


class Cable:
    """Plugged into `running`, whose `run` has not been called yet: `work()` begins `begin_ms` after power-on. `out` is
    True once the power is off. Whoever has made it calls `pull`."""

    def __init__(self, running: RunningBoard, work: Callable[[Cable], None], begin_ms: int) -> None:
        self.out = False
        self.clock = running.board.clock
        self._console = running.console
        self._heard = bytearray()
        self._board, self._program = threading.Semaphore(0), threading.Semaphore(0)
        self._alarm: Alarm | None = None
        self._for_bytes = False
        self._until = 0
        self._name = str(next(_numbers))
        self.port = f"cable://{self._name}"
        PLUGGED[self._name] = self
        self._thread = threading.Thread(target=self._work, args=(work,), name="cable", daemon=True)
        self._failure: BaseException | None = None
        self._console.listen(self._came)
        self._thread.start()
        self._alarm = self.clock.at(begin_ms * MS, self._let)

    # -- the board's thread -------------------------------------------------------------------------------

    def _came(self, when: int, data: bytes) -> None:
        self._heard += data
        if self._for_bytes and self._alarm is not None:
            self._for_bytes = False
            self._alarm.cancel()
            self._alarm = self.clock.after(0, self._let)

    def _let(self) -> None:
        """It is the program's turn, until it waits."""
        self._program.release()
        self._board.acquire()
        if self._failure is not None:
            raise self._failure
        self._alarm = self.clock.at(self._until, self._let) if self._thread.is_alive() else None

    def pull(self) -> None:
        """The power is off: whatever the program does next fails. Returns when it has ended."""
        self.out = True
        self._program.release()
        self._thread.join()
        del PLUGGED[self._name]

    # -- the program's thread -----------------------------------------------------------------------------

    def _work(self, work: Callable[[Cable], None]) -> None:
        self._program.acquire()
        try:
            if not self.out:
                work(self)
        except BaseException as error:  # noqa: BLE001 - it is raised where the run is
            self._failure = error
        finally:
            self._until = self.clock.now
            self._board.release()

    def wait(self, seconds: float, for_bytes: bool = False) -> None:
        """Let the board go on for so long, or until it has said something. Raises SerialException without power."""
        self._check()
        self._until = self.clock.now + max(1, round(seconds * SECOND))
        self._for_bytes = for_bytes
        self._board.release()
        self._program.acquire()
        self._for_bytes = False
        self._check()

    def _check(self) -> None:
        if self.out:
            raise serial.SerialException("the board has no power")

    def write(self, data: bytes) -> None:
        """Type at the board."""
        self._check()
        self._console.type(data)

    @property
    def waiting(self) -> int:
        """Bytes that the board has said and nobody has read."""
        self._check()
        return len(self._heard)

    def read(self, count: int) -> bytes:
        """Up to `count` of them."""
        piece = bytes(self._heard[:count])
        del self._heard[:count]
        return piece

    def time(self, port: str) -> BoardTime:
        """The time of the board at `port`, for `Link`."""
        return CableTime(port, self)


class CableTime(BoardTime):
    """The virtual time of the board at a cable."""

    def __init__(self, port: str, cable: Cable) -> None:
        super().__init__(port, told=lambda: None)
        self._cable = cable

    def now(self) -> float:
        """Seconds since power-on."""
        return self._cable.clock.now / SECOND

    def sleep(self, seconds: float) -> None:
        """Let the board go on for so long."""
        self._cable.wait(seconds)
