"""The companion in a process of its own, which can be killed at any moment and comes back on the same ports at once.

A nursery process has imported everything and forks a companion in a few milliseconds, as often as wanted.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]


class Nursery:
    """Forks companions; a context manager that leaves no process behind."""

    def __init__(self) -> None:
        paths = [str(ROOT), str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.upload_receiver"],
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in paths if path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate("")

    def ask(self, *words: object) -> None:
        """Have a command obeyed; returns when it has been."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\t".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            raise RuntimeError("the process that starts companions has ended")


class Receiver:
    """One companion with its folder of uploads below `root`; `token` None takes uploads from anybody."""

    def __init__(self, nursery: Nursery, root: Path, token: str | None) -> None:
        self.uploads = root / "uploads"
        self.port, self.tcp_port = _free_port(), _free_port()
        self.kills = 0
        self._nursery = nursery
        self._folder = root / "pictures"
        self._folder.mkdir()
        self._token = token
        self._runs = False

    def start(self) -> None:
        """Start it unless it runs, and wait until it takes connections."""
        if self._runs:
            return
        self._nursery.ask("start", self._folder, self.uploads, self.port, self.tcp_port, self._token or "")
        self._runs = True
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.tcp_port), 1).close()
                return
            except OSError:
                time.sleep(0.005)
        raise TimeoutError("the companion did not start")

    def kill(self) -> None:
        """As the power of the PC would: no goodbye."""
        if self._runs:
            self._nursery.ask("kill")
            self._runs = False

    def stored(self) -> dict[str, bytes]:
        """Day/name -> content of everything that is kept."""
        files = sorted(self.uploads.glob("????-??-??/*"))
        return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def main() -> None:
    """The nursery: a command a line on stdin, `done` on stdout."""
    from maixpix.companion import ServeSettings, serve

    child = 0
    for line in sys.stdin:
        command, *words = line.rstrip("\n").split("\t")
        if command == "kill" and child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            child = 0
        elif command == "start":
            child = os.fork()
            if not child:
                folder, uploads, port, tcp, token = words
                quiet = os.open(os.devnull, os.O_RDWR)
                for number in (0, 1, 2):
                    os.dup2(quiet, number)
                ports = {"port": int(port), "tcp_port": int(tcp)}
                serve(ServeSettings(Path(folder), uploads=Path(uploads), token=token or None, names=("pc",), **ports))
                os._exit(0)
        print("done", flush=True)
    if child:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
