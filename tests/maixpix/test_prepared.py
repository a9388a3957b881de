"""What a demo's chip starts with is made once, and anew when anything that it was made of has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from maixpix.demo import prepared
from virtualboard.cache import FOLDER_VARIABLE, cache_folder


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Contents of the flash after each first start that really happened, with a cache of this test's own."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "fw.bin").write_bytes(b"firmware")
    return []


def flash_of(starts: list[bytes], firmware: Path, code: str = "pass") -> bytes:
    def start() -> bytes:
        starts.append(b"flash %d" % len(starts) + bytes(1000))
        return starts[-1]

    return prepared.started_flash(firmware, code, start)


def test_a_firmware_is_started_once(starts: list[bytes], tmp_path: Path) -> None:
    first = flash_of(starts, tmp_path / "fw.bin")
    assert [flash_of(starts, tmp_path / "fw.bin") for _ in range(2)] == [first, first] == [starts[0]] * 2
    assert len(starts) == 1


def test_another_firmware_or_first_program_is_started_anew(starts: list[bytes], tmp_path: Path) -> None:
    flash_of(starts, tmp_path / "fw.bin")
    assert flash_of(starts, tmp_path / "fw.bin", "gc_heap_size") == starts[1]
    (tmp_path / "fw.bin").write_bytes(b"firmware 2")
    assert flash_of(starts, tmp_path / "fw.bin") == starts[2]
    assert len(starts) == 3


def test_a_damaged_entry_is_made_anew_and_no_cache_is_no_trouble(
    starts: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash_of(starts, tmp_path / "fw.bin")
    folder = cache_folder("chip")
    assert folder == tmp_path / "cache-chip"
    (entry,) = folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert flash_of(starts, tmp_path / "fw.bin") == starts[1]
    monkeypatch.setenv(FOLDER_VARIABLE, "")
    assert [flash_of(starts, tmp_path / "fw.bin") for _ in range(2)] == starts[2:]
