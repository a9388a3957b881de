"""A frame on a shelf: half a day of `benchmarks.frame_years`, some of it without a network."""

from benchmarks import frame_years


def test_half_a_day_in_which_things_go_wrong(tmp_path):
    shelf = frame_years.live(0.5, 3, 0.1, tmp_path)
    assert frame_years.verdict(shelf) == []
    assert shelf.shown >= 12 and sum(shelf.faults.values()) >= 2
    assert shelf.world.asked["list"] > 5 and shelf.world.asked["picture"] > 10


def test_hours_without_a_network_and_with_power_cuts_go_on_through_the_playlist(tmp_path):
    """From the second half on. Of the portal, which covers the panel, there is one after each power cut."""
    shelf = frame_years.live(0.6, 8, 0.3, tmp_path, drift_ppm=60, cuts=1)
    assert frame_years.verdict(shelf) == []
    assert shelf.faults["power cut without a network"] >= 1
    assert len(shelf.quiet_shown) >= 5
    assert shelf.starts["reset"] <= shelf.starts["power cut"] + 1
