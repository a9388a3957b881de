"""Programs of ours as processes that cost no imports: a process that has imported them forks whenever one is started.

The tests start some hundred `python -m maixpix` and `python -m virtualboard`, and of each a quarter of a second went by
before its first line ran. It is the program itself that runs, in a process of its own with what it was given: words,
environment, folder, descriptors, session, signals; only its modules are there already, and /proc shows the command line
of what it was forked from. So `subprocess.Popen` is this one for all tests (`conftest.py`), for product code in them
too, and everything that has to do with how Python itself starts is started plainly: other options and settings of
Python, another tree, other certificates; all of it where there is no Linux, and within `plainly()`, which is for tests
of what a start is.

Both ends are here. What was forked has a line to the prepared process, too: programs of ours start each other.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

_TOOLS = Path(__file__).resolve().parents[2] / "tools"
_LONGEST = 100_000
"""Bytes of a request: it is one packet, of which Linux takes 200 kB."""
_BOARD = str(Path(__file__).with_name("hosted_board.py"))
_READ_AT_START = {
    ("-m", "maixpix"): ("PYTHON", "LC_", "LANG", "LD_", "SSL_", "OPENSSL_"),
    ("-m", "virtualboard"): ("PYTHON", "LC_", "LANG", "LD_"),  # it knows no TLS, no more does the next one
    (_BOARD,): ("PYTHON", "LC_", "LANG", "LD_"),
    ("-m", "maixpix.virtual.practice"): ("PYTHON", "LC_", "LANG", "LD_", "SSL_", "OPENSSL_"),
}
"""The programs, and how names begin that somebody has read before the program's first line."""
_FREE = ("PYTHONPATH", "PYTHONUNBUFFERED")
_MORE = (
    "maixpix.cli", "maixpix.companion.run", "maixpix.demo.run", "maixpix.download.downloads", "maixpix.fill.filling",
    "maixpix.virtual.live", "virtualboard.__main__", "virtualboard.hosted.engine",
)  # fmt: skip
"""What programs import once they know what they are to do."""

_PREPARED = (
    "import sys; sys.path[0] = sys.argv[1]; from rig import forks; sys.path.pop(0); forks.prepared(int(sys.argv[2]))"
)
_OWN_TERMINAL = (
    "import fcntl,os,sys,termios; fcntl.ioctl(0,termios.TIOCSCTTY,0); os.execv(sys.executable, sys.argv[1:])"
)

_PlainPopen = subprocess.Popen
_plainly = 0


class Popen(subprocess.Popen):
    """`subprocess.Popen`; with `own_terminal`, standard input becomes the terminal of the new session, as a login has
    it: passwords are read from there."""

    _status: int | None = None  # where a prepared process's status comes, once it has ended

    def __init__(self, args: Any, *more: Any, own_terminal: bool = False, **options: Any) -> None:
        self._request = None if more else _request(args, own_terminal, options)
        if own_terminal and self._request is None:
            args = [sys.executable, "-c", _OWN_TERMINAL, *args]
        super().__init__(args, *more, **options)

    def _execute_child(self, *given: Any) -> None:
        started = self._request and _fork(self._request, given[10], given[13], given[15])
        if not started:
            super()._execute_child(*given)
            return
        self.pid, self._status = started
        self._child_created = True
        self._close_pipe_fds(*given[10:16])

    def _internal_poll(self, *given: Any, **more: Any) -> int | None:
        if self._status is None:
            return super()._internal_poll(*given, **more)
        return self._await(0)

    def _wait(self, timeout: float | None) -> int:
        if self._status is None:
            return super()._wait(timeout)
        code = self._await(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _await(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._status, select.POLLIN)
            if not waiting.poll(None if timeout is None else max(0.0, timeout) * 1000):
                return None
            with self._waitpid_lock:
                if self.returncode is None:
                    told = os.read(self._status, 4)
                    self._handle_exitstatus(struct.unpack("i", told)[0] if told else signal.SIGKILL)
                    os.close(self._status)
        return self.returncode


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Every process that is started meanwhile begins with Python's own start."""
    global _plainly
    _plainly += 1
    try:
        yield
    finally:
        _plainly -= 1


def _request(args: Any, own_terminal: bool, options: Mapping[str, Any]) -> bytes | None:
    """What the prepared process is told; None for a process that is to be started plainly."""
    words = list(args) if isinstance(args, list | tuple) else []
    usual = {"stdin", "stdout", "stderr", "env", "cwd", "start_new_session", "bufsize"}
    usual |= {"text", "universal_newlines", "encoding", "errors"}
    if _plainly or sys.platform != "linux" or options.keys() - usual:
        return None
    early = _READ_AT_START.get(tuple(words[1:3] if words[1:2] == ["-m"] else words[1:2]))
    if early is None or words[0] != sys.executable:
        return None
    env = dict(os.environ if options.get("env") is None else options["env"])
    here = {*os.environ.get("PYTHONPATH", "").split(os.pathsep), str(_TOOLS)}
    cwd = os.path.abspath(options.get("cwd") or ".")  # noqa: PTH100 - of a str, a Path or bytes
    if _only(early, env) != _only(early, os.environ):
        return None
    if not here.issuperset(env.get("PYTHONPATH", "").split(os.pathsep)):
        return None
    session = bool(options.get("start_new_session"))
    request = json.dumps([words, env, cwd, session, own_terminal], default=os.fspath).encode()
    return request if len(request) < _LONGEST and os.access(cwd, os.X_OK) else None


def _only(beginnings: tuple[str, ...], env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(beginnings) and name not in _FREE}


# -- the tests' end -----------------------------------------------------------------------------------------

_lock = threading.Lock()
_server: tuple[socket.socket, subprocess.Popen | None] | None = None


def _fork(request: bytes, *descriptors: int) -> tuple[int, int] | None:
    """The new process with these standard descriptors (-1: our own), and where its status will come."""
    standard = [own if given == -1 else given for own, given in enumerate(descriptors)]
    ours, its = os.pipe()
    answer = b""
    with _lock, contextlib.suppress(OSError):  # behind a board's fence the line is cut
        asked = _line()
        socket.send_fds(asked, [request], [*standard, its])
        answer = asked.recv(64)
    os.close(its)
    if answer:
        return int(answer), ours
    os.close(ours)
    return None


def _line() -> socket.socket:
    global _server
    if _server is None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        nothing = subprocess.DEVNULL
        command = [sys.executable, "-c", _PREPARED, str(Path(__file__).parents[1]), str(its.fileno())]
        env = dict(os.environ, PYTHONPATH=str(_TOOLS))
        process = _PlainPopen(command, pass_fds=[its.fileno()], stdin=nothing, stdout=nothing, env=env)
        its.close()
        _server = ours, process
    return _server[0]


def close() -> None:
    """End the prepared process; what it has started goes on."""
    global _server
    if _server is not None:
        asked, process = _server
        _server = None
        asked.close()
        if process is not None:
            process.wait()


# -- the prepared process -----------------------------------------------------------------------------------


def _prepare() -> None:
    """Import what the commands import by themselves, those that are behind a board's fence then not among it."""
    from maixpix.commands import TABLE
    from maixpix.late_certificates import late_certificates

    for entry in TABLE.values():
        entry.load()
    with late_certificates():  # as `get` does
        for name in _MORE:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def prepared(descriptor: int) -> None:
    """The prepared process, whose orders come at `descriptor`; returns, in what was forked, when its program does."""
    _prepare()
    name = _serve(socket.socket(fileno=descriptor))
    for each in (name, f"{name}.__main__"):
        if not hasattr(sys.modules.get(each), "__path__"):
            sys.modules.pop(each, None)  # it is run, not imported
    try:
        if name == _BOARD:
            runpy.run_path(name, run_name="__main__")
        else:
            runpy._run_module_as_main(name)  # what `python -m` calls
    except SystemExit as ended:
        if isinstance(ended.code, int):
            _end(ended.code)
        raise


def _serve(first: socket.socket) -> str:
    """Fork for every request, tell when what was forked has ended; returns in a forked process, what it is to run."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # it is for what was forked, once that can take it
    signal.signal(signal.SIGCHLD, lambda *_: None)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    lines, running = [first], {}
    while True:
        ready = select.select([*lines, woken], [], [])[0]
        if woken in ready:
            os.read(woken, 512)
            _tell_ended(running)
        for asked in lines:
            if asked not in ready:
                continue
            request, descriptors, _, _ = socket.recv_fds(asked, _LONGEST, 4)
            if not request:
                if asked is first:
                    os._exit(0)
                asked.close()
                continue
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            pid = os.fork()
            if not pid:
                for line in (*lines, ours):
                    line.close()
                for descriptor in (woken, wake, descriptors[3], *running.values()):
                    os.close(descriptor)
                return _become(request, descriptors, its)
            its.close()
            lines.append(ours)
            running[pid] = descriptors[3]
            for descriptor in descriptors[:3]:
                os.close(descriptor)
            asked.send(str(pid).encode())
        lines = [line for line in lines if line.fileno() >= 0]


def _tell_ended(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        descriptor = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, struct.pack("i", status))
        os.close(descriptor)


def _become(request: bytes, descriptors: list[int], line: socket.socket) -> str:
    """The process that was asked for, as Python leaves it to a program; returns the module's name, or the file's."""
    global _server
    words, env, cwd, session, own_terminal = json.loads(request)
    _server, subprocess.Popen = (line, None), Popen
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if session:
        os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    for descriptor in descriptors[:3]:
        os.close(descriptor)
    if own_terminal:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(cwd)
    path = os.environ["PYTHONPATH"].split(os.pathsep)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    module = words[1] == "-m"
    first = cwd if module else str(Path(words[1]).parent)
    sys.path[: len(path)] = [first, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.orig_argv[:] = words
    sys.argv[:] = words[1 + module :]
    through = bool(env.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = _stream(0, "r", sys.stdin)
    sys.stdout = sys.__stdout__ = _stream(1, "w", sys.stdout, write_through=through)
    sys.stderr = sys.__stderr__ = _stream(2, "w", sys.stderr, write_through=through, line_buffering=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return words[1 + module]


def _stream(number: int, mode: str, like: TextIO, **how: bool) -> TextIO:
    stream = open(number, mode, encoding=like.encoding, errors=like.errors, closefd=False)  # noqa: SIM115
    stream.reconfigure(**how)
    return stream


def _end(code: int) -> None:
    """As Python ends, except that nothing is taken apart: the memory is shared, and each page would be copied first."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)
