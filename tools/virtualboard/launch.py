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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import virtualboard
from virtualboard import fence
from virtualboard.board import BoardConfig
from virtualboard.clock import SECOND
from virtualboard.engine import EngineOptions
from virtualboard.program import Program

RUN_LIMIT_S = 300.0
START_LIMIT_S = 120.0
"""Real seconds after which a board's process is given up. They end what hangs: a run that costs two seconds of a quiet
machine has to pass beside others, too. `end_ms` bounds what a program may take of the board's own time."""

OnEvent = Callable[[dict[str, Any]], None]


class BoardError(RuntimeError):
    """The board process could not do its job; the text says why, `remedy` what to do where that is known."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.remedy = remedy


@dataclass
class RunResult:
    """What a run left behind. `console` has plain newlines; `report` has its figures (see `engine.report`)."""

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
    engine: EngineOptions | None = None,
    board_path: str | None = None,
    panel: Path | None = None,
    frames: Path | None = None,
    end_ms: int | None = None,
) -> RunResult:
    """Run `script` on a board and wait for its end.

    `script` is a host file (Path), source text (str), or None for an ordinary boot (`boot.py`, `main.py`). It runs as
    `__main__` after the boot, with the card mounted and its directory current. `timeout_s` is real time: after it the
    board is switched off and TimeoutError raised. `end_ms` switches it off at that virtual time (exit code 3).
    `panel` gets a PNG of the panel at the end, `frames` is a folder for every frame. `engine` says who plays the chip.
    `board_path` is where the board itself has the script, for the chip, at whose prompt programs are typed. `on_event`
    gets what the board does as it happens, see `virtualboard.__main__`. BoardError when the board cannot run.
    """
    with BoardProcess(
        config,
        script,
        on_event=on_event,
        engine=engine or EngineOptions(repl=False),
        board_path=board_path,
        panel=panel,
        frames=frames,
        end_ms=end_ms,
    ) as board:
        return board.wait(timeout_s)


class BoardProcess:
    """A board that runs beside the caller; a context manager that never leaves the process behind.

    Without a script it boots as it would and, where `engine.repl` says so, stays at the prompt; with `pty=True` its
    console is a pseudo-terminal, whose path `port` gives.
    """

    def __init__(
        self,
        config: BoardConfig,
        script: Path | str | None = None,
        *,
        on_event: OnEvent | None = None,
        engine: EngineOptions | None = None,
        board_path: str | None = None,
        pty: bool = False,
        pace: bool = False,
        panel: Path | None = None,
        frames: Path | None = None,
        end_ms: int | None = None,
    ) -> None:
        self._on_event = on_event
        self._panel = panel
        self._console: list[str] = []
        self._frames: list[Path] = []
        self._report: dict[str, Any] | None = None
        self._error: str | None = None
        self._remedy = ""
        self._port: queue.Queue[str | None] = queue.Queue()
        self._serving: queue.Queue[int | None] = queue.Queue()
        job = {
            "config": config.to_dict(),
            "engine": (engine or EngineOptions()).to_dict(),
            "run": None if script is None else asdict(replace(Program.of(script), path=board_path)),
            "pty": pty,
            "pace": pace,
            "panel": str(panel) if panel else None,
            "frames": str(frames) if frames else None,
            "end_ns": None if end_ms is None else end_ms * SECOND // 1000,
        }
        root = str(Path(virtualboard.__file__).resolve().parent.parent)
        paths = [root, os.environ.get("PYTHONPATH", "")]
        environment = fence.environment(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "virtualboard"],
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
            raise BoardError(self._failure(), self._remedy)
        self._port.put(name)
        return name

    def web_port(self, timeout_s: float = START_LIMIT_S) -> int:
        """Port of this machine at which the board's own server is, once it has opened one; BoardError when it ended."""
        try:
            there = self._serving.get(timeout=timeout_s)
        except queue.Empty:
            raise BoardError("the board opened no server in time") from None
        if there is None:
            raise BoardError(self._failure(), self._remedy)
        self._serving.put(there)
        return there

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
            raise BoardError(self._failure(), self._remedy)
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
            elif "serving" in event:
                self._serving.put(event["at"])
            elif "report" in event:
                self._report = event["report"]
            elif "error" in event:
                self._error, self._remedy = event["error"], event.get("remedy", "")
            elif "file" in event and "t" in event:
                self._frames.append(Path(event["file"]))
            if self._on_event is not None:
                self._on_event(event)
        self._port.put(None)
        self._serving.put(None)

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._stderr.append(line)
