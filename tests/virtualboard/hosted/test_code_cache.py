"""Compiled device code on the host's disk: never wrong, whole or absent, and no more of it than there should be."""

import subprocess
import sys

import pytest

from virtualboard import cache
from virtualboard.cache import FOLDER_VARIABLE, cache_folder
from virtualboard.hosted import code_cache
from virtualboard.hosted.code_cache import compiled

SOURCE = "# " + "x" * 600 + "\nvalue = 6 * 7\n\n\ndef double(n):\n    return 2 * n\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def counted(monkeypatch):
    """Sources that were really compiled."""
    done = []
    real = code_cache.compile_device

    def compile_device(source, *args):
        done.append(source)
        return real(source, *args)

    monkeypatch.setattr(code_cache, "compile_device", compile_device)
    return done


def outcome(code):
    names = {"__step__": lambda ns: None}
    exec(code, names)
    return names["value"], names["double"](4)


def test_the_second_time_it_is_read(folder, counted):
    codes = [compiled(SOURCE, "a.py", "exec", 60) for _ in range(3)]
    assert [outcome(code) for code in codes] == [(42, 8)] * 3
    assert len(counted) == 1 and len(list(folder.iterdir())) == 1
    assert codes[2].co_filename == "a.py"
    assert compiled(SOURCE.encode(), "a.py", "exec", 60) == codes[0]
    assert len(counted) == 1


@pytest.mark.parametrize(
    "other",
    [(SOURCE + "\n", "a.py", "exec", 60), (SOURCE, "b.py", "exec", 60), (SOURCE, "a.py", "exec", 61)],
)
def test_whatever_differs_is_another_entry(folder, counted, other):
    compiled(SOURCE, "a.py", "exec", 60)
    assert outcome(compiled(*other)) == (42, 8)
    assert len(counted) == 2


def test_other_transforming_code_is_another_entry(folder, counted, monkeypatch):
    compiled(SOURCE, "a.py", "exec", 60)
    monkeypatch.setattr(code_cache, "_transformer", lambda: b"changed")
    compiled(SOURCE, "a.py", "exec", 60)
    assert len(counted) == 2


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:40] + b"\xff" + b[41:]])
def test_a_damaged_entry_counts_as_none_and_is_replaced(folder, counted, damage):
    compiled(SOURCE, "a.py", "exec", 60)
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert outcome(compiled(SOURCE, "a.py", "exec", 60)) == (42, 8)
    assert entry.read_bytes() == whole and len(counted) == 2


def test_what_does_not_compile_is_no_entry(folder):
    with pytest.raises(SyntaxError, match="f-strings do not exist"):
        compiled(SOURCE + "f'{value}'\n", "a.py", "exec", 60)
    assert list(folder.iterdir()) == []


def test_the_cache_can_be_off_absent_or_full(tmp_path, monkeypatch, counted):
    (tmp_path / "file").write_text("")
    for place in ("", str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        monkeypatch.setenv(FOLDER_VARIABLE, place)
        assert cache_folder() is None
        assert outcome(compiled(SOURCE, "a.py", "exec", 60)) == (42, 8)
    assert len(counted) == 3
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "full"))

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.tempfile, "mkstemp", full)
    assert outcome(compiled(SOURCE, "a.py", "exec", 60)) == (42, 8)


def test_each_kind_has_a_folder_of_its_own(folder, tmp_path, monkeypatch):
    assert cache_folder("flash") == tmp_path / "cache-flash" and cache_folder() == folder
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache.sys, "platform", "linux")
    assert cache_folder("test") == tmp_path / "home" / "maixpix" / "test"


def test_the_older_half_goes_when_there_are_too_many(folder, monkeypatch):
    monkeypatch.setattr(cache, "MOST_ENTRIES", 10)
    for n in range(11):
        compiled(f"{SOURCE}\nn = {n}\n", "a.py", "exec", 60)
    assert len(list(folder.iterdir())) == 6


def test_many_processes_share_the_folder(folder):
    code = (
        "from virtualboard.hosted.code_cache import compiled\n"
        f"for n in range(40): assert compiled({SOURCE!r} + 'n = %d' % n, 'a.py', 'exec', 60).co_names\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [child.wait(300) for child in children] == [0] * 4
    assert len(list(folder.iterdir())) == 40
