"""Work done elsewhere (in threads, in decoders), with failures of the disk told as such."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import TypeVar

from maixpix.companion.problems import Refused

Result = TypeVar("Result")

Refusals = Mapping[type[OSError], Refused]


async def in_thread(
    executor: Executor, function: Callable[..., Result], *arguments: object, refusals: Refusals | None = None
) -> Result:
    """Call `function` in one of the executor's threads. Raises `Refused` for an `OSError`: of `refusals`, else 507."""
    with as_refusals(refusals or {}):
        return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)


@contextlib.contextmanager
def as_refusals(refusals: Refusals) -> Iterator[None]:
    """Raise `Refused` for an `OSError`: of `refusals`, else 507."""
    try:
        yield
    except OSError as error:
        for kind, refused in refusals.items():
            if isinstance(error, kind):
                raise refused from None
        raise Refused(
            507, "disk", f"the companion's disk failed: {error.strerror or error}", "look at the companion"
        ) from error
