"""The card's file face: FatFs semantics as MicroPython v1.11 shows them, limits, times, failures, power loss."""

from __future__ import annotations

import os
import random

import pytest

from rig.fat_image import fsck, tree_of
from virtualboard.card.card import SdCard, Timing
from virtualboard.clock import MS, Clock


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "card"
    (folder / "pix").mkdir(parents=True)
    (folder / "main.py").write_bytes(b"import pix\nprint(1)\n")
    (folder / "pix" / "__init__.py").write_bytes(b"")
    return folder


@pytest.fixture
def card(folder):
    return SdCard(Clock(), folder, capacity=64 << 20)


@pytest.fixture
def files(card):
    return card.files


class errno:
    """`with errno(2): ...` wants an OSError with that one argument."""

    def __init__(self, number):
        self.number = number

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        assert kind is OSError, f"OSError({self.number}) expected, got {value!r}"
        assert value.args == (self.number,)
        return True


# -- directories and names ------------------------------------------------------------------------------------


def test_listing_and_stat(files, folder):
    assert list(files.ilistdir("/")) == [("main.py", 0x8000, 0, 20), ("pix", 0x4000, 0, 0)]
    assert files.listdir("pix/") == ["__init__.py"]
    os.utime(folder / "main.py", (946_684_801, 946_684_807))
    assert files.stat("/main.py") == (0x8000, 0, 0, 0, 0, 0, 20, 6, 6, 6)
    assert files.stat("/pix")[0] == 0x4000
    assert files.stat("/") == (0x4000, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    with errno(2):
        files.stat("/nothing")
    with errno(2):
        files.listdir("/main.py")
    with errno(2):
        files.listdir("/nothing")


def test_paths_as_fatfs_reads_them(files):
    for path in ("MAIN.PY", "//main.py", "\\main.py", "./main.py", "pix/../main.py", "../../main.py", "main.py. ."):
        assert files.stat(path)[6] == 20, path
    with errno(2):
        files.stat("main.py/x")
    for bad in ("a:b", "a*b", 'a"b', "a?b", "a<b", "a|b", "...", "x" * 256):
        with errno(22):
            files.open(bad, "w")


def test_short_names_open_long_files(files, folder):
    (folder / "A long picture name.jpeg").write_bytes(b"jpeg")
    assert files.read_bytes("ALONGP~1.JPE") == b"jpeg"


def test_new_entries_come_last_as_in_a_fat_directory(files):
    for name in ("zebra", "apple", "middle"):
        files.open(name, "w").close()
    assert files.listdir() == ["main.py", "pix", "zebra", "apple", "middle"]
    files.rename("zebra", "aaa")
    assert files.listdir() == ["main.py", "pix", "apple", "middle", "aaa"]


def test_a_new_name_takes_the_first_gap_that_is_large_enough(files):
    for name in ("one.txt", "Two.txt", "three.txt"):  # 1, 2 and 1 slots: FatFs keeps plain small letters in 8.3
        files.open(name, "w").close()
    files.remove("one.txt")
    files.open("A long name.jpeg", "w").close()  # 3 slots: behind
    assert files.listdir() == ["main.py", "pix", "Two.txt", "three.txt", "A long name.jpeg"]
    files.open("four.txt", "w").close()
    assert files.listdir() == ["main.py", "pix", "four.txt", "Two.txt", "three.txt", "A long name.jpeg"]
    files.rename("Two.txt", "two.txt")
    files.open("B.b.b", "w").close()  # 2 slots: where Two.txt was
    assert files.listdir() == ["main.py", "pix", "four.txt", "B.b.b", "three.txt", "A long name.jpeg", "two.txt"]


def test_directories_grow_by_clusters_and_do_not_shrink(card, files):
    """Slots of 32 bytes: label 1, main.py 2, pix 2 (with their long names); 16 in a cluster of 512 bytes."""
    free = files.statvfs("/")[3]
    for i in range(11):
        files.open(f"f{i}", "w").close()
    assert files.statvfs("/")[3] == free
    card.fill(leave_free=0)
    with errno(13):
        files.open("one_more", "w")
    with errno(13):
        files.rename("f1", "one_more")
    files.remove("f2")
    files.open("one_more", "w").close()
    card.fill(leave_free=512)
    files.open("another", "w").close()
    assert files.statvfs("/")[3] == 0
    files.remove("another")
    assert files.statvfs("/")[3] == 0


def test_mkdir_and_rmdir(files, folder):
    files.mkdir("/new")
    assert (folder / "new").is_dir()
    with errno(17):
        files.mkdir("/NEW")
    with errno(17):
        files.mkdir("/")
    with errno(2):
        files.mkdir("/no/where")
    with errno(13):
        files.rmdir("/pix")
    with errno(20):
        files.rmdir("/main.py")
    with errno(2):
        files.rmdir("/nothing")
    files.rmdir("/new")
    assert not (folder / "new").exists()


def test_remove(files, folder):
    with errno(21):
        files.remove("/pix")
    with errno(2):
        files.remove("/nothing")
    with errno(22):
        files.remove("/")
    files.remove("/MAIN.py")
    assert not (folder / "main.py").exists()


def test_rename(files, folder):
    (folder / "other.txt").write_bytes(b"other")
    files.rename("/main.py", "/other.txt")
    assert tree_of(folder) == {"other.txt": b"import pix\nprint(1)\n", "pix": None, "pix/__init__.py": b""}
    files.rename("/other.txt", "/OTHER.TXT")
    assert "OTHER.TXT" in files.listdir()
    files.rename("/OTHER.TXT", "/pix/moved.txt")
    with errno(2):
        files.rename("/nothing", "/x")
    with errno(21):
        files.rename("/pix/moved.txt", "/pix")
    with errno(22):
        files.rename("/pix", "/pix/inside")
    with errno(2):
        files.rename("/pix/moved.txt", "/no/where")


def test_nothing_outside_is_reachable(card, folder, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path)
    files = card.files
    assert files.listdir() == ["main.py", "pix"]
    for path in ("/link", "/up/secret.txt", "/../secret.txt", "pix/../../secret.txt", str(tmp_path / "secret.txt")):
        with errno(2):
            files.open(path)
    assert files.hidden() == [("link", "is a symbolic link"), ("up", "is a symbolic link")]
    with errno(13):
        files.open("/link", "w")
    with errno(13):
        files.mkdir("/up")
    with errno(13):
        files.rename("/main.py", "/link")
    assert (tmp_path / "secret.txt").read_text() == "secret"


# -- open files -----------------------------------------------------------------------------------------------


def test_modes(files, folder):
    with files.open("/main.py") as f:
        assert f.read() == b"import pix\nprint(1)\n"
        with errno(13):
            f.write(b"x")
    with errno(2):
        files.open("/nothing", "r")
    with errno(2):
        files.open("/nothing", "r+")
    with errno(2):
        files.open("/pix", "r")
    with errno(13):
        files.open("/pix", "w")
    with errno(17):
        files.open("/main.py", "x")
    with errno(22):
        files.open("/", "w")
    with files.open("/new", "xb") as f:
        f.write(b"one")
        with errno(13):
            f.read(1)
    with files.open("/new", "ab") as f:
        assert f.tell() == 3
        f.write(b"two")
    with files.open("/new", "r+b") as f:
        f.write(b"O")
        assert f.read(2) == b"ne"
    with files.open("/new", "w+b") as f:
        f.write(b"abc")
        f.seek(0)
        assert f.read() == b"abc"
    with files.open("/log", "a") as f:
        f.write(b"created")
    assert (folder / "new").read_bytes() == b"abc"
    assert (folder / "log").read_bytes() == b"created"


def test_reading(files, folder):
    data = random.Random(5).randbytes(5000)
    (folder / "data.bin").write_bytes(data)
    f = files.open("data.bin", "rb")
    buffer = bytearray(700)
    out = b""
    while count := f.readinto(buffer):
        out += buffer[:count]
    assert out == data
    assert f.read(10) == b""
    assert f.seek(4990) == 4990
    assert f.read(100) == data[4990:]
    assert f.seek(9999) == 5000  # a file opened for reading stops at its end
    assert f.seek(-5, 2) == 4995
    assert f.seek(-5, 1) == 4990
    with errno(22):
        f.seek(-1)
    f.close()
    with errno(22):
        f.read(1)
    with errno(22):
        f.flush()
    f.close()
    with files.open("main.py") as f:
        assert f.readline() == b"import pix\n"
        assert f.readline(3) == b"pri"
        assert f.readline() == b"nt(1)\n"
        assert f.readline() == b""


@pytest.mark.parametrize("seed", range(6))
def test_random_access_agrees_with_a_bytearray(files, folder, seed):
    chance = random.Random(seed)
    model = bytearray(b"import pix\nprint(1)\n")
    f = files.open("main.py", "r+b")
    for _ in range(200):
        at = chance.randrange(len(model) + 1)
        f.seek(at)
        size = chance.choice((1, 3, 100, 511, 512, 513, 1500))
        action = chance.randrange(3)
        if action == 0:
            assert f.read(size) == model[at : at + size]
        elif action == 1:
            data = chance.randbytes(size)
            assert f.write(data) == size
            model[at : at + size] = data
        elif chance.random() < 0.3:
            f.flush()
            assert (folder / "main.py").read_bytes() == model
        assert f.size == len(model)
    f.seek(0)
    assert f.read() == model
    f.close()
    assert (folder / "main.py").read_bytes() == model


def test_seeking_beyond_the_end_extends_a_file_being_written(files, folder):
    with files.open("gap.bin", "wb") as f:
        f.write(b"a")
        f.seek(1000)
        assert f.tell() == 1000
        f.write(b"z")
    data = (folder / "gap.bin").read_bytes()
    assert (len(data), data[0:1], data[1000:]) == (1001, b"a", b"z")


def test_what_is_not_flushed_is_not_there_for_others(files, folder):
    f = files.open("part.bin", "wb")
    f.write(b"x" * 3000)
    assert files.stat("part.bin")[6] == 0
    assert files.read_bytes("part.bin") == b""
    f.flush()
    assert files.stat("part.bin")[6] == 3000
    f.write(b"y" * 10)
    assert files.read_bytes("part.bin") == b"x" * 3000
    f.close()
    assert (folder / "part.bin").read_bytes() == b"x" * 3000 + b"y" * 10


def test_time_stamps_have_maixpys_wrong_year(card, files):
    card.clock.advance(7_000 * MS)
    files.open("now.txt", "w").close()
    assert files.stat("now.txt")[7] == 1_893_456_006


def test_a_removed_or_renamed_file_takes_later_writes_with_it(files, folder):
    f = files.open("gone.txt", "w")
    f.write(b"data")
    files.remove("gone.txt")
    f.close()
    assert not (folder / "gone.txt").exists()
    f = files.open("old.txt", "w")
    f.write(b"one")
    f.flush()
    f.write(b"two")
    files.rename("old.txt", "new.txt")
    f.close()
    assert (folder / "new.txt").read_bytes() == b"one"


def test_soft_reset_closes_what_is_open(files, folder):
    f = files.open("left.txt", "w")
    f.write(b"kept")
    files.close_all()
    assert f.closed
    assert (folder / "left.txt").read_bytes() == b"kept"


# -- space ----------------------------------------------------------------------------------------------------


def test_statvfs_counts_clusters(card, files):
    size, same, total, free, available, *_, name_max = files.statvfs("/")
    assert (size, same, name_max, available) == (512, 512, 255, free)
    assert total == card.geometry.clusters
    with files.open("a.bin", "wb") as f:
        f.write(b"x" * 5000)
        assert files.statvfs("/")[3] <= free - 10
    assert files.statvfs("/")[3] == free - 10
    files.remove("a.bin")
    assert files.statvfs("/")[3] == free


def test_the_numbers_are_those_of_the_card_on_the_bus(card, folder):
    (folder / "some.bin").write_bytes(b"x" * 3333)
    volume = card.spi.volume
    free = int.from_bytes(volume.read(card.geometry.start + 1)[488:492], "little")
    assert card.files.statvfs("/")[3] == free


def test_a_full_card_takes_what_fits_and_says_so(card, files, folder):
    card.fill(leave_free=3 * 512)
    assert files.statvfs("/")[3] == 3
    f = files.open("big.bin", "wb")
    assert f.write(b"a" * 1000) == 1000
    with errno(28):
        f.write(b"b" * 1000)
    assert f.tell() == 1536
    f.close()
    assert (folder / "big.bin").read_bytes() == b"a" * 1000 + b"b" * 536
    with errno(13):
        files.mkdir("/more")
    with files.open("big.bin", "r+b") as f:
        assert f.write(b"c" * 1536) == 1536
        with errno(28):
            f.write(b"d")
    files.remove("big.bin")
    assert files.statvfs("/")[3] == 3
    card.fill(leave_free=1 << 20)
    assert files.statvfs("/")[3] == 2048


def test_capacity_limits_what_fits(files, card):
    room = files.statvfs("/")[3] * 512
    f = files.open("all.bin", "wb")
    chunk = bytes(1 << 20)
    with errno(28):
        while True:
            f.write(chunk)
    assert f.tell() == room
    f.close()
    with files.open("none.bin", "wb") as f, errno(28):
        f.write(b"x")


# -- the slot -------------------------------------------------------------------------------------------------


def test_no_card():
    card = SdCard(Clock(), None)
    assert not card.present
    with errno(19):
        card.files.listdir("/")
    with errno(19):
        card.files.mount()


def test_a_card_pulled_out_stays_dead_until_it_is_mounted(card, files, folder):
    f = files.open("half.bin", "wb")
    f.write(b"x" * 1000)
    f.flush()
    f.write(b"y" * 1000)
    reader = files.open("main.py")
    card.remove()
    assert files.listdir("/") == []  # a listing ends where it cannot read
    with errno(5):
        files.listdir("/pix")
    with errno(5):
        reader.read(1)
    with errno(5):
        f.write(b"z")
    with errno(5):
        f.close()
    card.insert()
    assert not files.mounted
    with errno(5):
        files.stat("/main.py")
    files.mount()
    assert files.stat("/half.bin")[6] == 1000
    assert (folder / "half.bin").read_bytes() == b"x" * 1000


def test_a_card_may_be_filled_while_it_is_not_mounted(card, files):
    card.remove()
    card.fill(leave_free=1024)
    card.insert()
    card.fill(leave_free=512)
    files.mount()
    assert files.statvfs("/")[3] == 1


def test_switching_off_loses_what_was_not_flushed(card, files, folder):
    f = files.open("half.bin", "wb")
    f.write(b"x" * 100)
    f.flush()
    f.write(b"y" * 100)
    card.close()
    card.close()
    assert (folder / "half.bin").read_bytes() == b"x" * 100


def test_wrong_folders_and_sizes(tmp_path):
    with pytest.raises(NotADirectoryError, match="not a directory"):
        SdCard(Clock(), tmp_path / "nothing")
    with pytest.raises(ValueError, match="64 MiB"):
        SdCard(Clock(), tmp_path, capacity=1 << 20)
    card = SdCard(Clock(), tmp_path)
    with pytest.raises(ValueError, match="already"):
        card.insert()


# -- time and failures ----------------------------------------------------------------------------------------


def test_the_card_takes_its_time_and_the_clock_stays(folder):
    timing = Timing(read_access_ns=0, program_ns=1 * MS, driver_ns=0)
    card = SdCard(Clock(), folder, capacity=64 << 20, timing=timing)
    f = card.files.open("t.bin", "wb")
    begin = card.busy_until
    f.write(bytes(4096))
    assert card.clock.now == 0
    # Eight blocks of data; eight clusters of one block, each written to both tables.
    assert card.busy_until - begin == 24 * (1 * MS + timing.block_ns) + 8 * timing.block_ns
    assert timing.block_ns == 531 * 320


def test_ordinary_speed_is_that_of_an_ordinary_card(tmp_path):
    card = SdCard(Clock(), tmp_path)
    f = card.files.open("t.bin", "wb")
    for _ in range(256):
        f.write(bytes(4096))
    f.close()
    rate = (1 << 20) * 1_000_000_000 / card.busy_until
    assert 0.8e6 < rate < 1.1e6
    card.clock.advance_to(card.busy_until)
    begin = card.clock.now
    card.files.read_bytes("t.bin")
    rate = (1 << 20) * 1_000_000_000 / (card.busy_until - begin)
    assert 1.3e6 < rate < 1.7e6


def test_stalls(card, files):
    f = files.open("t.bin", "wb")
    f.write(bytes(512))
    begin = card.busy_until
    card.stall(300 * MS)
    f.write(bytes(512))
    assert 300 * MS < card.busy_until - begin < 305 * MS
    card.stall_every(64 << 10, 200 * MS)
    begin = card.busy_until
    for _ in range(64):
        f.write(bytes(4096))
    stalls = (card.busy_until - begin) // (200 * MS)
    assert stalls >= 4
    card.stall_every(0, 0)
    begin = card.busy_until
    f.write(bytes(4096))
    assert card.busy_until - begin < 30 * MS


def test_failing_blocks(card, files, folder):
    card.fail_reads(1)
    with errno(5):
        files.stat("main.py")
    assert files.stat("main.py")[6] == 20
    f = files.open("main.py")
    card.fail_reads(1)
    with errno(5):
        f.read()
    with errno(5):
        f.read()  # the file is spoilt, the card is not
    f.close()
    assert files.read_bytes("main.py")
    f = files.open("out.bin", "wb")
    f.write(b"a" * 512)
    card.fail_writes(1)
    with errno(5):
        f.write(b"b" * 512)
    with errno(5):
        f.write(b"c" * 512)
    f.close()
    assert (folder / "out.bin").read_bytes() == b"a" * 512


def test_power_loss_keeps_what_was_flushed(folder):
    seen = set()
    for seed in range(12):
        card = SdCard(Clock(), folder, capacity=64 << 20, seed=seed)
        files = card.files
        done = files.open("done.bin", "wb")
        done.write(b"d" * 100)
        done.close()
        half = files.open("half.bin", "wb")
        half.write(b"h" * 4096)
        half.flush()
        half.write(b"i" * 4096)
        files.open("fresh.bin", "wb")
        torn = files.open("torn.bin", "wb")
        torn.write(b"t" * 9000)
        card.power_loss()
        tree = tree_of(folder)
        assert tree["done.bin"] == b"d" * 100
        assert tree["half.bin"] == b"h" * 4096
        assert tree["torn.bin"] == b""
        assert tree.get("fresh.bin", b"") == b""
        seen.add("fresh.bin" in tree)
        again = tree
        for name in ("done.bin", "half.bin", "torn.bin", "fresh.bin"):
            (folder / name).unlink(missing_ok=True)
        assert again["main.py"] == b"import pix\nprint(1)\n"
    assert seen == {True, False}


def test_power_loss_in_place_leaves_the_last_sector_old_or_new(folder):
    seen = set()
    for seed in range(12):
        (folder / "db.bin").write_bytes(b"o" * 2000)
        card = SdCard(Clock(), folder, capacity=64 << 20, seed=seed)
        f = card.files.open("db.bin", "r+b")
        f.write(b"n" * 700)
        card.power_loss()
        data = (folder / "db.bin").read_bytes()
        assert len(data) == 2000
        assert data[:512] == b"n" * 512
        assert data[512:700] in (b"n" * 188, b"o" * 188)
        assert data[700:] == b"o" * 1300
        seen.add(data[512:513])
    assert seen == {b"n", b"o"}


def test_the_same_seed_tears_the_same(folder):
    def run():
        card = SdCard(Clock(), folder, capacity=64 << 20, seed=9)
        for i in range(8):
            card.files.open(f"f{i}", "w")
        card.power_loss()
        names = sorted(p.name for p in folder.glob("f*"))
        for name in names:
            (folder / name).unlink()
        return names

    first = run()
    assert 0 < len(first) < 8
    assert run() == first


def test_both_faces_show_the_same_card(card, folder, tmp_path):
    with card.files.open("/pix/A long name.txt", "w") as f:
        f.write(b"face one")
    card.files.mkdir("/sub")
    volume = card.spi.volume
    code, text = fsck(volume, tmp_path)
    assert code == 0, text
    assert {"/".join(p) for p in volume.tree.nodes if p} == set(tree_of(folder))
