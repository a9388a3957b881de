"""One virtual board in its own process: a job on stdin (JSON), events as JSON lines on stdout.

Job: {"config": {...}, "engine": {...}, "run": {"source": ..., "filename": ..., "path": ...} or null, "pty": false,
"end_ns": null, "panel": path or null, "frames": folder or null, "pace": false}; `config` is a `BoardConfig`, `engine`
are `EngineOptions`. Events: {"t": ns, "console": text}, {"t": ns, "fault": what}, {"pty": path}, {"panel": n,
"file": path}, {"serving": module's port, "at": port of this machine}, {"report": {...}} at the end, {"error": text,
"remedy": text} instead of it. Exit code: 0, 1 after an uncaught exception, 2 for a job that cannot be done, 3 after a
reset, a crash, a power cut or the time limit.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, Clock
from virtualboard.engine import EngineError, EngineOptions
from virtualboard.fence import open_output
from virtualboard.host.console import PtyConsole
from virtualboard.program import Program
from virtualboard.running import RunningBoard


class _Events:
    """Writes JSON lines to the parent's pipe; a parent that went away ends the run."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno

    def send(self, event: dict[str, Any]) -> None:
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._fileno, line) :]
        except BrokenPipeError:
            os._exit(4)


def run_job(job: dict[str, Any], events: _Events) -> int:
    """Build the board, run the program, report; returns the exit code."""
    config, options = BoardConfig.from_dict(job["config"]), EngineOptions.from_dict(job.get("engine", {}))
    board = Board(config, Clock(round(config.grace_ms * MS), pace=bool(job.get("pace", False))))
    with contextlib.ExitStack() as at_end:
        at_end.callback(board.power_off)
        running = RunningBoard(board, options)
        # Opened before the fence is up: behind it, no file can be made there.
        panel = at_end.enter_context(open_output(Path(job["panel"]))) if job.get("panel") else None
        code = _play(job, running, events)
        if panel is not None:
            board.panel.write(panel, Path(job["panel"]).suffix)
            events.send({"panel": board.panel.frames, "file": job["panel"]})
        report = running.report()
    if options.flash is not None:
        board.flash.save(Path(options.flash))
    events.send({"report": report})
    return code


def _play(job: dict[str, Any], running: RunningBoard, events: _Events) -> int:
    def on_text(when: int, data: bytes) -> None:
        events.send({"t": when, "console": data.decode("utf-8", "replace")})

    running.board.network.on_listen = lambda port, there: events.send({"serving": port, "at": there})
    running.faults.on_happened = lambda when, what: events.send({"t": when, "fault": what})
    signal.signal(signal.SIGTERM, lambda *_: running.end("terminated"))
    if job.get("pty"):
        events.send({"pty": PtyConsole(running.console).name})
    frames = Path(job["frames"]) if job.get("frames") else None
    if frames is not None:
        _save_frames(running.board, frames, events)
    running.fence_in(writes=[] if frames is None else [frames])
    program, end_ns = job.get("run"), job.get("end_ns")
    gc.freeze()  # the device's gc.collect() runs CPython's: it need not search what was there before the program
    try:
        if program is not None:
            return running.run_program(Program(**program), on_text, end_ns)
        running.console.listen(on_text)
        if end_ns is not None:
            running.board.clock.at(end_ns, lambda: running.end("time limit"))
        running.run()
    except KeyboardInterrupt:
        running.end("interrupted")
        return 3
    return 0


def _save_frames(board: Board, folder: Path, events: _Events) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        number = board.panel.frames
        path = folder / f"frame-{number:04}.png"
        board.panel.save(path)
        events.send({"panel": number, "file": str(path), "t": board.clock.now})

    board.panel.on_frame = save


def main() -> int:
    """Entry point of the child process."""
    events = _Events(os.dup(1))
    os.dup2(2, 1)  # a stray print cannot break the protocol
    try:
        job = json.loads(sys.stdin.read())
        return run_job(job, events)
    except EngineError as error:
        events.send({"error": error.cause, "remedy": error.remedy})
        return 2
    except (ValueError, KeyError, TypeError, NotADirectoryError) as error:
        events.send({"error": f"{type(error).__name__}: {error}"})
        return 2


if __name__ == "__main__":
    sys.exit(main())
