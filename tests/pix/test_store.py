"""pix.store and pix.recover on FatFs's rules: power is cut before every change of the card."""

import hashlib
import random

import pytest

from rig.device import Device, PowerCut

TARGET = "/sd/show.jpg"
OLD = b"old picture" * 100
NEW = random.Random(5).randbytes(3 * 4096 + 77)
BLOCK = 4096


def write_part(device, content=NEW, digest="", flush_every=1, upto=None, validator='"v1"'):
    """What pix.fetch does for a body of `content`; the part is committed unless `upto` bytes are the end."""
    part = device.load("store").Part(TARGET)
    part.begin("key", validator, len(content), digest)
    for number, at in enumerate(range(0, len(content) if upto is None else upto, BLOCK), 1):
        part.write(memoryview(content)[at : at + BLOCK])
        if number % flush_every == 0:
            part.flush()
    if upto is None:
        part.commit(digest)
    else:
        part.close()
    return part


def code_of(device, call, *args):
    with pytest.raises(device.PixError) as e:
        call(*args)
    return e.value.code


def test_a_commit_leaves_the_target_alone_on_the_card(device):
    write_part(device)
    assert device.listing() == {"show.jpg": NEW}
    write_part(device, OLD)
    assert device.listing() == {"show.jpg": OLD}


def test_names_are_short(device):
    beside = device.load("files").beside
    assert beside("/sd/show.jpg", "$") == "/sd/show.$jp"
    assert beside("/sd/a.b/model.kmodel", "~") == "/sd/a.b/model.~km"
    assert beside("/sd/a.b/plain", "^") == "/sd/a.b/plain.^"


@pytest.mark.parametrize("old", [None, OLD])
@pytest.mark.parametrize("digest", ["", hashlib.sha256(NEW).hexdigest()])
def test_power_cut_before_every_operation(tmp_path, old, digest):
    """Old or new, never torn; what `recover` leaves is tidy, and the next commit works."""
    cut_at = 0
    outcomes = set()
    while True:
        folder = tmp_path / str(cut_at)
        folder.mkdir()
        if old is not None:
            (folder / "show.jpg").write_bytes(old)
        device = Device(folder)
        device.cut_at = cut_at
        try:
            write_part(device, digest=digest)
            break
        except PowerCut:
            pass
        recovered = device.restart()
        completed = recovered.load("store").recover("/sd")
        left = recovered.listing()
        assert left.get("show.jpg") in (old, NEW), device.operations
        assert completed == ([TARGET] if left.get("show.jpg") == NEW else [])
        assert set(left) <= {"show.jpg", "show.$jp", "show.~jp"}
        assert ("show.$jp" in left) == ("show.~jp" in left)
        outcomes.add(left.get("show.jpg"))
        write_part(recovered, OLD)
        assert recovered.listing() == {"show.jpg": OLD}
        cut_at += 1
    assert cut_at >= 9, "every step of the commit was cut"
    assert outcomes == {old, NEW}


@pytest.mark.parametrize("again", [False, True])
def test_power_cut_during_recovery(tmp_path, again):
    """However often the power goes, also with no call of recover in between."""
    for first in range(20):
        for second in range(6):
            folder = tmp_path / f"{first}-{second}"
            folder.mkdir()
            (folder / "show.jpg").write_bytes(OLD)
            device = Device(folder)
            device.cut_at = first
            try:
                write_part(device)
            except PowerCut:
                pass
            device = device.restart()
            device.cut_at = second
            try:
                device.load("store").recover("/sd")
            except PowerCut:
                pass
            device = device.restart()
            if again:
                device.load("store").recover("/sd")
            else:
                device.load("store").Part(TARGET)
            assert device.listing()["show.jpg"] in (OLD, NEW)


def test_a_part_made_again_does_not_lose_a_cut_commit(device):
    """Power goes between removing the old file and renaming the part; the next fetch fails at once."""
    (device.folder / "show.jpg").write_bytes(OLD)
    device.cut_at = _operation(device, "rename")
    with pytest.raises(PowerCut):
        write_part(device)
    assert "show.jpg" not in device.listing()
    board = device.restart()
    part = board.load("store").Part(TARGET)
    assert part.load("key") is None
    assert board.listing() == {"show.jpg": NEW}


def _operation(device, name):
    """The number of the first operation `name` in a commit over an existing file."""
    spare = Device(device.folder)
    try:
        write_part(spare)
        return spare.operations.index(name)
    finally:
        (device.folder / "show.jpg").write_bytes(OLD)


def test_both_names_of_one_chain_are_told_apart(device):
    """FatFs renames in two steps; cut in between, part and target are one file. Neither may be removed as it is."""
    (device.folder / "show.$jp").write_bytes(NEW)
    (device.folder / "show.jpg").write_bytes(NEW)
    store = device.load("store")
    side = store.Sidecar(TARGET, "key", '"v1"', len(NEW), "done").pack()
    (device.folder / "show.~jp").write_bytes(side)
    assert store.recover("/sd") == [TARGET]
    assert device.listing() == {"show.jpg": NEW}
    # The content was written to clusters of its own before the two names went.
    assert device.operations.index("close") < device.operations.index("remove")


@pytest.mark.parametrize("cut", range(12))
def test_power_cut_while_they_are_told_apart(tmp_path, cut):
    (tmp_path / "show.$jp").write_bytes(NEW)
    (tmp_path / "show.jpg").write_bytes(NEW)
    device = Device(tmp_path)
    (tmp_path / "show.~jp").write_bytes(device.load("store").Sidecar(TARGET, "key", '"v1"', len(NEW), "done").pack())
    device.cut_at = cut
    try:
        device.load("store").recover("/sd")
    except PowerCut:
        pass
    board = device.restart()
    board.load("store").recover("/sd")
    assert board.listing() == {"show.jpg": NEW}


def test_a_damaged_finished_part_is_not_used(device):
    (device.folder / "show.jpg").write_bytes(OLD)
    (device.folder / "show.$jp").write_bytes(b"x" + NEW[1:])
    store = device.load("store")
    side = store.Sidecar(TARGET, "key", "", len(NEW), "done", digest=hashlib.sha256(NEW).hexdigest())
    (device.folder / "show.~jp").write_bytes(side.pack())
    assert store.recover("/sd") == []
    assert device.listing() == {"show.jpg": OLD}


# -- resuming -----------------------------------------------------------------------------------------------


def test_a_part_is_found_again_after_a_restart_without_its_last_block(device):
    write_part(device, upto=3 * BLOCK)
    board = device.restart()
    assert board.load("store").recover("/sd") == []
    part = board.load("store").Part(TARGET)
    info = part.load("key")
    assert (info.validator, info.total) == ('"v1"', len(NEW))
    assert part.size == 2 * BLOCK
    part.resume()
    for at in range(part.size, len(NEW), BLOCK):
        part.write(NEW[at : at + BLOCK])
    part.commit()
    assert board.listing() == {"show.jpg": NEW}


@pytest.mark.parametrize(("key", "validator"), [("other", '"v1"'), ("key", "")])
def test_a_part_of_something_else_is_not_resumed(device, key, validator):
    write_part(device, upto=3 * BLOCK, validator=validator)
    part = device.restart().load("store").Part(TARGET)
    assert part.load(key) is None and part.size == 0


def test_unflushed_blocks_do_not_count_after_a_power_cut(device):
    store = device.load("store")
    part = store.Part(TARGET)
    part.begin("key", '"v1"', len(NEW))
    part.write(NEW[:BLOCK])
    part.write(NEW[BLOCK : 2 * BLOCK])
    part.flush()
    part.write(NEW[2 * BLOCK : 3 * BLOCK])
    board = device.restart()
    part = board.load("store").Part(TARGET)
    part.load("key")
    assert part.size == BLOCK


@pytest.mark.parametrize("flushed", [False, True])
def test_refuse_behind_a_cut_never_counts(device, flushed):
    """A part is cut back, some of it written again, and the power goes: the old bytes behind are still there."""
    store = device.load("store")
    part = store.Part(TARGET)
    part.begin("key", '"v1"', len(NEW))
    for _ in range(4):
        part.write(b"\xee" * BLOCK)
    part.close()
    part.cut(BLOCK)
    part.resume()
    part.write(NEW[BLOCK : 2 * BLOCK])
    if flushed:
        part.flush()
    board = device.restart()
    part = board.load("store").Part(TARGET)
    part.load("key")
    assert part.size == BLOCK, "bytes beyond the cut may be the old ones"


def test_the_limit_goes_when_the_refuse_is_overwritten(device):
    store = device.load("store")
    content = random.Random(1).randbytes(6 * BLOCK)
    part = store.Part(TARGET)
    part.begin("key", '"v1"', len(content))
    part.write(content[:BLOCK])
    part.write(b"\xee" * BLOCK)
    part.close()
    part.cut(BLOCK)
    part.resume()
    for at in range(BLOCK, 5 * BLOCK, BLOCK):
        part.write(content[at : at + BLOCK])
    part.flush()
    board = device.restart()
    part = board.load("store").Part(TARGET)
    part.load("key")
    assert part.size == 4 * BLOCK
    got = b""

    def visit(piece):
        nonlocal got
        got += piece

    device.load("files").read_back(part.path, 0, part.size, bytearray(1000), visit)
    assert got == content[: 4 * BLOCK]


def test_a_sidecar_is_whole_or_nothing(device):
    store = device.load("store")
    packed = store.Sidecar(TARGET, "key", 'W/"é"', 12345678901, "part", 4096, "ab").pack()
    again = store.Sidecar.unpack(packed)
    assert vars(again) == vars(store.Sidecar(TARGET, "key", 'W/"é"', 12345678901, "part", 4096, "ab"))
    for length in range(len(packed)):
        assert store.Sidecar.unpack(packed[:length]) is None
    for at in range(len(packed)):
        for bit in range(8):
            assert store.Sidecar.unpack(packed[:at] + bytes([packed[at] ^ 1 << bit]) + packed[at + 1 :]) is None


def test_recover_leaves_files_of_others(device):
    for name in ("a.~jp", "b.$jp", "c.~txt", "~jp", "notes.txt"):
        (device.folder / name).write_bytes(b"mine")
    (device.folder / "d.~jp").write_bytes(b"")
    (device.folder / "dir.~x").mkdir()
    device.load("store").recover("/sd")
    assert {e.name for e in device.folder.iterdir()} == {"a.~jp", "b.$jp", "c.~txt", "~jp", "notes.txt", "dir.~x"}


# -- trouble with the card ----------------------------------------------------------------------------------


def test_a_full_card(device):
    (device.folder / "show.jpg").write_bytes(OLD)
    device.card.fill(leave_free=9000)
    assert code_of(device, write_part, device, bytes(100_000)) == "card-full"
    part = device.load("store").Part(TARGET)
    part.discard()
    assert device.listing() == {"show.jpg": OLD}
    assert device.load("files").free_bytes("/sd") == 0, "the reserve is not given away"


def test_free_space(device):
    geometry = device.card.geometry
    free = device.load("files").free_bytes("/sd")
    assert free == device.card.files.free_clusters() * geometry.cluster_bytes - 65536


def test_a_card_that_fails(device):
    (device.folder / "show.jpg").write_bytes(OLD)
    store = device.load("store")
    part = store.Part(TARGET)
    part.begin("key")
    part.write(NEW[:BLOCK])
    device.card.fail_writes(3)
    assert code_of(device, part.commit) == "card-error"
    assert device.listing()["show.jpg"] == OLD


def test_a_card_pulled_out(device):
    store = device.load("store")
    part = store.Part(TARGET)
    part.begin("key")
    device.card.remove()
    for call, args in ((part.write, (b"x",)), (part.discard, ()), (store.Part, (TARGET,))):
        assert code_of(device, call, *args) == "card-error"
    assert store.recover("/sd") == []  # MaixPy's listing of a card that is gone is empty


def test_no_card(tmp_path):
    (tmp_path / "card").mkdir()
    device = Device(tmp_path / "card")

    def nothing_mounted(path):
        raise OSError(19)

    device.card.files.stat = device.card.files.ilistdir = device.card.files.statvfs = nothing_mounted
    store = device.load("store")
    assert code_of(device, store.recover, "/sd") == "no-card"
    assert code_of(device, device.load("files").free_bytes, "/sd") == "no-card"
    assert code_of(device, device.load("files").size_of, TARGET) == "no-card"


def test_a_part_that_shrank_is_not_committed(device):
    (device.folder / "show.jpg").write_bytes(OLD)
    part = device.load("store").Part(TARGET)
    part.begin("key")
    part.write(NEW)
    part.close()
    with (device.folder / "show.$jp").open("r+b") as f:
        f.truncate(100)
    assert code_of(device, part.commit) == "card-error"
    assert device.listing() == {"show.jpg": OLD}


@pytest.mark.parametrize("call", ["Part", "load", "begin", "resume", "write", "flush", "close", "read_back", "commit"])
@pytest.mark.parametrize("trouble", ["removed", "reads", "writes"])
def test_errors_name_the_file_that_the_user_knows(device, trouble, call):
    """Not its part or sidecar; whatever operation the card fails in."""
    store = device.load("store")
    write_part(device, upto=2 * BLOCK)
    part = store.Part(TARGET)
    part.load("key")
    if call in ("write", "flush", "close"):
        part.resume()
        part.write(NEW[:BLOCK])
    arguments = {
        "Part": (TARGET,),
        "load": ("key",),
        "begin": ("key",),
        "write": (NEW[:BLOCK],),
        "read_back": (part.path, 0, part.size, bytearray(BLOCK), lambda piece: None, TARGET),
    }
    if trouble == "removed":
        device.card.remove()
    elif trouble == "reads":
        device.card.fail_reads(99)
    else:
        device.card.fail_writes(99)
    try:
        getattr(store if call in ("Part", "read_back") else part, call)(*arguments.get(call, ()))
        part.close()
    except device.PixError as error:
        assert error.code in ("card-error", "no-card"), error
        assert TARGET in error.cause and not set("$~#") & set(error.cause), error
    else:
        assert trouble != "removed" or call == "close"
