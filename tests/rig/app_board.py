"""A whole virtual board in this process, whose servers are scripts: every second is a virtual one."""

import functools
from dataclasses import dataclass

from PIL import Image

from rig.garbage import set_aside
from virtualboard.board import Board
from virtualboard.clock import MS
from virtualboard.hosted import loader
from virtualboard.network.script import Script
from virtualboard.program import Program
from virtualboard.running import RunningBoard

# The same files again and again: each is compiled once in this process. What it costs the board stays.
loader.compiled = functools.cache(loader.compiled)

SERVER = "127.0.0.1"  # scripts answer before any real port of this machine is tried


@dataclass
class Outcome:
    """What a run left: console text, [(virtual ms, line)], the panel at the end and whenever the program printed
    "snap", how many connections the script had."""

    console: str
    lines: list
    panel: Image.Image
    snaps: list
    connections: int
    report: dict
    ok: bool


class Served(Script):
    """Answers a request with whatever `answer(path, head)` gives: pieces of bytes, functions of the board that are
    called there, None where it falls silent, "reset" where it breaks off; at the end it closes."""

    def __init__(self, answer, board):
        self._answer = answer
        self._board = board
        self._head = b""

    def received(self, data):
        whole = b"\r\n\r\n" in self._head
        self._head += data
        if whole or b"\r\n\r\n" not in self._head:
            return
        for piece in self._answer(self._head.split()[1].decode(), self._head):
            if piece is None:
                return
            if piece == "reset":
                self.reset()
                return
            if callable(piece):
                piece(self._board)
            else:
                self.send(piece)
        self.finish()


def run(config, program, answer=None, end_ms=None, port=80, watch=None, on_snap=None, options=None):
    """Run `program` (a path or source text) on a board described by `config`; `answer` plays SERVER.

    `watch(board, engine)` may look in before the run begins, `on_snap()` is called for every line "snap". A program
    that prints it has to pause, until the line has left the UART. `options` are the engine's.
    """
    board = Board(config)
    heard = []
    snaps = []

    def hear(when, data):
        heard.append((when, data))
        if data.endswith(b"\n") and b"".join(data for _, data in heard[-8:]).endswith(b"snap\r\n"):
            snaps.append(board.panel.image())
            if on_snap is not None:
                on_snap()

    connections = []
    try:
        if answer is not None:

            def factory():
                connections.append(board.clock.now)
                return Served(answer, board)

            board.network.attach(SERVER, port, factory)
        running = RunningBoard(board, options)
        if watch is not None:
            watch(board, running.engine.machine)
        set_aside()
        code = running.run_program(Program.of(program), hear, None if end_ms is None else end_ms * MS)
        report = running.report()
        panel = board.panel.image()
    finally:
        board.power_off()
    text = b"".join(data for _, data in heard).decode().replace("\r\n", "\n")
    return Outcome(text, _timed(heard), panel, snaps, len(connections), report, code == 0)


def _timed(heard):
    """(virtual ms at which it was complete, line) for every line of the console."""
    lines = []
    line = b""
    for when, data in heard:
        *ended, rest = data.split(b"\n")
        for part in ended:
            lines.append((when / 1e6, (line + part).rstrip(b"\r").decode()))
            line = b""
        line += rest
    return lines
