"""The store of uploads: names, limits, and what is left after a crash at every single step."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maixpix.companion.problems import Refused
from maixpix.companion.settings import UploadLimits
from maixpix.companion.sniff import recognise
from maixpix.companion.uploads.partial import Facts
from maixpix.companion.uploads.storage import UploadStore
from maixpix.names import MAX_NAME_BYTES, numbered, safe_board, safe_name

JPEG = recognise(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("wanted", "stored"),
    [
        ("snap0007.jpg", "snap0007.jpg"),
        ("SNAP.JPEG", "SNAP.JPEG"),
        ("/sd/outbox/a.jpg", "a.jpg"),
        ("C:\\pictures\\b.jpg", "b.jpg"),
        ("../../etc/passwd", "passwd.jpg"),
        ("..", "fallback.jpg"),
        ("", "fallback.jpg"),
        (".profile", "profile.jpg"),
        ("con.jpg", "_con.jpg"),
        ("NUL", "_NUL.jpg"),
        ("com1.tar.jpg", "_com1.tar.jpg"),
        ("aux .jpg", "_aux.jpg"),
        ("evil.html", "evil.html.jpg"),
        ("a\x00b\x1b[31m.jpg", "ab[31m.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe.jpg"),
        ("u\u0308ber.jpg", "\u00fcber.jpg"),
        ('a<b>:"|?*.jpg', "a_b______.jpg"),
        ("dots...", "dots.jpg"),
        ("  two  spaces .jpg", "two spaces.jpg"),
    ],
)
def test_names(wanted, stored):
    assert safe_name(wanted, "fallback", JPEG) == stored


@given(st.text(max_size=300))
@example("x" * 300 + ".jpg")
@example("é" * 200 + ".jpeg")
@example("a." * 100)
@example("\ud800.jpg")
def test_every_name_is_one_plain_component(wanted):
    for kind in (JPEG, None):
        name = safe_name(wanted, "fallback", kind)
        assert name == unicodedata.normalize("NFC", name)
        assert 1 <= len(name.encode()) <= MAX_NAME_BYTES + 10
        assert not set(name) & set('/\\:*?"<>|\0')
        assert name.isprintable()
        assert name[0] not in " ."
        assert name[-1] not in " ."
        assert Path(name).name == name
        if kind is JPEG:
            assert Path(name).suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif")
        assert safe_name(name, "fallback", kind) == name


def test_numbers_and_boards():
    assert [numbered("a.b.jpg", number) for number in range(3)] == ["a.b.jpg", "a.b-2.jpg", "a.b-3.jpg"]
    assert safe_board("  kitchen\n\x1b[0m " + "x" * 100) == "kitchen [0m " + "x" * 52


# -- crashes ----------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The power goes out here."""


class Disk:
    """Counts the steps that change the disk and stops the program at one of them.

    What was written to a file and not yet made durable by fsync is cut off, as after a power loss.
    """

    STEPS = ("replace", "unlink", "open", "mkdir")

    def __init__(self, monkeypatch, root: Path, crash_at: int, after: bool) -> None:
        self.count = 0
        self.crashed = False
        self.root = root
        self.crash_at = crash_at
        self.after = after
        self.durable: dict[int, int] = {}
        for name in self.STEPS:
            monkeypatch.setattr(Path, name, self._wrap(getattr(Path, name)))
        fsync = os.fsync

        def remember(handle: int) -> None:
            fsync(handle)
            status = os.fstat(handle)
            self.durable[status.st_ino] = status.st_size

        monkeypatch.setattr(os, "fsync", self._wrap(remember))

    def _wrap(self, function):
        def step(*arguments, **named):
            self.count += 1
            if self.crashed:
                raise Crash
            if self.count == self.crash_at and not self.after:
                self.crashed = True
                raise Crash
            result = function(*arguments, **named)
            if self.count == self.crash_at:
                self.crashed = True
                raise Crash
            return result

        return step

    def lose_power(self) -> None:
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118  Path itself is what crashes
                status = os.stat(path)  # noqa: PTH116
                os.truncate(path, min(status.st_size, self.durable.get(status.st_ino, 0)))


PIECES = [b"\xff\xd8\xff" + b"first" * 200, b"second" * 300, b"third\xff\xd9"]
BODY = b"".join(PIECES)


def upload(store: UploadStore, progress: dict) -> None:
    """One upload in three pieces, noting what its sender was told."""
    partial = store.create(Facts(id="", name="snap.jpg", length=len(BODY), board="kitchen", sender="10.0.0.2"))
    store.rest(partial)
    progress["id"] = partial.facts.id
    for piece in PIECES:
        partial = store.resume(progress["id"])
        store.write(partial, piece)
        if partial.offset == len(BODY):
            facts = store.finish(partial)
            progress["done"] = facts.sha256
        else:
            store.rest(partial)
        progress["offset"] = partial.offset


def send_again(store: UploadStore, progress: dict) -> None:
    """What a sender does that heard nothing: ask, go on where the store is, or begin anew."""
    partial = None
    if "id" in progress:
        try:
            partial = store.resume(progress["id"])
        except Refused as refused:
            assert "done" not in progress, refused.line
    if partial is None:
        partial = store.create(Facts(id="", name="snap.jpg", length=len(BODY)))
    if partial.facts.is_done:
        return
    assert partial.offset >= progress.get("offset", 0), "bytes that were acknowledged are gone"
    store.write(partial, BODY[partial.offset :])
    store.finish(partial)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("power_loss", [False, True])
def test_a_crash_at_every_step_loses_and_doubles_nothing(tmp_path, after, power_loss):
    crash_at = 0
    while True:
        crash_at += 1
        root = tmp_path / str(crash_at)
        store = UploadStore(root, UploadLimits())
        store.open()
        progress: dict = {}
        with pytest.MonkeyPatch.context() as monkeypatch:
            disk = Disk(monkeypatch, root, crash_at, after)
            try:
                upload(store, progress)
            except Crash:
                pass
            if power_loss:
                disk.lose_power()
        if not disk.crashed:
            break
        store._folder_lock.release()
        again = UploadStore(root, UploadLimits())
        again.open()
        for stored in again.list():
            assert (root / stored.file).read_bytes() == BODY
        if "done" in progress:
            assert len(again.list()) == 1
        send_again(again, progress)
        assert [path.read_bytes() for path in root.glob("2*/*")] == [BODY], crash_at
        (stored,) = again.list()
        assert stored.sha256 == hashlib.sha256(BODY).hexdigest()
        assert again.used == len(BODY)
        again.close()
        lines = [json.loads(line) for line in (root / "log.jsonl").read_text().splitlines() if line.startswith("{")]
        assert [line["file"] for line in lines if not line.get("duplicate")] == [stored.file]
    assert crash_at > 20, "the steps were not counted"


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_during_recovery_is_recovered_too(tmp_path, after, monkeypatch):
    """Stopped between facts and final name, then stopped again at every step of putting that right."""
    crash_at = 0
    while True:
        crash_at += 1
        root = tmp_path / str(crash_at)
        store = UploadStore(root, UploadLimits())
        store.open()
        partial = store.create(Facts(id="", name="snap.jpg", length=len(BODY)))
        store.write(partial, BODY)
        monkeypatch.setattr(store._placing, "_settle", lambda *arguments: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            store.finish(partial)
        store._folder_lock.release()
        second = UploadStore(root, UploadLimits())
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, root, crash_at, after)
            try:
                second.open()
            except Crash:
                pass
        if second._folder_lock is not None:
            second._folder_lock.release()
        if not disk.crashed:
            break
        third = UploadStore(root, UploadLimits())
        third.open()
        assert third.resume(partial.facts.id).facts.is_done
        assert [path.read_bytes() for path in root.glob("2*/*")] == [BODY]
        assert len(third.list()) == 1
        third.close()
    assert crash_at > 5


def test_an_error_while_finishing_can_be_tried_again(tmp_path, monkeypatch):
    store = UploadStore(tmp_path / "u", UploadLimits())
    store.open()
    partial = store.create(Facts(id="", name="snap.jpg", length=len(BODY)))
    store.write(partial, BODY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Facts, "save", lambda self, path: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            store.finish(partial)
    assert list((tmp_path / "u").glob("2*/*")) == []
    again = store.resume(partial.facts.id)
    assert (again.offset, again.facts.is_done) == (len(BODY), False)
    assert store.finish(again).sha256 == hashlib.sha256(BODY).hexdigest()
    assert len(store.list()) == 1
    store.close()


def test_the_log_may_be_torn_and_files_may_come_and_go(tmp_path):
    root = tmp_path / "u"
    store = UploadStore(root, UploadLimits())
    store.open()
    for number in range(3):
        partial = store.create(Facts(id="", name=f"{number}.bin", length=5))
        store.write(partial, b"file%d" % number)
        store.finish(partial)
    store.delete(store.list()[0].file)
    store.close()
    day = next(root.glob("2*"))
    (day / "0.bin").unlink()
    (day / "by-hand.jpg").write_bytes(b"\xff\xd8\xff\xd9")
    (day / "outside.jpg").symlink_to("/etc/hostname")
    with (root / "log.jsonl").open("ab") as file:
        file.write(
            b'not json\n[1]\n{"file": "../../x", "name": "x", "size": 1, "sha256": "", "when": ""}\n{"file": "torn'
        )
    again = UploadStore(root, UploadLimits())
    again.open()
    assert {stored.file.split("/")[1] for stored in again.list()} == {"1.bin", "by-hand.jpg"}
    with pytest.raises(Refused):
        again.find("../../x")
    assert again.used == 5 + 4
    lines = (root / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["name"] == "by-hand.jpg"
    again.close()


def test_deleted_content_can_come_again(tmp_path):
    store = UploadStore(tmp_path / "u", UploadLimits())
    store.open()

    def put() -> Facts:
        partial = store.create(Facts(id="", name="a.bin", length=3))
        store.write(partial, b"abc")
        return store.finish(partial)

    first = put()
    assert put().duplicate
    store.delete(first.file)
    assert store.used == 0
    assert not put().duplicate
    assert len(store.list()) == 1
    store.close()


def test_nothing_is_held_in_memory_of_a_big_upload(tmp_path):
    store = UploadStore(tmp_path / "u", UploadLimits())
    store.open()
    piece = bytes(64 * 1024)
    partial = store.create(Facts(id="", name="big.bin", length=len(piece) * 400))
    tracemalloc.start()
    for _ in range(400):
        store.write(partial, piece)
    store.finish(partial)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    store.close()


def test_an_error_while_settling_can_be_dropped_or_made_good(tmp_path, monkeypatch):
    """The facts name the final place already, the file has not moved there yet."""
    told: list[str] = []
    store = UploadStore(tmp_path / "u", UploadLimits(), lambda what, stored: told.append(f"{what} {stored.name}"))
    store.open()

    def fail(self: Path, target: Path) -> Path:
        if target.suffix == ".jpg":
            raise OSError(5, "Input/output error")
        return replace(self, target)

    replace = Path.replace
    begun = []
    for name in ("kept.jpg", "dropped.jpg"):
        partial = store.create(Facts(id="", name=name, length=len(BODY)))
        store.write(partial, BODY)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", fail)
            with pytest.raises(OSError, match="Input/output"):
                store.finish(partial)
        begun.append(partial)
        if name == "dropped.jpg":
            store.drop(partial)
        else:
            assert store.resume(partial.facts.id).facts.is_done
            store.delete(store.list()[0].file)
    assert told == ["added kept.jpg", "deleted kept.jpg"]
    assert list((tmp_path / "u").glob("2*/*")) == []
    assert (store.used, store._unfinished) == (0, set())
    store.close()


def begun(store: UploadStore, number: int) -> str:
    partial = store.create(Facts(id="", name=f"{number}.bin", length=10))
    store.write(partial, b"12345")
    store.rest(partial)
    return partial.facts.id


def test_one_upload_that_the_disk_does_not_let_go_keeps_none_of_the_others(tmp_path, monkeypatch):
    store = UploadStore(tmp_path / "u", UploadLimits(expire_s=-1))
    store.open()
    stuck, *others = (begun(store, number) for number in range(4))
    unlink = Path.unlink

    def fail(self: Path, missing_ok: bool = False) -> None:
        if self.name == f"{stuck}.part":
            raise PermissionError(13, "Permission denied")
        unlink(self, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        assert store.expire() == len(others)
    assert [path.stem for path in (tmp_path / "u" / ".partial").glob("*.part")] == [stuck]
    assert store.used == 5
    assert store.expire() == 1
    assert store.used == 0
    store.close()


@pytest.mark.parametrize("door", ["tus", "tcp"])
def test_sender_and_board_survive_a_kill_before_the_log(tmp_path, door, monkeypatch):
    store = UploadStore(tmp_path / "u", UploadLimits())
    store.open()
    length = len(BODY) if door == "tus" else None
    facts = Facts(id="", name="snap.jpg", length=length, board="kitchen", sender="10.0.0.2", door=door)
    partial = store.create(facts)
    store.write(partial, BODY)
    monkeypatch.setattr(store._index, "add", lambda stored: (_ for _ in ()).throw(Crash))
    with pytest.raises(Crash):
        store.finish(partial)
    store._folder_lock.release()
    again = UploadStore(tmp_path / "u", UploadLimits())
    again.open()
    (stored,) = again.list()
    assert (stored.board, stored.sender, stored.door) == ("kitchen", "10.0.0.2", door)
    again.close()
    third = UploadStore(tmp_path / "u", UploadLimits())
    third.open()
    assert third.list() == [stored]
    third.close()


def test_an_upload_finds_the_room_of_one_that_was_just_deleted(tmp_path, monkeypatch):
    """On a disk that is full to its reserve; its free space is not looked at for every piece."""
    from types import SimpleNamespace

    store = UploadStore(tmp_path / "u", UploadLimits(reserve_bytes=1000))
    store.open()
    usage = lambda folder: SimpleNamespace(free=1010 - sum(p.stat().st_size for p in folder.glob("2*/*")))  # noqa: E731
    monkeypatch.setattr("maixpix.companion.uploads.room.shutil.disk_usage", usage)

    def put(body: bytes) -> str:
        partial = store.create(Facts(id="", name="a.bin", length=len(body)))
        store.write(partial, body)
        return store.finish(partial).file

    first = put(b"0123456789")
    with pytest.raises(Refused, match="nearly full"):
        put(b"another 10")
    store.delete(first)
    put(b"another 10")
    store.close()
