"""Downloads from nginx on loopback: `maixpix get` beside curl, wget, aria2c and aiohttp's plain loop.

    python -m benchmarks.download_rate [--mib 256] [--rounds 3]

Every tool is a process of its own, start-up included, in turn within each round; medians. `maixpix get` also hashes
what it receives, makes it durable (fsync) and keeps a journal, which the others do not. Tools that are not installed
are left out.
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import maixpix as maixpix_package
from benchmarks.nginx import Nginx

SMALL_FILES = 500
SMALL_BYTES = 20_000

PLAIN_LOOP = """
import asyncio, sys, aiohttp
async def main(url, path):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        with open(path, "wb") as file:
            async for piece in answer.content.iter_chunked(64 * 1024):
                file.write(piece)
asyncio.run(main(*sys.argv[1:]))
"""

PLAIN_LOOPS = """
import asyncio, os, sys, aiohttp
async def main(folder, *urls):
    async def several():
        for url in left:
            async with session.get(url) as answer:
                body = await answer.read()
            with open(os.path.join(folder, url.rpartition("/")[2]), "wb") as file:
                file.write(body)
    left = iter(urls)
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*[several() for _ in range(8)])
asyncio.run(main(*sys.argv[1:]))
"""

Command = Callable[[Path], Sequence[str]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    compileall.compile_dir(Path(maixpix_package.__file__).parent, quiet=1)  # as it is once installed
    with tempfile.TemporaryDirectory() as name, Nginx(Path(name)) as nginx:
        dice = random.Random(1)
        with (nginx.www / "big").open("wb") as file:
            for _ in range(options.mib):
                file.write(dice.randbytes(1024 * 1024))
        for number in range(SMALL_FILES):
            (nginx.www / f"s{number}").write_bytes(dice.randbytes(SMALL_BYTES))
        size = options.mib * 1024 * 1024
        big, slow = f"http://127.0.0.1:{nginx.port}/big", f"http://127.0.0.1:{nginx.slow_port}/big"
        small = [f"http://127.0.0.1:{nginx.port}/s{number}" for number in range(SMALL_FILES)]
        print(f"one connection, {options.mib} MiB")
        sha256 = digest_of(nginx.www / "big")
        compare(name, one_connection(big), options.rounds, size, sha256)
        print(f"8 parts, 20 MiB/s each, {options.mib} MiB")
        compare(name, parts(slow), options.rounds, size, sha256)
        print(f"{SMALL_FILES} files of {SMALL_BYTES // 1000} kB")
        compare(name, many(small), options.rounds, SMALL_FILES * SMALL_BYTES, "")


def one_connection(url: str) -> dict[str, Command]:
    """A plain download by each tool."""
    return {
        "maixpix get --parts 1": lambda to: maixpix(url, "-o", str(to / "f"), "--parts", "1"),
        "aiohttp, plain loop": lambda to: (sys.executable, "-c", PLAIN_LOOP, url, str(to / "f")),
        "curl": lambda to: ("curl", "-s", "-o", str(to / "f"), url),
        "wget": lambda to: ("wget", "-q", "-O", str(to / "f"), url),
        "aria2c": lambda to: ("aria2c", "-q", "-d", str(to), "-o", "f", url),
    }


def parts(url: str) -> dict[str, Command]:
    """Eight connections where a tool can, one else."""
    return {
        "maixpix get --parts 8": lambda to: maixpix(url, "-o", str(to / "f"), "--parts", "8"),
        "maixpix get": lambda to: maixpix(url, "-o", str(to / "f")),
        "aria2c -x8 -s8 -k1M": lambda to: ("aria2c", "-q", "-x8", "-s8", "-k1M", "-d", str(to), "-o", "f", url),
        "curl": lambda to: ("curl", "-s", "-o", str(to / "f"), url),
    }


def many(urls: list[str]) -> dict[str, Command]:
    """All small files by one command."""
    return {
        "maixpix get": lambda to: maixpix(*urls, "-d", str(to)),
        "aiohttp, 8 plain loops": lambda to: (sys.executable, "-c", PLAIN_LOOPS, str(to), *urls),
        "curl --parallel": lambda to: ("curl", "-s", "--parallel", "--remote-name-all", "--output-dir", str(to), *urls),
        "curl": lambda to: ("curl", "-s", "--remote-name-all", "--output-dir", str(to), *urls),
        "wget": lambda to: ("wget", "-q", "-P", str(to), *urls),
        "aria2c -Z": lambda to: ("aria2c", "-q", "-Z", "-j8", "-d", str(to), *urls),
    }


def maixpix(*words: str) -> tuple[str, ...]:
    """The command of this Python's maixpix."""
    return (sys.executable, "-m", "maixpix", "get", *words)


def compare(root: str, commands: dict[str, Command], rounds: int, size: int, sha256: str) -> None:
    """One row a tool: seconds, MiB/s, processor time, most memory. `sha256` is that of file f."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            if shutil.which(command(Path())[0]) is None:
                continue
            with tempfile.TemporaryDirectory(dir=root) as folder:
                found.setdefault(name, []).append(measure(command(Path(folder))))
                there = sum(not one.name.startswith(".") for one in Path(folder).iterdir())
                if (sha256 and digest_of(Path(folder) / "f") != sha256) or (not sha256 and there != SMALL_FILES):
                    raise SystemExit(f"{name} did not bring the right files")
    print(f"{'':24} {'s':>7} {'MiB/s':>7} {'CPU s':>7} {'MB':>6}")
    for name, rows in found.items():
        seconds, processor, memory = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:24} {seconds:>7.2f} {size / seconds / 2**20:>7.0f} {processor:>7.2f} {memory:>6.0f}", flush=True)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces: a big process would count as its children's memory."""
    with path.open("rb") as file:
        sha = hashlib.sha256()
        while piece := file.read(1024 * 1024):
            sha.update(piece)
    return sha.hexdigest()


def measure(command: Sequence[str]) -> tuple[float, float, float]:
    """Seconds, processor seconds and most memory in MB of a process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])}... ended with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


if __name__ == "__main__":
    main()
