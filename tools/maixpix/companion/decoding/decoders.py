"""The companion's decoders: a few warm processes, a fair queue before them, and what happens when one is lost."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from maixpix.companion.convert import Rendition
from maixpix.companion.decoding.queue import Caller, FairQueue
from maixpix.companion.decoding.wire import LENGTHS, MAX_HEAD, pack
from maixpix.companion.problems import Refused
from maixpix.companion.settings import PictureLimits

log = logging.getLogger("maixpix.companion")

PAGE_BYTES = 256 * 1024
"""Beginning of a web page that is looked at: the picture is named in its head."""

_MAX_ANSWER = 64 * 1024 * 1024
_PAGE_CPU_S = 2


class _Lost(Exception):
    """The decoder died, or was killed, over a job; `is_time`: because the job took more processor time than it may."""

    def __init__(self, cause: str, is_time: bool = False) -> None:
        super().__init__(cause)
        self.is_time = is_time


class Decoders:
    """Converts pictures and looks through pages, elsewhere. Belongs to one event loop.

    Processes start when they are wanted, or all at once by `warm`. Foreign work (what anybody may send or name) never
    takes the last of them, so the owner's pictures go out meanwhile. Raises `Refused`: 503 when too many wait, 413
    and 422 for what is too big, too costly or damaged; `OSError` when the source cannot be read.
    """

    def __init__(self, limits: PictureLimits) -> None:
        self._limits = limits
        self._queue: FairQueue[_Job] = FairQueue(limits.max_waiting, limits.max_waiting_each, _Job.drop)
        self._idle: list[_Child] = []
        self._at_work: set[_Child] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._foreign = 0
        self._closed = False
        self.lost = 0
        """Decoders that died over a job since the start."""

    async def convert(
        self, source: Path | bytes | bytearray, rendition: Rendition, caller: Caller, is_foreign: bool = False
    ) -> bytes:
        """The picture as `rendition`. `is_foreign`: anybody could have brought it here, so it may cost less."""
        limits = self._limits
        head = {
            "kind": "convert",
            "path": str(source.absolute()) if isinstance(source, Path) else None,
            "rendition": dataclasses.asdict(rendition),
            "also": list(limits.also_read),
            "max_pixels": limits.max_foreign_pixels if is_foreign else limits.max_pixels,
            "memory_bytes": limits.foreign_memory_bytes if is_foreign else limits.memory_bytes,
            "cpu_s": limits.foreign_cpu_s if is_foreign else limits.cpu_s,
        }
        return await self._do(_Job(head, b"" if isinstance(source, Path) else source, is_foreign), caller)

    async def picture_of_page(self, page: bytes | bytearray, caller: Caller) -> str:
        """Address of the preview picture that an HTML page names, "" without one."""
        head = {"kind": "page", "memory_bytes": self._limits.foreign_memory_bytes, "cpu_s": _PAGE_CPU_S}
        answer = await self._do(_Job(head, page[:PAGE_BYTES], True), caller)
        return answer.decode("utf-8", "replace")

    async def warm(self) -> None:
        """Start all processes now, so that the first pictures do not wait for them."""
        started = [_Child() for _ in range(self._limits.workers - self._busy - len(self._idle))]
        await asyncio.gather(*(child.start() for child in started))
        self._idle += started

    async def close(self) -> None:
        """End all processes; work under way is refused."""
        self._closed = True
        for child in self._at_work:
            child.strike()
        await asyncio.gather(*self._running, return_exceptions=True)
        while (job := self._queue.take(True)) is not None:
            job.drop()
        await asyncio.gather(*(child.end() for child in self._idle))
        self._idle.clear()

    # -- inner parts --------------------------------------------------------------------------------------

    async def _do(self, job: _Job, caller: Caller) -> bytes:
        if self._closed:
            raise _stopping()
        self._queue.put(caller, job, job.is_foreign)
        self._serve()
        return await job.result

    def _serve(self) -> None:
        """Give work to free decoders."""
        while not self._closed and self._busy < self._limits.workers:
            job = self._queue.take(foreign_too=self._foreign < max(1, self._limits.workers - 1))
            if job is None:
                return
            self._busy += 1
            self._foreign += job.is_foreign
            task = asyncio.create_task(self._work(job))
            self._running.add(task)
            task.add_done_callback(lambda done, job=job: self._finished(done, job))

    def _finished(self, task: asyncio.Task[None], job: _Job) -> None:
        self._running.discard(task)
        self._busy -= 1
        self._foreign -= job.is_foreign
        job.drop()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a decoder could not be used: %s", error)
        self._serve()

    async def _work(self, job: _Job) -> None:
        child = self._idle.pop() if self._idle else _Child()
        self._at_work.add(child)
        try:
            await child.start()
            head, body = await asyncio.wait_for(child.ask(job.head, job.body), self._limits.job_s)
        except (_Lost, asyncio.TimeoutError, TimeoutError) as error:
            self.lost += 1
            await child.kill()
            log.info("a decoder was ended over a picture: %s", error if isinstance(error, _Lost) else "too slow")
            # A machine that is too busy, or short of memory, says nothing of the picture.
            job.fail(_too_costly(is_once=not (isinstance(error, _Lost) and error.is_time)))
        except OSError as error:
            await child.kill()
            log.warning("no decoder can be started: %s", error)
            job.fail(Refused(503, "no-decoder", "no decoder can be started", "look at the companion"))
        else:
            self._idle.append(child)
            job.settle(head, body)
        finally:
            self._at_work.discard(child)


class _Job:
    """One piece of work and the future of its result."""

    def __init__(self, head: dict[str, Any], body: bytes | bytearray, is_foreign: bool) -> None:
        self.head = head
        self.body = body
        self.is_foreign = is_foreign
        self.result: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def settle(self, head: dict[str, Any], body: bytes) -> None:
        """The decoder's answer becomes the result."""
        if "refused" in head:
            status, code, cause, remedy = head["refused"]
            is_once = bool(head.get("is_once"))
            self.fail(Refused(int(status), str(code), str(cause), str(remedy), is_once=is_once))
        elif "failed" in head:
            self.fail(OSError(head["failed"], str(head["text"])))
        elif not self.result.done():
            self.result.set_result(body)

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)
            # Looked at here, because every caller may have gone by now.
            self.result.exception()

    def drop(self) -> None:
        """Nobody waits for it any more, or nobody works on it: whoever still asks is told to ask again."""
        self.fail(_stopping())


class _Child:
    """One decoder process, started by `start`; a second start does nothing."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises `OSError` when the system starts none, `_Lost` when it does not come up."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        # Shielded: a process that was left half started could not be ended.
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "maixpix.companion.decoding.child",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env=_environment(), cwd=sys.prefix, limit=MAX_HEAD, start_new_session=True,
        )  # fmt: skip
        await self._answer()

    async def ask(self, head: dict[str, Any], body: bytes | bytearray) -> tuple[dict[str, Any], bytes]:
        """The answer to a job. Raises `_Lost`."""
        if self._process is None or self._process.stdin is None:
            raise _Lost("it was not started")
        try:
            self._process.stdin.writelines(pack(head, body))
            await self._process.stdin.drain()
        except ConnectionError:
            pass  # why it ended is told where its answer should be
        return await self._answer()

    async def end(self) -> None:
        """Let it go: it ends with its pipe."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self._process.wait(), 5)
            await self.kill()

    def strike(self) -> None:
        """Have it end, whatever it does; `kill` also waits for that."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def kill(self) -> None:
        """End it now."""
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._process is not None:
            self.strike()
            if self._process.stdin is not None:
                self._process.stdin.close()
            await self._process.wait()
            if self._process.stdout is not None:
                await self._process.stdout.read()  # to its end, so that the pipe is closed before the loop is

    async def _answer(self) -> tuple[dict[str, Any], bytes]:
        if self._process is None or self._process.stdout is None:
            raise _Lost("it was not started")
        try:
            head, body = LENGTHS.unpack(await self._process.stdout.readexactly(LENGTHS.size))
            if head > MAX_HEAD or body > _MAX_ANSWER:
                raise _Lost("it answered nonsense")
            found = json.loads(await self._process.stdout.readexactly(head))
            return found, await self._process.stdout.readexactly(body)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _ended(await self._process.wait()) from None
        except (ValueError, RecursionError):
            raise _Lost("it answered nonsense") from None


def _ended(code: int) -> _Lost:
    if sys.platform != "win32" and code == -signal.SIGXCPU:
        return _Lost("its time was up", is_time=True)
    return _Lost(f"it ended with {code}")


def _environment() -> dict[str, str]:
    """What a decoder is told: where Python's modules are, and no secrets."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUTF8": "1"}


def _too_costly(is_once: bool) -> Refused:
    cause = "the picture takes more time or memory to decode than it may"
    return Refused(422, "too-costly", cause, "export it again, smaller", is_once=is_once)


def _stopping() -> Refused:
    return Refused(503, "busy", "the picture was not made", "ask again", {"Retry-After": "2"})
