"""A dozen runs of the upload soak (benchmarks/soak_upload.py has them all): nothing lost, doubled or damaged."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak_upload.py"


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak_upload", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak_upload"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["soak_upload"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_every_picture_arrives_once_and_intact(soak, tmp_path, seed):
    outcome = soak.one_run(seed, tmp_path)
    assert outcome.wrong == [], outcome.console
    assert outcome.pictures >= 1


def test_the_judge_sees_what_is_wrong(soak):
    """A soak whose judge cannot fail proves nothing."""
    whole = (Path(__file__).resolve().parents[2] / "assets" / "pictures" / "coffee.jpg").read_bytes()
    names, known = {"s1.jpg", "s2.jpg"}, {"s1.jpg": whole}

    def wrong(stored):
        outcome = soak.Outcome(0)
        soak._judge(names, known, stored, outcome)
        return outcome.wrong

    other = whole[:-2] + b"\0\xff\xd9"
    assert wrong({"d/s1.jpg": whole, "d/s2.jpg": other}) == []
    assert wrong({"d/s1.jpg": whole}) == ["s2.jpg is lost"]
    assert wrong({"d/s1.jpg": whole, "e/s1.jpg": whole, "d/s2.jpg": other}) == [
        "s1.jpg is kept 2 times",
        "a picture is kept twice",
    ]
    assert wrong({"d/s1.jpg": other, "d/s2.jpg": whole}) == ["s1.jpg differs at the receiver"]
    assert wrong({"d/s1.jpg": whole, "d/s2.jpg": whole[:5000]}) == ["s2.jpg is torn at the receiver"]
    assert "which nobody took" in wrong({"d/s1.jpg": whole, "d/s2.jpg": other, "d/x.jpg": other + b"\xff\xd9"})[0]
