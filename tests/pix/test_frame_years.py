"""A frame on a shelf: half a day of `benchmarks.frame_years`, some of it without a network."""

from benchmarks import frame_years


def test_half_a_day_in_which_things_go_wrong(tmp_path):
    shelf = frame_years.live(0.5, 3, 0.1, tmp_path)
    assert frame_years.verdict(shelf) == []
    assert shelf.shown >= 12 and sum(shelf.faults.values()) >= 2
    assert shelf.world.asked["list"] > 5 and shelf.world.asked["picture"] > 10
