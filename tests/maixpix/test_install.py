"""Versions on a card: installed, switched, cut at every step."""

from __future__ import annotations

import shutil

import pytest

from maixpix.board import bundle, card, install
from maixpix.board.places import FolderPlace
from maixpix.errors import UserError
from rig.loader_run import chosen

LOADER = bundle.loader()


def version(text: str, extra: bool = False) -> bundle.Bundle:
    files = {"pix/log.py": f"log {text}".encode(), "pix/same.py": b"same", "apps/show.py": f"show {text}".encode()}
    if extra:
        files["apps/more.py"] = b"more"
    return bundle.Bundle(files, LOADER, compiled=False)


def whole(folder, mounts=None) -> dict[str, bytes]:
    """The files of the version that the loader would start, {} when it finds none."""
    loader = (folder / "main.py").read_bytes()
    _, _home, slot = chosen(loader, mounts or {"/flash": folder.parent / "flash", "/sd": folder})
    if not slot:
        return {}
    base = folder / slot
    return {
        p.relative_to(base).as_posix(): p.read_bytes() for p in base.rglob("*") if p.is_file() and p.name != "ready"
    }


class Cable(Exception):
    """The cable was pulled."""


class CutPlace(FolderPlace):
    """A place whose connection breaks at its n-th action; a cut write leaves part of the file."""

    def __init__(self, folder, actions):
        super().__init__(folder)
        self.left = actions

    def _step(self):
        self.left -= 1
        if self.left < 0:
            raise Cable

    def write(self, path, data):
        try:
            self._step()
        except Cable:
            super().write(path, data[: len(data) // 2])
            raise
        super().write(path, data)

    def copy(self, source, target):
        self._step()
        super().copy(source, target)

    def remove(self, path):
        self._step()
        super().remove(path)

    def rename(self, source, target):
        self._step()
        super().rename(source, target)

    def patch(self, path, data):
        self._step()
        super().patch(path, data)


def test_versions_take_turns_and_only_what_differs_is_sent(tmp_path):
    place = FolderPlace(tmp_path)
    first = install.install(place, version("1"))
    assert (first.number, first.sent, first.changed, first.loader_changed) == (1, 3, True, True)
    assert whole(tmp_path) == dict(version("1").files)
    again = install.install(place, version("1"))
    assert (again.number, again.sent, again.changed, again.loader_changed) == (1, 0, False, False)
    second = install.install(place, version("2", extra=True))
    assert (second.number, second.sent, second.kept) == (2, 3, 1)
    assert whole(tmp_path) == dict(version("2", extra=True).files)
    third = install.install(place, version("1"))
    assert (third.number, third.sent) == (3, 0), "the old folder still had these files"
    assert whole(tmp_path) == dict(version("1").files)


def test_a_cut_at_any_action_leaves_the_old_version_or_the_new_one(tmp_path):
    old, new = dict(version("1").files), dict(version("2", extra=True).files)
    outcomes = []
    for actions in range(100):
        folder = tmp_path / f"card{actions}"
        folder.mkdir()
        install.install(FolderPlace(folder), version("0"))
        install.install(FolderPlace(folder), version("1"))
        try:
            install.install(CutPlace(folder, actions), version("2", extra=True))
        except Cable:
            outcomes.append("new" if whole(folder) == new else "old")
            assert whole(folder) in (old, new)
            install.install(FolderPlace(folder), version("2", extra=True))
            assert whole(folder) == new
        else:
            assert whole(folder) == new
            break
    assert len(outcomes) >= 5
    assert set(outcomes) == {"old"}


def test_the_first_installation_cut_anywhere_never_starts_half_of_it(tmp_path):
    for actions in range(100):
        folder = tmp_path / f"card{actions}"
        folder.mkdir()
        (folder / "main.py").write_bytes(b"# Welcome to MaixPy demo\n" * 30)
        try:
            install.install(CutPlace(folder, actions), version("1"))
        except Cable:
            main = (folder / "main.py").read_bytes()
            assert main.startswith(b"# Welcome") or whole(folder) == dict(version("1").files)
        else:
            assert whole(folder) == dict(version("1").files)
            assert actions > 5
            return
    pytest.fail("never finished")


@pytest.mark.parametrize("ready", [b"", b"0000", b"00000009", b"00000009 ", b"00000009 0", b"garbage"])
def test_a_torn_ready_file_counts_as_none(tmp_path, ready):
    install.install(FolderPlace(tmp_path), version("1"))
    other = tmp_path / "maixpix" / "b"
    other.mkdir()
    (other / "ready").write_bytes(ready)
    (other / "pix").mkdir()
    (other / "pix" / "log.py").write_bytes(b"half")
    assert whole(tmp_path) == dict(version("1").files)
    assert install.install(FolderPlace(tmp_path), version("2")).number == 2
    assert whole(tmp_path) == dict(version("2").files)


@pytest.mark.parametrize("ready", [b"00000009 o", b"00000009 3", b"00000009 1"])
def test_a_version_on_trial_counts_and_one_whose_confirmation_was_cut(tmp_path, ready):
    """What is written behind the number is written last of all, when every file has been checked."""
    install.install(FolderPlace(tmp_path), version("1"))
    install.install(FolderPlace(tmp_path), version("2"))
    (tmp_path / "maixpix" / "b" / "ready").write_bytes(ready)
    assert whole(tmp_path) == dict(version("2").files)
    left = b"00000009 o" if ready.endswith(b"o") else ready[:9] + bytes([ready[9] - 1])
    assert (tmp_path / "maixpix" / "b" / "ready").read_bytes() == left
    (tmp_path / "maixpix" / "b" / "ready").write_bytes(ready)
    assert install.install(FolderPlace(tmp_path), version("3")).number == 10
    assert whole(tmp_path) == dict(version("3").files)


def test_damage_on_the_way_is_noticed_and_the_old_version_stays(tmp_path):
    class Noisy(FolderPlace):
        def write(self, path, data):
            super().write(path, data.replace(b"show 2", b"shXw 2"))

    install.install(FolderPlace(tmp_path), version("1"))
    with pytest.raises(UserError, match=r"1 files arrived damaged .*apps/show\.py"):
        install.install(Noisy(tmp_path), version("2"))
    assert whole(tmp_path) == dict(version("1").files)


def test_a_main_of_ones_own_is_kept_and_other_files_are_not_touched(tmp_path):
    (tmp_path / "main.py").write_bytes(b"print('mine')")
    (tmp_path / "main.old").write_bytes(b"older")
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8picture")
    (tmp_path / "maixpix").mkdir()
    (tmp_path / "maixpix" / "notes.txt").write_bytes(b"keep")
    result = install.install(FolderPlace(tmp_path), version("1"))
    assert result.notes == (f"your own main.py on {tmp_path} is now main.ol1",)
    assert (tmp_path / "main.ol1").read_bytes() == b"print('mine')"
    assert (tmp_path / "main.old").read_bytes() == b"older"
    assert (tmp_path / "holiday.jpg").read_bytes() == b"\xff\xd8picture"
    assert (tmp_path / "maixpix" / "notes.txt").read_bytes() == b"keep"


def test_a_newer_loader_replaces_an_older_one_in_its_sector(tmp_path):
    install.install(FolderPlace(tmp_path), version("1"))
    inode = (tmp_path / "main.py").stat().st_ino
    newer = LOADER[:-2] + b"#\n"
    assert install.install_loader(FolderPlace(tmp_path), newer) == (True, [])
    assert (tmp_path / "main.py").read_bytes() == newer
    assert (tmp_path / "main.py").stat().st_ino == inode
    assert not (tmp_path / "main.old").exists()


def test_the_loader_prefers_the_card_and_falls_back_to_flash_and_hand_copied_files(tmp_path):
    sd, flash = tmp_path / "sd", tmp_path / "flash"
    for folder in (sd, flash):
        folder.mkdir()
    both = {"/flash": flash, "/sd": sd}
    assert chosen(LOADER, both) == ("pix.start", "/", "")
    for _ in range(3):
        install.install(FolderPlace(flash), version(str(_)))
    assert chosen(LOADER, both) == ("pix_start", "/flash", "maixpix/a")
    install.install(FolderPlace(sd), version("1"))
    assert chosen(LOADER, both) == ("pix.start", "/sd", "maixpix/a")
    install.install(FolderPlace(sd), version("2"))
    assert chosen(LOADER, both) == ("pix.start", "/sd", "maixpix/b")
    assert chosen(LOADER, {"/flash": flash}) == ("pix_start", "/flash", "maixpix/a")


def test_a_full_card_is_told_before_anything_is_written(tmp_path, monkeypatch):
    install.install(FolderPlace(tmp_path), version("1"))
    monkeypatch.setattr(FolderPlace, "free", lambda self: 1000)
    with pytest.raises(UserError, match="has no room for 96 kB"):
        install.install(FolderPlace(tmp_path), version("2"))
    assert whole(tmp_path) == dict(version("1").files)


def test_what_is_wrong_with_a_card_is_told(tmp_path):
    here = tmp_path / "my card"
    here.mkdir()
    escaped = str(here).replace(" ", "\\040")
    block = tmp_path / "sys"
    (block / "sdb").mkdir(parents=True)
    (block / "sdb1").mkdir()
    (block / "sdb1" / "partition").write_text("1")
    assert card.warnings(here, f"/dev/sdb1 {escaped} vfat rw 0 0\n", block) == []
    assert "exFAT" in card.warnings(here, f"/dev/sdb1 {escaped} exfat rw 0 0\n", block)[0]
    assert "no partition table" in card.warnings(here, f"/dev/sdb {escaped} vfat rw 0 0\n", block)[0]
    assert "no mounted card" in card.warnings(here, "/dev/sda1 / ext4 rw 0 0\n", block)[0]
    (here / "holiday in rome 2021.jpeg").write_bytes(b"x")
    (here / "cover.main.py").write_bytes(b"x")
    told = card.warnings(here, f"/dev/sdb1 {escaped} vfat rw 0 0\n", block)
    assert told[0] == "long names are slow to open on the board: cover.main.py, holiday in rome 2021.jpeg"
    assert "cover.main.py" in told[1]
    with pytest.raises(UserError, match="there is no folder"):
        card.open_card(tmp_path / "none")
    shutil.rmtree(here)
