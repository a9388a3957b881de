"""One virtual board in its own process: a job on stdin (JSON), events as JSON lines on stdout.

Job: {"config": {...}, "run": {"source": ..., "filename": ...} or null, "repl": false, "pty": false, "argv": [],
"end_ns": null, "card_delay_ms": 120, "cpu": 1.0, "panel": path or null, "frames": folder or null, "pace": false,
"mpy_sources": [folders], "heap_size": bytes or null, "dns": false}. Events: {"t": ns, "console": text}, {"t": ns,
"fault": what}, {"pty": path}, {"panel": n, "file": path}, {"report": {...}} at the end. Exit code: 0, 1 after an
uncaught exception, 2 for a bad job, 3 after a reset, a crash or the time limit.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import Clock
from virtualboard.faults import Faults
from virtualboard.host.console import ConsoleLog, PtyConsole
from virtualboard.hosted.costs import CARD_DELAY_MS, Costs
from virtualboard.hosted.engine import Engine, Program
from virtualboard.hosted.mpy import SourceIndex


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
    config = BoardConfig.from_dict(job["config"])
    board = Board(config, Clock(pace=bool(job.get("pace", False))))
    board.network.dns = bool(job.get("dns", False))
    faults = Faults(board, config.faults, config.seed)
    faults.on_happened = lambda when, what: events.send({"t": when, "fault": what})
    program = job.get("run")
    sources = [Path(folder) for folder in job.get("mpy_sources") or ()]
    factor = float(job.get("cpu", 1.0))
    engine = Engine(
        board,
        program=Program(program["source"], program.get("filename", "main.py")) if program else None,
        repl=bool(job.get("repl", False)),
        costs=Costs().scaled(factor) if factor != 1.0 else None,
        card_delay_ms=int(job.get("card_delay_ms", CARD_DELAY_MS)),
        end_ns=job.get("end_ns"),
        decode_mpy=SourceIndex(sources).source_of if sources else None,
        argv=job.get("argv"),
    )
    if job.get("heap_size"):
        engine.chip.next_heap_size = int(job["heap_size"])  # what gc_heap_size() left before the last reset
    signal.signal(signal.SIGTERM, lambda *_: engine.power_off("terminated"))

    def console(when: int, data: bytes) -> None:
        events.send({"t": when, "console": data.decode("utf-8", "replace")})

    if job.get("pty"):
        terminal = PtyConsole(board, console)
        events.send({"pty": terminal.name})
    else:
        ConsoleLog(board, console)
    if job.get("frames"):
        _save_frames(board, Path(job["frames"]), events)
    try:
        code = engine.run()
    except KeyboardInterrupt:
        engine.ended, code = "interrupted", 3
    if job.get("panel"):
        board.panel.save(Path(job["panel"]))
        events.send({"panel": board.panel.frames, "file": job["panel"]})
    report = engine.report()
    report["faults"] = [[when, what] for when, what in faults.happened]
    stats = getattr(board.modem, "stats", None)
    with contextlib.suppress(TypeError, ValueError):
        report["modem"] = json.loads(json.dumps(stats, default=lambda value: vars(value)))
    board.power_off()
    events.send({"report": report})
    return code


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
    except (ValueError, KeyError, NotADirectoryError) as error:
        events.send({"error": f"{type(error).__name__}: {error}"})
        return 2


if __name__ == "__main__":
    sys.exit(main())
