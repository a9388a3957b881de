"""The page of `maixpix board --web`: panel, console, modem log, card and keys of a running virtual board."""

from maixpix.virtual.web.server import serving

__all__ = ["serving"]
