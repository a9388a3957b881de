"""Start a virtual board in its own process, run a program on it, and collect what it did."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import virtualboard
from virtualboard.board import BoardConfig
from virtualboard.clock import SECOND
from virtualboard.hosted.costs import CARD_DELAY_MS

RUN_LIMIT_S = 300.0
START_LIMIT_S = 120.0
"""Real seconds after which a board's process is given up. They end what hangs: a run that costs two seconds of a quiet
machine has to pass beside others, too. `end_ms` bounds what a program may take of the board's own time."""

OnEvent = Callable[[dict[str, Any]], None]


class BoardError(RuntimeError):
    """The board process could not do its job; the text says why."""


@dataclass
class RunResult:
    """What a run left behind. `console` has plain newlines; `report` is the engine's (see `Engine.report`)."""

    console: str
    report: dict[str, Any]
    exit_code: int
    panel: Path | None = None
    frames: list[Path] = field(default_factory=list)
    stderr: str = ""

    @property
    def ok(self) -> bool:
        """The program ended without an uncaught exception, a reset or the time limit."""
        return self.exit_code == 0

    @property
    def virtual_ns(self) -> int:
        """Virtual time that passed."""
        return self.report.get("virtual_ns", 0)


def run_app(
    config: BoardConfig,
    script: Path | str | None,
    on_event: OnEvent | None = None,
    timeout_s: float = RUN_LIMIT_S,
    *,
    panel: Path | None = None,
    frames: Path | None = None,
    argv: list[str] | None = None,
    end_ms: int | None = None,
    card_delay_ms: int = CARD_DELAY_MS,
    cpu: float = 1.0,
    mpy_sources: list[Path] | None = None,
    heap_size: int | None = None,
    dns: bool = False,
) -> RunResult:
    """Run `script` on a board and wait for its end.

    `script` is a host file (Path), source text (str), or None for an ordinary boot (`boot.py`, `main.py`). It runs as
    `__main__` after the boot, with the card mounted and its directory current. `timeout_s` is real time: after it the
    board is switched off and TimeoutError raised. `end_ms` switches it off at that virtual time (exit code 3).
    `panel` gets a PNG of the panel at the end, `frames` is a folder for every frame. `cpu` scales the processor.
    `heap_size` is the GC heap in bytes that `gc_heap_size` was set to before. `dns` lets names be looked up by this
    machine's resolver; connections still need `config.reach`. `on_event` gets what the board does as it happens, see
    `virtualboard.hosted.__main__`.
    """
    with BoardProcess(
        config,
        script,
        on_event=on_event,
        panel=panel,
        frames=frames,
        argv=argv,
        end_ms=end_ms,
        card_delay_ms=card_delay_ms,
        cpu=cpu,
        mpy_sources=mpy_sources,
        heap_size=heap_size,
        dns=dns,
    ) as board:
        return board.wait(timeout_s)


class BoardProcess:
    """A board that runs beside the caller; a context manager that never leaves the process behind.

    With `repl=True` it stays at the prompt; with `pty=True` its console is a pseudo-terminal, whose path `port` gives.
    """

    def __init__(
        self,
        config: BoardConfig,
        script: Path | str | None = None,
        *,
        on_event: OnEvent | None = None,
        repl: bool = False,
        pty: bool = False,
        pace: bool = False,
        panel: Path | None = None,
        frames: Path | None = None,
        argv: list[str] | None = None,
        end_ms: int | None = None,
        card_delay_ms: int = CARD_DELAY_MS,
        cpu: float = 1.0,
        mpy_sources: list[Path] | None = None,
        heap_size: int | None = None,
        dns: bool = False,
    ) -> None:
        self._on_event = on_event
        self._panel = panel
        self._console: list[str] = []
        self._frames: list[Path] = []
        self._report: dict[str, Any] | None = None
        self._error: str | None = None
        self._port: queue.Queue[str | None] = queue.Queue()
        job = {
            "config": config.to_dict(),
            "run": _program(script),
            "repl": repl,
            "pty": pty,
            "pace": pace,
            "panel": str(panel) if panel else None,
            "frames": str(frames) if frames else None,
            "argv": argv or [],
            "end_ns": None if end_ms is None else end_ms * SECOND // 1000,
            "card_delay_ms": card_delay_ms,
            "cpu": cpu,
            "mpy_sources": [str(folder) for folder in mpy_sources or ()],
            "heap_size": heap_size,
            "dns": dns,
        }
        root = str(Path(virtualboard.__file__).resolve().parent.parent)
        paths = [root, os.environ.get("PYTHONPATH", "")]
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in paths if path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "virtualboard.hosted"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job).encode())
            self._process.stdin.close()
        except BrokenPipeError:
            self._error = "the board process ended at once"
        self._stderr: list[bytes] = []
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    # -- context ------------------------------------------------------------------------------------------

    def __enter__(self) -> BoardProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Switch the board off: in order if it listens, by force after two seconds."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(5)

    # -- while it runs ------------------------------------------------------------------------------------

    @property
    def console(self) -> str:
        """What the board has printed so far."""
        return "".join(self._console).replace("\r\n", "\n")

    def port(self, timeout_s: float = START_LIMIT_S) -> str:
        """Path of the pseudo-terminal; BoardError when the board ended before it had one."""
        try:
            name = self._port.get(timeout=timeout_s)
        except queue.Empty:
            raise BoardError("the board did not come up in time") from None
        if name is None:
            raise BoardError(self._failure())
        self._port.put(name)
        return name

    def wait_for(self, text: str, timeout_s: float = START_LIMIT_S) -> None:
        """Wait until the console has shown `text`; TimeoutError otherwise."""
        end = time.monotonic() + timeout_s
        while text not in self.console:
            if self._process.poll() is not None and not self._readers[0].is_alive():
                raise BoardError(f"the board ended without showing {text!r}")
            if time.monotonic() > end:
                raise TimeoutError(f"the board did not show {text!r} within {timeout_s} s")
            time.sleep(0.01)

    def wait(self, timeout_s: float = RUN_LIMIT_S) -> RunResult:
        """Wait for the end of the run. TimeoutError after `timeout_s`, BoardError when the process broke down."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            last = self.console.strip().rpartition("\n")[2]
            raise TimeoutError(f"the board still ran after {timeout_s} s; last line: {last!r}") from None
        for reader in self._readers:
            reader.join(10)
        if self._report is None:
            raise BoardError(self._failure())
        return RunResult(
            console=self.console,
            report=self._report,
            exit_code=code,
            panel=self._panel if self._panel is not None and self._panel.exists() else None,
            frames=list(self._frames),
            stderr=b"".join(self._stderr).decode("utf-8", "replace"),
        )

    # -- the child's output -------------------------------------------------------------------------------

    def _failure(self) -> str:
        tail = b"".join(self._stderr).decode("utf-8", "replace").strip()
        return self._error or f"the board process failed (exit code {self._process.poll()}): {tail[-2000:]}"

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if "console" in event:
                self._console.append(event["console"])
            elif "pty" in event:
                self._port.put(event["pty"])
            elif "report" in event:
                self._report = event["report"]
            elif "error" in event:
                self._error = event["error"]
            elif "file" in event and "t" in event:
                self._frames.append(Path(event["file"]))
            if self._on_event is not None:
                self._on_event(event)
        self._port.put(None)

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._stderr.append(line)


def _program(script: Path | str | None) -> dict[str, str] | None:
    if script is None:
        return None
    if isinstance(script, Path):
        return {"source": script.read_text(encoding="utf-8"), "filename": script.name}
    return {"source": script, "filename": "main.py"}
