"""A board that runs: its parts, the engine that plays its chip, its fault plan, and the one way to run a program on it.

Whoever wants a program run on a virtual board comes here: `maixpix board` and `demo`, tests in their own process, and
`launch`, which does the same in a process apart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from virtualboard import fence
from virtualboard.board import Board
from virtualboard.clock import SECOND
from virtualboard.engine import HOSTED, EngineError, EngineOptions, host_folders, make_engine, report
from virtualboard.faults import Faults
from virtualboard.host.console import ConsoleLine
from virtualboard.host.typist import Typist
from virtualboard.program import PATHS, Program

_PROMPT_S = 60  # of the board's time at full speed; builds that format their flash need three of them

OnText = Callable[[int, bytes], None]


class RunningBoard:
    """`board`, played by the engine that `options` name (hosted unless told otherwise), with its own fault plan armed.

    All of it belongs to the thread that calls `run`, `execute` or `run_program`. `console` is the host's end of the
    serial port. Raises EngineError when the engine cannot be had, ValueError for a plan that is none. Who made `board`
    switches it off.
    """

    def __init__(self, board: Board, options: EngineOptions | None = None) -> None:
        self.engine_options = options or EngineOptions()
        self.board = board
        self.console = ConsoleLine(board)
        self.faults = Faults(board, board.config.faults, board.config.seed)
        self.engine = make_engine(board, self.engine_options)
        self.stopped = threading.Event()
        board.on_power_cut = lambda: self.end("power cut")

    def fence_in(self, reads: Iterable[Path] = (), writes: Iterable[Path] = ()) -> str:
        """Before the first step, in a process that plays this board and then ends: see `fence.enclose`.

        The hosted engine's programs are this process; it keeps the board's own folders, `reads` and `writes`. Those of
        the emulated chip reach nothing of it, and nothing is done. Returns what could not be had, "" for nothing.
        """
        if self.engine.kind != HOSTED:
            return ""
        own_reads, own_writes = host_folders(self.board, self.engine, self.engine_options)
        return fence.enclose([*own_reads, *reads], [*own_writes, *writes])

    def run(self) -> None:
        """Play until `end`, or until a program that the engine was started with has ended."""
        self.engine.run(self.stopped.is_set)

    def end(self, why: str = "switched off") -> None:
        """End the run, from the engine's thread: at once, so that no more virtual time passes than in any other run."""
        self.stopped.set()
        self.engine.halt(why)

    def reset(self) -> None:
        """Press the board's reset key shortly."""
        self.engine.hold(True)
        self.engine.hold(False)

    def run_program(self, program: Program, on_text: OnText, end_ns: int | None = None) -> int:
        """Run `program` from power-on to its end; returns 0, 1 after an uncaught exception, 3 for any other end.

        The hosted engine runs it after the boot, in the place of `main.py`; at the chip's prompt it is typed.
        `on_text(virtual_ns, data)` gets what is printed, of the chip only what the program prints, and its traceback.
        `end_ns` is the virtual time at which the power goes off. Afterwards `engine.ended` tells why it ended and
        `engine.error` the traceback's last line. Raises EngineError when the board does not come up.
        """
        if end_ns is not None:
            self.board.clock.at(end_ns, lambda: self.end("time limit"))
        if self.engine.takes_programs:
            self.console.listen(on_text)
            self.engine.start_with(program)
            self.run()
            return 3 if self.engine.exit_code is None else self.engine.exit_code
        return self._type(program, on_text)

    def _type(self, program: Program, on_text: OnText) -> int:
        engine, clock = self.engine, self.board.clock
        started = program.source if program.path is None else f"exec(open({program.path!r}).read())\n"
        typist = self._typed(started, lambda data: on_text(clock.now, data))
        if typist.error is None:
            return 3
        engine.ended = "finished"
        if typist.error:
            on_text(clock.now, typist.error.encode())
            engine.error = typist.error.strip().rpartition("\n")[2]
        return 1 if typist.error else 0

    def execute(self, code: bytes, on_output: Callable[[bytes], None], timeout_s: float = 600.0) -> str:
        """Type `code` at the REPL of either engine; returns its traceback ("" when it ended well), and ends the run.

        `timeout_s` is in the board's time. Raises EngineError when no prompt appears or the program does not end in it,
        KeyboardInterrupt when something else has ended the run before.
        """
        late = self.board.clock.after(round(timeout_s * SECOND), lambda: self.end("time limit"))
        typist = self._typed(code.decode(), on_output, timeout_s)
        late.cancel()
        if typist.error is not None:
            return typist.error
        if self.engine.ended != "time limit":
            raise KeyboardInterrupt
        raise EngineError(
            f"the program did not end within {timeout_s:g} s of the board's time", "raise --timeout, or look for a loop"
        )

    def _typed(self, code: str, on_output: Callable[[bytes], None], patience_s: float = _PROMPT_S) -> Typist:
        """Play with `code` typed at the prompt, until it has ended or the run has; EngineError without a prompt."""
        clock = self.board.clock
        typist = Typist(
            self.console, code.encode(), on_output, self.end, at_prompt=self.engine.resumed, before=PATHS.encode()
        )
        patience_s = min(patience_s, _PROMPT_S / min(1.0, self.engine_options.cpu))
        silent = clock.after(round(patience_s * SECOND), lambda: None if typist.prompted else self.end("no prompt"))
        self.run()
        silent.cancel()
        if self.engine.ended == "no prompt" or (not typist.prompted and self.engine.ended == "time limit"):
            raise EngineError(f"no prompt appeared within {patience_s:g} s of the board's time")
        return typist

    def report(self) -> dict[str, Any]:
        """Figures of the run so far, plain data; see `engine.report`."""
        return report(self.board, self.engine, self.faults.happened)
