"""Downloads under kills, lies and cuts: `maixpix get` against nginx behind a cutting proxy and the lying server.

    python -m benchmarks.download_soak [--runs 1000] [--seed 0] [--jobs 2] [--minutes M]

Every run is given by its seed: which server, which misbehaviour, after how many bytes the program is killed (kill -9)
and the connection cut. A killed command is run again. After every kill and at the end the folder is looked at. Printed
are: wrong files with success, wrong files under the final name at any time, hangs, files outside of the folder,
right files where there could be one, clean failures where not, and how much of what had been sent when a kill came was
not in the journal (nginx only, whose files have a version; a file without one is fetched anew and not counted).
"""

from __future__ import annotations

import argparse
import fcntl
import random
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import lies
from benchmarks.lies import CATALOGUE, CLEAN, RIGHT, Case
from benchmarks.lying_server import LyingServer
from benchmarks.mixed_servers import MIXED, PATCHED
from benchmarks.nginx import Nginx
from benchmarks.odd_servers import ODD
from maixpix.download.extents import Extents
from maixpix.download.journal import INTERVAL_BYTES, read_journal

ALL = CATALOGUE | ODD | MIXED
TIMEOUT_S = 180
MAX_STARTS = 12
NGINX_SHARE = 0.4
FILE_BYTES = 24_000_000
VERSIONS = {PATCHED, lies.A[:50_000], lies.A, lies.B, lies.C, lies.BIG, lies.BIG_B, lies.SMALL, b"", b"x"}


class CuttingProxy:
    """Passes connections on to `upstream_port`, at `rate` bytes a second, each cut after its share of `cuts`."""

    def __init__(self, upstream_port: int, cuts: list[int | None], rate: int) -> None:
        self._passed = 0
        self._down: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._upstream_port = upstream_port
        self._cuts = iter(cuts)
        self._rate = rate
        self._listener = socket.create_server(("127.0.0.1", 0))
        # What this system holds back for a receiver who is behind cannot be told from what it has got everywhere.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def passed(self) -> int:
        """Bytes that have come to the receiving system, where this one tells what it still holds itself."""
        with self._lock:
            return self._passed - sum(map(_unsent, self._down))

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(sock, next(self._cuts, None)), daemon=True).start()

    def _join(self, down: socket.socket, cut: int | None) -> None:
        with down, suppress(OSError), socket.create_connection(("127.0.0.1", self._upstream_port)) as up:
            threading.Thread(target=self._requests, args=(down, up), daemon=True).start()
            with self._lock:
                self._down.add(down)
            left = cut
            while data := up.recv(65536 if left is None else min(65536, left)):
                down.sendall(data)
                with self._lock:
                    self._passed += len(data)
                time.sleep(len(data) / self._rate)
                left = None if left is None else left - len(data)
                if left == 0:
                    break
            down.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._down.discard(down)

    def _requests(self, down: socket.socket, up: socket.socket) -> None:
        with suppress(OSError):
            while data := down.recv(65536):
                up.sendall(data)
            up.shutdown(socket.SHUT_WR)


def _unsent(sock: socket.socket) -> int:
    """Bytes that were handed to this system and that the other end has not confirmed."""
    if sys.platform != "linux" or sock.fileno() < 0:
        return 0
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


@dataclass
class Outcome:
    """What one run came to; `faults` are the things that must never be."""

    seed: int
    title: str
    verdict: str = ""
    kills: int = 0
    again: list[int] = field(default_factory=list)
    """Bytes that each kill cost: come to this system since the start and not in the journal."""
    faults: list[str] = field(default_factory=list)


def main() -> int:
    """Run and print; 1 when anything happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="begin no run later than that")
    options = parser.parse_args()
    outcomes = soak(range(options.seed, options.seed + options.runs), options.jobs, options.minutes)
    print(table(outcomes))
    for outcome in outcomes:
        for fault in outcome.faults:
            print(f"seed {outcome.seed} ({outcome.title}): {fault}")
    return int(any(outcome.faults for outcome in outcomes))


def soak(seeds: range, jobs: int, minutes: float | None = None) -> list[Outcome]:
    """One outcome for each seed that was begun within `minutes`."""
    until = time.monotonic() + minutes * 60 if minutes is not None else None
    with (
        tempfile.TemporaryDirectory() as folder,
        Nginx(Path(folder)) as nginx,
        LyingServer({name: case.behave for name, case in ALL.items()}) as liar,
        ThreadPoolExecutor(jobs) as threads,
    ):
        content = random.Random(7).randbytes(FILE_BYTES)
        (nginx.www / "file").write_bytes(content)

        def run(seed: int) -> Outcome | None:
            if until is not None and time.monotonic() > until:
                return None
            dice = random.Random(seed)
            if dice.random() < NGINX_SHARE:
                return run_against_nginx(seed, dice, nginx.port, content)
            return run_against_liar(seed, dice, liar)

        return [outcome for outcome in threads.map(run, seeds) if outcome is not None]


def run_against_nginx(seed: int, dice: random.Random, port: int, content: bytes) -> Outcome:
    """An honest server over a bad network, and kills."""
    cuts = [dice.choice([None, dice.randrange(1, FILE_BYTES)]) for _ in range(dice.randrange(12))]
    kills = sorted(dice.randrange(1, FILE_BYTES) for _ in range(dice.randrange(4)))
    parts = dice.choice(["0", "1", "2", "4", "8"])
    outcome = Outcome(seed, f"nginx, {len(cuts)} cuts, {len(kills)} kills, --parts {parts}")
    proxy = CuttingProxy(port, cuts, dice.choice([20_000_000, 60_000_000]))
    try:
        url = f"http://127.0.0.1:{proxy.port}/file"
        _run(outcome, url, ("--parts", parts), kills, proxy.passed, {content}, has_version=True)
    finally:
        proxy.close()
    if outcome.verdict != RIGHT:
        outcome.faults.append(f"an honest server's file did not come: {outcome.verdict}")
    return outcome


def run_against_liar(seed: int, dice: random.Random, liar: LyingServer) -> Outcome:
    """One case of the catalogue, some of them with kills."""
    case: Case = dice.choice(list(ALL.values()))
    kills = [dice.randrange(1, 2 * len(case.ends_as) + 2) for _ in range(dice.choice([0, 0, 1, 2]))]
    outcome = Outcome(seed, f"{case.name}, {len(kills)} kills")
    path = f"{case.name}/{seed}"
    # Kills shift the requests that a case counts, so another whole version may be what is right then.
    right = VERSIONS | {case.ends_as} if kills and case.verdict != CLEAN else {case.ends_as}
    _run(outcome, liar.url(path), case.options, sorted(kills), lambda: liar.sent[f"/{path}"], right)
    if case.verdict == CLEAN and outcome.verdict == RIGHT:
        outcome.faults.append("a file that cannot be right was taken for right")
    if case.verdict == RIGHT and outcome.verdict != RIGHT and not kills:
        outcome.faults.append(f"could have been right: {outcome.verdict}")
    return outcome


def _run(
    outcome: Outcome,
    url: str,
    words: tuple[str, ...],
    kills: list[int],
    passed: Callable[[], int],
    right: set[bytes],
    has_version: bool = False,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        target = folder / "file.bin"
        command = [sys.executable, "-m", "maixpix", "get", url, "-o", str(target), "--json", *words]
        sent = there = 0
        is_known = not kills
        for _ in range(MAX_STARTS):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            code, said = _watch(process, kills, passed)
            if [path.name for path in Path(name).iterdir()] not in ([], ["in"]):
                outcome.faults.append("a file outside of the folder")
            content = target.read_bytes() if target.exists() else None
            # A page that is served as the file is one to a run that knows of no other, because all before were killed
            # when not even an answer's head was in the journal.
            is_known = is_known or read_journal(folder / "file.bin.part.json") is not None
            if content is not None and content not in (right if is_known else right | {lies.PAGE}):
                outcome.faults.append("a wrong file under the final name" + (" with success" if code == 0 else ""))
            if code == "killed":
                outcome.kills += 1
                if has_version and content is None:
                    sent_before, there_before, sent, there = sent, there, passed(), journalled(folder)
                    outcome.again.append(sent - sent_before - (there - there_before))
                continue
            if code == "hung":
                outcome.faults.append("hung")
            elif code not in (0, 1):
                outcome.faults.append(f"ended with {code}: {said[-300:]}")
            elif "Traceback" in said:
                outcome.faults.append(said[-300:])
            outcome.verdict = RIGHT if code == 0 and content is not None else said.strip()[-160:]
            return


def journalled(folder: Path) -> int:
    """Bytes of file.bin that its journal in `folder` names."""
    left = read_journal(folder / "file.bin.part.json")
    if left is None or not left.points:
        return 0
    return len(Extents([(0, max(left.points)[0]), *((block.start, block.stop) for block in left.blocks)]))


def _watch(process: subprocess.Popen[str], kills: list[int], passed: Callable[[], int]) -> tuple[int | str, str]:
    """Wait for the end, or kill when as many bytes as the next of `kills` says have passed."""
    until = time.monotonic() + TIMEOUT_S
    while process.poll() is None:
        if kills and passed() >= kills[0]:
            while kills and passed() >= kills[0]:
                kills.pop(0)
            process.kill()
            process.communicate()
            return "killed", ""
        if time.monotonic() > until:
            process.kill()
            process.communicate()
            return "hung", ""
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    out, error = process.communicate()
    return process.returncode, out + error


def table(outcomes: list[Outcome]) -> str:
    """The figures."""
    faults = Counter(fault.partition(":")[0] for outcome in outcomes for fault in outcome.faults)
    again = sorted(cost for outcome in outcomes for cost in outcome.again)
    rows = {
        "runs": len(outcomes),
        "kills": sum(outcome.kills for outcome in outcomes),
        "right files": sum(outcome.verdict == RIGHT for outcome in outcomes),
        "clean failures": sum(outcome.verdict != RIGHT for outcome in outcomes),
        "wrong files with success": faults["a wrong file under the final name with success"],
        "wrong files under the final name": faults["a wrong file under the final name"],
        "hangs": faults["hung"],
        "files outside": faults["a file outside of the folder"],
        "other faults": sum(outcome.faults != [] for outcome in outcomes),
        f"bytes fetched again after a kill (interval {INTERVAL_BYTES:,}), median": f"{again[len(again) // 2]:,}"
        if again
        else "none",
        "at most": f"{max(again, default=0):,}",
        "kills that cost more than the interval": f"{sum(cost > INTERVAL_BYTES for cost in again)} of {len(again)}",
    }
    return "\n".join(f"{name:<70} {value:>12}" for name, value in rows.items())


if __name__ == "__main__":
    sys.exit(main())
