"""A snapshot of MaixPy at its prompt: each run is a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rig.patience import patient


def maixpix(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "maixpix", *arguments], capture_output=True, text=True, timeout=patient(120), check=False
    )


def test_maixpy_goes_on_at_its_prompt(firmware: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompt.snapshot"
    board = ("board", "--firmware", str(firmware), "--snapshot", str(file))
    before, after = tmp_path / "before.png", tmp_path / "after.png"
    code = "import lcd, time\nlcd.init()\nlcd.clear(lcd.RED)\nx = [6, 7]\nprint(time.ticks_ms())"
    first = maixpix(*board, "--exec", code, "--screenshot", str(before))
    assert first.returncode == 0, first.stderr
    code = "t = time.ticks_ms()\ntime.sleep_ms(300)\nprint(x, t, time.ticks_ms() - t)"
    second = maixpix(*board, "--exec", code, "--screenshot", str(after))
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("[6, 7] ")
    then, now, slept = int(first.stdout), *(int(word) for word in second.stdout.split("] ")[1].split())
    assert then < now < then + 5000
    assert abs(slept - 300) <= 1
    assert after.read_bytes() == before.read_bytes()
