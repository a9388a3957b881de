"""The companion: gives pictures to boards in the form that they can show, and receives theirs.

`serve` runs it until Ctrl-C, `running` keeps it in a thread of its own, `Companion` is the asynchronous object itself.
These three bring in the HTTP server, which takes half a second, so they are loaded only when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maixpix.companion.settings import FetchLimits, HttpLimits, PictureLimits, ServeSettings, UploadLimits

if TYPE_CHECKING:
    from maixpix.companion.app import Companion
    from maixpix.companion.run import running, serve

__all__ = [
    "Companion",
    "FetchLimits",
    "HttpLimits",
    "PictureLimits",
    "ServeSettings",
    "UploadLimits",
    "running",
    "serve",
]


def __getattr__(name: str) -> Any:
    if name in ("Companion", "running", "serve"):
        from maixpix.companion import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
