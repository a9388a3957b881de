"""Two ways to run the companion: in the foreground until Ctrl-C, or in a thread beside other work."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from maixpix.amounts import bytes_text
from maixpix.companion.app import Companion
from maixpix.companion.saying import logged_by
from maixpix.companion.settings import ServeSettings


@dataclass(frozen=True)
class Running:
    """A companion in another thread: where it is, and the object itself (its state belongs to that thread)."""

    url: str
    port: int
    tcp_port: int | None
    companion: Companion


def serve(settings: ServeSettings, say: Callable[[str], None] = print, quiet: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM; `say` gets the lines for the user, with `quiet` only what went wrong.

    Raises `UserError` when it cannot start.
    """
    with contextlib.suppress(KeyboardInterrupt), logged_by(say, quiet):
        asyncio.run(_serve(settings, say))


async def _serve(settings: ServeSettings, say: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):
        # Windows has no signal handlers on loops; Ctrl-C arrives as KeyboardInterrupt there.
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, stop.set)
    async with Companion(settings) as companion:
        for line in announcement(companion):
            say(line)
        await companion.warm()
        await stop.wait()
        say("stopping")


def announcement(companion: Companion) -> list[str]:
    """What a user should know right after the start."""
    settings = companion.settings
    lines = [f"pictures of {settings.folder} at {companion.url}/"]
    if settings.uploads is not None:
        where = settings.uploads.absolute()
        lines.append(f"uploads to {where}: tus at {companion.url}/files/, seen at {companion.url}/gallery")
        limits = settings.upload_limits
        lines.append(
            f"at most {bytes_text(limits.max_file_bytes)} each and {bytes_text(limits.quota_bytes)} together;"
            " --uploads names another folder, --no-uploads receives nothing"
        )
        if settings.uploads.resolve().is_relative_to(settings.folder.resolve()):
            lines.append("warning: uploads lie among the pictures, so all boards are given them too")
    if companion.tcp_port is not None:
        lines.append(f"raw TCP uploads on port {companion.tcp_port}")
        if settings.token:
            lines.append("senders of plain TCP are reset, because they cannot show the token; tus and tcp+name can")
    if settings.is_local:
        lines.append("only programs on this machine can connect; boards need --host 0.0.0.0")
    else:
        guard = "uploads, the gallery and deleting need the token"
        if not settings.token:
            guard = "without a token (MAIXPIX_TOKEN) anybody there can see, send and ask for pictures; deleting is off"
        lines.append(f"warning: open to every machine that reaches {settings.host}; {guard}")
    return lines


@contextlib.contextmanager
def running(settings: ServeSettings) -> Iterator[Running]:
    """Keep a companion open in a thread of its own; raises `UserError` when it cannot start."""
    ready: threading.Event = threading.Event()
    result: list[Running | BaseException] = []
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        async with Companion(settings) as companion:
            ending.append((asyncio.get_running_loop(), stop))
            result.append(Running(companion.url, companion.port, companion.tcp_port, companion))
            ready.set()
            await stop.wait()

    def work() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  handed to the thread that asked
            result.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work, name="maixpix-companion", daemon=True)
    thread.start()
    ready.wait()
    started = result[0]
    if isinstance(started, BaseException):
        thread.join()
        raise started
    try:
        yield started
    finally:
        loop, stop = ending[0]
        # The loop is closed already when the companion failed on its own; that failure is reported below.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    if len(result) > 1 and isinstance(result[1], BaseException):
        raise result[1]
