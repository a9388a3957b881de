"""Helpers to look at a card as a stranger would: image files, mtools, fsck, and a minimal reader of its own."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from rig.patience import patient
from virtualboard.card.fat32 import SECTOR


def tool(name):
    """Path of a Debian tool (dosfstools, mtools); skips the test when it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian packages dosfstools, mtools)")
    return found


def dump(volume, path):
    """The whole card as a sparse file."""
    zeros = bytes(SECTOR)
    with path.open("wb") as f:
        for sector in range(volume.geometry.sectors):
            data = volume.read(sector)
            assert len(data) == SECTOR
            if data != zeros:
                f.seek(sector * SECTOR)
                f.write(data)
        f.truncate(volume.geometry.sectors * SECTOR)


def merge(volume, path):
    """Write to the volume, block by block, what differs in the image file."""
    count = 0
    with path.open("rb") as f:
        for sector in range(volume.geometry.sectors):
            data = f.read(SECTOR)
            if data != volume.read(sector):
                volume.write(sector, data)
                count += 1
    return count


def partition(volume, image, path):
    """The first partition alone, for fsck."""
    with image.open("rb") as src, path.open("wb") as dst:
        src.seek(volume.geometry.start * SECTOR)
        shutil.copyfileobj(src, dst, 1 << 20)


def fsck(volume, tmp_path):
    """fsck.vfat's exit code and output for the present state of the volume."""
    image, part = tmp_path / "fsck.img", tmp_path / "fsck.part"
    dump(volume, image)
    partition(volume, image, part)
    done = subprocess.run(
        [tool("fsck.vfat"), "-n", "-V", str(part)], capture_output=True, text=True, timeout=patient(60)
    )
    return done.returncode, done.stdout + done.stderr


def mtools(volume, image, *arguments):
    """Run an mtools command on the image (drive letter x:)."""
    config = image.with_suffix(".mtoolsrc")
    config.write_text(f'drive x: file="{image}" offset={volume.geometry.start * SECTOR}\nmtools_skip_check=1\n')
    environment = {**os.environ, "MTOOLSRC": str(config), "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [tool(arguments[0]), *arguments[1:]], capture_output=True, text=True, timeout=patient(60), env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tree_of(folder):
    """{relative path: content, or None for a directory} of a host folder."""
    return {p.relative_to(folder).as_posix(): None if p.is_dir() else p.read_bytes() for p in sorted(folder.rglob("*"))}


def read_file(volume, *names):
    """Content of a file by following directory entries and the first table, independent of the module's reader."""
    geometry = volume.geometry

    def chain(cluster):
        while 2 <= cluster < 0x0FFFFFF8:
            yield cluster
            sector = volume.read(geometry.fat_start + cluster // 128)
            cluster = int.from_bytes(sector[cluster % 128 * 4 :][:4], "little") & 0x0FFFFFFF

    def content(cluster):
        return b"".join(
            volume.read(geometry.data_start + (c - 2) * geometry.cluster_sectors + i)
            for c in chain(cluster)
            for i in range(geometry.cluster_sectors)
        )

    cluster, size = 2, None
    for name in names:
        folder = content(cluster)
        for at in range(0, len(folder), 32):
            entry = folder[at : at + 32]
            if entry[:11] == name and not entry[11] & 0x08:
                cluster = entry[20] << 16 | entry[21] << 24 | entry[26] | entry[27] << 8
                size = int.from_bytes(entry[28:32], "little")
                break
        else:
            raise FileNotFoundError(name)
    return content(cluster)[:size]
