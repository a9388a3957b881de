"""Downloads that cannot be lied to: a file has its final name only when it is complete and proven.

    from maixpix.download import download
    print(download("http://example.org/model.kmodel", "model.kmodel").sha256)

`download` and `download_async` fetch one file, `download_many` several, `stream` hands bytes, lines or JSON lines on
without keeping them. All raise `DownloadError`, a `UserError` whose one line tells what the server did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from maixpix.download.downloads import Downloads, get_many
from maixpix.download.options import OnProgress, Options, Progress, Result
from maixpix.download.streaming import Stream
from maixpix.download.trouble import DownloadError

__all__ = [
    "DownloadError",
    "Downloads",
    "OnProgress",
    "Options",
    "Progress",
    "Result",
    "Stream",
    "download",
    "download_async",
    "download_many",
    "stream",
]


async def download_async(
    url: str,
    path: Path | str = ".",
    *,
    options: Options | None = None,
    on_progress: OnProgress | None = None,
    **changes: object,
) -> Result:
    """Fetch `url` to the file `path`, or into the folder `path` under the name that the server gives it.

    `changes` are single fields of `Options`, such as ``parts=8`` or ``sha256="..."``. Raises `DownloadError`. When it
    is cancelled, what is safe stays in `<name>.part`, and the next call goes on from there.
    """
    where = Path(path)
    async with Downloads(replace(options or Options(), **changes)) as downloads:
        if where.is_dir():
            return await downloads.get(url, folder=where, on_progress=on_progress)
        return await downloads.get(url, path=where, on_progress=on_progress)


def download(
    url: str,
    path: Path | str = ".",
    *,
    options: Options | None = None,
    on_progress: OnProgress | None = None,
    **changes: object,
) -> Result:
    """`download_async` for programs without an event loop."""
    return asyncio.run(download_async(url, path, options=options, on_progress=on_progress, **changes))


def download_many(
    urls: Iterable[str], folder: Path | str = ".", *, options: Options | None = None, **changes: object
) -> Sequence[Result | DownloadError]:
    """Fetch all `urls` into `folder`, some at a time; results, or what went wrong, in the order of the addresses."""

    async def run() -> list[Result | DownloadError]:
        async with Downloads(replace(options or Options(), **changes)) as downloads:
            return await get_many(downloads, [(url, None, Path(folder), "") for url in urls])

    return asyncio.run(run())


def stream(url: str, *, options: Options | None = None, **changes: object) -> Stream:
    """The content of `url` piece by piece, for ``for`` and ``async for``, in constant memory; see `Stream`."""
    return Stream(url, replace(options or Options(), **changes))
