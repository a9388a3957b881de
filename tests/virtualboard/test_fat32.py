"""The folder as a FAT32 card and back, judged by dosfstools and mtools, and by a reader of the tests' own."""

from __future__ import annotations

import os
import random

import pytest

from rig.fat_image import dump, fsck, merge, mtools, read_file, tree_of
from virtualboard.card import fat32
from virtualboard.card.fat32 import BAD, Geometry, dos_time, read_tree, unix_time
from virtualboard.card.names import Aliases, from_device, name_problem, scan, to_device
from virtualboard.card.sync import write_back
from virtualboard.card.volume import Volume

SMALL = Geometry.of(64 << 20)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "card"
    (folder / "pix").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "MAIN.PY").write_bytes(b"import pix\n")
    (folder / "zero.bin").write_bytes(b"")
    (folder / "exact.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "A rather long name of a picture.jpeg").write_bytes(random.Random(1).randbytes(70_001))
    (folder / "pix" / "espat.py").write_bytes(b"# modem\n" * 300)
    (folder / "pix" / "Ünïcode ✓.txt").write_text("umlauts", "utf-8")
    return folder


@pytest.fixture
def volume(folder):
    return Volume(SMALL, folder)


def change(volume, tmp_path, *commands):
    """Let mtools change the card, as a foreign FAT implementation."""
    image = tmp_path / "card.img"
    dump(volume, image)
    for command in commands:
        mtools(volume, image, *command)
    merge(volume, image)


# -- layout ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mib", [64, 100, 256, 257, 1024, 2048, 4095, 4096, 32768, 131072])
def test_geometry_is_fat32_and_everything_fits(mib):
    g = Geometry.of(mib << 20)
    assert 65525 <= g.clusters < 0x0FFFFFF5
    assert g.fat_sectors * 128 >= g.clusters + 2
    assert g.data_start + g.clusters * g.cluster_sectors <= g.sectors == (mib << 20) // 512
    # No space is given away beyond what rounding costs.
    assert g.sectors - g.data_start - g.clusters * g.cluster_sectors < 4 * g.cluster_sectors


def test_geometry_refuses_what_cannot_be_fat32():
    with pytest.raises(ValueError, match="64 MiB"):
        Geometry.of(32 << 20)
    with pytest.raises(ValueError, match="2 TiB"):
        Geometry.of(4 << 40)


def test_fsck_finds_nothing(volume, tmp_path):
    code, text = fsck(volume, tmp_path)
    assert code == 0, text
    assert "9 files" in text  # six, two directories, and the label


def test_fsck_finds_nothing_on_a_big_card(folder, tmp_path):
    for i in range(300):
        (folder / "pix" / f"picture number {i}.jpg").write_bytes(b"x" * i)
    code, text = fsck(Volume(Geometry.of(260 << 20), folder), tmp_path)
    assert code == 0, text


def test_mtools_reads_what_the_folder_has(volume, folder, tmp_path):
    image = tmp_path / "card.img"
    dump(volume, image)
    out = tmp_path / "out"
    out.mkdir()
    mtools(volume, image, "mcopy", "-s", "-n", "-m", "x:/*", str(out))
    assert tree_of(out) == tree_of(folder)
    listing = mtools(volume, image, "mdir", "-/", "x:/")
    assert "A rather long name of a picture.jpeg" in listing
    assert "ARATHE~1" in listing


def test_an_own_reader_finds_the_same(volume, folder):
    assert read_file(volume, b"MAIN    PY ") == b"import pix\n"
    long = (folder / "A rather long name of a picture.jpeg").read_bytes()
    assert read_file(volume, b"ARATHE~1JPE") == long
    assert read_file(volume, b"PIX        ", b"ESPAT   PY ") == b"# modem\n" * 300


def test_partition_table_and_boot_sector(volume):
    mbr = volume.read(0)
    assert mbr[510:] == b"\x55\xaa"
    assert mbr[446 + 4] == 0x0C
    assert int.from_bytes(mbr[454:458], "little") == SMALL.start
    boot = volume.read(SMALL.start)
    assert boot[82:90] == b"FAT32   "
    assert int.from_bytes(boot[28:32], "little") == SMALL.start
    assert volume.read(SMALL.start + 6) == boot
    info = volume.read(SMALL.start + 1)
    assert info[:4] == b"RRaA"
    used = sum(len(node.chain) for node in read_tree(volume.read, SMALL).nodes.values())
    assert int.from_bytes(info[488:492], "little") == SMALL.clusters - used


def test_reader_and_builder_agree(volume, folder):
    tree = read_tree(volume.read, SMALL)
    assert tree.problems == []
    assert {"/".join(p) for p in tree.nodes if p} == set(tree_of(folder))
    node = tree.nodes[("exact.bin",)]
    assert (node.size, len(node.chain), node.whole) == (2048, 4, True)
    assert abs(node.stamp - (folder / "exact.bin").stat().st_mtime) < 3


def test_links_and_impossible_names_are_left_off(folder, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("do not show")
    (folder / "link.txt").symlink_to(secret)
    (folder / "linkdir").symlink_to(tmp_path)
    (folder / "a:b").write_text("colon")
    (folder / "dot.").write_text("dot")
    (folder / "main.py").write_text("case")
    os.mkfifo(folder / "fifo")
    volume = Volume(SMALL, folder)
    names = {"/".join(p) for p in read_tree(volume.read, SMALL).nodes}
    assert names.isdisjoint({"link.txt", "linkdir", "a:b", "dot.", "fifo"})
    assert {"MAIN.PY", "main.py"} & names == {"MAIN.PY"}
    assert dict(volume.left_off) == {
        "link.txt": "is a symbolic link",
        "linkdir": "is a symbolic link",
        "a:b": "has a character that FAT forbids",
        "dot.": "ends in a space or dot",
        "main.py": "differs from another name only in case",
        "fifo": "is neither a file nor a directory",
    }


def test_what_does_not_fit_is_left_off_and_told(folder, tmp_path):
    with (folder / "huge.bin").open("wb") as f:
        f.truncate(80 << 20)
    volume = Volume(SMALL, folder)
    assert ("huge.bin", "does not fit on the card") in volume.left_off
    assert fsck(volume, tmp_path)[0] == 0


def test_a_filled_card_has_what_was_left(folder, tmp_path):
    volume = Volume(SMALL, folder, leave_free=5)
    table = b"".join(volume.read(SMALL.fat_start + i) for i in range(SMALL.fat_sectors))
    entries = [int.from_bytes(table[4 * i : 4 * i + 4], "little") for i in range(SMALL.clusters + 2)]
    assert entries.count(0) == 5
    assert entries.count(BAD) > 100_000
    code, text = fsck(volume, tmp_path)
    assert code == 0, text
    volume.fill(None)
    table = b"".join(volume.read(SMALL.fat_start + i) for i in range(SMALL.fat_sectors))
    assert BAD.to_bytes(4, "little") not in table


# -- back into the folder -------------------------------------------------------------------------------------


def test_nothing_written_costs_nothing_and_changes_nothing(volume, folder):
    before = tree_of(folder)
    report = write_back(volume)
    assert not report.changed
    assert report.problems == []
    assert tree_of(folder) == before


def test_new_changed_renamed_and_deleted_files(volume, folder, tmp_path):
    new = tmp_path / "new.bin"
    new.write_bytes(random.Random(2).randbytes(12_345))
    stamp = (folder / "pix" / "espat.py").stat().st_mtime_ns
    change(
        volume,
        tmp_path,
        ("mmd", "x:/outbox", "x:/outbox/deep"),
        ("mcopy", str(new), "x:/outbox/deep/A new picture.jpg"),
        ("mcopy", "-o", str(new), "x:/MAIN.PY"),
        ("mdel", "x:/exact.bin"),
        ("mmove", "x:/pix/espat.py", "x:/outbox/The modem.py"),
        ("mrd", "x:/empty"),
    )
    report = write_back(volume)
    assert report.problems == []
    assert sorted(report.written) == ["MAIN.PY", "outbox/", "outbox/deep/", "outbox/deep/A new picture.jpg"]
    assert report.renamed == [("pix/espat.py", "outbox/The modem.py")]
    assert sorted(report.deleted) == ["empty/", "exact.bin"]
    tree = tree_of(folder)
    assert tree["MAIN.PY"] == tree["outbox/deep/A new picture.jpg"] == new.read_bytes()
    assert tree["outbox/The modem.py"] == b"# modem\n" * 300
    assert (folder / "outbox" / "The modem.py").stat().st_mtime_ns == stamp
    assert "exact.bin" not in tree
    assert "empty" not in tree
    # The card is the same before and after, and so is a card made anew from the folder.
    assert fsck(volume, tmp_path)[0] == 0
    assert {"/".join(p) for p in read_tree(volume.read, SMALL).nodes if p} == set(tree)
    assert {"/".join(p) for p in read_tree(Volume(SMALL, folder).read, SMALL).nodes if p} == set(tree)
    # Only what is not in the folder is kept in memory.
    assert all(sector < SMALL.data_start or sector in volume.written for sector in volume.written)
    assert len(volume.written) < 40


def test_two_files_swap_their_names(folder, tmp_path):
    a, b = b"import pix\n", b"another\n"
    (folder / "A long one.bin").write_bytes(b)
    volume = Volume(SMALL, folder)
    change(
        volume,
        tmp_path,
        ("mren", "x:/MAIN.PY", "x:/TMP.BIN"),
        ("mren", "x:/A long one.bin", "x:/MAIN.PY"),
        ("mren", "x:/TMP.BIN", "x:/A long one.bin"),
    )
    report = write_back(volume)
    assert report.problems == []
    assert (folder / "MAIN.PY").read_bytes() == b
    assert (folder / "A long one.bin").read_bytes() == a


def test_a_directory_is_renamed_with_what_is_in_it(volume, folder, tmp_path):
    change(volume, tmp_path, ("mren", "x:/pix", "x:/The other"))
    report = write_back(volume)
    assert report.problems == []
    assert sorted(tree_of(folder / "The other")) == ["espat.py", "Ünïcode ✓.txt"]
    assert not (folder / "pix").exists()


def test_names_that_change_from_file_to_directory_and_back(volume, folder, tmp_path):
    source = tmp_path / "s"
    source.write_bytes(b"a file now")
    change(
        volume,
        tmp_path,
        ("mdeltree", "x:/pix"),
        ("mdel", "x:/MAIN.PY"),
        ("mcopy", str(source), "x:/pix"),
        ("mmd", "x:/MAIN.PY"),
        ("mcopy", str(source), "x:/MAIN.PY/inside a directory.txt"),
    )
    report = write_back(volume)
    assert report.problems == []
    assert (folder / "pix").read_bytes() == b"a file now"
    assert (folder / "MAIN.PY" / "inside a directory.txt").read_bytes() == b"a file now"
    assert fsck(volume, tmp_path)[0] == 0


def test_renamed_on_the_card_and_edited_or_deleted_on_the_host(volume, folder, tmp_path):
    change(volume, tmp_path, ("mren", "x:/MAIN.PY", "x:/FIRST.PY"), ("mren", "x:/exact.bin", "x:/SECOND.BIN"))
    (folder / "MAIN.PY").write_bytes(b"edited")
    (folder / "exact.bin").unlink()
    report = write_back(volume)
    assert (folder / "FIRST.PY").read_bytes() == b"edited"
    assert not (folder / "MAIN.PY").exists()
    assert not (folder / "SECOND.BIN").exists()
    assert report.problems == [("SECOND.BIN", "its file /exact.bin is gone on the host")]
    # It does not come back as a file of zeros with the next write-back.
    change(volume, tmp_path, ("mmd", "x:/NEW"))
    assert write_back(volume).written == ["NEW/"]
    assert not (folder / "SECOND.BIN").exists()


def test_write_backs_in_a_row(volume, folder, tmp_path):
    source = tmp_path / "s"
    for round_ in range(4):
        source.write_bytes(random.Random(round_).randbytes(3000 * round_ + 1))
        change(volume, tmp_path, ("mcopy", "-o", str(source), "x:/again.bin"))
        assert volume.dirty
        report = write_back(volume)
        assert report.written == ["again.bin"]
        assert not volume.dirty
        assert (folder / "again.bin").read_bytes() == source.read_bytes()
        assert read_file(volume, b"AGAIN   BIN") == source.read_bytes()


def test_blocks_of_a_file_in_progress_survive_a_write_back(volume, folder):
    """A chain is there and data in it, the directory still says 0 bytes: the state before FatFs syncs a file."""
    geometry = volume.geometry
    free = int.from_bytes(volume.read(geometry.start + 1)[492:496], "little")
    slot = next(i for i in range(0, 512, 32) if volume.read(geometry.sector_of(2))[i] == 0)
    root = bytearray(volume.read(geometry.sector_of(2)))
    root[slot : slot + 32] = fat32._short_entry(b"PART    BIN", 0x20, free, 0, 0)
    table = bytearray(volume.read(geometry.fat_start + free // 128))
    table[free % 128 * 4 :][:4] = b""
    table[free % 128 * 4 : free % 128 * 4 + 4] = b"\xff\xff\xff\x0f"
    volume.write(geometry.sector_of(2), bytes(root))
    volume.write(geometry.fat_start + free // 128, bytes(table))
    volume.write(geometry.sector_of(free), b"D" * 512)
    report = write_back(volume)
    assert report.problems == []
    assert (folder / "PART.BIN").read_bytes() == b""
    root[slot + 28 : slot + 30] = (400).to_bytes(2, "little")
    volume.write(geometry.sector_of(2), bytes(root))
    assert write_back(volume).written == ["PART.BIN"]
    assert (folder / "PART.BIN").read_bytes() == b"D" * 400
    # The rest of that block is beyond the recorded size, but the board wrote it and may go on from there.
    assert volume.read(geometry.sector_of(free)) == b"D" * 512


def test_a_file_changed_on_both_sides_is_kept_twice(volume, folder, tmp_path):
    source = tmp_path / "s"
    source.write_bytes(b"from the card")
    change(volume, tmp_path, ("mcopy", "-o", str(source), "x:/MAIN.PY"))
    (folder / "MAIN.PY").write_bytes(b"edited on the host")
    report = write_back(volume)
    assert (folder / "MAIN.PY").read_bytes() == b"edited on the host"
    assert (folder / "MAIN (card 1).PY").read_bytes() == b"from the card"
    assert report.problems == [
        ("MAIN.PY", "was changed on the host meanwhile; the card's version is 'MAIN (card 1).PY'")
    ]


def test_files_that_appeared_on_the_host_stay(volume, folder, tmp_path):
    source = tmp_path / "s"
    source.write_bytes(b"from the card")
    change(volume, tmp_path, ("mdel", "x:/exact.bin"), ("mcopy", str(source), "x:/late.txt"))
    (folder / "late.txt").write_bytes(b"from the host")
    (folder / "more.txt").write_bytes(b"from the host")
    (folder / "exact.bin").write_bytes(b"edited")
    report = write_back(volume)
    tree = tree_of(folder)
    assert (tree["late.txt"], tree["more.txt"], tree["exact.bin"]) == (b"from the host", b"from the host", b"edited")
    assert tree["late (card 1).txt"] == b"from the card"
    assert dict(report.problems)["exact.bin"] == "deleted on the card, but changed on the host; it stays"


def test_a_directory_with_hidden_things_stays(folder, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (folder / "empty" / "link").symlink_to(outside)
    volume = Volume(SMALL, folder)
    change(volume, tmp_path, ("mrd", "x:/empty"))
    report = write_back(volume)
    assert (folder / "empty" / "link").is_symlink()
    assert outside.read_text() == "mine"
    assert report.problems == [("empty", "stays: it has files that are not on the card")]


def test_nothing_is_written_through_a_link(folder, tmp_path):
    """The card makes a directory where the host has, hidden from the card, a link to somewhere else."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "trap").symlink_to(outside)
    volume = Volume(SMALL, folder)
    source = tmp_path / "s"
    source.write_bytes(b"x")
    change(volume, tmp_path, ("mmd", "x:/trap"), ("mcopy", str(source), "x:/trap/file.txt"))
    report = write_back(volume)
    assert list(outside.iterdir()) == []
    path, text = report.problems[0]
    assert path == "trap/file.txt"
    kept = text.rpartition(" ")[2]
    assert (folder / kept).read_bytes() == b"x"


def entry_of(volume, short):
    """(sector, offset) of an 8.3 entry in the root directory."""
    for sector in range(volume.geometry.sector_of(2), volume.geometry.sector_of(2) + 8):
        data = volume.read(sector)
        for at in range(0, 512, 32):
            if data[at : at + 11] == short:
                return sector, at
    raise AssertionError(short)


def patch(volume, sector, at, data):
    block = bytearray(volume.read(sector))
    block[at : at + len(data)] = data
    volume.write(sector, bytes(block))


def test_a_name_that_climbs_out_is_refused(volume, folder, tmp_path):
    sector, at = entry_of(volume, b"MAIN    PY ")
    patch(volume, sector, at, b"../X/..PY  ")
    before = tree_of(folder)
    report = write_back(volume)
    after = tree_of(folder)
    assert {p.name for p in tmp_path.iterdir()} == {"card"}
    assert any("FAT forbids" in text for _, text in report.problems)
    del before["MAIN.PY"]
    assert before == after or {**before, "MAIN.PY": b"import pix\n"} == after


def test_a_broken_chain_keeps_the_hosts_file(volume, folder):
    long = ("A rather long name of a picture.jpeg",)
    chain = read_tree(volume.read, SMALL).nodes[long].chain
    content = (folder / long[0]).read_bytes()
    table = SMALL.fat_start + chain[3] // 128
    patch(volume, table, chain[3] % 128 * 4, b"\0\0\0\0")
    volume.write(SMALL.sector_of(chain[1]), b"?" * 512)
    report = write_back(volume)
    assert (folder / long[0]).read_bytes() == content
    assert (long[0], "is cut short") in report.problems
    assert (long[0], "the host's version stays") in report.problems


def test_shared_clusters_are_noticed(volume, folder):
    before = tree_of(folder)
    tree = read_tree(volume.read, SMALL)
    first = tree.nodes[("exact.bin",)].chain[0]
    sector, at = entry_of(volume, b"MAIN    PY ")
    patch(volume, sector, at + 26, first.to_bytes(2, "little"))
    report = write_back(volume)
    assert any("shares clusters" in text for _, text in report.problems)
    assert tree_of(folder) == before


def test_a_lost_directory_takes_nothing_with_it(volume, folder):
    before = tree_of(folder)
    chain = read_tree(volume.read, SMALL).nodes[("pix",)].chain
    patch(volume, SMALL.fat_start + chain[0] // 128, chain[0] % 128 * 4, b"\0\0\0\0")
    report = write_back(volume)
    assert ("pix", "is cut short") in report.problems
    assert tree_of(folder) == before


def test_a_directory_that_contains_itself_ends(volume, folder):
    before = tree_of(folder)
    sector, at = entry_of(volume, b"EMPTY      ")
    patch(volume, sector, at + 26, (2).to_bytes(2, "little"))
    report = write_back(volume)
    assert any("shares clusters" in text for _, text in report.problems)
    assert tree_of(folder) == before


def test_a_card_formatted_anew_leaves_the_folder_alone(volume, folder):
    before = tree_of(folder)
    volume.write(SMALL.start, bytes(512))
    volume.write(SMALL.sector_of(2), bytes(512))
    report = write_back(volume)
    assert "formatted anew" in report.problems[0][1]
    assert tree_of(folder) == before


@pytest.mark.parametrize("seed", range(8))
def test_random_damage_never_escapes_and_never_raises(folder, tmp_path, seed):
    chance = random.Random(seed)
    (tmp_path / "neighbour.txt").write_text("untouched")
    volume = Volume(SMALL, folder)
    used = [SMALL.fat_start, SMALL.fat_start + 1, *range(SMALL.data_start, SMALL.data_start + 12)]
    for _ in range(20):
        patch(volume, chance.choice(used), chance.randrange(500), chance.randbytes(chance.randrange(1, 12)))
    write_back(volume)
    write_back(volume)
    assert {p.name for p in tmp_path.iterdir()} == {"card", "neighbour.txt"}
    assert (tmp_path / "neighbour.txt").read_text() == "untouched"


# -- names and times ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("MAIN.PY", "MAIN.PY"),
        ("main.py", "MAIN.PY"),
        ("A rather long name.jpeg", "ARATHE~1.JPE"),
        ("noextension", "NOEXTE~1"),
        (".gitignore", "GITIGN~1"),
        ("a.b.c.txt", "ABC~1.TXT"),
        ("ünï.txt", "_N_~1.TXT"),
        ("a+b.txt", "A_B~1.TXT"),
        ("...x", "X~1"),
    ],
)
def test_short_names(name, alias):
    assert Aliases().add(name) == alias


def test_short_names_are_unique():
    aliases = Aliases()
    made = [aliases.add(f"picture number {i}.jpeg") for i in range(1200)]
    assert len(set(made)) == 1200
    assert made[0] == "PICTUR~1.JPE"
    assert made[99] == "PICT~100.JPE"
    assert all(len(a.partition(".")[0]) <= 8 for a in made)


def test_names_fat_cannot_have():
    assert name_problem("x" * 255) is None
    assert name_problem("x" * 256) is not None
    assert name_problem("\U0001f600" * 128) is not None
    for bad in ("", ".", "..", "a/b", "a\\b", "a\nb", "q?", "end ", "end."):
        assert name_problem(bad) is not None


def test_names_pass_through_code_page_437(tmp_path):
    (tmp_path / "plain.txt").touch()
    (tmp_path / "grün.txt").touch()
    (tmp_path / "✓.txt").touch()
    shown = {entry.name: to_device(entry) for entry in scan(tmp_path).entries}
    assert shown["plain.txt"] == "plain.txt"
    assert shown["✓.txt"] == "_~1.TXT"
    assert from_device(shown["grün.txt"]) == "grün.txt"
    assert from_device("grün.txt") == "gr├╝n.txt"


def test_times():
    date, clock = dos_time(1_700_000_001)
    assert unix_time(date, clock) == 1_700_000_000
    assert dos_time(0) == dos_time(315_532_800) == (0x21, 0)
    assert unix_time(0, 0) == 0
