"""Where uploads are kept: unfinished ones in `.partial`, finished ones by date, each content once.

    uploads/2026-11-21/snap0007.jpg    a finished upload
    uploads/log.jsonl                  one line each
    uploads/.partial/ID.part, ID.json  an unfinished upload and its facts

A finished upload comes into being in this order, and every step is durable before the next: its bytes, its facts with
the final name, the final name itself (by rename), the line in the log. Only then is the sender told. `open` puts right
whatever a crash between two steps left behind.
"""

from __future__ import annotations

import datetime
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import RLock

from filelock import FileLock

from maixpix.companion.problems import Refused
from maixpix.companion.settings import UploadLimits
from maixpix.companion.sniff import HEAD_BYTES, recognise
from maixpix.companion.uploads.folder_lock import lock_folder
from maixpix.companion.uploads.index import UploadIndex
from maixpix.companion.uploads.log import Stored
from maixpix.companion.uploads.partial import Facts, Partial, facts_path, fsync_folder, part_path
from maixpix.companion.uploads.placing import Placing
from maixpix.companion.uploads.room import Room
from maixpix.names import safe_board, safe_name

_ID = re.compile(r"[0-9a-f]{32}")
_MAX_RECORDS = 10_000
_MAX_RESTING = 256

log = logging.getLogger("maixpix.companion")


class UploadStore:
    """All uploads below `root`. Methods block (call them in threads) and may be called from several threads.

    `on_change` is told, from those threads, of every change: ("added", Stored), ("deleted", Stored), or ("again",
    Stored) for content that is there already, with the name and the sender of now.
    """

    def __init__(
        self, root: Path, limits: UploadLimits, on_change: Callable[[str, Stored], None] | None = None
    ) -> None:
        self.root = root
        self.limits = limits
        self.on_change = on_change or (lambda what, stored: None)
        self._index = UploadIndex(root)
        self._partials = root / ".partial"
        self._room = Room(root, limits)
        self._placing = Placing(root, self._partials, self._index, self._room)
        self._open: dict[str, Partial] = {}
        self._resting: OrderedDict[str, Partial] = OrderedDict()
        self._unfinished: set[str] = set()
        self._lock = RLock()
        self._folder_lock: FileLock | None = None

    @property
    def used(self) -> int:
        """Bytes of finished and unfinished uploads."""
        return self._room.used

    # -- start and end ------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take the folder into use: read the log, finish or drop what a crash left. Raises `UserError` when in use."""
        self._partials.mkdir(parents=True, exist_ok=True)
        self._folder_lock = lock_folder(self._partials)
        self._index.load()
        self._unfinished = self._placing.recover()
        self._index.adopt_unlogged()
        waiting = sum(path.stat().st_size for path in self._partials.glob("*.part"))
        self._room.used = self._index.size + waiting

    def close(self) -> None:
        """Close open uploads (they can be resumed) and give the folder free."""
        with self._lock:
            for partial in self._open.values():
                partial.sync()
                partial.close()
            self._open.clear()
            if self._folder_lock is not None:
                self._folder_lock.release()
                self._folder_lock = None

    # -- unfinished uploads -------------------------------------------------------------------------------

    def create(self, facts: Facts) -> Partial:
        """Begin an upload; `facts.id` is chosen here. Raises `Refused` (400, 413, 507)."""
        length = facts.length
        if length == 0:
            raise Refused(400, "empty", "the upload is empty", "send a file with at least one byte")
        if length is not None:
            self._room.check_size(length)
        with self._lock:
            if len(self._index) + len(self._unfinished) >= self.limits.max_files:
                begun = f" and {len(self._unfinished)} begun" if self._unfinished else ""
                raise Refused(
                    507, "too-many-files", f"{len(self._index)} uploads are stored{begun}", "delete old ones first"
                )
            if len(self._unfinished) >= self.limits.max_unfinished:
                raise Refused(
                    507, "too-many-unfinished", "too many uploads are unfinished", "finish or end some of them"
                )
            self._room.check(length or 0)
            facts.id = secrets.token_hex(16)
            self._unfinished.add(facts.id)
        facts.created = time.time()
        facts.board = safe_board(facts.board)
        partial = Partial(facts, self._part_path(facts.id))
        try:
            partial.open()
            # Raw TCP cannot be resumed, so nothing needs to be remembered of it.
            if length is not None:
                facts.save(self._facts_path(facts.id))
                fsync_folder(self._partials)
        except OSError:
            partial.close()
            self.drop(partial)
            raise
        with self._lock:
            self._open[facts.id] = partial
        return partial

    def resume(self, upload_id: str) -> Partial:
        """The upload of that id, open and with its durable offset; finished ones have `facts.is_done`.

        When all bytes are here but `finish` never ran (a crash in between), the caller runs it before answering.
        Raises `Refused` (404) for unknown and expired ids.
        """
        with self._lock:
            if (partial := self._open.get(upload_id)) is not None and partial.is_open:
                return partial
        if not _ID.fullmatch(upload_id):
            raise _unknown()
        facts = Facts.load(self._facts_path(upload_id))
        if facts is None or facts.id != upload_id or self._is_expired(upload_id):
            raise _unknown()
        with self._lock:
            partial = self._resting.pop(upload_id, None) or Partial(facts, self._part_path(upload_id))
        partial.facts = facts
        if facts.is_done:
            self._finish_late(partial)
            partial.offset = facts.length or 0
            return partial
        if not partial.path.exists():
            raise _unknown()
        partial.open()
        with self._lock:
            return self._open.setdefault(upload_id, partial)

    def write(self, partial: Partial, piece: bytes | memoryview) -> None:
        """Append to an upload within all limits. Raises `Refused` (413, 507)."""
        self._room.check_size(partial.offset + len(piece))
        self._room.take(len(piece))
        try:
            partial.write(piece)
        except OSError as error:
            self._room.give_back(len(piece))
            raise Refused(
                507, "disk", f"the disk did not take the upload: {error.strerror}", "make room on it"
            ) from error

    def cut(self, partial: Partial, offset: int) -> None:
        """Forget the bytes of an upload after `offset`."""
        self._room.give_back(partial.offset - offset)
        partial.cut(offset)

    def rest(self, partial: Partial) -> None:
        """Nobody writes at present: bytes become durable, the file is closed until `resume`."""
        partial.sync()
        partial.close()
        with self._lock:
            self._open.pop(partial.facts.id, None)
            # Kept for its hash state, or small pieces would have the whole file hashed again for each.
            self._resting[partial.facts.id] = partial
            while len(self._resting) > _MAX_RESTING:
                self._resting.popitem(last=False)

    def drop(self, partial: Partial) -> None:
        """Forget an upload and its bytes; what was stored of a finished one stays."""
        partial.close()
        with self._lock:
            self._open.pop(partial.facts.id, None)
            self._resting.pop(partial.facts.id, None)
            self._unfinished.discard(partial.facts.id)
            self._placing.abandon(partial.facts, partial.offset)

    def finish(self, partial: Partial) -> Facts:
        """All bytes are here: store the upload for good and return its facts with `file` and `sha256`.

        Whether they are a picture, and a whole one, is not judged: the sender believes them safe from now on. Raises
        `Refused` (460) when the announced digest differs; the bytes are dropped.
        """
        facts = partial.facts
        partial.sync()
        digest = partial.sha256
        if facts.expected is not None and facts.expected != digest:
            self.drop(partial)
            raise Refused(460, "digest-mismatch", "the upload has another SHA-256 than announced", "send it again")
        kind = recognise(partial.head(HEAD_BYTES))
        partial.close()
        fallback = datetime.datetime.now().strftime("%H%M%S") + "-" + digest[:8]
        name = safe_name(facts.name, fallback, kind)
        with self._lock:
            try:
                stored = self._placing.place(facts, digest, partial.offset, name)
            finally:
                self._open.pop(facts.id, None)
            self._unfinished.discard(facts.id)
        self.on_change("again" if facts.duplicate else "added", stored)
        return facts

    def expire(self) -> int:
        """Drop unfinished uploads, and records of finished ones, that nobody touched for too long; how many.

        One that the disk does not let go stays until the next time, and keeps none of the others.
        """
        dropped = 0
        records = sorted(self._partials.glob("*.json"), key=_modified, reverse=True)
        for number, path in enumerate(records):
            with self._lock:
                try:
                    dropped += self._expire_one(path.stem, number >= _MAX_RECORDS)
                except OSError as error:
                    log.warning("an old unfinished upload could not be dropped: %s", error.strerror or error)
        return dropped

    def _expire_one(self, upload_id: str, is_surplus: bool) -> bool:
        if upload_id in self._open:
            return False
        if not self._is_expired(upload_id) and (not is_surplus or upload_id in self._unfinished):
            return False
        part = self._part_path(upload_id)
        size = part.stat().st_size if part.exists() else 0
        part.unlink(missing_ok=True)
        self._room.give_back(size)
        self._facts_path(upload_id).unlink(missing_ok=True)
        self._unfinished.discard(upload_id)
        self._resting.pop(upload_id, None)
        return True

    def expires(self, upload_id: str) -> float:
        """Seconds since 1970 at which an upload can no longer be resumed."""
        latest = max(_modified(self._facts_path(upload_id)), _modified(self._part_path(upload_id)))
        return latest + self.limits.expire_s

    # -- finished uploads ---------------------------------------------------------------------------------

    def list(self) -> list[Stored]:
        """All stored uploads, the latest first."""
        with self._lock:
            return self._index.list()

    def find(self, file: str) -> tuple[Stored, Path]:
        """A stored upload by its path below the uploads folder, and where it is. Raises `Refused` (404)."""
        with self._lock:
            stored = self._index.find(file)
        if stored is None:
            raise Refused(404, "not-found", "there is no such upload", "see /gallery for the list")
        return stored, self.root / stored.file

    def is_there(self, stored: Stored) -> bool:
        """Whether the file is still in its place: people may move and remove files by hand."""
        return self._index.is_there(stored)

    def latest_again(self, file: str) -> Stored | None:
        """How the content of `file` came the last time, when it came more than once."""
        with self._lock:
            return self._index.again.get(file)

    def deleted(self) -> list[Stored]:
        """The uploads that were deleted last, the latest first."""
        with self._lock:
            return list(reversed(self._index.deleted))

    def delete(self, file: str) -> Stored:
        """Remove a stored upload. Raises `Refused` (404)."""
        with self._lock:
            stored, path = self.find(file)
            path.unlink()
            self._index.remove(stored)
            self._room.give_back(stored.size)
        self.on_change("deleted", stored)
        return stored

    # -- inner parts --------------------------------------------------------------------------------------

    def _finish_late(self, partial: Partial) -> None:
        """An error stopped `finish` halfway; the bytes are proven, so the rest of it can be done now."""
        with self._lock:
            if not partial.path.exists():
                return
            stored = self._placing.settle(partial.facts)
            self._unfinished.discard(partial.facts.id)
        self.on_change("again" if partial.facts.duplicate else "added", stored)

    def _is_expired(self, upload_id: str) -> bool:
        return self.expires(upload_id) < time.time()

    def _part_path(self, upload_id: str) -> Path:
        return part_path(self._partials, upload_id)

    def _facts_path(self, upload_id: str) -> Path:
        return facts_path(self._partials, upload_id)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _unknown() -> Refused:
    return Refused(
        404, "unknown-upload", "there is no unfinished upload of that address", "begin it again with POST /files/"
    )
