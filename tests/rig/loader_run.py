"""Runs the real loader text (firmware/main.py as deployed) over folders that stand for /sd and /flash."""

from __future__ import annotations

import builtins
import os
import types
from pathlib import Path


def chosen(loader: bytes, mounts: dict[str, Path]) -> tuple[str, str, str]:
    """(module, home, slot) that the loader starts, given what is mounted where."""
    started: list[tuple[str, str, str]] = []
    here = ["/"]

    def where(path: str) -> Path:
        for mount, folder in mounts.items():
            if path == mount or path.startswith(mount + "/"):
                return folder / path[len(mount) + 1 :]
        raise OSError(19)

    uos = types.SimpleNamespace(listdir=lambda path: [m[1:] for m in mounts], chdir=lambda path: here.append(path))
    fake_sys = types.SimpleNamespace(path=["", "."], modules={})

    clock = types.SimpleNamespace(sleep=lambda seconds: None)
    machine = types.SimpleNamespace(WDT=lambda: None)

    def import_(name: str, *rest: object) -> object:
        if name in ("pix.start", "pix_start"):
            run = lambda home, slot: started.append((name, home, slot))  # noqa: E731
            fake_sys.modules[name] = types.SimpleNamespace(run=run)
            return None
        return {"sys": fake_sys, "uos": uos, "time": clock, "machine": machine}[name]

    def open_(path: str, mode: str = "r") -> object:
        return (lambda full: os.fdopen(os.open(full, os.O_RDWR if "+" in mode else os.O_RDONLY), mode))(
            where(path if path.startswith("/") else f"{here[-1]}/{path}")
        )

    names = dict(vars(builtins), __import__=import_, open=open_)
    exec(compile(loader, "main.py", "exec"), {"__builtins__": names, "__import__": import_})
    (one,) = started
    return one
