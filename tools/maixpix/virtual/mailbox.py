"""Work for the thread that plays a board, from other threads and from signal handlers.

The engine's thread owns all parts of the board. Whoever else wants something of them posts a function; a byte on a
socket pair wakes the engine, whose clock listens there.
"""

from __future__ import annotations

import contextlib
import queue
import socket
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Any, TypeVar

from virtualboard.clock import Clock

T = TypeVar("T")


class Mailbox:
    """`post` and `ask` may be called from anywhere; the functions run in the thread that advances `clock`."""

    def __init__(self, clock: Clock) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._read, self._wake = socket.socketpair()
        self._read.setblocking(False)
        self._wake.setblocking(False)
        self._closed = False
        self._watch = clock.listen(self._read.fileno(), self._serve)

    def ask(self, function: Callable[[], T]) -> Future[T]:
        """Run `function` soon; the future gets its result, or CancelledError when the board is switched off."""
        future: Future[T] = Future()
        if self._closed:
            future.cancel()
            return future
        self._work.put((function, future))
        if self._closed:
            self._give_up()  # closed meanwhile, and nobody may look again
        # A full pair has woken the engine already; a closed one cancels what is left.
        with contextlib.suppress(BlockingIOError, OSError):
            self._wake.send(b"x")
        return future

    def post(self, function: Callable[[], Any]) -> None:
        """Run `function` soon; safe in a signal handler."""
        self.ask(function)

    def close(self) -> None:
        """The engine has stopped: whoever still waits is told so."""
        self._closed = True
        self._watch.cancel()
        self._give_up()
        self._read.close()
        self._wake.close()

    def _give_up(self) -> None:
        # From two threads at once each piece of work is taken by one of them.
        with contextlib.suppress(queue.Empty):
            while True:
                self._work.get_nowait()[1].cancel()

    def _serve(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._read.recv(4096)
        while not self._work.empty():
            function, future = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = function()
            except BaseException as error:  # handed to the thread that asked
                with contextlib.suppress(InvalidStateError, CancelledError):
                    future.set_exception(error)
                if not isinstance(error, Exception):
                    raise  # Ctrl-C and the like are the engine's as well
            else:
                with contextlib.suppress(InvalidStateError, CancelledError):
                    future.set_result(result)
