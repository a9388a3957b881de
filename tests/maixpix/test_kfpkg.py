from __future__ import annotations

import io
import json
import re
import zipfile

import pytest

from maixpix.flash import kfpkg
from maixpix.flash.kfpkg import PackageError, Part


def package(text: str, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("flash-list.json", text)
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def test_what_is_written_survives_the_rewriting_that_kflash_does():
    parts = [Part(0, "a.bin", b"one" * 100, True), Part(0x300000, "b.kmodel", b"two")]
    data = kfpkg.build(parts)
    text = zipfile.ZipFile(io.BytesIO(data)).read("flash-list.json").decode()
    # kflash 1.1.6 quotes whatever stands between the key and the last comma of the line, then parses.
    rewritten = json.loads(re.sub(r'"address": (.*),', r'"address": "\1",', text))
    assert [int(entry["address"], 0) for entry in rewritten["files"]] == [0, 0x300000]
    assert json.loads(text)["files"][0] == {"address": 0, "bin": "a.bin", "sha256Prefix": True}
    assert kfpkg.parse(data) == parts
    assert kfpkg.build(parts) == data


def test_foreign_shapes_are_read():
    text = '{"version": "0.1.0", "files": [{"address": 0x300000, "bin": "m", "sha256Prefix": false}]}'
    assert kfpkg.parse(package(text, m=b"x"))[0].address == 0x300000
    text = '{"files":[{"address":"0x1000","bin":"m","sha256Prefix":false}]}'
    assert kfpkg.parse(package(text, m=b"x"))[0].address == 0x1000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "is not JSON"),
        ("[]", "names no files"),
        ('{"files": []}', "names no files"),
        ('{"files": [{"address": 0, "bin": "none", "sha256Prefix": true}]}', "listed but not inside"),
        ('{"files": [{"address": true, "bin": "m", "sha256Prefix": true}]}', "no number"),
        ('{"files": [{"address": 0, "bin": "m"}]}', 'lacks "bin" or "sha256Prefix"'),
        ('{"files": [{"address": 16777216, "bin": "m", "sha256Prefix": false}]}', "behind the 16 MiB flash"),
    ],
)
def test_bad_packages_are_refused(text, words):
    with pytest.raises(PackageError, match=re.escape(words)):
        kfpkg.parse(package(text, m=b"x"))


def test_overlaps_count_the_header_of_programs():
    kfpkg.check_layout([Part(0, "a", bytes(4096)), Part(4096, "b", b"x")])
    with pytest.raises(PackageError, match="a reaches 0x1025, over b at 0x1000"):
        kfpkg.check_layout([Part(0, "a", bytes(4096), True), Part(4096, "b", b"x")])
    with pytest.raises(PackageError, match="no multiple"):
        kfpkg.build([Part(5, "a", b"x")])
    with pytest.raises(PackageError, match="two parts are named a"):
        kfpkg.build([Part(0, "a", b"x"), Part(4096, "a", b"x")])
