"""Some runs of the upload soak (benchmarks/soak_upload.py has them all): nothing lost, doubled or damaged."""

import pytest

from benchmarks import soak_upload
from benchmarks.soak_upload import Outcome, judge, judge_unproven
from benchmarks.upload_receiver import Nursery
from benchmarks.upload_station import is_whole
from rig import uploads

WHOLE = (uploads.PICTURES / "coffee.jpg").read_bytes()
OTHER = WHOLE[:-2] + b"\0\xff\xd9"
"""The same for every decoder, other bytes."""


@pytest.fixture(scope="module")
def nursery():
    with Nursery() as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("seed", [6, 8, 10])  # the cheapest few; the soak itself runs 500
def test_every_picture_arrives_once_and_intact(nursery, tmp_path, seed):
    outcome = soak_upload.one_run(seed, tmp_path, nursery)
    assert outcome.wrong == [], outcome.console
    assert outcome.digests


@pytest.fixture
def outcome():
    """Two pictures that were committed, by digest; nothing of their content is kept."""
    made = Outcome(0)
    made.commit("s1.jpg", WHOLE)
    made.commit("s2.jpg", OTHER)
    return made


TWICE = ["s1.jpg is kept 2 times", "a picture is kept twice"]


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        ({"d/s1.jpg": WHOLE, "d/s2.jpg": OTHER}, []),
        ({"d/s1.jpg": WHOLE}, ["s2.jpg is lost"]),
        ({"d/s1.jpg": WHOLE, "e/s1.jpg": WHOLE, "d/s2.jpg": OTHER}, TWICE),
        ({"d/s1.jpg": WHOLE, "d/s2.jpg": OTHER[:5000]}, ["s2.jpg is torn at the receiver"]),
        # Whole for every decoder, and never seen in the outbox between two starts: only its digest tells.
        ({"d/s1.jpg": WHOLE, "d/s2.jpg": WHOLE[:-2] + b"\1\xff\xd9"}, ["s2.jpg differs at the receiver"]),
    ],
)
def test_the_judge_sees_what_is_wrong(outcome, stored, wrong):
    """A soak whose judge cannot fail proves nothing."""
    assert all(is_whole(data) for data in (WHOLE, OTHER))
    judge(outcome, stored)
    assert outcome.wrong == wrong


def test_the_judge_sees_a_picture_that_nobody_took(outcome):
    judge(outcome, {"d/s1.jpg": WHOLE, "d/s2.jpg": OTHER, "d/x.jpg": OTHER + b"\xff\xd9"})
    assert outcome.wrong == ["the receiver has x.jpg, which nobody took"]


@pytest.mark.parametrize(
    ("changed", "wrong"), [(0, ["the receiver has x.jpg, which nobody took", "s2.jpg is lost"]), (1, [])]
)
def test_the_judge_excuses_another_name_only_where_bytes_were_changed(outcome, changed, wrong):
    outcome.counts["bytes changed on the way out"] = changed
    judge(outcome, {"d/s1.jpg": WHOLE, "d/x.jpg": OTHER})
    assert outcome.wrong == wrong


def test_the_judge_sees_what_went_wrong_on_the_card(outcome):
    outcome.commit("s2.jpg", OTHER)
    outcome.commit("s3.jpg", WHOLE[:4000])
    assert outcome.wrong == ["the name s2.jpg was given twice", "s3.jpg is no whole picture"]


@pytest.mark.parametrize(
    ("stored", "card", "wrong"),
    [
        ({"d/a.jpg": WHOLE, "d/b.jpg": OTHER}, {}, []),
        ({"d/a.jpg": WHOLE}, {"s2.jpg": OTHER}, ["s2.jpg was taken for sent without a reason"]),
        ({"d/a.jpg": WHOLE, "d/b.jpg": OTHER}, {"s2.jpg": WHOLE}, ["s2.jpg changed on the card"]),
        ({"d/a.jpg": WHOLE, "d/b.jpg": OTHER, "d/c.jpg": OTHER}, {}, ["a picture is kept twice"]),
    ],
)
def test_the_judge_of_plain_tcp(outcome, stored, card, wrong):
    judge_unproven(outcome, stored, card)
    assert outcome.wrong == wrong


def test_plain_tcp_is_excused_by_changed_bytes_but_never_from_losing(outcome):
    outcome.counts["bytes changed on the way out"] = 1
    judge_unproven(outcome, {"d/a.jpg": WHOLE[:-2] + b"\1\xff\xd9"}, {"s1.jpg": WHOLE})
    assert outcome.wrong == ["s2.jpg is lost"]


def test_a_picture_that_changes_behind_its_commit_is_noticed(nursery, tmp_path, monkeypatch):
    """Through the whole soak: the sender changes one byte and proves the result to the receiver."""
    real = soak_upload.make_card

    def make_card(folder):
        card = real(folder)
        script = card / "pix" / "uplink.py"
        text = script.read_text()
        before = "        try:\n            sent = self._sender.send("
        assert before in text
        flip = """
        with open(outbox.path(name), "r+b") as f:
            f.seek(600)
            b = f.read(1)[0]
            f.seek(600)
            f.write(bytes([b ^ 1]))
"""
        script.write_text(text.replace(before, flip + before, 1))
        return card

    monkeypatch.setattr(soak_upload, "make_card", make_card)
    outcome = soak_upload.one_run(8, tmp_path, nursery)
    assert any("differs at the receiver" in what for what in outcome.wrong), outcome.wrong
