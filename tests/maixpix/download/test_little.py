"""Small files: many at a time, each for itself; and bodies that are packed."""

import gzip
import hashlib
import random
import zlib

import pytest

from maixpix.download import partfile
from maixpix.download.folder import Folder, Place
from maixpix.download.little import Little, keep_all
from maixpix.download.trouble import DownloadError, Lie, WrongDigest
from maixpix.download.unpacking import MAX_INFLATED, Unpacker
from maixpix.download.version import Version


def little(folder, name, body, **digests):
    place = Place.of(folder.path / name)
    wanted = {kind.replace("_", "-"): value for kind, value in digests.items()}
    return Little(f"http://a/{name}", place, folder, body, Version(), wanted, may_replace=False)


@pytest.mark.parametrize("is_one_call_good", [True, False])
def test_one_that_fails_spoils_no_other(tmp_path, monkeypatch, is_one_call_good):
    monkeypatch.setattr(partfile, "_one_call_is_good", lambda: is_one_call_good)
    (tmp_path / "there").write_bytes(b"mine")
    (tmp_path / "f3.part").write_bytes(b"longer than what comes now, from an earlier run")
    folder = Folder(tmp_path)
    files = [little(folder, f"f{number}", b"%d" % number) for number in range(20)]
    files.insert(5, little(folder, "wrong", b"x", sha_256=hashlib.sha256(b"y").digest()))
    files.insert(7, little(folder, "there", b"theirs"))
    keep_all(files)
    failed = {one.place.final.name: type(one.failure) for one in files if one.failure is not None}
    assert failed == {"wrong": WrongDigest, "there": DownloadError}
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*[0-9e]")} == {
        "there": b"mine",
        **{f"f{number}": b"%d" % number for number in range(20)},
    }
    assert not list(tmp_path.glob("*.part"))
    known = Folder(tmp_path).record
    assert all(known.by_name(f"f{number}").is_true_of(tmp_path / f"f{number}") for number in range(20))
    assert known.by_name("wrong") is None


CONTENT = random.Random(1).randbytes(5000)


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_members_and_zeros_behind_them_are_one_content(step):
    packed = gzip.compress(CONTENT[:1000]) + gzip.compress(CONTENT[1000:]) + bytes(512)
    unpacker = Unpacker("gzip")
    pieces = [plain for at in range(0, len(packed), step) for plain in unpacker.feed(packed[at : at + step])]
    assert b"".join(pieces) == CONTENT and unpacker.is_complete


@pytest.mark.parametrize("behind", [b"more", gzip.compress(CONTENT)[:-8] + b"\xff" * 8], ids=["rubbish", "wrong sum"])
def test_other_bytes_behind_a_packed_body_are_no_content(behind):
    unpacker = Unpacker("gzip")
    with pytest.raises(Lie, match="packs as gzip"):
        list(unpacker.feed(gzip.compress(CONTENT) + behind))


def test_much_comes_of_little_in_small_pieces_and_whole():
    unpacker = Unpacker("deflate")
    sizes = [len(plain) for plain in unpacker.feed(zlib.compress(bytes(10_000_000)))]
    assert sum(sizes) == 10_000_000 and max(sizes) <= MAX_INFLATED and unpacker.is_complete
