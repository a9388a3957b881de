"""The room that uploads may take: limits kept to the byte, without asking the disk for every piece."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from maixpix.companion.problems import Refused
from maixpix.companion.settings import UploadLimits
from maixpix.companion.uploads.room import Room


def test_the_disk_is_asked_seldom_and_its_reserve_kept_exactly(tmp_path, monkeypatch):
    """4 KiB pieces into 30 MiB, 5 of which are the reserve; then another program fills the disk."""
    mib = 1024 * 1024
    others = 0
    asked = 0

    def usage(folder: Path) -> SimpleNamespace:
        nonlocal asked
        asked += 1
        return SimpleNamespace(free=30 * mib - room.used - others)

    clock = 100.0
    room = Room(tmp_path, UploadLimits(reserve_bytes=5 * mib), lambda: clock)
    monkeypatch.setattr("maixpix.companion.uploads.room.shutil.disk_usage", usage)
    with pytest.raises(Refused, match="nearly full"):
        while True:
            room.take(4096)
    assert room.used == 25 * mib
    assert asked <= 5
    room.give_back(20 * mib)
    clock += 1.0
    room.check(20 * mib)
    others = 18 * mib
    room.check(4096)  # not looked at again within the second
    clock += 1.0
    with pytest.raises(Refused, match="nearly full"):
        room.check(3 * mib)
    assert room.used == 5 * mib
