"""The figures of README.md: measured here, kept in docs/figures.json, put into README.md by docs/made.py.

    python -m benchmarks.figures [--firmware MAIXPY.bin] [--rounds 3] [--jobs 2] [--only fetch] [--write]

Prints each table of README. With --write, docs/figures.json has the figures and the date afterwards, and README.md its
tables. Every cell is the median of `--rounds` runs, the fetches with other content each, one behind the other on one
board. All times are virtual, of the models that `fetch_rate` and `upload_rate` describe; the fetches run on real MaixPy
(`--firmware`, else MAIXPY_FIRMWARE) or without it, as the uploads do, on the hosted engine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import fetch_rate, upload_rate

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs" / "figures.json"
SIZES = {"fetch": 230_000, "upload": 200_000}
UPLOAD_AT = "1.7.4"

Table = dict[str, Any]


def fetch(rounds: int, firmware: Path | None, jobs: int) -> Table:
    """Shares of the line rate for every series of `fetch_rate` and rate that is tried; None where a file was wrong."""
    contents = [random.Random(number).randbytes(SIZES["fetch"]) for number in range(rounds)]
    found: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    with ProcessPoolExecutor(jobs) as pool:
        asked = [(session, pool.submit(_fetches, session, contents, firmware)) for session in fetch_rate.sessions()]
        for (who, at, rates), answer in asked:
            for rate in rates:
                runs = [run for run in answer.result() if run.baud == rate]
                print("\n".join(run.text() for run in runs), flush=True)
                whole = len(runs) == rounds and all(run.whole for run in runs)
                share = round(statistics.median(run.share for run in runs), 4) if whole else None
                found[who, at].append(share)
    rows = [{"who": who, "at": at, "shares": shares} for (who, at), shares in found.items()]
    return {
        "bytes": SIZES["fetch"],
        "rates": list(fetch_rate.RATES),
        "rows": rows,
        "firmware": firmware.stem if firmware else "",
    }


def upload(rounds: int, _firmware: Path | None, _jobs: int) -> Table:
    """Shares of the line rate for every way of sending of `upload_rate`."""
    found = defaultdict(list)
    for _ in range(rounds):
        for row in upload_rate.measure(UPLOAD_AT, (SIZES["upload"],)):
            found[row.what].append(row)
            print(f"{row.what:30} {row.ms:7} {row.payload:8.1%} {row.whole:7.1%}", flush=True)
    rows = [
        {
            "what": what,
            "payload": round(statistics.median(row.payload for row in runs), 4),
            "bound": None if what.startswith("stock") else round(upload_rate.bound("BUF" in what), 4),
            "whole": round(statistics.median(row.whole for row in runs), 4),
        }
        for what, runs in found.items()
    ]
    return {"bytes": SIZES["upload"], "baud": upload_rate.BAUD, "at": UPLOAD_AT, "rows": rows}


def _fetches(session: Any, contents: list[bytes], firmware: Path | None) -> list[fetch_rate.Row]:
    return list(fetch_rate.measure(*session, contents, firmware))


TABLES: dict[str, Callable[[int, Path | None, int], Table]] = {"fetch": fetch, "upload": upload}


def main() -> int:
    """Print the tables, and keep them where that is wished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    image = os.environ.get("MAIXPY_FIRMWARE")
    parser.add_argument("--firmware", type=Path, default=Path(image) if image else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="boards at a time")
    parser.add_argument("--only", choices=TABLES, help="this table alone")
    parser.add_argument("--write", action="store_true", help="into docs/figures.json and README.md")
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    for name, measure in TABLES.items():
        if options.only not in (None, name):
            continue
        print(f"-- {name}, {options.rounds} rounds", flush=True)
        table = measure(options.rounds, options.firmware, options.jobs)
        if kept.get(name, {}).get("firmware") and not table["firmware"]:
            print("not kept: the figures that are there are of a MaixPy image (--firmware)")
            continue
        day = datetime.datetime.now(datetime.timezone.utc).date()
        kept[name] = {"date": day.isoformat(), "rounds": options.rounds, **table}
    if options.write:
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        subprocess.run([sys.executable, str(ROOT / "docs" / "made.py")], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
