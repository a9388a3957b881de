"""Live news of uploads: one hub, any number of open pages, server-sent events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from maixpix.companion.problems import Refused
from maixpix.companion.settings import HttpLimits

_BACKLOG = 64
_BEAT_S = 15.0


class EventHub:
    """`publish` may be called from any thread; every open `/events` request gets each event."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._queues: set[asyncio.Queue[tuple[str, Any] | None]] = set()

    def publish(self, kind: str, data: Any) -> None:
        """Tell every subscriber; one that does not keep up is told to reload instead."""
        self._loop.call_soon_threadsafe(self._publish, kind, data)

    def close(self) -> None:
        """End all open requests."""
        for queue in self._queues:
            _empty(queue)
            queue.put_nowait(None)

    def _publish(self, kind: str, data: Any) -> None:
        for queue in self._queues:
            if queue.full():
                _empty(queue)
                queue.put_nowait(("reload", {}))
            else:
                queue.put_nowait((kind, data))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The stream: `event: added` and `event: deleted` with a JSON object, `event: reload` after a gap."""
        if len(self._queues) >= self._limits.max_subscribers:
            raise Refused(503, "too-many", "too many live views are open", "close some of them")
        queue: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue(_BACKLOG)
        self._queues.add(queue)
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
            await response.prepare(request)
            # Browsers wait this long before they connect again.
            await response.write(b"retry: 2000\n\nevent: hello\ndata: {}\n\n")
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), _BEAT_S)
                except (asyncio.TimeoutError, TimeoutError):
                    # A comment: keeps the connection alive and finds out that the page has gone.
                    await asyncio.wait_for(response.write(b": beat\n\n"), self._limits.write_s)
                    continue
                if event is None:
                    return response
                text = f"event: {event[0]}\ndata: {json.dumps(event[1])}\n\n"
                await asyncio.wait_for(response.write(text.encode()), self._limits.write_s)
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise ConnectionResetError("the page does not read its events") from error
        finally:
            self._queues.discard(queue)


def _empty(queue: asyncio.Queue[Any]) -> None:
    while not queue.empty():
        queue.get_nowait()
