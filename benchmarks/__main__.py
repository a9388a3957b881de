"""`make bench`: every table, one after the other, those of README.md first; minutes, not seconds.

With MAIXPY_FIRMWARE the fetches run on that image. `python -m benchmarks.figures --write` puts README's figures there.
"""

from __future__ import annotations

import subprocess
import sys

TABLES = (
    ("figures",),
    ("fetch_rate",),
    ("upload_rate",),
    ("receiver",),
    ("receiver_fuzz",),
    ("soak_upload", "--runs", "60"),
    ("download_rate",),
    ("download_soak", "--runs", "100"),
    ("fill_kills",),
    ("modem_sessions", "--runs", "3000"),
    ("modem_firmwares",),
    ("bring_ups", "--runs", "40"),
    ("attacks",),
    ("web_service", "--hostile", "2000"),
    ("power_on",),
    ("frame_years", "--days", "3"),
    ("update_cuts", "--runs", "40"),
)


def main() -> int:
    """Run each benchmark in a process of its own; 1 when one of them failed."""
    failed = [
        name
        for name, *options in TABLES
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode
    ]
    if failed:
        print("failed: " + ", ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
