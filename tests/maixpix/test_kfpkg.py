"""Flash packages: what is written, what of others is read, and what is refused in a line and in little memory."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile

import pytest

from maixpix.flash import kfpkg
from maixpix.flash.kfpkg import PackageError, Part
from rig.terminal import environment


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


LIST = '{"version": "0.1.0", "files": [{"address": 0, "bin": "m.bin", "sha256Prefix": true}]}'


def zipped(members: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        {"flash-list.json": LIST, "m.bin": b"x" * 99},
        {"flash-list.json": b"\xef\xbb\xbf" + LIST.replace(", ", ",\r\n").encode(), "m.bin": b"x" * 99},
        {"my firmware/": b"", "my firmware/flash-list.json": LIST, "my firmware/m.bin": b"x" * 99},
        {"a/b/flash-list.json": LIST, "a/b/m.bin": b"x" * 99, "__MACOSX/a/b/flash-list.json": b"\0\5"},
        {"fw\\flash-list.json": LIST, "fw\\m.bin": b"x" * 99},
        {"flash-list.json": LIST, "m.bin": b"x" * 99, "old/flash-list.json": "nonsense"},
    ],
)
def test_packages_as_people_zip_them(members):
    assert kfpkg.parse(zipped(members)) == [Part(0, "m.bin", b"x" * 99, True)]


def encrypted() -> bytes:
    data = bytearray(zipped({"flash-list.json": LIST, "m.bin": b"x" * 99}, zipfile.ZIP_STORED))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rfind(mark) + offset] |= 1
    return bytes(data)


def many_files() -> str:
    entry = {"address": 0, "bin": "m.bin", "sha256Prefix": True}
    return json.dumps({"files": [entry] * 500})


BOMB = zipped(
    {
        "flash-list.json": json.dumps(
            {"files": [{"address": n << 12, "bin": f"{n}", "sha256Prefix": False} for n in range(60)]}
        ),
        **{f"{n}": bytes(kfpkg.FLASH_SIZE) for n in range(2)},
        **{f"{n}": b"" for n in range(2, 60)},
    }
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encrypted(), "m.bin is encrypted"),
        (zipped({"flash-list.json": LIST, "m.bin": b"x" * 99}, zipfile.ZIP_LZMA), "packed with LZMA"),
        (zipped({"flash-list.json": LIST, "m.bin": b"x" * 99}, zipfile.ZIP_BZIP2), "packed with bzip2"),
        (zipped({"flash-list.json": "[" * 60_000, "m.bin": b"x"}), "nested too deeply"),
        (zipped({"flash-list.json": '{"files": ' + "[" * 60_000, "m.bin": b"x"}), "nested too deeply"),
        (zipped({"flash-list.json": " " * 70_000, "m.bin": b"x"}), "larger than 64 KiB"),
        (zipped({"flash-list.json": many_files(), "m.bin": b"x"}), "names 500 files, more than 64"),
        (zipped({f"{n}": b"" for n in range(1001)}), "1,001 members"),
        (zipped({"a/flash-list.json": LIST, "b/flash-list.json": LIST}), "2 files flash-list.json"),
        (zipped({"flash-list.json": "\u00e9".encode("latin-1"), "m.bin": b"x"}), "not UTF-8"),
        (BOMB, "more than the flash"),
    ],
)
def test_packages_that_would_do_harm_are_refused_in_a_line(data, words):
    with pytest.raises(PackageError, match=re.escape(words)) as caught:
        kfpkg.parse(data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_any_damage_of_a_package_is_a_package_error():
    data = zipped({"flash-list.json": LIST, "m.bin": bytes(range(256)) * 4})
    for at in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            spoilt = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            try:
                parts = kfpkg.parse(spoilt)
            except (PackageError, zipfile.BadZipFile):
                continue
            assert [len(part.data) for part in parts] == [1024]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's account of memory")
@pytest.mark.parametrize("kind", ["bomb", "largest", "list"])
def test_packages_are_judged_in_64_megabytes(tmp_path, kind):
    path = tmp_path / "x.kfpkg"
    members = {"flash-list.json": LIST, "m.bin": bytes(kfpkg.FLASH_SIZE - 100)}
    if kind == "largest":
        path.write_bytes(zipped({**members, "m.bin": bytes(15 << 20)}, zipfile.ZIP_STORED))
    elif kind == "list":
        path.write_bytes(zipped({"flash-list.json": bytes(200 << 20)}))
    else:
        path.write_bytes(BOMB)
    code = (
        "import sys\nfrom pathlib import Path\nfrom maixpix.flash import images\n"
        "from maixpix.errors import UserError\n"
        "try: print(images.identify(Path(sys.argv[1])).title)\nexcept UserError as error: print(error.line)\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(int(status.split('VmHWM:')[1].split()[0]) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, env=environment(), check=True
    )
    *said, megabytes = done.stdout.splitlines()
    assert len(said) == 1
    assert int(megabytes) <= 64
