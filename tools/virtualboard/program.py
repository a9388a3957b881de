"""A program for a virtual board: its text, its name, and where the board itself has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PATHS = """\
def _():
 import sys,uos,utime
 for i in range(30):
  if "sd" in uos.listdir("/"):break
  utime.sleep_ms(100)
 if "/sd" not in sys.path and i<29:sys.path.append("/sd")
 b=("","","")
 for h in "/flash","/sd":
  for s in "maixpix/a","maixpix/b":
   try:
    with open(h+"/"+s+"/ready","rb") as f:g=f.read().decode()
    if g[-2:]=="ok":b=max(b,(h,g,s))
   except OSError:pass
 if b[0]:
  uos.chdir(b[0])
  if b[2] not in sys.path:sys.path[:0]=[b[2],b[2]+"/apps"]
_()
del _
"""
"""What is typed before a program, so that it finds what it would find on a board that started by itself: MaixPy mounts
the card in the background and looks for it only once; software that was deployed is in one of two folders, of which
its main.py takes the newer whole one (firmware/main.py). Leaves no names behind."""


@dataclass
class Program:
    """What to run instead of `boot.py` and `main.py`.

    `source` is its text, `filename` its name in tracebacks. `path`, when given, is where the board itself has it, e.g.
    "/sd/apps/show.py": an engine that has to type programs types a line that starts this file.
    """

    source: str
    filename: str = "main.py"
    path: str | None = None

    @classmethod
    def of(cls, script: Path | str) -> Program:
        """Of a file of the host (Path) or of source text (str)."""
        return cls(script.read_text(encoding="utf-8"), script.name) if isinstance(script, Path) else cls(script)
