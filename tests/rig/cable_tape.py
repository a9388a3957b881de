"""What a command typed at a board, recorded once, and played to fresh boards up to the byte at which the cable breaks.

A command's bytes depend on the board's answers alone, so the first n of them are what a board gets whose cable is
pulled at byte n. Replaying takes no real time: board and line run in virtual time, in this process.
"""

from __future__ import annotations

import functools
import os
import pty
import select
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from rig.garbage import set_aside
from rig.patience import patient
from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS
from virtualboard.hosted import loader
from virtualboard.hosted.engine import Engine

Tape = list[tuple[int, bytes]]
"""(bytes that the board had sent, bytes typed then), in order."""


class Recorder:
    """A port that passes all bytes to another and back; `tape` has what went to the board."""

    def __init__(self, port: str) -> None:
        self._inner = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._inner)
        self._master, self._slave = pty.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.tape: Tape = []
        self.returned = 0
        self._stop, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    @property
    def typed(self) -> int:
        return sum(len(data) for _, data in self.tape)

    def _relay(self) -> None:
        while True:
            ready, _, _ = select.select([self._master, self._inner, self._stop], [], [])
            if self._stop in ready:
                return
            if self._inner in ready:
                answer = os.read(self._inner, 4096)
                self.returned += len(answer)
                os.write(self._master, answer)
            if self._master in ready:
                data = os.read(self._master, 4096)
                self.tape.append((self.returned, data))
                os.write(self._inner, data)

    def close(self) -> Tape:
        os.write(self._wake, b"x")
        self._thread.join(patient(10))
        for end in (self._slave, self._master, self._inner, self._stop, self._wake):
            os.close(end)
        return self.tape


@contextmanager
def many_starts() -> Iterator[None]:
    """For hundreds of boards in one process: every file is compiled once."""
    with mock.patch.object(loader, "compiled", functools.cache(loader.compiled)):
        yield


class _Run:
    """One power cycle of a board with these folders; `heard` is all that it printed."""

    def __init__(self, card: Path | None, flash: Path) -> None:
        flash.mkdir(exist_ok=True)
        self.board = Board(BoardConfig(card=str(card) if card else None, flash_dir=str(flash)))
        self.engine = Engine(self.board, repl=True)
        self.heard = b""
        self.every = 5
        """Milliseconds between two steps: where more than the order of things counts, 1."""
        self._left = 60_000  # ms of the board's time; nothing here takes that long

    def play(self, step: Callable[[], bool]) -> bytes:
        """Call `step` now and again until it is true, then switch off."""

        def tick() -> None:
            self.heard += self.board.console_tx.take()
            self._left -= self.every
            if step() or self._left <= 0:
                self.board.cut_power()
            else:
                self.board.clock.after(self.every * MS, tick)

        self.board.clock.after(MS, tick)
        set_aside()
        self.engine.run()
        self.board.network.close()
        self.board.card.close()
        assert self._left > 0, self.heard[-600:]
        return self.heard


def start(card: Path | None, flash: Path, until: bytes = b">>> ") -> bytes:
    """Switch a board on and return what it prints until its prompt shows."""
    run = _Run(card, flash)
    return run.play(lambda: run.heard.endswith(until))


def cut(tape: Tape, typed: int, card: Path | None, flash: Path, linger_ms: int = 0) -> None:
    """Switch a board on, type the first `typed` bytes of `tape` at its prompt, and `linger_ms` later cut its power."""
    run = _Run(card, flash)
    left = list(tape)
    base = rest = quiet = 0
    wait = linger_ms

    def step() -> bool:
        nonlocal base, rest, quiet, wait
        if not base:
            base = len(run.heard) if run.heard.endswith(b">>> ") else 0
            rest = typed
            return False
        if rest and left:
            needed, data = left[0]
            # A text that differs by some bytes from the recorded one (a time, a number) must not stop the play.
            quiet += run.every
            if len(run.heard) - base >= needed or quiet > 500:
                run.board.console_rx.write(data[:rest])
                rest -= min(rest, len(data))
                left.pop(0)
                quiet = 0
                if not rest or not left:
                    run.every = 1
            return False
        run.every = 1
        wait -= 1
        return wait < 0

    run.play(step)
