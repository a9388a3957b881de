"""Blocking work in threads, with failures of the disk told as such."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TypeVar

from maixpix.companion.problems import Refused

Result = TypeVar("Result")


async def in_thread(
    executor: Executor,
    function: Callable[..., Result],
    *arguments: object,
    refusals: Mapping[type[OSError], Refused] | None = None,
) -> Result:
    """Call `function` in one of the executor's threads. Raises `Refused` for an `OSError`: of `refusals`, else 507."""
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)
    except OSError as error:
        for kind, refused in (refusals or {}).items():
            if isinstance(error, kind):
                raise refused from None
        raise Refused(
            507, "disk", f"the companion's disk failed: {error.strerror or error}", "look at the companion"
        ) from error
