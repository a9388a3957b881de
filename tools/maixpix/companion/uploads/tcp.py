"""The raw TCP door: connect, send the file, half-close; an orderly close in return says that it is safely stored.

Any sender will do (`nc -N host port < x.jpg`), and without the optional line nothing is ever sent back. Every byte that
came before the sender's own orderly close is kept, whatever it is: the sender believes it delivered. A reset instead of
ours says that the file was not kept (the connection broke, the disk is full, a token is wanted). A sender that cannot
half-close, or wants to know more, sends one line before the bytes and gets one line back:

    #maixpix name=snap0007.jpg size=7012 sha256=HEX board=kitchen token=SECRET
    ok HEX SIZE            or            error CAUSE; REMEDY

All words are optional, values are percent-encoded. With `size` the file ends after that many bytes.

One kind of file is not taken: what a web page can make its visitor's browser send to any port, which would let every
page on the web put files here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar
from urllib.parse import unquote

from maixpix.companion.crowd import Crowd
from maixpix.companion.problems import Refused
from maixpix.companion.settings import ServeSettings
from maixpix.companion.tokens import is_token
from maixpix.companion.uploads.intake import Intake
from maixpix.companion.uploads.pace import Pace, acknowledge_at_once
from maixpix.companion.uploads.partial import Facts, Partial
from maixpix.companion.uploads.storage import UploadStore
from maixpix.companion.work import in_thread

HEADER = b"#maixpix "
MAX_HEADER = 1024
PATIENCE_S = 2.0

_REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) [/*h]")
_HOST = re.compile(rb"[^\n]*\nHost:", re.IGNORECASE)  # second in every browser's request
_MAX_REQUEST = 64 * 1024
_OF_BROWSERS = re.compile(
    rb"\x16\x03[\x00-\x04]"  # TLS (RFC 8446 section 5.1)
    rb"|.{4}\x21\x12\xa4\x42",  # STUN and TURN (RFC 8489 section 5)
    re.DOTALL,
)

_WORDS = ("name", "size", "sha256", "board", "token")

log = logging.getLogger("maixpix.companion")

Result = TypeVar("Result")


class TcpDoor:
    """Serves one listening socket; every connection is one file, held in memory for at most one buffer."""

    def __init__(self, settings: ServeSettings, store: UploadStore, executor: Executor) -> None:
        self.settings = settings
        self.store = store
        self._executor = executor
        self._tasks: set[asyncio.Task[None]] = set()
        limits = store.limits
        self._crowd: Crowd[Intake] = Crowd(limits.max_connections, limits.max_per_address)

    async def listen(self, sock: socket.socket) -> asyncio.Server:
        """Start to serve the bound socket."""
        return await asyncio.get_running_loop().create_server(lambda: Intake(self._accept), sock=sock)

    async def close(self) -> None:
        """End all connections; unfinished files are dropped, their senders see a reset."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, intake: Intake) -> None:
        may_stay, spared = self._crowd.admit(intake)
        if spared is not None:
            spared.reset()
        if not may_stay:
            intake.reset()
            return
        task = asyncio.get_running_loop().create_task(self._guarded(intake))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(done, intake))

    def _finished(self, task: asyncio.Task[None], intake: Intake) -> None:
        self._tasks.discard(task)
        self._crowd.leave(intake)

    async def _guarded(self, intake: Intake) -> None:
        try:
            await self._serve(intake)
        except asyncio.CancelledError:
            intake.reset()
        except Exception:
            log.exception("raw TCP upload from %s failed", intake.peer)
            intake.reset()

    async def _serve(self, intake: Intake) -> None:
        pace = Pace(self.store.limits, intake.transport.abort)
        wants_answer = False
        try:
            first = await self._first(intake, pace)
            if _REQUEST.match(first):
                first = await self._two_lines(intake, first, pace)
            if _OF_BROWSERS.match(first) or _is_request(first):
                raise Refused(400, "browser", "this is what browsers send, not boards", "send pictures only")
            header: dict[str, str] = {}
            if wants_answer := first.startswith(HEADER):
                header, first = await self._header(intake, first, pace)
            self._check_token(header)
            facts = await self._receive(intake, pace, _facts(header, intake.peer), first)
            answer = f"ok {facts.sha256} {facts.length}\n"
        except Refused as refused:
            log.warning("raw TCP upload from %s: %s", intake.peer, refused.line)
            if not wants_answer:
                intake.reset()
                return
            answer = f"error {refused.line}\n"
        except ConnectionError:
            cause = "stopped sending" if pace.stalled else "broke off"
            log.warning("raw TCP upload from %s: the sender %s; nothing was kept", intake.peer, cause)
            intake.reset()
            return
        finally:
            pace.stop()
        await intake.part(answer.encode("utf-8", "replace") if wants_answer else b"", PATIENCE_S)

    async def _first(self, intake: Intake, pace: Pace) -> bytes:
        """Enough bytes to tell whether the optional line comes first, or a browser has been sent here."""
        first = b""
        while len(first) < len(HEADER):
            piece = await self._read(intake, pace)
            if not piece:
                break
            first += piece
        return first

    async def _two_lines(self, intake: Intake, first: bytes, pace: Pace) -> bytes:
        """Enough bytes to tell a browser's request from a file that begins like one."""
        while len(first) < _MAX_REQUEST and not re.match(rb"[^\n]*\n.{5}", first, re.DOTALL):
            piece = await self._read(intake, pace)
            if not piece:
                break
            first += piece
        return first

    async def _header(self, intake: Intake, first: bytes, pace: Pace) -> tuple[dict[str, str], bytes]:
        while b"\n" not in first and len(first) <= MAX_HEADER:
            piece = await self._read(intake, pace)
            if not piece:
                break
            first += piece
        line, end, rest = first.partition(b"\n")
        if not end or len(line) > MAX_HEADER:
            raise Refused(400, "header", "the line before the file does not end", f"keep it below {MAX_HEADER} bytes")
        return parse_header(line), rest

    async def _receive(self, intake: Intake, pace: Pace, facts: Facts, first: bytes) -> Facts:
        size, facts.length = facts.length, None
        if size is not None and size > self.store.limits.max_file_bytes:
            limit = self.store.limits.max_file_bytes
            raise Refused(413, "too-big", f"the file is bigger than {limit} bytes", "send a smaller one")
        piece = first or await self._read(intake, pace)
        if not piece:
            raise Refused(400, "empty", "the file is empty", "send at least one byte")
        partial = await self._run(self.store.create, facts)
        try:
            await self._fill(intake, pace, partial, piece, size)
            return await self._run(self.store.finish, partial)
        except BaseException:
            with contextlib.suppress(Refused):
                await asyncio.shield(self._run(self.store.drop, partial))
            raise

    async def _fill(
        self, intake: Intake, pace: Pace, partial: Partial, piece: bytes | memoryview, size: int | None
    ) -> None:
        while piece:
            if size is not None and partial.offset + len(piece) > size:
                raise Refused(400, "too-long", f"more than the announced {size} bytes came", "announce the true size")
            with pace.busy():
                await self._run(self.store.write, partial, piece)
            if partial.offset == size:
                return
            piece = await self._read(intake, pace)
        if size is not None and partial.offset != size:
            raise Refused(400, "incomplete", f"{partial.offset} of {size} bytes came", "send the file again")

    async def _read(self, intake: Intake, pace: Pace) -> memoryview:
        piece = await intake.read()
        acknowledge_at_once(intake.transport)
        pace.count(len(piece))
        return piece

    def _check_token(self, header: dict[str, str]) -> None:
        if not is_token(self.settings.token, header.get("token", "")):
            raise Refused(
                401, "token", "the upload token is missing or wrong", "send #maixpix token=... first, or use tus"
            )

    async def _run(self, function: Callable[..., Result], *arguments: object) -> Result:
        return await in_thread(self._executor, function, *arguments)


def _is_request(first: bytes) -> bool:
    return _REQUEST.match(first) is not None and (_HOST.match(first) is not None or len(first) >= _MAX_REQUEST)


def parse_header(line: bytes) -> dict[str, str]:
    """The words of a `#maixpix` line; raises `Refused` (400) for one that is damaged."""
    found: dict[str, str] = {}
    try:
        words = line.decode("ascii").split()[1:]
    except UnicodeDecodeError:
        raise Refused(
            400, "header", "the line before the file is not ASCII", "percent-encode other characters"
        ) from None
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in _WORDS or key in found:
            raise Refused(400, "header", f"the word {word[:40]!r} is not understood", "use " + ", ".join(_WORDS))
        found[key] = unquote(value)
    if not re.fullmatch(r"[1-9][0-9]{0,14}|", found.get("size", ""), re.ASCII):
        raise Refused(400, "header", "size is no number of bytes", "send size=BYTES")
    if not re.fullmatch(r"[0-9a-fA-F]{64}|", found.get("sha256", "")):
        raise Refused(400, "header", "sha256 is no digest", "send 64 hexadecimal digits")
    return found


def _facts(header: dict[str, str], peer: str) -> Facts:
    return Facts(
        id="",
        name=header.get("name", ""),
        length=int(header["size"]) if header.get("size") else None,
        board=header.get("board", ""),
        sender=peer,
        door="tcp",
        expected=header.get("sha256", "").lower() or None,
    )
