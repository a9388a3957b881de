"""Cards from plans: names, room, models, cuts at many points, and the proof."""

import hashlib
import io
import random
import re
import struct
import subprocess
import sys
from collections import Counter

import pytest
from PIL import Image

from benchmarks import fill_kills
from benchmarks.lying_server import LyingServer
from maixpix.board.link import Link
from maixpix.board.places import BoardPlace, FolderPlace
from maixpix.errors import UserError
from maixpix.fill.card_names import CardNames
from maixpix.fill.filling import Filling
from maixpix.fill.lock import lock_path, read_lock
from maixpix.fill.model import check_model, read_model
from maixpix.fill.plan import read_plan
from rig.running_board import RunningBoard


def kmodel(layers=2, body=64):
    """A model of version 3 with bodies of zeros."""
    heads = b"".join(struct.pack("<II", 1, body) for _ in range(layers))
    return struct.pack("<7I", 3, 0, 0, layers, 0, 0, 1) + struct.pack("<II", 0, 4) + heads + bytes(layers * body)


def picture(seed, size=(16, 12)):
    out = io.BytesIO()
    Image.frombytes("RGB", size, random.Random(seed).randbytes(3 * size[0] * size[1])).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def card(tmp_path):
    folder = tmp_path / "card"
    folder.mkdir()
    return folder


@pytest.fixture
def plan(tmp_path):
    """Call it with the text of a plan."""

    def make(text, pictures=0):
        (tmp_path / "hol").mkdir(exist_ok=True)
        for number in range(pictures):
            (tmp_path / "hol" / f"Holiday {number:04}.png").write_bytes(picture(number))
        (tmp_path / "face.kmodel").write_bytes(kmodel())
        (tmp_path / "plan.toml").write_text(text)
        return tmp_path / "plan.toml"

    return make


PLAN = """
panel = "32x24"
firmware = "minimum"
[[pictures]]
from = "hol"
[[models]]
from = "face.kmodel"
"""


def fill(plan, place):
    return Filling(read_plan(plan), place).fill()


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Cut(BaseException):
    """The card was pulled out; nothing catches it."""


class CutPlace(FolderPlace):
    """A card that is gone in the middle of its `at`-th change: half of what is being written stays."""

    def __init__(self, folder, at):
        super().__init__(folder)
        self.left = at

    def write(self, path, data):
        self._count(lambda: super(CutPlace, self).write(path, data[: len(data) // 2]))
        super().write(path, data)

    def rename(self, source, target):
        self._count(lambda: None)
        super().rename(source, target)

    def remove(self, path):
        self._count(lambda: None)
        super().remove(path)

    def _count(self, half):
        self.left -= 1
        if self.left < 0:
            half()
            raise Cut


def test_two_hundred_pictures_and_a_model_cut_at_forty_points(plan, card):
    path = plan(PLAN, pictures=200)
    dice = random.Random(1)
    for _ in range(40):
        with pytest.raises(Cut):
            fill(path, CutPlace(card, dice.randrange(9)))
        for name, content in files(card).items():
            if name.startswith("pics"):
                assert Image.open(io.BytesIO(content)).size == (32, 24)
    assert fill(path, FolderPlace(card)).files == 201
    content = files(card)
    assert len(content) == 201
    assert content["models/face.kmodel"] == kmodel()
    third = fill(path, FolderPlace(card))
    assert (third.written_files, third.written, third.downloaded, third.removed) == (0, 0, 0, 0)
    assert files(card) == content


def test_names_are_short_and_folders_small(plan, card):
    fill(plan(PLAN, pictures=120), FolderPlace(card))
    names = [name for name in files(card) if name.startswith("pics")]
    assert all(re.fullmatch(r"pics(/\d{3})?/[a-z0-9_]{1,8}\.jpg", name) for name in names)
    assert max(Counter(name.rpartition("/")[0] for name in names).values()) <= 50


def test_killed_programs_go_on(tmp_path):
    """A sample of benchmarks/fill_kills.py, which does it at 40 points."""
    found = fill_kills.run(tmp_path, kills=2, pictures=80, seed=1)
    assert not found.faults and found.files == 81
    assert found.kills == 2, "the runs ended before they were killed"
    assert found.third == "0 written (0 bytes), 0 removed, 0 bytes downloaded, 0 files of software"


def test_a_card_that_lies_is_noticed(plan, card):
    class Forgetful(FolderPlace):
        def write(self, path, data):
            super().write(path, bytes(len(data)))

    with pytest.raises(UserError, match="came out damaged"):
        fill(plan(PLAN, pictures=2), Forgetful(card))


def test_no_room(plan, card):
    class Full(FolderPlace):
        def free(self):
            return 100_000

    with pytest.raises(UserError, match="kB free and needs"):
        fill(plan(PLAN, pictures=10), Full(card))
    assert files(card) == {}


def test_what_leaves_the_plan_leaves_the_card_unless_it_was_changed_there(plan, card, tmp_path):
    path = plan(PLAN, pictures=4)
    fill(path, FolderPlace(card))
    lock = read_lock(lock_path(path))
    names = [lock[f"hol/Holiday {number:04}.png"].path for number in range(4)]
    (card / names[0]).write_bytes(b"mine now")
    (card / "pics" / "own.jpg").write_bytes(b"own")
    for number in (0, 1):
        (tmp_path / "hol" / f"Holiday {number:04}.png").unlink()
    assert fill(path, FolderPlace(card)).removed == 1
    left = {name for name in files(card) if name.startswith("pics")}
    assert left == {names[0], names[2], names[3], "pics/own.jpg"}


def test_check_tells_what_differs_and_changes_nothing(plan, card):
    path = plan(PLAN, pictures=3)
    command = [sys.executable, "-m", "maixpix", "fill", str(path), "--card", str(card)]
    before = subprocess.run([*command, "--check"], check=False, capture_output=True, text=True)
    assert before.returncode == 1
    assert before.stdout.count("missing or different") == 4
    assert files(card) == {}
    assert subprocess.run(command, check=False).returncode == 0
    assert subprocess.run([*command, "--check"], check=False).returncode == 0
    victim = next(iter(card.glob("pics/*")))
    victim.write_bytes(b"damaged")
    after = subprocess.run([*command, "--check"], check=False, capture_output=True, text=True)
    assert after.returncode == 1
    assert f"missing or different: pics/{victim.name}" in after.stdout


def test_addresses_are_fetched_once_and_again_when_they_change(plan, card):
    served = {"now": (picture(1), '"v1"')}
    behave = {"cat.png": lambda talk: talk.serve(served["now"][0], etag=served["now"][1])}
    with LyingServer(behave) as server:
        path = plan(f'panel = "32x24"\n[[pictures]]\nfrom = "{server.url("cat.png")}"\n')
        assert fill(path, FolderPlace(card)).downloaded == len(picture(1))
        first = files(card)["pics/cat.jpg"]
        assert fill(path, FolderPlace(card)).downloaded == 0
        served["now"] = (picture(2), '"v2"')
        assert fill(path, FolderPlace(card)).written_files == 1
        assert files(card)["pics/cat.jpg"] != first


def test_the_lock_tells_source_size_and_digest(plan, card):
    path = plan(PLAN, pictures=1)
    fill(path, FolderPlace(card))
    entry = read_lock(lock_path(path))["hol/Holiday 0000.png"]
    content = files(card)[entry.path]
    assert (entry.size, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert entry.source_sha256 == hashlib.sha256(picture(0)).hexdigest()


def test_app_and_settings(plan, card):
    path = plan('app = "frame"\n[settings]\nbaud = 1000000\n')
    assert fill(path, FolderPlace(card)).software > 0
    assert b'"frame"' in files(card)["pix.json"]
    assert b"1000000" in files(card)["pix.json"]
    assert fill(path, FolderPlace(card)).software == 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (kmodel()[:-1], "cut off: 1 bytes"),
        (kmodel()[:40], "cut off"),
        (b"<html>not found</html>", "no kmodel"),
        (b"\x03\0\0\0" + bytes(40), "no kmodel for the K210"),
        (b"", "no kmodel"),
    ],
)
def test_what_is_no_model_is_refused(data, said):
    with pytest.raises(UserError, match=said):
        read_model(data, "face.kmodel")


def test_models_are_held_against_the_firmware():
    newer = b"LDMK" + struct.pack("<I", 4) + bytes(100)
    assert check_model(kmodel(), "a", "minimum").layers == 2
    assert check_model(newer, "a", "full").version == 4
    with pytest.raises(UserError, match="version 4, which minimum builds"):
        check_model(newer, "a", "minimum")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("panel = ", "plan.toml"),
        ("colour = 1", "colour is not known"),
        ("[[pictures]]\nto = 'pics'", "no source"),
        ("[[pictures]]\nfrom = 'hol'\nto = '../up'", "no folder of short"),
        ("[[pictures]]\nfrom = 'hol'\nfit = 'crooked'", "fit="),
        ("[[models]]\nfrom = 'none.kmodel'", "there is no"),
        ("[[files]]\nfrom = ['plan.toml', 'plan.toml']", "twice"),
        ("firmware = 'newest'", "firmware = 'newest'"),
        ("app = 'nonsense'", "there is no app"),
        ("[settings]\nbaud = 'fast'", "baud"),
        ("pictures = 3", r"write \[\[pictures\]\]"),
    ],
)
def test_a_wrong_plan_says_what_is_wrong(plan, card, text, said):
    with pytest.raises(UserError, match=said):
        fill(plan(text), FolderPlace(card))
    assert files(card) == {}


def test_names_stay_when_others_come_and_go():
    names = CardNames({}, [])
    first = {key: names.path(key, "pics", f"{key}.png", ".jpg") for key in ("holiday one", "holiday two")}
    assert len(set(first.values())) == 2
    again = CardNames(first, ["holiday two", "holiday new"])
    new = again.path("holiday new", "pics", "holiday new.png", ".jpg")
    assert again.path("holiday two", "pics", "x", ".jpg") == first["holiday two"]
    assert new not in (first["holiday two"],)


def test_over_a_serial_port_a_board_proves_its_card(plan, card, tmp_path):
    path = plan(PLAN, pictures=3)
    with RunningBoard(card, tmp_path / "flash") as board, Link(board.port) as link:
        assert link.wait_for_card()
        first, second = fill(path, BoardPlace(link, "/sd")), fill(path, BoardPlace(link, "/sd"))
        assert (first.written_files, second.written_files) == (4, 0)
        (tmp_path / "face.kmodel").write_bytes(kmodel(3))
        assert fill(path, BoardPlace(link, "/sd")).written_files == 1
        assert (card / "models" / "face.kmodel").read_bytes() == kmodel(3)
        assert not (card / "_fill.new").exists()


def test_a_flash_file_system_is_refused(plan, tmp_path):
    path = plan(PLAN, pictures=1)
    with RunningBoard(None, tmp_path / "flash") as board, Link(board.port) as link:
        place = BoardPlace(link, "/flash")
        with pytest.raises(UserError, match="has no folders"):
            fill(path, place)
