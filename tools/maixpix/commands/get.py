"""`maixpix get`: files from the web, complete and proven or not there at all."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maixpix.amounts import parse_bytes, parse_seconds
from maixpix.errors import UserError
from maixpix.late_certificates import late_certificates
from maixpix.output import err, err_is_terminal, out
from maixpix.text import one_line

if TYPE_CHECKING:
    from maixpix.download import DownloadError, Options, Result


@click.command()
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; for one URL.")
@click.option("-d", "--dir", "folder", type=click.Path(path_type=Path), help="Folder to write to.  [default: here]")
@click.option("--parts", type=click.IntRange(0, 32), default=0, help="Connections a file.  [default: as many as pay]")
@click.option("--sha256", metavar="HEX", default="", help="Digest that the file must have; for one URL.")
@click.option("--sums", metavar="FILE|URL", default="", help="List of digests, as sha256sum writes it.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.option("--if-changed", is_flag=True, help="Fetch, and replace, only what is not as the server has it.")
@click.option("--limit", metavar="RATE", default="", help="Bytes a second at most, such as 500k or 2M.")
@click.option("-H", "--header", "headers", metavar="NAME: TEXT", multiple=True, help="Further request header.")
@click.option("--user", metavar="NAME:PASSWORD", default="", help="Basic authentication; else ~/.netrc is used.")
@click.option("--bearer", metavar="TOKEN", default="", help="Bearer authentication.")
@click.option(
    "--retries", type=click.IntRange(0, 1000), default=5, show_default=True, help="Attempts without progress."
)
@click.option("--idle", metavar="TIME", default="15s", show_default=True, help="Silence that ends a connection.")
@click.option("--timeout", metavar="TIME", default="", help="Time for one file at most.  [default: no limit]")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, one object a file.")
@click.option("-v", "--verbose", is_flag=True, help="Tell each connection, and what the server did wrong.")
def get(
    urls: Sequence[str], output: Path | None, folder: Path | None, as_json: bool, verbose: bool, **given: Any
) -> int:
    """Download files, each of them complete and proven before it has its name.

    A file that was cut off goes on where it stopped, also after a crash: run the same command again. Nothing is
    replaced unless told. What a server told wrongly is found out where its own answers show it; with a digest
    (--sha256, --sums, or told by the server) always.

    \b
    Examples:
      maixpix get https://example.org/face.kmodel
      maixpix get --sums SHA256SUMS https://example.org/a.bin https://example.org/b.bin -d models
      maixpix get --if-changed https://example.org/today.jpg -o today.jpg

    Exit codes: 0 all files are there, 1 at least one is not, 130 stopped by Ctrl-C.
    """
    if len(urls) > 1 and (output is not None or given["sha256"]):
        raise UserError("--output and --sha256 are for one URL", "use --dir and --sums for several")
    if output is not None and folder is not None:
        raise UserError("--output and --dir contradict each other", "give one of them")
    # Imported here because aiohttp takes a sixth of a second, which no other command should pay; and without looking
    # for garbage, of which there is none and which takes a tenth of that.
    gc.disable()
    with late_certificates():
        from maixpix.download import DownloadError

    gc.freeze()
    gc.enable()
    show = _Show(as_json, verbose, err_is_terminal())
    try:
        results = asyncio.run(_run(urls, output, folder, _options(given), given["sums"], show))
    except KeyboardInterrupt:
        err("stopped; what has come is kept in *.part, and the same command goes on from there")
        raise
    finally:
        show.close()
    return int(any(isinstance(result, DownloadError) for result in results))


async def _run(
    urls: Sequence[str], output: Path | None, folder: Path | None, options: Options, sums: str, show: _Show
) -> Sequence[Result | DownloadError]:
    from maixpix.download import Downloads
    from maixpix.download.downloads import get_many
    from maixpix.download.filename import url_name

    digests = await _digests(sums, options)
    wanted = []
    for url in urls:
        name = output.name if output is not None else url_name(url)
        if digests and name not in digests:
            raise UserError(f"the list of digests does not name {name}", "check the list")
        wanted.append((url, output, folder, digests.get(name, "")))
    async with Downloads(options) as downloads:
        return await get_many(
            downloads,
            wanted,
            lambda index, result: show.result(urls[index], result),
            lambda index: show.progress(urls[index]),
        )


async def _digests(sums: str, options: Options) -> dict[str, str]:
    """What `--sums` names: a file here, or one at an address."""
    from maixpix.download import stream
    from maixpix.download.sums import read_sums

    if not sums:
        return {}
    if "://" in sums:
        return read_sums("\n".join([line async for line in stream(sums, options=options, sha256="").lines()]))
    try:
        return read_sums(Path(sums).read_text("utf-8", "replace"))
    except OSError as error:
        raise UserError(f"cannot read {sums}: {error.strerror}", "check its name") from None


def _options(given: dict[str, Any]) -> Options:
    from maixpix.download import Options

    headers = {}
    for text in given["headers"]:
        name, colon, value = text.partition(":")
        if not colon or not name.strip() or "\n" in text or "\r" in text:
            raise UserError(f"{text!r} is no header", "write it as 'Name: text'")
        headers[name.strip()] = value.strip()
    user, colon, password = given["user"].partition(":")
    if given["user"] and not colon:
        raise UserError("--user has no password", "write it as name:password")
    if given["sha256"] and not _is_digest(given["sha256"]):
        raise UserError("--sha256 takes 64 hexadecimal digits", "copy it whole")
    return Options(
        parts=given["parts"],
        sha256=given["sha256"].lower(),
        overwrite=given["overwrite"],
        if_changed=given["if_changed"],
        headers=headers,
        basic=(user, password) if colon else None,
        bearer=given["bearer"],
        limit=parse_bytes(given["limit"]) if given["limit"] else 0,
        retries=given["retries"],
        idle_s=float(parse_seconds(given["idle"])),
        total_s=float(parse_seconds(given["timeout"])) if given["timeout"] else None,
    )


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in text)


@dataclass
class _Show:
    """Results on stdout, one line each; what goes on meanwhile on stderr, as bars when it is a terminal."""

    as_json: bool
    verbose: bool
    is_terminal: bool
    _bars: Any = None
    _tasks: dict[str, Any] = field(default_factory=dict)

    def progress(self, url: str) -> Any:
        """Called with every `Progress` of the file from `url`; None when nobody would see it."""
        if not self.is_terminal:
            if not self.verbose:
                return None
            return lambda progress: progress.note and err(f"{_short(url)}: the server {progress.note}")
        if self._bars is None:
            from maixpix.bars import byte_bars

            self._bars = byte_bars()
            self._bars.start()
        return lambda progress: self._draw(url, progress)

    def result(self, url: str, result: Result | DownloadError) -> None:
        """The last word about a file."""
        if url in self._tasks:
            self._bars.remove_task(self._tasks.pop(url))
        if isinstance(result, UserError):
            if self.as_json:
                out(json.dumps({"url": url, "state": "failed", "kind": result.kind, "error": result.line}))
            err(f"maixpix: {one_line(url)}: {one_line(result.line)}")
            return
        if self.as_json:
            out(json.dumps(result.to_json()))
        else:
            rate = f", {result.received / result.seconds / 2**20:,.1f} MiB/s" if result.received else ""
            out(
                f"{result.path}: {result.state}, {result.size:,} bytes{rate}, sha256 {result.sha256[:16]}"
                f" (proven by {result.proof})"
            )
        if self.verbose:
            for note in result.notes:
                err(f"note: {_short(url)}: the server {one_line(note)}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()

    def _draw(self, url: str, progress: Any) -> None:
        task = self._tasks.get(url)
        if task is None:
            task = self._tasks[url] = self._bars.add_task(_short(url), total=None)
        text = _short(url)
        if self.verbose and progress.total:
            text += " " + " ".join(f"{100 * part[1] // progress.total}%" for part in progress.parts)
        if progress.note:
            text += f" ({progress.note})"
        self._bars.update(task, completed=progress.done, total=progress.total, description=one_line(text))


def _short(url: str) -> str:
    name = url.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
    return one_line(name if len(name) <= 40 else name[:37] + "...")
