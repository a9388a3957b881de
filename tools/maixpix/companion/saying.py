"""What the companion has to say while it serves: one clean line each, instead of what libraries print by themselves."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from maixpix.text import one_line

_OURS = "maixpix"
_LIBRARIES = ("aiohttp", "asyncio", "PIL")


class _Lines(logging.Handler):
    """Hands every record to `say`, without a traceback unless one was asked for."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text += f": {type(error).__name__} {error}"
            if os.environ.get("MAIXPIX_DEBUG"):
                for line in traceback.format_exception(error):
                    self._say(one_line(line))
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        self._say(prefix + one_line(text))


class HttpLog(logging.LoggerAdapter):  # type: ignore[type-arg]  # not generic before Python 3.11
    """aiohttp reports every malformed request with a traceback; one line tells as much."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **named: Any) -> None:
        error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
        cause = " ".join(f"{type(error).__name__} {error}".split())[:200]
        self.info("%s: %s", str(msg) % args if args else msg, cause)

    def error(self, msg: object, *args: object, exc_info: Any = None, **named: Any) -> None:
        if exc_info:
            self.exception(msg, *args, exc_info=exc_info, **named)
        else:
            super().error(msg, *args, **named)


@contextlib.contextmanager
def logged_by(say: Callable[[str], None], quiet: bool) -> Iterator[None]:
    """Meanwhile log lines go to `say`: with `quiet` warnings only; of libraries errors only, in one line each."""
    handler = _Lines(say)
    levels = {_OURS: logging.WARNING if quiet else logging.INFO, **dict.fromkeys(_LIBRARIES, logging.ERROR)}
    before = {}
    for name, level in levels.items():
        logger = logging.getLogger(name)
        before[name] = logger.level, logger.propagate
        logger.setLevel(level)
        logger.propagate = False
        logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, (level, propagate) in before.items():
            logger = logging.getLogger(name)
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
