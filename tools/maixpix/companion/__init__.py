"""The companion: gives pictures to boards in the form that they can show, and receives theirs.

`serve` runs it until Ctrl-C, `running` keeps it in a thread of its own, `Companion` is the asynchronous object itself.
"""

from __future__ import annotations

from maixpix.companion.app import Companion
from maixpix.companion.run import running, serve
from maixpix.companion.settings import FetchLimits, HttpLimits, PictureLimits, ServeSettings, UploadLimits

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
