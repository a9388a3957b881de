"""Bringing back into the folder what the board wrote to the card.

The blocks are parsed as a stranger's card would be, compared with what the folder gave, and the difference is
carried out: new, changed, renamed and deleted files, directories. Two rules stand above all:

* nothing outside the folder is ever touched, whatever names and links there are;
* nothing good is lost: where the card is torn, or the host has changed a file meanwhile, the host's file stays and
  the report says so. A changed file replaces the old one whole, by a rename.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from virtualboard.card.fat32 import SECTOR, Node, Tree, read_tree
from virtualboard.card.names import SYNC_PREFIX
from virtualboard.card.volume import Origin, Volume

_Names = tuple[str, ...]


@dataclass
class SyncReport:
    """What a write-back did, as paths relative to the folder, and what it could not do."""

    written: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True when the folder was changed."""
        return bool(self.written or self.renamed or self.deleted)


def write_back(volume: Volume) -> SyncReport:
    """Make the folder agree with the volume's blocks. Costs nothing when no block was written since last time."""
    report = SyncReport()
    if not volume.dirty:
        return report
    geometry = volume.geometry
    # Up to the flags that some systems use to mark a volume as in use.
    if volume.read(geometry.start)[11:65] != volume.boot[11:65]:
        report.problems.append(("", "the card was formatted anew or overwritten; the folder stays as it was"))
        volume.dirty.clear()
        return report
    tree = read_tree(volume.read, geometry)
    report.problems += [("/".join(path), text) for path, text in tree.problems]
    _Sync(volume, tree, report).run()
    volume.dirty.clear()
    return report


class _Sync:
    """One write-back: stage what is new, take away what is gone, move the new into place."""

    def __init__(self, volume: Volume, tree: Tree, report: SyncReport) -> None:
        self.volume = volume
        self.tree = tree
        self.report = report
        self.before = volume.tree
        self.staged: dict[_Names, Path] = {}
        self.moved: dict[_Names, _Names] = {}
        self.kept: set[_Names] = set()
        self._count = 0
        geometry = volume.geometry
        self.dirty_clusters = {
            (sector - geometry.data_start) // geometry.cluster_sectors + 2
            for sector in volume.dirty
            if sector >= geometry.data_start
        }

    def run(self) -> None:
        self._plan()
        self._stage_moves()
        # Everything new is whole in the folder by now. Names may have changed from file to directory or back, so
        # what is gone goes before what is new takes its place.
        self._delete()
        self._make_directories()
        self._place()
        self.volume.map_files(self.tree)

    # -- planning -----------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Decide for each file whether it is as before, moved, or to be written; write the latter aside."""
        before, now = self.before.nodes, self.tree.nodes
        gone = {
            (tuple(node.chain), node.size): path
            for path, node in before.items()
            if not node.is_dir and node.chain and path not in now and path in self.volume.origins
        }
        for path, node in now.items():
            if node.is_dir:
                continue
            old = before.get(path)
            touched = not self.dirty_clusters.isdisjoint(node.chain[: self.volume.geometry.clusters_for(node.size)])
            same = old is not None and not old.is_dir and old.size == node.size
            same = same and old is not None and old.chain[: len(node.chain)] == node.chain[: len(old.chain)]
            if same and not touched:
                self.kept.add(path)
                continue
            source = gone.pop((tuple(node.chain), node.size), None) if old is None and not touched else None
            if source is not None:
                self.moved[path] = source
            elif node.whole or old is None:
                self._stage(path, node)
            else:
                self.report.problems.append(("/".join(path), "the host's version stays"))
                self.kept.add(path)

    def _stage(self, path: _Names, node: Node) -> None:
        """Write a file's content, as far as its clusters go, to a file of its own in the folder."""
        geometry = self.volume.geometry
        aside = self._aside()
        left = node.size
        with aside.open("xb") as f:
            for cluster in node.chain:
                if left <= 0:
                    break
                start = geometry.sector_of(cluster)
                count = min(geometry.cluster_sectors, -(-left // SECTOR))
                data = b"".join(self.volume.read(sector) for sector in range(start, start + count))[:left]
                f.write(data)
                left -= len(data)
        self.staged[path] = aside

    def _stage_moves(self) -> None:
        """Take renamed files out of their places first: two may have swapped their names."""
        for path, source in list(self.moved.items()):
            host = self.volume.path_of(source)
            if Origin.of(host) is None or not self._inside(host):
                del self.moved[path]
                self.report.problems.append(("/".join(path), f"its file /{'/'.join(source)} is gone on the host"))
                continue
            # Should the host have edited the file, the edit moves along.
            aside = self._aside()
            host.rename(aside)
            self.staged[path] = aside

    # -- carrying out -------------------------------------------------------------------------------------

    def _make_directories(self) -> None:
        for path in sorted(path for path, node in self.tree.nodes.items() if node.is_dir and path):
            host = self.volume.path_of(path)
            if self._inside(host) and not host.is_symlink() and not host.exists():
                host.mkdir()
                self.report.written.append("/".join(path) + "/")

    def _place(self) -> None:
        origins = self.volume.origins
        fresh: dict[_Names, Origin] = {path: origins[path] for path in self.kept if path in origins}
        for path, aside in self.staged.items():
            target = self._target(path)
            if target is None:
                self.report.problems.append(("/".join(path), f"its directory is not there; kept as {aside.name}"))
                continue
            aside.replace(target)
            name = target.relative_to(self.volume.folder).as_posix()
            if path in self.moved:
                self.report.renamed.append(("/".join(self.moved[path]), name))
            else:
                self.report.written.append(name)
            origin = Origin.of(target)
            if target == self.volume.path_of(path) and origin is not None:
                fresh[path] = origin
        for path in self.before.nodes:
            # What could not be read stays known.
            if path in origins and path not in fresh and path not in self.tree.nodes:
                fresh[path] = origins[path]
        self.volume.origins = fresh

    def _target(self, path: _Names) -> Path | None:
        """Where a file may go: its own place, or beside it when the host has something else there."""
        target = self.volume.path_of(path)
        if not self._inside(target) or not target.parent.is_dir():
            return None
        expected = self.volume.origins.get(path)
        if not os.path.lexists(target) or (expected is not None and Origin.of(target) == expected):
            return target
        for number in range(1, 1000):
            other = target.with_name(f"{target.stem} (card {number}){target.suffix}")
            if not os.path.lexists(other):
                self.report.problems.append(
                    ("/".join(path), f"was changed on the host meanwhile; the card's version is {other.name!r}")
                )
                return other
        return None

    def _delete(self) -> None:
        volume = self.volume
        sources = set(self.moved.values())
        before, now = self.before.nodes, self.tree.nodes
        gone = [path for path, node in before.items() if path and (path not in now or now[path].is_dir != node.is_dir)]
        for path in sorted(gone, key=len, reverse=True):
            if any(path[:depth] in self.tree.unreadable for depth in range(len(path))):
                continue  # perhaps it is still there, where the card cannot be read
            host = volume.path_of(path)
            text = "/".join(path)
            if not self._inside(host):
                continue
            if before[path].is_dir:
                if host.is_dir() and not host.is_symlink():
                    try:
                        host.rmdir()
                        self.report.deleted.append(text + "/")
                    except OSError:
                        self.report.problems.append((text, "stays: it has files that are not on the card"))
                continue
            origin = volume.origins.pop(path, None)
            if path in sources or origin is None:
                continue
            if Origin.of(host) == origin:
                host.unlink()
                self.report.deleted.append(text)
            elif os.path.lexists(host):
                self.report.problems.append((text, "deleted on the card, but changed on the host; it stays"))

    def _inside(self, host: Path) -> bool:
        """Whether the directory of `host` really is in the folder, no link leading out."""
        with contextlib.suppress(OSError):
            return host.parent.resolve().is_relative_to(self.volume.folder.resolve())
        return False

    def _aside(self) -> Path:
        while True:
            self._count += 1
            aside = self.volume.folder / f"{SYNC_PREFIX}{self._count}"
            if not os.path.lexists(aside):
                return aside
