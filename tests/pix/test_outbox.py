"""pix.outbox: names that never come twice, oldest first, nothing unsent removed, whatever the power does."""

import random
import shutil

import pytest

from rig.device import PowerCut


@pytest.fixture
def outbox(device):
    return device.load("outbox").Outbox(reserve_kb=64)


def folder(device):
    return sorted(entry.name for entry in (device.folder / "outbox").iterdir())


def fill(device, box, count):
    names = []
    for i in range(count):
        path = box.new()
        names.append(path.rpartition("/")[2])
        (device.folder / path[4:]).write_bytes(b"picture %d" % i)
    return names


def test_names_count_up_and_fit_eight_and_three(device, outbox):
    assert fill(device, outbox, 3) == ["s0000001.jpg", "s0000002.jpg", "s0000003.jpg"]
    assert outbox.waiting() == 3 and outbox.oldest() == ["s0000001.jpg", "s0000002.jpg", "s0000003.jpg"]


def test_what_was_taken_is_known_until_it_is_through(device, outbox):
    names = fill(device, outbox, 20)
    for number, name in enumerate(names):
        outbox.know(name, f"{number:064x}")
    assert outbox.digest(names[0]) == "0" * 64 and outbox.digest(names[15]) == f"{15:064x}"
    assert outbox.digest(names[16]) == ""  # the heap is small: from here on the card is read
    outbox.done(names[0], True)
    outbox.know(names[1], "")
    assert [outbox.digest(name) for name in names[:3]] == ["", "", f"{2:064x}"]


def test_numbers_survive_a_reset_and_an_emptied_outbox(device, outbox):
    for name in fill(device, outbox, 3):
        outbox.done(name, True)
    assert folder(device) == ["number"]
    again = device.restart()
    box = again.load("outbox").Outbox(reserve_kb=64)
    assert box.new() == "/sd/outbox/s0000004.jpg"


@pytest.mark.parametrize("damage", [b"", b"\0\0\0\0\0\0\0\0", b"12", b"garbage!"])
def test_a_damaged_counter_goes_on_behind_the_pictures(device, outbox, damage):
    fill(device, outbox, 5)
    (device.folder / "outbox" / "number").write_bytes(damage)
    again = device.restart()
    assert again.load("outbox").Outbox(reserve_kb=64).new() == "/sd/outbox/s0000006.jpg"


def test_a_deleted_outbox_gives_no_number_of_sent_pictures_again(device, outbox):
    first, second = fill(device, outbox, 2)
    outbox.done(first, False)
    outbox.done(second, False)
    sent = {entry.name: entry.read_bytes() for entry in (device.folder / "sent").iterdir()}
    shutil.rmtree(device.folder / "outbox")
    board = device.restart()
    box = board.load("outbox").Outbox(reserve_kb=64)
    (name,) = fill(board, box, 1)
    assert name == "s0000003.jpg"
    box.done(name, False)
    kept = {entry.name: entry.read_bytes() for entry in (device.folder / "sent").iterdir()}
    assert kept == {**sent, name: b"picture 0"}


def test_a_note_whose_picture_is_through_goes_with_the_next_start(device, outbox):
    """The power went between the two steps of `done`, and nobody looked for the note again."""
    first, second = fill(device, outbox, 2)
    notes = [device.folder / "outbox" / f"{name[:-4]}.^jp" for name in (first, second)]
    for note in notes:
        note.write_bytes(b"a note")
    (device.folder / "outbox" / first).unlink()
    device.load("outbox").Outbox(reserve_kb=64)
    assert [note.exists() for note in notes] == [False, True]


def test_done_replaces_no_other_picture(device, outbox):
    """Somebody put a picture of that name there meanwhile: both stay."""
    (name,) = fill(device, outbox, 1)
    (device.folder / "sent").mkdir()
    (device.folder / "sent" / name).write_bytes(b"another picture")
    device = device.restart()
    box = device.load("outbox").Outbox(reserve_kb=64)
    box.done(name, False)
    kept = {entry.name: entry.read_bytes() for entry in (device.folder / "sent").iterdir()}
    assert kept == {name: b"another picture", "s0000002.jpg": b"picture 0"}
    assert box.new() == "/sd/outbox/s0000003.jpg"


@pytest.mark.parametrize("where", ["outbox", "sent"])
def test_no_number_is_given_out_that_stands_somewhere(device, outbox, where):
    """The counter is behind: an old copy of the folder was put back."""
    fill(device, outbox, 1)
    (device.folder / where).mkdir(exist_ok=True)
    for number in (2, 3, 6_000_000):
        (device.folder / where / f"S{number:07}.JPG").write_bytes(b"x")
    board = device.restart()
    box = board.load("outbox").Outbox(reserve_kb=64)
    assert box.new() == "/sd/outbox/s0000004.jpg"


def test_a_strange_digit_in_a_name_is_no_number(device, outbox):
    (device.folder / "outbox" / "s000000².jpg").write_bytes(b"x")
    board = device.restart()
    assert board.load("outbox").Outbox(reserve_kb=64).waiting() == 0


def test_numbers_begin_again_after_ten_million(device, outbox):
    (device.folder / "outbox" / "number").write_bytes(b"9999999\n")
    again = device.restart()
    box = again.load("outbox").Outbox(reserve_kb=64)
    assert [box.new(), box.new()] == ["/sd/outbox/s0000001.jpg", "/sd/outbox/s0000002.jpg"]


def test_the_oldest_come_first_in_little_memory(device, outbox):
    numbers = random.Random(3).sample(range(1, 9999), 60)
    for number in numbers:
        (device.folder / "outbox" / f"s{number:07}.jpg").write_bytes(b"x")
    for other in ("note.txt", "s12.jpg", "s0000001.^jp", "S0000000.BAK", "sx000001.jpg"):
        (device.folder / "outbox" / other).write_bytes(b"x")
    (device.folder / "outbox" / "s0000000.jpg").mkdir()
    device = device.restart()
    box = device.load("outbox").Outbox(reserve_kb=64)
    wanted = [f"s{number:07}.jpg" for number in sorted(numbers)]
    assert box.waiting() == 60 and box.oldest() == wanted[:8]
    seen, after = [], ""
    while names := box.oldest(7, after):
        seen += names
        after = names[-1]
    assert seen == wanted


def test_a_full_card_refuses_new_pictures_and_keeps_the_others(device):
    box = device.load("outbox").Outbox(reserve_kb=60_000)
    names = []
    with pytest.raises(device.PixError) as caught:
        for i in range(50):
            path = box.new()
            names.append(path.rpartition("/")[2])
            device.load("store")
            with device.open(path, "wb") as f:
                f.write(bytes([i]) * 400_000)
    assert caught.value.code == "card-full" and "60000 kB needed" in caught.value.cause
    assert 3 < len(names) < 50 and box.oldest(50) == names


def test_the_oldest_of_the_sent_make_room_before_pictures_are_refused(device):
    box = device.load("outbox").Outbox(reserve_kb=62_000)  # of 64 MB: room for three pictures of 400 kB
    sent = device.folder / "sent"
    (sent / "album").mkdir(parents=True)
    (sent / "mine.jpg").write_bytes(b"not ours")
    for i in range(12):
        name = box.new().rpartition("/")[2]
        with device.open("/sd/outbox/" + name, "wb") as f:
            f.write(bytes([i]) * 400_000)
        if i < 11:
            box.done(name, False)
    kept = sorted(entry.name for entry in sent.iterdir())
    # The youngest are kept, what is not of the outbox too, and what waits is never touched.
    assert kept == ["album", "mine.jpg", "s0000009.jpg", "s0000010.jpg", "s0000011.jpg"]
    assert box.oldest() == ["s0000012.jpg"]
    assert (device.folder / "outbox" / "s0000012.jpg").read_bytes() == bytes([11]) * 400_000


def test_what_the_receiver_did_not_prove_is_kept(device, outbox):
    first, second = fill(device, outbox, 2)
    (device.folder / "outbox" / "s0000001.^jp").write_bytes(b"note")
    device = device.restart()
    box = device.load("outbox").Outbox(reserve_kb=64)
    box.done(first, False)
    box.done(second, True)
    assert folder(device) == ["number"]
    assert [(e.name, e.read_bytes()) for e in (device.folder / "sent").iterdir()] == [(first, b"picture 0")]


def test_no_card(device):
    device.card.remove()
    with pytest.raises(device.PixError) as caught:
        device.load("outbox").Outbox()
    assert caught.value.code in ("no-card", "card-error")


def test_power_cut_at_every_step_of_a_picture_and_its_end(tmp_path, device):
    """Whatever step is the last one: whole pictures only, no number twice, and a picture is either here or done."""
    from rig.device import Device

    content = bytes(range(256)) * 40
    step = 0
    while True:
        card = tmp_path / f"cut{step}"
        card.mkdir()
        board = Device(card)
        used = []
        finished = False
        try:
            box = board.load("outbox").Outbox(reserve_kb=64)
            part_of = board.load("store").Part
            for _ in range(2):
                board.cut_at = step
                path = box.new()
                used.append(path)
                part = part_of(path)
                part.begin("")
                for at in range(0, len(content), 4096):
                    part.write(content[at : at + 4096])
                part.commit()
                box.done(path.rpartition("/")[2], True)
            finished = True
        except PowerCut:
            pass
        again = board.restart()
        box = again.load("outbox").Outbox(reserve_kb=64)
        for name in box.oldest():
            assert (card / "outbox" / name).read_bytes() == content
        assert box.new() not in used[:-1]
        left = [name for name in folder(again) if not name.endswith(".jpg")]
        assert left == ["number"], left
        if finished:
            break
        step += 1
    assert step > 20
