"""A folder that was listed before is listed quickly, and always as it is now."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maixpix.companion.pictures import PictureFolder

STEPS = 120


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[PictureFolder]:
    """A folder that lists itself again and again; three pictures, one below."""
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "b10.png", "sub/c.gif"):
        (tmp_path / name).write_bytes(b"picture")
    folder = PictureFolder(tmp_path, 1000)
    folder.survey()
    yield folder


def same_as_new(folder: PictureFolder) -> None:
    assert folder.survey() == PictureFolder(folder.root, folder.limit).survey()


def test_names_are_put_in_order_once(kept: PictureFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = kept.survey()

    def walked(*_arguments: object) -> None:
        raise AssertionError("walked through the whole folder again")

    monkeypatch.setattr(PictureFolder, "_walk", walked)
    again = kept.survey()
    assert again == first and all(one is other for one, other in zip(again[0], first[0], strict=True))


def test_a_file_that_was_written_anew_has_its_new_size(kept: PictureFolder) -> None:
    (kept.root / "a.jpg").write_bytes(b"a longer picture")
    os.utime(kept.root / "b10.png", ns=(1, 1))
    found = {picture.name: picture for picture in kept.survey()[0]}
    assert found["a.jpg"].size == 16 and found["b10.png"].modified == 1
    same_as_new(kept)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_is_followed_each_time(kept: PictureFolder, tmp_path: Path) -> None:
    (kept.root / "link.jpg").symlink_to("later.jpg")
    assert [left.name for left in kept.survey()[1]] == ["link.jpg"]
    (kept.root / "sub" / "real.jpg").write_bytes(b"12")
    (kept.root / "link.jpg").unlink()
    (kept.root / "link.jpg").symlink_to("sub/real.jpg")
    assert [picture.size for picture in kept.survey()[0] if picture.name == "link.jpg"] == [2]
    (kept.root / "sub" / "real.jpg").write_bytes(b"123")
    assert [picture.size for picture in kept.survey()[0] if picture.name == "link.jpg"] == [3]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_the_folder_is_seen(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = PictureFolder(tmp_path, 12)
    names = ["a.jpg", "a2.jpg", "a10.JPG", "notes.txt", ".hidden.png", "sub", "sub.jpg", "z.webp"]

    def somewhere() -> Path:
        below = [path for path in tmp_path.rglob("*") if path.is_dir() and not path.is_symlink()]
        return chance.choice([tmp_path, *below]) / chance.choice(names)

    for _ in range(STEPS):
        path, other = somewhere(), somewhere()
        # Without that name, or with one in the way, nothing happens, which is a step, too.
        with contextlib.suppress(OSError):
            what = chance.randrange(6)
            if what == 0:
                path.write_bytes(bytes(chance.randrange(50)))
            elif what == 1:
                path.unlink()
            elif what == 2:
                path.rename(other)
            elif what == 3:
                path.mkdir()
            elif what == 4:
                path.rmdir()
            elif sys.platform != "win32":
                path.symlink_to(other)
        same_as_new(folder)
